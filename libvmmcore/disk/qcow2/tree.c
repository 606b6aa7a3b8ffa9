/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * L1 tables with the L2 tables below them, as an edit sees them. A tree refers
 * to its L2 tables, and for each time that it does so to what the table refers
 * to; the refcount of a cluster is the number of these references, over the
 * active tree and those of the snapshots.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/edit.h"

int qe_tree_load(struct qc_edit *e, uint64_t offset, uint32_t nr,
		 struct qe_tree *ret, struct vc_error *err)
{
	uint64_t len = (uint64_t)nr * 8;

	ret->nr = nr;
	ret->l1 = calloc(nr + 1u, sizeof(*ret->l1));
	if (!ret->l1)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read L1 table");
	if (nr && !qe_range_ok(e, offset, len))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: L1 table at %#llx: outside the file",
			       (unsigned long long)offset);
	return nr ? qe_read(e, ret->l1, len, offset, err) : 0;
}

void qe_tree_fini(struct qe_tree *t)
{
	free(t->l1);
	t->l1 = NULL;
}

int qe_entry_clusters(const struct qc_edit *e, uint64_t entry,
		      uint64_t *ret_first, uint64_t *ret_nr,
		      struct vc_error *err)
{
	uint64_t offset = entry & QC_OFFSET_MASK, bytes = e->cluster_bytes;

	*ret_nr = 0;
	if (entry & QC_COMPRESSED) {
		qc_compressed_range(entry, e->bits, &offset, &bytes);
	} else if (!offset ||
		   (e->head.h.incompatible & QC_INCOMPAT_DATA_FILE)) {
		return 0;
	} else if (offset & (e->cluster_bytes - 1)) {
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: L2 entry %#llx: offset not aligned",
			       (unsigned long long)entry);
	}
	if (offset < e->cluster_bytes ||
	    !vc_range_ok(offset, bytes, e->end_cluster << e->bits))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: L2 entry %#llx: outside the file",
			       (unsigned long long)entry);
	*ret_first = offset >> e->bits;
	*ret_nr = ((offset + bytes - 1) >> e->bits) - *ret_first + 1;
	return 0;
}

static int l2_offset(const struct qc_edit *e, const struct qe_tree *t,
		     uint32_t i, uint64_t *ret, struct vc_error *err)
{
	uint64_t entry = be64_get(t->l1[i]);

	*ret = entry & QC_OFFSET_MASK;
	if (*ret && ((entry & QC_L1_RESERVED) ||
		     !qe_range_ok(e, *ret, e->cluster_bytes)))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: L1 entry %u: %#llx: bad offset", i,
			       (unsigned long long)entry);
	return 0;
}

/* Read each L2 table of the tree; `fn` gets where it is. */
typedef int (*table_fn)(void *ctx, uint32_t i, uint64_t offset, be64_t *l2,
			struct vc_error *err);

static int each_table(struct qc_edit *e, const struct qe_tree *t, table_fn fn,
		      void *ctx, struct vc_error *err)
{
	vc_auto_free be64_t *l2 = malloc(e->cluster_bytes);
	uint32_t i;

	if (!l2)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read L2 table");
	for (i = 0; i < t->nr; i++) {
		uint64_t offset;

		if (l2_offset(e, t, i, &offset, err) < 0)
			return -1;
		if (offset &&
		    (qe_read(e, l2, e->cluster_bytes, offset, err) < 0 ||
		     fn(ctx, i, offset, l2, err) < 0))
			return -1;
	}
	return 0;
}

/* --- references ----------------------------------------------------------------- */

struct referring {
	struct qc_edit *e;
	/* qe_ref() or qe_unref() */
	int (*fn)(struct qc_edit *e, uint64_t first, uint64_t nr,
		  struct vc_error *err);
};

static int refer_table(void *ctx, uint32_t i, uint64_t offset, be64_t *l2,
		       struct vc_error *err)
{
	const struct referring *r = ctx;
	size_t step = qe_entry_words(r->e), k;
	uint64_t first, nr;

	(void)i;
	if (r->fn(r->e, offset >> r->e->bits, 1, err) < 0)
		return -1;
	for (k = 0; k < r->e->cluster_bytes / 8; k += step)
		if (qe_entry_clusters(r->e, be64_get(l2[k]), &first, &nr, err) <
			    0 ||
		    (nr && r->fn(r->e, first, nr, err) < 0))
			return -1;
	return 0;
}

int qe_tree_ref(struct qc_edit *e, const struct qe_tree *t,
		struct vc_error *err)
{
	struct referring r = { e, qe_ref };

	return each_table(e, t, refer_table, &r, err);
}

int qe_tree_unref(struct qc_edit *e, const struct qe_tree *t,
		  struct vc_error *err)
{
	struct referring r = { e, qe_unref };

	return each_table(e, t, refer_table, &r, err);
}

/* --- changing tables ------------------------------------------------------------- */

/* Put a table to a new place, for as many as the tree stands for. */
static int move_table(struct qc_edit *e, const be64_t *l2, uint64_t *offset,
		      unsigned owners, struct vc_error *err)
{
	uint64_t old = *offset >> e->bits;
	unsigned i;

	if (qe_store(e, l2, e->cluster_bytes, offset, err) < 0)
		return -1;
	for (i = 0; i < owners; i++)
		if (qe_unref(e, old, 1, err) < 0 ||
		    (i && qe_ref(e, *offset >> e->bits, 1, err) < 0))
			return -1;
	return 0;
}

struct changing {
	struct qc_edit *e;
	struct qe_tree *t;
	qe_l2_fn fn;
	void *ctx;
	unsigned owners; /* flagging */
};

static int edit_table(void *ctx, uint32_t i, uint64_t offset, be64_t *l2,
		      struct vc_error *err)
{
	struct changing *c = ctx;
	int changed = c->fn(c->ctx, i, l2, err);

	if (changed <= 0)
		return changed;
	if (move_table(c->e, l2, &offset, 1, err) < 0)
		return -1;
	c->t->l1[i] = be64_put(offset | QC_COPIED);
	return 0;
}

int qe_tree_edit(struct qc_edit *e, struct qe_tree *t, qe_l2_fn fn, void *ctx,
		 struct vc_error *err)
{
	struct changing c = { .e = e, .t = t, .fn = fn, .ctx = ctx };

	return each_table(e, t, edit_table, &c, err);
}

/* Set the flags of a table's entries; *ret_changed if that changes one. */
static int flag_entries(struct qc_edit *e, be64_t *l2, bool *ret_changed,
			struct vc_error *err)
{
	bool external = e->head.h.incompatible & QC_INCOMPAT_DATA_FILE;
	size_t step = qe_entry_words(e), k;

	*ret_changed = false;
	for (k = 0; k < e->cluster_bytes / 8; k += step) {
		uint64_t entry = be64_get(l2[k]), now = entry & ~QC_COPIED;
		uint64_t first, nr, refcount = 0;

		if (qe_entry_clusters(e, entry, &first, &nr, err) < 0)
			return -1;
		if (nr && !(entry & QC_COMPRESSED) &&
		    qe_get(e, first, &refcount, err) < 0)
			return -1;
		if (refcount == 1 || (external && (entry & QC_OFFSET_MASK)))
			now |= QC_COPIED;
		/* without an offset, the flag says there is one at 0 */
		if (external && !(entry & QC_OFFSET_MASK))
			now = entry;
		if (now == entry)
			continue;
		l2[k] = be64_put(now);
		*ret_changed = true;
	}
	return 0;
}

static int flag_table(void *ctx, uint32_t i, uint64_t offset, be64_t *l2,
		      struct vc_error *err)
{
	struct changing *c = ctx;
	uint64_t refcount;
	bool changed;

	if (flag_entries(c->e, l2, &changed, err) < 0 ||
	    (changed && move_table(c->e, l2, &offset, c->owners, err) < 0) ||
	    qe_get(c->e, offset >> c->e->bits, &refcount, err) < 0)
		return -1;
	c->t->l1[i] = be64_put(offset | (refcount == 1 ? QC_COPIED : 0));
	return 0;
}

int qe_tree_flag(struct qc_edit *e, struct qe_tree *t, unsigned owners,
		 struct vc_error *err)
{
	struct changing c = { .e = e, .t = t, .owners = owners };

	return each_table(e, t, flag_table, &c, err);
}

int qe_tree_activate(struct qc_edit *e, const struct qe_tree *t,
		     struct vc_error *err)
{
	struct qc_header *h = &e->head.h;
	uint64_t place = 0;

	if (t->nr && qe_store(e, t->l1, (uint64_t)t->nr * 8, &place, err) < 0)
		return -1;
	if (h->l1_size &&
	    qe_unref_bytes(e, h->l1_offset, (uint64_t)h->l1_size * 8, err) < 0)
		return -1;
	h->l1_offset = place;
	h->l1_size = t->nr;
	return 0;
}
