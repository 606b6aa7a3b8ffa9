/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Editing the metadata of a file as one step. Nothing that the header of the
 * file reaches is changed: a table that is to be other than it was is written to
 * clusters that were free, and so are the refcount blocks that count them, and
 * the refcount table that names those. At the end one write to the header makes
 * all of it the image. Before that write the file is the old image (with some
 * junk in clusters that it calls free), after it the new one, and both are
 * consistent: there is no moment for which a repair would be needed.
 *
 *	header --> L1 --> L2 ...          header --> L1' --> L2' ...
 *	       \-> refcount table -> b0          \-> refcount table' -> b0'
 *	                          \> b1                              \> b1
 *
 * What the new image releases keeps its place until the header was written: it
 * is "frozen", a bit per cluster in pages that exist where needed. Refcount
 * blocks are read through a cache; one that is changed for the first time gets
 * a new place, whose refcount may be in a block that moves for it, too. The
 * places they leave are released at the end, since that changes blocks again.
 *
 * Memory: the refcount table (8 MiB at most), the cache, the pages of frozen
 * bits up to a limit beyond which clusters are taken from the end of the file
 * only, where none is frozen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

#define CACHE_BYTES (8u << 20)
#define MIN_SLOTS 8
#define FROZEN_PAGE_BYTES 4096u
#define FROZEN_PAGE_BITS (FROZEN_PAGE_BYTES * 8)
#define MAX_FROZEN_PAGES ((16u << 20) / FROZEN_PAGE_BYTES)
#define MAX_FROZEN_INDEX (UINT64_C(1) << 20) /* 8 MiB of pointers */
/* Of tables in one edit: they may be shared, so the length of the file is no
 * limit. */
#define MAX_TABLE_BYTES (UINT64_C(16) << 30)

struct qe_slot {
	uint8_t *data;
	uint32_t block; /* 1 + index, or 0 */
	bool is_dirty, is_used;
};

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "qcow2: edit");
}

/* --- I/O --------------------------------------------------------------------- */

int qe_read(struct qc_edit *e, void *buf, size_t len, uint64_t offset,
	    struct vc_error *err)
{
	e->table_bytes += len;
	if (e->table_bytes > MAX_TABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: more than %llu bytes of tables",
			       (unsigned long long)MAX_TABLE_BYTES);
	return qc_read_padded(e->fd, buf, len, offset, err);
}

int qe_write(struct qc_edit *e, const void *buf, size_t len, uint64_t offset,
	     struct vc_error *err)
{
	if (vc_pwrite_full(e->fd, buf, len, offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write at %llu",
			       (unsigned long long)offset);
	return 0;
}

bool qe_range_ok(const struct qc_edit *e, uint64_t offset, uint64_t len)
{
	return offset && !(offset & (e->cluster_bytes - 1)) &&
	       vc_range_ok(offset, len, e->end_cluster << e->bits);
}

/* --- frozen clusters --------------------------------------------------------- */

static bool is_frozen(const struct qc_edit *e, uint64_t cluster)
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

static int grow_reftable(struct qc_edit *e, uint64_t b, struct vc_error *err)
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
		if (refcount || is_frozen(e, c)) {
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

		if (grow_reftable(e, b, err) < 0)
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

int qe_store(struct qc_edit *e, const void *data, uint64_t len,
	     uint64_t *ret_offset, struct vc_error *err)
{
	uint64_t nr = vc_div_round_up(len, e->cluster_bytes), first;
	uint64_t whole = vc_align_down(len, e->cluster_bytes);
	vc_auto_free uint8_t *tail = calloc(1, e->cluster_bytes);

	if (!tail)
		return no_memory(err);
	if (qe_alloc(e, nr, &first, err) < 0 ||
	    qe_write(e, data, whole, first << e->bits, err) < 0)
		return -1;
	memcpy(tail, (const uint8_t *)data + whole, len - whole);
	if (len > whole && qe_write(e, tail, e->cluster_bytes,
				    (first << e->bits) + whole, err) < 0)
		return -1;
	*ret_offset = first << e->bits;
	return 0;
}

/* --- open, commit ---------------------------------------------------------------- */

static int set_up(struct qc_edit *e, int fd, unsigned order,
		  struct vc_error *err)
{
	struct stat st;

	e->order = order;
	e->bits = e->head.h.cluster_bits;
	e->cluster_bytes = e->head.h.cluster_bytes;
	e->per_block = ((uint64_t)e->cluster_bytes * 8) >> order;
	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "stat");
	e->is_regular = S_ISREG(st.st_mode);
	if (disk_file_size(fd, &e->old_file_bytes, err) < 0)
		return -1;
	e->end_cluster = vc_div_round_up(e->old_file_bytes, e->cluster_bytes);
	e->first_free = 1;
	e->nr_slots = CACHE_BYTES / e->cluster_bytes;
	if (e->nr_slots < MIN_SLOTS)
		e->nr_slots = MIN_SLOTS;
	e->slots = calloc(e->nr_slots, sizeof(*e->slots));
	return e->slots ? 0 : no_memory(err);
}

int qe_open_empty(struct qc_edit *e, int fd, unsigned order,
		  struct vc_error *err)
{
	memset(e, 0, sizeof(*e));
	e->fd = fd;
	if (qc_head_load(&e->head, fd, err) < 0)
		return -1;
	return set_up(e, fd, order, err);
}

static int load_reftable(struct qc_edit *e, struct vc_error *err)
{
	uint32_t nr = e->head.h.reftable_clusters * (e->cluster_bytes / 8), i;
	vc_auto_free be64_t *table = malloc((size_t)nr * 8 + 1);

	if (!table)
		return no_memory(err);
	if (qe_read(e, table, (size_t)nr * 8, e->head.h.reftable_offset, err) <
		    0 ||
	    grow_reftable(e, nr - 1, err) < 0)
		return -1;
	for (i = 0; i < nr; i++)
		e->reftable[i] = be64_get(table[i]);
	return 0;
}

int qe_open_any(struct qc_edit *e, int fd, struct vc_error *err)
{
	memset(e, 0, sizeof(*e));
	e->fd = fd;
	if (qc_head_load(&e->head, fd, err) < 0 ||
	    qc_check_supported(&e->head.h, err) < 0 ||
	    set_up(e, fd, e->head.h.refcount_order, err) < 0)
		return -1;
	return load_reftable(e, err);
}

int qe_open(struct qc_edit *e, int fd, struct vc_error *err)
{
	struct qc_header h;

	memset(e, 0, sizeof(*e));
	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	if (h.incompatible & QC_INCOMPAT_CORRUPT)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: marked as corrupt: to be repaired "
			       "first");
	if ((h.incompatible & QC_INCOMPAT_DIRTY) &&
	    qc_repair_dirty(fd, err) < 0)
		return -1;
	return qe_open_any(e, fd, err);
}

/* Release the places that refcount blocks have left, which moves blocks. */
static int release_pending(struct qc_edit *e, struct vc_error *err)
{
	while (e->nr_pending)
		if (qe_unref(e, e->pending[--e->nr_pending], 1, err) < 0)
			return -1;
	return 0;
}

static int place_reftable(struct qc_edit *e, struct vc_error *err)
{
	uint64_t old = e->head.h.reftable_offset, first = 0, got = 0, need;

	if (old &&
	    qe_unref(e, old >> e->bits, e->head.h.reftable_clusters, err) < 0)
		return -1;
	while ((need = vc_div_round_up((uint64_t)e->reftable_nr * 8,
				       e->cluster_bytes)) > got) {
		if (got && qe_unref(e, first, got, err) < 0)
			return -1;
		got = need;
		if (qe_alloc(e, got, &first, err) < 0 ||
		    release_pending(e, err) < 0)
			return -1;
	}
	e->head.h.reftable_offset = first << e->bits;
	e->head.h.reftable_clusters = (uint32_t)got;
	e->head.h.refcount_order = e->order;
	return 0;
}

static int write_reftable(struct qc_edit *e, struct vc_error *err)
{
	size_t len = (size_t)e->head.h.reftable_clusters * e->cluster_bytes, i;
	vc_auto_free be64_t *table = calloc(1, len);

	if (!table)
		return no_memory(err);
	for (i = 0; i < e->reftable_nr; i++)
		table[i] = be64_put(e->reftable[i]);
	return qe_write(e, table, len, e->head.h.reftable_offset, err);
}

static int write_refcounts(struct qc_edit *e, struct vc_error *err)
{
	unsigned i;

	if (place_reftable(e, err) < 0)
		return -1;
	for (i = 0; i < e->nr_slots; i++)
		if (write_slot(e, &e->slots[i], err) < 0)
			return -1;
	return write_reftable(e, err);
}

static void punch(struct qc_edit *e, uint64_t first, uint64_t nr)
{
	/* a hole that cannot be punched only wastes space */
	if (nr &&
	    fallocate(e->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(first << e->bits), (off_t)(nr << e->bits)) < 0)
		return;
}

/* Give the space of what was released back to the file system. */
static void punch_frozen(struct qc_edit *e)
{
	uint64_t first = 0, nr = 0, refcount, c;
	size_t page, i;

	for (page = 0; page < e->nr_frozen; page++)
		for (i = 0; e->frozen[page] && i < FROZEN_PAGE_BITS; i++) {
			c = page * FROZEN_PAGE_BITS + i;
			if (!is_frozen(e, c) ||
			    qe_get(e, c, &refcount, NULL) < 0 || refcount)
				continue;
			if (nr && first + nr == c) {
				nr++;
				continue;
			}
			punch(e, first, nr);
			first = c;
			nr = 1;
		}
	punch(e, first, nr);
}

/* Cut off what is free at the end of the file. */
static void cut_end(struct qc_edit *e)
{
	uint64_t end = e->end_cluster, refcount;

	while (end > 1) {
		uint64_t b = (end - 1) / e->per_block;

		if (b >= e->reftable_nr || !e->reftable[b]) {
			end = b * e->per_block;
			continue;
		}
		if (qe_get(e, end - 1, &refcount, NULL) < 0)
			return;
		if (refcount)
			break;
		end--;
	}
	/* as with holes */
	if (end > 1 && end < e->end_cluster && e->is_regular &&
	    ftruncate(e->fd, (off_t)(end << e->bits)) < 0)
		return;
}

static int sync_file(struct qc_edit *e, struct vc_error *err)
{
	if (fdatasync(e->fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sync");
	return 0;
}

int qe_commit(struct qc_edit *e, struct vc_error *err)
{
	struct stat st;

	if (e->is_touched && write_refcounts(e, err) < 0)
		return -1;
	if (e->is_regular) {
		uint64_t end = e->end_cluster << e->bits;

		if (fstat(e->fd, &st) < 0)
			return vc_fail(err, VC_E_SYS, errno, "stat");
		/* all that is referred to is in the file */
		if (e->is_touched && (uint64_t)st.st_size < end &&
		    ftruncate(e->fd, (off_t)end) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "set size of file");
	}
	if (sync_file(e, err) < 0 || qc_head_write(&e->head, e->fd, err) < 0)
		return -1;
	e->is_committed = true;
	if (sync_file(e, err) < 0)
		return -1;
	punch_frozen(e);
	cut_end(e);
	return 0;
}

void qe_fini(struct qc_edit *e)
{
	size_t i;

	/* what was written behind the end was for nothing */
	if (!e->is_committed && e->is_regular &&
	    e->end_cluster << e->bits > e->old_file_bytes &&
	    ftruncate(e->fd, (off_t)e->old_file_bytes) < 0)
		e->is_committed = false; /* it is no part of the image */
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
	qc_head_fini(&e->head);
}
