/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker takes pieces, starts reading several of them and, as they come in,
 * looks for zeroes (and compresses) before it hands them to the writer, or
 * writes them itself. It does
 * so outside of done(), which may be called while another piece is taken: with
 * the lock held, when the disk that is mapped is the one that is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include "disk/copy/copy.h"

typedef uint64_t wide __attribute__((vector_size(32), aligned(1), may_alias));

bool disk_is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf, *end = p + len;

	/* most data is not zero at once */
	for (; p < end && (uintptr_t)p % 8; p++)
		if (*p)
			return false;
	for (; (size_t)(end - p) >= 4 * sizeof(wide); p += 4 * sizeof(wide)) {
		const wide *w = (const wide *)p;
		wide any = (w[0] | w[1]) | (w[2] | w[3]);

		if (any[0] | any[1] | any[2] | any[3])
			return false;
	}
	for (; p < end; p++)
		if (*p)
			return false;
	return true;
}

static void notify_writer(struct copy *c)
{
	/* can fail only when it is readable already */
	(void)!eventfd_write(c->event_fd, 1);
}

void copy_fail(struct copy *c, const struct vc_error *err)
{
	pthread_mutex_lock(&c->lock);
	if (!c->has_failed)
		c->err = *err;
	c->has_failed = true;
	pthread_cond_broadcast(&c->slot_free);
	pthread_mutex_unlock(&c->lock);
	notify_writer(c);
}

/* --- taking ---------------------------------------------------------------- */

/* With the lock held. Returns NULL at the end, or when no slot is free and
 * `wait` is not set. Pieces that need no reading are handed on at once if there
 * is a writer. */
static struct slot *take_locked(struct worker *w, bool wait,
				struct vc_error *err, bool *ret_failed)
{
	struct copy *c = w->copy;

	while (!c->is_ended && !c->has_failed) {
		struct slot *s = &c->slots[c->tail % c->nr_slots];

		if (s->state != SLOT_FREE || c->plan.share == SHARE_TRYING) {
			if (!wait)
				return NULL;
			pthread_cond_wait(&c->slot_free, &c->lock);
			continue;
		}
		if (plan_next(&c->plan, &s->piece, &c->is_ended, err) < 0) {
			*ret_failed = true;
			return NULL;
		}
		if (c->is_ended) {
			pthread_cond_broadcast(&c->slot_free);
			notify_writer(c);
			return NULL;
		}
		c->tail++;
		s->write_pos = 0;
		if (s->piece.kind == PIECE_DATA || c->workers_write) {
			s->state = SLOT_READING;
			return s;
		}
		s->state = SLOT_READY;
		notify_writer(c);
	}
	return NULL;
}

static struct slot *take(struct worker *w, bool wait)
{
	struct vc_error err;
	bool failed = false;
	struct slot *s;

	pthread_mutex_lock(&w->copy->lock);
	s = take_locked(w, wait, &err, &failed);
	pthread_mutex_unlock(&w->copy->lock);
	if (failed)
		copy_fail(w->copy, &err);
	return s;
}

/* --- reading --------------------------------------------------------------- */

static struct vc_disk *get_disk(struct worker *w, size_t i,
				struct vc_error *err)
{
	const struct vc_convert_source *src = &w->copy->given[i];

	if (!w->disks[i]) {
		if (!src->reopen)
			return src->disk;
		if (src->reopen(src->opaque, &w->disks[i], err) < 0)
			return NULL;
		if (vc_disk_get_size(w->disks[i]) !=
		    vc_disk_get_size(src->disk)) {
			vc_fail(err, VC_E_SYS, EBUSY, "%s: size has changed",
				src->disk->name);
			return NULL;
		}
	}
	return w->disks[i];
}

static void read_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct slot *s = vc_container_of(req, struct slot, req);

	s->status = status;
	s->read_pos += req->length_bytes;
	s->next_done = s->worker->done;
	s->worker->done = s;
}

/* Read on, in the source that has the next byte of the piece. */
static int start_read(struct worker *w, struct slot *s, struct vc_error *err)
{
	const struct plan *p = &w->copy->plan;
	uint64_t at = s->piece.offset + s->read_pos;
	size_t i = plan_source_at(p, at);
	const struct source *src = &p->sources[i];
	uint64_t in = at - src->start, n;
	struct vc_disk *d = get_disk(w, i, err);

	if (!d)
		return -1;
	n = vc_min_u64(s->piece.len - s->read_pos, src->size - in);
	s->iov = (struct iovec){ s->data + s->read_pos, (size_t)n };
	s->req = (struct vc_disk_req){ .op = VC_DISK_READ,
				       .offset_bytes = src->offset + in,
				       .length_bytes = n,
				       .iov = &s->iov,
				       .nr_iov = 1,
				       .done = read_done };
	s->worker = w;
	w->nr_reading++;
	vc_disk_submit(d, &s->req);
	vc_disk_kick(d);
	return 0;
}

/* Sector by sector; what still cannot be read is zero. */
static int salvage(struct worker *w, struct slot *s, struct vc_error *err)
{
	struct copy *c = w->copy;
	uint64_t at = s->piece.offset + s->read_pos - s->req.length_bytes;
	struct vc_disk *d = get_disk(w, plan_source_at(&c->plan, at), err);
	uint64_t pos, lost = 0;

	if (!d)
		return -1;
	for (pos = 0; pos < s->req.length_bytes; pos += VC_DISK_SECTOR) {
		uint8_t *to = (uint8_t *)s->iov.iov_base + pos;
		size_t n = (size_t)vc_min_u64(s->req.length_bytes - pos,
					      VC_DISK_SECTOR);

		if (vc_disk_read(d, s->req.offset_bytes + pos, to, n, NULL) <
		    0) {
			memset(to, 0, n);
			lost += n;
		}
	}
	pthread_mutex_lock(&c->lock);
	c->result.nr_lost_bytes += lost;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* --- looking ---------------------------------------------------------------- */

static void find_zeroes(const struct copy *c, struct slot *s)
{
	uint64_t pos = 0;
	size_t i, n;

	memset(s->zero, 0, sizeof(s->zero));
	for (i = 0; pos < s->piece.len; i++, pos += n) {
		n = (size_t)copy_granule_len(c, s, pos);
		if (disk_is_zero(s->data + pos, n))
			s->zero[i / 64] |= UINT64_C(1) << i % 64;
	}
}

/* Each cluster into its own place, whole ones only: the disk may end in the
 * middle of the last. */
static void compress(struct worker *w, struct slot *s)
{
	uint32_t cluster = w->copy->cluster;
	uint64_t pos;
	size_t i = 0;

	memset(s->data + s->piece.len, 0,
	       (size_t)(vc_align_up(s->piece.len, cluster) - s->piece.len));
	for (pos = 0; pos < s->piece.len; pos += cluster, i++) {
		size_t n;

		s->packed[i] = 0;
		if (w->copy->granule && copy_is_zero_at(s, pos))
			continue;
		n = vc_disk_compress(w->compressor, s->data + pos, cluster,
				     w->scratch, cluster - 1);
		if (n)
			memcpy(s->data + pos, w->scratch, n);
		s->packed[i] = (uint32_t)n;
	}
}

/* By this worker itself, which waits for it. */
static void write_here(struct worker *w, struct slot *s)
{
	struct copy *c = w->copy;
	bool is_all;

	s->dst = w->dst;
	do {
		is_all = copy_write_slot(s);
		vc_disk_drain(w->dst);
		/* the slot may be another worker's by now */
	} while (!is_all);
	if (w->is_caller)
		copy_report_progress(c);
}

static void hand_on(struct worker *w, struct slot *s)
{
	struct copy *c = w->copy;

	if (c->granule)
		find_zeroes(c, s);
	if (c->cluster)
		compress(w, s);
	pthread_mutex_lock(&c->lock);
	if (!c->workers_write)
		s->state = SLOT_READY;
	c->result.nr_read_bytes += s->piece.len;
	pthread_mutex_unlock(&c->lock);
	if (c->workers_write)
		write_here(w, s);
	else
		notify_writer(c);
}

/* A read of `s` has ended. */
static int look_at(struct worker *w, struct slot *s, struct vc_error *err)
{
	const struct copy *c = w->copy;
	uint64_t at = s->piece.offset + s->read_pos - s->req.length_bytes;

	if (s->status != VC_DISK_OK && c->opts->salvage) {
		if (salvage(w, s, err) < 0)
			return -1;
	} else if (s->status != VC_DISK_OK) {
		return vc_fail(err, VC_E_SYS, vc_disk_status_errno(s->status),
			       "read at %llu", (unsigned long long)at);
	}
	if (s->read_pos < s->piece.len)
		return start_read(w, s, err);
	hand_on(w, s);
	return 0;
}

static void poll_disks(struct worker *w)
{
	const struct copy *c = w->copy;
	size_t i, nr_busy = 0;
	struct vc_disk *busy = NULL;

	for (i = 0; i < c->plan.nr_sources; i++) {
		struct vc_disk *d =
			w->disks[i] ? w->disks[i] : c->given[i].disk;

		if (!w->disks[i] && c->given[i].reopen)
			continue;
		if (d->nr_in_flight) {
			busy = d;
			nr_busy++;
		}
	}
	/* of several any will do: they are all waited for in turn */
	if (nr_busy)
		vc_disk_poll(busy, true);
}

/* How many pieces to read at a time. One that is written by who has read it is
 * to be in the cache of the CPU still, where no medium is waited for. */
static unsigned read_depth(const struct copy *c)
{
	size_t i;

	for (i = 0; i < c->plan.nr_sources; i++)
		if (c->given[i].disk->direct_fd >= 0)
			return COPY_DEPTH;
	return c->workers_write ? 1 : COPY_DEPTH;
}

static int open_dst(struct worker *w, struct vc_error *err)
{
	const struct vc_disk *dst = w->copy->dst;
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.no_sync = true,
					.io = VC_DISK_IO_SYNC };
	vc_auto_fd int fd = -1;

	if (!w->copy->workers_write)
		return 0;
	if (w->is_caller) {
		w->dst = w->copy->dst;
		return 0;
	}
	fd = fcntl(dst->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: duplicate fd",
			       dst->name);
	if (disk_open_image(fd, &oo, NULL, &w->dst, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	return 0;
}

static int work(struct worker *w, struct vc_error *err)
{
	unsigned depth = read_depth(w->copy);

	for (;;) {
		struct slot *s;

		while (w->nr_reading < depth && (s = take(w, !w->nr_reading))) {
			s->read_pos = 0;
			if (s->piece.kind != PIECE_DATA)
				write_here(w, s);
			else if (start_read(w, s, err) < 0)
				return -1;
		}
		if (!w->nr_reading)
			return 0;
		if (!w->done)
			poll_disks(w);
		while ((s = w->done)) {
			w->done = s->next_done;
			w->nr_reading--;
			if (look_at(w, s, err) < 0)
				return -1;
		}
	}
}

void *copy_worker(void *opaque)
{
	struct worker *w = opaque;
	struct copy *c = w->copy;
	struct vc_error err;
	size_t i;

	if ((c->cluster &&
	     vc_disk_compressor_new(c->compression, c->opts->level,
				    &w->compressor, &err) < 0) ||
	    open_dst(w, &err) < 0 || work(w, &err) < 0)
		copy_fail(c, &err);
	for (i = 0; i < c->plan.nr_sources; i++) {
		if (!c->given[i].reopen)
			vc_disk_drain(c->given[i].disk);
		w->disks[i] = vc_disk_drop(w->disks[i]);
	}
	/* nothing is in flight: who wrote has waited */
	if (!w->is_caller)
		w->dst = vc_disk_drop(w->dst);
	return NULL;
}
