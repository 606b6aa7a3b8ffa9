/* SPDX-License-Identifier: BSD-3-Clause */
/* The walk of a check over persistent bitmaps: like that of check-walk.c. */
#include <errno.h>
#include "disk/qcow2/check.h"

/* 0: zeroes, 1: ones, or the offset of a cluster of bits. */
static bool bitmap_entry_ok(struct qk_checker *c, uint64_t e)
{
	uint64_t host = e & QC_OFFSET_MASK, rest = e & ~QC_OFFSET_MASK;

	if (!host)
		return rest <= 1;
	return !rest && qk_is_aligned(c, host) &&
	       qk_count_bytes(c, host, c->h.cluster_bytes, QK_IS_META);
}

static void walk_bitmap_entry(struct qk_checker *c, size_t k)
{
	uint64_t e = be64_get(c->l2[k]);

	if (bitmap_entry_ok(c, e) || !c->is_first_walk)
		return;
	qk_found(c, false,
		 "ERROR bitmap %u: table %#llx entry %llu: bad value: "
		 "%#llx",
		 c->at.owner, (unsigned long long)c->at.table,
		 (unsigned long long)c->at.index, (unsigned long long)e);
	/* all ones: what it says may have changed */
	qk_fix_word(c, c->at.table + c->at.index * 8, &c->l2[k], 1);
}

static int walk_bitmap_table(struct qk_checker *c, uint32_t bitmap,
			     uint64_t offset, uint32_t nr, struct vc_error *err)
{
	uint64_t i, k, per = c->h.cluster_bytes / 8;

	c->at = (struct qc_place){ .kind = QC_AT_BITMAP_TABLE,
				   .owner = bitmap };
	if (!qk_is_aligned(c, offset) ||
	    !qk_count_bytes(c, offset, (uint64_t)nr * 8, QK_IS_META)) {
		if (c->repair == VC_DISK_REPAIR_ALL)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "bitmap %u: table %#llx: bad offset",
				       bitmap, (unsigned long long)offset);
		if (c->is_first_walk)
			qk_found(c, false,
				 "ERROR bitmap %u: table %#llx: bad offset",
				 bitmap, (unsigned long long)offset);
		return 0;
	}
	c->at.kind = QC_AT_BITMAP;
	c->at.table = offset;
	for (i = 0; i < nr; i += per) {
		if (qk_read_table(c, c->l2, c->h.cluster_bytes, offset + i * 8,
				  err) < 0)
			return -1;
		for (k = 0; k < per && i + k < nr; k++) {
			c->at.index = i + k;
			walk_bitmap_entry(c, k);
		}
	}
	return 0;
}

static int walk_directory(struct qk_checker *c, struct vc_error *err)
{
	uint64_t pos = c->h.bitmap_dir_offset;
	uint64_t end = pos + c->h.bitmap_dir_bytes;
	uint32_t i;

	c->at = (struct qc_place){ .kind = QC_AT_BITMAP_DIR };
	if (end < pos || !qk_is_aligned(c, pos) ||
	    !qk_count_bytes(c, pos, c->h.bitmap_dir_bytes, QK_IS_META))
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
static int drop_bitmaps(struct qk_checker *c, struct vc_error *err)
{
	be64_t bits;

	qk_found(c, false, "ERROR %s: all bitmaps are dropped", err->msg);
	c->h.autoclear &= ~(uint64_t)QC_AUTOCLEAR_BITMAPS;
	bits = be64_put(c->h.autoclear);
	if (vc_pwrite_full(c->fd, &bits, sizeof(bits), QC_OFFSET_AUTOCLEAR) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}

int qk_walk_bitmaps(struct qk_checker *c, struct vc_error *err)
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
