/* SPDX-License-Identifier: BSD-3-Clause */
/* Verifying (check.c, check-refs.c) and repairing (repair.c). */
#ifndef DISK_QCOW2_CHECK_H
#define DISK_QCOW2_CHECK_H

#include "disk/qcow2/edit.h"
#include "disk/qcow2/qcow2.h"

/* --- who refers to what (check-refs.c) ------------------------------------- */

/* Clusters with a wrong count whose references are looked for, and how many of
 * these are named for each. */
#define QC_MAX_SUSPECTS 1000u
#define QC_MAX_PLACES 3u

/* A place that refers to clusters. */
enum qc_place_kind {
	QC_AT_HEADER, /* its own cluster */
	QC_AT_REFTABLE,
	QC_AT_REFBLOCK,
	QC_AT_L1,
	QC_AT_L2,
	QC_AT_DATA,
	QC_AT_SNAPSHOTS,
	QC_AT_BITMAP_DIR,
	QC_AT_BITMAP_TABLE,
	QC_AT_BITMAP,
};
#define QC_ACTIVE UINT32_MAX
struct qc_place {
	enum qc_place_kind kind;
	uint32_t owner;	       /* index of a snapshot or bitmap, or QC_ACTIVE */
	uint64_t table, index; /* the entry; `table` is an offset */
	uint64_t guest;	       /* offset, of data */
};

/* A cluster that something is wrong with. */
struct qc_suspect {
	uint64_t cluster, refcount, references;
	uint64_t block; /* offset of its refcount block; 0: none */
	uint32_t as;	/* what the references say that it is */
	uint64_t nr_by;
	struct qc_place by[QC_MAX_PLACES];
};
struct qc_suspects {
	struct qc_suspect *items; /* sorted */
	unsigned nr, nr_done;
};

/* False if there are too many. They come in ascending order. */
bool qc_suspects_add(struct qc_suspects *all, const struct qc_suspect *s);
bool qc_suspects_full(const struct qc_suspects *all);
/* Forget them; they count as done. */
void qc_suspects_clear(struct qc_suspects *all);
void qc_suspects_fini(struct qc_suspects *all);
/* `place` refers to these clusters. */
void qc_suspects_note(struct qc_suspects *all, uint64_t first, uint64_t nr,
		      const struct qc_place *place);
/* "; referred to by ...", or "". */
void qc_suspect_by(const struct qc_suspect *s, char *buf, size_t size);

/* --- the passes --------------------------------------------------------------- */

/* One look at everything. With VC_DISK_REPAIR_ALL, entries that are wrong are
 * dropped or mended. With `sink`, refcounts are not compared but set there as
 * they should be (with VC_DISK_REPAIR_LEAKS: none higher than it was), but for
 * the clusters of the refcounts themselves. */
int qc_check_pass(int fd, struct vc_disk_check *chk, enum vc_disk_repair repair,
		  struct qc_edit *sink, struct vc_error *err) VC_MUST_CHECK;
int qc_repair(int fd, struct vc_disk_check *chk,
	      struct vc_error *err) VC_MUST_CHECK;
/* For an image that was not closed: its refcounts may be too low. */
int qc_repair_dirty(int fd, struct vc_error *err) VC_MUST_CHECK;
/* Refuse by name what cannot be checked, nor edited. */
int qc_check_supported(const struct qc_header *h,
		       struct vc_error *err) VC_MUST_CHECK;

#endif
