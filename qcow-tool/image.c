/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "qcow-tool/image.h"
#include "qcow-tool/options.h"

int image_open(struct image *im, const char *path,
	       const struct vc_disk_open_opts *opts, struct vc_error *err)
{
	*im = (struct image){ path, *opts, NULL };
	if (vc_disk_open(path, opts, &im->disk, err) < 0)
		return -1;
	im->opts.format = vc_disk_get_format(im->disk);
	return 0;
}

int parse_snapshot(const char *value, struct snapshot_name *ret,
		   struct vc_error *err)
{
	const char *key, *v;
	char *rest;

	snapshot_name_fini(ret);
	ret->text = strdup(value);
	if (!ret->text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "option");
	if (strncmp(value, "snapshot.", strlen("snapshot.")) != 0) {
		ret->any = ret->text;
		return 0;
	}
	for (rest = ret->text; next_pair(&rest, &key, &v);) {
		if (v && !strcmp(key, "snapshot.id"))
			ret->id = v;
		else if (v && !strcmp(key, "snapshot.name"))
			ret->name = v;
		else
			return vc_fail(err, VC_E_ARG, 0,
				       "neither snapshot.id=ID nor "
				       "snapshot.name=NAME");
	}
	return 0;
}

void snapshot_name_fini(struct snapshot_name *s)
{
	free(s->text);
	*s = (struct snapshot_name){ NULL, NULL, NULL, NULL };
}

void snapshot_name_use(const struct snapshot_name *s,
		       struct vc_disk_open_opts *opts)
{
	opts->snapshot = s->any;
	opts->snapshot_id = s->id;
	opts->snapshot_name = s->name;
}

void image_fini(struct image *im)
{
	im->disk = vc_disk_drop(im->disk);
}

/* Through the page cache a copy is bound by the CPU: a thread that copies is
 * faster than one that has the kernel's threads copy. */
enum vc_disk_io image_io(bool direct)
{
	return direct ? VC_DISK_IO_AUTO : VC_DISK_IO_SYNC;
}

/* The first handle holds the lock. */
static int reopen(void *opaque, struct vc_disk **ret, struct vc_error *err)
{
	const struct image *im = opaque;
	struct vc_disk_open_opts opts = im->opts;

	opts.lock = false;
	opts.no_verify = true;
	opts.io = image_io(opts.direct);
	return vc_disk_open(im->path, &opts, ret, err);
}

struct vc_convert_source image_source(struct image *im)
{
	return (struct vc_convert_source){ .disk = im->disk,
					   .reopen = reopen,
					   .opaque = im };
}

bool is_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

int open_output(const char *path, bool keep, struct vc_outfile **ret,
		struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	char shown[256];
	struct stat st;

	vc_printable(path, shown, sizeof(shown));
	if (stat(path, &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		if (keep)
			return vc_fail(err, VC_E_SYS, EEXIST,
				       "'%s': not replaced", shown);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd >= 0 && vc_disk_lock_fd(fd, true, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	if (fd >= 0 && S_ISBLK(st.st_mode))
		return vc_outfile_open_device(path, ret, err);
	return vc_outfile_open(path, !keep, ret, err);
}
