/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing the metadata of a qcow2 file that nobody has open: see edit.c for
 * how a change becomes one step. What is built on it: snapshots, bitmaps,
 * resizing, amending, repair.
 */
#ifndef DISK_QCOW2_EDIT_H
#define DISK_QCOW2_EDIT_H

#include <vmmcore/checked.h>
#include <vmmcore/qcow2.h>
#include "disk/disk.h"
#include "disk/qcow2/format.h"

/* --- the header with all its extensions (head.c) --------------------------- */

struct qc_head_ext {
	uint32_t type, len;
	uint8_t *data; /* owned */
};

struct qc_head {
	struct qc_header h; /* what is to be written: change it here */
	uint8_t *fixed;	    /* the part of fixed length, for what is unknown */
	size_t fixed_len;
	struct qc_head_ext exts[QC_MAX_EXTENSIONS];
	unsigned nr_exts;
	size_t old_len; /* of what is in the file */
};

int qc_head_load(struct qc_head *head, int fd,
		 struct vc_error *err) VC_MUST_CHECK;
void qc_head_fini(struct qc_head *head);
/* Replace, add or (data == NULL) remove an extension whose contents are not
 * kept in head->h. */
int qc_head_set_ext(struct qc_head *head, uint32_t type, const void *data,
		    size_t len, struct vc_error *err) VC_MUST_CHECK;
/* The whole of it, in one write. */
int qc_head_write(const struct qc_head *head, int fd,
		  struct vc_error *err) VC_MUST_CHECK;

/* --- an edit (edit.c) ------------------------------------------------------ */

struct qe_slot;

struct qc_edit {
	int fd;
	struct qc_head head;
	unsigned bits; /* cluster_bits */
	uint32_t cluster_bytes;
	uint64_t per_block; /* refcounts in a block */
	unsigned order;
	bool is_regular;
	uint64_t old_file_bytes;
	uint64_t end_cluster; /* behind the file and all that was allocated */
	uint64_t first_free;  /* none is free before */
	bool append_only;     /* allocate behind the end only */
	bool is_committed;

	uint64_t *reftable; /* as it is to be */
	uint32_t reftable_nr;
	uint8_t *is_new;   /* per block: it is at a place of its own */
	uint32_t *slot_of; /* per block: 1 + its slot, or 0 */
	struct qe_slot *slots;
	unsigned nr_slots, hand;
	bool is_touched; /* a refcount was changed */

	/* Clusters the old image has and the new one has not: not to be used
	 * before the step is done. A bit each, in pages. */
	uint8_t **frozen;
	size_t nr_frozen, nr_frozen_pages;
	/* Places of refcount blocks that moved. */
	uint64_t *pending;
	size_t nr_pending, max_pending;
	uint64_t table_bytes; /* read so far */
};

/* Returns -1 for an image that must be repaired first. qe_fini() in any case. */
int qe_open(struct qc_edit *e, int fd, struct vc_error *err) VC_MUST_CHECK;
/* The same of one that is being repaired. */
int qe_open_any(struct qc_edit *e, int fd, struct vc_error *err) VC_MUST_CHECK;
/* The same without a look at the refcounts, which are to be made anew. */
int qe_open_empty(struct qc_edit *e, int fd, unsigned order,
		  struct vc_error *err) VC_MUST_CHECK;
void qe_fini(struct qc_edit *e);
int qe_get(struct qc_edit *e, uint64_t cluster, uint64_t *ret,
	   struct vc_error *err) VC_MUST_CHECK;
int qe_set(struct qc_edit *e, uint64_t cluster, uint64_t refcount,
	   struct vc_error *err) VC_MUST_CHECK;
/* Add or take away one reference to each cluster. */
int qe_ref(struct qc_edit *e, uint64_t first, uint64_t nr,
	   struct vc_error *err) VC_MUST_CHECK;
int qe_unref(struct qc_edit *e, uint64_t first, uint64_t nr,
	     struct vc_error *err) VC_MUST_CHECK;
/* `nr` clusters in a row, with refcount 1. */
int qe_alloc(struct qc_edit *e, uint64_t nr, uint64_t *ret_first,
	     struct vc_error *err) VC_MUST_CHECK;
/* Allocate and write `len` bytes, padded with zeroes to whole clusters. */
int qe_store(struct qc_edit *e, const void *data, uint64_t len,
	     uint64_t *ret_offset, struct vc_error *err) VC_MUST_CHECK;
int qe_unref_bytes(struct qc_edit *e, uint64_t offset, uint64_t len,
		   struct vc_error *err) VC_MUST_CHECK;
/* Read metadata: zeroes behind the end of the file; counted against a limit. */
int qe_read(struct qc_edit *e, void *buf, size_t len, uint64_t offset,
	    struct vc_error *err) VC_MUST_CHECK;
int qe_write(struct qc_edit *e, const void *buf, size_t len, uint64_t offset,
	     struct vc_error *err) VC_MUST_CHECK;
/* Is [offset, offset + len) on a cluster boundary and in the file? */
bool qe_range_ok(const struct qc_edit *e, uint64_t offset, uint64_t len);
/* Put the new image into the place of the old one. */
int qe_commit(struct qc_edit *e, struct vc_error *err) VC_MUST_CHECK;

/* --- its refcounts (edit-refs.c) ----------------------------------------------- */

int qe_refs_init(struct qc_edit *e, struct vc_error *err) VC_MUST_CHECK;
void qe_refs_fini(struct qc_edit *e);
/* Write the changed blocks that are still in memory. */
int qe_refs_write(struct qc_edit *e, struct vc_error *err) VC_MUST_CHECK;
/* Have a table with an entry for block `b`. */
int qe_grow_reftable(struct qc_edit *e, uint64_t b,
		     struct vc_error *err) VC_MUST_CHECK;
bool qe_is_frozen(const struct qc_edit *e, uint64_t cluster);
/* The first frozen cluster from this one on, or UINT64_MAX. */
uint64_t qe_next_frozen(const struct qc_edit *e, uint64_t cluster);

/* --- trees of L1 and L2 tables (tree.c) ------------------------------------- */

struct qe_tree {
	be64_t *l1; /* owned */
	uint32_t nr;
};

static inline size_t qe_entry_words(const struct qc_edit *e)
{
	return e->head.h.incompatible & QC_INCOMPAT_EXTENDED_L2 ? 2 : 1;
}
int qe_tree_load(struct qc_edit *e, uint64_t offset, uint32_t nr,
		 struct qe_tree *ret, struct vc_error *err) VC_MUST_CHECK;
void qe_tree_fini(struct qe_tree *t);
/* References by the tree: L2 tables and what they refer to. */
int qe_tree_ref(struct qc_edit *e, const struct qe_tree *t,
		struct vc_error *err) VC_MUST_CHECK;
int qe_tree_unref(struct qc_edit *e, const struct qe_tree *t,
		  struct vc_error *err) VC_MUST_CHECK;
/* Set the COPIED flags of a tree that is to be the active one by the refcounts.
 * L2 tables that change move. The tree stands for `owners` references: 2, if a
 * copy of its L1 table is to be a snapshot. */
int qe_tree_flag(struct qc_edit *e, struct qe_tree *t, unsigned owners,
		 struct vc_error *err) VC_MUST_CHECK;
/* Write the L1 table of the active disk anew and release the old one. */
int qe_tree_activate(struct qc_edit *e, const struct qe_tree *t,
		     struct vc_error *err) VC_MUST_CHECK;
/* Read, change and (when `fn` says so) rewrite each L2 table of a tree. A table
 * that others use, too, is copied. `fn` returns -1, 0 or 1: changed. */
typedef int (*qe_l2_fn)(void *ctx, uint32_t l1_index, be64_t *l2,
			struct vc_error *err);
int qe_tree_edit(struct qc_edit *e, struct qe_tree *t, qe_l2_fn fn, void *ctx,
		 struct vc_error *err) VC_MUST_CHECK;
/* What an L2 entry refers to: clusters, 0 of them for none. */
int qe_entry_clusters(const struct qc_edit *e, uint64_t entry,
		      uint64_t *ret_first, uint64_t *ret_nr,
		      struct vc_error *err) VC_MUST_CHECK;

/* bitmap.c: make all bitmaps fit a disk of `size` bytes. */
int qc_bitmaps_resize(struct qc_edit *e, uint64_t size,
		      struct vc_error *err) VC_MUST_CHECK;
#endif
