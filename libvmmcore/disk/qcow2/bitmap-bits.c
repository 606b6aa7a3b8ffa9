/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What works on the bits of persistent bitmaps: merging one into another, which
 * may be of another granularity or image, copying all of an image, measuring
 * what that needs, and cutting them to another size. See bitmap.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/bitmap.h"

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "bitmaps");
}

/* --- merging --------------------------------------------------------------------- */

/* The bitmap that bits are added to: one cluster of it in memory at a time. */
struct target {
	struct qc_edit *e;
	struct bm_table t;
	unsigned granularity_bits;
	uint64_t nr_bits; /* all of it */
	uint8_t *buf;	  /* bits of entry `loaded`; owned */
	uint32_t loaded;  /* UINT32_MAX: none */
	bool is_changed;
};

static int target_flush(struct target *to, struct vc_error *err)
{
	if (!to->is_changed)
		return 0;
	to->is_changed = false;
	return bm_write_bits(to->e, &to->t, to->loaded, to->buf, err);
}

/* Set the bits for [from, to) of the disk. */
static int target_set(struct target *t, uint64_t from, uint64_t to,
		      struct vc_error *err)
{
	uint64_t per = (uint64_t)t->e->cluster_bytes * 8;
	uint64_t bit = from >> t->granularity_bits;
	uint64_t end = ((to - 1) >> t->granularity_bits) + 1;

	end = vc_min_u64(end, t->nr_bits);
	while (bit < end) {
		uint32_t i = (uint32_t)(bit / per);
		uint64_t n = vc_min_u64(end - bit, per - bit % per);

		if (i != t->loaded) {
			if (target_flush(t, err) < 0 ||
			    bm_read_bits(t->e, &t->t, i, t->buf, err) < 0)
				return -1;
			t->loaded = i;
		}
		bm_set_range(t->buf, bit % per, n);
		t->is_changed = true;
		bit += n;
	}
	return 0;
}

/* Add the set bits among the `nr` in `buf`, the first of which is `first`. */
static int add_bits(struct target *to, const uint8_t *buf, uint64_t first,
		    uint64_t nr, unsigned granularity_bits,
		    struct vc_error *err)
{
	uint64_t i = 0, start;

	while (i < nr) {
		if (!(i & 7) && !buf[i / 8]) {
			i += 8;
			continue;
		}
		if (!(buf[i / 8] >> (i & 7) & 1)) {
			i++;
			continue;
		}
		for (start = i; i < nr && (buf[i / 8] >> (i & 7) & 1);)
			i += !(i & 7) && buf[i / 8] == 0xff ? 8 : 1;
		i = vc_min_u64(i, nr);
		if (target_set(to, (first + start) << granularity_bits,
			       (first + i) << granularity_bits, err) < 0)
			return -1;
	}
	return 0;
}

static int merge_tables(struct target *to, struct qc_edit *from,
			const struct bm_table *t, unsigned granularity_bits,
			uint64_t size, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(from->cluster_bytes);
	uint64_t per = (uint64_t)from->cluster_bytes * 8;
	uint64_t nr = vc_div_round_up(size, UINT64_C(1) << granularity_bits);
	uint32_t i;

	if (!buf)
		return no_memory(err);
	for (i = 0; i < t->nr; i++) {
		if (!t->entries[i])
			continue;
		if (bm_read_bits(from, t, i, buf, err) < 0 ||
		    add_bits(to, buf, i * per, vc_min_u64(per, nr - i * per),
			     granularity_bits, err) < 0)
			return -1;
	}
	return target_flush(to, err);
}

/* `from` is read from as it is in its file; it may be the same file. */
static int merge_item(struct bm_op *op, struct bm *b, struct qc_edit *from,
		      const struct bm *src, struct vc_error *err)
{
	struct target to = { &op->e, { NULL, 0 }, b->e.granularity_bits,
			     0,	     NULL,	  UINT32_MAX,
			     false };
	struct bm_table t = { NULL, 0 };
	uint64_t size = op->e.head.h.size;
	int ret;

	if (bm_need_usable(b, err) < 0 || bm_need_usable(src, err) < 0)
		return -1;
	if (from->head.h.size != size)
		return vc_fail(err, VC_E_ARG, 0,
			       "bitmaps of disks of different sizes");
	to.nr_bits = vc_div_round_up(size, UINT64_C(1) << to.granularity_bits);
	to.buf = malloc(op->e.cluster_bytes);
	ret = to.buf ? 0 : no_memory(err);
	if (ret == 0)
		ret = bm_table_load(&op->e, b, &to.t, err);
	if (ret == 0)
		ret = bm_table_load(from, src, &t, err);
	if (ret == 0)
		ret = merge_tables(&to, from, &t, src->e.granularity_bits, size,
				   err);
	if (ret == 0)
		ret = bm_release(&op->e, b, false, err);
	if (ret == 0)
		ret = bm_table_store(&op->e, &to.t, b, err);
	bm_table_fini(&to.t);
	bm_table_fini(&t);
	free(to.buf);
	return ret;
}

/* A second look at a file, for reading only. */
struct look {
	struct qc_edit e;
	struct bm_dir d;
};

static int look_open(struct look *l, int fd, struct vc_error *err)
{
	memset(l, 0, sizeof(*l));
	if (qe_open_any(&l->e, fd, err) < 0)
		return -1;
	return bm_dir_load(fd, &l->e.head.h, &l->d, err);
}

static void look_fini(struct look *l)
{
	l->e.is_committed = true; /* there is nothing to undo */
	bm_dir_fini(&l->d);
	qe_fini(&l->e);
}

static int merge_one(struct bm_op *op, struct look *l, const char *name,
		     const char *src_name, struct vc_error *err)
{
	struct bm *b, *src;

	if (bm_need(&op->d, name, &b, err) < 0 ||
	    bm_need(&l->d, src_name, &src, err) < 0)
		return -1;
	return merge_item(op, b, &l->e, src, err);
}

static int merge_all(struct bm_op *op, struct look *l, bool skip_broken,
		     struct vc_error *err)
{
	uint32_t i;

	for (i = 0; i < l->d.nr; i++) {
		const struct bm *src = &l->d.items[i];
		uint32_t flags = be32_get(src->e.flags);
		struct bm *b;

		if ((flags & FLAG_IN_USE) && skip_broken)
			continue;
		if (bm_need_usable(src, err) < 0 ||
		    bm_add_item(op, src->name, src->e.granularity_bits,
				flags & FLAG_AUTO, &b, err) < 0 ||
		    merge_item(op, b, &l->e, src, err) < 0)
			return -1;
	}
	return 0;
}

/* `src_name` into `name`, or all that there are where it is NULL. */
static int bring(int fd, const char *name, int src_fd, const char *src_name,
		 bool skip_broken, struct vc_error *err)
{
	struct bm_op op = { 0 };
	struct look l = { 0 };
	int ret = -1;

	if (bm_op_start(&op, fd, err) == 0 && look_open(&l, src_fd, err) == 0 &&
	    (src_name ? merge_one(&op, &l, name, src_name, err)
		      : merge_all(&op, &l, skip_broken, err)) == 0)
		ret = bm_op_commit(&op, err);
	look_fini(&l);
	bm_op_fini(&op);
	return ret;
}

int vc_qcow2_bitmap_merge(int fd, const char *name, int src_fd, const char *src,
			  struct vc_error *err)
{
	return bring(fd, name, src_fd, src, false, err);
}

int vc_qcow2_bitmap_copy_all(int fd, int src_fd, bool skip_broken,
			     struct vc_error *err)
{
	return bring(fd, NULL, src_fd, NULL, skip_broken, err);
}

int vc_qcow2_bitmap_measure(int src_fd, uint32_t cluster_bytes,
			    uint64_t *ret_bytes, struct vc_error *err)
{
	struct bm_dir d = { NULL, 0 };
	uint64_t total = 0, dir = 0;
	struct qc_header h;
	int ret = 0;
	uint32_t i;

	if (qc_header_read(src_fd, &h, err) < 0)
		return -1;
	ret = bm_dir_load(src_fd, &h, &d, err);
	for (i = 0; ret == 0 && i < d.nr; i++) {
		uint64_t n = vc_div_round_up(
			bm_bits_bytes(h.size, d.items[i].e.granularity_bits),
			cluster_bytes);

		if (be32_get(d.items[i].e.flags) & FLAG_IN_USE)
			continue;
		total += n * cluster_bytes + vc_align_up(n * 8, cluster_bytes);
		dir += vc_align_up(d.items[i].len, 8);
	}
	bm_dir_fini(&d);
	if (ret == 0)
		*ret_bytes = total + vc_align_up(dir, cluster_bytes);
	return ret;
}

/* --- another size ------------------------------------------------------------- */

/* Entry `i` of the table keeps `bits` bits; the rest becomes zero. */
static int cut_bits(struct qc_edit *e, struct bm_table *t, uint32_t i,
		    uint64_t bits, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(e->cluster_bytes);

	if (!buf)
		return no_memory(err);
	if (!t->entries[i])
		return 0;
	if (bm_read_bits(e, t, i, buf, err) < 0)
		return -1;
	bm_clear_from(buf, bits, (uint64_t)e->cluster_bytes * 8);
	return bm_write_bits(e, t, i, buf, err);
}

static int resize_item(struct qc_edit *e, struct bm *b, uint64_t size,
		       struct vc_error *err)
{
	unsigned g = b->e.granularity_bits;
	uint64_t old = e->head.h.size, kept = size < old ? size : old;
	uint64_t bits = vc_div_round_up(kept, UINT64_C(1) << g);
	uint64_t per = (uint64_t)e->cluster_bytes * 8;
	uint64_t need_nr =
		vc_div_round_up(bm_bits_bytes(size, g), e->cluster_bytes);
	struct bm_table t = { NULL, 0 }, now = { NULL, 0 };
	int ret;
	uint32_t i;

	if (bm_need_usable(b, err) < 0)
		return -1;
	if (bm_bits_bytes(size, g) > MAX_BITMAP_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: has a bitmap that cannot grow so far");
	ret = bm_table_load(e, b, &t, err);
	now.nr = (uint32_t)need_nr;
	now.entries = calloc(need_nr + 1, sizeof(*now.entries));
	if (ret == 0 && !now.entries)
		ret = no_memory(err);
	if (ret == 0)
		ret = bm_release(e, b, false, err);
	for (i = 0; ret == 0 && i < t.nr; i++) {
		if (i < need_nr)
			now.entries[i] = t.entries[i];
		else if (t.entries[i] & QC_OFFSET_MASK)
			ret = qe_unref(e, t.entries[i] >> e->bits, 1, err);
	}
	/* what lies behind the end of the smaller disk says nothing */
	if (ret == 0 && bits % per && bits / per < need_nr)
		ret = cut_bits(e, &now, (uint32_t)(bits / per), bits % per,
			       err);
	if (ret == 0)
		ret = bm_table_store(e, &now, b, err);
	bm_table_fini(&t);
	bm_table_fini(&now);
	return ret;
}

int qc_bitmaps_resize(struct qc_edit *e, uint64_t size, struct vc_error *err)
{
	struct bm_dir d = { NULL, 0 };
	uint32_t i;
	int ret;

	if (!bm_has_bitmaps(&e->head.h))
		return 0;
	ret = bm_dir_load(e->fd, &e->head.h, &d, err);
	for (i = 0; ret == 0 && i < d.nr; i++)
		ret = resize_item(e, &d.items[i], size, err);
	if (ret == 0)
		ret = bm_dir_store(e, &d, err);
	bm_dir_fini(&d);
	return ret;
}
