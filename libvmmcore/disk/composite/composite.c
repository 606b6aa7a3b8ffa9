/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A composite disk is its components: a request is cut where they meet, each
 * piece goes to the disk of its component, and the request is done when all
 * pieces are. Those disks are the `parts` of this one, on one engine.
 *
 * The list does not say which format a component has; it is found out when the
 * component is opened, and that is all a guest needs that may write to a raw
 * one: at the next start its bytes would be taken for a header. So a writable
 * component that was found to be raw takes no write that would make its first
 * sector look like something else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/composite/composite.h"

#define GUARD_BYTES VC_DISK_SECTOR

struct cp_piece {
	struct vc_disk_req req;
	struct cp_job *job;
	struct cp_piece *next; /* while free */
	struct iovec *heap;    /* malloc'ed, if small does not do */
	struct iovec small[ENG_SMALL_IOV];
};

struct cp_job {
	struct cp_disk *disk;
	struct vc_disk_req *req;
	unsigned nr_pending;
	enum vc_disk_status status;
	struct cp_job *next; /* while free */
};

struct cp_part {
	uint64_t offset, length, file_offset;
	bool is_writable;
	bool is_guarded;
	uint8_t head[GUARD_BYTES]; /* of the component, if so */
};

struct cp_disk {
	struct vc_disk base; /* base.parts has the disks */
	struct cp_part *parts;
	unsigned nr_parts;
	struct cp_job *free_jobs;
	struct cp_piece *free_pieces;
};

static struct cp_disk *to_cp(struct vc_disk *d)
{
	return vc_container_of(d, struct cp_disk, base);
}

/* The part that has the byte at `offset`, below the size. */
static unsigned find_part(const struct cp_disk *c, uint64_t offset)
{
	unsigned low = 0, high = c->nr_parts;

	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;

		if (c->parts[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* --- the guard ------------------------------------------------------------*/

/* What a write leaves in the first sector of a guarded component. False: that
 * must not be. */
static bool guard_write(struct cp_part *p, const struct vc_disk_req *req,
			uint64_t pos, uint64_t file_offset, uint64_t len)
{
	uint8_t head[GUARD_BYTES];

	if (!p->is_guarded || file_offset >= GUARD_BYTES)
		return true;
	len = vc_min_u64(len, GUARD_BYTES - file_offset);
	memcpy(head, p->head, sizeof(head));
	if (req->op == VC_DISK_WRITE)
		disk_iov_get(req->iov, pos, head + file_offset, len);
	else
		memset(head + file_offset, 0, (size_t)len);
	if (disk_probe_head(head, sizeof(head)) != VC_DISK_FORMAT_RAW)
		return false;
	memcpy(p->head, head, sizeof(head));
	return true;
}

/* --- requests -------------------------------------------------------------*/

static void job_put(struct cp_job *job)
{
	struct cp_disk *c = job->disk;

	if (--job->nr_pending)
		return;
	disk_complete(&c->base, job->req, job->status);
	job->next = c->free_jobs;
	c->free_jobs = job;
}

static void piece_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct cp_piece *piece = vc_container_of(req, struct cp_piece, req);
	struct cp_job *job = piece->job;

	if (status != VC_DISK_OK)
		job->status = status;
	free(piece->heap);
	piece->next = job->disk->free_pieces;
	job->disk->free_pieces = piece;
	job_put(job);
}

static bool set_iov(struct cp_piece *piece, const struct vc_disk_req *from,
		    uint64_t pos, uint64_t len)
{
	struct eng_io io;

	/* what the engine does for its own */
	if (!eng_io_set_iov(&io, from->iov, from->nr_iov, pos, len))
		return false;
	piece->heap = io.heap;
	if (!io.heap)
		memcpy(piece->small, io.small, sizeof(piece->small));
	piece->req.iov = io.heap ? io.heap : piece->small;
	piece->req.nr_iov = io.nr_iov;
	return true;
}

/* `len` bytes at `pos` of the request go to a part, at `offset` there. */
static void start_piece(struct cp_job *job, unsigned nr, uint64_t pos,
			uint64_t offset, uint64_t len)
{
	struct cp_disk *c = job->disk;
	const struct vc_disk_req *from = job->req;
	struct cp_piece *piece = c->free_pieces;

	if (piece)
		c->free_pieces = piece->next;
	else
		piece = malloc(sizeof(*piece));
	if (!piece) {
		job->status = VC_DISK_EIO;
		return;
	}
	piece->job = job;
	piece->heap = NULL;
	piece->req = (struct vc_disk_req){
		.op = from->op,
		.flags = from->flags & VC_DISK_REQ_UNMAP,
		.offset_bytes = offset,
		.length_bytes = len,
		.done = piece_done,
	};
	if ((from->op == VC_DISK_READ || from->op == VC_DISK_WRITE) &&
	    !set_iov(piece, from, pos, len)) {
		free(piece);
		job->status = VC_DISK_EIO;
		return;
	}
	job->nr_pending++;
	vc_disk_submit(c->base.parts[nr], &piece->req);
}

/* All of a request is refused, or none. */
static bool may_write(struct cp_disk *c, const struct vc_disk_req *req)
{
	uint64_t end = req->offset_bytes + req->length_bytes;
	unsigned nr = find_part(c, req->offset_bytes);

	for (; nr < c->nr_parts && c->parts[nr].offset < end; nr++)
		if (!c->parts[nr].is_writable)
			return false;
	return true;
}

static void start_pieces(struct cp_job *job)
{
	struct cp_disk *c = job->disk;
	const struct vc_disk_req *req = job->req;
	unsigned nr = find_part(c, req->offset_bytes);
	uint64_t pos = 0;

	while (pos < req->length_bytes) {
		struct cp_part *p = &c->parts[nr];
		uint64_t skip = req->offset_bytes + pos - p->offset;
		uint64_t len =
			vc_min_u64(req->length_bytes - pos, p->length - skip);
		uint64_t offset = p->file_offset + skip;

		/* a discard of what cannot be written may do nothing */
		if (req->op == VC_DISK_READ || p->is_writable) {
			if (req->op == VC_DISK_READ ||
			    guard_write(p, req, pos, offset, len))
				start_piece(job, nr, pos, offset, len);
			else
				job->status = VC_DISK_EIO;
		}
		pos += len;
		nr++;
	}
}

static struct cp_job *job_get(struct cp_disk *c, struct vc_disk_req *req)
{
	struct cp_job *job = c->free_jobs;

	if (job)
		c->free_jobs = job->next;
	else
		job = malloc(sizeof(*job));
	if (job)
		*job = (struct cp_job){ .disk = c,
					.req = req,
					.nr_pending = 1 };
	else
		disk_complete(&c->base, req, VC_DISK_EIO);
	return job;
}

static void cp_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	struct cp_disk *c = to_cp(d);
	struct cp_job *job;

	if (req->op == VC_DISK_SHARE) {
		disk_complete(d, req, VC_DISK_ENOTSUP);
		return;
	}
	if ((req->op == VC_DISK_WRITE || req->op == VC_DISK_WRITE_ZEROES) &&
	    !may_write(c, req)) {
		disk_complete(d, req, VC_DISK_EROFS);
		return;
	}
	job = job_get(c, req);
	if (!job)
		return;
	start_pieces(job);
	job_put(job);
}

static void cp_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	struct cp_disk *c = to_cp(d);
	struct cp_job *job = job_get(c, req);
	struct vc_disk_req flush = { .op = VC_DISK_FLUSH };
	unsigned i;

	if (!job)
		return;
	/* req may be a write that is to be durable */
	for (i = 0; i < c->nr_parts; i++) {
		struct cp_piece *piece;

		if (!c->parts[i].is_writable)
			continue;
		piece = malloc(sizeof(*piece));
		if (!piece) {
			job->status = VC_DISK_EIO;
			continue;
		}
		piece->job = job;
		piece->heap = NULL;
		piece->req = flush;
		piece->req.done = piece_done;
		job->nr_pending++;
		vc_disk_submit(d->parts[i], &piece->req);
	}
	job_put(job);
}

/* --- the rest -------------------------------------------------------------*/

static bool cp_probe(const uint8_t *head, size_t len)
{
	return len >= CP_MAGIC_BYTES && !memcmp(head, CP_MAGIC, CP_MAGIC_BYTES);
}

static struct vc_disk *cp_alloc(void)
{
	struct cp_disk *c = calloc(1, sizeof(*c));

	return c ? &c->base : NULL;
}

/* One component, before it is ours. */
static int check_component(const struct vc_disk *d,
			   const struct vc_composite_component *from,
			   struct vc_disk *part, bool writable,
			   struct vc_error *err)
{
	char shown[200];

	vc_printable(from->path, shown, sizeof(shown));
	if (part->engine != d->engine)
		return vc_fail(err, VC_E_ARG, 0,
			       "component '%s': on another engine", shown);
	/* what lies behind its end is nobody's */
	if (part->size < from->file_offset_bytes + from->length_bytes)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "component '%s': %llu bytes, %llu are needed",
			       shown, (unsigned long long)part->size,
			       (unsigned long long)(from->file_offset_bytes +
						    from->length_bytes));
	if (writable && !part->writable)
		return vc_fail(err, VC_E_ARG, 0,
			       "component '%s': not opened for writing", shown);
	if (vc_disk_is_sequential(part))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "component '%s': cannot be written", shown);
	return 0;
}

static int set_part(struct vc_disk *d,
		    const struct vc_composite_component *from,
		    struct vc_disk *disk, struct cp_part *to,
		    struct vc_error *err)
{
	*to = (struct cp_part){
		.offset = from->offset_bytes,
		.length = from->length_bytes,
		.file_offset = from->file_offset_bytes,
		.is_writable = from->is_writable && d->writable,
	};
	if (check_component(d, from, disk, to->is_writable, err) < 0)
		return -1;
	to->is_guarded = to->is_writable &&
			 vc_disk_get_format(disk) == VC_DISK_FORMAT_RAW;
	if (!to->is_guarded)
		return 0;
	return vc_disk_read(disk, 0, to->head,
			    (size_t)vc_min_u64(sizeof(to->head), disk->size),
			    err);
}

static int cp_open(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		   struct vc_error *err)
{
	vc_auto(vc_composite) struct vc_composite *list = NULL;
	struct cp_disk *c = to_cp(d);
	unsigned i;

	if (d->backing)
		return vc_fail(err, VC_E_ARG, 0,
			       "a composite disk has no backing file");
	if (vc_composite_list(d->fd, &list, err) < 0)
		return -1;
	if (!opts->nr_components)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "composite disk: its %u components may not be "
			       "opened",
			       list->nr_components);
	if (opts->nr_components != list->nr_components)
		return vc_fail(err, VC_E_ARG, 0,
			       "composite disk: %u components, not %u",
			       list->nr_components, opts->nr_components);
	c->parts = calloc(list->nr_components, sizeof(*c->parts));
	d->parts = calloc(list->nr_components, sizeof(struct vc_disk *));
	if (!c->parts || !d->parts)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	for (i = 0; i < list->nr_components; i++)
		if (set_part(d, &list->components[i], opts->components[i],
			     &c->parts[i], err) < 0)
			return vc_prefix(err, "composite disk");
	/* success: they are ours */
	memcpy(d->parts, opts->components,
	       list->nr_components * sizeof(struct vc_disk *));
	d->nr_parts = c->nr_parts = list->nr_components;
	d->size = vc_align_down(list->length_bytes, VC_DISK_SECTOR);
	return 0;
}

static int cp_close(struct vc_disk *d, struct vc_error *err)
{
	int ret = 0;
	unsigned i;

	/* all are closed, and the first error told */
	for (i = 0; i < d->nr_parts; i++) {
		struct vc_error other;

		if (vc_disk_close(vc_steal_ptr(&d->parts[i]),
				  ret ? &other : err) < 0)
			ret = -1;
	}
	d->nr_parts = 0;
	return ret;
}

static void cp_free(struct vc_disk *d)
{
	struct cp_disk *c = to_cp(d);
	struct cp_piece *piece;
	struct cp_job *job;

	while ((job = c->free_jobs)) {
		c->free_jobs = job->next;
		free(job);
	}
	while ((piece = c->free_pieces)) {
		c->free_pieces = piece->next;
		free(piece);
	}
	free(c->parts);
	free(c);
}

static int map_part(struct cp_disk *c, unsigned nr, uint64_t offset,
		    uint64_t end, struct vc_disk_extent *ret,
		    struct vc_error *err)
{
	const struct cp_part *p = &c->parts[nr];
	uint64_t len = vc_min_u64(end, p->offset + p->length) - offset;

	if (vc_disk_map(c->base.parts[nr], p->file_offset + offset - p->offset,
			len, ret, err) < 0)
		return -1;
	ret->offset_bytes = offset;
	ret->host_offset = UINT64_MAX; /* not in this file */
	ret->is_in_data_file = false;
	ret->depth = 0;
	return 0;
}

static int cp_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	struct cp_disk *c = to_cp(d);
	uint64_t end = offset + max_len, pos;

	if (map_part(c, find_part(c, offset), offset, end, ret, err) < 0)
		return -1;
	for (pos = offset + ret->length_bytes; pos < end;
	     pos = offset + ret->length_bytes) {
		struct vc_disk_extent next;

		if (map_part(c, find_part(c, pos), pos, end, &next, err) < 0)
			return -1;
		if (next.kind != ret->kind)
			break;
		ret->length_bytes += next.length_bytes;
	}
	return 0;
}

static int cp_info(int fd, struct vc_disk_info *ret, struct vc_error *err)
{
	vc_auto(vc_composite) struct vc_composite *list = NULL;

	if (vc_composite_list(fd, &list, err) < 0)
		return -1;
	ret->version = list->version;
	ret->virtual_bytes = vc_align_down(list->length_bytes, VC_DISK_SECTOR);
	ret->nr_parts = list->nr_components;
	return 0;
}

static int cp_create(int fd, const struct vc_disk_create_opts *opts,
		     struct vc_error *err)
{
	(void)fd;
	(void)opts;
	return vc_fail(err, VC_E_UNSUPPORTED, 0,
		       "a composite disk is made of images that exist");
}

static uint32_t cp_discard_granularity(const struct vc_disk *d)
{
	uint32_t max = VC_DISK_SECTOR;
	unsigned i;

	for (i = 0; i < d->nr_parts; i++) {
		uint32_t g = vc_disk_get_discard_granularity(d->parts[i]);

		if (d->parts[i]->writable && g > max)
			max = g;
	}
	return max;
}

const struct disk_ops composite_ops = {
	.name = "composite",
	.format = VC_DISK_FORMAT_COMPOSITE,
	.probe = cp_probe,
	.alloc = cp_alloc,
	.open = cp_open,
	.submit = cp_submit,
	.flush = cp_flush,
	.close = cp_close,
	.free = cp_free,
	.map = cp_map,
	.info = cp_info,
	.create = cp_create,
	.discard_granularity = cp_discard_granularity,
};
