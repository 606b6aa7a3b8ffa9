/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Images with what they name: backing files, external data files, components.
 *
 * Such a name comes from the image, that is from whoever made it: it is
 * followed only if the caller allows that, is taken as a file name and nothing
 * else (no "json:", no "nbd://"), and its format is the one the image states,
 * never probed. (A list of components states none; composite/composite.c says
 * what follows.) A name is relative to the folder of the image that holds it.
 *
 * A process in a jail has no files to open. It has an opener instead, which asks
 * somebody outside; what is asked for was joined to the names above it, so that
 * the other side need not know which image asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <vmmcore/composite.h>
#include "disk/disk.h"

/* Opened because one was: a chain for each of many components has no end. */
#define MAX_FILES VC_COMPOSITE_MAX_COMPONENTS
#define MIN_CHAIN_CACHE (64u << 10)

/* O_NONBLOCK: a fifo is refused later, not waited for. */
static int open_flags(bool writable)
{
	return (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK |
	       O_NOCTTY;
}

/* More carefully than a name from the user: only files and block devices, and
 * nothing of the kernel's own file systems (where reading, and even opening, may
 * do anything). */
int vc_disk_open_named(const char *what, const char *path, bool writable,
		       struct vc_error *err)
{
	struct statfs fs;
	struct stat st;
	char shown[256];
	int fd;

	vc_printable(path, shown, sizeof(shown));
	if (stat(path, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s '%s': open", what,
			       shown);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s '%s': neither a file nor a block device",
			       what, shown);
	fd = open(path, open_flags(writable));
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s '%s': open", what,
			       shown);
	/* not of what took its place meanwhile either */
	if (fstat(fd, &st) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		close(fd);
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s '%s': neither a file nor a block device",
			       what, shown);
	}
	if (fstatfs(fd, &fs) == 0 &&
	    (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	     fs.f_type == DEBUGFS_MAGIC || fs.f_type == TRACEFS_MAGIC)) {
		close(fd);
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s '%s': not on a real file system", what,
			       shown);
	}
	return fd;
}

int vc_disk_resolve_name(const char *what, const char *path, const char *name,
			 char **ret, struct vc_error *err)
{
	size_t n = strcspn(name, ":/");
	const char *slash = strrchr(path, '/');
	char shown[200];

	if (!name[0] || name[n] == ':')
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s '%s': not a file name", what,
			       vc_printable(name, shown, sizeof(shown)));
	if (name[0] == '/' || !slash)
		*ret = strdup(name);
	else if (asprintf(ret, "%.*s%s", (int)(slash + 1 - path), path, name) <
		 0)
		*ret = NULL;
	return *ret ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "%s", what);
}

static int backing_format(const struct vc_disk_info *info,
			  enum vc_disk_format *ret, struct vc_error *err)
{
	char shown[sizeof(info->backing_format) * 4];
	int i;

	if (!info->backing_format[0])
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "backing file: the image does not say its "
			       "format");
	for (i = 0; vc_disk_format_names[i]; i++)
		if (!strcmp(vc_disk_format_names[i], info->backing_format)) {
			*ret = (enum vc_disk_format)(i + 1);
			return 0;
		}
	return vc_fail(err, VC_E_UNSUPPORTED, 0, "backing format '%s'",
		       vc_printable(info->backing_format, shown,
				    sizeof(shown)));
}

/* Where in all that one image names another one is. */
struct chain {
	const char *what; /* NULL: the user named it */
	unsigned depth;
	unsigned nr_nested; /* composites around it */
	unsigned *nr_files; /* opened so far, for the user's one */
};

static int open_chain(const char *path, const struct vc_disk_open_opts *opts,
		      const struct chain *chain, struct vc_disk **ret,
		      struct vc_error *err);

static int open_backing(const struct vc_disk_info *info, const char *path,
			const struct vc_disk_open_opts *opts,
			const struct chain *chain, struct vc_disk **ret,
			struct vc_error *err)
{
	struct vc_disk_open_opts sub = *opts;
	struct chain next = *chain;
	vc_auto_free char *name = NULL;

	if (!info->backing_file[0])
		return 0;
	next.what = "backing file";
	if (++next.depth >= VC_DISK_MAX_DEPTH)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "backing chain: deeper than %d, or a loop",
			       VC_DISK_MAX_DEPTH);
	if (vc_disk_resolve_name(next.what, path, info->backing_file, &name,
				 err) < 0 ||
	    backing_format(info, &sub.format, err) < 0)
		return -1;
	sub.writable = false;
	/* what is said for one is about what all of a chain take */
	if (sub.cache_bytes / 2 >= MIN_CHAIN_CACHE)
		sub.cache_bytes /= 2;
	sub.snapshot = sub.snapshot_id = sub.snapshot_name = NULL;
	sub.name = NULL;
	sub.data_file = NULL;
	return open_chain(name, &sub, &next, ret, err);
}

static int open_by_name(const char *what, const char *path,
			const struct vc_disk_open_opts *opts,
			struct vc_error *err)
{
	struct vc_disk_opener *o = opts->opener;

	return o ? o->open(o, what, path, opts->writable, err)
		 : vc_disk_open_named(what, path, opts->writable, err);
}

static int open_data_file(const struct vc_disk_info *info, const char *path,
			  const struct vc_disk_open_opts *opts,
			  struct vc_disk *backing, struct vc_disk **ret,
			  struct vc_error *err)
{
	static const char what[] = "external data file";
	struct vc_disk_open_opts sub = *opts;
	vc_auto_free char *name = NULL;
	vc_auto_fd int fd = -1;

	if (!info->has_data_file || opts->data_file)
		return 0;
	if (vc_disk_resolve_name(what, path, info->data_file, &name, err) < 0)
		return -1;
	fd = open_by_name(what, name, opts, err);
	if (fd < 0)
		return -1;
	sub.format = VC_DISK_FORMAT_RAW;
	sub.name = name;
	if (backing)
		sub.io_with = backing;
	if (disk_open_image(fd, &sub, NULL, ret, err) < 0)
		return vc_prefix(err, what);
	(void)vc_steal_fd(&fd);
	return 0;
}

static int open_component(const char *path,
			  const struct vc_composite_component *c,
			  const struct vc_disk_open_opts *opts,
			  struct vc_disk *first, const struct chain *chain,
			  struct vc_disk **ret, struct vc_error *err)
{
	struct vc_disk_open_opts sub = *opts;
	vc_auto_free char *name = NULL;

	if (vc_disk_resolve_name("component", path, c->path, &name, err) < 0)
		return -1;
	sub.format = VC_DISK_FORMAT_PROBE;
	sub.writable = opts->writable && c->is_writable;
	if (first)
		sub.io_with = first;
	sub.name = NULL;
	return open_chain(name, &sub, chain, ret, err);
}

/* The disks of a composite; what was opened before a failure is the caller's
 * to drop. */
static int open_components(const struct vc_composite *list, const char *path,
			   const struct vc_disk_open_opts *opts,
			   const struct chain *chain, struct vc_disk **ret,
			   struct vc_error *err)
{
	struct chain next = *chain;
	unsigned i;

	next.what = "component";
	next.depth++;
	if (++next.nr_nested > VC_COMPOSITE_MAX_DEPTH)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "composites in composites: deeper than %d, or "
			       "a loop",
			       VC_COMPOSITE_MAX_DEPTH);
	for (i = 0; i < list->nr_components; i++)
		if (open_component(path, &list->components[i], opts, ret[0],
				   &next, &ret[i], err) < 0)
			return -1;
	return 0;
}

static int open_composite(int fd, const char *path,
			  const struct vc_disk_open_opts *opts,
			  const struct chain *chain, struct vc_disk **ret,
			  struct vc_error *err)
{
	vc_auto(vc_composite) struct vc_composite *list = NULL;
	vc_auto_free struct vc_disk **disks = NULL;
	struct vc_disk_open_opts with = *opts;
	unsigned i;
	int result;

	if (vc_composite_list(fd, &list, err) < 0)
		return -1;
	disks = calloc(list->nr_components, sizeof(struct vc_disk *));
	if (!disks)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	result = open_components(list, path, opts, chain, disks, err);
	if (result == 0) {
		with.components = disks;
		with.nr_components = list->nr_components;
		result = disk_open_image(fd, &with, NULL, ret, err);
	}
	for (i = 0; result < 0 && i < list->nr_components; i++)
		vc_disk_drop(disks[i]);
	return result;
}

/* The image `fd` (owned on success) with what it names; `path` is its own name,
 * which those are relative to. */
static int open_chain_fd(int fd, const char *path,
			 const struct vc_disk_open_opts *opts,
			 const struct chain *chain, struct vc_disk **ret,
			 struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto(vc_disk) struct vc_disk *backing = NULL, *data = NULL;
	struct vc_disk_open_opts with_name = *opts;
	char shown[256];

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	if (!with_name.name)
		with_name.name = path;
	vc_printable(with_name.name, shown, sizeof(shown));
	if (with_name.format == VC_DISK_FORMAT_PROBE &&
	    disk_probe(fd, &with_name.format, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	if (opts->allow_backing && !opts->nr_components &&
	    with_name.format == VC_DISK_FORMAT_COMPOSITE) {
		if (open_composite(fd, path, &with_name, chain, ret, err) < 0)
			return chain->what ? -1 : vc_prefix(err, "'%s'", shown);
		return 0;
	}
	if (opts->allow_backing &&
	    (vc_disk_info_fd(fd, with_name.format, info, err) < 0 ||
	     open_backing(info, path, &with_name, chain, &backing, err) < 0 ||
	     open_data_file(info, path, &with_name, backing, &data, err) < 0))
		return chain->what ? -1 : vc_prefix(err, "'%s'", shown);
	if (data)
		with_name.data_file = data;
	if (disk_open_image(fd, &with_name, backing, ret, err) < 0)
		return -1;
	backing = data = NULL;
	return 0;
}

static int open_chain(const char *path, const struct vc_disk_open_opts *opts,
		      const struct chain *chain, struct vc_disk **ret,
		      struct vc_error *err)
{
	vc_auto_fd int fd = -1;

	if (++*chain->nr_files > MAX_FILES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d files for one disk", MAX_FILES);
	fd = chain->what ? open_by_name(chain->what, path, opts, err)
			 : vc_open(path, open_flags(opts->writable), 0, err);
	if (fd < 0 || open_chain_fd(fd, path, opts, chain, ret, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	return 0;
}

int vc_disk_open(const char *path, const struct vc_disk_open_opts *opts,
		 struct vc_disk **ret, struct vc_error *err)
{
	unsigned nr_files = 0;
	const struct chain chain = { .nr_files = &nr_files };

	return open_chain(path, opts, &chain, ret, err);
}

int vc_disk_open_fd(int fd, const struct vc_disk_open_opts *opts,
		    struct vc_disk *backing, struct vc_disk **ret,
		    struct vc_error *err)
{
	unsigned nr_files = 0;
	const struct chain chain = { .nr_files = &nr_files };

	if (opts->allow_backing && opts->opener && !backing)
		return open_chain_fd(fd, "", opts, &chain, ret, err);
	return disk_open_image(fd, opts, backing, ret, err);
}
