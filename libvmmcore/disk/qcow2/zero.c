/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Discard and write-zeroes. Whole units (clusters or subclusters) are done in
 * the L2 table alone. Where the format has no way to say it (no zero flags over
 * a backing file, or a part of a unit) zeroes are written as data; a discard
 * does nothing there.
 *
 * In an external data file a hole is punched first: its clusters have no
 * refcounts, and are where they are for good, so nothing can be released later.
 * If the data file is an image by itself, that is all there is to do: what the
 * L2 table says of a range that is zero in the data file stays true.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include "disk/qcow2/qcow2.h"

static void apply_step(struct qc_job *job);

static uint64_t guest_offset(const struct qc_job *job)
{
	return job->req->offset_bytes + job->pos;
}

static bool is_discard(const struct qc_job *job)
{
	return job->req->op == VC_DISK_DISCARD;
}

static bool may_release(const struct qc_job *job)
{
	return is_discard(job) || (job->req->flags & VC_DISK_REQ_UNMAP);
}

static uint64_t unit_bytes(const struct qc_job *job)
{
	return UINT64_C(1) << job->q->unit_bits;
}

/* Bytes of whole units from `offset` on; the disk's end completes one. */
static uint64_t whole_units(const struct qc_job *job, uint64_t offset,
			    uint64_t len)
{
	if (offset & (unit_bytes(job) - 1))
		return 0;
	if (offset + len == job->q->base.size)
		return len;
	return vc_align_down(len, unit_bytes(job));
}

/* Would something else be seen where the image has no entry? */
static bool is_overlay(const struct qc_disk *q)
{
	return q->base.backing || q->base.is_rebased;
}

/* Is this extent what the request wants it to be? */
static bool nothing_to_do(const struct qc_job *job)
{
	bool reads_zero =
		job->ext.kind == QC_ZERO_PLAIN ||
		job->ext.kind == QC_ZERO_ALLOCATED ||
		(job->ext.kind == QC_UNALLOCATED && !is_overlay(job->q));

	if (reads_zero)
		return job->ext.kind != QC_ZERO_ALLOCATED || !may_release(job);
	return is_discard(job) && job->ext.kind == QC_UNALLOCATED;
}

/* Can an L2 entry say it? */
static bool has_entry_for(const struct qc_job *job)
{
	const struct qc_disk *q = job->q;
	uint64_t mask = q->h.cluster_bytes - 1, offset = guest_offset(job);
	uint64_t end = offset + job->ext.len;

	/* a compressed cluster cannot go in part */
	if (job->ext.kind == QC_COMPRESSED_CLUSTER &&
	    ((offset & mask) || ((end & mask) && end != q->base.size)))
		return false;
	if (q->h.version > 2 && !q->h.is_for_crosvm)
		return true;
	return !is_overlay(q) && may_release(job);
}

static bool keeps_host(const struct qc_job *job, struct qc_entry old)
{
	return !may_release(job) && (old.desc & QC_COPIED) &&
	       !(old.desc & QC_COMPRESSED);
}

static struct qc_entry new_entry(const struct qc_job *job, struct qc_entry old)
{
	if (keeps_host(job, old) && (old.desc & QC_OFFSET_MASK))
		return (struct qc_entry){ old.desc | QC_ZERO, 0 };
	return (struct qc_entry){ is_overlay(job->q) ? QC_ZERO : 0, 0 };
}

/* The same with subclusters, for those of `mask`. */
static struct qc_entry new_sub_entry(const struct qc_job *job,
				     struct qc_entry old, uint64_t mask)
{
	struct qc_entry e = old;

	if (e.desc & QC_COMPRESSED)
		return (struct qc_entry){ 0, QC_SUB_ZERO_ALL };
	e.bitmap &= ~mask;
	e.bitmap |= mask << QC_SUBCLUSTERS;
	if (!(e.bitmap & QC_SUB_ALLOC_ALL) && !keeps_host(job, old))
		e.desc = 0;
	return e;
}

/* --- data files ------------------------------------------------------------ */

static void punched(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;
	bool no_way = res == -EOPNOTSUPP || res == -ENOSYS || res == -EINVAL;

	if (no_way && qc_is_data_file_raw(&q->h) && !is_discard(job)) {
		/* write them then */
		qc_unlock(job);
		job->is_zeroes = true;
		job->end = job->pos + job->ext.len;
		job->step = qc_write_step;
	} else if (qc_is_data_file_raw(&q->h)) {
		job->pos += job->ext.len;
		qc_unlock(job);
		job->step = qc_zero_step;
	} else {
		job->step = apply_step;
	}
	qc_make_runnable(q, &job->waiter, no_way ? QC_OK : qc_result_of(res));
	qc_run_queue(q);
}

static void punch(struct qc_job *job, uint64_t host)
{
	job->io.mode =
		FALLOC_FL_KEEP_SIZE | (may_release(job) ? FALLOC_FL_PUNCH_HOLE
							: FALLOC_FL_ZERO_RANGE);
	job->io.len = job->ext.len;
	job->io.nr_iov = 0;
	job->io.heap = NULL;
	qc_job_submit_io(job, ENG_FALLOCATE, host, punched);
}

/* --- the request ----------------------------------------------------------- */

static void zero_raw(struct qc_job *job)
{
	job->ext.len = job->req->length_bytes - job->pos;
	if (qc_lock_range(job, guest_offset(job), job->ext.len, true) == QC_OK)
		punch(job, guest_offset(job));
}

static void change_entries(struct qc_job *job)
{
	if (qc_lock_range(job, guest_offset(job), job->ext.len, true) != QC_OK)
		return;
	if (job->q->data && job->ext.kind == QC_NORMAL)
		punch(job, job->ext.host);
	else
		apply_step(job);
}

void qc_zero_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t total = job->req->length_bytes, len, whole;

	job->step = qc_zero_step;
	while (job->pos < total) {
		uint64_t offset = guest_offset(job);
		enum qc_result res;

		if (q->is_broken) {
			qc_job_finish(job, VC_DISK_EIO);
			return;
		}
		if (qc_is_data_file_raw(&q->h)) {
			zero_raw(job);
			return;
		}
		len = total - job->pos;
		whole = whole_units(job, offset, len);
		if (whole)
			len = whole;
		else
			len = vc_min_u64(len, unit_bytes(job) -
						      (offset &
						       (unit_bytes(job) - 1)));
		if (!whole && is_discard(job)) {
			job->pos += len;
			continue;
		}
		res = qc_lookup(q, offset, len, &job->waiter, &job->ext);
		if (res == QC_WAIT)
			return;
		if (res != QC_OK) {
			qc_job_finish(job, VC_DISK_EIO);
			return;
		}
		if (nothing_to_do(job)) {
			job->pos += job->ext.len;
			continue;
		}
		if (whole && has_entry_for(job)) {
			change_entries(job);
			return;
		}
		if (is_discard(job)) {
			job->pos += job->ext.len;
			continue;
		}
		job->is_zeroes = true;
		job->end = job->pos + job->ext.len;
		qc_write_step(job);
		return;
	}
	qc_job_finish(job, VC_DISK_OK);
}

/* The entry of the cluster that `offset` is in, up to `end`. */
static void apply_one(struct qc_job *job, struct qc_page *p, size_t i,
		      uint64_t offset, uint64_t end)
{
	struct qc_disk *q = job->q;
	uint64_t mask = q->h.cluster_bytes - 1;
	struct qc_entry e = qc_l2_get(q, p, i);
	unsigned first, last;

	if (!qc_has_subclusters(&q->h)) {
		qc_l2_set(q, p, i, new_entry(job, e));
		return;
	}
	first = (unsigned)((offset & mask) >> q->unit_bits);
	/* the disk's end may be in the middle of a subcluster */
	last = (unsigned)((end - 1 - vc_align_down(offset, mask + 1)) >>
			  q->unit_bits);
	qc_l2_set(q, p, i, new_sub_entry(job, e, qc_sub_mask(first, last + 1)));
}

static void apply_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t offset = guest_offset(job), end = offset + job->ext.len;
	struct qc_page *p = NULL;
	enum qc_result res;
	size_t i = 0, left = 0;

	job->step = apply_step;
	res = qc_l2_own(q, offset, &job->waiter);
	if (res == QC_OK)
		res = qc_writeback_gate(q, &job->waiter);
	if (res == QC_OK)
		res = qc_l2_page(q, offset, &job->waiter, &p, &i, &left);
	if (res == QC_OK && !p)
		res = QC_EIO;
	if (res != QC_OK) {
		if (res != QC_WAIT)
			qc_job_finish(job, qc_status(res));
		return;
	}
	for (; left && offset < end; left--, i++) {
		uint64_t next = vc_min_u64(
			end, vc_align_down(offset, q->h.cluster_bytes) +
				     q->h.cluster_bytes);

		apply_one(job, p, i, offset, next);
		offset = next;
	}
	qc_unlock(job);
	job->pos = offset - job->req->offset_bytes;
	/* let others run between pages of a long request */
	job->step = qc_zero_step;
	qc_make_runnable(q, &job->waiter, QC_OK);
}
