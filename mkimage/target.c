/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "mkimage/target.h"

const char *const target_fs_names[] = { "ext4", "squashfs", "cpio", NULL };

struct target {
	const struct target_opts *opts; /* borrowed */
	struct out *out;
	struct writer *writer;
};

static uint64_t max_bytes(const struct target_opts *opts)
{
	return opts->fs == TARGET_EXT4 ? ext4_max_bytes(opts->ext4)
				       : SQUASHFS_MAX_BYTES;
}

static int open_writer(struct target *t, struct warnings *warn,
		       struct vc_error *err)
{
	const struct target_opts *o = t->opts;

	switch (o->fs) {
	case TARGET_SQUASHFS:
		return squashfs_new(t->out, o->squashfs, warn, &t->writer, err);
	case TARGET_CPIO:
		return cpio_new(t->out, o->cpio, warn, &t->writer, err);
	case TARGET_EXT4:
		break;
	}
	return ext4_new(t->out, o->ext4, &t->writer, err);
}

int target_open(const struct target_opts *opts, struct warnings *warn,
		struct target **ret, struct writer **ret_writer,
		struct vc_error *err)
{
	vc_auto(target) struct target *t = calloc(1, sizeof(*t));
	struct out_opts out = opts->out;

	if (!t)
		return vc_fail(err, VC_E_SYS, ENOMEM, "image");
	t->opts = opts;
	out.is_plain = opts->fs == TARGET_CPIO;
	out.max_bytes = max_bytes(opts);
	if (out_create(opts->path, &out, &t->out, err) ||
	    open_writer(t, warn, err))
		return -1;
	*ret_writer = t->writer;
	*ret = vc_steal_ptr(&t);
	return 0;
}

/* A disk has the size that was asked for, if its file system is smaller. */
static uint64_t disk_bytes(const struct target *t,
			   const struct target_report *r)
{
	const struct target_opts *o = t->opts;

	if (o->fs == TARGET_EXT4 && o->ext4->size_bytes)
		return o->ext4->size_bytes;
	return r->writer.size;
}

int target_finish(struct target *t, struct tree *tree, int64_t time,
		  struct target_report *ret, struct vc_error *err)
{
	struct target_report r = { 0 };
	struct stat st;

	if (t->writer->ops->finish(t->writer, tree, time, &r.writer, err))
		return -1;
	r.disk_bytes = disk_bytes(t, &r);
	if (out_finish(t->out, r.disk_bytes, err))
		return -1;
	if (fstat(out_get_fd(t->out), &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "output");
	r.file_bytes = (uint64_t)st.st_size;
	if (out_commit(vc_steal_ptr(&t->out), err))
		return -1;
	*ret = r;
	return 0;
}

struct target *target_close(struct target *t)
{
	if (!t)
		return NULL;
	if (t->writer)
		t->writer->ops->free(t->writer);
	out_abort(t->out);
	free(t);
	return NULL;
}
