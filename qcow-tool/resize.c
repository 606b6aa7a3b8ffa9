/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

struct resize_opts {
	struct common_opts c;
	struct vc_disk_resize_opts r;
};

static const struct vc_option resize_options[] = {
	OPT_FORMAT("raw or qcow2; only qcow2 is found out"),
	{ "preallocation", 0, "MODE",
	  "of what is added: off (the default), metadata, falloc, full" },
	{ "shrink", 0, NULL, "make it smaller: what is behind SIZE is lost" },
	OPT_ALLOW_BACKING("IMAGE"),
	OPT_QUIET,
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct resize_opts *o = ctx;
	int i;

	if (!strcmp(opt->name, "shrink")) {
		o->r.shrink = true;
		return 0;
	}
	for (i = 0; vc_disk_preallocation_names[i]; i++)
		if (!strcmp(value, vc_disk_preallocation_names[i])) {
			o->r.preallocation = (enum vc_disk_preallocation)i;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "not off, metadata, falloc or full");
}

static const struct vc_command command = {
	.name = "qcow-tool resize",
	.synopsis = "[OPTION]... IMAGE [+|-]SIZE",
	.summary = "Give an image another size, or one that is SIZE more or "
		   "less than it is.\nWhat is added reads zero.",
	.options = resize_options,
	.nr_options = VC_ARRAY_SIZE(resize_options),
	.on_option = on_option,
};

/* "-1G" is no option: getopt_long() must not see it. */
static char *take_size(int *argc, char **argv)
{
	char *size = argv[*argc - 1];

	if (*argc < 3 || size[0] != '-' || size[1] < '0' || size[1] > '9')
		return NULL;
	argv[--*argc] = NULL;
	return size;
}

static int parse_size(const char *text, struct vc_disk_resize_opts *r,
		      struct vc_error *err)
{
	r->is_relative = text[0] == '+' || text[0] == '-';
	r->is_minus = text[0] == '-';
	return vc_parse_size(text + r->is_relative, &r->size_bytes, err);
}

int cmd_resize(int argc, char **argv)
{
	struct resize_opts o = { .c.format = VC_DISK_FORMAT_PROBE };
	char *minus = take_size(&argc, argv);
	int status, first, nr, want = minus ? 1 : 2;
	struct vc_error err;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, want, want,
			       &first, &nr);
	if (status >= 0)
		return status ? 1 : 0;
	if (parse_size(minus ? minus : argv[first + 1], &o.r, &err) < 0)
		return report(&err);
	path = argv[first];
	if (take_image(&o.c, argv[first], true, &path, &err) < 0)
		return report_image(path, &err);
	o.r.format = o.c.format;
	o.r.no_lock = o.c.share;
	o.r.allow_backing = o.c.allow_backing;
	if (vc_disk_resize(path, &o.r, NULL, &err) < 0)
		return report_image(path, &err);
	if (!o.c.quiet)
		puts("Image resized.");
	return 0;
}
