/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The public face of a disk: every check that all formats need is here, once.
 *
 * A request is in one of three places: with its format (in flight), in
 * `finished` (its result known), or with its owner. done() is only called from
 * vc_disk_poll(), of what `finished` held when the round began, so a done()
 * that submits again cannot keep poll from returning.
 *
 * A backing file, or a part of a composite disk, is a disk of its own on the
 * same engine; polling the top disk polls all below it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "disk/disk.h"

/* What we keep in vc_disk_req.priv. */
enum { PRIV_NEXT, PRIV_STATUS, PRIV_FUA, PRIV_QUEUE };

const uint8_t disk_zeroes[DISK_ZEROES_BYTES];

void disk_queue_put(struct req_queue *q, struct vc_disk_req *req)
{
	req->priv[PRIV_NEXT] = NULL;
	if (q->tail)
		q->tail->priv[PRIV_NEXT] = req;
	else
		q->head = req;
	q->tail = req;
}

struct vc_disk_req *disk_queue_get(struct req_queue *q)
{
	struct vc_disk_req *req = q->head;

	if (req) {
		q->head = req->priv[PRIV_NEXT];
		if (!q->head)
			q->tail = NULL;
	}
	return req;
}

static void finish(struct vc_disk *d, struct vc_disk_req *req,
		   enum vc_disk_status status)
{
	req->priv[PRIV_STATUS] = (void *)(uintptr_t)status;
	disk_queue_put(&d->finished, req);
	engine_wake(d->engine);
}

void disk_complete(struct vc_disk *d, struct vc_disk_req *req,
		   enum vc_disk_status status)
{
	if (status == VC_DISK_OK && req->priv[PRIV_FUA]) {
		/* the write is done: now make it durable */
		req->priv[PRIV_FUA] = NULL;
		d->ops->flush(d, req);
		return;
	}
	finish(d, req, status);
}

static uint64_t iov_total(const struct iovec *iov, int nr)
{
	uint64_t total = 0;
	int i;

	for (i = 0; i < nr; i++)
		if (vc_ckd_add(&total, total, (uint64_t)iov[i].iov_len))
			return UINT64_MAX;
	return total;
}

static enum vc_disk_status check_compressed(const struct vc_disk *d,
					    const struct vc_disk_req *req)
{
	uint32_t cluster = 0;

	if (!vc_disk_get_compression(d, &cluster))
		return VC_DISK_ENOTSUP;
	if (req->offset_bytes >= d->size || req->offset_bytes % cluster ||
	    !req->length_bytes || req->length_bytes >= cluster ||
	    req->nr_iov < 0 || req->nr_iov > VC_DISK_MAX_IOV ||
	    iov_total(req->iov, req->nr_iov) != req->length_bytes)
		return VC_DISK_ERANGE;
	return d->writable ? VC_DISK_OK : VC_DISK_EROFS;
}

static enum vc_disk_status check_request(const struct vc_disk *d,
					 const struct vc_disk_req *req)
{
	if (req->op == VC_DISK_FLUSH)
		return req->length_bytes ? VC_DISK_ERANGE : VC_DISK_OK;
	if (req->op == VC_DISK_WRITE_COMPRESSED)
		return check_compressed(d, req);
	if (!vc_range_ok(req->offset_bytes, req->length_bytes, d->size))
		return VC_DISK_ERANGE;
	if (req->op == VC_DISK_READ || req->op == VC_DISK_WRITE) {
		if (req->nr_iov < 0 || req->nr_iov > VC_DISK_MAX_IOV ||
		    iov_total(req->iov, req->nr_iov) != req->length_bytes)
			return VC_DISK_ERANGE;
	} else if (req->op == VC_DISK_SHARE) {
		uint64_t align = vc_disk_get_discard_granularity(d);

		if (!d->ops->can_share || !d->is_regular ||
		    (req->offset_bytes | req->length_bytes) & (align - 1))
			return VC_DISK_ENOTSUP;
	} else if (req->op != VC_DISK_DISCARD &&
		   req->op != VC_DISK_WRITE_ZEROES) {
		return VC_DISK_ENOTSUP;
	}
	if (req->op != VC_DISK_READ && !d->writable)
		return VC_DISK_EROFS;
	return VC_DISK_OK;
}

void disk_submit(struct vc_disk *d, struct vc_disk_req *req,
		 struct vc_disk_queue *queue)
{
	enum vc_disk_status status = check_request(d, req);

	d->nr_in_flight++;
	req->priv[PRIV_QUEUE] = queue;
	req->priv[PRIV_FUA] = NULL;
	if (req->op == VC_DISK_WRITE && (req->flags & VC_DISK_REQ_FUA))
		req->priv[PRIV_FUA] = req;
	if (status != VC_DISK_OK)
		finish(d, req, status);
	else if (req->op == VC_DISK_FLUSH && d->writable)
		d->ops->flush(d, req);
	else if (!req->length_bytes)
		disk_complete(d, req, VC_DISK_OK);
	else
		d->ops->submit(d, req);
}

void vc_disk_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	assert(!d->queues); /* then it is theirs */
	disk_submit(d, req, NULL);
}

void vc_disk_kick(struct vc_disk *d)
{
	engine_kick(d->engine);
}

int vc_disk_get_poll_fd(const struct vc_disk *d)
{
	return d->engine->event_fd;
}

void disk_call_done(struct vc_disk_req *req)
{
	uintptr_t status = (uintptr_t)req->priv[PRIV_STATUS];

	req->done(req, (enum vc_disk_status)status);
}

/* Call done() of what is finished now, in the disks below first: that may
 * finish requests of the disks above. */
static int call_done(struct vc_disk *d)
{
	struct req_queue batch;
	struct vc_disk_req *req;
	unsigned i;
	int n = 0;

	if (d->backing)
		call_done(d->backing);
	for (i = 0; i < d->nr_parts; i++)
		call_done(d->parts[i]);
	batch = d->finished;
	d->finished = (struct req_queue){ NULL, NULL };
	while ((req = disk_queue_get(&batch))) {
		d->nr_in_flight--;
		n++;
		if (req->priv[PRIV_QUEUE])
			disk_queue_finish(req->priv[PRIV_QUEUE], req);
		else
			disk_call_done(req);
	}
	return n;
}

static bool has_finished(const struct vc_disk *d)
{
	unsigned i;

	for (i = 0; i < d->nr_parts; i++)
		if (has_finished(d->parts[i]))
			return true;
	return d->finished.head || (d->backing && has_finished(d->backing));
}

int vc_disk_poll(struct vc_disk *d, bool wait)
{
	int n;

	engine_reap(d->engine, false);
	n = call_done(d);
	while (wait && !n && d->nr_in_flight) {
		/* done() of a backing file's request may have finished ours */
		engine_reap(d->engine, !has_finished(d));
		n = call_done(d);
	}
	engine_kick(d->engine); /* what done() and the formats have started */
	if (has_finished(d) || d->engine->finished.head)
		engine_wake(d->engine);
	return n;
}

void vc_disk_drain(struct vc_disk *d)
{
	while (d->nr_in_flight)
		vc_disk_poll(d, true);
}

enum vc_disk_status disk_status_of(int res)
{
	switch (res) {
	case 0:
		return VC_DISK_OK;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return VC_DISK_ENOSPC;
	case -EOPNOTSUPP:
		return VC_DISK_ENOTSUP;
	default:
		return VC_DISK_EIO;
	}
}

int disk_synced(struct vc_disk *d, int res)
{
	if (res < 0 && !d->sync_error)
		d->sync_error = res;
	return d->sync_error;
}

int disk_sync_now(struct vc_disk *d)
{
	int res = d->sync_error;

	if (!res && fdatasync(d->fd) < 0)
		res = -errno;
	if (!disk_synced(d, res))
		return 0;
	errno = -d->sync_error;
	return -1;
}

const char *vc_disk_status_str(enum vc_disk_status status)
{
	static const char *const names[] = {
		[VC_DISK_OK] = "ok",
		[VC_DISK_EIO] = "I/O error",
		[VC_DISK_ENOSPC] = "no space",
		[VC_DISK_ERANGE] = "outside the disk",
		[VC_DISK_EROFS] = "read-only",
		[VC_DISK_ENOTSUP] = "not supported",
	};

	return names[status];
}

int vc_disk_status_errno(enum vc_disk_status status)
{
	static const int numbers[] = {
		[VC_DISK_OK] = 0,	   [VC_DISK_EIO] = EIO,
		[VC_DISK_ENOSPC] = ENOSPC, [VC_DISK_ERANGE] = ERANGE,
		[VC_DISK_EROFS] = EROFS,   [VC_DISK_ENOTSUP] = EOPNOTSUPP,
	};

	return numbers[status];
}

int disk_fd_for(const struct vc_disk *d, const struct eng_io *io)
{
	uint64_t bits = io->offset | io->len;
	int i;

	if (d->direct_fd < 0)
		return d->fd;
	for (i = 0; i < io->nr_iov; i++)
		bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
	return bits & (d->direct_align - 1) ? d->fd : d->direct_fd;
}

bool disk_io_set_zeroes(struct eng_io *io, uint64_t len)
{
	size_t nr = (size_t)vc_div_round_up(len, DISK_ZEROES_BYTES), i;
	/* only ever read from */
	void *zeroes = (void *)(uintptr_t)disk_zeroes;

	io->len = len;
	io->heap = NULL;
	io->iov = io->small;
	if (nr > ENG_SMALL_IOV) {
		io->heap = malloc(nr * sizeof(*io->iov));
		if (!io->heap)
			return false;
		io->iov = io->heap;
	}
	io->nr_iov = (int)nr;
	for (i = 0; i < nr; i++) {
		size_t n = (size_t)vc_min_u64(len, DISK_ZEROES_BYTES);

		io->iov[i] = (struct iovec){ zeroes, n };
		len -= n;
	}
	return true;
}

uint64_t disk_get_memory(const struct vc_disk *d)
{
	uint64_t bytes = d->ops->memory ? d->ops->memory(d) : 0;
	unsigned i;

	for (i = 0; i < d->nr_parts; i++)
		bytes += disk_get_memory(d->parts[i]);
	return bytes + (d->backing ? disk_get_memory(d->backing) : 0);
}

enum vc_disk_format vc_disk_get_format(const struct vc_disk *d)
{
	return d->ops->format;
}

bool vc_disk_is_sequential(const struct vc_disk *d)
{
	return d->writable && d->ops->is_sequential;
}

uint64_t vc_disk_get_size(const struct vc_disk *d)
{
	return d->size;
}

bool vc_disk_is_writable(const struct vc_disk *d)
{
	return d->writable;
}

uint32_t vc_disk_get_discard_granularity(const struct vc_disk *d)
{
	return d->ops->discard_granularity(d);
}

enum vc_disk_compression vc_disk_get_compression(const struct vc_disk *d,
						 uint32_t *ret_cluster_bytes)
{
	return d->ops->compression ? d->ops->compression(d, ret_cluster_bytes)
				   : VC_DISK_COMPRESSION_NONE;
}

struct vc_disk *vc_disk_drop(struct vc_disk *d)
{
	struct vc_disk *backing, **parts;
	unsigned i, nr_parts;
	struct engine *engine;
	char *name;
	int fd, direct_fd;

	if (!d)
		return NULL;
	assert(!d->queues); /* they use it */
	if (d->engine)
		vc_disk_drain(d);
	backing = d->backing;
	parts = d->parts;
	nr_parts = d->nr_parts;
	engine = d->engine;
	name = d->name;
	fd = d->fd;
	direct_fd = d->direct_fd;
	pthread_mutex_destroy(&d->lock);
	d->ops->free(d);
	free(name);
	vc_close(&fd);
	vc_close(&direct_fd);
	for (i = 0; i < nr_parts; i++)
		vc_disk_drop(parts[i]);
	free(parts);
	vc_disk_drop(backing);
	engine_unref(engine);
	return NULL;
}

int vc_disk_close(struct vc_disk *d_owned, struct vc_error *err)
{
	vc_auto(vc_disk) struct vc_disk *d = d_owned;

	vc_disk_drain(d);
	if (!d->writable)
		return 0;
	if (vc_disk_flush(d, err) < 0)
		return -1;
	if (d->ops->close && d->ops->close(d, err) < 0)
		return vc_prefix(err, "%s: close", d->name);
	return 0;
}

int vc_disk_set_size(struct vc_disk *d, uint64_t size, struct vc_error *err)
{
	if (!d->writable || size % VC_DISK_SECTOR || size > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_ARG, 0, "%s: set size to %llu",
			       d->name, (unsigned long long)size);
	if (!d->ops->set_size)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s: set size: %s cannot", d->name,
			       d->ops->name);
	vc_disk_drain(d);
	if (d->ops->set_size(d, size, err) < 0)
		return vc_prefix(err, "%s: set size", d->name);
	d->size = size;
	return 0;
}

int vc_disk_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		struct vc_disk_extent *ret, struct vc_error *err)
{
	if (offset >= d->size || !max_len)
		return vc_fail(err, VC_E_ARG, 0, "%s: map: outside the disk",
			       d->name);
	max_len = vc_min_u64(max_len, d->size - offset);
	vc_disk_drain(d);
	if (d->ops->map(d, offset, max_len, ret, err) < 0)
		return vc_prefix(err, "%s: map", d->name);
	return 0;
}

/* --- waiting ------------------------------------------------------------ */

struct wait_req {
	struct vc_disk_req req;
	bool is_done;
	enum vc_disk_status status;
};

static void wait_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct wait_req *w = vc_container_of(req, struct wait_req, req);

	w->status = status;
	w->is_done = true;
}

static int submit_and_wait(struct vc_disk *d, enum vc_disk_op op,
			   uint64_t offset, const void *buf, uint64_t len,
			   struct vc_error *err)
{
	static const char *const names[] = {
		[VC_DISK_READ] = "read",
		[VC_DISK_WRITE] = "write",
		[VC_DISK_FLUSH] = "flush",
		[VC_DISK_DISCARD] = "discard",
		[VC_DISK_WRITE_ZEROES] = "zero",
		[VC_DISK_WRITE_COMPRESSED] = "write compressed",
	};
	struct iovec iov = { (void *)(uintptr_t)buf, (size_t)len };
	struct wait_req w = { .req = { .op = op,
				       .offset_bytes = offset,
				       .length_bytes = len,
				       .flags = op == VC_DISK_WRITE_ZEROES
							? VC_DISK_REQ_UNMAP
							: 0,
				       .iov = &iov,
				       .nr_iov = 1,
				       .done = wait_done } };

	vc_disk_submit(d, &w.req);
	while (!w.is_done)
		vc_disk_poll(d, true);
	if (w.status != VC_DISK_OK)
		return vc_fail(err, VC_E_SYS, vc_disk_status_errno(w.status),
			       "%s: %s at %llu", d->name, names[op],
			       (unsigned long long)offset);
	return 0;
}

int vc_disk_read(struct vc_disk *d, uint64_t offset, void *buf, size_t len,
		 struct vc_error *err)
{
	return submit_and_wait(d, VC_DISK_READ, offset, buf, len, err);
}

int vc_disk_write(struct vc_disk *d, uint64_t offset, const void *buf,
		  size_t len, struct vc_error *err)
{
	return submit_and_wait(d, VC_DISK_WRITE, offset, buf, len, err);
}

int vc_disk_zero(struct vc_disk *d, uint64_t offset, uint64_t len,
		 struct vc_error *err)
{
	return submit_and_wait(d, VC_DISK_WRITE_ZEROES, offset, NULL, len, err);
}

int vc_disk_flush(struct vc_disk *d, struct vc_error *err)
{
	return submit_and_wait(d, VC_DISK_FLUSH, 0, NULL, 0, err);
}

int vc_disk_write_compressed(struct vc_disk *d, uint64_t offset,
			     const void *buf, size_t len, struct vc_error *err)
{
	return submit_and_wait(d, VC_DISK_WRITE_COMPRESSED, offset, buf, len,
			       err);
}
