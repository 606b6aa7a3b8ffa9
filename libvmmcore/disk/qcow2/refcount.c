/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocation. A cluster is free when its refcount is zero or when the block
 * that would hold its refcount does not exist; such a block is made on demand
 * in the first cluster of the very range it describes, which therefore is
 * free, and needs no further block to account for it. The refcount table is
 * in memory: growing it is a matter of memory first, and of finding a new
 * place in the file for the next writeback.
 *
 * The refcounts of an image are its maker's word. A cluster they call free and
 * that is older than this session is compared with all metadata before it is
 * used, so a lying image damages its own data at worst, never its tables.
 */
#include <stdlib.h>
#include "disk/qcow2/qcow2.h"

static uint64_t entries_per_block(const struct qc_disk *q)
{
	return ((uint64_t)q->h.cluster_bytes * 8) >> q->h.refcount_order;
}

static uint64_t entries_per_page(const struct qc_disk *q)
{
	return ((uint64_t)q->cache.page_bytes * 8) >> q->h.refcount_order;
}

static bool block_offset_ok(const struct qc_disk *q, uint64_t entry)
{
	return !(entry & (q->h.cluster_bytes - 1)) && entry &&
	       (entry >> q->h.cluster_bits) < q->file_clusters;
}

enum qc_result qc_refcount_page(struct qc_disk *q, uint64_t cluster,
				struct qc_waiter *w, struct qc_page **ret,
				size_t *ret_index)
{
	uint64_t block = cluster / entries_per_block(q);
	uint64_t in_block = cluster % entries_per_block(q);
	uint64_t offset;

	if (block >= q->reftable.nr || !qc_table_get(&q->reftable, block))
		return qc_corrupt(q, "cluster %llu is used but has no refcount",
				  (unsigned long long)cluster);
	offset = qc_table_get(&q->reftable, block);
	if (!block_offset_ok(q, offset))
		return qc_corrupt(q, "refcount table entry %llu: %#llx",
				  (unsigned long long)block,
				  (unsigned long long)offset);
	*ret_index = (size_t)(in_block % entries_per_page(q));
	offset += in_block / entries_per_page(q) * q->cache.page_bytes;
	return qc_page_get(q, QC_PAGE_REFCOUNT, offset, w, ret);
}

/* --- is it really free? --------------------------------------------------- */

static bool run_has(uint64_t first, uint64_t count, uint64_t cluster)
{
	return cluster >= first && cluster - first < count;
}

static bool table_refers_to(const struct qc_disk *q, const struct qc_table *t,
			    uint64_t first, uint64_t count)
{
	uint32_t i;

	for (i = 0; i < t->nr; i++) {
		uint64_t offset = qc_table_get(t, i) & QC_OFFSET_MASK;

		if (offset &&
		    run_has(first, count, offset >> q->h.cluster_bits))
			return true;
	}
	return false;
}

static bool runs_meet(uint64_t a, uint64_t a_count, uint64_t b,
		      uint64_t b_count)
{
	return a_count && b_count && a < b + b_count && b < a + a_count;
}

static bool is_metadata(const struct qc_disk *q, uint64_t first, uint64_t count)
{
	size_t i;

	if (first == 0 ||
	    runs_meet(first, count, q->l1.offset >> q->h.cluster_bits,
		      qc_clusters(q, (uint64_t)q->l1.nr * 8)) ||
	    runs_meet(first, count, q->reftable.offset >> q->h.cluster_bits,
		      qc_clusters(q, (uint64_t)q->reftable.nr * 8)))
		return true;
	for (i = 0; i < q->nr_fixed; i++)
		if (runs_meet(first, count, q->fixed[i].first,
			      q->fixed[i].count))
			return true;
	return table_refers_to(q, &q->l1, first, count) ||
	       table_refers_to(q, &q->reftable, first, count);
}

/* --- taking ------------------------------------------------------------------ */

/* The clusters are ours: count them and keep the marks up to date. */
static enum qc_result take(struct qc_disk *q, struct qc_page *p, size_t index,
			   uint64_t first, uint64_t count, bool *ret_fresh)
{
	uint64_t i;

	if (first + count > QC_MAX_HOST_OFFSET >> q->h.cluster_bits)
		return QC_ENOSPC;
	if (first < q->fresh_from && is_metadata(q, first, count))
		return qc_corrupt(q,
				  "metadata in cluster %llu or after is not "
				  "allocated",
				  (unsigned long long)first);
	for (i = 0; i < count; i++)
		qc_refcount_put(p->data, q->h.refcount_order, index + i, 1);
	qc_page_dirty(q, p);
	*ret_fresh = q->base.is_regular && first >= q->fresh_from;
	if (first + count > q->fresh_from)
		q->fresh_from = first + count;
	if (first + count > q->file_clusters)
		q->file_clusters = first + count;
	q->free_hint = first + count;
	return QC_OK;
}

/* The first free clusters of one page from `cluster` on. *ret_count is 0 if it
 * has none. */
static void find_in_page(const struct qc_disk *q, const struct qc_page *p,
			 size_t *index, uint64_t want, uint64_t *ret_count)
{
	size_t end = (size_t)entries_per_page(q), i = *index;
	unsigned order = q->h.refcount_order;
	uint64_t n = 0;

	while (i < end && qc_refcount_get(p->data, order, i))
		i++;
	while (i + n < end && n < want &&
	       !qc_refcount_get(p->data, order, i + n))
		n++;
	*index = i;
	*ret_count = n;
}

/* Make the block number `block`, in the first cluster of its range. */
static enum qc_result make_block(struct qc_disk *q, uint64_t block)
{
	uint64_t cluster = block * entries_per_block(q);
	uint64_t offset = cluster << q->h.cluster_bits, pos;
	struct qc_page *first = NULL, *p;
	enum qc_result res;
	bool fresh;

	for (pos = 0; pos < q->h.cluster_bytes; pos += q->cache.page_bytes) {
		res = qc_page_new(q, QC_PAGE_REFCOUNT, offset + pos, &p);
		if (res != QC_OK)
			return res;
		if (!first)
			first = p;
	}
	res = take(q, first, 0, cluster, 1, &fresh);
	if (res == QC_OK)
		qc_table_set(&q->reftable, block, offset);
	return res;
}

/* How large a table that has an entry for `block` should be, with room to
 * grow, and how many blocks describe it if they and it begin a range of their
 * own. */
static void plan_reftable(const struct qc_disk *q, uint64_t block,
			  uint64_t *ret_clusters, uint64_t *ret_blocks)
{
	uint64_t per_cluster = q->h.cluster_bytes / 8;
	uint64_t per_block = entries_per_block(q);
	uint64_t clusters = (block + block / 2) / per_cluster + 1, blocks;

	do {
		clusters++;
		for (blocks = 1; blocks * per_block < blocks + clusters;)
			blocks++;
	} while (clusters * per_cluster < block + blocks + 1);
	*ret_clusters = clusters;
	*ret_blocks = blocks;
}

/* A block that describes clusters used up to `end`. */
static enum qc_result make_full_block(struct qc_disk *q, uint64_t block,
				      uint64_t at_cluster, uint64_t end)
{
	uint64_t offset = at_cluster << q->h.cluster_bits, pos, i;
	uint64_t cluster = block * entries_per_block(q);

	for (pos = 0; pos < q->h.cluster_bytes; pos += q->cache.page_bytes) {
		enum qc_result res;
		struct qc_page *p;

		res = qc_page_new(q, QC_PAGE_REFCOUNT, offset + pos, &p);
		if (res != QC_OK)
			return res;
		for (i = 0; i < entries_per_page(q); i++, cluster++)
			if (cluster < end)
				qc_refcount_put(p->data, q->h.refcount_order, i,
						1);
	}
	qc_table_set(&q->reftable, block, offset);
	return QC_OK;
}

/* A larger refcount table. It and the blocks that describe it go side by side
 * to the beginning of the range that `block`, the first one the old table has
 * no entry for, describes: there nothing is allocated. */
static enum qc_result grow_reftable(struct qc_disk *q)
{
	uint64_t block = q->reftable.nr, clusters, blocks, i, first, end;
	uint64_t old = q->reftable.offset >> q->h.cluster_bits;
	uint64_t old_count = q->h.reftable_clusters;
	enum qc_result res;

	plan_reftable(q, block, &clusters, &blocks);
	first = block * entries_per_block(q);
	end = first + blocks + clusters;
	if (clusters << q->h.cluster_bits > QC_MAX_REFTABLE_BYTES ||
	    end > QC_MAX_HOST_OFFSET >> q->h.cluster_bits)
		return QC_ENOSPC;
	if (first < q->fresh_from && is_metadata(q, first, end - first))
		return qc_corrupt(q,
				  "metadata in cluster %llu or after is not "
				  "allocated",
				  (unsigned long long)first);
	if (!qc_table_grow(&q->reftable,
			   (uint32_t)(clusters * (q->h.cluster_bytes / 8))))
		return QC_ENOMEM;
	if (end > q->fresh_from)
		q->fresh_from = end;
	if (end > q->file_clusters)
		q->file_clusters = end;
	for (i = 0; i < blocks; i++) {
		res = make_full_block(q, block + i, first + i, end);
		if (res != QC_OK) {
			q->is_broken = true; /* half made: do not write it */
			return res;
		}
	}
	q->reftable.offset = (first + blocks) << q->h.cluster_bits;
	q->h.reftable_clusters = (uint32_t)clusters;
	q->reftable_moved = true;
	qc_free_later(q, old, old_count);
	return QC_OK;
}

enum qc_result qc_alloc(struct qc_disk *q, uint64_t want, struct qc_waiter *w,
			uint64_t *ret_first, uint64_t *ret_count,
			bool *ret_fresh)
{
	enum qc_result res = qc_writeback_gate(q, w);

	while (res == QC_OK) {
		uint64_t cluster = q->free_hint, n;
		uint64_t block = cluster / entries_per_block(q);
		struct qc_page *p;
		size_t i, start;

		if (block >= q->reftable.nr) {
			res = grow_reftable(q);
			continue;
		}
		if (!qc_table_get(&q->reftable, block)) {
			res = make_block(q, block);
			continue;
		}
		res = qc_refcount_page(q, cluster, w, &p, &i);
		if (res != QC_OK)
			break;
		start = i;
		find_in_page(q, p, &i, want, &n);
		if (!n) {
			q->free_hint += entries_per_page(q) - start;
			continue;
		}
		*ret_first = cluster + (i - start);
		*ret_count = n;
		return take(q, p, i, *ret_first, n, ret_fresh);
	}
	return res;
}

void qc_free_later(struct qc_disk *q, uint64_t first, uint64_t count)
{
	struct qc_writeback *wb = &q->wb;
	struct qc_run *last, *more;

	if (!count)
		return;
	/* what may be punched out soon must not be added to */
	if (q->packing.next_host &&
	    run_has(first, count, q->packing.next_host >> q->h.cluster_bits))
		q->packing.next_host = 0;
	if (wb->nr_frees > wb->nr_ripe) {
		last = &wb->frees[wb->nr_frees - 1];
		if (last->first + last->count == first) {
			last->count += count;
			return;
		}
	}
	if (wb->nr_frees == wb->max_frees) {
		size_t max = wb->max_frees ? wb->max_frees * 2 : 64;

		more = realloc(wb->frees, max * sizeof(*more));
		if (!more)
			return; /* leaked */
		wb->frees = more;
		wb->max_frees = max;
	}
	wb->frees[wb->nr_frees++] = (struct qc_run){ first, count };
}
