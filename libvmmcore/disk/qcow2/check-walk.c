/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walk of a check over L1 and L2 tables, those of snapshots, too: each
 * reference is counted, each entry that cannot be right is reported on the first
 * walk and, if that is wanted, put right by a write of its own, which makes
 * nothing worse than it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/check.h"

/* --- L1 and L2 ---------------------------------------------------------------- */

static bool is_extended(const struct qk_checker *c)
{
	return c->h.incompatible & QC_INCOMPAT_EXTENDED_L2;
}
static bool is_external(const struct qk_checker *c)
{
	return c->h.incompatible & QC_INCOMPAT_DATA_FILE;
}

void qk_fix_word(struct qk_checker *c, uint64_t offset, be64_t *word,
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

static void bad_entry(struct qk_checker *c, const struct entry *e,
		      uint64_t fixed, const char *what)
{
	uint64_t v = be64_get(*e->word);

	if (!c->is_first_walk)
		return;
	qk_found(c, false,
		 "ERROR %sL2 table %#llx entry %zu (guest offset %#llx): %s: "
		 "%#llx",
		 c->owner.what, (unsigned long long)e->table,
		 is_extended(c) ? e->i / 2 : e->i, (unsigned long long)e->guest,
		 what, (unsigned long long)v);
	qk_fix_word(c, e->table + e->i * 8, e->word, fixed);
}

/* What stands for a cluster whose place is unknown: it must not become the
 * backing file's. */
static uint64_t dropped(const struct qk_checker *c)
{
	return c->h.version > 2 && !is_extended(c) && c->h.backing_file[0]
		       ? QC_ZERO
		       : 0;
}

static void note_fragmentation(struct qk_checker *c, uint64_t host)
{
	struct vc_disk_check *chk = c->chk;

	chk->nr_allocated_clusters++;
	if (c->next_host && host != c->next_host)
		chk->nr_fragmented_clusters++;
	c->next_host = host + c->h.cluster_bytes;
}

static void walk_compressed(struct qk_checker *c, const struct entry *e,
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
	if (!qk_count_bytes(c, offset, bytes, QK_IS_DATA))
		bad_entry(c, e, dropped(c), "beyond the end of the file");
	if (c->owner.is_active && c->is_first_walk) {
		c->chk->nr_allocated_clusters++;
		c->chk->nr_compressed_clusters++;
		c->chk->nr_fragmented_clusters++;
		c->next_host = 0;
	}
}

/* The bitmap of an extended entry. */
static void walk_subclusters(struct qk_checker *c, const struct entry *e,
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
	qk_found(c, false,
		 "ERROR %sL2 table %#llx entry %zu (guest offset %#llx): %s: "
		 "%#llx",
		 c->owner.what, (unsigned long long)e->table, e->i / 2,
		 (unsigned long long)e->guest, what, (unsigned long long)map);
	qk_fix_word(c, e->table + (e->i + 1) * 8, e->word + 1, fixed);
}

/* A cluster in the external data file has no refcount there. */
static void walk_external(struct qk_checker *c, const struct entry *e,
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

static void walk_entry(struct qk_checker *c, const struct entry *e)
{
	uint64_t entry = be64_get(*e->word), host;
	uint64_t reserved = QC_L2_RESERVED;
	uint32_t as = QK_IS_DATA;

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
	if (!qk_is_aligned(c, host)) {
		bad_entry(c, e, dropped(c), "offset not aligned");
		return;
	}
	if (c->owner.is_active)
		as |= entry & QC_COPIED ? QK_IS_COPIED : QK_NOT_COPIED;
	if (!qk_count_bytes(c, host, c->h.cluster_bytes, as))
		bad_entry(c, e, dropped(c), "beyond the end of the file");
	else if (c->owner.is_active && c->is_first_walk)
		note_fragmentation(c, host);
}

static void bad_l1(struct qk_checker *c, uint64_t i, uint64_t fixed,
		   const char *what)
{
	if (!c->is_first_walk)
		return;
	qk_found(c, false, "ERROR %sL1 table %#llx entry %llu: %s: %#llx",
		 c->owner.what, (unsigned long long)c->owner.l1_offset,
		 (unsigned long long)i, what,
		 (unsigned long long)be64_get(c->l1[i - c->l1_first]));
	qk_fix_word(c, c->owner.l1_offset + i * 8, &c->l1[i - c->l1_first],
		    fixed);
}

static int walk_l2(struct qk_checker *c, uint64_t i, struct vc_error *err)
{
	uint64_t entry = be64_get(c->l1[i - c->l1_first]);
	uint64_t l2 = entry & QC_OFFSET_MASK;
	size_t step = is_extended(c) ? 2 : 1, per, k;
	uint32_t as = QK_IS_TABLE;

	if (entry & QC_L1_RESERVED)
		bad_l1(c, i, entry & ~QC_L1_RESERVED, "reserved bits set");
	if (!l2)
		return 0;
	if (c->owner.is_active)
		as |= entry & QC_COPIED ? QK_IS_COPIED : QK_NOT_COPIED;
	if (!qk_is_aligned(c, l2)) {
		bad_l1(c, i, 0, "offset not aligned");
		return 0;
	}
	if (qk_is_repeated(c, l2, c->owner.snapshot, (uint32_t)i, "L1 table")) {
		qk_fix_word(c, c->owner.l1_offset + i * 8,
			    &c->l1[i - c->l1_first], 0);
		return 0;
	}
	c->at = (struct qc_place){ QC_AT_L2, c->owner.snapshot,
				   c->owner.l1_offset, i, 0 };
	if (!qk_count_bytes(c, l2, c->h.cluster_bytes, as)) {
		bad_l1(c, i, 0, "beyond the end of the file");
		return 0;
	}
	if (qk_read_table(c, c->l2, c->h.cluster_bytes, l2, err) < 0)
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

int qk_walk_l1(struct qk_checker *c, uint64_t offset, uint32_t nr,
	       struct vc_error *err)
{
	uint32_t first, n, i;

	if (!nr)
		return 0;
	c->owner.l1_offset = offset;
	c->at = (struct qc_place){ .kind = QC_AT_L1,
				   .owner = c->owner.snapshot };
	qk_count_bytes(c, offset, (uint64_t)nr * 8, QK_IS_META);
	for (first = 0; first < nr; first += n) {
		n = nr - first < QK_L1_PART ? nr - first : QK_L1_PART;
		c->l1_first = first;
		if (qk_read_table(c, c->l1, (size_t)n * 8,
				  offset + (uint64_t)first * 8, err) < 0)
			return -1;
		for (i = 0; i < n; i++)
			if (be64_get(c->l1[i]) &&
			    walk_l2(c, first + i, err) < 0)
				return -1;
	}
	return 0;
}

/* The table cannot be read from entry `i` on, as `err` says: there is no telling
 * where the snapshots behind are. */
static int cut_snapshots(struct qk_checker *c, uint32_t i, struct vc_error *err)
{
	be32_t nr = be32_put(i);

	if (err->code == VC_E_SYS || c->repair != VC_DISK_REPAIR_ALL ||
	    !c->is_first_walk)
		return vc_prefix(err, "snapshot %u", i);
	qk_found(c, false,
		 "ERROR snapshot %u: %s: it and what is behind it in the table "
		 "is dropped",
		 i, err->msg);
	if (vc_pwrite_full(c->fd, &nr, sizeof(nr), QC_OFFSET_NR_SNAPSHOTS) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	c->h.nr_snapshots = i;
	return 0;
}

/* A snapshot whose L1 table is nowhere can be deleted afterwards, no more. What
 * it has is not to be taken for leaked if only such are wanted. */
static int lose_snapshot(struct qk_checker *c, uint32_t i, uint64_t at,
			 struct vc_error *err)
{
	static const uint8_t none[sizeof(be64_t) + sizeof(be32_t)];

	if (err->code == VC_E_SYS || c->repair == VC_DISK_REPAIR_LEAKS)
		return vc_prefix(err, "snapshot %u", i);
	if (!c->is_first_walk)
		return 0;
	qk_found(c, false, "ERROR snapshot %u: %s", i, err->msg);
	if (c->repair == VC_DISK_REPAIR_ALL &&
	    vc_pwrite_full(c->fd, none, sizeof(none), at) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write snapshot table");
	return 0;
}

static int walk_snapshot(struct qk_checker *c, uint32_t i, uint64_t at,
			 const struct qc_snapshot *snap, struct vc_error *err)
{
	char what[40];
	int ret;

	snprintf(what, sizeof(what), "snapshot %u: ", i);
	if (qc_snapshot_check_l1(c->fd, &c->h, snap, err) < 0)
		return lose_snapshot(c, i, at, err);
	c->owner = (struct qk_owner){ what, false, i, 0 };
	ret = qk_walk_l1(c, snap->l1_offset, snap->l1_size, err);
	c->owner = (struct qk_owner){ "", false, QC_ACTIVE, 0 };
	return ret;
}

int qk_walk_snapshots(struct qk_checker *c, struct vc_error *err)
{
	uint64_t start = c->h.snapshots_offset, offset = start;
	uint32_t i;

	for (i = 0; i < c->h.nr_snapshots; i++) {
		struct qc_snapshot snap;
		uint64_t at = offset;

		if (qc_snapshot_parse(c->fd, &c->h, &offset, &snap, err) < 0) {
			offset = at;
			if (cut_snapshots(c, i, err) < 0)
				return -1;
			break;
		}
		/* its name may be behind the end */
		if ((offset - 1) >> c->h.cluster_bits >= c->file_clusters) {
			vc_fail(err, VC_E_CORRUPT, 0,
				"qcow2 snapshot table: cut short");
			offset = at;
			if (cut_snapshots(c, i, err) < 0)
				return -1;
			break;
		}
		if (walk_snapshot(c, i, at, &snap, err) < 0)
			return -1;
	}
	c->at = (struct qc_place){ .kind = QC_AT_SNAPSHOTS };
	if (!qk_count_bytes(c, start, offset - start, QK_IS_META))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	return 0;
}
