/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks are collected in a buffer as long as each follows the one before, and
 * go out when that ends or at the next boundary of BUF_BYTES on the disk, so
 * that pieces are whole clusters of any image format. Several buffers are in
 * flight; a block of the disk is never in two of them: what is written twice
 * (the head of the disk, at the end) waits for all writes before.
 *
 * A container that takes writes only in ascending order, or compressed clusters,
 * cannot be written like that: then the disk is a nameless raw file beside the
 * output, sparse, which is converted at the end.
 *
 * Space of the file is taken in large steps ahead of the writes: a write to
 * blocks that the host's file system has given out already takes it half the
 * time. What was too much is given back, so a sparse file stays sparse; where
 * there is no such call, or no space left, all goes on without.
 *
 * The first error sticks and every later call reports it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/convert.h>
#include "mkimage/out.h"
#include "mkimage/pages.h"

#define NR_BUFS 3
#define BUF_BYTES OUT_ALIGN
#define RESERVE_BYTES (UINT64_C(64) * 1024 * 1024) /* of space, at a time */
/* A raw disk begins with this size, or with half of it again and again where the
 * host has no such files, and grows by steps when more is written: the most it
 * could become may be more than there can be in one file. */
#define FIRST_BYTES (UINT64_C(2) << 40)
#define FIRST_MIN_BYTES (UINT64_C(1) << 20)
#define STEP_BYTES (UINT64_C(64) << 30)
#define NR_RESERVES_FREE 4 /* as many stay free for others */
/* After so much in a row, more is expected to come. */
#define RESERVE_AFTER (UINT64_C(4) * 1024 * 1024)

struct out_buf {
	struct vc_disk_req req;
	struct iovec iov;
	struct out *out;
	uint8_t *data;
	bool is_busy;
};

struct out {
	char shown[200]; /* the path, for messages */
	char *path;
	struct out_opts opts;
	struct vc_outfile *file;
	struct vc_outfile *stage; /* raw, to be converted; or NULL */
	struct vc_disk *disk;
	struct out_buf buf[NR_BUFS];
	uint8_t *memory;     /* of all of them */
	struct out_buf *cur; /* being filled */
	uint64_t start;	     /* of cur, in bytes */
	size_t len;
	uint64_t high; /* end of the highest write so far */
	enum vc_disk_status status;
	struct vc_error why; /* has a code if the disk did not grow */

	/* Offsets in the file; of a format with clusters, estimates. */
	uint64_t file_pos;    /* where the last write ended */
	uint64_t file_run;    /* where the writes in a row up to it began */
	uint64_t reserved_to; /* end of the space taken ahead; 0: none */
	uint64_t top;	      /* end of the highest write so far */
	bool cannot_reserve;
};

static int fail(const struct out *o, struct vc_error *err)
{
	if (o->why.code) {
		*err = o->why; /* the disk names itself */
		return -1;
	}
	return vc_fail(err, VC_E_SYS, vc_disk_status_errno(o->status),
		       "'%s': write", o->shown);
}

static void write_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct out_buf *b = vc_container_of(req, struct out_buf, req);

	b->is_busy = false;
	if (status != VC_DISK_OK && b->out->status == VC_DISK_OK)
		b->out->status = status;
}

/* --- space ---------------------------------------------------------------- */

static int file_fd(const struct out *o)
{
	return vc_outfile_get_fd(o->stage ? o->stage : o->file);
}

static bool is_raw(const struct out *o)
{
	return o->stage || o->opts.format == VC_DISK_FORMAT_RAW;
}

/* Give back the space that was taken ahead and not used. Nothing was ever
 * written to it: it lies above all that was, and is given back before anything
 * but the next write of the row can get there. */
static void give_back(struct out *o)
{
	if (is_raw(o) && o->reserved_to > o->file_pos &&
	    fallocate(file_fd(o), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)o->file_pos,
		      (off_t)(o->reserved_to - o->file_pos)))
		o->cannot_reserve = true; /* it stays taken: no harm */
	if (is_raw(o))
		o->reserved_to = 0;
}

/* Nobody else is to run out of space because of what is not used. */
static bool has_room(const struct out *o)
{
	struct statvfs st;

	return !fstatvfs(file_fd(o), &st) &&
	       st.f_bavail * st.f_frsize >= NR_RESERVES_FREE * RESERVE_BYTES;
}

/* Something is about to be written. */
static void note_write(struct out *o, uint64_t offset, uint64_t len)
{
	/* clusters of an image follow each other in the file whatever their
	 * places on the disk */
	if (is_raw(o) && offset != o->file_pos) {
		give_back(o);
		o->file_pos = o->file_run = offset;
	}
	o->file_pos += len;
	if (o->top < offset + len)
		o->top = offset + len;
}

/* The same, and if it belongs to many in a row, space for more of them. */
static void reserve(struct out *o, uint64_t offset, uint64_t len)
{
	note_write(o, offset, len);
	if (o->cannot_reserve || (is_raw(o) && o->file_pos < o->top) ||
	    o->file_pos - o->file_run < RESERVE_AFTER ||
	    o->file_pos + RESERVE_AFTER <= o->reserved_to)
		return;
	if (!o->reserved_to)
		o->reserved_to = o->file_pos - len;
	o->cannot_reserve =
		!has_room(o) ||
		fallocate(file_fd(o), FALLOC_FL_KEEP_SIZE,
			  (off_t)o->reserved_to, (off_t)RESERVE_BYTES);
	/* a failure may have taken a part */
	o->reserved_to += RESERVE_BYTES;
	if (o->cannot_reserve)
		give_back(o);
}

/* The file has its length: give back what was taken ahead behind its end. */
static void trim(struct out *o)
{
	struct stat st;

	/* a hole cannot be punched behind the end, but cut off */
	if (o->reserved_to && !fstat(file_fd(o), &st) &&
	    ftruncate(file_fd(o), st.st_size))
		return; /* it stays taken, and does no harm */
}

/* --- blocks --------------------------------------------------------------- */

/* May a file of the host be smaller, if it cannot be as large as that? A file
 * system without holes fills it at once. */
static bool is_too_large(const struct vc_error *err)
{
	return err->sys == EFBIG || err->sys == ENOSPC;
}

/* Something is about to be written that ends at `end`. */
static void make_room(struct out *o, uint64_t end)
{
	struct vc_error err = { 0 };
	uint64_t step, size;

	if (end <= vc_disk_get_size(o->disk) || !is_raw(o))
		return;
	vc_disk_drain(o->disk);
	for (step = STEP_BYTES; step >= OUT_BLOCK; step /= 2) {
		size = vc_min_u64(vc_align_up(end, step), o->opts.max_bytes);
		if (!vc_disk_set_size(o->disk, size, &err))
			return;
		if (!is_too_large(&err))
			break;
	}
	o->why = err;
	o->status = VC_DISK_EIO;
}

static void send_cur(struct out *o)
{
	struct out_buf *b = o->cur;

	if (!b)
		return;
	o->cur = NULL;
	make_room(o, o->opts.base_bytes + o->start + o->len);
	reserve(o, o->opts.base_bytes + o->start, o->len);
	b->iov = (struct iovec){ b->data, o->len };
	b->req = (struct vc_disk_req){
		.op = VC_DISK_WRITE,
		.offset_bytes = o->opts.base_bytes + o->start,
		.length_bytes = o->len,
		.iov = &b->iov,
		.nr_iov = 1,
		.done = write_done,
	};
	b->is_busy = true;
	vc_disk_submit(o->disk, &b->req);
	vc_disk_kick(o->disk);
}

/* All that was written so far is in the image, or has failed. */
static void settle(struct out *o)
{
	send_cur(o);
	vc_disk_drain(o->disk);
}

static void get_buf(struct out *o)
{
	int i;

	for (;;) {
		for (i = 0; i < NR_BUFS; i++) {
			if (!o->buf[i].is_busy) {
				o->cur = &o->buf[i];
				return;
			}
		}
		vc_disk_poll(o->disk, true);
	}
}

uint8_t *out_block(struct out *o, uint64_t nr, struct vc_error *err)
{
	uint64_t at = nr * OUT_BLOCK;
	uint8_t *ret;

	if (o->cur && (at != o->start + o->len || !(at & (BUF_BYTES - 1))))
		send_cur(o);
	if (o->status != VC_DISK_OK) {
		fail(o, err);
		return NULL;
	}
	if (!o->cur) {
		if (at < o->high)
			settle(o);
		get_buf(o);
		o->start = at;
		o->len = 0;
	}
	ret = o->cur->data + o->len;
	o->len += OUT_BLOCK;
	if (at + OUT_BLOCK > o->high)
		o->high = at + OUT_BLOCK;
	return ret;
}

int out_write(struct out *o, uint64_t nr, const void *data, size_t count,
	      struct vc_error *err)
{
	const uint8_t *p = data;
	uint8_t *to;

	for (; count; count--, nr++, p += OUT_BLOCK) {
		to = out_block(o, nr, err);
		if (!to)
			return -1;
		memcpy(to, p, OUT_BLOCK);
	}
	return 0;
}

int out_zero(struct out *o, uint64_t nr, uint64_t count, struct vc_error *err)
{
	settle(o);
	if (o->status == VC_DISK_OK)
		make_room(o, o->opts.base_bytes + (nr + count) * OUT_BLOCK);
	if (o->status != VC_DISK_OK)
		return fail(o, err);
	return vc_disk_zero(o->disk, o->opts.base_bytes + nr * OUT_BLOCK,
			    count * OUT_BLOCK, err);
}

/* --- bytes ---------------------------------------------------------------- */

int out_disk_pwrite(struct out *o, uint64_t offset, const void *data,
		    size_t len, struct vc_error *err)
{
	settle(o);
	if (o->status != VC_DISK_OK)
		return fail(o, err);
	make_room(o, offset + len);
	if (o->status != VC_DISK_OK)
		return fail(o, err);
	note_write(o, offset, len);
	return vc_disk_write(o->disk, offset, data, len, err);
}

int out_pwrite(struct out *o, uint64_t offset, const void *data, size_t len,
	       struct vc_error *err)
{
	return out_disk_pwrite(o, o->opts.base_bytes + offset, data, len, err);
}

int out_pread(struct out *o, uint64_t offset, void *data, size_t len,
	      struct vc_error *err)
{
	settle(o);
	if (o->status != VC_DISK_OK)
		return fail(o, err);
	return vc_disk_read(o->disk, o->opts.base_bytes + offset, data, len,
			    err);
}

/* --- the file ------------------------------------------------------------- */

int out_temp(const struct out *o, struct vc_outfile **ret, struct vc_error *err)
{
	return vc_outfile_open(o->path, true, ret, err);
}

static bool needs_stage(const struct out_opts *opts)
{
	return opts->compression != VC_DISK_COMPRESSION_NONE ||
	       vc_disk_format_is_sequential(opts->format);
}

/* One more handle on the disk in the file `fd`. */
static int open_again(const struct out *o, int fd, enum vc_disk_format format,
		      bool writable, struct vc_disk **ret, struct vc_error *err)
{
	const struct vc_disk_open_opts opts = {
		.format = format,
		.writable = writable,
		.no_sync = !o->opts.sync || o->stage,
		.name = o->shown,
	};

	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': open", o->shown);
	if (vc_disk_open_fd(fd, &opts, NULL, ret, err)) {
		vc_close(&fd);
		return -1;
	}
	return 0;
}

static int reopen_stage(void *opaque, struct vc_disk **ret,
			struct vc_error *err)
{
	const struct out *o = opaque;

	return open_again(o, vc_outfile_get_fd(o->stage), VC_DISK_FORMAT_RAW,
			  false, ret, err);
}

/* From the stage to the output. */
static int convert(struct out *o, struct vc_error *err)
{
	const struct vc_disk_create_opts create = {
		.format = o->opts.format,
		.size_bytes = vc_disk_get_size(o->disk),
		.compression_level = o->opts.level,
		.compression = o->opts.compression,
	};
	const struct vc_convert_source from = {
		.disk = o->disk,
		.reopen = reopen_stage,
		.opaque = o,
	};
	const struct vc_convert_opts opts = {
		.granule = OUT_BLOCK,
		.dst_is_zero = true,
		.compress = o->opts.compression != VC_DISK_COMPRESSION_NONE,
		.level = (int)o->opts.level,
		.progress = o->opts.progress,
	};
	vc_auto(vc_disk) struct vc_disk *to = NULL;
	const int fd = vc_outfile_get_fd(o->file);

	if (vc_disk_create(fd, &create, err))
		return vc_prefix(err, "'%s'", o->shown);
	if (open_again(o, fd, o->opts.format, true, &to, err) ||
	    vc_disk_convert(&from, 1, to, &opts, NULL, err) ||
	    vc_disk_close(vc_steal_ptr(&to), err))
		return -1;
	return 0;
}

static int open_disk(struct out *o, struct vc_error *err)
{
	struct vc_disk_create_opts create = {
		.format = o->stage ? VC_DISK_FORMAT_RAW : o->opts.format,
		.size_bytes = o->opts.max_bytes,
	};
	const int fd = vc_outfile_get_fd(o->stage ? o->stage : o->file);

	if (is_raw(o))
		create.size_bytes = vc_min_u64(create.size_bytes, FIRST_BYTES);
	while (vc_disk_create(fd, &create, err)) {
		if (!is_raw(o) || !is_too_large(err) ||
		    create.size_bytes < 2 * FIRST_MIN_BYTES)
			return vc_prefix(err, "'%s'", o->shown);
		create.size_bytes =
			vc_align_up(create.size_bytes / 2, OUT_BLOCK);
	}
	return open_again(o, fd, create.format, true, &o->disk, err);
}

static int alloc_bufs(struct out *o, struct vc_error *err)
{
	const size_t len = NR_BUFS * BUF_BYTES;
	int i;

	o->memory = pages_alloc(len);
	if (!o->memory)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	for (i = 0; i < NR_BUFS; i++) {
		o->buf[i].out = o;
		o->buf[i].data = o->memory + (size_t)i * BUF_BYTES;
	}
	return 0;
}

int out_create(const char *path, const struct out_opts *opts, struct out **ret,
	       struct vc_error *err)
{
	vc_auto(out) struct out *o = calloc(1, sizeof(*o));

	if (!o)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	vc_printable(path, o->shown, sizeof(o->shown));
	o->opts = *opts;
	o->path = strdup(path);
	if (!o->path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	if (!opts->is_plain && alloc_bufs(o, err))
		return -1;
	if (vc_outfile_open(path, opts->force, &o->file, err))
		return -1;
	vc_outfile_set_sync(o->file, opts->sync);
	vc_outfile_keep_old(o->file);
	if (!opts->is_plain && needs_stage(opts) && out_temp(o, &o->stage, err))
		return -1;
	if (!opts->is_plain && open_disk(o, err))
		return -1;
	*ret = vc_steal_ptr(&o);
	return 0;
}

int out_finish(struct out *o, uint64_t size_bytes, struct vc_error *err)
{
	if (o->opts.is_plain)
		return 0;
	settle(o);
	if (o->status != VC_DISK_OK)
		return fail(o, err);
	give_back(o);
	if (vc_disk_set_size(o->disk, size_bytes, err))
		return -1;
	if (o->stage && convert(o, err))
		return -1;
	if (vc_disk_close(vc_steal_ptr(&o->disk), err))
		return -1;
	if (!o->stage)
		trim(o);
	return 0;
}

int out_get_fd(const struct out *o)
{
	return vc_outfile_get_fd(o->file);
}

int out_sync(struct out *o, struct vc_error *err)
{
	return vc_outfile_sync(o->file, err);
}

struct vc_outfile *out_take_file(struct out *o)
{
	return vc_steal_ptr(&o->file);
}

struct out *out_abort(struct out *o)
{
	if (!o)
		return NULL;
	if (o->disk)
		vc_disk_drain(o->disk);
	vc_disk_drop(o->disk);
	vc_outfile_abort(o->stage);
	vc_outfile_abort(o->file);
	free(o->memory);
	free(o->path);
	free(o);
	return NULL;
}
