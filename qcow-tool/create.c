/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/outfile.h>
#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

struct create_opts {
	struct common_opts c;
	struct image_options image;
	bool keep, unsafe;
};

static const struct vc_option create_options[] = {
	OPT_FORMAT("raw (the default), qcow2, zstd or android-sparse"),
	{ "options", 'o', "KEY=VALUE,...", "options of the format, see below" },
	{ "compat", 0, "LEVEL",
	  "0.10, 1.1 (the default) or crosvm: only what that reads" },
	{ "backing", 'b', "FILE",
	  "read from this image what was not written; needs -F" },
	{ "backing-format", 'F', "FORMAT", "the format of that image" },
	{ "unsafe", 'u', NULL, "do not open the backing file to look at it" },
	{ "no-replace", 0, NULL, "fail if FILE exists" },
	OPT_QUIET,
	OPT_OBJECT,
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct create_opts *o = ctx;

	switch (opt->letter) {
	case 'o':
		return image_options_parse(&o->image, value, &o->c.show_options,
					   err);
	case 'b':
		return image_options_set_backing(&o->image, value, err);
	case 'F':
		return image_options_set_backing_format(&o->image, value, err);
	case 'u':
		o->unsafe = true;
		return 0;
	default:
		if (!strcmp(opt->name, "compat"))
			return image_options_set_compat(&o->image, value, err);
		o->keep = true;
		return 0;
	}
}

static const struct vc_command command = {
	.name = "qcow-tool create",
	.synopsis = "[OPTION]... FILE [SIZE]",
	.summary = "Make an empty image of SIZE (4096, 512M, 1.5G, ...), or of "
		   "the size of its\nbacking file.",
	.options = create_options,
	.nr_options = VC_ARRAY_SIZE(create_options),
	.on_option = on_option,
	.epilogue = image_options_help,
};

/* The backing file must be there and be what it is said to be; the new image
 * is as large unless told otherwise. */
static int look_at_backing(const char *path, struct create_opts *o,
			   struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_free char *full = NULL;
	enum vc_disk_format format;
	vc_auto_fd int fd = -1;
	char shown[256];

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "backing file");
	if (vc_disk_resolve_name("backing file", path, o->image.backing_file,
				 &full, err) < 0 ||
	    refuse_same_file(path, "backing file", full, err) < 0)
		return -1;
	if (parse_format(o->image.backing_format, &format, err) < 0 ||
	    open_for_reading(full, &fd, err) < 0)
		return vc_prefix(err, "backing file");
	if (vc_disk_info_fd(fd, format, info, err) < 0)
		return vc_prefix(err, "backing file '%s'",
				 vc_printable(full, shown, sizeof(shown)));
	if (!o->image.has_size)
		o->image.size_bytes = info->virtual_bytes;
	o->image.has_size = true;
	return 0;
}

static int check_options(const char *path, struct create_opts *o,
			 struct vc_error *err)
{
	if (o->image.backing_file && o->c.format == VC_DISK_FORMAT_RAW)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a raw image has no backing file");
	if (o->image.backing_file && !o->image.backing_format)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a backing file needs its format: -F");
	if (o->image.backing_file && !o->unsafe &&
	    look_at_backing(path, o, err) < 0)
		return -1;
	if (!o->image.has_size)
		return vc_fail(err, VC_E_ARG, 0, "no SIZE given");
	if (o->image.size_bytes > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "SIZE: too large");
	o->image.size_bytes = (o->image.size_bytes + 511) & ~UINT64_C(511);
	return 0;
}

/* A new image that is written in one pass is one when that has ended. */
static int finish(int of_fd, enum vc_disk_format format, const char *path,
		  struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = format,
					.writable = true,
					.no_sync = true,
					.name = path };
	vc_auto_fd int fd = fcntl(of_fd, F_DUPFD_CLOEXEC, 0);
	struct vc_disk *disk = NULL;

	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "duplicate fd");
	if (vc_disk_open_fd(fd, &oo, NULL, &disk, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	return vc_disk_close(disk, err);
}

static int create(const char *path, struct create_opts *o, struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = NULL, *data = NULL;
	struct vc_disk_create_opts co;
	char shown[256];

	vc_printable(path, shown, sizeof(shown));
	if (check_options(path, o, err) < 0 ||
	    image_options_get(&o->image, o->c.format, &co, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	co.size_bytes = o->image.size_bytes;
	if (vc_outfile_catch_signals("qcow-tool", err) < 0 ||
	    open_output(path, o->keep, &of, err) < 0 ||
	    image_options_open_data(&o->image, path, o->keep, &data, &co, err) <
		    0)
		return -1;
	if (vc_disk_create(vc_outfile_get_fd(of), &co, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	if (vc_disk_format_is_sequential(co.format) &&
	    finish(vc_outfile_get_fd(of), co.format, path, err) < 0)
		return -1;
	if (vc_outfile_commit_all((struct vc_outfile *[]){ vc_steal_ptr(&data),
							   vc_steal_ptr(&of) },
				  2, err) < 0)
		return -1;
	if (!o->c.quiet)
		printf("Created '%s', format %s, size %llu\n", shown,
		       format_name(co.format),
		       (unsigned long long)co.size_bytes);
	return 0;
}

static int run(char **operands, int nr, struct create_opts *o,
	       struct vc_error *err)
{
	if (o->c.show_options)
		return image_options_show(o->c.format, err);
	if (nr == 2 && o->image.has_size)
		return vc_fail(err, VC_E_ARG, 0,
			       "SIZE and -o size: only one of them");
	if (nr == 2 &&
	    vc_parse_size(operands[1], &o->image.size_bytes, err) < 0)
		return -1;
	o->image.has_size |= nr == 2;
	return create(operands[0], o, err);
}

int cmd_create(int argc, char **argv)
{
	struct create_opts o = { .c.format = VC_DISK_FORMAT_RAW };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o.c, &o, 1, 2, &first,
			       &nr);
	if (status < 0)
		status = run(argv + first, nr, &o, &err) < 0 ? report(&err) : 0;
	image_options_fini(&o.image);
	return status;
}
