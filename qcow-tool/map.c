/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "qcow-tool/image.h"
#include "qcow-tool/options.h"

struct map_opts {
	struct common_opts c;
	uint64_t start, max_len;
};

static const struct vc_option map_options[] = {
	OPT_FORMAT("of IMAGE; found out if not given"),
	OPT_OUTPUT,
	{ "start-offset", 's', "OFFSET", "begin there" },
	{ "max-length", 'l', "LENGTH", "and look at no more than that" },
	OPT_SHARE("do not lock IMAGE"),
	OPT_ALLOW_BACKING("IMAGE"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct map_opts *o = ctx;

	return vc_parse_size(value,
			     opt->letter == 's' ? &o->start : &o->max_len, err);
}

static const struct vc_command command = {
	.name = "qcow-tool map",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "Say which parts of a disk have data and where in the file "
		   "it is. Without\n--allow-backing what is not in IMAGE "
		   "itself is said to be absent.",
	.options = map_options,
	.nr_options = VC_ARRAY_SIZE(map_options),
	.on_option = on_option,
};

/* An extent, and whether the file has a hole where its data should be. */
struct part {
	struct vc_disk_extent e;
	bool is_hole;
};

struct printer {
	const struct map_opts *o;
	const struct image *im;
	int fd; /* where holes in data are to be looked for, or -1 */
	char *names[VC_DISK_MAX_DEPTH]; /* of the chain's files, printable */
	char *data_names[VC_DISK_MAX_DEPTH];
	bool is_first;
};

/* A preallocated image has clusters that nobody wrote: the holes of its file say
 * which. Looking for them costs, so it is done only, as in the other program,
 * where the file takes clearly less space than its length. */
static int open_holes(struct printer *p, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	uint64_t taken, clusters;
	vc_auto_fd int fd = -1;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "map");
	if (p->im->opts.format != VC_DISK_FORMAT_QCOW2)
		return 0;
	if (open_for_reading(p->im->path, &fd, err) < 0 ||
	    vc_disk_info_fd(fd, p->im->opts.format, info, err) < 0)
		return -1;
	taken = info->allocated_bytes / info->cluster_bytes;
	clusters = vc_div_round_up(info->file_bytes, info->cluster_bytes);
	if (clusters >= taken + 2 && clusters >= taken * 10 / 9)
		p->fd = vc_steal_fd(&fd);
	return 0;
}

/* Is the beginning of the extent a hole of the file? It is cut where that
 * changes. */
static void find_hole(const struct printer *p, struct part *x)
{
	struct vc_disk_extent *e = &x->e;
	off_t next, at = (off_t)e->host_offset;

	x->is_hole = false;
	if (p->fd < 0 || e->kind != VC_DISK_DATA || e->depth ||
	    e->is_in_data_file || e->host_offset > INT64_MAX - e->length_bytes)
		return;
	next = lseek(p->fd, at, SEEK_DATA);
	x->is_hole = next > at || (next < 0 && errno == ENXIO);
	if (!x->is_hole)
		next = lseek(p->fd, at, SEEK_HOLE);
	if (next > at && (uint64_t)(next - at) < e->length_bytes)
		e->length_bytes = (uint64_t)(next - at);
}

/* In the image or in its external data file. */
static bool has_offset(const struct vc_disk_extent *e)
{
	return e->is_in_data_file ||
	       (e->host_offset != UINT64_MAX && e->kind != VC_DISK_HOLE);
}

static unsigned long long offset_of(const struct vc_disk_extent *e)
{
	return e->is_in_data_file ? e->data_file_offset : e->host_offset;
}

static void print_human(struct printer *p, const struct part *x)
{
	const struct vc_disk_extent *e = &x->e;
	const char *name;

	if (e->kind != VC_DISK_DATA || x->is_hole)
		return;
	printf("%#-16llx%#-16llx", (unsigned long long)e->offset_bytes,
	       (unsigned long long)e->length_bytes);
	if (has_offset(e))
		printf("%#-16llx", offset_of(e));
	else
		printf("%-16s", "compressed");
	name = e->is_in_data_file ? p->data_names[e->depth]
				  : p->names[e->depth];
	puts(name ? name : "");
}

static void print_json_extent(struct printer *p, const struct part *x)
{
	const struct vc_disk_extent *e = &x->e;
	bool data = e->kind == VC_DISK_DATA;

	printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, "
	       "\"present\": %s, \"zero\": %s, \"data\": %s, "
	       "\"compressed\": %s",
	       p->is_first ? "[" : ",\n", (unsigned long long)e->offset_bytes,
	       (unsigned long long)e->length_bytes, e->depth,
	       e->kind == VC_DISK_HOLE ? "false" : "true",
	       data && !x->is_hole ? "false" : "true", data ? "true" : "false",
	       e->is_compressed ? "true" : "false");
	if (has_offset(e))
		printf(", \"offset\": %llu", offset_of(e));
	printf("}");
	p->is_first = false;
}

static bool is_continued(const struct part *x, const struct part *y)
{
	const struct vc_disk_extent *a = &x->e, *b = &y->e;

	if (a->is_in_data_file != b->is_in_data_file || a->kind != b->kind ||
	    x->is_hole != y->is_hole || a->depth != b->depth ||
	    has_offset(a) != has_offset(b))
		return false;
	return !has_offset(a) || offset_of(a) + a->length_bytes == offset_of(b);
}

static int print_map(struct printer *p, struct vc_error *err)
{
	void (*print)(struct printer * p, const struct part *x) =
		p->o->c.json ? print_json_extent : print_human;
	uint64_t size = vc_disk_get_size(p->im->disk), pos = p->o->start, end;
	struct part cur = { .e.length_bytes = 0 }, x;

	if (vc_ckd_add(&end, pos, p->o->max_len) || end > size)
		end = size;
	while (pos < end) {
		if (vc_disk_map(p->im->disk, pos, end - pos, &x.e, err) < 0)
			return -1;
		find_hole(p, &x);
		pos += x.e.length_bytes;
		if (cur.e.length_bytes && is_continued(&cur, &x)) {
			cur.e.length_bytes += x.e.length_bytes;
			continue;
		}
		if (cur.e.length_bytes)
			print(p, &cur);
		cur = x;
	}
	if (cur.e.length_bytes)
		print(p, &cur);
	return 0;
}

static char *printable(const char *name)
{
	char shown[4096];

	return strdup(vc_printable(name, shown, sizeof(shown)));
}

/* The names of the files of the chain, as far as they may be opened. */
static int find_names(struct printer *p, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_free char *path = strdup(p->im->path);
	enum vc_disk_format format = p->im->opts.format;
	int i;

	for (i = 0; info && path && i < VC_DISK_MAX_DEPTH; i++) {
		vc_auto_free char *data = NULL;
		vc_auto_fd int fd = -1;
		char *next;
		struct vc_error ignored;

		if (open_for_reading(path, &fd, err) < 0 ||
		    vc_disk_info_fd(fd, format, info, err) < 0)
			return -1;
		p->names[i] = printable(path);
		/* what is no name is shown as it is */
		if (info->has_data_file &&
		    vc_disk_resolve_name("data file", path, info->data_file,
					 &data, &ignored) == 0)
			p->data_names[i] = printable(data);
		else if (info->has_data_file)
			p->data_names[i] = printable(info->data_file);
		if (!info->backing_file[0] || !p->o->c.allow_backing)
			return 0;
		if (parse_format(info->backing_format, &format, err) < 0)
			return -1;
		if (vc_disk_resolve_name("backing file", path,
					 info->backing_file, &next, err) < 0)
			return -1;
		free(path);
		path = next;
	}
	return info && path ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "map");
}

static int map(struct image *im, const struct map_opts *o, struct vc_error *err)
{
	struct printer p = { .o = o, .im = im, .fd = -1, .is_first = true };
	int ret = open_holes(&p, err), i;

	if (ret == 0 && !o->c.json) {
		ret = find_names(&p, err);
		printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to",
		       "File");
	}
	if (ret == 0)
		ret = print_map(&p, err);
	if (o->c.json && ret == 0)
		puts(p.is_first ? "[]" : "]");
	for (i = 0; i < VC_DISK_MAX_DEPTH; i++) {
		free(p.names[i]);
		free(p.data_names[i]);
	}
	vc_close(&p.fd);
	return ret;
}

int cmd_map(int argc, char **argv)
{
	struct map_opts o = { .max_len = UINT64_MAX };
	struct vc_disk_open_opts oo = { 0 };
	struct image im = { 0 };
	int status, first, nr;
	struct vc_error err;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, 1, 1, &first,
			       &nr);
	if (status >= 0)
		return status;
	if (take_image(&o.c, argv[first], false, &path, &err) < 0)
		return report(&err);
	oo.format = o.c.format;
	oo.direct = o.c.src_cache.direct;
	oo.lock = !o.c.share;
	oo.cache_bytes = VC_CONVERT_CACHE;
	oo.allow_backing = o.c.allow_backing;
	oo.ignore_backing = !o.c.allow_backing;
	status = 0;
	if (image_open(&im, path, &oo, &err) < 0 || map(&im, &o, &err) < 0)
		status = report(&err);
	image_fini(&im);
	return status;
}
