/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests. A job works through its request one extent at a time: look up,
 * lock the clusters, do the I/O, unlock, go on. Jobs run side by side.
 *
 * Locks are on ranges of guest clusters. Reads and writes in place share;
 * whatever changes an L2 entry excludes everybody, so that no I/O is under way
 * in a cluster when it is released, and no two writes allocate the same one. A
 * job holds at most one lock and takes it without having waited since its
 * lookup, so the lookup still holds.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

/* --- jobs ------------------------------------------------------------------ */

static void job_run(struct qc_waiter *w, enum qc_result res)
{
	struct qc_job *job = vc_container_of(w, struct qc_job, waiter);

	if (res != QC_OK)
		qc_job_finish(job, qc_status(res));
	else
		job->step(job);
}

struct qc_job *qc_job_new(struct qc_disk *q, struct vc_disk_req *req)
{
	struct qc_job *job = q->free_jobs;

	if (job)
		q->free_jobs = job->next_free;
	else
		job = malloc(sizeof(*job));
	if (!job)
		return NULL;
	memset(job, 0, sizeof(*job));
	job->waiter.run = job_run;
	job->q = q;
	job->req = req;
	job->end = req->length_bytes;
	return job;
}

void qc_job_finish(struct qc_job *job, enum vc_disk_status status)
{
	struct qc_disk *q = job->q;

	qc_unlock(job);
	qc_l2_own_end(q, &job->waiter);
	qc_fill_release(job);
	free(job->sub_iov);
	free(job->packed);
	if (job->is_new)
		qc_free_later(q, job->new_first, job->new_count);
	if (job->parent) {
		job->parent->own_status = status;
		qc_make_runnable(q, &job->parent->waiter, QC_OK);
	} else {
		disk_complete(&q->base, job->req, status);
	}
	job->next_free = q->free_jobs;
	q->free_jobs = job;
}

void qc_job_submit_io(struct qc_job *job, enum eng_op op, uint64_t host,
		      void (*done)(struct eng_io *io, int res))
{
	struct vc_disk *data = job->q->data ? job->q->data : &job->q->base;

	job->io.op = op;
	job->io.offset = host;
	job->io.done = done;
	/* opened for its map only, without its data file: nothing is read */
	job->io.fd = qc_has_data_file(&job->q->h) && !job->q->data
			     ? -1
			     : disk_fd_for(data, &job->io);
	engine_submit(job->q->base.engine, &job->io);
}

/* --- locks ------------------------------------------------------------------- */

enum qc_result qc_lock_range(struct qc_job *job, uint64_t offset, uint64_t len,
			     bool exclusive)
{
	struct qc_disk *q = job->q;
	struct qc_lock *mine = &job->lock, *l;

	if (job->skip_lock)
		return QC_OK; /* the parent holds it */
	mine->first = offset >> q->h.cluster_bits;
	mine->last = (offset + len - 1) >> q->h.cluster_bits;
	mine->is_exclusive = exclusive;
	for (l = q->locks.next; l != &q->locks; l = l->next)
		if ((exclusive || l->is_exclusive) && l->first <= mine->last &&
		    mine->first <= l->last) {
			qc_wait_on(&l->waiters, &job->waiter);
			return QC_WAIT;
		}
	mine->prev = &q->locks;
	mine->next = q->locks.next;
	mine->next->prev = mine;
	q->locks.next = mine;
	mine->is_held = true;
	return QC_OK;
}

void qc_unlock(struct qc_job *job)
{
	struct qc_lock *mine = &job->lock;

	if (!mine->is_held)
		return;
	mine->prev->next = mine->next;
	mine->next->prev = mine->prev;
	mine->is_held = false;
	qc_wake(job->q, &mine->waiters, QC_OK);
}

/* --- reading ------------------------------------------------------------------ */

static void part_done(struct qc_job *job)
{
	job->pos += job->ext.len;
	qc_unlock(job);
}

static void read_done(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;

	part_done(job);
	qc_make_runnable(q, &job->waiter, qc_result_of(res));
	qc_run_queue(q);
}

static void backing_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct qc_job *job = vc_container_of(req, struct qc_job, own);
	struct qc_disk *q = job->q;

	free(job->sub_iov);
	job->sub_iov = NULL;
	part_done(job);
	qc_make_runnable(q, &job->waiter,
			 status == VC_DISK_OK ? QC_OK : QC_EIO);
	qc_run_queue(q);
}

/* Copy the part of an iovec. Returns NULL when out of memory. */
static struct iovec *slice(const struct iovec *iov, int nr, uint64_t skip,
			   uint64_t len, int *ret_nr)
{
	struct eng_io io;
	struct iovec *copy;

	if (!eng_io_set_iov(&io, iov, nr, skip, len))
		return NULL;
	*ret_nr = io.nr_iov;
	if (io.heap)
		return io.heap;
	copy = malloc(sizeof(io.small));
	if (copy)
		memcpy(copy, io.small, sizeof(io.small));
	return copy;
}

/* What the backing file has; zeroes beyond its end. Returns true if the read
 * was started. */
static bool read_backing(struct qc_job *job)
{
	struct vc_disk *backing = job->q->base.backing;
	struct vc_disk_req *req = job->req, *own = &job->own;
	uint64_t offset = req->offset_bytes + job->pos;
	uint64_t size = backing ? vc_disk_get_size(backing) : 0;

	if (offset >= size) {
		disk_iov_zero(req->iov, job->pos, job->ext.len);
		part_done(job);
		return false;
	}
	job->ext.len = vc_min_u64(job->ext.len, size - offset);
	memset(own, 0, sizeof(*own));
	own->op = VC_DISK_READ;
	own->offset_bytes = offset;
	own->length_bytes = job->ext.len;
	job->sub_iov = slice(req->iov, req->nr_iov, job->pos, job->ext.len,
			     &own->nr_iov);
	if (!job->sub_iov) {
		qc_job_finish(job, VC_DISK_EIO);
		return true;
	}
	own->iov = job->sub_iov;
	own->done = backing_done;
	vc_disk_submit(backing, own);
	return true;
}

/* One extent. Returns false if the next may follow at once. */
static bool read_extent(struct qc_job *job)
{
	struct vc_disk_req *req = job->req;
	struct qc_disk *q = job->q;
	uint64_t offset = req->offset_bytes + job->pos;
	enum qc_result res;

	res = qc_lookup(q, offset, job->end - job->pos, &job->waiter,
			&job->ext);
	if (res == QC_OK && job->ext.kind == QC_COMPRESSED_CLUSTER)
		res = qc_unpack_gate(job);
	if (res == QC_OK)
		res = qc_lock_range(job, offset, job->ext.len, false);
	if (res != QC_OK) {
		if (res != QC_WAIT)
			qc_job_finish(job, qc_status(res));
		return true;
	}
	switch (job->ext.kind) {
	case QC_ZERO_PLAIN:
	case QC_ZERO_ALLOCATED:
		disk_iov_zero(req->iov, job->pos, job->ext.len);
		part_done(job);
		return false;
	case QC_UNALLOCATED:
		return read_backing(job);
	case QC_COMPRESSED_CLUSTER:
		return qc_unpack(job, part_done);
	case QC_NORMAL:
		break;
	}
	if (!eng_io_set_iov(&job->io, req->iov, req->nr_iov, job->pos,
			    job->ext.len))
		qc_job_finish(job, VC_DISK_EIO);
	else
		qc_job_submit_io(job, ENG_READ, job->ext.host, read_done);
	return true;
}

void qc_read_step(struct qc_job *job)
{
	job->step = qc_read_step;
	while (job->pos < job->end)
		if (read_extent(job))
			return;
	qc_job_finish(job, VC_DISK_OK);
}
