/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing what the header says of an image that exists. Refcounts of another
 * width are a new set of them, made behind the end of the file; zero clusters,
 * which version 2 does not have, become holes or clusters of zeroes. The steps
 * are edits (see edit.c), one after the other, each with a consistent image.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/check.h"

void vc_qcow2_amend_opts_init(struct vc_qcow2_amend_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->lazy_refcounts = o->data_file_raw = -1;
}

static void report(const struct vc_qcow2_amend_opts *o, uint64_t done,
		   uint64_t total)
{
	if (o->progress)
		o->progress(o->opaque, done, total);
}

/* --- refcounts of another width ---------------------------------------------- */

static int copy_refcounts(struct qc_edit *from, struct qc_edit *to,
			  const struct vc_qcow2_amend_opts *o,
			  struct vc_error *err)
{
	uint64_t b, i, v;

	for (b = 0; b < from->reftable_nr; b++) {
		report(o, b, from->reftable_nr);
		if (!from->reftable[b])
			continue;
		for (i = 0; i < from->per_block; i++) {
			uint64_t c = b * from->per_block + i;

			if (qe_get(from, c, &v, err) < 0 ||
			    (v && qe_set(to, c, v, err) < 0))
				return -1;
		}
	}
	/* the old refcounts go */
	for (b = 0; b < from->reftable_nr; b++)
		if (from->reftable[b] &&
		    qe_unref(to, from->reftable[b] >> from->bits, 1, err) < 0)
			return -1;
	return qe_unref(to, from->head.h.reftable_offset >> from->bits,
			from->head.h.reftable_clusters, err);
}

static int change_width(int fd, unsigned order,
			const struct vc_qcow2_amend_opts *o,
			struct vc_error *err)
{
	struct qc_edit from, to;
	int ret;

	memset(&to, 0, sizeof(to));
	ret = qe_open(&from, fd, err);
	if (ret == 0)
		ret = qe_open_empty(&to, fd, order, err);
	if (ret == 0) {
		to.append_only = true;
		to.head.h.reftable_offset = 0;
		to.head.h.reftable_clusters = 0;
		ret = copy_refcounts(&from, &to, o, err);
	}
	if (ret == 0)
		ret = qe_commit(&to, err);
	from.is_committed = true; /* nothing was changed through it */
	qe_fini(&from);
	qe_fini(&to);
	return ret;
}

/* --- to version 2 -------------------------------------------------------------- */

struct expand {
	struct qc_edit *e;
	bool only_look;
};

/* A zero cluster becomes a hole where a hole reads zero, else zeroes. */
static int expand_one(struct expand *x, be64_t *word, struct vc_error *err)
{
	struct qc_edit *e = x->e;
	uint64_t entry = be64_get(*word), first, nr, place;
	vc_auto_free uint8_t *zeroes = NULL;

	if (qe_entry_clusters(e, entry, &first, &nr, err) < 0 ||
	    (nr && qe_unref(e, first, nr, err) < 0))
		return -1;
	if (!e->head.h.backing_file[0]) {
		*word = be64_put(0);
		return 0;
	}
	zeroes = calloc(1, e->cluster_bytes);
	if (!zeroes)
		return vc_fail(err, VC_E_SYS, ENOMEM, "amend");
	if (qe_store(e, zeroes, e->cluster_bytes, &place, err) < 0)
		return -1;
	*word = be64_put(place | QC_COPIED);
	return 0;
}

static int expand_table(void *ctx, uint32_t i, be64_t *l2, struct vc_error *err)
{
	struct expand *x = ctx;
	int changed = 0;
	size_t k;

	(void)i;
	for (k = 0; k < x->e->cluster_bytes / 8; k++) {
		uint64_t entry = be64_get(l2[k]);

		if ((entry & QC_COMPRESSED) || !(entry & QC_ZERO))
			continue;
		if (x->only_look)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "compat=0.10: a snapshot has zero "
				       "clusters");
		if (expand_one(x, &l2[k], err) < 0)
			return -1;
		changed = 1;
	}
	return changed;
}

static int look_at_snapshots(struct qc_edit *e, struct vc_error *err)
{
	uint64_t offset = e->head.h.snapshots_offset;
	struct expand x = { e, true };
	uint32_t i;

	for (i = 0; i < e->head.h.nr_snapshots; i++) {
		struct qe_tree t = { NULL, 0 };
		struct qc_snapshot s;
		int ret;

		ret = qc_snapshot_read(e->fd, &e->head.h, &offset, &s, err);
		if (ret == 0)
			ret = qe_tree_load(e, s.l1_offset, s.l1_size, &t, err);
		if (ret == 0)
			ret = qe_tree_edit(e, &t, expand_table, &x, err);
		qe_tree_fini(&t);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int expand_zeroes(struct qc_edit *e, struct vc_error *err)
{
	struct expand x = { e, false };
	struct qe_tree t = { NULL, 0 };
	int ret;

	if (look_at_snapshots(e, err) < 0)
		return -1;
	ret = qe_tree_load(e, e->head.h.l1_offset, e->head.h.l1_size, &t, err);
	if (ret == 0)
		ret = qe_tree_edit(e, &t, expand_table, &x, err);
	if (ret == 0)
		ret = qe_tree_flag(e, &t, 1, err);
	if (ret == 0)
		ret = qe_tree_activate(e, &t, err);
	qe_tree_fini(&t);
	return ret;
}

static int to_version_2(struct qc_edit *e, struct vc_error *err)
{
	struct qc_header *h = &e->head.h;

	if (h->incompatible)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "compat=0.10: the image has %s",
			       qc_has_data_file(h)     ? "a data file"
			       : qc_has_subclusters(h) ? "extended L2 entries"
						       : "zstd compression");
	if (h->nr_bitmaps && (h->autoclear & QC_AUTOCLEAR_BITMAPS))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "compat=0.10: the image has bitmaps");
	if (h->refcount_order != 4)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "compat=0.10: needs refcount_bits=16");
	if (expand_zeroes(e, err) < 0)
		return -1;
	h->nr_bitmaps = 0;
	h->compatible = 0;
	h->autoclear = 0;
	h->version = 2;
	return qc_head_set_ext(&e->head, QC_EXT_FEATURE_NAMES, NULL, 0, err);
}

/* --- the header ------------------------------------------------------------------ */

static int set_name(char *to, size_t size, const char *from, const char *what,
		    struct vc_error *err)
{
	if (!from)
		return 0;
	if (strlen(from) >= size)
		return vc_fail(err, VC_E_LIMIT, 0, "%s: more than %zu bytes",
			       what, size - 1);
	memset(to, 0, size);
	memcpy(to, from, strlen(from));
	return 0;
}

static int set_backing(struct qc_edit *e, const struct vc_qcow2_amend_opts *o,
		       struct vc_error *err)
{
	struct qc_header *h = &e->head.h;

	if (o->backing_file && o->backing_file[0] && qc_is_data_file_raw(h))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "a backing file beside a raw data file");
	if (set_name(h->backing_file, sizeof(h->backing_file), o->backing_file,
		     "backing file name", err) < 0 ||
	    set_name(h->backing_format, sizeof(h->backing_format),
		     o->backing_format, "backing format", err) < 0)
		return -1;
	if (!h->backing_file[0])
		memset(h->backing_format, 0, sizeof(h->backing_format));
	/* two programs, two numbers for the same thing */
	return qc_head_set_ext(&e->head, QC_EXT_CROSVM_BACKING_FORMAT,
			       h->backing_format[0] ? h->backing_format : NULL,
			       strlen(h->backing_format), err);
}

static int set_data_file(struct qc_edit *e, const struct vc_qcow2_amend_opts *o,
			 struct vc_error *err)
{
	struct qc_header *h = &e->head.h;

	if ((o->data_file || o->data_file_raw >= 0) && !qc_has_data_file(h))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "data_file: the image has none");
	if (o->data_file_raw == 1 && !qc_is_data_file_raw(h))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "data_file_raw: cannot be set on an image that "
			       "exists");
	if (o->data_file_raw == 0)
		h->autoclear &= ~(uint64_t)QC_AUTOCLEAR_RAW_DATA_FILE;
	if (!o->data_file)
		return 0;
	if (strlen(o->data_file) > QC_MAX_BACKING_NAME)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "data file name: more than %d bytes",
			       QC_MAX_BACKING_NAME);
	return qc_head_set_ext(&e->head, QC_EXT_DATA_FILE,
			       o->data_file[0] ? o->data_file : NULL,
			       strlen(o->data_file), err);
}

static int change_header(struct qc_edit *e, const struct vc_qcow2_amend_opts *o,
			 struct vc_error *err)
{
	struct qc_header *h = &e->head.h;

	if (o->version == 3)
		h->version = 3;
	if (set_backing(e, o, err) < 0 || set_data_file(e, o, err) < 0)
		return -1;
	if (o->lazy_refcounts == 1 && (h->version < 3 || o->version == 2))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "lazy_refcounts need compat=1.1");
	if (o->lazy_refcounts == 1)
		h->compatible |= QC_COMPAT_LAZY_REFCOUNTS;
	if (o->lazy_refcounts == 0)
		h->compatible &= ~(uint64_t)QC_COMPAT_LAZY_REFCOUNTS;
	if (o->version == 2 && h->version == 3 && to_version_2(e, err) < 0)
		return -1;
	return qe_commit(e, err);
}

static int check_width(const struct qc_header *h,
		       const struct vc_qcow2_amend_opts *o,
		       struct vc_error *err)
{
	unsigned version = o->version ? o->version : h->version;

	if (!o->refcount_bits)
		return 0;
	if (!vc_is_pow2(o->refcount_bits) || o->refcount_bits > 64)
		return vc_fail(err, VC_E_ARG, 0,
			       "refcount_bits %u: not a power of two up to 64",
			       o->refcount_bits);
	if (version == 2 && o->refcount_bits != 16)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "refcount_bits other than 16 need compat=1.1");
	return 0;
}

static int only_version_3(int fd, struct vc_error *err)
{
	struct qc_edit e;
	int ret = qe_open(&e, fd, err);

	if (ret == 0) {
		e.head.h.version = 3;
		ret = qe_commit(&e, err);
	}
	qe_fini(&e);
	return ret;
}

int vc_qcow2_amend(int fd, const struct vc_qcow2_amend_opts *o,
		   struct vc_error *err)
{
	struct qc_header h;
	struct qc_edit e;
	unsigned order;
	int ret;

	if (o->version && o->version != 2 && o->version != 3)
		return vc_fail(err, VC_E_ARG, 0, "qcow2 version %u: not 2 or 3",
			       o->version);
	if (qc_header_read(fd, &h, err) < 0 || check_width(&h, o, err) < 0)
		return -1;
	order = o->refcount_bits ? (unsigned)__builtin_ctz(o->refcount_bits)
				 : h.refcount_order;
	if (order != h.refcount_order &&
	    ((h.version == 2 && only_version_3(fd, err) < 0) ||
	     change_width(fd, order, o, err) < 0))
		return -1;
	ret = qe_open(&e, fd, err);
	if (ret == 0)
		ret = change_header(&e, o, err);
	qe_fini(&e);
	if (ret == 0)
		report(o, 1, 1);
	return ret;
}

/* --- nothing of its own ---------------------------------------------------------- */

int vc_qcow2_make_empty(int fd, struct vc_error *err)
{
	struct qe_tree t = { NULL, 0 };
	struct qc_edit e;
	int ret;

	ret = qe_open(&e, fd, err);
	if (ret == 0)
		ret = qe_tree_load(&e, e.head.h.l1_offset, e.head.h.l1_size, &t,
				   err);
	if (ret == 0)
		ret = qe_tree_unref(&e, &t, err);
	if (ret == 0) {
		memset(t.l1, 0, (size_t)t.nr * sizeof(*t.l1));
		ret = qe_tree_activate(&e, &t, err);
	}
	if (ret == 0)
		ret = qe_commit(&e, err);
	qe_tree_fini(&t);
	qe_fini(&e);
	return ret;
}
