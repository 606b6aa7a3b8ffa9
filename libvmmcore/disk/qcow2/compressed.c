/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compressed clusters.
 *
 * They are read as a whole: the few decompressed last are kept, so that a guest
 * that reads in small pieces has each cluster decompressed once. An entry names
 * a place in the file whose bytes do not change while anything refers to it; a
 * copy is forgotten when an L2 entry ceases to. How many are read at a time is
 * bounded by their bytes.
 *
 * They are written back to back, from byte to byte. A cluster of the file has
 * one reference for each compressed cluster that begins, ends or lies in it.
 * packing.next_host is where the next one goes; as soon as one of the
 * references to that cluster of the file is given up, it is not added to any
 * more (see qc_free_later()): it may be about to be punched out.
 */
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

static enum vc_disk_compression type_of(const struct qc_disk *q)
{
	return q->h.compression_type ? VC_DISK_ZSTD : VC_DISK_ZLIB;
}

/* --- reading ------------------------------------------------------------------ */

static struct qc_unpacked *find(struct qc_disk *q, uint64_t desc)
{
	size_t i;

	for (i = 0; i < QC_NR_UNPACKED; i++)
		if (q->packing.cache[i].desc == desc)
			return &q->packing.cache[i];
	return NULL;
}

void qc_unpacked_forget(struct qc_disk *q, uint64_t desc)
{
	struct qc_unpacked *u = find(q, desc);

	if (u)
		u->desc = 0;
}

/* The one not used for longest, with room for a cluster. */
static struct qc_unpacked *take_oldest(struct qc_disk *q)
{
	struct qc_unpacked *oldest = &q->packing.cache[0];
	size_t i;

	for (i = 1; i < QC_NR_UNPACKED; i++)
		if (q->packing.cache[i].used < oldest->used)
			oldest = &q->packing.cache[i];
	oldest->desc = 0;
	if (!oldest->data)
		oldest->data = malloc(q->h.cluster_bytes);
	return oldest->data ? oldest : NULL;
}

static void copy_out(struct qc_job *job, struct qc_unpacked *u)
{
	struct qc_disk *q = job->q;
	uint64_t in_cluster =
		(job->req->offset_bytes + job->pos) & (q->h.cluster_bytes - 1);

	u->used = ++q->packing.clock;
	disk_iov_put(job->req->iov, job->pos, u->data + in_cluster,
		     job->ext.len);
}

static enum qc_result unpack(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	struct qc_packing *p = &q->packing;
	struct qc_unpacked *u;

	if (!p->decoder)
		p->decoder = codec_decoder_new(type_of(q));
	u = take_oldest(q);
	if (!p->decoder || !u)
		return QC_ENOMEM;
	if (!codec_decode(p->decoder, job->packed, (size_t)job->packed_len,
			  u->data, q->h.cluster_bytes))
		/* its own bytes are wrong, nothing that others rely on */
		return QC_EIO;
	u->desc = job->ext.host;
	copy_out(job, u);
	return QC_OK;
}

static void packed_read(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;
	enum qc_result result = qc_result_of(res);

	if (result == QC_OK)
		result = unpack(job);
	q->packing.nr_bytes -= job->packed_len;
	free(job->packed);
	job->packed = NULL;
	job->packed_next(job);
	qc_wake(q, &q->packing.waiters, QC_OK);
	qc_make_runnable(q, &job->waiter, result);
	qc_run_queue(q);
}

enum qc_result qc_unpack_gate(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	struct qc_packing *p = &q->packing;

	if (find(q, job->ext.host) || !p->nr_bytes ||
	    p->nr_bytes < QC_MAX_PACKED_BYTES)
		return QC_OK;
	qc_wait_on(&p->waiters, &job->waiter);
	return QC_WAIT;
}

bool qc_unpack(struct qc_job *job, void (*next)(struct qc_job *job))
{
	struct qc_disk *q = job->q;
	struct qc_unpacked *u = find(q, job->ext.host);
	uint64_t offset;

	if (u) {
		copy_out(job, u);
		next(job);
		return false;
	}
	qc_compressed_range(job->ext.host, q->h.cluster_bits, &offset,
			    &job->packed_len);
	job->packed = malloc((size_t)job->packed_len);
	if (!job->packed) {
		qc_job_finish(job, VC_DISK_EIO);
		return true;
	}
	q->packing.nr_bytes += job->packed_len;
	job->packed_next = next;
	eng_io_set_buf(&job->io, job->packed, (size_t)job->packed_len);
	qc_job_submit_io(job, ENG_READ, offset, packed_read);
	return true;
}

/* --- writing ------------------------------------------------------------------ */

static void pack_write_step(struct qc_job *job);
static void pack_link_step(struct qc_job *job);

/* One more reference to the cluster that has been begun. False: it takes no
 * more. */
static enum qc_result begun_page(struct qc_disk *q, struct qc_waiter *w,
				 struct qc_page **ret, size_t *ret_index)
{
	struct qc_packing *p = &q->packing;
	enum qc_result res;

	*ret = NULL;
	if (!p->next_host)
		return QC_OK;
	res = qc_refcount_page(q, p->next_host >> q->h.cluster_bits, w, ret,
			       ret_index);
	if (res != QC_OK)
		return res;
	if (qc_refcount_get((*ret)->data, q->h.refcount_order, *ret_index) >=
	    qc_refcount_max(q->h.refcount_order)) {
		*ret = NULL;
		p->next_host = 0;
	}
	return QC_OK;
}

static void add_reference(struct qc_disk *q, struct qc_page *p, size_t i)
{
	unsigned order = q->h.refcount_order;

	qc_refcount_put(p->data, order, i,
			qc_refcount_get(p->data, order, i) + 1);
	qc_page_dirty(q, p);
}

/* A place for `len` bytes, less than a cluster. */
static enum qc_result alloc_bytes(struct qc_job *job, uint64_t len)
{
	struct qc_disk *q = job->q;
	struct qc_packing *p = &q->packing;
	unsigned bits = q->h.cluster_bits;
	uint64_t mask = q->h.cluster_bytes - 1, first, count;
	enum qc_result res = qc_writeback_gate(q, &job->waiter);
	struct qc_page *page = NULL;
	size_t i = 0;
	bool fresh;

	if (res == QC_OK)
		res = begun_page(q, &job->waiter, &page, &i);
	if (res == QC_OK &&
	    (!page || len > q->h.cluster_bytes - (p->next_host & mask))) {
		res = qc_alloc(q, 1, &job->waiter, &first, &count, &fresh);
		if (res != QC_OK)
			return res;
		job->new_first = first;
		job->new_count = 1;
		if (page && first == (p->next_host >> bits) + 1) {
			/* begins in the old one, ends in the new one */
			add_reference(q, page, i);
			job->packed_host = p->next_host;
			job->new_first--;
			job->new_count++;
		} else {
			job->packed_host = first << bits;
		}
	} else if (res == QC_OK) {
		add_reference(q, page, i);
		job->packed_host = p->next_host;
		job->new_first = p->next_host >> bits;
		job->new_count = 1;
	}
	if (res != QC_OK)
		return res;
	job->is_new = true;
	p->next_host = job->packed_host + len;
	if (!(p->next_host & mask))
		p->next_host = 0;
	return QC_OK;
}

static bool go_on(struct qc_job *job, enum qc_result res)
{
	if (res != QC_OK && res != QC_WAIT)
		qc_job_finish(job, qc_status(res));
	return res == QC_OK;
}

static void pack_alloc_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	enum qc_result res;

	job->step = pack_alloc_step;
	res = qc_l2_own(q, job->req->offset_bytes, &job->waiter);
	if (res == QC_OK && !job->is_new)
		res = alloc_bytes(job, job->req->length_bytes);
	if (go_on(job, res))
		pack_write_step(job);
}

void qc_pack_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	enum qc_result res = q->is_broken ? QC_EIO : QC_OK;

	if (res == QC_OK)
		res = qc_lock_range(job, job->req->offset_bytes,
				    q->h.cluster_bytes, true);
	if (go_on(job, res))
		pack_alloc_step(job);
}

static void packed_written(struct eng_io *io, int res)
{
	struct qc_job *job = vc_container_of(io, struct qc_job, io);
	struct qc_disk *q = job->q;

	job->step = pack_link_step;
	qc_make_runnable(q, &job->waiter, qc_result_of(res));
	qc_run_queue(q);
}

static void pack_write_step(struct qc_job *job)
{
	struct vc_disk_req *req = job->req;
	unsigned x = 62 - (job->q->h.cluster_bits - 8);

	/* the entry has so many bits for it */
	if (job->packed_host + req->length_bytes > UINT64_C(1) << x)
		qc_job_finish(job, VC_DISK_ENOSPC);
	else if (!eng_io_set_iov(&job->io, req->iov, req->nr_iov, 0,
				 req->length_bytes))
		qc_job_finish(job, VC_DISK_EIO);
	else
		qc_job_submit_io(job, ENG_WRITE, job->packed_host,
				 packed_written);
}

static void pack_link_step(struct qc_job *job)
{
	struct qc_disk *q = job->q;
	unsigned x = 62 - (q->h.cluster_bits - 8);
	uint64_t host = job->packed_host, sectors;
	struct qc_page *p = NULL;
	enum qc_result res;
	size_t i = 0, left;

	res = qc_writeback_gate(q, &job->waiter);
	if (res == QC_OK)
		res = qc_l2_page(q, job->req->offset_bytes, &job->waiter, &p,
				 &i, &left);
	if (res == QC_OK && !p)
		res = QC_EIO;
	if (!go_on(job, res))
		return;
	sectors = ((host + job->req->length_bytes - 1) >> 9) - (host >> 9);
	qc_l2_set(q, p, i,
		  (struct qc_entry){ QC_COMPRESSED | sectors << x | host, 0 });
	job->is_new = false;
	qc_job_finish(job, VC_DISK_OK);
}

void qc_packing_fini(struct qc_disk *q)
{
	size_t i;

	for (i = 0; i < QC_NR_UNPACKED; i++)
		free(q->packing.cache[i].data);
	codec_decoder_free(q->packing.decoder);
}
