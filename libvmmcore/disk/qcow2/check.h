/* SPDX-License-Identifier: BSD-3-Clause */
/* Verifying (check.c, check-walk.c, check-bitmaps.c, check-refs.c) and repairing (repair.c). */
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

/* --- one look at everything ----------------------------------------------------- */

/* A counter: who refers to the cluster, and how often. Large counts are rare
 * and are in a hash table. */
#define QK_IS_META (1u << 15)  /* header, L1, refcounts...: one reference */
#define QK_IS_TABLE (1u << 14) /* an L2 table */
#define QK_IS_DATA (1u << 13)
#define QK_IS_COPIED (1u << 12)	 /* the active tables say: used once */
#define QK_NOT_COPIED (1u << 11) /* ... used more than once */
#define QK_COUNT_MASK (QK_NOT_COPIED - 1)
struct qk_many {
	uint64_t cluster; /* 0: free, as the header is not in here */
	uint64_t count;	  /* beyond QK_COUNT_MASK */
};

#define QK_L1_PART 8192u /* entries of an L1 table in memory at a time */
/* Whose entries are being walked, for messages. */
struct qk_owner {
	const char *what; /* "" or "snapshot N: " */
	bool is_active;
	uint32_t snapshot; /* index, or QC_ACTIVE */
	uint64_t l1_offset;
};

struct qk_checker {
	int fd;
	struct qc_header h;
	struct vc_disk_check *chk;
	struct qc_edit *sink; /* takes the right refcounts, or NULL */
	enum vc_disk_repair repair;
	struct qc_table reftable;
	uint64_t file_clusters;
	uint16_t *counts;
	struct qk_many *many;
	size_t nr_many;
	uint64_t first, nr; /* the window */
	uint64_t next;	    /* first cluster in use after it, or UINT64_MAX */
	uint64_t last_used; /* highest cluster in use, plus 1 */
	bool is_first_walk;
	struct qc_seen *seen;
	uint64_t repeated; /* offset of the last table that two entries name */
	bool is_over;	   /* too many large counts */
	bool is_tracing;   /* nothing is counted: who refers to the suspects? */
	struct qc_suspects suspects;
	struct qc_place at; /* what is counted now is referred to there */
	struct qk_owner owner;
	be64_t *l1;	   /* QK_L1_PART entries */
	uint64_t l1_first; /* index of the first of them */
	be64_t *l2;	   /* a cluster */
	uint8_t *block;	   /* a cluster */
	uint64_t next_host;
	uint64_t table_bytes; /* read in this walk */
};

/* What check.c has for those who walk. */
void qk_found(struct qk_checker *c, bool is_leak, const char *fmt, ...)
	VC_PRINTF(3, 4);
/* What is at c->at refers to these clusters, `as` what they are. */
void qk_count(struct qk_checker *c, uint64_t first, uint64_t nr, uint32_t as);
/* The same of a range of bytes; false if it is not in the file. */
bool qk_count_bytes(struct qk_checker *c, uint64_t offset, uint64_t len,
		    uint32_t as);
/* Of `owner` in qc_seen_before(): a snapshot, QC_ACTIVE or this. */
#define QK_REFTABLE (UINT32_MAX - 1)
/* Is the table at `offset`, which entry `index` names, another entry's, too? To
 * be left out then; it is one finding, however many entries. */
bool qk_is_repeated(struct qk_checker *c, uint64_t offset, uint32_t owner,
		    uint32_t index, const char *what);
int qk_read_table(struct qk_checker *c, void *buf, size_t len, uint64_t offset,
		  struct vc_error *err) VC_MUST_CHECK;
static inline bool qk_is_aligned(const struct qk_checker *c, uint64_t offset)
{
	return !(offset & (c->h.cluster_bytes - 1));
}

/* The walks: check-walk.c, check-bitmaps.c. */
int qk_walk_l1(struct qk_checker *c, uint64_t offset, uint32_t nr,
	       struct vc_error *err) VC_MUST_CHECK;
int qk_walk_snapshots(struct qk_checker *c, struct vc_error *err) VC_MUST_CHECK;
int qk_walk_bitmaps(struct qk_checker *c, struct vc_error *err) VC_MUST_CHECK;
/* Put the right value into the place of a wrong one, if that is wanted. */
void qk_fix_word(struct qk_checker *c, uint64_t offset, be64_t *word,
		 uint64_t v);

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
