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
 * is "frozen". The places that refcount blocks leave are released at the end,
 * since that changes blocks again. See edit-refs.c for both.
 *
 * Memory: the refcount table (8 MiB at most), a cache of blocks, the bits that
 * say what is frozen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

/* Of tables in one edit: they may be shared, so the length of the file is no
 * limit. */
#define MAX_TABLE_BYTES (UINT64_C(16) << 30)

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
	return qe_refs_init(e, err);
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
	    qe_grow_reftable(e, nr - 1, err) < 0)
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
	if (place_reftable(e, err) < 0 || qe_refs_write(e, err) < 0)
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
	uint64_t first = 0, nr = 0, refcount, c = 0;

	for (; (c = qe_next_frozen(e, c)) != UINT64_MAX; c++) {
		if (qe_get(e, c, &refcount, NULL) < 0 || refcount)
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

/* What was written behind the end was for nothing. */
static void drop_junk(struct qc_edit *e)
{
	struct stat st;

	if (e->is_committed || !e->is_regular || fstat(e->fd, &st) < 0 ||
	    (uint64_t)st.st_size <= e->old_file_bytes)
		return;
	if (ftruncate(e->fd, (off_t)e->old_file_bytes) < 0)
		return; /* it is no part of the image */
}

void qe_fini(struct qc_edit *e)
{
	drop_junk(e);
	qe_refs_fini(e);
	qc_head_fini(&e->head);
}
