/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verifying the metadata: count how often each cluster of the file is referred
 * to and compare that with its refcount.
 *
 * Memory is bounded whatever the image: counters exist for a window of
 * WINDOW_CLUSTERS, and the metadata is walked once per window that something
 * refers to. All but huge or hostile files have one window. What is wrong with
 * an entry itself is reported on the first walk, and put right there, if that
 * is wanted: each entry by a write of its own, which makes nothing worse than
 * it was. What refcounts should be goes to an edit (see repair.c).
 *
 * Where clusters with a wrong count are referred to is found by another walk of
 * the window, if there are such clusters and somebody listens (check-refs.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

#define WINDOW_CLUSTERS (UINT64_C(8) << 20) /* 16 MiB of counters */
#define L1_PART 8192u /* entries of an L1 table in memory at a time */
#define MAX_WALKS 128
/* Of L1, L2 and bitmap tables, in one walk: they may be shared, so the length
 * of the file is no limit. */
#define MAX_TABLE_BYTES (UINT64_C(16) << 30)

/* A counter: who refers to the cluster, and how often. Large counts are rare
 * and are in a hash table. */
#define IS_META (1u << 15)  /* header, L1, refcounts...: one reference */
#define IS_TABLE (1u << 14) /* an L2 table */
#define IS_DATA (1u << 13)
#define IS_COPIED (1u << 12)  /* the active tables say: used once */
#define NOT_COPIED (1u << 11) /* ... used more than once */
#define COUNT_MASK (NOT_COPIED - 1)
#define MANY_BITS 16
#define MAX_MANY (1u << (MANY_BITS - 1))

struct many {
	uint64_t cluster; /* 0: free, as the header is not in here */
	uint64_t count;	  /* beyond COUNT_MASK */
};

/* Whose entries are being walked, for messages. */
struct owner {
	const char *what; /* "" or "snapshot N: " */
	bool is_active;
	uint32_t snapshot; /* index, or QC_ACTIVE */
	uint64_t l1_offset;
};

struct checker {
	int fd;
	struct qc_header h;
	struct vc_disk_check *chk;
	struct qc_edit *sink; /* takes the right refcounts, or NULL */
	enum vc_disk_repair repair;
	struct qc_table reftable;
	uint64_t file_clusters;
	uint16_t *counts;
	struct many *many;
	size_t nr_many;
	uint64_t first, nr; /* the window */
	uint64_t next;	    /* first cluster in use after it, or UINT64_MAX */
	uint64_t last_used; /* highest cluster in use, plus 1 */
	bool is_first_walk;
	bool is_over;	 /* too many large counts */
	bool is_tracing; /* nothing is counted: who refers to the suspects? */
	struct qc_suspects suspects;
	struct qc_place at; /* what is counted now is referred to there */
	struct owner owner;
	be64_t *l1;	   /* L1_PART entries */
	uint64_t l1_first; /* index of the first of them */
	be64_t *l2;	   /* a cluster */
	uint8_t *block;	   /* a cluster */
	uint64_t next_host;
	uint64_t table_bytes; /* read in this walk */
};

static void VC_PRINTF(3, 4)
	found(struct checker *c, bool is_leak, const char *fmt, ...)
{
	char text[800];
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

static struct many *find_many(struct checker *c, uint64_t cluster)
{
	size_t i = (size_t)((cluster * UINT64_C(0x9e3779b97f4a7c15)) >>
			    (64 - MANY_BITS));

	while (c->many[i].cluster && c->many[i].cluster != cluster)
		i = (i + 1) & ((1u << MANY_BITS) - 1);
	return &c->many[i];
}

static void count_many(struct checker *c, uint64_t cluster)
{
	struct many *m;

	if (!c->many)
		c->many = calloc(1u << MANY_BITS, sizeof(*c->many));
	m = c->many ? find_many(c, cluster) : NULL;
	if (!m || (!m->cluster && c->nr_many == MAX_MANY)) {
		c->is_over = true;
		return;
	}
	c->nr_many += !m->cluster;
	m->cluster = cluster;
	m->count++;
}

static uint64_t count_of(struct checker *c, uint64_t cluster)
{
	uint64_t n = c->counts[cluster - c->first] & COUNT_MASK;

	if (n == COUNT_MASK && c->many)
		n += find_many(c, cluster)->count;
	return n;
}

static void count(struct checker *c, uint64_t first, uint64_t nr, uint32_t as)
{
	uint64_t i;

	if (c->is_tracing) {
		qc_suspects_note(&c->suspects, first, nr, &c->at);
		return;
	}
	for (i = first; i < first + nr; i++) {
		uint16_t *v;

		if (i >= c->first + c->nr && i < c->next)
			c->next = i;
		if (i < c->first || i - c->first >= c->nr)
			continue;
		v = &c->counts[i - c->first];
		if ((*v & COUNT_MASK) != COUNT_MASK)
			++*v;
		else
			count_many(c, i);
		*v |= (uint16_t)as;
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
	return qc_read_padded(c->fd, buf, len, offset, err);
}

static bool is_aligned(const struct checker *c, uint64_t offset)
{
	return !(offset & (c->h.cluster_bytes - 1));
}

/* --- L1 and L2 ---------------------------------------------------------------- */

static bool is_extended(const struct checker *c)
{
	return c->h.incompatible & QC_INCOMPAT_EXTENDED_L2;
}
static bool is_external(const struct checker *c)
{
	return c->h.incompatible & QC_INCOMPAT_DATA_FILE;
}

/* Put the right value into the place of a wrong one. */
static void fix_word(struct checker *c, uint64_t offset, be64_t *word,
		     uint64_t v)
{
	be64_t be = be64_put(v);

	if (c->repair != VC_DISK_REPAIR_ALL || !c->is_first_walk)
		return;
	if (vc_pwrite_full(c->fd, &be, sizeof(be), offset) == 0)
		*word = be;
}

struct entry {
	uint64_t table; /* offset of its L2 table */
	size_t i;	/* index of its (first) word */
	be64_t *word;	/* in memory */
	uint64_t guest; /* the offset it is for */
};

static void bad_entry(struct checker *c, const struct entry *e, uint64_t fixed,
		      const char *what)
{
	uint64_t v = be64_get(*e->word);

	if (!c->is_first_walk)
		return;
	found(c, false,
	      "ERROR %sL2 table %#llx entry %zu (guest offset %#llx): %s: "
	      "%#llx",
	      c->owner.what, (unsigned long long)e->table,
	      is_extended(c) ? e->i / 2 : e->i, (unsigned long long)e->guest,
	      what, (unsigned long long)v);
	fix_word(c, e->table + e->i * 8, e->word, fixed);
}

/* What stands for a cluster whose place is unknown: it must not become the
 * backing file's. */
static uint64_t dropped(const struct checker *c)
{
	return c->h.version > 2 && !is_extended(c) && c->h.backing_file[0]
		       ? QC_ZERO
		       : 0;
}

static void note_fragmentation(struct checker *c, uint64_t host)
{
	struct vc_disk_check *chk = c->chk;

	chk->nr_allocated_clusters++;
	if (c->next_host && host != c->next_host)
		chk->nr_fragmented_clusters++;
	c->next_host = host + c->h.cluster_bytes;
}

static void walk_compressed(struct checker *c, const struct entry *e,
			    uint64_t entry)
{
	uint64_t offset, bytes;

	if (is_external(c)) {
		bad_entry(c, e, dropped(c), "compressed, in a data file");
		return;
	}
	qc_compressed_range(entry, c->h.cluster_bits, &offset, &bytes);
	if (entry & QC_COPIED)
		bad_entry(c, e, entry & ~QC_COPIED, "compressed and 'copied'");
	if (!count_bytes(c, offset, bytes, IS_DATA))
		bad_entry(c, e, dropped(c), "beyond the end of the file");
	if (c->owner.is_active && c->is_first_walk) {
		c->chk->nr_allocated_clusters++;
		c->chk->nr_compressed_clusters++;
		c->chk->nr_fragmented_clusters++;
		c->next_host = 0;
	}
}

/* The bitmap of an extended entry. */
static void walk_subclusters(struct checker *c, const struct entry *e,
			     uint64_t entry)
{
	uint64_t map = be64_get(e->word[1]);
	uint32_t here = (uint32_t)map, zero = (uint32_t)(map >> 32);
	const char *what = NULL;
	uint64_t fixed = map;

	if (entry & QC_COMPRESSED) {
		if (map)
			what = "compressed with subclusters";
		fixed = 0;
	} else if (here & zero) {
		what = "subclusters both allocated and zero";
		fixed = map & ~((uint64_t)(here & zero) << 32);
	} else if (here && !(entry & QC_OFFSET_MASK) && !is_external(c)) {
		what = "subclusters allocated in no cluster";
		fixed = (uint64_t)zero << 32;
	}
	if (!what || !c->is_first_walk)
		return;
	found(c, false,
	      "ERROR %sL2 table %#llx entry %zu (guest offset %#llx): %s: "
	      "%#llx",
	      c->owner.what, (unsigned long long)e->table, e->i / 2,
	      (unsigned long long)e->guest, what, (unsigned long long)map);
	fix_word(c, e->table + (e->i + 1) * 8, e->word + 1, fixed);
}

/* A cluster in the external data file has no refcount there. */
static void walk_external(struct checker *c, const struct entry *e,
			  uint64_t entry)
{
	uint64_t host = entry & QC_OFFSET_MASK;

	if (!host && !(entry & QC_COPIED))
		return;
	if ((c->h.autoclear & QC_AUTOCLEAR_RAW_DATA_FILE) && host != e->guest)
		bad_entry(c, e, e->guest | QC_COPIED,
			  "not at its offset in the raw data file");
	else if (host & (c->h.cluster_bytes - 1))
		bad_entry(c, e, dropped(c), "offset not aligned");
	else if (c->owner.is_active && !(entry & QC_COPIED))
		bad_entry(c, e, entry | QC_COPIED,
			  "in the data file but not 'copied'");
	if (c->owner.is_active && c->is_first_walk)
		note_fragmentation(c, host);
}

static void walk_entry(struct checker *c, const struct entry *e)
{
	uint64_t entry = be64_get(*e->word), host;
	uint64_t reserved = QC_L2_RESERVED;
	uint32_t as = IS_DATA;

	if (is_extended(c))
		walk_subclusters(c, e, entry);
	if (entry & QC_COMPRESSED) {
		walk_compressed(c, e, entry);
		return;
	}
	if (c->h.version == 2 || is_extended(c))
		reserved |= QC_ZERO;
	if (entry & reserved) {
		bad_entry(c, e, entry & ~reserved, "reserved bits set");
		entry = be64_get(*e->word);
	}
	if (is_external(c)) {
		walk_external(c, e, entry);
		return;
	}
	host = entry & QC_OFFSET_MASK;
	if (!host) {
		if (entry & QC_COPIED)
			bad_entry(c, e, entry & ~QC_COPIED,
				  "'copied' but not there");
		return;
	}
	if (!is_aligned(c, host)) {
		bad_entry(c, e, dropped(c), "offset not aligned");
		return;
	}
	if (c->owner.is_active)
		as |= entry & QC_COPIED ? IS_COPIED : NOT_COPIED;
	if (!count_bytes(c, host, c->h.cluster_bytes, as))
		bad_entry(c, e, dropped(c), "beyond the end of the file");
	else if (c->owner.is_active && c->is_first_walk)
		note_fragmentation(c, host);
}

static void bad_l1(struct checker *c, uint64_t i, uint64_t fixed,
		   const char *what)
{
	if (!c->is_first_walk)
		return;
	found(c, false, "ERROR %sL1 table %#llx entry %llu: %s: %#llx",
	      c->owner.what, (unsigned long long)c->owner.l1_offset,
	      (unsigned long long)i, what,
	      (unsigned long long)be64_get(c->l1[i - c->l1_first]));
	fix_word(c, c->owner.l1_offset + i * 8, &c->l1[i - c->l1_first], fixed);
}

static int walk_l2(struct checker *c, uint64_t i, struct vc_error *err)
{
	uint64_t entry = be64_get(c->l1[i - c->l1_first]);
	uint64_t l2 = entry & QC_OFFSET_MASK;
	size_t step = is_extended(c) ? 2 : 1, per, k;
	uint32_t as = IS_TABLE;

	if (entry & QC_L1_RESERVED)
		bad_l1(c, i, entry & ~QC_L1_RESERVED, "reserved bits set");
	if (!l2)
		return 0;
	if (c->owner.is_active)
		as |= entry & QC_COPIED ? IS_COPIED : NOT_COPIED;
	if (!is_aligned(c, l2)) {
		bad_l1(c, i, 0, "offset not aligned");
		return 0;
	}
	c->at = (struct qc_place){ QC_AT_L2, c->owner.snapshot,
				   c->owner.l1_offset, i, 0 };
	if (!count_bytes(c, l2, c->h.cluster_bytes, as)) {
		bad_l1(c, i, 0, "beyond the end of the file");
		return 0;
	}
	if (read_table(c, c->l2, c->h.cluster_bytes, l2, err) < 0)
		return -1;
	c->next_host = 0;
	c->at.kind = QC_AT_DATA;
	c->at.table = l2;
	per = c->h.cluster_bytes / 8 / step;
	for (k = 0; k < c->h.cluster_bytes / 8; k += step) {
		struct entry e = { l2, k, &c->l2[k], 0 };

		if (!be64_get(c->l2[k]) &&
		    (step == 1 || !be64_get(c->l2[k + 1])))
			continue;
		e.guest = (i * per + k / step) << c->h.cluster_bits;
		c->at.index = k / step;
		c->at.guest = e.guest;
		walk_entry(c, &e);
	}
	return 0;
}

static int walk_l1(struct checker *c, uint64_t offset, uint32_t nr,
		   struct vc_error *err)
{
	uint32_t first, n, i;

	if (!nr)
		return 0;
	c->owner.l1_offset = offset;
	c->at = (struct qc_place){ .kind = QC_AT_L1,
				   .owner = c->owner.snapshot };
	count_bytes(c, offset, (uint64_t)nr * 8, IS_META);
	for (first = 0; first < nr; first += n) {
		n = nr - first < L1_PART ? nr - first : L1_PART;
		c->l1_first = first;
		if (read_table(c, c->l1, (size_t)n * 8,
			       offset + (uint64_t)first * 8, err) < 0)
			return -1;
		for (i = 0; i < n; i++)
			if (be64_get(c->l1[i]) &&
			    walk_l2(c, first + i, err) < 0)
				return -1;
	}
	return 0;
}

static int walk_snapshots(struct checker *c, struct vc_error *err)
{
	uint64_t offset = c->h.snapshots_offset;
	char what[40];
	uint32_t i;

	for (i = 0; i < c->h.nr_snapshots; i++) {
		struct qc_snapshot snap;
		int ret;

		snprintf(what, sizeof(what), "snapshot %u: ", i);
		if (qc_snapshot_read(c->fd, &c->h, &offset, &snap, err) < 0)
			return vc_prefix(err, "snapshot %u", i);
		c->owner = (struct owner){ what, false, i, 0 };
		ret = walk_l1(c, snap.l1_offset, snap.l1_size, err);
		c->owner = (struct owner){ "", false, QC_ACTIVE, 0 };
		if (ret < 0)
			return -1;
	}
	c->at = (struct qc_place){ .kind = QC_AT_SNAPSHOTS };
	/* its last name may be behind the end */
	if (c->h.nr_snapshots &&
	    !count_bytes(c, c->h.snapshots_offset,
			 offset - c->h.snapshots_offset, IS_META))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	return 0;
}

/* --- bitmaps ------------------------------------------------------------------- */

/* 0: zeroes, 1: ones, or the offset of a cluster of bits. */
static bool bitmap_entry_ok(struct checker *c, uint64_t e)
{
	uint64_t host = e & QC_OFFSET_MASK, rest = e & ~QC_OFFSET_MASK;

	if (!host)
		return rest <= 1;
	return !rest && is_aligned(c, host) &&
	       count_bytes(c, host, c->h.cluster_bytes, IS_META);
}

static void walk_bitmap_entry(struct checker *c, size_t k)
{
	uint64_t e = be64_get(c->l2[k]);

	if (bitmap_entry_ok(c, e) || !c->is_first_walk)
		return;
	found(c, false,
	      "ERROR bitmap %u: table %#llx entry %llu: bad value: "
	      "%#llx",
	      c->at.owner, (unsigned long long)c->at.table,
	      (unsigned long long)c->at.index, (unsigned long long)e);
	/* all ones: what it says may have changed */
	fix_word(c, c->at.table + c->at.index * 8, &c->l2[k], 1);
}

static int walk_bitmap_table(struct checker *c, uint32_t bitmap,
			     uint64_t offset, uint32_t nr, struct vc_error *err)
{
	uint64_t i, k, per = c->h.cluster_bytes / 8;

	c->at = (struct qc_place){ .kind = QC_AT_BITMAP_TABLE,
				   .owner = bitmap };
	if (!is_aligned(c, offset) ||
	    !count_bytes(c, offset, (uint64_t)nr * 8, IS_META)) {
		if (c->repair == VC_DISK_REPAIR_ALL)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "bitmap %u: table %#llx: bad offset",
				       bitmap, (unsigned long long)offset);
		if (c->is_first_walk)
			found(c, false,
			      "ERROR bitmap %u: table %#llx: bad offset",
			      bitmap, (unsigned long long)offset);
		return 0;
	}
	c->at.kind = QC_AT_BITMAP;
	c->at.table = offset;
	for (i = 0; i < nr; i += per) {
		if (read_table(c, c->l2, c->h.cluster_bytes, offset + i * 8,
			       err) < 0)
			return -1;
		for (k = 0; k < per && i + k < nr; k++) {
			c->at.index = i + k;
			walk_bitmap_entry(c, k);
		}
	}
	return 0;
}

static int walk_directory(struct checker *c, struct vc_error *err)
{
	uint64_t pos = c->h.bitmap_dir_offset;
	uint64_t end = pos + c->h.bitmap_dir_bytes;
	uint32_t i;

	c->at = (struct qc_place){ .kind = QC_AT_BITMAP_DIR };
	if (end < pos || !is_aligned(c, pos) ||
	    !count_bytes(c, pos, c->h.bitmap_dir_bytes, IS_META))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: bitmap directory %#llx: bad offset",
			       (unsigned long long)pos);
	for (i = 0; i < c->h.nr_bitmaps; i++) {
		struct qc_bitmap_entry e;

		if (end - pos < sizeof(e))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2: bitmap directory: cut short at "
				       "entry %u",
				       i);
		if (qc_read_padded(c->fd, &e, sizeof(e), pos, err) < 0 ||
		    walk_bitmap_table(c, i, be64_get(e.table_offset),
				      be32_get(e.table_size), err) < 0)
			return -1;
		pos += vc_align_up(sizeof(e) +
					   (uint64_t)be32_get(e.extra_size) +
					   be16_get(e.name_size),
				   8);
		if (pos > end)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2: bitmap directory: cut short in "
				       "entry %u",
				       i);
	}
	return 0;
}

/* Take all bitmaps from the image: none of them can be believed if they cannot
 * be read. What they had is released with what else leaks. */
static int drop_bitmaps(struct checker *c, struct vc_error *err)
{
	be64_t bits;

	found(c, false, "ERROR %s: all bitmaps are dropped", err->msg);
	c->h.autoclear &= ~(uint64_t)QC_AUTOCLEAR_BITMAPS;
	bits = be64_put(c->h.autoclear);
	if (vc_pwrite_full(c->fd, &bits, sizeof(bits), QC_OFFSET_AUTOCLEAR) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}

static int walk_bitmaps(struct checker *c, struct vc_error *err)
{
	/* without the bit, whoever wrote last did not keep them */
	if (!(c->h.autoclear & QC_AUTOCLEAR_BITMAPS) || !c->h.nr_bitmaps)
		return 0;
	if (walk_directory(c, err) == 0)
		return 0;
	if (err->code != VC_E_CORRUPT || c->repair != VC_DISK_REPAIR_ALL ||
	    !c->is_first_walk)
		return -1;
	return drop_bitmaps(c, err);
}

/* --- the refcounts themselves --------------------------------------------------- */

static void walk_reftable(struct checker *c)
{
	uint64_t i,
		per = ((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;

	c->at = (struct qc_place){ .kind = QC_AT_REFTABLE };
	/* the ones that a repair makes come into their place */
	if (!c->sink)
		count(c, c->h.reftable_offset >> c->h.cluster_bits,
		      c->h.reftable_clusters, IS_META);
	for (i = 0; i < c->reftable.nr; i++) {
		uint64_t e = qc_table_get(&c->reftable, i), range = i * per;

		if (!e)
			continue;
		c->at = (struct qc_place){ QC_AT_REFBLOCK, QC_ACTIVE,
					   c->h.reftable_offset, i, 0 };
		if (is_aligned(c, e) &&
		    (e >> c->h.cluster_bits) < c->file_clusters) {
			if (!c->sink)
				count_bytes(c, e, c->h.cluster_bytes, IS_META);
			/* its clusters are to be looked at, used or not */
			if (range + per > c->first + c->nr && range < c->next)
				c->next = range < c->first + c->nr
						  ? c->first + c->nr
						  : range;
			continue;
		}
		if (c->is_first_walk)
			found(c, false,
			      "ERROR refcount table %#llx entry %llu: bad "
			      "offset: %#llx",
			      (unsigned long long)c->h.reftable_offset,
			      (unsigned long long)i, (unsigned long long)e);
		qc_table_set(&c->reftable, i, 0);
	}
}

static int walk(struct checker *c, struct vc_error *err)
{
	c->table_bytes = 0;
	c->at = (struct qc_place){ .kind = QC_AT_HEADER };
	count(c, 0, 1, IS_META);
	walk_reftable(c);
	c->owner = (struct owner){ "", true, QC_ACTIVE, 0 };
	if (walk_l1(c, c->h.l1_offset, c->h.l1_size, err) < 0)
		return -1;
	c->owner = (struct owner){ "", false, QC_ACTIVE, 0 };
	if (walk_snapshots(c, err) < 0 || walk_bitmaps(c, err) < 0)
		return -1;
	if (c->is_over)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: more than %u clusters are referred to "
			       "more than %u times",
			       MAX_MANY, COUNT_MASK);
	return 0;
}

static uint64_t refcounts_per_block(const struct checker *c)
{
	return ((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;
}

/* Where the refcount of a cluster is. */
static void refcount_place(const struct checker *c, const struct qc_suspect *s,
			   char *buf, size_t size)
{
	uint64_t per = refcounts_per_block(c);
	unsigned long long i = s->cluster / per, k = s->cluster % per;
	unsigned long long table = c->h.reftable_offset;

	if (s->block)
		snprintf(buf, size,
			 "refcount block %#llx entry %llu (refcount table "
			 "%#llx entry %llu)",
			 (unsigned long long)s->block, k, table, i);
	else
		snprintf(buf, size,
			 "no refcount block (refcount table %#llx entry %llu)",
			 table, i);
}

static bool is_miscounted(const struct qc_suspect *s)
{
	return s->references != s->refcount;
}
static bool is_overlap(const struct qc_suspect *s)
{
	return ((s->as & IS_META) && s->references > 1) ||
	       ((s->as & IS_TABLE) && (s->as & IS_DATA));
}
static bool is_wrongly_copied(const struct qc_suspect *s)
{
	return (s->as & IS_COPIED) && s->refcount != 1;
}
static bool lacks_copied(const struct qc_suspect *s)
{
	return (s->as & NOT_COPIED) && s->refcount == 1;
}

static void report_suspect(struct checker *c, const struct qc_suspect *s)
{
	unsigned long long n = s->cluster, at = n << c->h.cluster_bits;
	const char *what = s->as & IS_TABLE ? "an L2 table" : "data";
	char count[160], by[QC_MAX_PLACES * 160];
	bool is_leak = s->references < s->refcount;

	refcount_place(c, s, count, sizeof(count));
	qc_suspect_by(s, by, sizeof(by));
	if (is_miscounted(s))
		found(c, is_leak,
		      "%s cluster %llu refcount=%llu reference=%llu: %s%s",
		      is_leak ? "Leaked" : "ERROR", n,
		      (unsigned long long)s->refcount,
		      (unsigned long long)s->references, count, by);
	if (is_overlap(s))
		found(c, false,
		      "ERROR cluster %llu (offset %#llx) is %s and something "
		      "else%s",
		      n, at, s->as & IS_META ? "metadata" : "an L2 table", by);
	if (is_wrongly_copied(s))
		found(c, false,
		      "ERROR cluster %llu (%s at offset %#llx) 'copied' but "
		      "refcount=%llu: %s%s",
		      n, what, at, (unsigned long long)s->refcount, count, by);
	if (lacks_copied(s))
		found(c, false,
		      "ERROR cluster %llu (%s at offset %#llx) not 'copied' "
		      "but refcount=1: %s%s",
		      n, what, at, count, by);
}

/* Walk once more to see who refers to the suspects, and report them. */
static int report_suspects(struct checker *c, struct vc_error *err)
{
	bool is_first_walk = c->is_first_walk;
	unsigned i;
	int ret;

	if (!c->suspects.nr)
		return 0;
	c->is_first_walk = false;
	c->is_tracing = true;
	ret = walk(c, err);
	c->is_tracing = false;
	c->is_first_walk = is_first_walk;
	for (i = 0; i < c->suspects.nr; i++)
		report_suspect(c, &c->suspects.items[i]);
	qc_suspects_clear(&c->suspects);
	return ret;
}

/* `block`: offset of the block with its refcount, or 0. */
static int compare_one(struct checker *c, uint64_t cluster, uint64_t refcount,
		       uint64_t block, struct vc_error *err)
{
	uint32_t v = c->counts[cluster - c->first];
	struct qc_suspect s;

	/* one reference, that is counted and knows it */
	if (refcount == 1 && (v & (COUNT_MASK | NOT_COPIED)) == 1)
		return 0;
	s = (struct qc_suspect){ .cluster = cluster,
				 .refcount = refcount,
				 .references = count_of(c, cluster),
				 .block = block,
				 .as = v };
	if (!is_miscounted(&s) && !is_overlap(&s) && !is_wrongly_copied(&s) &&
	    !lacks_copied(&s))
		return 0;
	if (!c->chk->report || !qc_suspects_add(&c->suspects, &s))
		report_suspect(c, &s);
	/* those that are too many come after these */
	else if (qc_suspects_full(&c->suspects))
		return report_suspects(c, err);
	return 0;
}

/* With a sink: what the refcount is to be. */
static int compare_or_set(struct checker *c, uint64_t cluster,
			  uint64_t refcount, uint64_t block,
			  struct vc_error *err)
{
	uint64_t refs;

	if (!c->sink) {
		if (!refcount && !c->counts[cluster - c->first])
			return 0;
		return compare_one(c, cluster, refcount, block, err);
	}
	refs = count_of(c, cluster);
	if (c->repair == VC_DISK_REPAIR_LEAKS && refcount < refs)
		refs = refcount;
	return refs ? qe_set(c->sink, cluster, refs, err) : 0;
}

static int compare(struct checker *c, struct vc_error *err)
{
	uint64_t per = refcounts_per_block(c);
	uint64_t cluster = c->first, end = c->first + c->nr;

	while (cluster < end) {
		uint64_t block = cluster / per, i = cluster % per;
		uint64_t offset = block < c->reftable.nr
					  ? qc_table_get(&c->reftable, block)
					  : 0;

		if (offset &&
		    qc_read_padded(c->fd, c->block, c->h.cluster_bytes, offset,
				   err) < 0)
			return -1;
		for (; i < per && cluster < end; i++, cluster++) {
			uint64_t v = 0;

			if (offset)
				v = qc_refcount_get(c->block,
						    c->h.refcount_order, i);
			if (compare_or_set(c, cluster, v, offset, err) < 0)
				return -1;
		}
		/* nothing beyond what is in use and what has refcounts */
		if (block >= c->reftable.nr && cluster >= c->last_used)
			break;
	}
	return report_suspects(c, err);
}

/* --- the whole ------------------------------------------------------------------- */

static int check_windows(struct checker *c, struct vc_error *err)
{
	unsigned walks = 0;

	c->is_first_walk = true;
	for (;;) {
		c->next = UINT64_MAX;
		c->nr_many = 0;
		if (c->many)
			memset(c->many, 0, sizeof(*c->many) << MANY_BITS);
		if (walk(c, err) < 0 || compare(c, err) < 0)
			return -1;
		c->is_first_walk = false;
		if (c->next == UINT64_MAX)
			break;
		if (++walks == MAX_WALKS)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "qcow2: too scattered to check");
		c->first = c->next;
		memset(c->counts, 0, (size_t)c->nr * sizeof(*c->counts));
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
	uint64_t per = refcounts_per_block(c), i = c->reftable.nr;

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
	    qc_check_supported(&c->h, err) < 0 ||
	    disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	c->file_clusters = vc_div_round_up(file_bytes, c->h.cluster_bytes);
	if (qc_table_load(&c->reftable, fd, c->h.reftable_offset,
			  c->h.reftable_clusters * (c->h.cluster_bytes / 8),
			  "refcount table", err) < 0)
		return -1;
	c->nr = window_size(c);
	/* calloc(): a file of holes touches little of it */
	c->counts = calloc((size_t)c->nr, sizeof(*c->counts));
	c->l1 = malloc(L1_PART * sizeof(*c->l1));
	c->l2 = malloc(c->h.cluster_bytes);
	c->block = malloc(c->h.cluster_bytes);
	if (!c->counts || !c->l1 || !c->l2 || !c->block)
		return vc_fail(err, VC_E_SYS, ENOMEM, "check");
	return 0;
}

/* A data file or extended entries are no obstacle here. */
int qc_check_supported(const struct qc_header *h, struct vc_error *err)
{
	if (h->crypt_method || (h->incompatible & ~(uint64_t)QC_INCOMPAT_KNOWN))
		return qc_header_supported(h, err);
	return 0;
}

int qc_check_pass(int fd, struct vc_disk_check *chk, enum vc_disk_repair repair,
		  struct qc_edit *sink, struct vc_error *err)
{
	struct checker c;
	int ret;

	memset(&c, 0, sizeof(c));
	c.repair = repair;
	c.sink = sink;
	ret = check_init(&c, fd, chk, err);
	if (ret == 0)
		ret = check_windows(&c, err);
	qc_table_fini(&c.reftable);
	qc_suspects_fini(&c.suspects);
	free(c.counts);
	free(c.many);
	free(c.l1);
	free(c.l2);
	free(c.block);
	return ret;
}

int qc_check(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	if (chk->repair != VC_DISK_REPAIR_NONE)
		return qc_repair(fd, chk, err);
	return qc_check_pass(fd, chk, VC_DISK_REPAIR_NONE, NULL, err);
}
