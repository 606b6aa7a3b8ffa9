/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Quota files: how much each user, group and project has, no limits set. One
 * file a kind, in the format the kernel calls vfsv1: blocks of 1 KiB, the first
 * a header, the second the root of a tree four levels deep with 256 branches
 * each (a byte of the id a level), under it blocks of 14 entries. Ids are put in
 * ascending order, so that every block but the last is full.
 *
 * Files and directories count, and of them the blocks their inodes tell; the
 * file system's own inodes do not.
 */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

/* --- usage ---------------------------------------------------------------- */

struct usage {
	uint64_t space, inodes; /* no inodes: the slot is empty */
	uint32_t id;
};

struct usages {
	struct usage *slots; /* owned: a hash table, then sorted */
	uint32_t nr, nr_slots;
};

static struct usage *find_slot(const struct usages *u, uint32_t id)
{
	uint32_t at = id * 0x9e3779b1u & (u->nr_slots - 1);

	while (u->slots[at].inodes && u->slots[at].id != id)
		at = (at + 1) & (u->nr_slots - 1);
	return &u->slots[at];
}

static int grow(struct usages *u, struct vc_error *err)
{
	struct usages more = {
		.nr = u->nr,
		.nr_slots = u->nr_slots ? u->nr_slots * 2 : 256,
	};
	uint32_t i;

	more.slots = calloc(more.nr_slots, sizeof(*more.slots));
	if (!more.slots)
		return vc_fail(err, VC_E_SYS, ENOMEM, "quotas");
	for (i = 0; i < u->nr_slots; i++)
		if (u->slots[i].inodes)
			*find_slot(&more, u->slots[i].id) = u->slots[i];
	free(u->slots);
	*u = more;
	return 0;
}

static int charge(struct usages *u, uint32_t id, uint64_t space,
		  uint64_t inodes, struct vc_error *err)
{
	struct usage *s;

	if (u->nr >= u->nr_slots / 2 && grow(u, err))
		return -1;
	s = find_slot(u, id);
	u->nr += !s->inodes;
	s->id = id;
	s->space += space;
	s->inodes += inodes;
	return 0;
}

static uint32_t id_of(const struct e4 *fs, const struct node *n,
		      enum e4_quota_type type)
{
	switch (type) {
	case E4_USER_QUOTA:
		return n->uid;
	case E4_GROUP_QUOTA:
		return n->gid;
	case E4_PROJECT_QUOTA:
		break;
	}
	return fs->opts.project_id;
}

static int count_usage(const struct e4 *fs, enum e4_quota_type type,
		       struct usages *u, struct vc_error *err)
{
	const struct e4_map *map = fs->maps, *own;
	const struct node *n;
	uint64_t nr_blocks;
	uint32_t nr_values;

	for (n = fs->tree->root; n; n = n->next) {
		if (!n->nr_links)
			continue;
		own = map && map->node == n ? map : NULL;
		if (own)
			map = map->next;
		e4_xattr_usage(fs, n, &nr_blocks, &nr_values);
		if (charge(u, id_of(fs, n, type),
			   e4_node_sectors(fs, n, own) * E4_SECTOR,
			   1 + nr_values, err))
			return -1;
	}
	return 0;
}

static int compare(const void *p, const void *q)
{
	const struct usage *a = p, *b = q;

	/* empty slots last */
	if (!a->inodes || !b->inodes)
		return !a->inodes - !b->inodes;
	return (a->id > b->id) - (a->id < b->id);
}

/* --- the file ------------------------------------------------------------- */

struct file {
	uint8_t *data;	  /* owned */
	uint32_t nr, max; /* blocks */
	uint32_t leaf, in_leaf;
};

/* The number of a new block, zeroed; 0 when memory is out. */
static uint32_t add_block(struct file *f)
{
	uint8_t *more;
	uint32_t max;

	if (f->nr == f->max) {
		max = f->max ? f->max * 2 : 16;
		more = realloc(f->data, (size_t)max * E4_QUOTA_BLOCK);
		if (!more)
			return 0;
		f->data = more;
		f->max = max;
	}
	memset(f->data + (size_t)f->nr * E4_QUOTA_BLOCK, 0, E4_QUOTA_BLOCK);
	return f->nr++;
}

static uint8_t *block(const struct file *f, uint32_t nr)
{
	return f->data + (size_t)nr * E4_QUOTA_BLOCK;
}

/* The branch of block `nr` for the id, made if it is not there; under the
 * lowest level of the tree it is the leaf being filled. */
static uint32_t branch(struct file *f, uint32_t nr, uint32_t id, int level)
{
	const uint32_t slot = id >> 8 * (E4_QUOTA_DEPTH - 1 - level) & 0xff;
	const bool is_last = level == E4_QUOTA_DEPTH - 1;
	uint32_t to;
	le32_t v;

	memcpy(&v, block(f, nr) + slot * sizeof(v), sizeof(v));
	if (le32_get(v))
		return le32_get(v);
	if (is_last && f->leaf && f->in_leaf < E4_QUOTA_LEAF_ENTRIES) {
		to = f->leaf;
	} else {
		to = add_block(f);
		if (!to)
			return 0;
		if (is_last) {
			f->leaf = to;
			f->in_leaf = 0;
		}
	}
	v = le32_put(to);
	memcpy(block(f, nr) + slot * sizeof(v), &v, sizeof(v));
	return to;
}

static int add_usage(struct file *f, const struct usage *u,
		     struct vc_error *err)
{
	const struct e4_quota_entry e = {
		.id = le32_put(u->id),
		.inodes = le64_put(u->inodes),
		.space = le64_put(u->space),
	};
	struct e4_quota_leaf leaf = { 0 };
	uint32_t nr = E4_QUOTA_ROOT;
	int level;

	for (level = 0; level < E4_QUOTA_DEPTH; level++) {
		nr = branch(f, nr, u->id, level);
		if (!nr)
			return vc_fail(err, VC_E_SYS, ENOMEM, "quotas");
	}
	memcpy(block(f, nr) + sizeof(leaf) + f->in_leaf * sizeof(e), &e,
	       sizeof(e));
	leaf.entries = e4_lo16(++f->in_leaf);
	memcpy(block(f, nr), &leaf, sizeof(leaf));
	return 0;
}

static void put_header(struct file *f, enum e4_quota_type type)
{
	static const uint32_t magics[] = {
		[E4_USER_QUOTA] = 0xd9c01f11,
		[E4_GROUP_QUOTA] = 0xd9c01927,
		[E4_PROJECT_QUOTA] = 0xd9c03f14,
	};
	const bool has_room = f->in_leaf < E4_QUOTA_LEAF_ENTRIES;
	const struct e4_quota_header h = {
		.magic = le32_put(magics[type]),
		.version = le32_put(E4_QUOTA_VERSION),
		.block_grace = le32_put(E4_QUOTA_GRACE),
		.inode_grace = le32_put(E4_QUOTA_GRACE),
		.nr_blocks = le32_put(f->nr),
		.free_entry = le32_put(has_room ? f->leaf : 0),
	};

	memcpy(f->data, &h, sizeof(h));
}

static int fill_file(const struct e4 *fs, enum e4_quota_type type,
		     struct file *f, struct vc_error *err)
{
	struct usages u = { 0 };
	uint32_t i;
	int rc;

	rc = count_usage(fs, type, &u, err);
	if (!rc && (add_block(f), add_block(f) != E4_QUOTA_ROOT))
		rc = vc_fail(err, VC_E_SYS, ENOMEM, "quotas");
	if (!rc)
		qsort(u.slots, u.nr_slots, sizeof(*u.slots), compare);
	for (i = 0; i < u.nr && !rc; i++)
		rc = add_usage(f, &u.slots[i], err);
	free(u.slots);
	if (!rc)
		put_header(f, type);
	return rc;
}

static int write_file(struct e4 *fs, const struct file *f, struct e4_quota *q,
		      struct vc_error *err)
{
	const size_t len = (size_t)f->nr * E4_QUOTA_BLOCK;

	q->size_bytes = len;
	if (e4_write_own_file(fs, &q->ext, f->data, len, err))
		return -1;
	if (e4_count_extents(&q->ext) <= E4_ROOT_EXTENTS)
		return 0;
	return e4_write_map(fs, &q->ext, q->ino, NULL, &q->map, err);
}

/* --- all of them ---------------------------------------------------------- */

static int write_quota(struct e4 *fs, enum e4_quota_type type, uint32_t ino,
		       struct vc_error *err)
{
	struct e4_quota *q = &fs->quota[type];
	struct file f = { 0 };
	int rc;

	q->ino = ino;
	rc = fill_file(fs, type, &f, err) || write_file(fs, &f, q, err);
	free(f.data);
	return rc ? -1 : 0;
}

int e4_write_quotas(struct e4 *fs, struct vc_error *err)
{
	if (!fs->opts.features.quota)
		return 0;
	if (write_quota(fs, E4_USER_QUOTA, E4_INO_USER_QUOTA, err) ||
	    write_quota(fs, E4_GROUP_QUOTA, E4_INO_GROUP_QUOTA, err))
		return -1;
	if (!fs->opts.features.project)
		return 0;
	/* the only one whose number is not reserved */
	return write_quota(fs, E4_PROJECT_QUOTA, ++fs->nr_inodes, err);
}

void e4_fill_quota_inode(const struct e4 *fs, const struct e4_quota *q,
			 struct e4_inode *in)
{
	e4_fill_own_inode(fs, in, q->size_bytes,
			  e4_count_blocks(&q->ext) +
				  (q->map ? q->map->nr_blocks : 0));
	in->flags = le32_put(E4_FL_EXTENTS);
	e4_fill_block(in->block, &q->ext, q->map);
}

void e4_free_quotas(struct e4 *fs)
{
	int i;

	for (i = 0; i < E4_NR_QUOTAS; i++) {
		extents_fini(&fs->quota[i].ext);
		free(fs->quota[i].map);
		fs->quota[i] = (struct e4_quota){ 0 };
	}
}
