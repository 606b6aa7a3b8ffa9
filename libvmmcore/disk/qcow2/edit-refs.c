/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The refcounts of an edit: see edit.c for what it is. Refcount blocks are read
 * through a cache; one that is changed for the first time gets a new place,
 * whose refcount may be in a block that moves for it, too. What the new image
 * releases is frozen: a bit per cluster in pages that exist where needed, up to
 * a limit beyond which clusters are taken from the end of the file only, where
 * none is frozen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/edit.h"

#define CACHE_BYTES (8u << 20)
#define MIN_SLOTS 8
#define FROZEN_PAGE_BYTES 4096u
#define FROZEN_PAGE_BITS (FROZEN_PAGE_BYTES * 8)
#define MAX_FROZEN_PAGES ((16u << 20) / FROZEN_PAGE_BYTES)
#define MAX_FROZEN_INDEX (UINT64_C(1) << 20) /* 8 MiB of pointers */

struct qe_slot {
	uint8_t *data;
	uint32_t block; /* 1 + index, or 0 */
	bool is_dirty, is_used;
};

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "qcow2: edit");
}

/* --- frozen clusters --------------------------------------------------------- */

bool qe_is_frozen(const struct qc_edit *e, uint64_t cluster)
{
	uint64_t page = cluster / FROZEN_PAGE_BITS;
	unsigned bit = (unsigned)(cluster % FROZEN_PAGE_BITS);

	return page < e->nr_frozen && e->frozen[page] &&
	       (e->frozen[page][bit / 8] >> (bit % 8) & 1);
}

static int grow_frozen(struct qc_edit *e, uint64_t page, struct vc_error *err)
{
	size_t nr = (size_t)page + 64;
	uint8_t **frozen;

	if (page < e->nr_frozen)
		return 0;
	frozen = realloc(e->frozen, nr * sizeof(*frozen));
	if (!frozen)
		return no_memory(err);
	memset(frozen + e->nr_frozen, 0, (nr - e->nr_frozen) * sizeof(*frozen));
	e->frozen = frozen;
	e->nr_frozen = nr;
	return 0;
}

static int freeze(struct qc_edit *e, uint64_t cluster, struct vc_error *err)
{
	uint64_t page = cluster / FROZEN_PAGE_BITS;
	unsigned bit = (unsigned)(cluster % FROZEN_PAGE_BITS);

	if (page >= MAX_FROZEN_INDEX) {
		e->append_only = true;
		return 0;
	}
	if (grow_frozen(e, page, err) < 0)
		return -1;
	if (!e->frozen[page]) {
		if (e->nr_frozen_pages == MAX_FROZEN_PAGES) {
			e->append_only = true;
			return 0;
		}
		e->frozen[page] = calloc(1, FROZEN_PAGE_BYTES);
		if (!e->frozen[page])
			return no_memory(err);
		e->nr_frozen_pages++;
	}
	e->frozen[page][bit / 8] |= (uint8_t)(1u << (bit % 8));
	return 0;
}

/* --- refcount blocks ---------------------------------------------------------- */

static int write_slot(struct qc_edit *e, struct qe_slot *s,
		      struct vc_error *err)
{
	if (!s->block || !s->is_dirty)
		return 0;
	s->is_dirty = false;
	return qe_write(e, s->data, e->cluster_bytes, e->reftable[s->block - 1],
			err);
}

/* A slot for `block`, its old contents gone: the second chance algorithm. */
static int take_slot(struct qc_edit *e, uint32_t block, struct qe_slot **ret,
		     struct vc_error *err)
{
	struct qe_slot *s;

	for (;;) {
		s = &e->slots[e->hand];
		e->hand = (e->hand + 1) % e->nr_slots;
		if (!s->is_used)
			break;
		s->is_used = false;
	}
	if (write_slot(e, s, err) < 0)
		return -1;
	if (s->block)
		e->slot_of[s->block - 1] = 0;
	s->block = 0;
	if (!s->data && !(s->data = malloc(e->cluster_bytes)))
		return no_memory(err);
	s->block = block + 1;
	s->is_used = true;
	e->slot_of[block] = (uint32_t)(s - e->slots) + 1;
	*ret = s;
	return 0;
}

/* Block `b`, which exists. */
static int get_slot(struct qc_edit *e, uint32_t b, struct qe_slot **ret,
		    struct vc_error *err)
{
	uint64_t offset = e->reftable[b];

	if (e->slot_of[b]) {
		*ret = &e->slots[e->slot_of[b] - 1];
		(*ret)->is_used = true;
		return 0;
	}
	if (!qe_range_ok(e, offset, e->cluster_bytes))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: refcount table entry %u: %#llx", b,
			       (unsigned long long)offset);
	if (take_slot(e, b, ret, err) < 0)
		return -1;
	if (qe_read(e, (*ret)->data, e->cluster_bytes, offset, err) < 0) {
		e->slot_of[b] = 0;
		(*ret)->block = 0;
		return -1;
	}
	return 0;
}

int qe_get(struct qc_edit *e, uint64_t cluster, uint64_t *ret,
	   struct vc_error *err)
{
	uint64_t b = cluster / e->per_block;
	struct qe_slot *s;

	*ret = 0;
	if (b >= e->reftable_nr || !e->reftable[b])
		return 0;
	if (get_slot(e, (uint32_t)b, &s, err) < 0)
		return -1;
	*ret = qc_refcount_get(s->data, e->order, cluster % e->per_block);
	return 0;
}

int qe_grow_reftable(struct qc_edit *e, uint64_t b, struct vc_error *err)
{
	uint64_t nr = b + 1 + b / 8, per = e->cluster_bytes / 8;
	uint64_t *reftable;
	uint8_t *is_new;
	uint32_t *slot_of;
	size_t more;

	if (b < e->reftable_nr)
		return 0;
	nr = vc_div_round_up(nr, per) * per;
	nr = vc_min_u64(nr, QC_MAX_REFTABLE_BYTES / 8);
	if (b >= nr)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: refcount table of more than %u bytes",
			       QC_MAX_REFTABLE_BYTES);
	reftable = realloc(e->reftable, nr * sizeof(*reftable));
	if (reftable)
		e->reftable = reftable;
	is_new = realloc(e->is_new, nr);
	if (is_new)
		e->is_new = is_new;
	slot_of = realloc(e->slot_of, nr * sizeof(*slot_of));
	if (slot_of)
		e->slot_of = slot_of;
	if (!reftable || !is_new || !slot_of)
		return no_memory(err);
	more = (size_t)nr - e->reftable_nr;
	memset(reftable + e->reftable_nr, 0, more * sizeof(*reftable));
	memset(is_new + e->reftable_nr, 0, more);
	memset(slot_of + e->reftable_nr, 0, more * sizeof(*slot_of));
	e->reftable_nr = (uint32_t)nr;
	return 0;
}

/* The first of `nr` free clusters in a row. Nothing is taken yet. */
static int find_free(struct qc_edit *e, uint64_t nr, uint64_t *ret,
		     struct vc_error *err)
{
	uint64_t c = e->append_only ? e->end_cluster : e->first_free, run = 0;
	bool is_first = true;

	if (e->append_only) {
		*ret = c;
		return 0;
	}
	for (; run < nr; c++) {
		uint64_t refcount;

		if (qe_get(e, c, &refcount, err) < 0)
			return -1;
		if (refcount || qe_is_frozen(e, c)) {
			run = 0;
			continue;
		}
		if (is_first)
			e->first_free = c;
		is_first = false;
		run++;
	}
	*ret = c - nr;
	return 0;
}

static int push_pending(struct qc_edit *e, uint64_t cluster,
			struct vc_error *err)
{
	if (e->nr_pending == e->max_pending) {
		size_t max = e->max_pending * 2 + 64;
		uint64_t *p = realloc(e->pending, max * sizeof(*p));

		if (!p)
			return no_memory(err);
		e->pending = p;
		e->max_pending = max;
	}
	e->pending[e->nr_pending++] = cluster;
	return 0;
}

static int put_refcount(struct qc_edit *e, uint64_t cluster, uint64_t v,
			struct vc_error *err)
{
	struct qe_slot *s;

	if (get_slot(e, (uint32_t)(cluster / e->per_block), &s, err) < 0)
		return -1;
	qc_refcount_put(s->data, e->order, cluster % e->per_block, v);
	s->is_dirty = true;
	return 0;
}

static void note_used(struct qc_edit *e, uint64_t first, uint64_t nr)
{
	if (first + nr > e->end_cluster)
		e->end_cluster = first + nr;
}

/* Give block `b` the place `cluster`, which it may count itself. */
static int move_block(struct qc_edit *e, uint32_t b, uint64_t cluster,
		      struct vc_error *err)
{
	uint64_t old = e->reftable[b];
	struct qe_slot *s;

	if (old) {
		if (get_slot(e, b, &s, err) < 0 ||
		    push_pending(e, old >> e->bits, err) < 0)
			return -1;
	} else {
		if (take_slot(e, b, &s, err) < 0)
			return -1;
		memset(s->data, 0, e->cluster_bytes);
	}
	e->reftable[b] = cluster << e->bits;
	e->is_new[b] = 1;
	e->is_touched = true;
	s->is_dirty = true;
	note_used(e, cluster, 1);
	return put_refcount(e, cluster, 1, err);
}

/* Make sure that the refcounts of block `b` can be changed. */
static int own_block(struct qc_edit *e, uint64_t b, struct vc_error *err)
{
	for (;;) {
		uint64_t cluster, home;

		if (qe_grow_reftable(e, b, err) < 0)
			return -1;
		if (e->is_new[b])
			return 0;
		if (find_free(e, 1, &cluster, err) < 0)
			return -1;
		home = cluster / e->per_block;
		if (home == b || (home < e->reftable_nr && e->is_new[home]))
			return move_block(e, (uint32_t)b, cluster, err);
		/* which takes a cluster, perhaps this one */
		if (own_block(e, home, err) < 0)
			return -1;
	}
}

int qe_set(struct qc_edit *e, uint64_t cluster, uint64_t refcount,
	   struct vc_error *err)
{
	uint64_t b = cluster / e->per_block;

	if (!refcount && (b >= e->reftable_nr || !e->reftable[b]))
		return 0;
	if (refcount > qc_refcount_max(e->order))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: %llu references to a cluster: more than "
			       "%u refcount bits can count",
			       (unsigned long long)refcount, 1u << e->order);
	if (own_block(e, b, err) < 0 ||
	    put_refcount(e, cluster, refcount, err) < 0)
		return -1;
	if (refcount)
		note_used(e, cluster, 1);
	return refcount ? 0 : freeze(e, cluster, err);
}

int qe_ref(struct qc_edit *e, uint64_t first, uint64_t nr, struct vc_error *err)
{
	uint64_t c, v;

	for (c = first; c < first + nr; c++)
		if (qe_get(e, c, &v, err) < 0 || qe_set(e, c, v + 1, err) < 0)
			return -1;
	return 0;
}

int qe_unref(struct qc_edit *e, uint64_t first, uint64_t nr,
	     struct vc_error *err)
{
	uint64_t c, v;

	for (c = first; c < first + nr; c++) {
		if (qe_get(e, c, &v, err) < 0)
			return -1;
		if (!v)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2: cluster %llu is used but its "
				       "refcount is 0",
				       (unsigned long long)c);
		if (qe_set(e, c, v - 1, err) < 0)
			return -1;
	}
	return 0;
}

int qe_unref_bytes(struct qc_edit *e, uint64_t offset, uint64_t len,
		   struct vc_error *err)
{
	if (!len)
		return 0;
	return qe_unref(e, offset >> e->bits,
			vc_div_round_up(len, e->cluster_bytes), err);
}

int qe_alloc(struct qc_edit *e, uint64_t nr, uint64_t *ret,
	     struct vc_error *err)
{
	uint64_t first, b, last;

	/* own_block() may take some of what was found: look again until the
	 * blocks of all are there */
	for (;;) {
		bool is_ready = true;

		if (find_free(e, nr, &first, err) < 0)
			return -1;
		last = (first + nr - 1) / e->per_block;
		for (b = first / e->per_block; b <= last; b++) {
			if (b < e->reftable_nr && e->is_new[b])
				continue;
			is_ready = false;
			if (own_block(e, b, err) < 0)
				return -1;
		}
		if (is_ready)
			break;
	}
	note_used(e, first, nr);
	if (qe_ref(e, first, nr, err) < 0)
		return -1;
	*ret = first;
	return 0;
}

/* --- all of them ---------------------------------------------------------------- */

int qe_refs_init(struct qc_edit *e, struct vc_error *err)
{
	e->first_free = 1;
	e->nr_slots = CACHE_BYTES / e->cluster_bytes;
	if (e->nr_slots < MIN_SLOTS)
		e->nr_slots = MIN_SLOTS;
	e->slots = calloc(e->nr_slots, sizeof(*e->slots));
	return e->slots ? 0 : no_memory(err);
}

int qe_refs_write(struct qc_edit *e, struct vc_error *err)
{
	unsigned i;

	for (i = 0; i < e->nr_slots; i++)
		if (write_slot(e, &e->slots[i], err) < 0)
			return -1;
	return 0;
}

uint64_t qe_next_frozen(const struct qc_edit *e, uint64_t cluster)
{
	uint64_t end = (uint64_t)e->nr_frozen * FROZEN_PAGE_BITS;

	while (cluster < end && !qe_is_frozen(e, cluster)) {
		if (!e->frozen[cluster / FROZEN_PAGE_BITS])
			cluster = vc_align_up(cluster + 1, FROZEN_PAGE_BITS);
		else
			cluster++;
	}
	return cluster < end ? cluster : UINT64_MAX;
}

void qe_refs_fini(struct qc_edit *e)
{
	size_t i;

	for (i = 0; e->slots && i < e->nr_slots; i++)
		free(e->slots[i].data);
	for (i = 0; i < e->nr_frozen; i++)
		free(e->frozen[i]);
	free(e->frozen);
	free(e->slots);
	free(e->slot_of);
	free(e->is_new);
	free(e->reftable);
	free(e->pending);
}
