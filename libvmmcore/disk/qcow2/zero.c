/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Discard and write-zeroes. Whole clusters are done in the L2 table alone.
 * Where the format has no way to say it (version 2 over a backing file, or a
 * part of a cluster) zeroes are written as data; a discard does nothing there.
 */
#include "disk/qcow2/qcow2.h"

static void apply_step(struct qc_job *job);

static uint64_t guest_offset(const struct qc_job *job)
{
	return job->req->offset_bytes + job->pos;
}

static bool may_release(const struct qc_job *job)
{
	return job->req->op == VC_DISK_DISCARD ||
	       (job->req->flags & VC_DISK_REQ_UNMAP);
}

/* Whole clusters from `offset` on; the disk's end completes one. */
static uint64_t whole_clusters(const struct qc_job *job, uint64_t offset,
			       uint64_t len)
{
	struct qc_disk *q = job->q;

	if (offset & (q->h.cluster_bytes - 1))
		return 0;
	if (offset + len == q->base.size)
		return qc_clusters(q, len);
	return len >> q->h.cluster_bits;
}

/* Is this extent what the request wants it to be? */
static bool nothing_to_do(const struct qc_job *job)
{
	bool reads_zero =
		job->ext.kind == QC_ZERO_PLAIN ||
		job->ext.kind == QC_ZERO_ALLOCATED ||
		(job->ext.kind == QC_UNALLOCATED && !job->q->base.backing);

	if (reads_zero)
		return job->ext.kind != QC_ZERO_ALLOCATED || !may_release(job);
	return job->req->op == VC_DISK_DISCARD &&
	       job->ext.kind == QC_UNALLOCATED;
}

/* Can an L2 entry say it? */
static bool has_entry_for(const struct qc_job *job)
{
	return job->q->h.version > 2 ||
	       (!job->q->base.backing && may_release(job));
}

static uint64_t new_entry(const struct qc_job *job, uint64_t old)
{
	enum qc_kind kind = qc_entry_kind(old);

	if (!may_release(job) && (old & QC_COPIED) &&
	    (kind == QC_NORMAL || kind == QC_ZERO_ALLOCATED))
		return old | QC_ZERO;
	return job->q->base.backing ? QC_ZERO : 0;
}

void qc_zero_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t total = job->req->length_bytes, len, whole;

	job->step = qc_zero_step;
	while (job->pos < total) {
		uint64_t offset = guest_offset(job);
		enum qc_result res;

		len = total - job->pos;
		whole = whole_clusters(job, offset, len);
		if (whole)
			len = vc_min_u64(len, whole << q->h.cluster_bits);
		else
			len = vc_min_u64(len,
					 q->h.cluster_bytes -
						 (offset &
						  (q->h.cluster_bytes - 1)));
		if (!whole && job->req->op == VC_DISK_DISCARD) {
			job->pos += len;
			continue;
		}
		res = qc_lookup(q, offset, len, &job->waiter, &job->ext);
		if (res == QC_WAIT)
			return;
		if (res != QC_OK || q->is_broken) {
			qc_job_finish(job, VC_DISK_EIO);
			return;
		}
		if (nothing_to_do(job)) {
			job->pos += job->ext.len;
			continue;
		}
		if (!whole || !has_entry_for(job)) {
			if (job->req->op == VC_DISK_DISCARD) {
				job->pos += job->ext.len;
				continue;
			}
			job->is_zeroes = true;
			job->end = job->pos + job->ext.len;
			qc_write_step(job);
			return;
		}
		if (qc_lock_range(job, offset, job->ext.len, true) == QC_OK)
			apply_step(job);
		return;
	}
	qc_job_finish(job, VC_DISK_OK);
}

static void apply_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	uint64_t n = qc_clusters(q, job->ext.len), k;
	struct qc_page *p = NULL;
	enum qc_result res;
	size_t i = 0, left = 0;

	job->step = apply_step;
	res = qc_l2_own(q, guest_offset(job), &job->waiter);
	if (res == QC_OK)
		res = qc_writeback_gate(q, &job->waiter);
	if (res == QC_OK)
		res = qc_l2_page(q, guest_offset(job), &job->waiter, &p, &i,
				 &left);
	if (res == QC_OK && !p)
		res = QC_EIO;
	if (res != QC_OK) {
		if (res != QC_WAIT)
			qc_job_finish(job, qc_status(res));
		return;
	}
	n = vc_min_u64(n, left);
	for (k = 0; k < n; k++) {
		uint64_t old = be64_get(((be64_t *)p->data)[i + k]);

		qc_l2_set(q, p, i + k, new_entry(job, old));
	}
	qc_unlock(job);
	job->pos = vc_min_u64(job->pos + (n << q->h.cluster_bits),
			      job->req->length_bytes);
	/* let others run between pages of a long request */
	job->step = qc_zero_step;
	qc_make_runnable(q, &job->waiter, QC_OK);
}
