/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

struct snapshot_opts {
	enum vc_disk_format format;
	char action; /* l, a, c, d */
	const char *name;
	bool quiet, share;
};

static const struct vc_option snapshot_options[] = {
	{ "list", 'l', NULL, "list the snapshots (the default)" },
	{ "create", 'c', "NAME", "keep the present contents as NAME" },
	{ "apply", 'a', "SNAPSHOT", "go back to that one, by id or name" },
	{ "delete", 'd', "SNAPSHOT", "delete that one" },
	{ "format", 'f', "FORMAT", "qcow2; found out if not given" },
	{ "quiet", 'q', NULL, "print nothing but errors" },
	{ "force-share", 'U', NULL, "-l: do not lock the image" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct snapshot_opts *o = ctx;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->format, err);
	case 'q':
		o->quiet = true;
		return 0;
	case 'U':
		o->share = true;
		return 0;
	default:
		if (o->action)
			return vc_fail(err, VC_E_ARG, 0,
				       "only one of -a, -c, -d and -l");
		o->action = opt->letter;
		o->name = value;
		return 0;
	}
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

	if (open_image(path, o->format, writable, o->share && !writable, &fd,
		       err) < 0)
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
	struct snapshot_opts o = { .format = VC_DISK_FORMAT_PROBE };
	int status, first, nr;
	struct vc_error err;

	status = parse_command(&command, argc, argv, &o, 1, 1, &first, &nr);
	if (status >= 0)
		return status ? 1 : 0;
	if (run(argv[first], &o, &err) < 0)
		return report_image(argv[first], &err);
	return 0;
}
