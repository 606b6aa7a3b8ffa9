/* SPDX-License-Identifier: BSD-3-Clause */
/* commit and rebase: what moves data along a backing chain. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "qcow-tool/manage.h"

struct chain_opts {
	struct common_opts c;
	const char *base, *base_format;
	uint64_t rate;
	bool drop_is_off; /* commit -d */
	bool unsafe, compress;
};

/* --- the chain, by name ---------------------------------------------------------- */

struct link {
	char *path; /* owned */
	enum vc_disk_format format;
	int fd; /* owned */
};

struct chain {
	struct link links[VC_DISK_MAX_DEPTH];
	unsigned nr;
};

static void chain_fini(struct chain *c)
{
	while (c->nr) {
		c->nr--;
		free(c->links[c->nr].path);
		vc_close(&c->links[c->nr].fd);
	}
}

/* Is what `path` names the same file? */
static bool is_file(const struct link *l, const char *path)
{
	struct stat a, b;

	return fstat(l->fd, &a) == 0 && stat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Follow the chain from `path` to `base` (NULL: the first backing file) or
 * `to_end`, locking what is between, or to the end. */
static int chain_open(struct chain *c, const char *path,
		      enum vc_disk_format format, const char *base, bool to_end,
		      struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_free char *next = strdup(path);
	char shown[256];

	if (!info || !next)
		return vc_fail(err, VC_E_SYS, ENOMEM, "commit");
	for (;;) {
		struct link *l = &c->links[c->nr];

		if (c->nr == VC_DISK_MAX_DEPTH)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "backing chain: deeper than %d",
				       VC_DISK_MAX_DEPTH);
		l->path = vc_steal_ptr(&next);
		l->format = format;
		l->fd = -1;
		c->nr++;
		if (c->nr == 1 && open_for_reading(l->path, &l->fd, err) < 0)
			return -1;
		if (c->nr > 1)
			l->fd = vc_disk_open_named("backing file", l->path,
						   false, err);
		if (l->fd < 0)
			return -1;
		if (c->nr > 1 && !to_end && (!base || is_file(l, base)))
			return 0;
		if (c->nr > 1 && vc_disk_lock_fd(l->fd, false, err) < 0)
			return vc_prefix(err, "'%s'",
					 vc_printable(l->path, shown,
						      sizeof(shown)));
		if (vc_disk_info_fd(l->fd, l->format, info, err) < 0)
			return -1;
		if (!info->backing_file[0] && to_end)
			return 0;
		if (!info->backing_file[0])
			return vc_fail(err, VC_E_ARG, 0,
				       c->nr == 1 ? "has no backing file"
						  : "the base is not in its "
						    "backing chain");
		if (parse_format(info->backing_format[0] ? info->backing_format
							 : "?",
				 &format, err) < 0)
			return vc_prefix(err, "backing format");
		if (vc_disk_resolve_name("backing file", l->path,
					 info->backing_file, &next, err) < 0)
			return -1;
	}
}

/* --- commit --------------------------------------------------------------------- */

static const struct vc_option commit_options[] = {
	{ "base", 'b', "FILE",
	  "commit to this file of the backing chain; implies -d" },
	{ "drop", 'd', NULL, "do not empty IMAGE afterwards" },
	OPT_FORMAT("of IMAGE; found out if not given"),
	{ "rate", 'r', "SIZE", "write at most so much in a second" },
	OPT_CACHE("accepted as qemu-img does"),
	OPT_PROGRESS,
	OPT_QUIET,
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int on_commit(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct chain_opts *o = ctx;

	if (opt->letter == 'r')
		return vc_parse_size(value, &o->rate, err);
	if (opt->letter == 'b')
		o->base = value;
	o->drop_is_off = true; /* -b and -d */
	return 0;
}

static const struct vc_command commit_command = {
	.name = "qcow-tool commit",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "Write what IMAGE has of its own to its backing file, then "
		   "empty it.",
	.options = commit_options,
	.nr_options = VC_ARRAY_SIZE(commit_options),
	.on_option = on_commit,
};

/* The base is as large as what is written to it. */
static int fit_base(const struct link *base, uint64_t size,
		    struct vc_error *err)
{
	struct vc_disk_resize_opts ro = { .format = base->format,
					  .size_bytes = size,
					  .allow_backing = true };
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "commit");
	if (vc_disk_info_fd(base->fd, base->format, info, err) < 0)
		return -1;
	if (info->virtual_bytes >= size)
		return 0;
	return vc_disk_resize(base->path, &ro, NULL, err);
}

static struct vc_disk_copy_opts copy_opts(struct chain_opts *o)
{
	return (struct vc_disk_copy_opts){ .max_bytes_per_sec = o->rate,
					   .compress = o->compress,
					   .progress = progress_show,
					   .opaque = &o->c.progress };
}

static int commit_data(const char *path, struct chain_opts *o, struct chain *c,
		       struct vc_error *err)
{
	vc_auto(vc_disk) struct vc_disk *top = NULL, *base = NULL;
	struct link *l = &c->links[c->nr - 1];
	struct vc_disk_open_opts oo = { .format = o->c.format,
					.allow_backing = true };
	struct vc_disk_copy_opts co = copy_opts(o);
	char shown[256];

	if (vc_disk_open(path, &oo, &top, err) < 0)
		return -1;
	vc_printable(l->path, shown, sizeof(shown));
	if (fit_base(l, vc_disk_get_size(top), err) < 0 ||
	    open_disk(l->path, l->format, true, false, &base, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	if (vc_disk_commit(top, c->nr - 1, base, &co, err) < 0)
		return -1;
	return vc_disk_close(vc_steal_ptr(&base), err);
}

static int run_commit(const char *path, struct chain_opts *o, struct chain *c,
		      struct vc_error *err)
{
	vc_auto_fd int fd = -1;

	if (open_image(path, o->c.format, true, false, &fd, err) < 0 ||
	    chain_open(c, path, o->c.format, o->base, false, err) < 0 ||
	    commit_data(path, o, c, err) < 0)
		return -1;
	if (!o->drop_is_off && vc_qcow2_make_empty(fd, err) < 0)
		return -1;
	progress_end(&o->c.progress);
	if (!o->c.quiet)
		puts("Image committed.");
	return 0;
}

/* A sub-command that works on the chain of one image. */
static int chain_command(const struct vc_command *cmd, int argc, char **argv,
			 int (*run)(const char *path, struct chain_opts *o,
				    struct chain *c, struct vc_error *err))
{
	struct chain_opts o = { .c.format = VC_DISK_FORMAT_PROBE };
	struct chain c = { .nr = 0 };
	int status, first, nr, ret;
	struct vc_error err;
	const char *path;

	status = parse_command(cmd, argc, argv, &o.c, &o, 1, 1, &first, &nr);
	if (status >= 0)
		return status ? 1 : 0;
	path = argv[first];
	ret = take_image(&o.c, argv[first], true, &path, &err);
	if (ret == 0)
		ret = run(path, &o, &c, &err);
	chain_fini(&c);
	return ret < 0 ? report_image(path, &err) : 0;
}

int cmd_commit(int argc, char **argv)
{
	return chain_command(&commit_command, argc, argv, run_commit);
}

/* --- rebase --------------------------------------------------------------------- */

static const struct vc_option rebase_options[] = {
	{ "backing", 'b', "FILE", "the new backing file; \"\" or none: none" },
	{ "backing-format", 'F', "FORMAT", "its format" },
	{ "unsafe", 'u', NULL,
	  "only change the name: the files are the same, or the old one is\n"
	  "gone" },
	{ "compress", 'c', NULL, "write compressed clusters" },
	OPT_FORMAT("of IMAGE; found out if not given"),
	OPT_CACHE("accepted as qemu-img does"),
	OPT_SOURCE_CACHE("likewise"),
	OPT_SHARE("do not lock the backing files"),
	OPT_PROGRESS,
	OPT_QUIET,
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

static int on_rebase(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct chain_opts *o = ctx;
	enum vc_disk_format ignored;

	switch (opt->letter) {
	case 'b':
		o->base = value[0] ? value : NULL;
		return 0;
	case 'F':
		o->base_format = value;
		return parse_format(value, &ignored, err);
	case 'u':
		o->unsafe = true;
		return 0;
	default:
		o->compress = true;
		return 0;
	}
}

static const struct vc_command rebase_command = {
	.name = "qcow-tool rebase",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "Give IMAGE another backing file, or none. What it reads "
		   "stays the same: where the\ntwo differ, the data becomes "
		   "its own.",
	.options = rebase_options,
	.nr_options = VC_ARRAY_SIZE(rebase_options),
	.on_option = on_rebase,
};

static int move_data(const char *path, struct chain_opts *o,
		     struct vc_error *err)
{
	vc_auto(vc_disk) struct vc_disk *top = NULL, *base = NULL;
	struct vc_disk_open_opts oo = { .format = o->c.format,
					.writable = true,
					.allow_backing = true,
					.repair = true };
	struct vc_disk_copy_opts co = copy_opts(o);
	vc_auto_free char *full = NULL;
	enum vc_disk_format format = VC_DISK_FORMAT_RAW;
	char shown[256];

	if (vc_disk_open(path, &oo, &top, err) < 0)
		return -1;
	if (o->base) {
		if (vc_disk_resolve_name("backing file", path, o->base, &full,
					 err) < 0)
			return -1;
		if (parse_format(o->base_format, &format, err) < 0 ||
		    open_disk(full, format, false, o->c.share, &base, err) < 0)
			return vc_prefix(err, "'%s'",
					 vc_printable(full, shown,
						      sizeof(shown)));
	}
	if (vc_disk_rebase(top, base, &co, err) < 0)
		return -1;
	return vc_disk_close(vc_steal_ptr(&top), err);
}

static int run_rebase(const char *path, struct chain_opts *o, struct chain *c,
		      struct vc_error *err)
{
	struct vc_qcow2_amend_opts ao;
	vc_auto_fd int fd = -1;

	if (o->base && !o->base_format)
		return vc_fail(err, VC_E_ARG, 0,
			       "a backing file needs its format: -F");
	if (open_image(path, o->c.format, true, false, &fd, err) < 0)
		return -1;
	if (!o->unsafe && !o->c.share &&
	    chain_open(c, path, o->c.format, NULL, true, err) < 0)
		return -1;
	if (!o->unsafe && move_data(path, o, err) < 0)
		return -1;
	vc_qcow2_amend_opts_init(&ao);
	ao.backing_file = o->base ? o->base : "";
	ao.backing_format = o->base ? o->base_format : "";
	if (vc_qcow2_amend(fd, &ao, err) < 0)
		return -1;
	progress_end(&o->c.progress);
	return 0;
}

int cmd_rebase(int argc, char **argv)
{
	return chain_command(&rebase_command, argc, argv, run_rebase);
}
