/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes. To units (clusters or subclusters, see map.c) that only this image
 * uses they go in place. Else:
 *
 *	prepare   an L2 table of our own, new clusters in a row
 *	fill      what is kept of the first and the last unit is read
 *	write     kept head, new data, kept tail: one write
 *	link      the L2 entries are changed, in memory
 *
 * The range stays locked all the while. A crash before the next writeback
 * loses the write and leaks nothing but clusters; an error gives them back.
 * Clusters the file was never written in need no zeroes around the data.
 *
 * The same steps write zeroes where metadata cannot say "zero".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

/* At once, when zeroes are written as data. */
#define ZERO_WRITE_MAX (1u << 20)
#define BUFFER_ALIGN 4096

static void prepare_step(struct qc_job *job);
static void fill_head_step(struct qc_job *job);
static void fill_tail_step(struct qc_job *job);
static void write_new_step(struct qc_job *job);
static void link_step(struct qc_job *job);

static uint64_t guest_offset(const struct qc_job *job)
{
	return job->req->offset_bytes + job->pos;
}

static uint64_t in_cluster(const struct qc_job *job, uint64_t offset)
{
	return offset & (job->q->h.cluster_bytes - 1);
}

static uint64_t in_fill(const struct qc_job *job, uint64_t offset)
{
	return offset & (job->fill_bytes - 1);
}

/* Returns true if the job goes on. */
static bool go_on(struct qc_job *job, enum qc_result res)
{
	if (res != QC_OK && res != QC_WAIT)
		qc_job_finish(job, qc_status(res));
	return res == QC_OK;
}

static void note_copied(struct qc_job *job)
{
	if (job->io.op == ENG_SHARE && job->io.mode == ENG_SHARE_COPIED)
		job->req->flags |= VC_DISK_REQ_COPIED;
}

static void in_place_done(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;

	note_copied(job);

	job->pos += job->ext.len;
	qc_unlock(job);
	qc_make_runnable(q, &job->waiter, qc_result_of(res));
	qc_run_queue(q);
}

static bool set_data_iov(struct qc_job *job)
{
	if (job->is_zeroes)
		return disk_io_set_zeroes(&job->io, job->ext.len);
	if (job->req->op == VC_DISK_SHARE) {
		job->io.mode = job->req->flags & VC_DISK_REQ_COPY
				       ? ENG_SHARE_OR_COPY
				       : ENG_SHARE_ONLY;
		job->io.src_fd = job->req->share_fd;
		job->io.src_offset = job->req->share_offset + job->pos;
		job->io.len = job->ext.len;
		job->io.nr_iov = 0;
		job->io.heap = NULL;
		return true;
	}
	return eng_io_set_iov(&job->io, job->req->iov, job->req->nr_iov,
			      job->pos, job->ext.len);
}

static enum eng_op data_op(const struct qc_job *job)
{
	return job->req->op == VC_DISK_SHARE ? ENG_SHARE : ENG_WRITE;
}

static void write_in_place(struct qc_job *job)
{
	if (!set_data_iov(job))
		qc_job_finish(job, VC_DISK_EIO);
	else
		qc_job_submit_io(job, data_op(job), job->ext.host,
				 in_place_done);
}

void qc_write_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t len = job->end - job->pos;
	enum qc_result res;
	bool in_place;

	job->step = qc_write_step;
	if (!len) {
		if (job->req->op == VC_DISK_WRITE ||
		    job->req->op == VC_DISK_SHARE)
			qc_job_finish(job, VC_DISK_OK);
		else
			qc_zero_step(job);
		return;
	}
	if (q->is_broken) {
		qc_job_finish(job, VC_DISK_EIO);
		return;
	}
	if (job->is_zeroes)
		len = vc_min_u64(len, ZERO_WRITE_MAX);
	res = qc_lookup_write(q, guest_offset(job), len, &job->waiter,
			      &job->ext);
	in_place = job->ext.how == QC_WRITE_IN_PLACE;
	if (res == QC_OK)
		res = qc_lock_range(job, guest_offset(job), job->ext.len,
				    !in_place);
	if (!go_on(job, res))
		return;
	if (in_place)
		write_in_place(job);
	else
		prepare_step(job);
}

/* --- prepare ------------------------------------------------------------------ */

/* A cluster that has its place in the file keeps it. In a data file each has
 * the place that it has on the disk. */
static enum qc_result get_clusters(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t offset = guest_offset(job);
	uint64_t before = in_cluster(job, offset);
	uint64_t want = qc_clusters(q, before + job->ext.len);
	enum qc_result res;

	/* what replaces a cluster that others use has all of its subclusters */
	job->fill_bytes = job->ext.how == QC_WRITE_REPLACE
				  ? q->h.cluster_bytes
				  : UINT64_C(1) << q->unit_bits;
	if (job->ext.how == QC_WRITE_KEEP || q->data) {
		job->new_first = (q->data && job->ext.how != QC_WRITE_KEEP
					  ? offset
					  : job->ext.host) >>
				 q->h.cluster_bits;
		job->new_count = want;
		return QC_OK;
	}
	res = qc_alloc(q, want, &job->waiter, &job->new_first, &job->new_count,
		       &job->is_fresh);
	if (res != QC_OK)
		return res;
	job->is_new = true;
	job->ext.len = vc_min_u64(
		job->ext.len, (job->new_count << q->h.cluster_bits) - before);
	return QC_OK;
}

/* Does the cluster at `offset` read zero, so that a fresh one needs no
 * filling? */
static enum qc_result is_zero(struct qc_job *job, uint64_t offset, bool *ret)
{
	struct qc_extent ext;
	enum qc_result res;

	res = qc_lookup(job->q, offset, 1, &job->waiter, &ext);
	*ret = ext.kind == QC_ZERO_PLAIN || ext.kind == QC_ZERO_ALLOCATED ||
	       (ext.kind == QC_UNALLOCATED && !job->q->base.backing);
	return res;
}

static void prepare_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t offset = guest_offset(job), end;
	enum qc_result res;
	bool zero = false;

	job->step = prepare_step;
	res = qc_l2_own(q, offset, &job->waiter);
	if (res == QC_OK && !job->new_count)
		res = get_clusters(job);
	if (!go_on(job, res))
		return;
	end = offset + job->ext.len;
	job->head_len = in_fill(job, offset);
	job->tail_len = in_fill(job, -end);
	/* is_zero() sees one unit */
	if (job->fill_bytes != UINT64_C(1) << q->unit_bits)
		job->is_fresh = false;
	if (job->is_fresh && job->head_len) {
		res = is_zero(job, offset, &zero);
		if (!go_on(job, res))
			return;
		job->head_len = zero ? 0 : job->head_len;
	}
	if (job->is_fresh && job->tail_len) {
		res = is_zero(job, end - 1, &zero);
		if (!go_on(job, res))
			return;
		job->tail_len = zero ? 0 : job->tail_len;
	}
	fill_head_step(job);
}

/* --- fill ---------------------------------------------------------------------- */

/* Read guest bytes into a new buffer through a job of its own; then `next`. */
static void start_fill(struct qc_job *job, uint8_t **buf, uint64_t offset,
		       uint64_t len, qc_step_fn next)
{
	struct qc_job *child;
	void *mem = NULL;

	if (posix_memalign(&mem, BUFFER_ALIGN, (size_t)len) != 0) {
		qc_job_finish(job, VC_DISK_EIO);
		return;
	}
	*buf = mem;
	/* the disk ends inside the last cluster: nothing is read there */
	if (offset + len > job->q->base.size) {
		memset(mem, 0, (size_t)len);
		len = offset < job->q->base.size ? job->q->base.size - offset
						 : 0;
	}
	job->own_iov = (struct iovec){ mem, (size_t)len };
	job->own = (struct vc_disk_req){ .op = VC_DISK_READ,
					 .offset_bytes = offset,
					 .length_bytes = len,
					 .iov = &job->own_iov,
					 .nr_iov = 1 };
	child = qc_job_new(job->q, &job->own);
	if (!child) {
		qc_job_finish(job, VC_DISK_EIO);
		return;
	}
	child->parent = job;
	child->skip_lock = true;
	child->step = qc_read_step;
	job->step = next;
	qc_make_runnable(job->q, &child->waiter, QC_OK);
}

/* Memory for what is kept; who holds it now does not wait for anybody who has
 * to wait here. */
static enum qc_result reserve(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t want = job->head_len + job->tail_len;

	if (job->reserved || !want)
		return QC_OK;
	if (q->nr_fill_bytes && q->nr_fill_bytes + want > QC_MAX_FILL_BYTES) {
		qc_wait_on(&q->fill_waiters, &job->waiter);
		return QC_WAIT;
	}
	job->reserved = want;
	q->nr_fill_bytes += want;
	return QC_OK;
}

void qc_fill_release(struct qc_job *job)
{
	struct qc_disk *q = job->q;

	free(job->head);
	free(job->tail);
	job->head = job->tail = NULL;
	if (!job->reserved)
		return;
	q->nr_fill_bytes -= job->reserved;
	job->reserved = 0;
	qc_wake(q, &q->fill_waiters, QC_OK);
}

static void fill_head_step(struct qc_job *job)
{
	uint64_t start = guest_offset(job) - job->head_len;

	job->step = fill_head_step;
	if (reserve(job) != QC_OK)
		return;
	job->own_status = VC_DISK_OK;
	if (job->head_len)
		start_fill(job, &job->head, start, job->head_len,
			   fill_tail_step);
	else
		fill_tail_step(job);
}

static void fill_tail_step(struct qc_job *job)
{
	if (job->own_status != VC_DISK_OK)
		qc_job_finish(job, job->own_status);
	else if (job->tail_len)
		start_fill(job, &job->tail, guest_offset(job) + job->ext.len,
			   job->tail_len, write_new_step);
	else
		write_new_step(job);
}

/* --- write --------------------------------------------------------------------- */

static void write_new_done(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;

	note_copied(job);
	job->step = link_step;
	qc_make_runnable(q, &job->waiter, qc_result_of(res));
	qc_run_queue(q);
}

/* Head, data and tail as one list. */
static bool set_new_iov(struct qc_job *job)
{
	struct eng_io data = job->io;
	struct iovec *all;
	bool ok = false;
	int n = 0;

	if (!set_data_iov(job))
		return false;
	if (!job->head_len && !job->tail_len)
		return true;
	data = job->io;
	if (!data.heap)
		data.iov = data.small;
	all = malloc(((size_t)data.nr_iov + 2) * sizeof(*all));
	if (all) {
		if (job->head_len)
			all[n++] = (struct iovec){ job->head,
						   (size_t)job->head_len };
		memcpy(all + n, data.iov, (size_t)data.nr_iov * sizeof(*all));
		n += data.nr_iov;
		if (job->tail_len)
			all[n++] = (struct iovec){ job->tail,
						   (size_t)job->tail_len };
		ok = eng_io_set_iov(&job->io, all, n, 0,
				    job->head_len + job->ext.len +
					    job->tail_len);
	}
	free(all);
	free(data.heap);
	return ok;
}

static void write_new_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t host = (job->new_first << q->h.cluster_bits) +
			in_cluster(job, guest_offset(job)) - job->head_len;

	if (job->own_status != VC_DISK_OK) {
		qc_job_finish(job, job->own_status);
		return;
	}
	if (!set_new_iov(job))
		qc_job_finish(job, VC_DISK_EIO);
	else
		qc_job_submit_io(job, data_op(job), host, write_new_done);
}

/* --- link ------------------------------------------------------------------------ */

/* The subclusters of the cluster `n` of the job that it has written. */
static uint64_t written_mask(const struct qc_job *job, uint64_t n)
{
	const struct qc_disk *q = job->q;
	uint64_t offset = guest_offset(job);
	uint64_t at = vc_align_down(offset, q->h.cluster_bytes) +
		      (n << q->h.cluster_bits);
	uint64_t from = vc_align_down(offset, job->fill_bytes);
	uint64_t to = vc_align_up(offset + job->ext.len, job->fill_bytes);

	from = from > at ? from - at : 0;
	to = vc_min_u64(to - at, q->h.cluster_bytes);
	return qc_sub_mask((unsigned)(from >> q->unit_bits),
			   (unsigned)(to >> q->unit_bits));
}

static void link_one(struct qc_job *job, struct qc_page *p, size_t i,
		     uint64_t n)
{
	struct qc_disk *q = job->q;
	struct qc_entry e = {
		(job->new_first + n) << q->h.cluster_bits | QC_COPIED, 0
	};
	uint64_t mask;

	if (qc_has_subclusters(&q->h)) {
		mask = written_mask(job, n);
		if (job->ext.how != QC_WRITE_REPLACE)
			e.bitmap = qc_l2_get(q, p, i).bitmap;
		e.bitmap &= ~(mask << QC_SUBCLUSTERS);
		e.bitmap |= mask;
	}
	qc_l2_set(q, p, i, e);
}

static void link_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	struct qc_page *p = NULL;
	enum qc_result res;
	size_t i = 0, left = 0;
	uint64_t n;

	res = qc_writeback_gate(q, &job->waiter);
	if (res == QC_OK)
		res = qc_l2_page(q, guest_offset(job), &job->waiter, &p, &i,
				 &left);
	/* the table is there since prepare, and the run is in one page */
	if (res == QC_OK && (!p || left < job->new_count))
		res = QC_EIO;
	if (!go_on(job, res))
		return;
	for (n = 0; n < job->new_count; n++)
		link_one(job, p, i + n, n);
	qc_fill_release(job);
	job->new_count = 0;
	job->is_new = job->is_fresh = false;
	job->pos += job->ext.len;
	qc_unlock(job);
	qc_write_step(job);
}
