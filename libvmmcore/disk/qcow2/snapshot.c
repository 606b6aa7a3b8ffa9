/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Internal snapshots: an L1 table each, and an entry in the table of snapshots.
 * Making one is to refer to all of the active tree once more; going back to one
 * is to refer to its tree and to release the active one; both are edits (see
 * edit.c), so each happens as a whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "disk/qcow2/edit.h"

#define MAX_NAME 255 /* of a new one: what other programs take */

static int bad(struct vc_error *err, const char *field, uint64_t value)
{
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "qcow2 snapshot table: %s %#llx: bad value", field,
		       (unsigned long long)value);
}

int qc_snapshot_parse(int fd, const struct qc_header *h, uint64_t *offset,
		      struct qc_snapshot *ret, struct vc_error *err)
{
	struct qc_snapshot_entry e;
	uint64_t pos = *offset;
	be64_t words[2] = { { { 0 } }, { { 0 } } };
	uint32_t extra;

	if (pos - h->snapshots_offset > QC_MAX_SNAPSHOT_TABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2 snapshot table: more than %u bytes",
			       QC_MAX_SNAPSHOT_TABLE_BYTES);
	if (vc_pread_full(fd, &e, sizeof(e), pos) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	extra = be32_get(e.extra_size);
	if (extra > QC_MAX_SNAPSHOT_EXTRA)
		return bad(err, "extra data size", extra);
	/* 64-bit VM state size, size of the disk */
	if (extra >= sizeof(words) &&
	    vc_pread_full(fd, words, sizeof(words), pos + sizeof(e)) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	ret->size = be64_get(words[1]);
	ret->l1_offset = be64_get(e.l1_offset);
	ret->l1_size = be32_get(e.l1_size);
	pos += sizeof(e) + extra + be16_get(e.id_size) + be16_get(e.name_size);
	*offset = vc_align_up(pos, 8);
	return 0;
}

int qc_snapshot_check_l1(int fd, const struct qc_header *h,
			 const struct qc_snapshot *s, struct vc_error *err)
{
	uint64_t len = (uint64_t)s->l1_size * 8, file_bytes;

	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	if (len > QC_MAX_L1_BYTES)
		return bad(err, "L1 size", s->l1_size);
	if (len && (s->l1_offset % h->cluster_bytes ||
		    s->l1_offset < h->cluster_bytes ||
		    !vc_range_ok(s->l1_offset, len,
				 vc_align_up(file_bytes, h->cluster_bytes))))
		return bad(err, "L1 offset", s->l1_offset);
	return 0;
}

int qc_snapshot_read(int fd, const struct qc_header *h, uint64_t *offset,
		     struct qc_snapshot *ret, struct vc_error *err)
{
	if (qc_snapshot_parse(fd, h, offset, ret, err) < 0)
		return -1;
	return qc_snapshot_check_l1(fd, h, ret, err);
}

/* --- the whole table ------------------------------------------------------------ */

/* The extra data this program knows; there may be more. */
struct extra {
	be64_t vm_state_bytes;
	be64_t disk_bytes;
	be64_t icount;
};

/* An entry, byte by byte as it is in the file. */
struct item {
	struct qc_snapshot where;
	struct qc_snapshot_entry fixed;
	uint8_t *bytes; /* all of it, unpadded; owned */
	size_t len;
	char *id, *name; /* owned */
};

struct snap_table {
	struct item *items;
	uint32_t nr;
	uint64_t bytes; /* in the file */
};

static void table_fini(struct snap_table *t)
{
	uint32_t i;

	for (i = 0; t->items && i < t->nr; i++) {
		free(t->items[i].bytes);
		free(t->items[i].id);
		free(t->items[i].name);
	}
	free(t->items);
	t->items = NULL;
}

static int load_item(int fd, const struct qc_header *h, uint64_t *pos,
		     struct item *it, struct vc_error *err)
{
	uint64_t start = *pos;
	const char *id;
	size_t id_len, name_len;

	if (qc_snapshot_read(fd, h, pos, &it->where, err) < 0)
		return -1;
	if (vc_pread_full(fd, &it->fixed, sizeof(it->fixed), start) < 0)
		return bad(err, "entry at", start);
	id_len = be16_get(it->fixed.id_size);
	name_len = be16_get(it->fixed.name_size);
	it->len = sizeof(it->fixed) + be32_get(it->fixed.extra_size) + id_len +
		  name_len;
	it->bytes = malloc(it->len);
	if (!it->bytes)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read snapshots");
	if (vc_pread_full(fd, it->bytes, it->len, start) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	id = (const char *)it->bytes + it->len - id_len - name_len;
	it->id = strndup(id, id_len);
	it->name = strndup(id + id_len, name_len);
	if (!it->id || !it->name)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read snapshots");
	return 0;
}

static int table_load(int fd, const struct qc_header *h, struct snap_table *t,
		      struct vc_error *err)
{
	uint64_t pos = h->snapshots_offset;
	uint32_t i;

	/* one more, for a new one */
	t->items = calloc(h->nr_snapshots + 1u, sizeof(*t->items));
	t->nr = h->nr_snapshots;
	if (!t->items)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read snapshots");
	for (i = 0; i < t->nr; i++)
		if (load_item(fd, h, &pos, &t->items[i], err) < 0)
			return vc_prefix(err, "snapshot %u", i);
	t->bytes = t->nr ? pos - h->snapshots_offset : 0;
	return 0;
}

/* Write the table anew and release the old one. */
static int table_store(struct qc_edit *e, const struct snap_table *t,
		       struct vc_error *err)
{
	uint64_t total = 0, pos = 0, place = 0;
	vc_auto_free uint8_t *buf = NULL;
	uint32_t i;

	for (i = 0; i < t->nr; i++)
		total += vc_align_up(t->items[i].len, 8);
	if (total > QC_MAX_SNAPSHOT_TABLE_BYTES || t->nr > QC_MAX_SNAPSHOTS)
		return vc_fail(err, VC_E_LIMIT, 0, "too many snapshots");
	buf = calloc(1, total + 1);
	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "write snapshots");
	for (i = 0; i < t->nr; i++) {
		memcpy(buf + pos, t->items[i].bytes, t->items[i].len);
		pos += vc_align_up(t->items[i].len, 8);
	}
	if ((total && qe_store(e, buf, total, &place, err) < 0) ||
	    qe_unref_bytes(e, e->head.h.snapshots_offset, t->bytes, err) < 0)
		return -1;
	e->head.h.snapshots_offset = place;
	e->head.h.nr_snapshots = t->nr;
	return 0;
}

static int find(const struct snap_table *t, const char *id_or_name,
		uint32_t *ret, struct vc_error *err)
{
	char shown[200];
	uint32_t i;

	for (i = 0; i < t->nr; i++)
		if (!strcmp(t->items[i].id, id_or_name)) {
			*ret = i;
			return 0;
		}
	for (i = 0; i < t->nr; i++)
		if (!strcmp(t->items[i].name, id_or_name)) {
			*ret = i;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "snapshot '%s': not there",
		       vc_printable(id_or_name, shown, sizeof(shown)));
}

/* --- list -------------------------------------------------------------------- */

static uint64_t take_extra(const struct item *it, size_t offset, uint64_t none)
{
	be64_t v;

	if (be32_get(it->fixed.extra_size) < offset + sizeof(v))
		return none;
	memcpy(&v, it->bytes + sizeof(it->fixed) + offset, sizeof(v));
	return be64_get(v);
}

static void take(struct item *it, uint64_t disk_bytes,
		 struct vc_qcow2_snapshot *s)
{
	s->id = vc_steal_ptr(&it->id);
	s->name = vc_steal_ptr(&it->name);
	s->vm_state_bytes =
		take_extra(it, offsetof(struct extra, vm_state_bytes),
			   be32_get(it->fixed.vm_state_size));
	s->disk_bytes = it->where.size ? it->where.size : disk_bytes;
	s->date_sec = be32_get(it->fixed.date_sec);
	s->date_nsec = be32_get(it->fixed.date_nsec);
	s->vm_clock_nsec = be64_get(it->fixed.vm_clock_nsec);
	s->icount = take_extra(it, offsetof(struct extra, icount), UINT64_MAX);
	s->has_icount = s->icount != UINT64_MAX;
}

int vc_qcow2_snapshot_list(int fd, struct vc_qcow2_snapshots *ret,
			   struct vc_error *err)
{
	struct snap_table t = { NULL, 0, 0 };
	struct qc_header h;
	uint32_t i;

	memset(ret, 0, sizeof(*ret));
	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	if (table_load(fd, &h, &t, err) < 0) {
		table_fini(&t);
		return -1;
	}
	ret->items = calloc(t.nr + 1u, sizeof(*ret->items));
	if (ret->items) {
		ret->nr = t.nr;
		for (i = 0; i < t.nr; i++)
			take(&t.items[i], h.size, &ret->items[i]);
	}
	table_fini(&t);
	if (!ret->items)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read snapshots");
	return 0;
}

void vc_qcow2_snapshots_fini(struct vc_qcow2_snapshots *s)
{
	unsigned i;

	for (i = 0; i < s->nr; i++) {
		free(s->items[i].id);
		free(s->items[i].name);
	}
	free(s->items);
	memset(s, 0, sizeof(*s));
}

/* --- create, apply, delete ------------------------------------------------------ */

/* An L1 table may have 32 MiB: the two are not held at once. */
struct op {
	struct qc_edit e;
	struct snap_table table;
	struct qe_tree active, other;
};

static int op_start(struct op *op, int fd, struct vc_error *err)
{
	const struct qc_header *h = &op->e.head.h;

	memset(op, 0, sizeof(*op));
	if (qe_open(&op->e, fd, err) < 0)
		return -1;
	if (h->incompatible & QC_INCOMPAT_DATA_FILE)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: snapshots with an external data file");
	return table_load(fd, h, &op->table, err);
}

static int load_active(struct op *op, struct vc_error *err)
{
	const struct qc_header *h = &op->e.head.h;

	return qe_tree_load(&op->e, h->l1_offset, h->l1_size, &op->active, err);
}

static void op_fini(struct op *op)
{
	qe_tree_fini(&op->active);
	qe_tree_fini(&op->other);
	table_fini(&op->table);
	qe_fini(&op->e);
}

static uint64_t next_id(const struct snap_table *t)
{
	uint64_t max = 0;
	uint32_t i;

	for (i = 0; i < t->nr; i++) {
		uint64_t id = strtoull(t->items[i].id, NULL, 10);

		if (id > max && id < UINT32_MAX)
			max = id;
	}
	return max + 1;
}

/* Append the entry of a new snapshot whose L1 table is a copy of the active
 * one. */
static int add_item(struct op *op, const char *name, uint64_t l1_offset,
		    struct vc_error *err)
{
	struct item *it = &op->table.items[op->table.nr];
	struct extra extra = { be64_put(0), be64_put(op->e.head.h.size),
			       be64_put(UINT64_MAX) };
	struct qc_snapshot_entry *f = &it->fixed;
	struct timespec now;
	char id[24];
	int n = snprintf(id, sizeof(id), "%" PRIu64, next_id(&op->table));
	size_t pos = sizeof(*f);

	clock_gettime(CLOCK_REALTIME, &now);
	f->l1_offset = be64_put(l1_offset);
	f->l1_size = be32_put(op->active.nr);
	f->id_size = be16_put((uint16_t)n);
	f->name_size = be16_put((uint16_t)strlen(name));
	f->date_sec = be32_put((uint32_t)now.tv_sec);
	f->date_nsec = be32_put((uint32_t)now.tv_nsec);
	f->extra_size = be32_put(sizeof(extra));
	it->len = sizeof(*f) + sizeof(extra) + (size_t)n + strlen(name);
	it->bytes = malloc(it->len);
	if (!it->bytes)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create snapshot");
	memcpy(it->bytes, f, sizeof(*f));
	memcpy(it->bytes + pos, &extra, sizeof(extra));
	pos += sizeof(extra);
	memcpy(it->bytes + pos, id, (size_t)n);
	memcpy(it->bytes + pos + n, name, strlen(name));
	op->table.nr++;
	return 0;
}

static int create(struct op *op, int fd, const char *name, struct vc_error *err)
{
	uint64_t l1 = 0, i;

	if (!name[0] || strlen(name) > MAX_NAME)
		return vc_fail(err, VC_E_ARG, 0,
			       "snapshot name: not 1 to %d bytes", MAX_NAME);
	if (op_start(op, fd, err) < 0)
		return -1;
	if (op->table.nr == QC_MAX_SNAPSHOTS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d snapshots",
			       QC_MAX_SNAPSHOTS);
	if (load_active(op, err) < 0 ||
	    qe_tree_ref(&op->e, &op->active, err) < 0 ||
	    qe_tree_flag(&op->e, &op->active, 2, err) < 0)
		return -1;
	for (i = 0; i < op->active.nr; i++)
		op->active.l1[i] =
			be64_put(be64_get(op->active.l1[i]) & ~QC_COPIED);
	if (op->active.nr &&
	    qe_store(&op->e, op->active.l1, (uint64_t)op->active.nr * 8, &l1,
		     err) < 0)
		return -1;
	if (qe_tree_activate(&op->e, &op->active, err) < 0 ||
	    add_item(op, name, l1, err) < 0 ||
	    table_store(&op->e, &op->table, err) < 0)
		return -1;
	return qe_commit(&op->e, err);
}

int vc_qcow2_snapshot_create(int fd, const char *name, struct vc_error *err)
{
	struct op op;
	int ret;

	memset(&op, 0, sizeof(op));
	ret = create(&op, fd, name, err);
	op_fini(&op);
	return ret;
}

/* The tree of a snapshot, with as many entries as the disk needs. */
static int load_snapshot(struct op *op, const char *id_or_name,
			 uint32_t *ret_index, struct vc_error *err)
{
	const struct qc_snapshot *s;

	if (find(&op->table, id_or_name, ret_index, err) < 0)
		return -1;
	s = &op->table.items[*ret_index].where;
	return qe_tree_load(&op->e, s->l1_offset, s->l1_size, &op->other, err);
}

static int fit_tree(struct qe_tree *t, const struct qc_header *h,
		    struct vc_error *err)
{
	uint64_t size = h->size;
	uint64_t need =
		qc_l1_entries(size, h->cluster_bits, qc_has_subclusters(h));
	be64_t *l1;

	if (need * 8 > QC_MAX_L1_BYTES || size > VC_DISK_MAX_BYTES)
		return bad(err, "disk size", size);
	if (need <= t->nr)
		return 0;
	l1 = realloc(t->l1, need * sizeof(*l1));
	if (!l1)
		return vc_fail(err, VC_E_SYS, ENOMEM, "apply snapshot");
	memset(l1 + t->nr, 0, (need - t->nr) * sizeof(*l1));
	t->l1 = l1;
	t->nr = (uint32_t)need;
	return 0;
}

static int apply(struct op *op, int fd, const char *id_or_name,
		 struct vc_error *err)
{
	struct qc_header *h = &op->e.head.h;
	uint32_t i;

	if (op_start(op, fd, err) < 0)
		return -1;
	if (h->nr_bitmaps && (h->autoclear & QC_AUTOCLEAR_BITMAPS))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: has bitmaps, which would not tell what "
			       "going back changes");
	if (load_snapshot(op, id_or_name, &i, err) < 0)
		return -1;
	if (qe_tree_ref(&op->e, &op->other, err) < 0)
		return -1;
	qe_tree_fini(&op->other);
	if (load_active(op, err) < 0 ||
	    qe_tree_unref(&op->e, &op->active, err) < 0)
		return -1;
	qe_tree_fini(&op->active);
	if (load_snapshot(op, id_or_name, &i, err) < 0)
		return -1;
	if (op->table.items[i].where.size)
		h->size = op->table.items[i].where.size;
	if (fit_tree(&op->other, h, err) < 0 ||
	    qe_tree_flag(&op->e, &op->other, 1, err) < 0 ||
	    qe_tree_activate(&op->e, &op->other, err) < 0)
		return -1;
	return qe_commit(&op->e, err);
}

int vc_qcow2_snapshot_apply(int fd, const char *id_or_name,
			    struct vc_error *err)
{
	struct op op;
	int ret;

	memset(&op, 0, sizeof(op));
	ret = apply(&op, fd, id_or_name, err);
	op_fini(&op);
	return ret;
}

static int remove_one(struct op *op, int fd, const char *id_or_name,
		      struct vc_error *err)
{
	struct qc_snapshot s;
	struct item gone;
	uint32_t i;

	if (op_start(op, fd, err) < 0 ||
	    load_snapshot(op, id_or_name, &i, err) < 0)
		return -1;
	s = op->table.items[i].where;
	gone = op->table.items[i];
	op->table.nr--;
	memmove(&op->table.items[i], &op->table.items[i + 1],
		(op->table.nr - i) * sizeof(gone));
	free(gone.bytes);
	free(gone.id);
	free(gone.name);
	if (qe_tree_unref(&op->e, &op->other, err) < 0)
		return -1;
	qe_tree_fini(&op->other);
	if (qe_unref_bytes(&op->e, s.l1_offset, (uint64_t)s.l1_size * 8, err) <
		    0 ||
	    table_store(&op->e, &op->table, err) < 0 ||
	    load_active(op, err) < 0 ||
	    qe_tree_flag(&op->e, &op->active, 1, err) < 0 ||
	    qe_tree_activate(&op->e, &op->active, err) < 0)
		return -1;
	return qe_commit(&op->e, err);
}

int vc_qcow2_snapshot_delete(int fd, const char *id_or_name,
			     struct vc_error *err)
{
	struct op op;
	int ret;

	memset(&op, 0, sizeof(op));
	ret = remove_one(&op, fd, id_or_name, err);
	op_fini(&op);
	return ret;
}
