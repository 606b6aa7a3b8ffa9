/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "qcow-tool/common.h"
#include "qcow-tool/image.h"

struct map_opts {
	enum vc_disk_format format;
	uint64_t start, max_len;
	bool json, share, allow_backing;
};

static const struct vc_option map_options[] = {
	{ "format", 'f', "FORMAT", "of IMAGE; found out if not given" },
	{ "output", 0, "STYLE", "human (the default) or json" },
	{ "start-offset", 's', "OFFSET", "begin there" },
	{ "max-length", 'l', "LENGTH", "and look at no more than that" },
	{ "force-share", 'U', NULL, "do not lock IMAGE" },
	{ "allow-backing", 0, NULL,
	  "open the backing and data files that IMAGE names" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct map_opts *o = ctx;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->format, err);
	case 's':
		return vc_parse_size(value, &o->start, err);
	case 'l':
		return vc_parse_size(value, &o->max_len, err);
	case 'U':
		o->share = true;
		return 0;
	default:
		break;
	}
	if (!value) {
		o->allow_backing = true;
		return 0;
	}
	return parse_output(value, &o->json, err);
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
	bool is_first;
};

static bool has_offset(const struct vc_disk_extent *e)
{
	return e->host_offset != UINT64_MAX && e->kind != VC_DISK_HOLE;
}

static void print_human(struct printer *p, const struct vc_disk_extent *e)
{
	if (e->kind != VC_DISK_DATA)
		return;
	printf("%#-16llx%#-16llx", (unsigned long long)e->offset_bytes,
	       (unsigned long long)e->length_bytes);
	if (has_offset(e))
		printf("%#-16llx", (unsigned long long)e->host_offset);
	else
		printf("%-16s", "compressed");
	puts(p->names[e->depth] ? p->names[e->depth] : "");
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
	       data ? "false" : "true", data ? "true" : "false",
	       e->is_compressed ? "true" : "false");
	if (has_offset(e))
		printf(", \"offset\": %llu",
		       (unsigned long long)e->host_offset);
	printf("}");
	p->is_first = false;
}

static bool is_continued(const struct vc_disk_extent *a,
			 const struct vc_disk_extent *b)
{
	if (a->kind != b->kind || a->depth != b->depth ||
	    has_offset(a) != has_offset(b))
		return false;
	return !has_offset(a) ||
	       a->host_offset + a->length_bytes == b->host_offset;
}

static int print_map(struct printer *p, struct vc_error *err)
{
	void (*print)(struct printer * p, const struct vc_disk_extent *e) =
		p->o->json ? print_json_extent : print_human;
	uint64_t size = vc_disk_get_size(p->im->disk), pos = p->o->start, end;
	struct vc_disk_extent cur = { .length_bytes = 0 }, e;

	if (vc_ckd_add(&end, pos, p->o->max_len) || end > size)
		end = size;
	while (pos < end) {
		if (vc_disk_map(p->im->disk, pos, end - pos, &e, err) < 0)
			return -1;
		pos += e.length_bytes;
		if (cur.length_bytes && is_continued(&cur, &e)) {
			cur.length_bytes += e.length_bytes;
			continue;
		}
		if (cur.length_bytes)
			print(p, &cur);
		cur = e;
	}
	if (cur.length_bytes)
		print(p, &cur);
	return 0;
}

/* The names of the files of the chain, as far as they may be opened. */
static int find_names(struct printer *p, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_free char *path = strdup(p->im->path);
	enum vc_disk_format format = p->im->opts.format;
	char shown[4096];
	int i;

	for (i = 0; info && path && i < VC_DISK_MAX_DEPTH; i++) {
		vc_auto_fd int fd = -1;
		char *next;

		p->names[i] = strdup(vc_printable(path, shown, sizeof(shown)));
		if (!p->o->allow_backing)
			return 0;
		if (open_for_reading(path, &fd, err) < 0 ||
		    vc_disk_info_fd(fd, format, info, err) < 0)
			return -1;
		if (!info->backing_file[0])
			return 0;
		if (parse_format(info->backing_format, &format, err) < 0)
			return -1;
		next = beside(path, info->backing_file);
		free(path);
		path = next;
	}
	return info && path ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "map");
}

static int map(struct image *im, const struct map_opts *o, struct vc_error *err)
{
	struct printer p = { .o = o, .im = im, .is_first = true };
	int ret = 0, i;

	if (!o->json) {
		ret = find_names(&p, err);
		printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to",
		       "File");
	}
	if (ret == 0)
		ret = print_map(&p, err);
	if (o->json && ret == 0)
		puts(p.is_first ? "[]" : "]");
	for (i = 0; i < VC_DISK_MAX_DEPTH; i++)
		free(p.names[i]);
	return ret;
}

int cmd_map(int argc, char **argv)
{
	struct map_opts o = { .max_len = UINT64_MAX };
	struct vc_disk_open_opts oo = { 0 };
	struct image im = { 0 };
	int status, first, nr;
	struct vc_error err;

	status = parse_command(&command, argc, argv, &o, 1, 1, &first, &nr);
	if (status >= 0)
		return status;
	oo.format = o.format;
	oo.lock = !o.share;
	oo.cache_bytes = VC_CONVERT_CACHE;
	oo.allow_backing = o.allow_backing;
	oo.ignore_backing = !o.allow_backing;
	status = 0;
	if (image_open(&im, argv[first], &oo, &err) < 0 ||
	    map(&im, &o, &err) < 0)
		status = report(&err);
	image_fini(&im);
	return status;
}
