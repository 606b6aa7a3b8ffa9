/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Persistent bitmaps: a directory of names, each with a table of the clusters
 * that hold its bits (bit 0 of the first byte is for the first granule). A
 * table entry without a cluster is all zeroes or, if its bit 0 says so, all
 * ones. They count only while the image has the autoclear bit, which a writer
 * that does not know them clears; without it there are none.
 *
 * Each change is an edit (see edit.c): clusters, tables and the directory are
 * written anew where they change. Bits are worked on cluster by cluster, so
 * memory holds the directory and one or two tables, however large the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/bitmap.h"

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "bitmaps");
}

static int bad(struct vc_error *err, const char *what, uint64_t value)
{
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "qcow2 bitmap directory: %s %#llx: bad value", what,
		       (unsigned long long)value);
}

void bm_dir_fini(struct bm_dir *d)
{
	uint32_t i;

	for (i = 0; d->items && i < d->nr; i++) {
		free(d->items[i].bytes);
		free(d->items[i].name);
	}
	free(d->items);
	d->items = NULL;
	d->nr = 0;
}

/* Bytes of bits for a disk, and clusters of them. */
uint64_t bm_bits_bytes(uint64_t size, unsigned granularity_bits)
{
	return vc_div_round_up(
		vc_div_round_up(size, UINT64_C(1) << granularity_bits), 8);
}

static int take_entry(const struct qc_header *h, const uint8_t *buf,
		      uint64_t left, struct bm *b, struct vc_error *err)
{
	uint64_t len, clusters;

	if (left < sizeof(b->e))
		return bad(err, "size", left);
	memcpy(&b->e, buf, sizeof(b->e));
	len = sizeof(b->e) + (uint64_t)be32_get(b->e.extra_size) +
	      be16_get(b->e.name_size);
	if (len > left || be16_get(b->e.name_size) > VC_QCOW2_MAX_BITMAP_NAME)
		return bad(err, "name size", be16_get(b->e.name_size));
	if (!be16_get(b->e.name_size))
		return bad(err, "name size", 0);
	if (b->e.granularity_bits < MIN_GRANULARITY_BITS ||
	    b->e.granularity_bits > MAX_GRANULARITY_BITS)
		return bad(err, "granularity_bits", b->e.granularity_bits);
	clusters =
		vc_div_round_up(bm_bits_bytes(h->size, b->e.granularity_bits),
				h->cluster_bytes);
	if (bm_bits_bytes(h->size, b->e.granularity_bits) > MAX_BITMAP_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2 bitmap directory: bitmap of more than "
			       "%llu bytes",
			       (unsigned long long)MAX_BITMAP_BYTES);
	/* a broken one may be of another size */
	if (be32_get(b->e.table_size) != clusters &&
	    !(be32_get(b->e.flags) & FLAG_IN_USE))
		return bad(err, "table size", be32_get(b->e.table_size));
	b->len = (size_t)len;
	b->bytes = malloc(b->len);
	if (!b->bytes)
		return no_memory(err);
	memcpy(b->bytes, buf, b->len);
	b->name = strndup((const char *)buf + b->len - be16_get(b->e.name_size),
			  be16_get(b->e.name_size));
	return b->name ? 0 : no_memory(err);
}

bool bm_has_bitmaps(const struct qc_header *h)
{
	return h->nr_bitmaps && (h->autoclear & QC_AUTOCLEAR_BITMAPS);
}

int bm_dir_load(int fd, const struct qc_header *h, struct bm_dir *d,
		struct vc_error *err)
{
	uint64_t pos = 0, total = h->bitmap_dir_bytes, file_bytes;
	vc_auto_free uint8_t *buf = NULL;

	d->nr = 0;
	if (!bm_has_bitmaps(h)) {
		d->items = calloc(1, sizeof(*d->items));
		return d->items ? 0 : no_memory(err);
	}
	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	if (h->bitmap_dir_offset % h->cluster_bytes || !h->bitmap_dir_offset ||
	    !vc_range_ok(h->bitmap_dir_offset, total, file_bytes))
		return bad(err, "offset", h->bitmap_dir_offset);
	if (total / sizeof(struct qc_bitmap_entry) < h->nr_bitmaps)
		return bad(err, "nb_bitmaps", h->nr_bitmaps);
	buf = malloc(total + 1);
	/* one more, for a new one */
	d->items = calloc(h->nr_bitmaps + 1u, sizeof(*d->items));
	if (!buf || !d->items)
		return no_memory(err);
	if (vc_pread_full(fd, buf, total, h->bitmap_dir_offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "read bitmaps");
	while (d->nr < h->nr_bitmaps) {
		struct bm *b = &d->items[d->nr++];

		if (pos > total)
			return bad(err, "size", total);
		if (take_entry(h, buf + pos, total - pos, b, err) < 0)
			return vc_prefix(err, "bitmap %u", d->nr - 1);
		pos += vc_align_up(b->len, 8);
	}
	return 0;
}

/* Write the directory anew and release the old one. */
int bm_dir_store(struct qc_edit *e, const struct bm_dir *d,
		 struct vc_error *err)
{
	struct qc_header *h = &e->head.h;
	vc_auto_free uint8_t *buf = NULL;
	uint64_t total = 0, pos = 0, place = 0;
	uint32_t i;

	for (i = 0; i < d->nr; i++)
		total += vc_align_up(d->items[i].len, 8);
	if (total > QC_MAX_BITMAP_DIR_BYTES || d->nr > QC_MAX_BITMAPS)
		return vc_fail(err, VC_E_LIMIT, 0, "too many bitmaps");
	buf = calloc(1, total + 1);
	if (!buf)
		return no_memory(err);
	for (i = 0; i < d->nr; i++) {
		memcpy(d->items[i].bytes, &d->items[i].e,
		       sizeof(d->items[i].e));
		memcpy(buf + pos, d->items[i].bytes, d->items[i].len);
		pos += vc_align_up(d->items[i].len, 8);
	}
	if (total && qe_store(e, buf, total, &place, err) < 0)
		return -1;
	if (bm_has_bitmaps(h) && qe_unref_bytes(e, h->bitmap_dir_offset,
						h->bitmap_dir_bytes, err) < 0)
		return -1;
	h->nr_bitmaps = d->nr;
	h->bitmap_dir_bytes = total;
	h->bitmap_dir_offset = place;
	h->autoclear &= ~(uint64_t)QC_AUTOCLEAR_BITMAPS;
	if (d->nr)
		h->autoclear |= QC_AUTOCLEAR_BITMAPS;
	return 0;
}

static struct bm *find(const struct bm_dir *d, const char *name)
{
	uint32_t i;

	for (i = 0; i < d->nr; i++)
		if (!strcmp(d->items[i].name, name))
			return &d->items[i];
	return NULL;
}

int bm_need(const struct bm_dir *d, const char *name, struct bm **ret,
	    struct vc_error *err)
{
	char shown[200];

	*ret = find(d, name);
	if (!*ret)
		return vc_fail(err, VC_E_ARG, 0, "bitmap '%s': not there",
			       vc_printable(name, shown, sizeof(shown)));
	return 0;
}

/* Can its bits be believed, and changed? */
int bm_need_usable(const struct bm *b, struct vc_error *err)
{
	uint32_t flags = be32_get(b->e.flags);
	char shown[200];

	vc_printable(b->name, shown, sizeof(shown));
	if (flags & FLAG_IN_USE)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "bitmap '%s': its last writer did not finish: "
			       "it can only be removed",
			       shown);
	if (b->e.type != TYPE_DIRTY || (flags & ~FLAGS_KNOWN) ||
	    (be32_get(b->e.extra_size) && !(flags & FLAG_EXTRA_COMPATIBLE)))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "bitmap '%s': of an unknown kind", shown);
	return 0;
}

/* --- tables ------------------------------------------------------------------- */

int bm_table_load(struct qc_edit *e, const struct bm *b, struct bm_table *t,
		  struct vc_error *err)
{
	uint64_t offset = be64_get(b->e.table_offset);
	uint64_t len = (uint64_t)be32_get(b->e.table_size) * 8;
	be64_t *raw;
	uint32_t i;

	t->nr = be32_get(b->e.table_size);
	if (len > MAX_BITMAP_BYTES / 64 ||
	    (len && !qe_range_ok(e, offset, len)))
		return bad(err, "table offset", offset);
	t->entries = calloc(t->nr + 1u, sizeof(*t->entries));
	if (!t->entries)
		return no_memory(err);
	if (len && qe_read(e, t->entries, len, offset, err) < 0)
		return -1;
	raw = (be64_t *)t->entries; /* converted in place */
	for (i = 0; i < t->nr; i++) {
		uint64_t v = be64_get(raw[i]), host = v & QC_OFFSET_MASK;

		if ((host &&
		     (v != host || !qe_range_ok(e, host, e->cluster_bytes))) ||
		    (!host && v > ALL_ONES))
			return bad(err, "table entry", v);
		t->entries[i] = v;
	}
	return 0;
}

void bm_table_fini(struct bm_table *t)
{
	free(t->entries);
	t->entries = NULL;
}

int bm_table_store(struct qc_edit *e, const struct bm_table *t, struct bm *b,
		   struct vc_error *err)
{
	vc_auto_free be64_t *raw = calloc(t->nr + 1u, sizeof(*raw));
	uint64_t place = 0;
	uint32_t i;

	if (!raw)
		return no_memory(err);
	for (i = 0; i < t->nr; i++)
		raw[i] = be64_put(t->entries[i]);
	if (t->nr && qe_store(e, raw, (uint64_t)t->nr * 8, &place, err) < 0)
		return -1;
	b->e.table_offset = be64_put(place);
	b->e.table_size = be32_put(t->nr);
	return 0;
}

/* Release the table of a bitmap and, unless they stay in use, its clusters. */
int bm_release(struct qc_edit *e, const struct bm *b, bool with_bits,
	       struct vc_error *err)
{
	struct bm_table t = { NULL, 0 };
	int ret = bm_table_load(e, b, &t, err);
	uint32_t i;

	for (i = 0; ret == 0 && with_bits && i < t.nr; i++)
		if (t.entries[i] & QC_OFFSET_MASK)
			ret = qe_unref(e, t.entries[i] >> e->bits, 1, err);
	if (ret == 0)
		ret = qe_unref_bytes(e, be64_get(b->e.table_offset),
				     (uint64_t)t.nr * 8, err);
	bm_table_fini(&t);
	return ret;
}

/* The bits of table entry `i`. */
int bm_read_bits(struct qc_edit *e, const struct bm_table *t, uint32_t i,
		 uint8_t *buf, struct vc_error *err)
{
	uint64_t v = t->entries[i];

	if (v & QC_OFFSET_MASK)
		return qe_read(e, buf, e->cluster_bytes, v, err);
	memset(buf, v & ALL_ONES ? 0xff : 0, e->cluster_bytes);
	return 0;
}

/* Put bits into the place of those of entry `i`. */
int bm_write_bits(struct qc_edit *e, struct bm_table *t, uint32_t i,
		  const uint8_t *buf, struct vc_error *err)
{
	uint64_t old = t->entries[i] & QC_OFFSET_MASK, place = 0;
	bool is_zero = !buf[0] && !memcmp(buf, buf + 1, e->cluster_bytes - 1);

	if (!is_zero && qe_store(e, buf, e->cluster_bytes, &place, err) < 0)
		return -1;
	if (old && qe_unref(e, old >> e->bits, 1, err) < 0)
		return -1;
	t->entries[i] = place;
	return 0;
}

void bm_set_range(uint8_t *buf, uint64_t first, uint64_t nr)
{
	for (; nr && (first & 7); first++, nr--)
		buf[first / 8] |= (uint8_t)(1u << (first & 7));
	memset(buf + first / 8, 0xff, nr / 8);
	first += nr & ~UINT64_C(7);
	for (nr &= 7; nr; first++, nr--)
		buf[first / 8] |= (uint8_t)(1u << (first & 7));
}

void bm_clear_from(uint8_t *buf, uint64_t first, uint64_t end)
{
	for (; first < end && (first & 7); first++)
		buf[first / 8] &= (uint8_t) ~(1u << (first & 7));
	if (first < end)
		memset(buf + first / 8, 0, (end - first) / 8);
}

/* --- lists ---------------------------------------------------------------------- */

int vc_qcow2_bitmap_list(int fd, struct vc_qcow2_bitmaps *ret,
			 struct vc_error *err)
{
	struct bm_dir d = { NULL, 0 };
	struct qc_header h;
	int status = 0;
	uint32_t i;

	memset(ret, 0, sizeof(*ret));
	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	if (bm_dir_load(fd, &h, &d, err) < 0) {
		bm_dir_fini(&d);
		return -1;
	}
	ret->items = calloc(d.nr + 1u, sizeof(*ret->items));
	if (!ret->items)
		status = no_memory(err);
	for (i = 0; status == 0 && i < d.nr; i++) {
		struct vc_qcow2_bitmap *b = &ret->items[i];
		uint32_t flags = be32_get(d.items[i].e.flags);

		b->name = vc_steal_ptr(&d.items[i].name);
		b->granularity_bytes = 1u << d.items[i].e.granularity_bits;
		b->is_enabled = flags & FLAG_AUTO;
		b->is_broken = flags & FLAG_IN_USE;
		ret->nr = i + 1;
	}
	bm_dir_fini(&d);
	return status;
}

void vc_qcow2_bitmaps_fini(struct vc_qcow2_bitmaps *b)
{
	unsigned i;

	for (i = 0; i < b->nr; i++)
		free(b->items[i].name);
	free(b->items);
	memset(b, 0, sizeof(*b));
}

/* --- changes --------------------------------------------------------------------- */

int bm_op_start(struct bm_op *op, int fd, struct vc_error *err)
{
	if (qe_open(&op->e, fd, err) < 0)
		return -1;
	if (op->e.head.h.version < 3)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: bitmaps need version 3 (compat=1.1)");
	return bm_dir_load(fd, &op->e.head.h, &op->d, err);
}

int bm_op_commit(struct bm_op *op, struct vc_error *err)
{
	if (bm_dir_store(&op->e, &op->d, err) < 0)
		return -1;
	return qe_commit(&op->e, err);
}

void bm_op_fini(struct bm_op *op)
{
	bm_dir_fini(&op->d);
	qe_fini(&op->e);
}

static unsigned default_granularity(const struct qc_header *h)
{
	if (h->cluster_bits < 12)
		return 12;
	return h->cluster_bits > 16 ? 16 : h->cluster_bits;
}

/* Append a bitmap with an all-zero table. */
int bm_add_item(struct bm_op *op, const char *name, unsigned granularity_bits,
		bool is_enabled, struct bm **ret, struct vc_error *err)
{
	struct bm *items, *b;
	uint64_t bytes = bm_bits_bytes(op->e.head.h.size, granularity_bits);
	struct bm_table t = { NULL, 0 };
	size_t len = strlen(name);
	char shown[200];
	int status;

	vc_printable(name, shown, sizeof(shown));
	if (!len || len > VC_QCOW2_MAX_BITMAP_NAME)
		return vc_fail(err, VC_E_ARG, 0,
			       "bitmap name: not 1 to %d bytes",
			       VC_QCOW2_MAX_BITMAP_NAME);
	if (find(&op->d, name))
		return vc_fail(err, VC_E_ARG, 0, "bitmap '%s': already there",
			       shown);
	if (bytes > MAX_BITMAP_BYTES || op->d.nr == QC_MAX_BITMAPS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "bitmap '%s': too many, or its granularity is "
			       "too small for the disk",
			       shown);
	items = realloc(op->d.items, (op->d.nr + 2u) * sizeof(*items));
	if (!items)
		return no_memory(err);
	op->d.items = items;
	b = &items[op->d.nr];
	memset(b, 0, sizeof(*b));
	b->e.flags = be32_put(is_enabled ? FLAG_AUTO : 0);
	b->e.type = TYPE_DIRTY;
	b->e.granularity_bits = (uint8_t)granularity_bits;
	b->e.name_size = be16_put((uint16_t)len);
	b->len = sizeof(b->e) + len;
	b->bytes = malloc(b->len);
	b->name = strdup(name);
	op->d.nr++;
	if (!b->bytes || !b->name)
		return no_memory(err);
	memcpy(b->bytes + sizeof(b->e), name, len);
	t.nr = (uint32_t)vc_div_round_up(bytes, op->e.cluster_bytes);
	t.entries = calloc(t.nr + 1u, sizeof(*t.entries));
	status =
		t.entries ? bm_table_store(&op->e, &t, b, err) : no_memory(err);
	bm_table_fini(&t);
	*ret = b;
	return status;
}

static int add(struct bm_op *op, int fd, const char *name, uint32_t granularity,
	       bool is_enabled, struct vc_error *err)
{
	unsigned bits;
	struct bm *b;

	if (granularity && (!vc_is_pow2(granularity) ||
			    granularity < VC_QCOW2_MIN_GRANULARITY ||
			    granularity > VC_QCOW2_MAX_GRANULARITY))
		return vc_fail(err, VC_E_ARG, 0,
			       "granularity %u: not a power of two from 512 to "
			       "2G",
			       granularity);
	if (bm_op_start(op, fd, err) < 0)
		return -1;
	bits = granularity ? (unsigned)__builtin_ctz(granularity)
			   : default_granularity(&op->e.head.h);
	if (bm_add_item(op, name, bits, is_enabled, &b, err) < 0)
		return -1;
	return bm_op_commit(op, err);
}

int vc_qcow2_bitmap_add(int fd, const char *name, uint32_t granularity_bytes,
			bool is_enabled, struct vc_error *err)
{
	struct bm_op op;
	int ret;

	memset(&op, 0, sizeof(op));
	ret = add(&op, fd, name, granularity_bytes, is_enabled, err);
	bm_op_fini(&op);
	return ret;
}

static int remove_item(struct bm_op *op, const char *name, struct vc_error *err)
{
	struct bm *b, gone;
	size_t after;

	if (bm_need(&op->d, name, &b, err) < 0 ||
	    bm_release(&op->e, b, true, err) < 0)
		return -1;
	gone = *b;
	op->d.nr--;
	after = op->d.nr - (size_t)(b - op->d.items);
	memmove(b, b + 1, after * sizeof(*b));
	free(gone.bytes);
	free(gone.name);
	return 0;
}

static int clear_item(struct bm_op *op, const char *name, struct vc_error *err)
{
	struct bm_table t = { NULL, 0 };
	struct bm *b;
	int ret;

	if (bm_need(&op->d, name, &b, err) < 0 || bm_need_usable(b, err) < 0 ||
	    bm_release(&op->e, b, true, err) < 0)
		return -1;
	t.nr = be32_get(b->e.table_size);
	t.entries = calloc(t.nr + 1u, sizeof(*t.entries));
	ret = t.entries ? bm_table_store(&op->e, &t, b, err) : no_memory(err);
	bm_table_fini(&t);
	return ret;
}

static int set_flag(struct bm_op *op, const char *name, bool is_on,
		    struct vc_error *err)
{
	uint32_t flags;
	struct bm *b;

	if (bm_need(&op->d, name, &b, err) < 0 || bm_need_usable(b, err) < 0)
		return -1;
	flags = be32_get(b->e.flags) & ~FLAG_AUTO;
	b->e.flags = be32_put(flags | (is_on ? FLAG_AUTO : 0));
	return 0;
}

static int enable_item(struct bm_op *op, const char *name, struct vc_error *err)
{
	return set_flag(op, name, true, err);
}

static int disable_item(struct bm_op *op, const char *name,
			struct vc_error *err)
{
	return set_flag(op, name, false, err);
}

static int change(int fd, const char *name,
		  int (*fn)(struct bm_op *op, const char *name,
			    struct vc_error *err),
		  struct vc_error *err)
{
	struct bm_op op;
	int ret;

	memset(&op, 0, sizeof(op));
	ret = bm_op_start(&op, fd, err);
	if (ret == 0)
		ret = fn(&op, name, err);
	if (ret == 0)
		ret = bm_op_commit(&op, err);
	bm_op_fini(&op);
	return ret;
}

int vc_qcow2_bitmap_remove(int fd, const char *name, struct vc_error *err)
{
	return change(fd, name, remove_item, err);
}

int vc_qcow2_bitmap_clear(int fd, const char *name, struct vc_error *err)
{
	return change(fd, name, clear_item, err);
}

int vc_qcow2_bitmap_set_enabled(int fd, const char *name, bool is_enabled,
				struct vc_error *err)
{
	return change(fd, name, is_enabled ? enable_item : disable_item, err);
}
