/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/qcow2.h>
#include "qcow-tool/common.h"
#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

struct measure_opts {
	enum vc_disk_format from, to;
	struct image_options image;
	const char *snapshot;
	uint64_t size;
	bool has_size, json, share, allow_backing, compress;
};

static const struct vc_option measure_options[] = {
	{ "format", 'f', "FORMAT", "of IMAGE; found out if not given" },
	{ "output-format", 'O', "FORMAT", "of the new image; raw" },
	{ "options", 'o', "KEY=VALUE,...", "options of it, see below" },
	{ "compress", 'c', NULL,
	  "measure what convert -c makes, by compressing it" },
	{ "size", 0, "SIZE", "of an empty disk, instead of IMAGE" },
	{ "snapshot", 'l', "SNAPSHOT", "measure this internal snapshot" },
	{ "output", 0, "STYLE", "human (the default) or json" },
	{ "force-share", 'U', NULL, "do not lock IMAGE" },
	{ "allow-backing", 0, NULL,
	  "open the backing and data files that IMAGE names" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct measure_opts *o = ctx;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->from, err);
	case 'O':
		return parse_format(value, &o->to, err);
	case 'o':
		return image_options_parse(&o->image, value, err);
	case 'c':
		o->compress = true;
		return 0;
	case 'l':
		o->snapshot = value;
		return 0;
	case 'U':
		o->share = true;
		return 0;
	default:
		break;
	}
	if (!strcmp(opt->name, "output"))
		return parse_output(value, &o->json, err);
	if (strcmp(opt->name, "size") != 0) {
		o->allow_backing = true;
		return 0;
	}
	o->has_size = true;
	return vc_parse_size(value, &o->size, err);
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

	if (o->json) {
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
	struct vc_disk_open_opts oo = { .format = o->from,
					.lock = !o->share,
					.cache_bytes = VC_CONVERT_CACHE,
					.snapshot = o->snapshot,
					.allow_backing = o->allow_backing };
	struct vc_convert_source src = { 0 };
	struct vc_disk_create_opts co;
	struct image im = { 0 };
	int ret = -1;

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

int cmd_measure(int argc, char **argv)
{
	struct measure_opts o = { .to = VC_DISK_FORMAT_RAW };
	struct measured r = { .has_bitmaps = false };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o, 0, 1, &first, &nr);
	if (status < 0)
		status = measure(nr ? argv[first] : NULL, &o, &r, &err) < 0
				 ? report(&err)
				 : print(&o, &r);
	image_options_fini(&o.image);
	return status;
}
