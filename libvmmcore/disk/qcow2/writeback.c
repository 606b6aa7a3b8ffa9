/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing metadata. Changes to L2 entries and refcounts stay in memory until a
 * round of writeback, which a flush, a full cache or close starts. A round
 * keeps this order, each step on the medium before the next begins:
 *
 *	refcount blocks -> refcount table -> header, if the table moved
 *	(and the data, which was written before its L2 entry was changed)
 *	-> L2 tables -> L1 table -> the clusters that nothing refers to any more
 *	are punched out and their refcounts lowered, in memory
 *
 * So whenever the process dies or the power goes, what an L2 table in the file
 * refers to has a refcount and its data; the worst that is left is a refcount
 * that is too high: a leak. A cluster is used again only when the reference to
 * it is gone from the medium.
 *
 * While L2 and refcounts are being written they are frozen: a request that
 * would change them waits at qc_writeback_gate(). Reads, and writes to clusters
 * that exist, go on. The final sync and the releasing are done thawed.
 *
 * If a write fails the round ends, what was not written stays dirty, flushes
 * that wait for it fail, and the next round tries again.
 *
 * If a sync fails there is no next round: what was written before it may be on
 * the medium or not, and never will be, so nothing that relies on it may be
 * written, and no cluster taken that a refcount which may be lost calls free.
 * Flushes, and requests that would change metadata, fail from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

enum {
	WB_REFBLOCKS,
	WB_SYNC_REFBLOCKS,
	WB_REFTABLE,
	WB_SYNC_REFTABLE,
	WB_HEADER,
	WB_SYNC_BEFORE_L2,
	WB_L2,
	WB_SYNC_L2,
	WB_L1,
	WB_THAW,
	WB_SYNC_ALL,
	WB_FLUSHED,
	WB_RELEASE,
	WB_END,
};

static void wb_step(struct qc_disk *q);

bool qc_writeback_needed(const struct qc_disk *q)
{
	return q->cache.nr_dirty || q->l1.is_dirty || q->reftable.is_dirty ||
	       q->wb.nr_frees;
}

/* --- I/O -------------------------------------------------------------------- */

static void wb_io_done(struct eng_io *io, int res)
{
	struct qc_writeback *wb = vc_container_of(io, struct qc_writeback, io);
	struct qc_disk *q = vc_container_of(wb, struct qc_disk, wb);

	wb->nr_in_flight--;
	if (io->op == ENG_SYNC)
		res = disk_synced(&q->base, res);
	/* a hole that cannot be punched only wastes space */
	if (res < 0 && io->op != ENG_FALLOCATE)
		wb->res = qc_result_of(res);
	wb_step(q);
	qc_run_queue(q);
}

static void wb_submit(struct qc_disk *q, enum eng_op op, uint64_t offset)
{
	struct eng_io *io = &q->wb.io;

	io->op = op;
	io->offset = offset;
	io->done = wb_io_done;
	io->fd = op == ENG_WRITE ? disk_fd_for(&q->base, io) : q->base.fd;
	q->wb.nr_in_flight++;
	engine_submit(q->base.engine, io);
}

static void data_synced(struct eng_io *io, int res)
{
	struct qc_writeback *wb =
		vc_container_of(io, struct qc_writeback, data_io);
	struct qc_disk *q = vc_container_of(wb, struct qc_disk, wb);

	wb->nr_in_flight--;
	res = disk_synced(&q->base, disk_synced(q->data, res));
	if (res < 0)
		wb->res = qc_result_of(res);
	wb_step(q);
	qc_run_queue(q);
}

/* What L2 tables refer to is there, too. */
static void sync_data_file(struct qc_disk *q)
{
	struct eng_io *io = &q->wb.data_io;

	io->op = ENG_SYNC;
	io->offset = 0;
	io->nr_iov = 0;
	io->heap = NULL;
	io->done = data_synced;
	io->fd = q->data->fd;
	q->wb.nr_in_flight++;
	engine_submit(q->base.engine, io);
}

static void wb_sync(struct qc_disk *q)
{
	if (q->base.no_sync)
		return;
	q->wb.io.nr_iov = 0;
	q->wb.io.heap = NULL;
	wb_submit(q, ENG_SYNC, 0);
	if (q->data)
		sync_data_file(q);
}

static int compare_pages(const void *a, const void *b)
{
	const struct qc_page *const *x = a, *const *y = b;

	return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

static void collect(struct qc_disk *q, enum qc_page_kind kind)
{
	struct qc_writeback *wb = &q->wb;
	struct qc_page *p;

	wb->nr_pages = wb->next_page = 0;
	if (!q->cache.nr_dirty)
		return;
	free(wb->pages);
	wb->pages = malloc(q->cache.nr_dirty * sizeof(struct qc_page *));
	if (!wb->pages) {
		wb->res = QC_ENOMEM;
		return;
	}
	for (p = q->cache.lru.lru_next; p != &q->cache.lru; p = p->lru_next)
		if (p->is_dirty && p->kind == kind)
			wb->pages[wb->nr_pages++] = p;
	qsort(wb->pages, wb->nr_pages, sizeof(struct qc_page *), compare_pages);
}

static bool start_slot(struct qc_wb_io *slot);

static void slot_done(struct eng_io *io, int res)
{
	struct qc_wb_io *slot = vc_container_of(io, struct qc_wb_io, io);
	struct qc_disk *q = slot->q;
	int i;

	q->wb.nr_in_flight--;
	if (res < 0)
		q->wb.res = qc_result_of(res);
	for (i = 0; res == 0 && i < slot->nr_pages; i++) {
		slot->pages[i]->is_dirty = false;
		q->cache.nr_dirty--;
	}
	if (!start_slot(slot) && !q->wb.nr_in_flight) {
		wb_step(q);
		qc_run_queue(q);
	}
}

/* Write the next pages that lie side by side. */
static bool start_slot(struct qc_wb_io *slot)
{
	struct qc_disk *q = slot->q;
	struct qc_writeback *wb = &q->wb;
	uint32_t page_bytes = q->cache.page_bytes;
	struct iovec iov[QC_WB_IOV];
	int n = 0;

	if (wb->res != QC_OK || wb->next_page == wb->nr_pages)
		return false;
	slot->io.offset = wb->pages[wb->next_page]->offset;
	while (n < QC_WB_IOV && wb->next_page < wb->nr_pages) {
		struct qc_page *p = wb->pages[wb->next_page];

		if (p->offset != slot->io.offset + (uint64_t)n * page_bytes)
			break;
		slot->pages[n] = p;
		iov[n++] = (struct iovec){ p->data, page_bytes };
		wb->next_page++;
	}
	slot->nr_pages = n;
	if (!eng_io_set_iov(&slot->io, iov, n, 0, (uint64_t)n * page_bytes)) {
		wb->res = QC_ENOMEM;
		return false;
	}
	slot->io.op = ENG_WRITE;
	slot->io.done = slot_done;
	slot->io.fd = disk_fd_for(&q->base, &slot->io);
	wb->nr_in_flight++;
	engine_submit(q->base.engine, &slot->io);
	return true;
}

static void write_pages(struct qc_disk *q, enum qc_page_kind kind)
{
	int i;

	collect(q, kind);
	for (i = 0; i < QC_WB_SLOTS; i++) {
		q->wb.slots[i].q = q;
		if (!start_slot(&q->wb.slots[i]))
			return;
	}
}

/* One dirty part of a table; stays in this stage until there is none. */
static void write_table(struct qc_disk *q, struct qc_table *t)
{
	struct qc_writeback *wb = &q->wb;
	size_t len;

	if (!t->is_dirty)
		return;
	if (!qc_table_next_dirty(t, &wb->table_pos, &len)) {
		qc_table_clean(t);
		return;
	}
	eng_io_set_buf(&wb->io, (uint8_t *)t->entries + wb->table_pos, len);
	wb_submit(q, ENG_WRITE, t->offset + wb->table_pos);
	wb->table_pos += len;
	wb->stage--; /* again */
}

static void write_header(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;

	if (!q->reftable_moved)
		return;
	/* one aligned sector holds both fields: they change together */
	wb->pointer.offset = be64_put(q->reftable.offset);
	wb->pointer.clusters = be32_put(q->h.reftable_clusters);
	eng_io_set_buf(&wb->io, &wb->pointer, sizeof(wb->pointer));
	wb_submit(q, ENG_WRITE, QC_OFFSET_REFTABLE);
}

/* --- releasing ---------------------------------------------------------------- */

static void wb_retry(struct qc_waiter *w, enum qc_result res)
{
	struct qc_writeback *wb =
		vc_container_of(w, struct qc_writeback, waiter);
	struct qc_disk *q = vc_container_of(wb, struct qc_disk, wb);

	if (res != QC_OK)
		wb->freeing.count = 0; /* cannot be read: leaked */
	wb_step(q);
}

/* The first clusters of wb->freeing that only this reference holds are punched
 * out, then their refcounts set to zero: nobody can get them in between. */
static enum qc_result release_some(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;
	unsigned order = q->h.refcount_order;
	struct qc_page *p;
	uint64_t n = 0, rc;
	size_t i, end;
	enum qc_result res;

	res = qc_refcount_page(q, wb->freeing.first, &wb->waiter, &p, &i);
	if (res != QC_OK)
		return res;
	end = (size_t)q->cache.page_bytes * 8 >> order;
	rc = qc_refcount_get(p->data, order, i);
	if (!rc)
		return qc_corrupt(q, "cluster %llu is used but not allocated",
				  (unsigned long long)wb->freeing.first);
	if (wb->nr_punched) {
		for (; n < wb->nr_punched; n++)
			qc_refcount_put(p->data, order, i + n, 0);
		if (wb->freeing.first < q->free_hint)
			q->free_hint = wb->freeing.first;
	} else if (rc > 1) {
		qc_refcount_put(p->data, order, i, rc - 1);
		n = 1;
	} else {
		while (n < wb->freeing.count && i + n < end &&
		       qc_refcount_get(p->data, order, i + n) == 1)
			n++;
		wb->nr_punched = n;
		if (!q->base.is_regular)
			return QC_OK;
		wb->io.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		wb->io.nr_iov = 0;
		wb->io.heap = NULL;
		wb->io.len = n << q->h.cluster_bits;
		wb_submit(q, ENG_FALLOCATE,
			  wb->freeing.first << q->h.cluster_bits);
		return QC_WAIT;
	}
	qc_page_dirty(q, p);
	wb->freeing.first += n;
	wb->freeing.count -= n;
	wb->nr_punched = 0;
	return QC_OK;
}

/* Returns false when it has to wait. */
static bool release(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;

	for (;;) {
		enum qc_result res;

		if (!wb->freeing.count) {
			if (wb->next_free == wb->nr_ripe)
				break;
			wb->freeing = wb->frees[wb->next_free++];
			wb->nr_punched = 0;
		}
		res = release_some(q);
		if (res == QC_WAIT)
			return false;
		if (res != QC_OK)
			wb->freeing.count = 0; /* leaked */
	}
	wb->nr_frees -= wb->nr_ripe;
	if (wb->nr_ripe) /* else there may be no list */
		memmove(wb->frees, wb->frees + wb->nr_ripe,
			wb->nr_frees * sizeof(*wb->frees));
	wb->nr_ripe = wb->next_free = 0;
	return true;
}

/* --- the round ------------------------------------------------------------------ */

/* May the refcounts wait? The header says they do, until this disk is closed or
 * until they would fill the cache. */
static bool defers_refcounts(const struct qc_disk *q)
{
	return q->is_lazy && !q->is_closing && !q->reftable_moved &&
	       q->cache.nr_dirty <= q->cache.max_pages / 4;
}

static struct vc_disk_req *flush_get(struct req_queue *list)
{
	struct vc_disk_req *req = list->head;

	if (req) {
		list->head = req->priv[0];
		if (!list->head)
			list->tail = NULL;
	}
	return req;
}

static void complete_flushes(struct qc_disk *q)
{
	struct vc_disk_req *req;

	while ((req = flush_get(&q->wb.flushing)))
		disk_complete(&q->base, req, qc_status(q->wb.res));
}

static void wb_end(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;
	bool again = wb->want_round && wb->res == QC_OK;

	complete_flushes(q);
	wb->is_active = wb->is_frozen = false;
	wb->want_round = false;
	qc_wake(q, &wb->thawed, QC_OK);
	qc_wake(q, &wb->finished, wb->res);
	if (again || wb->next_flush.head)
		qc_writeback_start(q);
}

/* One stage: starts I/O, or nothing. */
static void wb_stage(struct qc_disk *q, unsigned stage)
{
	struct qc_writeback *wb = &q->wb;

	switch (stage) {
	case WB_REFBLOCKS:
		if (defers_refcounts(q))
			wb->stage = WB_SYNC_BEFORE_L2;
		else
			write_pages(q, QC_PAGE_REFCOUNT);
		break;
	case WB_SYNC_REFBLOCKS:
		wb->table_pos = 0;
		if (q->reftable.is_dirty)
			wb_sync(q);
		break;
	case WB_REFTABLE:
		write_table(q, &q->reftable);
		break;
	case WB_SYNC_REFTABLE:
		if (q->reftable_moved)
			wb_sync(q);
		break;
	case WB_HEADER:
		write_header(q);
		break;
	case WB_SYNC_BEFORE_L2:
		q->reftable_moved = false;
		if (q->cache.nr_dirty || q->l1.is_dirty)
			wb_sync(q);
		break;
	case WB_L2:
		write_pages(q, QC_PAGE_L2);
		break;
	case WB_SYNC_L2:
		wb->table_pos = 0;
		if (q->l1.is_dirty)
			wb_sync(q);
		break;
	case WB_L1:
		write_table(q, &q->l1);
		break;
	case WB_THAW:
		wb->is_frozen = false;
		qc_wake(q, &wb->thawed, QC_OK);
		break;
	case WB_SYNC_ALL:
		if (wb->flushing.head || wb->nr_ripe)
			wb_sync(q);
		break;
	case WB_FLUSHED:
		complete_flushes(q);
		break;
	default:
		break;
	}
}

static void wb_step(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;

	while (!wb->nr_in_flight) {
		if (q->is_broken && wb->res == QC_OK)
			wb->res = QC_CORRUPT;
		if (q->base.sync_error && wb->res == QC_OK)
			wb->res = qc_result_of(q->base.sync_error);
		if (wb->res != QC_OK || wb->stage == WB_END) {
			wb_end(q);
			return;
		}
		if (wb->stage == WB_RELEASE) {
			if (!release(q))
				return;
			wb->stage++;
			continue;
		}
		wb_stage(q, wb->stage++);
	}
}

void qc_writeback_start(struct qc_disk *q)
{
	struct qc_writeback *wb = &q->wb;

	if (wb->is_active) {
		wb->want_round = true;
		return;
	}
	wb->is_active = wb->is_frozen = true;
	wb->want_round = false;
	wb->res = QC_OK;
	wb->stage = WB_REFBLOCKS;
	wb->waiter.run = wb_retry;
	wb->flushing = wb->next_flush;
	wb->next_flush = (struct req_queue){ NULL, NULL };
	/* a round that failed may have left some of these half done */
	wb->nr_ripe = wb->nr_frees;
	wb_step(q);
}

void qc_writeback_flush(struct qc_disk *q, struct vc_disk_req *req)
{
	struct req_queue *list = &q->wb.next_flush;

	req->priv[0] = NULL;
	if (list->tail)
		list->tail->priv[0] = req;
	else
		list->head = req;
	list->tail = req;
	if (!q->wb.is_active)
		qc_writeback_start(q);
}

enum qc_result qc_writeback_gate(struct qc_disk *q, struct qc_waiter *w)
{
	struct qc_writeback *wb = &q->wb;

	if (q->is_broken)
		return QC_CORRUPT;
	if (q->base.sync_error)
		return qc_result_of(q->base.sync_error);
	if (wb->is_frozen) {
		qc_wait_on(&wb->thawed, w);
		return QC_WAIT;
	}
	if (q->cache.nr_dirty <= q->cache.max_pages / 2 &&
	    wb->nr_frees < QC_MAX_FREES)
		return QC_OK;
	qc_wait_on(&wb->finished, w);
	qc_writeback_start(q);
	return QC_WAIT;
}

void qc_writeback_fini(struct qc_disk *q)
{
	free(q->wb.pages);
	free(q->wb.frees);
}
