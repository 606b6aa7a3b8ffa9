/* SPDX-License-Identifier: BSD-3-Clause */
/* Several actions in one call are done in the order they are given. */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "qcow-tool/manage.h"

#define MAX_ACTIONS 64

enum action_kind { ADD, REMOVE, CLEAR, ENABLE, DISABLE, MERGE };

struct action {
	enum action_kind kind;
	const char *source; /* MERGE */
};

struct bitmap_opts {
	struct common_opts c;
	enum vc_disk_format src_format;
	const char *src_file;
	uint64_t granularity;
	struct action actions[MAX_ACTIONS];
	int nr;
};

static const struct vc_option bitmap_options[] = {
	{ "add", 0, NULL, "make a bitmap named BITMAP, enabled" },
	{ "remove", 0, NULL, "remove it" },
	{ "clear", 0, NULL, "forget what it says" },
	{ "enable", 0, NULL, "let writers keep it from now on" },
	{ "disable", 0, NULL, "leave it as it is from now on" },
	{ "merge", 0, "SOURCE", "add what bitmap SOURCE says" },
	{ "source-file", 'b', "FILE", "--merge: SOURCE is in this image" },
	{ "source-format", 'F', "FORMAT", "the format of that image" },
	{ "granularity", 'g', "SIZE", "--add: bytes that one bit is for" },
	OPT_FORMAT("qcow2; found out if not given"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int add_action(struct bitmap_opts *o, enum action_kind kind,
		      const char *source, struct vc_error *err)
{
	if (o->nr == MAX_ACTIONS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d actions",
			       MAX_ACTIONS);
	o->actions[o->nr++] = (struct action){ kind, source };
	return 0;
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct bitmap_opts *o = ctx;

	switch (opt->letter) {
	case 'F':
		return parse_format(value, &o->src_format, err);
	case 'b':
		o->src_file = value;
		return 0;
	case 'g':
		if (vc_parse_size(value, &o->granularity, err) < 0)
			return -1;
		if (!vc_is_pow2(o->granularity) ||
		    o->granularity < VC_QCOW2_MIN_GRANULARITY ||
		    o->granularity > VC_QCOW2_MAX_GRANULARITY)
			return vc_fail(err, VC_E_ARG, 0,
				       "not a power of two from 512 to 2G");
		return 0;
	default:
		/* the actions come first, in the order of the enum */
		return add_action(o, (enum action_kind)(opt - bitmap_options),
				  value, err);
	}
}

static const struct vc_command command = {
	.name = "qcow-tool bitmap",
	.synopsis = "ACTION... [OPTION]... IMAGE BITMAP",
	.summary = "Manage the bitmaps in an image that say what was written. "
		   "Actions are done in\nthe order given; if one fails, those "
		   "before it are done.",
	.options = bitmap_options,
	.nr_options = VC_ARRAY_SIZE(bitmap_options),
	.on_option = on_option,
};

static int merge(int fd, const char *name, const struct action *a,
		 const struct bitmap_opts *o, struct vc_error *err)
{
	vc_auto_fd int src = -1;
	char shown[256];

	if (!o->src_file)
		return vc_qcow2_bitmap_merge(fd, name, fd, a->source, err);
	if (open_image(o->src_file, o->src_format, false, false, &src, err) < 0)
		return vc_prefix(err, "'%s'",
				 vc_printable(o->src_file, shown,
					      sizeof(shown)));
	return vc_qcow2_bitmap_merge(fd, name, src, a->source, err);
}

static int act(int fd, const char *name, const struct action *a,
	       const struct bitmap_opts *o, struct vc_error *err)
{
	switch (a->kind) {
	case ADD:
		return vc_qcow2_bitmap_add(fd, name, (uint32_t)o->granularity,
					   true, err);
	case REMOVE:
		return vc_qcow2_bitmap_remove(fd, name, err);
	case CLEAR:
		return vc_qcow2_bitmap_clear(fd, name, err);
	case ENABLE:
	case DISABLE:
		return vc_qcow2_bitmap_set_enabled(fd, name, a->kind == ENABLE,
						   err);
	case MERGE:
		break;
	}
	return merge(fd, name, a, o, err);
}

static bool has_action(const struct bitmap_opts *o, enum action_kind kind)
{
	int i;

	for (i = 0; i < o->nr; i++)
		if (o->actions[i].kind == kind)
			return true;
	return false;
}

static int run(const char *path, const char *name, const struct bitmap_opts *o,
	       struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	int i;

	if (!o->nr)
		return vc_fail(err, VC_E_ARG, 0,
			       "need at least one of --add, --remove, --clear, "
			       "--enable, --disable, or --merge");
	if (o->granularity && !has_action(o, ADD))
		return vc_fail(err, VC_E_ARG, 0,
			       "granularity only supported with --add");
	if (o->src_file && !has_action(o, MERGE))
		return vc_fail(err, VC_E_ARG, 0,
			       "source file only supported with --merge");
	if (open_image(path, o->c.format, true, false, &fd, err) < 0)
		return -1;
	for (i = 0; i < o->nr; i++)
		if (act(fd, name, &o->actions[i], o, err) < 0)
			return -1;
	return 0;
}

int cmd_bitmap(int argc, char **argv)
{
	struct bitmap_opts o = { .src_format = VC_DISK_FORMAT_PROBE };
	int status, first, nr;
	struct vc_error err;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, 2, 2, &first,
			       &nr);
	if (status >= 0)
		return status ? 1 : 0;
	path = argv[first];
	if (take_image(&o.c, argv[first], true, &path, &err) < 0 ||
	    run(path, argv[first + 1], &o, &err) < 0)
		return report_image(path, &err);
	return 0;
}
