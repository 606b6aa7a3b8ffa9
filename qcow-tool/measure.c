/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/qcow2.h>
#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

struct measure_opts {
	struct common_opts c;
	enum vc_disk_format to;
	struct image_options image;
	struct snapshot_name snapshot;
	uint64_t size;
	bool has_size, compress;
};

static const struct vc_option measure_options[] = {
	OPT_FORMAT("of IMAGE; found out if not given"),
	{ "output-format", 'O', "FORMAT", "of the new image; raw" },
	{ "options", 'o', "KEY=VALUE,...", "options of it, see below" },
	{ "compress", 'c', NULL,
	  "measure what convert -c makes, by compressing it" },
	{ "size", 0, "SIZE", "of an empty disk, instead of IMAGE" },
	{ "snapshot", 'l', "SNAPSHOT", "measure this internal snapshot" },
	OPT_OUTPUT,
	OPT_SHARE("do not lock IMAGE"),
	OPT_ALLOW_BACKING("IMAGE"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct measure_opts *o = ctx;

	switch (opt->letter) {
	case 'O':
		return parse_format(value, &o->to, err);
	case 'o':
		return image_options_parse(&o->image, value, &o->c.show_options,
					   err);
	case 'c':
		o->compress = true;
		return 0;
	case 'l':
		return parse_snapshot(value, &o->snapshot, err);
	default:
		o->has_size = true;
		return vc_parse_size(value, &o->size, err);
	}
}

static const struct vc_command command = {
	.name = "qcow-tool measure",
	.synopsis = "[OPTION]... IMAGE | --size SIZE",
	.summary = "Say how many bytes a file needs to hold a converted image, "
		   "and how many when all of\nits disk is written later.",
	.options = measure_options,
	.nr_options = VC_ARRAY_SIZE(measure_options),
	.on_option = on_option,
	.epilogue = image_options_help,
};

struct measured {
	struct vc_disk_measure m;
	bool has_bitmaps;
	uint64_t bitmap_bytes; /* what convert --bitmaps adds */
};

static int print(const struct measure_opts *o, const struct measured *r)
{
	json_t *j;

	if (o->c.json) {
		j = json_pack("{s:I, s:I}", "required",
			      (json_int_t)r->m.required_bytes,
			      "fully-allocated", (json_int_t)r->m.full_bytes);
		if (r->has_bitmaps)
			json_object_set_new(
				j, "bitmaps",
				json_integer((json_int_t)r->bitmap_bytes));
		return print_json(j);
	}
	printf("required size: %llu\nfully allocated size: %llu\n",
	       (unsigned long long)r->m.required_bytes,
	       (unsigned long long)r->m.full_bytes);
	if (r->has_bitmaps)
		printf("bitmaps size: %llu\n",
		       (unsigned long long)r->bitmap_bytes);
	return 0;
}

/* Both images are qcow2 with version 3: those have bitmaps. */
static int measure_bitmaps(const struct image *im,
			   const struct vc_disk_create_opts *co,
			   struct measured *r, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	uint32_t cluster = co->cluster_bytes ? co->cluster_bytes : 65536;
	vc_auto_fd int fd = -1;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "measure");
	if (co->format != VC_DISK_FORMAT_QCOW2 ||
	    im->opts.format != VC_DISK_FORMAT_QCOW2)
		return 0;
	if (open_for_reading(im->path, &fd, err) < 0 ||
	    vc_disk_info_fd(fd, im->opts.format, info, err) < 0)
		return -1;
	r->has_bitmaps = info->version > 2;
	if (!r->has_bitmaps)
		return 0;
	return vc_qcow2_bitmap_measure(fd, cluster, &r->bitmap_bytes, err);
}

static int measure(const char *path, const struct measure_opts *o,
		   struct measured *r, struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = o->c.format,
					.direct = o->c.src_cache.direct,
					.lock = !o->c.share,
					.cache_bytes = VC_CONVERT_CACHE,
					.allow_backing = o->c.allow_backing };
	struct vc_convert_source src = { 0 };
	struct vc_disk_create_opts co;
	struct image im = { 0 };
	int ret = -1;

	snapshot_name_use(&o->snapshot, &oo);
	if ((path != NULL) == o->has_size)
		return vc_fail(err, VC_E_ARG, 0,
			       "either IMAGE or --size is needed");
	if (image_options_get(&o->image, o->to, &co, err) < 0 ||
	    (path && image_open(&im, path, &oo, err) < 0))
		return -1;
	co.size_bytes = path ? vc_disk_get_size(im.disk) : o->size;
	src = image_source(&im);
	ret = vc_disk_measure(path ? &src : NULL, &co, o->compress, &r->m, err);
	if (ret == 0 && path)
		ret = measure_bitmaps(&im, &co, r, err);
	image_fini(&im);
	return ret;
}

static int run(char *operand, struct measure_opts *o, struct measured *r,
	       struct vc_error *err)
{
	const char *path = NULL;

	if (o->c.show_options)
		return image_options_show(o->to, err);
	if (operand && take_image(&o->c, operand, false, &path, err) < 0)
		return -1;
	return measure(path, o, r, err);
}

int cmd_measure(int argc, char **argv)
{
	struct measure_opts o = { .to = VC_DISK_FORMAT_RAW };
	struct measured r = { .has_bitmaps = false };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o.c, &o, 0, 1, &first,
			       &nr);
	if (status < 0 && run(nr ? argv[first] : NULL, &o, &r, &err) < 0)
		status = report(&err);
	else if (status < 0)
		status = o.c.show_options ? 0 : print(&o, &r);
	image_options_fini(&o.image);
	snapshot_name_fini(&o.snapshot);
	return status;
}
