/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of the work: the file is opened (nothing of it can be seen under
 * its name), partitions before the root get their places, the file system is
 * written from where the root begins; when its size is known, the table and
 * what the other partitions have; then the container. The caller prints its report
 * before target_commit() gives the file its name: nothing can fail after that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/hash.h"
#include "mkimage/target.h"

#define COPY_BYTES ((size_t)1024 * 1024)

const char *const target_fs_names[] = { "ext4", "squashfs", "cpio", NULL };

struct target {
	const struct target_opts *opts; /* borrowed */
	struct ext4_opts ext4;
	uint64_t root_bytes;   /* where the root begins; 0: no partitions */
	struct warnings *warn; /* borrowed */
	struct out *out;
	struct writer *writer;
	struct boot_files boot;
};

/* --- opening -------------------------------------------------------------- */

/* Where there is no room for a root, a block stands for it: that it is too small
 * is found, as always, when it is known what would be enough. */
static void set_root_size(struct target *t)
{
	struct ext4_opts *o = &t->ext4;

	if (!t->root_bytes || !o->size_bytes)
		return;
	o->disk_bytes = o->size_bytes;
	o->around_bytes = part_disk_size(t->root_bytes, 0);
	o->size_bytes = part_root_size(o->disk_bytes, t->root_bytes);
	if (!o->size_bytes)
		o->size_bytes = OUT_BLOCK;
}

static uint64_t max_bytes(const struct target *t)
{
	uint64_t max = t->opts->fs == TARGET_EXT4 ? ext4_max_bytes(&t->ext4)
						  : SQUASHFS_MAX_BYTES;

	return t->root_bytes ? part_disk_size(t->root_bytes, max) : max;
}

static int open_writer(struct target *t, struct vc_error *err)
{
	const struct target_opts *o = t->opts;

	switch (o->fs) {
	case TARGET_SQUASHFS:
		return squashfs_new(t->out, o->squashfs, t->warn, &t->writer,
				    err);
	case TARGET_CPIO:
		return cpio_new(t->out, o->cpio, t->warn, &t->writer, err);
	case TARGET_EXT4:
		break;
	}
	return ext4_new(t->out, &t->ext4, &t->writer, err);
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
	t->warn = warn;
	t->ext4 = *opts->ext4;
	if (part_place(opts->parts, &t->root_bytes, err))
		return -1;
	set_root_size(t);
	out.is_plain = opts->fs == TARGET_CPIO;
	out.base_bytes = t->root_bytes;
	out.max_bytes = max_bytes(t);
	if (out_create(opts->path, &out, &t->out, err) || open_writer(t, err))
		return -1;
	*ret_writer = t->writer;
	*ret = vc_steal_ptr(&t);
	return 0;
}

/* --- finishing ------------------------------------------------------------ */

/* A disk has the size that was asked for, if its file system is smaller. */
static int choose_size(const struct target *t, struct target_report *r,
		       struct vc_error *err)
{
	const uint64_t need =
		t->root_bytes ? part_disk_size(t->root_bytes, r->writer.size)
			      : r->writer.size;
	const uint64_t given = t->opts->disk_bytes;

	r->disk_bytes = given ? given : need;
	if (!given ||
	    r->writer.size <= (t->root_bytes
				       ? part_root_size(given, t->root_bytes)
				       : given))
		return 0;
	return vc_fail(err, VC_E_LIMIT, 0,
		       "the content does not fit in %llu bytes: it needs a "
		       "size of %lluM",
		       (unsigned long long)given,
		       (unsigned long long)need >> 20);
}

static int extract_boot(struct target *t, struct tree *tree,
			struct target_report *r, struct vc_error *err)
{
	const struct boot_opts opts = {
		.dir = t->opts->boot_dir,
		.force = t->opts->out.force,
		.sync = t->opts->out.sync,
	};

	if (!opts.dir)
		return 0;
	if (boot_find(tree, &r->boot, err))
		return -1;
	if (!r->boot.initrd &&
	    warn_add(t->warn, err,
		     "no initrd that belongs to the kernel '%s' in the image",
		     tree_show(r->boot.kernel_path).s))
		return -1;
	return boot_copy(&r->boot, t->writer, &opts, &t->boot, err);
}

/* The sha256 of the file. A hole is not read: it counts as zeroes. */
static int digest_file(const struct target_opts *o, int fd, uint64_t size,
		       struct digest_id *ret, struct vc_error *err)
{
	vc_auto_free uint8_t *zeroes = calloc(1, COPY_BYTES);
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	uint64_t pos, len, data = 0;
	struct digest d;
	off_t at;

	if (!buf || !zeroes)
		return vc_fail(err, VC_E_SYS, ENOMEM, "digest");
	digest_init(&d, DIGEST_SHA256);
	for (pos = 0; pos < size; pos += len) {
		if (o->digest_progress)
			o->digest_progress(pos, size);
		len = vc_min_u64(size - pos, COPY_BYTES);
		if (data <= pos) {
			at = lseek(fd, (off_t)pos, SEEK_DATA);
			data = at >= 0		? (uint64_t)at
			       : errno == ENXIO ? size
						: pos;
		}
		if (data >= pos + len) {
			digest_update(&d, zeroes, (size_t)len);
			continue;
		}
		if (vc_pread_full(fd, buf, (size_t)len, pos))
			return vc_fail(err, VC_E_SYS, errno, "digest: read");
		digest_update(&d, buf, (size_t)len);
	}
	digest_final(&d, ret);
	if (o->digest_progress)
		o->digest_progress(size, size);
	return 0;
}

static int look_at_file(struct target *t, struct target_report *r,
			struct vc_error *err)
{
	const int fd = out_get_fd(t->out);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "output");
	r->file_bytes = (uint64_t)st.st_size;
	if (t->opts->fs == TARGET_CPIO)
		r->disk_bytes = r->file_bytes;
	return t->opts->has_digest ? digest_file(t->opts, fd, r->file_bytes,
						 &r->digest, err)
				   : 0;
}

/* With --sync: what can still go wrong goes wrong now, while no file has a name.
 */
static int wait_for_medium(struct target *t, struct vc_error *err)
{
	if ((t->boot.kernel && vc_outfile_sync(t->boot.kernel, err)) ||
	    (t->boot.initrd && vc_outfile_sync(t->boot.initrd, err)))
		return -1;
	return out_sync(t->out, err);
}

static int write_parts(struct target *t, const struct target_report *r,
		       int64_t time, enum machine machine, struct vc_error *err)
{
	if (!t->root_bytes)
		return 0;
	if (part_set_machine(t->opts->parts, machine, err))
		return -1;
	return part_write(t->opts->parts, t->out, r->disk_bytes,
			  r->writer.identity, time, err);
}

int target_finish(struct target *t, struct tree *tree, int64_t time,
		  enum machine machine, struct target_report *ret,
		  struct vc_error *err)
{
	struct target_report r = { 0 };

	if (t->writer->ops->finish(t->writer, tree, time, &r.writer, err) ||
	    choose_size(t, &r, err) || extract_boot(t, tree, &r, err))
		return -1;
	if (t->ext4.seed)
		r.writer.identity =
			xxh64(t->ext4.seed, strlen(t->ext4.seed), 0);
	if (write_parts(t, &r, time, machine, err) ||
	    out_finish(t->out, r.disk_bytes, err) || look_at_file(t, &r, err) ||
	    wait_for_medium(t, err))
		return -1;
	*ret = r;
	return 0;
}

int target_commit(struct target *t, struct vc_error *err)
{
	struct vc_outfile *files[] = { vc_steal_ptr(&t->boot.folder),
				       vc_steal_ptr(&t->boot.kernel),
				       vc_steal_ptr(&t->boot.initrd),
				       out_take_file(t->out) };

	return vc_outfile_commit_all(files, VC_ARRAY_SIZE(files), err);
}

struct target *target_close(struct target *t)
{
	if (!t)
		return NULL;
	if (t->writer)
		t->writer->ops->free(t->writer);
	boot_abort(&t->boot);
	out_abort(t->out);
	free(t);
	return NULL;
}
