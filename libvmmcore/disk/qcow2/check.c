/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verifying the metadata: count how often each cluster of the file is referred
 * to and compare that with its refcount.
 *
 * Memory is bounded whatever the image: counters exist for a window of
 * WINDOW_CLUSTERS, and the metadata is walked once per window that something
 * refers to. All but huge or hostile files have one window. What is wrong with
 * an entry itself is reported on the first walk.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/qcow2/qcow2.h"

#define WINDOW_CLUSTERS (UINT64_C(8) << 20) /* 32 MiB of counters */
#define MAX_WALKS 64
/* Of L1, L2 and bitmap tables, in one walk: they may be shared, so the length
 * of the file is no limit. */
#define MAX_TABLE_BYTES (UINT64_C(16) << 30)

/* A counter: who refers to the cluster, and how often. */
#define IS_META (1u << 31)  /* header, L1, refcounts...: one reference */
#define IS_TABLE (1u << 30) /* an L2 table */
#define IS_DATA (1u << 29)
#define IS_COPIED (1u << 28)  /* the active tables say: used once */
#define NOT_COPIED (1u << 27) /* ... used more than once */
#define COUNT_MASK (NOT_COPIED - 1)

struct checker {
	int fd;
	struct qc_header h;
	struct vc_disk_check *chk;
	struct qc_table reftable;
	uint64_t file_clusters;
	uint32_t *counts;
	uint64_t first, nr; /* the window */
	uint64_t next;	    /* first cluster in use after it, or UINT64_MAX */
	uint64_t last_used; /* highest cluster in use, plus 1 */
	bool is_first_walk;
	be64_t *table; /* L1 */
	uint64_t table_entries;
	be64_t *l2;	/* a cluster */
	uint8_t *block; /* a cluster */
	uint64_t next_host;
	uint64_t table_bytes; /* read in this walk */
};

static void VC_PRINTF(3, 4)
	found(struct checker *c, bool is_leak, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (is_leak)
		c->chk->nr_leaks++;
	else
		c->chk->nr_corruptions++;
	if (!c->chk->report)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->chk->report(c->chk, is_leak, text);
}

/* Exactly `len` bytes, or zeroes where the file ends before. */
static int read_at(struct checker *c, void *buf, size_t len, uint64_t offset,
		   struct vc_error *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(c->fd, (char *)buf + got, len - got,
				  (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "read at %llu",
				       (unsigned long long)offset);
		if (!n)
			break;
		got += (size_t)n;
	}
	memset((char *)buf + got, 0, len - got);
	return 0;
}

static void count(struct checker *c, uint64_t first, uint64_t nr, uint32_t as)
{
	uint64_t i;

	for (i = first; i < first + nr; i++) {
		uint32_t *v;

		if (i >= c->first + c->nr && i < c->next)
			c->next = i;
		if (i < c->first || i - c->first >= c->nr)
			continue;
		v = &c->counts[i - c->first];
		if ((*v & COUNT_MASK) != COUNT_MASK)
			++*v;
		*v |= as;
	}
	if (first + nr > c->last_used)
		c->last_used = first + nr;
}

/* Count a range of bytes; false if it is not in the file. */
static bool count_bytes(struct checker *c, uint64_t offset, uint64_t len,
			uint32_t as)
{
	uint64_t first = offset >> c->h.cluster_bits, nr;

	if (!len)
		return true;
	if (offset + len < offset)
		return false;
	nr = ((offset + len - 1) >> c->h.cluster_bits) - first + 1;
	if (first + nr > c->file_clusters)
		return false;
	count(c, first, nr, as);
	return true;
}

static int read_table(struct checker *c, void *buf, size_t len, uint64_t offset,
		      struct vc_error *err)
{
	c->table_bytes += len;
	if (c->table_bytes > MAX_TABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: more than %llu bytes of tables",
			       (unsigned long long)MAX_TABLE_BYTES);
	return read_at(c, buf, len, offset, err);
}

static bool is_aligned(const struct checker *c, uint64_t offset)
{
	return !(offset & (c->h.cluster_bytes - 1));
}

/* --- L1 and L2 ---------------------------------------------------------------- */

static void bad_entry(struct checker *c, uint64_t table, uint64_t i,
		      uint64_t entry, const char *what)
{
	if (c->is_first_walk)
		found(c, false, "ERROR L2 table %#llx entry %llu: %s: %#llx",
		      (unsigned long long)table, (unsigned long long)i, what,
		      (unsigned long long)entry);
}

static void note_fragmentation(struct checker *c, uint64_t host)
{
	struct vc_disk_check *chk = c->chk;

	chk->nr_allocated_clusters++;
	if (c->next_host && host != c->next_host)
		chk->nr_fragmented_clusters++;
	c->next_host = host + c->h.cluster_bytes;
}

static void walk_compressed(struct checker *c, uint64_t table, uint64_t i,
			    uint64_t entry, bool is_active)
{
	uint64_t offset, bytes;

	qc_compressed_range(entry, c->h.cluster_bits, &offset, &bytes);
	if (entry & QC_COPIED)
		bad_entry(c, table, i, entry, "compressed and 'copied'");
	if (!count_bytes(c, offset, bytes, IS_DATA))
		bad_entry(c, table, i, entry, "beyond the end of the file");
	if (is_active && c->is_first_walk) {
		c->chk->nr_allocated_clusters++;
		c->chk->nr_compressed_clusters++;
		c->chk->nr_fragmented_clusters++;
		c->next_host = 0;
	}
}

static void walk_entry(struct checker *c, uint64_t table, uint64_t i,
		       uint64_t entry, bool is_active)
{
	uint64_t host = entry & QC_OFFSET_MASK;
	uint32_t as = IS_DATA;

	if (entry & QC_COMPRESSED) {
		walk_compressed(c, table, i, entry, is_active);
		return;
	}
	if ((entry & QC_L2_RESERVED) ||
	    (c->h.version == 2 && (entry & QC_ZERO)))
		bad_entry(c, table, i, entry, "reserved bits set");
	if (!host) {
		if (entry & QC_COPIED)
			bad_entry(c, table, i, entry, "'copied' but not there");
		return;
	}
	if (!is_aligned(c, host)) {
		bad_entry(c, table, i, entry, "offset not aligned");
		return;
	}
	if (is_active)
		as |= entry & QC_COPIED ? IS_COPIED : NOT_COPIED;
	if (!count_bytes(c, host, c->h.cluster_bytes, as))
		bad_entry(c, table, i, entry, "beyond the end of the file");
	if (is_active && c->is_first_walk)
		note_fragmentation(c, host);
}

static int walk_l2(struct checker *c, uint64_t i, uint64_t entry,
		   bool is_active, struct vc_error *err)
{
	uint64_t l2 = entry & QC_OFFSET_MASK, k;
	uint32_t as = IS_TABLE;
	const char *what = NULL;

	if (entry & QC_L1_RESERVED && c->is_first_walk)
		found(c, false, "ERROR L1 entry %llu: reserved bits set: %#llx",
		      (unsigned long long)i, (unsigned long long)entry);
	if (!l2)
		return 0;
	if (is_active)
		as |= entry & QC_COPIED ? IS_COPIED : NOT_COPIED;
	if (!is_aligned(c, l2))
		what = "offset not aligned";
	else if (!count_bytes(c, l2, c->h.cluster_bytes, as))
		what = "beyond the end of the file";
	if (what) {
		if (c->is_first_walk)
			found(c, false, "ERROR L1 entry %llu: %s: %#llx",
			      (unsigned long long)i, what,
			      (unsigned long long)entry);
		return 0;
	}
	if (read_table(c, c->l2, c->h.cluster_bytes, l2, err) < 0)
		return -1;
	c->next_host = 0;
	for (k = 0; k < c->h.cluster_bytes / 8; k++) {
		uint64_t e = be64_get(c->l2[k]);

		if (e)
			walk_entry(c, l2, k, e, is_active);
	}
	return 0;
}

static int walk_l1(struct checker *c, uint64_t offset, uint32_t nr,
		   bool is_active, struct vc_error *err)
{
	uint32_t i;

	if (!nr)
		return 0;
	if (nr > c->table_entries) {
		free(c->table);
		c->table = malloc((size_t)nr * 8);
		c->table_entries = c->table ? nr : 0;
		if (!c->table)
			return vc_fail(err, VC_E_SYS, ENOMEM, "check");
	}
	count_bytes(c, offset, (uint64_t)nr * 8, IS_META);
	if (read_table(c, c->table, (size_t)nr * 8, offset, err) < 0)
		return -1;
	for (i = 0; i < nr; i++) {
		uint64_t entry = be64_get(c->table[i]);

		if (entry && walk_l2(c, i, entry, is_active, err) < 0)
			return -1;
	}
	return 0;
}

static int walk_snapshots(struct checker *c, struct vc_error *err)
{
	uint64_t offset = c->h.snapshots_offset;
	uint32_t i;

	for (i = 0; i < c->h.nr_snapshots; i++) {
		struct qc_snapshot snap;

		if (qc_snapshot_read(c->fd, &c->h, &offset, &snap, err) < 0 ||
		    walk_l1(c, snap.l1_offset, snap.l1_size, false, err) < 0)
			return -1;
	}
	if (c->h.nr_snapshots)
		count_bytes(c, c->h.snapshots_offset,
			    offset - c->h.snapshots_offset, IS_META);
	return 0;
}

/* --- bitmaps ------------------------------------------------------------------- */

static int walk_bitmap_table(struct checker *c, uint64_t offset, uint32_t nr,
			     struct vc_error *err)
{
	uint64_t i, k, per = c->h.cluster_bytes / 8;

	if (!is_aligned(c, offset) ||
	    !count_bytes(c, offset, (uint64_t)nr * 8, IS_META)) {
		if (c->is_first_walk)
			found(c, false, "ERROR bitmap table %#llx: bad offset",
			      (unsigned long long)offset);
		return 0;
	}
	for (i = 0; i < nr; i += per) {
		if (read_table(c, c->l2, c->h.cluster_bytes, offset + i * 8,
			       err) < 0)
			return -1;
		for (k = 0; k < per && i + k < nr; k++) {
			uint64_t e = be64_get(c->l2[k]) &
				     QC_BITMAP_TABLE_OFFSET_MASK;

			if (e &&
			    (!is_aligned(c, e) ||
			     !count_bytes(c, e, c->h.cluster_bytes, IS_META)) &&
			    c->is_first_walk)
				found(c, false,
				      "ERROR bitmap table %#llx entry %llu: "
				      "%#llx",
				      (unsigned long long)offset,
				      (unsigned long long)(i + k),
				      (unsigned long long)e);
		}
	}
	return 0;
}

static int walk_bitmaps(struct checker *c, struct vc_error *err)
{
	uint64_t pos = c->h.bitmap_dir_offset;
	uint64_t end = pos + c->h.bitmap_dir_bytes;
	uint32_t i;

	/* without the bit, whoever wrote last did not keep them */
	if (!(c->h.autoclear & QC_AUTOCLEAR_BITMAPS) || !c->h.nr_bitmaps)
		return 0;
	if (end < pos || !is_aligned(c, pos) ||
	    !count_bytes(c, pos, c->h.bitmap_dir_bytes, IS_META))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: bitmap directory %#llx: bad offset",
			       (unsigned long long)pos);
	for (i = 0; i < c->h.nr_bitmaps && end - pos >= 24; i++) {
		struct qc_bitmap_entry e;

		if (read_at(c, &e, sizeof(e), pos, err) < 0 ||
		    walk_bitmap_table(c, be64_get(e.table_offset),
				      be32_get(e.table_size), err) < 0)
			return -1;
		pos += vc_align_up(sizeof(e) +
					   (uint64_t)be32_get(e.extra_size) +
					   be16_get(e.name_size),
				   8);
		if (pos > end)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2: bitmap directory: cut short");
	}
	return 0;
}

/* --- the refcounts themselves --------------------------------------------------- */

static void walk_reftable(struct checker *c)
{
	uint64_t i,
		per = ((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;

	count(c, c->h.reftable_offset >> c->h.cluster_bits,
	      c->h.reftable_clusters, IS_META);
	for (i = 0; i < c->reftable.nr; i++) {
		uint64_t e = qc_table_get(&c->reftable, i), range = i * per;

		if (!e)
			continue;
		if (is_aligned(c, e) &&
		    count_bytes(c, e, c->h.cluster_bytes, IS_META)) {
			/* its clusters are to be looked at, used or not */
			if (range + per > c->first + c->nr && range < c->next)
				c->next = range < c->first + c->nr
						  ? c->first + c->nr
						  : range;
			continue;
		}
		if (c->is_first_walk)
			found(c, false,
			      "ERROR refcount table entry %llu: bad offset: "
			      "%#llx",
			      (unsigned long long)i, (unsigned long long)e);
		qc_table_set(&c->reftable, i, 0);
	}
}

static int walk(struct checker *c, struct vc_error *err)
{
	c->table_bytes = 0;
	count(c, 0, 1, IS_META);
	walk_reftable(c);
	if (walk_l1(c, c->h.l1_offset, c->h.l1_size, true, err) < 0 ||
	    walk_snapshots(c, err) < 0)
		return -1;
	return walk_bitmaps(c, err);
}

static void compare_one(struct checker *c, uint64_t cluster, uint64_t refcount)
{
	uint32_t v = c->counts[cluster - c->first];
	uint64_t refs = v & COUNT_MASK;
	unsigned long long n = cluster;

	if (refs != refcount) {
		bool is_leak = refs < refcount;

		found(c, is_leak,
		      "%s cluster %llu refcount=%llu reference=%llu",
		      is_leak ? "Leaked" : "ERROR", n,
		      (unsigned long long)refcount, (unsigned long long)refs);
	}
	if (((v & IS_META) && refs > 1) || ((v & IS_TABLE) && (v & IS_DATA)))
		found(c, false,
		      "ERROR cluster %llu is metadata and something else", n);
	if ((v & IS_COPIED) && refcount != 1)
		found(c, false, "ERROR cluster %llu 'copied' but refcount=%llu",
		      n, (unsigned long long)refcount);
	if ((v & NOT_COPIED) && refcount == 1)
		found(c, false,
		      "ERROR cluster %llu not 'copied' but refcount=1", n);
}

static int compare(struct checker *c, struct vc_error *err)
{
	uint64_t per =
		((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;
	uint64_t cluster = c->first, end = c->first + c->nr;

	while (cluster < end) {
		uint64_t block = cluster / per, i = cluster % per;
		uint64_t offset = block < c->reftable.nr
					  ? qc_table_get(&c->reftable, block)
					  : 0;

		if (offset &&
		    read_at(c, c->block, c->h.cluster_bytes, offset, err) < 0)
			return -1;
		for (; i < per && cluster < end; i++, cluster++)
			compare_one(
				c, cluster,
				offset ? qc_refcount_get(c->block,
							 c->h.refcount_order, i)
				       : 0);
		/* nothing beyond what is in use and what has refcounts */
		if (block >= c->reftable.nr && cluster >= c->last_used)
			break;
	}
	return 0;
}

/* --- the whole ------------------------------------------------------------------- */

static int check_windows(struct checker *c, struct vc_error *err)
{
	unsigned walks = 0;

	c->is_first_walk = true;
	for (;;) {
		c->next = UINT64_MAX;
		memset(c->counts, 0, (size_t)c->nr * sizeof(*c->counts));
		if (walk(c, err) < 0 || compare(c, err) < 0)
			return -1;
		c->is_first_walk = false;
		if (c->next == UINT64_MAX)
			break;
		if (++walks == MAX_WALKS)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "qcow2: too scattered to check");
		c->first = c->next;
	}
	c->chk->nr_total_clusters =
		vc_div_round_up(c->h.size, c->h.cluster_bytes);
	c->chk->image_end_bytes = c->last_used << c->h.cluster_bits;
	return 0;
}

/* All clusters of the file and all that have refcounts, if that is not too
 * much. */
static uint64_t window_size(const struct checker *c)
{
	uint64_t per =
		((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;
	uint64_t i = c->reftable.nr;

	while (i && !qc_table_get(&c->reftable, i - 1))
		i--;
	i *= per;
	if (i < c->file_clusters)
		i = c->file_clusters;
	return vc_min_u64(i, WINDOW_CLUSTERS);
}

static int check_init(struct checker *c, int fd, struct vc_disk_check *chk,
		      struct vc_error *err)
{
	uint64_t file_bytes;

	c->fd = fd;
	c->chk = chk;
	if (qc_header_read(fd, &c->h, err) < 0 ||
	    qc_header_supported(&c->h, err) < 0 ||
	    disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	c->file_clusters = vc_div_round_up(file_bytes, c->h.cluster_bytes);
	if (qc_table_load(&c->reftable, fd, c->h.reftable_offset,
			  c->h.reftable_clusters * (c->h.cluster_bytes / 8),
			  "refcount table", err) < 0)
		return -1;
	c->nr = window_size(c);
	c->counts = malloc((size_t)c->nr * sizeof(*c->counts));
	c->l2 = malloc(c->h.cluster_bytes);
	c->block = malloc(c->h.cluster_bytes);
	if (!c->counts || !c->l2 || !c->block)
		return vc_fail(err, VC_E_SYS, ENOMEM, "check");
	return 0;
}

int qc_check(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	struct checker c;
	int ret;

	memset(&c, 0, sizeof(c));
	ret = check_init(&c, fd, chk, err);
	if (ret == 0)
		ret = check_windows(&c, err);
	qc_table_fini(&c.reftable);
	free(c.counts);
	free(c.table);
	free(c.l2);
	free(c.block);
	return ret;
}
