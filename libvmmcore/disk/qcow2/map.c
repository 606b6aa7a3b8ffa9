/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From guest offsets to clusters of the file. Entries of L1 and L2 come from
 * the file and are checked each time they are used: it is a few instructions,
 * and nothing has to be remembered about what was checked.
 *
 * A unit is what an L2 entry can tell apart: a cluster, or with extended L2
 * entries a subcluster, a 32nd of one. Lookups work unit by unit, so that the
 * rest of the code needs to know only how large one is.
 */
#include <string.h>
#include "disk/qcow2/qcow2.h"

static uint64_t word_at(const struct qc_page *p, size_t i)
{
	return be64_get(((const be64_t *)p->data)[i]);
}

struct qc_entry qc_l2_get(const struct qc_disk *q, const struct qc_page *p,
			  size_t i)
{
	if (!qc_has_subclusters(&q->h))
		return (struct qc_entry){ word_at(p, i), 0 };
	return (struct qc_entry){ word_at(p, 2 * i), word_at(p, 2 * i + 1) };
}

/* Is there a cluster behind the entry? In a data file, there may be one at
 * offset 0. */
static bool has_host(const struct qc_disk *q, uint64_t desc)
{
	return (desc & QC_OFFSET_MASK) ||
	       (qc_has_data_file(&q->h) && (desc & QC_COPIED));
}

enum qc_kind qc_unit_kind(const struct qc_disk *q, struct qc_entry e,
			  unsigned unit)
{
	bool host = has_host(q, e.desc);

	if (e.desc & QC_COMPRESSED)
		return QC_COMPRESSED_CLUSTER;
	if (qc_has_subclusters(&q->h)) {
		if (e.bitmap >> (QC_SUBCLUSTERS + unit) & 1)
			return host ? QC_ZERO_ALLOCATED : QC_ZERO_PLAIN;
		return e.bitmap >> unit & 1 ? QC_NORMAL : QC_UNALLOCATED;
	}
	if (e.desc & QC_ZERO)
		return e.desc & QC_OFFSET_MASK ? QC_ZERO_ALLOCATED
					       : QC_ZERO_PLAIN;
	return host ? QC_NORMAL : QC_UNALLOCATED;
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

static bool data_offset_ok(const struct qc_disk *q, uint64_t offset)
{
	if (qc_has_data_file(&q->h))
		return !(offset & (q->h.cluster_bytes - 1));
	return offset_ok(q, offset);
}

static bool compressed_ok(const struct qc_disk *q, struct qc_entry e)
{
	uint64_t offset, bytes;

	qc_compressed_range(e.desc, q->h.cluster_bits, &offset, &bytes);
	return !(e.desc & QC_COPIED) && !e.bitmap && !qc_has_data_file(&q->h) &&
	       offset >= q->h.cluster_bytes &&
	       (offset + bytes - 1) >> q->h.cluster_bits < q->file_clusters;
}

bool qc_entry_ok(const struct qc_disk *q, struct qc_entry e)
{
	bool host = has_host(q, e.desc);

	if (e.desc & QC_COMPRESSED)
		return compressed_ok(q, e);
	if (e.desc & QC_L2_RESERVED)
		return false;
	if (e.desc & QC_ZERO &&
	    (q->h.version == 2 || qc_has_subclusters(&q->h)))
		return false;
	/* allocated and zero at once, or allocated nowhere */
	if (e.bitmap & e.bitmap >> QC_SUBCLUSTERS ||
	    (!host && (e.bitmap & QC_SUB_ALLOC_ALL)))
		return false;
	return !host || data_offset_ok(q, e.desc & QC_OFFSET_MASK);
}

static uint64_t l1_index(const struct qc_disk *q, uint64_t offset)
{
	return offset >> q->l2_reach_bits;
}

static enum qc_result l1_page(struct qc_disk *q, uint64_t i,
			      struct qc_waiter *w, struct qc_page **ret)
{
	return qc_page_get(q, QC_PAGE_L1,
			   q->l1.offset +
				   vc_align_down(i * 8, q->cache.page_bytes),
			   w, ret);
}

static uint64_t l1_word(const struct qc_disk *q, const struct qc_page *p,
			uint64_t i)
{
	return word_at(p, (i * 8 & (q->cache.page_bytes - 1)) / 8);
}

static enum qc_result l1_get(struct qc_disk *q, uint64_t i, struct qc_waiter *w,
			     uint64_t *ret)
{
	enum qc_result res;
	struct qc_page *p;

	if (q->l1.entries) {
		*ret = qc_table_get(&q->l1, i);
		return QC_OK;
	}
	res = l1_page(q, i, w, &p);
	if (res == QC_OK)
		*ret = l1_word(q, p, i);
	return res;
}

/* While an image is mapped: does another L1 entry name this table, too? Then
 * there may be no end. */
static bool is_repeated(struct qc_disk *q, uint64_t l2, uint64_t i)
{
	uint32_t other;

	if (!q->is_mapping)
		return false;
	if (!q->seen)
		q->seen = qc_seen_new();
	if (!q->seen || !qc_seen_before(q->seen, l2, 0, (uint32_t)i, &other))
		return false;
	/* it may have been moved since, and its cluster used again */
	return !q->l1.entries ||
	       (qc_table_get(&q->l1, other) & QC_OFFSET_MASK) == l2;
}

enum qc_result qc_l2_page(struct qc_disk *q, uint64_t offset,
			  struct qc_waiter *w, struct qc_page **ret,
			  size_t *ret_index, size_t *ret_left)
{
	uint64_t entry, l2, byte;
	unsigned bits = q->l2_entry_bits;
	enum qc_result res;

	res = l1_get(q, l1_index(q, offset), w, &entry);
	if (res != QC_OK)
		return res;
	l2 = entry & QC_OFFSET_MASK;
	if (!l2) {
		*ret = NULL;
		return QC_OK;
	}
	if ((entry & QC_L1_RESERVED) || !offset_ok(q, l2))
		return qc_corrupt(q, "L1 entry %llu: %#llx",
				  (unsigned long long)l1_index(q, offset),
				  (unsigned long long)entry);
	if (is_repeated(q, l2, l1_index(q, offset)))
		return qc_corrupt(q,
				  "L1 entry %llu: %#llx: another has it, too",
				  (unsigned long long)l1_index(q, offset),
				  (unsigned long long)entry);
	byte = (offset >> q->h.cluster_bits) << bits & (q->h.cluster_bytes - 1);
	*ret_index = (byte & (q->cache.page_bytes - 1)) >> bits;
	*ret_left = (q->cache.page_bytes >> bits) - *ret_index;
	return qc_page_get(q, QC_PAGE_L2,
			   l2 + vc_align_down(byte, q->cache.page_bytes), w,
			   ret);
}

/* The first index from `i` on that has an entry, or where what is known ends. */
static enum qc_result next_table(struct qc_disk *q, uint64_t i, uint64_t end,
				 struct qc_waiter *w, uint64_t *ret)
{
	enum qc_result res;
	struct qc_page *p;

	if (q->l1.entries) {
		while (i < end && !qc_table_get(&q->l1, i))
			i++;
		*ret = i;
		return QC_OK;
	}
	/* what has no entry is on this page, which was looked at just now */
	res = l1_page(q, i - 1, w, &p);
	if (res != QC_OK)
		return res;
	end = vc_min_u64(end, vc_align_up(i, q->cache.page_bytes / 8));
	while (i < end && !l1_word(q, p, i))
		i++;
	*ret = i;
	return QC_OK;
}

/* No L2 table: nothing is allocated up to where the next one is. */
static enum qc_result no_table_extent(struct qc_disk *q, uint64_t offset,
				      uint64_t max_len, struct qc_waiter *w,
				      struct qc_extent *ret)
{
	unsigned bits = q->l2_reach_bits;
	uint64_t i = l1_index(q, offset) + 1, end = q->l1.nr;
	enum qc_result res;

	if (max_len <= UINT64_MAX - offset)
		end = vc_min_u64(end, ((offset + max_len - 1) >> bits) + 1);
	res = next_table(q, i, end, w, &i);
	if (res != QC_OK)
		return res;
	*ret = (struct qc_extent){
		.kind = QC_UNALLOCATED,
		.how = QC_WRITE_NEW,
		.len = vc_min_u64(max_len, (i << bits) - offset),
	};
	return QC_OK;
}

/* Bytes of the disk that one page of entries maps; a power of two. */
static uint64_t page_reach(const struct qc_disk *q)
{
	return (uint64_t)(q->cache.page_bytes >> q->l2_entry_bits)
	       << q->h.cluster_bits;
}

/* What a write to the unit has to do. */
static enum qc_write_how write_how(const struct qc_disk *q, struct qc_entry e,
				   enum qc_kind kind)
{
	bool copied = (e.desc & QC_COPIED) || qc_has_data_file(&q->h);

	if (e.desc & QC_COMPRESSED)
		return QC_WRITE_REPLACE;
	if (!has_host(q, e.desc))
		return QC_WRITE_NEW;
	if (!copied)
		return QC_WRITE_REPLACE;
	return kind == QC_NORMAL ? QC_WRITE_IN_PLACE : QC_WRITE_KEEP;
}

static void unit_extent(const struct qc_disk *q, struct qc_entry e,
			unsigned unit, struct qc_extent *ret)
{
	ret->kind = qc_unit_kind(q, e, unit);
	ret->how = write_how(q, e, ret->kind);
	ret->host = e.desc;
	if (ret->kind != QC_COMPRESSED_CLUSTER)
		ret->host = (e.desc & QC_OFFSET_MASK) +
			    ((uint64_t)unit << q->unit_bits);
}

/* Does `next`, a unit `len` bytes after the beginning of `first`, go on with
 * it? */
static bool goes_on(const struct qc_extent *first, const struct qc_extent *next,
		    uint64_t len, bool for_write)
{
	bool in_row = next->host == first->host + len;

	if (for_write)
		return next->how == first->how &&
		       (in_row || first->how == QC_WRITE_NEW ||
			first->how == QC_WRITE_REPLACE);
	return next->kind == first->kind &&
	       first->kind != QC_COMPRESSED_CLUSTER &&
	       (in_row || first->kind != QC_NORMAL);
}

static enum qc_result bad_entry(struct qc_disk *q, uint64_t offset,
				struct qc_entry e)
{
	return qc_corrupt(q, "L2 entry for %#llx: %#llx %#llx",
			  (unsigned long long)offset,
			  (unsigned long long)e.desc,
			  (unsigned long long)e.bitmap);
}

static enum qc_result lookup(struct qc_disk *q, uint64_t offset,
			     uint64_t max_len, bool for_write,
			     struct qc_waiter *w, struct qc_extent *ret)
{
	uint64_t unit_bytes = UINT64_C(1) << q->unit_bits, len = 0, max;
	unsigned nr_units = 1u << (q->h.cluster_bits - q->unit_bits), unit;
	uint64_t in_unit = offset & (unit_bytes - 1);
	struct qc_extent first = { .len = 0 }, next;
	enum qc_result res;
	struct qc_page *p;
	size_t i, left, n;

	res = qc_l2_page(q, offset, w, &p, &i, &left);
	if (res != QC_OK)
		return res;
	if (!p) {
		/* a write will need one page to link what it allocates */
		if (for_write)
			max_len = vc_min_u64(
				max_len,
				page_reach(q) - (offset & (page_reach(q) - 1)));
		return no_table_extent(q, offset, max_len, w, ret);
	}
	unit = (unsigned)((offset & (q->h.cluster_bytes - 1)) >> q->unit_bits);
	max = max_len + in_unit < max_len ? max_len : max_len + in_unit;
	for (n = 0; n < left; n++, unit = 0) {
		struct qc_entry e = qc_l2_get(q, p, i + n);

		if (!qc_entry_ok(q, e)) {
			if (!len)
				return bad_entry(q, offset, e);
			goto out;
		}
		if (e.desc & QC_COMPRESSED && !for_write) {
			if (!len) {
				unit_extent(q, e, 0, &first);
				len = (uint64_t)(nr_units - unit)
				      << q->unit_bits;
			}
			goto out;
		}
		for (; unit < nr_units; unit++) {
			unit_extent(q, e, unit, len ? &next : &first);
			if (len && !goes_on(&first, &next, len, for_write))
				goto out;
			len += unit_bytes;
			if (len >= max)
				goto out;
		}
	}
out:
	*ret = first;
	if (first.kind != QC_COMPRESSED_CLUSTER)
		ret->host += in_unit;
	ret->len = vc_min_u64(len - in_unit, max_len);
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

void qc_l2_own_end(struct qc_disk *q, const struct qc_waiter *w)
{
	if (q->table_owner != w)
		return;
	q->table_owner = NULL;
	qc_wake(q, &q->table_waiters, QC_OK);
}

/* A table at a new place, zero or a copy of the one at `old`. */
static enum qc_result copy_table(struct qc_disk *q, uint64_t i, uint64_t old,
				 struct qc_waiter *w)
{
	uint64_t first, count, pos;
	enum qc_result res = QC_OK;
	bool fresh;

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

enum qc_result qc_l2_own(struct qc_disk *q, uint64_t offset,
			 struct qc_waiter *w)
{
	uint64_t i = l1_index(q, offset), entry = qc_table_get(&q->l1, i);
	uint64_t old = entry & QC_OFFSET_MASK;
	enum qc_result res;

	if (old && (entry & QC_COPIED)) {
		qc_l2_own_end(q, w); /* another one was faster */
		return QC_OK;
	}
	if (old && ((entry & QC_L1_RESERVED) || !offset_ok(q, old)))
		return qc_corrupt(q, "L1 entry %llu: %#llx",
				  (unsigned long long)i,
				  (unsigned long long)entry);
	if (old && q->table_owner && q->table_owner != w) {
		qc_wait_on(&q->table_waiters, w);
		return QC_WAIT;
	}
	if (old)
		q->table_owner = w;
	res = copy_table(q, i, old, w);
	if (res != QC_WAIT)
		qc_l2_own_end(q, w);
	return res;
}

static void put_entry(struct qc_disk *q, struct qc_page *p, size_t i,
		      struct qc_entry e)
{
	be64_t *words = (be64_t *)p->data;

	if (qc_has_subclusters(&q->h)) {
		words[2 * i] = be64_put(e.desc);
		words[2 * i + 1] = be64_put(e.bitmap);
	} else {
		words[i] = be64_put(e.desc);
	}
	qc_page_dirty(q, p);
}

void qc_l2_set(struct qc_disk *q, struct qc_page *p, size_t i,
	       struct qc_entry e)
{
	struct qc_entry old = qc_l2_get(q, p, i);
	uint64_t offset, bytes, first;

	if (old.desc == e.desc && old.bitmap == e.bitmap)
		return;
	put_entry(q, p, i, e);
	if (!qc_entry_ok(q, old)) {
		qc_corrupt(q, "L2 entry %#llx %#llx",
			   (unsigned long long)old.desc,
			   (unsigned long long)old.bitmap);
		return;
	}
	if (qc_has_data_file(&q->h))
		return; /* its clusters have no refcounts */
	if (old.desc & QC_COMPRESSED) {
		qc_unpacked_forget(q, old.desc);
		qc_compressed_range(old.desc, q->h.cluster_bits, &offset,
				    &bytes);
		first = offset >> q->h.cluster_bits;
		qc_free_later(q, first,
			      ((offset + bytes - 1) >> q->h.cluster_bits) -
				      first + 1);
	} else if ((old.desc & QC_OFFSET_MASK) &&
		   (e.desc & QC_COMPRESSED ||
		    (old.desc & QC_OFFSET_MASK) != (e.desc & QC_OFFSET_MASK))) {
		qc_free_later(
			q, (old.desc & QC_OFFSET_MASK) >> q->h.cluster_bits, 1);
	}
}
