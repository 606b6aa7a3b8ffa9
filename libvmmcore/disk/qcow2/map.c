/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From guest offsets to clusters of the file. Entries of L1 and L2 come from
 * the file and are checked each time they are used: it is a few instructions,
 * and nothing has to be remembered about what was checked.
 */
#include <string.h>
#include "disk/qcow2/qcow2.h"

enum qc_kind qc_entry_kind(uint64_t entry)
{
	if (entry & QC_COMPRESSED)
		return QC_COMPRESSED_CLUSTER;
	if (entry & QC_ZERO)
		return entry & QC_OFFSET_MASK ? QC_ZERO_ALLOCATED
					      : QC_ZERO_PLAIN;
	return entry & QC_OFFSET_MASK ? QC_NORMAL : QC_UNALLOCATED;
}

/* A cluster in the file, and not of the tables whose place is known. */
static bool offset_ok(const struct qc_disk *q, uint64_t offset)
{
	uint64_t l1_bytes = (uint64_t)q->l1.nr * 8;

	return !(offset & (q->h.cluster_bytes - 1)) &&
	       offset >= q->h.cluster_bytes &&
	       offset >> q->h.cluster_bits < q->file_clusters &&
	       !(offset >= q->l1.offset && offset - q->l1.offset < l1_bytes) &&
	       !(offset >= q->h.reftable_offset &&
		 (offset - q->h.reftable_offset) >> q->h.cluster_bits <
			 q->h.reftable_clusters);
}

bool qc_entry_ok(const struct qc_disk *q, uint64_t entry)
{
	uint64_t offset, bytes;

	switch (qc_entry_kind(entry)) {
	case QC_COMPRESSED_CLUSTER:
		qc_compressed_range(entry, q->h.cluster_bits, &offset, &bytes);
		return !(entry & QC_COPIED) && offset >= q->h.cluster_bytes &&
		       (offset + bytes - 1) >> q->h.cluster_bits <
			       q->file_clusters;
	case QC_ZERO_PLAIN:
		return q->h.version > 2 && !(entry & QC_L2_RESERVED);
	case QC_ZERO_ALLOCATED:
		return q->h.version > 2 && !(entry & QC_L2_RESERVED) &&
		       offset_ok(q, entry & QC_OFFSET_MASK);
	case QC_NORMAL:
		return !(entry & QC_L2_RESERVED) &&
		       offset_ok(q, entry & QC_OFFSET_MASK);
	case QC_UNALLOCATED:
		break;
	}
	return !(entry & QC_L2_RESERVED);
}

static uint64_t l1_index(const struct qc_disk *q, uint64_t offset)
{
	return offset >> (2 * q->h.cluster_bits - 3);
}

enum qc_result qc_l2_page(struct qc_disk *q, uint64_t offset,
			  struct qc_waiter *w, struct qc_page **ret,
			  size_t *ret_index, size_t *ret_left)
{
	uint64_t entry = qc_table_get(&q->l1, l1_index(q, offset));
	uint64_t l2 = entry & QC_OFFSET_MASK, byte;

	if (!l2) {
		*ret = NULL;
		return QC_OK;
	}
	if ((entry & QC_L1_RESERVED) || !offset_ok(q, l2))
		return qc_corrupt(q, "L1 entry %llu: %#llx",
				  (unsigned long long)l1_index(q, offset),
				  (unsigned long long)entry);
	byte = (offset >> q->h.cluster_bits) * 8 & (q->h.cluster_bytes - 1);
	*ret_index = (byte & (q->cache.page_bytes - 1)) / 8;
	*ret_left = q->cache.page_bytes / 8 - *ret_index;
	return qc_page_get(q, QC_PAGE_L2,
			   l2 + vc_align_down(byte, q->cache.page_bytes), w,
			   ret);
}

static uint64_t entry_at(const struct qc_page *p, size_t i)
{
	return be64_get(((const be64_t *)p->data)[i]);
}

/* Must a write put this cluster somewhere else? */
static bool needs_alloc(uint64_t entry)
{
	enum qc_kind kind = qc_entry_kind(entry);

	return !(entry & QC_COPIED) ||
	       (kind != QC_NORMAL && kind != QC_ZERO_ALLOCATED);
}

/* No L2 table: nothing is allocated up to where the next one is. */
static void no_table_extent(const struct qc_disk *q, uint64_t offset,
			    uint64_t max_len, struct qc_extent *ret)
{
	unsigned bits = 2 * q->h.cluster_bits - 3;
	uint64_t i = l1_index(q, offset) + 1;

	while (i < q->l1.nr && (i << bits) - offset < max_len &&
	       !qc_table_get(&q->l1, i))
		i++;
	*ret = (struct qc_extent){ QC_UNALLOCATED, false,
				   vc_min_u64(max_len, (i << bits) - offset),
				   0 };
}

/* Bytes of the disk that one page of entries maps; a power of two. */
static uint64_t page_reach(const struct qc_disk *q)
{
	return (uint64_t)(q->cache.page_bytes / 8) << q->h.cluster_bits;
}

static enum qc_result lookup(struct qc_disk *q, uint64_t offset,
			     uint64_t max_len, bool for_write,
			     struct qc_waiter *w, struct qc_extent *ret)
{
	uint64_t in_cluster = offset & (q->h.cluster_bytes - 1), first, want;
	enum qc_result res;
	struct qc_page *p;
	size_t i, left, n;
	bool alloc;

	res = qc_l2_page(q, offset, w, &p, &i, &left);
	if (res != QC_OK)
		return res;
	if (!p) {
		/* a write will need one page to link what it allocates */
		if (for_write)
			max_len = vc_min_u64(
				max_len,
				page_reach(q) - (offset & (page_reach(q) - 1)));
		no_table_extent(q, offset, max_len, ret);
		return QC_OK;
	}
	first = entry_at(p, i);
	alloc = for_write && needs_alloc(first);
	ret->kind = alloc ? QC_UNALLOCATED : qc_entry_kind(first);
	ret->is_copied = first & QC_COPIED;
	ret->host = (first & QC_OFFSET_MASK) + in_cluster;
	want = first;
	for (n = 0; n < left; n++) {
		uint64_t entry = entry_at(p, i + n);

		if (!qc_entry_ok(q, entry))
			return n ? QC_OK
				 : qc_corrupt(q, "L2 entry for %#llx: %#llx",
					      (unsigned long long)offset,
					      (unsigned long long)entry);
		if (alloc ? !needs_alloc(entry)
			  : (entry ^ want) & ~(QC_COMPRESSED - 1) ||
				    qc_entry_kind(entry) != ret->kind)
			break;
		if (!alloc && (ret->kind == QC_NORMAL ||
			       ret->kind == QC_ZERO_ALLOCATED)) {
			if (entry != want)
				break;
			want += q->h.cluster_bytes;
		}
		ret->len =
			((uint64_t)(n + 1) << q->h.cluster_bits) - in_cluster;
		if (ret->len >= max_len)
			break;
	}
	ret->len = vc_min_u64(ret->len, max_len);
	return QC_OK;
}

enum qc_result qc_lookup(struct qc_disk *q, uint64_t offset, uint64_t max_len,
			 struct qc_waiter *w, struct qc_extent *ret)
{
	return lookup(q, offset, max_len, false, w, ret);
}

enum qc_result qc_lookup_write(struct qc_disk *q, uint64_t offset,
			       uint64_t max_len, struct qc_waiter *w,
			       struct qc_extent *ret)
{
	return lookup(q, offset, max_len, true, w, ret);
}

/* All pages of the table at `l2` are in memory. */
static enum qc_result load_table(struct qc_disk *q, uint64_t l2,
				 struct qc_waiter *w)
{
	uint64_t pos;

	for (pos = 0; pos < q->h.cluster_bytes; pos += q->cache.page_bytes) {
		struct qc_page *p;
		enum qc_result res;

		res = qc_page_get(q, QC_PAGE_L2, l2 + pos, w, &p);
		if (res != QC_OK)
			return res;
	}
	return QC_OK;
}

enum qc_result qc_l2_own(struct qc_disk *q, uint64_t offset,
			 struct qc_waiter *w)
{
	uint64_t i = l1_index(q, offset), entry = qc_table_get(&q->l1, i);
	uint64_t old = entry & QC_OFFSET_MASK, first, count, pos;
	enum qc_result res = QC_OK;
	bool fresh;

	if (old && (entry & QC_COPIED))
		return QC_OK;
	if (old && ((entry & QC_L1_RESERVED) || !offset_ok(q, old)))
		return qc_corrupt(q, "L1 entry %llu: %#llx",
				  (unsigned long long)i,
				  (unsigned long long)entry);
	if (old)
		res = load_table(q, old, w);
	if (res == QC_OK)
		res = qc_alloc(q, 1, w, &first, &count, &fresh);
	if (res != QC_OK)
		return res;
	/* from here on nothing waits: nobody sees it half done */
	for (pos = 0; pos < q->h.cluster_bytes; pos += q->cache.page_bytes) {
		struct qc_page *p, *from;

		res = qc_page_new(q, QC_PAGE_L2,
				  (first << q->h.cluster_bits) + pos, &p);
		if (res == QC_OK && old)
			res = qc_page_get(q, QC_PAGE_L2, old + pos, w, &from);
		if (res != QC_OK)
			return res;
		if (old)
			memcpy(p->data, from->data, q->cache.page_bytes);
	}
	qc_table_set(&q->l1, i, first << q->h.cluster_bits | QC_COPIED);
	if (old) {
		qc_cache_forget(q, old);
		qc_free_later(q, old >> q->h.cluster_bits, 1);
	}
	return QC_OK;
}

void qc_l2_set(struct qc_disk *q, struct qc_page *p, size_t i, uint64_t entry)
{
	uint64_t old = entry_at(p, i), offset, bytes, first;

	if (old == entry)
		return;
	((be64_t *)p->data)[i] = be64_put(entry);
	qc_page_dirty(q, p);
	if (!qc_entry_ok(q, old)) {
		qc_corrupt(q, "L2 entry %#llx", (unsigned long long)old);
		return;
	}
	if (old & QC_COMPRESSED) {
		qc_compressed_range(old, q->h.cluster_bits, &offset, &bytes);
		first = offset >> q->h.cluster_bits;
		qc_free_later(q, first,
			      ((offset + bytes - 1) >> q->h.cluster_bits) -
				      first + 1);
	} else if ((old & QC_OFFSET_MASK) &&
		   (old & QC_OFFSET_MASK) != (entry & QC_OFFSET_MASK)) {
		qc_free_later(q, (old & QC_OFFSET_MASK) >> q->h.cluster_bits,
			      1);
	}
}
