/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

struct snapshot_opts {
	struct common_opts c;
	char action; /* l, a, c, d */
	const char *name;
};

static const struct vc_option snapshot_options[] = {
	{ "list", 'l', NULL, "list the snapshots (the default)" },
	{ "create", 'c', "NAME", "keep the present contents as NAME" },
	{ "apply", 'a', "SNAPSHOT", "go back to that one, by id or name" },
	{ "delete", 'd', "SNAPSHOT", "delete that one" },
	OPT_FORMAT("qcow2; found out if not given"),
	OPT_QUIET,
	OPT_SHARE("-l: do not lock the image"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

/* -l, -a, -c or -d */
static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct snapshot_opts *o = ctx;

	if (o->action)
		return vc_fail(err, VC_E_ARG, 0,
			       "only one of -a, -c, -d and -l");
	o->action = opt->letter;
	o->name = value;
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool snapshot",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "List, make, go back to or delete the snapshots inside of "
		   "an image.",
	.options = snapshot_options,
	.nr_options = VC_ARRAY_SIZE(snapshot_options),
	.on_option = on_option,
};

static int list(int fd, struct vc_error *err)
{
	struct vc_qcow2_snapshots s;

	if (vc_qcow2_snapshot_list(fd, &s, err) < 0)
		return -1;
	if (s.nr) {
		puts("Snapshot list:");
		print_snapshots(&s);
	}
	vc_qcow2_snapshots_fini(&s);
	return 0;
}

static int run(const char *path, const struct snapshot_opts *o,
	       struct vc_error *err)
{
	bool writable = o->action && o->action != 'l';
	vc_auto_fd int fd = -1;

	if (open_image(path, o->c.format, writable, o->c.share && !writable,
		       &fd, err) < 0)
		return -1;
	switch (o->action) {
	case 'c':
		return vc_qcow2_snapshot_create(fd, o->name, err);
	case 'a':
		return vc_qcow2_snapshot_apply(fd, o->name, err);
	case 'd':
		return vc_qcow2_snapshot_delete(fd, o->name, err);
	default:
		return list(fd, err);
	}
}

int cmd_snapshot(int argc, char **argv)
{
	struct snapshot_opts o = { .c.format = VC_DISK_FORMAT_PROBE };
	int status, first, nr;
	struct vc_error err;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, 1, 1, &first,
			       &nr);
	if (status >= 0)
		return status ? 1 : 0;
	path = argv[first];
	if (take_image(&o.c, argv[first], o.action && o.action != 'l', &path,
		       &err) < 0 ||
	    run(path, &o, &err) < 0)
		return report_image(path, &err);
	return 0;
}
