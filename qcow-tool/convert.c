/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/convert.h>
#include <vmmcore/outfile.h>
#include "qcow-tool/common.h"
#include "qcow-tool/image-options.h"

#define DEFAULT_GRANULE 4096

struct convert_opts {
	enum vc_disk_format from, to;
	struct image_options image;
	uint64_t granule;
	bool force, progress, sync, allow_backing, share;
};

static const struct vc_option convert_options[] = {
	{ "format", 'f', "FORMAT",
	  "of SOURCE: raw or qcow2; found out if not given" },
	{ "output-format", 'O', "FORMAT",
	  "of DEST: raw (the default) or qcow2" },
	{ "options", 'o', "KEY=VALUE,...", "options of DEST, see below" },
	{ "sparse", 'S', "SIZE",
	  "runs of zeroes this long become holes (4k); 0: write\n"
	  "whatever is allocated in SOURCE" },
	{ "cache", 't', "MODE",
	  "of DEST: unsafe (the default) or writeback, which\n"
	  "waits until it is on the medium" },
	{ "progress", 'p', NULL, "show how far it has got" },
	{ "quiet", 'q', NULL, "accepted: nothing is printed but errors" },
	{ "out-of-order", 'W', NULL, "accepted, like -m and -T: no effect" },
	{ "parallel", 'm', "N", NULL },
	{ "source-cache", 'T', "MODE", NULL },
	{ "force-share", 'U', NULL, "do not lock SOURCE" },
	{ "allow-backing", 0, NULL,
	  "read the backing files that SOURCE names" },
	{ "force", 0, NULL, "replace DEST if it exists" },
};

static int set_granule(struct convert_opts *o, const char *value,
		       struct vc_error *err)
{
	if (vc_parse_size(value, &o->granule, err) < 0)
		return -1;
	if (o->granule && (!vc_is_pow2(o->granule) || o->granule < 512))
		return vc_fail(err, VC_E_ARG, 0,
			       "not a power of two from 512 on");
	return 0;
}

static int set_cache(struct convert_opts *o, const char *value,
		     struct vc_error *err)
{
	static const char *const synced[] = { "writeback", "writethrough",
					      "none", "directsync" };
	size_t i;

	o->sync = false;
	if (!strcmp(value, "unsafe"))
		return 0;
	for (i = 0; i < VC_ARRAY_SIZE(synced); i++)
		if (!strcmp(value, synced[i]))
			o->sync = true;
	return o->sync ? 0 : vc_fail(err, VC_E_ARG, 0, "unknown mode");
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct convert_opts *o = ctx;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->from, err);
	case 'O':
		return parse_format(value, &o->to, err);
	case 'o':
		return image_options_parse(&o->image, value, err);
	case 'S':
		return set_granule(o, value, err);
	case 't':
		return set_cache(o, value, err);
	case 'p':
		o->progress = true;
		return 0;
	case 'U':
		o->share = true;
		return 0;
	case 0:
		if (!strcmp(opt->name, "force"))
			o->force = true;
		else
			o->allow_backing = true;
		return 0;
	default:
		return 0;
	}
}

static const struct vc_command command = {
	.name = "qcow-tool convert",
	.synopsis = "[OPTION]... SOURCE DEST",
	.summary =
		"Copy an image to a new one, in another format or with other "
		"options. Holes stay\nholes and zeroes become holes. DEST "
		"exists when all is copied, not before.",
	.options = convert_options,
	.nr_options = VC_ARRAY_SIZE(convert_options),
	.on_option = on_option,
	.epilogue = image_options_help,
};

static void show_progress(void *opaque, uint64_t done, uint64_t total)
{
	static int shown = -1;
	int now = total ? (int)((double)done * 10000 / (double)total) : 10000;

	(void)opaque;
	if (now == shown)
		return;
	shown = now;
	printf("    (%d.%02d/100%%)\r", now / 100, now % 100);
	fflush(stdout);
}

struct source {
	const char *path;
	struct vc_disk_open_opts opts;
};

/* Once more, for a thread; the first handle holds the lock. */
static int reopen(void *opaque, struct vc_disk **ret, struct vc_error *err)
{
	const struct source *s = opaque;
	struct vc_disk_open_opts opts = s->opts;

	opts.lock = false;
	return vc_disk_open(s->path, &opts, ret, err);
}

/* Make and fill the image in the unnamed file. */
static int fill(struct vc_outfile *of, const struct vc_convert_source *src,
		const struct convert_opts *o, const char *name,
		struct vc_error *err)
{
	struct vc_disk_open_opts oo = {
		.format = o->to, .writable = true, .no_sync = true, .name = name
	};
	struct vc_convert_opts copy = {
		.granule = o->granule,
		.fill = !o->granule,
		.dst_is_zero = true,
		.share = VC_CONVERT_SHARE_AUTO,
		.progress = o->progress ? show_progress : NULL,
	};
	vc_auto(vc_disk) struct vc_disk *dst = NULL;
	struct vc_disk_create_opts co;
	vc_auto_fd int fd = -1;

	if (image_options_get(&o->image, o->to, &co, err) < 0)
		return -1;
	if (co.backing_file || o->image.has_size)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "convert takes no backing file and no size");
	co.size_bytes = vc_disk_get_size(src->disk);
	if (vc_disk_create(vc_outfile_get_fd(of), &co, err) < 0)
		return -1;
	fd = fcntl(vc_outfile_get_fd(of), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "duplicate fd");
	if (vc_disk_open_fd(fd, &oo, NULL, &dst, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	if (vc_disk_convert(src, 1, dst, &copy, NULL, err) < 0)
		return -1;
	return vc_disk_close(vc_steal_ptr(&dst), err);
}

static int convert(const char *from, const char *to,
		   const struct convert_opts *o, struct vc_error *err)
{
	struct source s = { from,
			    { .format = o->from,
			      .lock = !o->share,
			      .cache_bytes = VC_CONVERT_CACHE,
			      .allow_backing = o->allow_backing } };
	struct vc_convert_source cs = { .reopen = reopen, .opaque = &s };
	vc_auto(vc_outfile) struct vc_outfile *of = NULL;
	vc_auto(vc_disk) struct vc_disk *src = NULL;
	char shown[256];

	if (vc_disk_open(from, &s.opts, &src, err) < 0 ||
	    vc_outfile_catch_signals(err) < 0 ||
	    vc_outfile_open(to, o->force, &of, err) < 0)
		return -1;
	vc_outfile_set_sync(of, o->sync);
	/* the format is what it is now */
	s.opts.format = vc_disk_get_format(src);
	cs.disk = src;
	if (fill(of, &cs, o, to, err) < 0)
		return vc_prefix(err, "'%s' to '%s'", from,
				 vc_printable(to, shown, sizeof(shown)));
	if (vc_outfile_commit(vc_steal_ptr(&of), err) < 0)
		return -1;
	if (o->progress) {
		show_progress(NULL, 1, 1);
		putchar('\n');
	}
	return 0;
}

int cmd_convert(int argc, char **argv)
{
	struct convert_opts o = { .to = VC_DISK_FORMAT_RAW,
				  .granule = DEFAULT_GRANULE };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o, 2, 2, &first, &nr);
	if (status < 0) {
		status = 0;
		if (convert(argv[first], argv[first + 1], &o, &err) < 0)
			status = report(&err);
	}
	image_options_fini(&o.image);
	return status;
}
