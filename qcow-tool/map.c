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

struct printer {
	const struct map_opts *o;
	const struct image *im;
	char *names[VC_DISK_MAX_DEPTH]; /* of the chain's files, printable */
	char *data_names[VC_DISK_MAX_DEPTH];
	bool is_first;
};

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

static void print_human(struct printer *p, const struct vc_disk_extent *e)
{
	const char *name;

	if (e->kind != VC_DISK_DATA || e->reads_zero)
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

static void print_json_extent(struct printer *p, const struct vc_disk_extent *e)
{
	bool data = e->kind == VC_DISK_DATA;

	printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, "
	       "\"present\": %s, \"zero\": %s, \"data\": %s, "
	       "\"compressed\": %s",
	       p->is_first ? "[" : ",\n", (unsigned long long)e->offset_bytes,
	       (unsigned long long)e->length_bytes, e->depth,
	       e->kind == VC_DISK_HOLE ? "false" : "true",
	       data && !e->reads_zero ? "false" : "true",
	       data ? "true" : "false", e->is_compressed ? "true" : "false");
	if (has_offset(e))
		printf(", \"offset\": %llu", offset_of(e));
	printf("}");
	p->is_first = false;
}

static bool is_continued(const struct vc_disk_extent *a,
			 const struct vc_disk_extent *b)
{
	if (a->is_in_data_file != b->is_in_data_file || a->kind != b->kind ||
	    a->reads_zero != b->reads_zero || a->depth != b->depth ||
	    has_offset(a) != has_offset(b))
		return false;
	return !has_offset(a) || offset_of(a) + a->length_bytes == offset_of(b);
}

static int print_map(struct printer *p, struct vc_error *err)
{
	void (*print)(struct printer * p, const struct vc_disk_extent *e) =
		p->o->c.json ? print_json_extent : print_human;
	uint64_t size = vc_disk_get_size(p->im->disk), pos = p->o->start, end;
	struct vc_disk_extent cur = { .length_bytes = 0 }, x;

	if (vc_ckd_add(&end, pos, p->o->max_len) || end > size)
		end = size;
	while (pos < end) {
		if (vc_disk_map(p->im->disk, pos, end - pos, &x, err) < 0)
			return -1;
		pos += x.length_bytes;
		if (cur.length_bytes && is_continued(&cur, &x)) {
			cur.length_bytes += x.length_bytes;
			continue;
		}
		if (cur.length_bytes)
			print(p, &cur);
		cur = x;
	}
	if (cur.length_bytes)
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
	struct printer p = { .o = o, .im = im, .is_first = true };
	int ret = 0, i;

	if (!o->c.json) {
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
