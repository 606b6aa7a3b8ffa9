/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended attributes. A set that fits in what is left of a 256-byte inode is
 * put there. A larger one goes to a block as a whole, which up to 1024 inodes
 * with the same set share; only what has no room even there is taken back into
 * the inode. With the feature ea_inode the largest values get inodes of their
 * own (value.c) until the rest has room.
 *
 * The number of references is part of the block, so that users are counted
 * first; writing the inodes then hands the references out.
 */
#include <errno.h>
#include <string.h>
#include "mkimage/acl.h"
#include "mkimage/ext4/fs.h"

#define IBODY_BYTES (E4_INODE - E4_IBODY_XATTR)
/* less the magic number, less the four zero bytes after the last entry */
#define IBODY_ROOM (IBODY_BYTES - 8)
#define BLOCK_ROOM (E4_BLOCK - sizeof(struct e4_xattr_header) - 4)

struct attr {
	const char *name; /* without the namespace */
	const uint8_t *value;
	uint32_t name_len, value_len;
	uint8_t index; /* the namespace */
	bool in_inode;
	bool is_apart; /* the value has an inode of its own */
	const struct e4_value *at;
};

/* What hangs on an xset. */
struct plan {
	uint64_t *blocks;  /* one for each 1024 users; NULL: all in the inode */
	uint32_t nr_given; /* references handed out */
	uint32_t nr_values, value_blocks; /* in inodes of their own */
	uint8_t ibody[IBODY_BYTES];
};

static const struct {
	const char *prefix;
	uint8_t index;
	bool is_whole; /* the name is all there is */
} spaces[] = {
	{ "user.", E4_XATTR_USER, false },
	{ ACL_XATTR_ACCESS, E4_XATTR_ACL_ACCESS, true },
	{ ACL_XATTR_DEFAULT, E4_XATTR_ACL_DEFAULT, true },
	{ "trusted.", E4_XATTR_TRUSTED, false },
	{ "security.", E4_XATTR_SECURITY, false },
};

static uint32_t pad4(uint32_t v)
{
	return (v + 3) & ~3u;
}

static uint32_t cost(const struct attr *a)
{
	return (uint32_t)sizeof(struct e4_xattr_entry) + pad4(a->name_len) +
	       (a->is_apart ? 0 : pad4(a->value_len));
}

static bool set_space(struct attr *a, const struct xattr *x)
{
	size_t i, len;

	for (i = 0; i < VC_ARRAY_SIZE(spaces); i++) {
		len = strlen(spaces[i].prefix);
		if (x->name_len < len ||
		    memcmp(x->name, spaces[i].prefix, len) != 0)
			continue;
		if (spaces[i].is_whole && x->name_len != len)
			continue;
		a->index = spaces[i].index;
		a->name = x->name + len;
		a->name_len = x->name_len - (uint32_t)len;
		return true;
	}
	return false;
}

static int convert_acl(struct e4 *fs, struct attr *a, struct vc_error *err)
{
	vc_auto_free struct acl_entry *acl =
		calloc(ACL_MAX_ENTRIES + 1, sizeof(*acl));
	uint8_t *disk;
	size_t nr;

	if (!acl)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	if (acl_from_wire(a->value, a->value_len, acl, ACL_MAX_ENTRIES, &nr,
			  err))
		return -1;
	disk = arena_alloc(&fs->tree->arena, ACL_WIRE_BYTES(nr));
	if (!disk)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	a->value_len = (uint32_t)acl_to_disk(acl, nr, disk);
	a->value = disk;
	return 0;
}

/* As the kernel searches a block: namespace, length of the name, name. */
static int compare(const void *p, const void *q)
{
	const struct attr *a = p, *b = q;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(a->name, b->name, a->name_len);
}

static int read_set(struct e4 *fs, const struct xset *s, struct attr *a,
		    struct vc_error *err)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		a[i].value = s->attr[i].value;
		a[i].value_len = s->attr[i].value_len;
		if (!set_space(&a[i], &s->attr[i]))
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "attribute of an unknown kind");
		if ((a[i].index == E4_XATTR_ACL_ACCESS ||
		     a[i].index == E4_XATTR_ACL_DEFAULT) &&
		    convert_acl(fs, &a[i], err))
			return -1;
	}
	qsort(a, s->nr, sizeof(*a), compare);
	return 0;
}

/* Which attributes go into the inode. */
static bool divide(struct attr *a, uint32_t nr, bool *ret_has_block)
{
	uint64_t total = 0;
	uint32_t i, room = IBODY_ROOM;

	for (i = 0; i < nr; i++) {
		total += cost(&a[i]);
		a[i].in_inode = false;
	}
	*ret_has_block = total > room;
	if (!*ret_has_block) {
		for (i = 0; i < nr; i++)
			a[i].in_inode = true;
		return true;
	}
	for (i = 0; i < nr && total > BLOCK_ROOM; i++) {
		if (cost(&a[i]) > room)
			continue;
		a[i].in_inode = true;
		room -= cost(&a[i]);
		total -= cost(&a[i]);
	}
	return total <= BLOCK_ROOM;
}

/* Divide, with the largest values out of the way if there is no other. */
static bool divide_apart(const struct e4 *fs, struct attr *a, uint32_t nr,
			 bool *ret_has_block)
{
	struct attr *most;
	uint32_t i;

	while (!divide(a, nr, ret_has_block)) {
		most = NULL;
		for (i = 0; i < nr; i++)
			if (!a[i].is_apart &&
			    (!most || a[i].value_len > most->value_len))
				most = &a[i];
		if (!fs->opts.features.ea_inode || !most || !most->value_len)
			return false;
		most->is_apart = true;
	}
	return true;
}

static uint32_t hash_entry(const struct attr *a)
{
	uint32_t h = 0, i;
	uint8_t word[4];
	le32_t v;

	for (i = 0; i < a->name_len; i++)
		h = (h << 5) ^ (h >> 27) ^ (uint8_t)a->name[i];
	if (a->is_apart)
		return (h << 16) ^ (h >> 16) ^ a->at->hash;
	for (i = 0; i < a->value_len; i += 4) {
		memset(word, 0, sizeof(word));
		memcpy(word, a->value + i,
		       a->value_len - i < 4 ? a->value_len - i : 4);
		memcpy(&v, word, sizeof(v));
		h = (h << 16) ^ (h >> 16) ^ le32_get(v);
	}
	return h;
}

/* Entries from `to` + `at` upwards, values from `end` downwards; value offsets
 * count from `base`. Returns the hash over all entries. */
static uint32_t put_attrs(uint8_t *to, uint32_t at, uint32_t end, uint32_t base,
			  const struct attr *a, uint32_t nr, bool in_inode)
{
	uint32_t i, hash, all = 0;

	for (i = 0; i < nr; i++) {
		struct e4_xattr_entry e = {
			.name_len = (uint8_t)a[i].name_len,
			.name_index = a[i].index,
			.value_size = le32_put(a[i].value_len),
		};

		if (a[i].in_inode != in_inode)
			continue;
		if (a[i].is_apart) {
			e.value_inum = le32_put(a[i].at->ino);
		} else if (a[i].value_len) {
			end -= pad4(a[i].value_len);
			memcpy(to + end, a[i].value, a[i].value_len);
			e.value_offs = e4_lo16(end - base);
		}
		if (!in_inode || a[i].is_apart) {
			hash = hash_entry(&a[i]);
			e.hash = le32_put(hash);
			all = (all << 16) ^ (all >> 16) ^ hash;
		}
		memcpy(to + at, &e, sizeof(e));
		memcpy(to + at + sizeof(e), a[i].name, a[i].name_len);
		at += (uint32_t)sizeof(e) + pad4(a[i].name_len);
	}
	return all;
}

static int put_block(struct e4 *fs, uint64_t nr, const struct attr *a,
		     uint32_t nr_attrs, uint32_t refs, struct vc_error *err)
{
	struct e4_xattr_header h = {
		.magic = le32_put(E4_XATTR_MAGIC),
		.refcount = le32_put(refs),
		.blocks = le32_put(1),
	};
	const le64_t at = le64_put(nr);
	uint8_t *to = e4_block(fs, nr, err);
	uint32_t crc;

	if (!to)
		return -1;
	h.hash = le32_put(
		put_attrs(to, sizeof(h), E4_BLOCK, 0, a, nr_attrs, false));
	memcpy(to, &h, sizeof(h));
	crc = e4_crc32c(fs->csum_seed, &at, sizeof(at));
	h.checksum = le32_put(e4_crc32c(crc, to, E4_BLOCK));
	memcpy(to, &h, sizeof(h));
	return 0;
}

static int put_blocks(struct e4 *fs, struct xset *s, struct plan *p,
		      const struct attr *a, struct vc_error *err)
{
	uint32_t i, refs, nr;

	nr = (uint32_t)vc_div_round_up(s->nr_users, E4_XATTR_MAX_REFS);
	p->blocks = arena_alloc(&fs->tree->arena, nr * sizeof(*p->blocks));
	if (!p->blocks)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
	for (i = 0; i < nr; i++) {
		refs = s->nr_users - i * E4_XATTR_MAX_REFS;
		if (refs > E4_XATTR_MAX_REFS)
			refs = E4_XATTR_MAX_REFS;
		e4_alloc(fs, 1, &p->blocks[i]);
		if (put_block(fs, p->blocks[i], a, s->nr, refs, err))
			return -1;
	}
	return 0;
}

/* Give each value that has no room in the set an inode: one for all users. */
static int put_values(struct e4 *fs, const struct xset *s, struct plan *p,
		      struct attr *a, struct vc_error *err)
{
	const uint32_t nr_blocks =
		(uint32_t)vc_div_round_up(s->nr_users, E4_XATTR_MAX_REFS);
	struct e4_value *v;
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		if (!a[i].is_apart)
			continue;
		v = e4_add_value(fs, a[i].value, a[i].value_len, err);
		if (!v)
			return -1;
		/* a block counts as one user, however many share it */
		v->nr_refs = a[i].in_inode ? s->nr_users : nr_blocks;
		a[i].at = v;
		p->nr_values++;
		p->value_blocks += (uint32_t)vc_div_round_up(v->len, E4_BLOCK);
	}
	return 0;
}

/* Which entry it is about: looked up only to say so. */
static int fail_room(struct e4 *fs, uint32_t id, struct vc_error *err)
{
	const char *how = fs->opts.features.ea_inode
				  ? ""
				  : " without --fs-option ea-inode";
	const struct node *dir;
	const struct dent *d;

	for (dir = fs->tree->root; dir; dir = dir->next) {
		if (!node_is_dir(dir) || !dir->nr_links)
			continue;
		for (d = dir->dir->first; d; d = d->next)
			if (d->node && d->node->xset == id)
				return vc_fail(err, VC_E_LIMIT, 0,
					       "entry '%s': its attributes are "
					       "larger than ext4 has room "
					       "for%s",
					       tree_show_path(fs->tree, d).s,
					       how);
	}
	return vc_fail(err, VC_E_LIMIT, 0,
		       "the root: its attributes are larger than ext4 has room "
		       "for%s",
		       how);
}

static int plan_set(struct e4 *fs, uint32_t id, struct attr *a,
		    struct vc_error *err)
{
	const le32_t magic = le32_put(E4_XATTR_MAGIC);
	struct xset *s = xset_get(&fs->tree->xsets, id);
	struct plan *p = arena_alloc(&fs->tree->arena, sizeof(*p));
	bool has_block, has_inode = false;
	uint32_t i;

	if (!p)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
	if (read_set(fs, s, a, err))
		return -1;
	if (!divide_apart(fs, a, s->nr, &has_block))
		return fail_room(fs, id, err);
	if (put_values(fs, s, p, a, err))
		return -1;
	for (i = 0; i < s->nr; i++)
		has_inode |= a[i].in_inode;
	if (has_inode) {
		memcpy(p->ibody, &magic, sizeof(magic));
		put_attrs(p->ibody, sizeof(magic), IBODY_BYTES, sizeof(magic),
			  a, s->nr, true);
	}
	s->priv = p;
	return has_block ? put_blocks(fs, s, p, a, err) : 0;
}

int e4_write_xattrs(struct e4 *fs, struct vc_error *err)
{
	struct xset_table *t = &fs->tree->xsets;
	struct attr *a;
	uint32_t id;
	int rc = 0;

	tree_count_xset_users(fs->tree);
	for (id = 1; id <= t->nr && !rc; id++) {
		if (!t->sets[id - 1]->nr_users)
			continue;
		a = calloc(t->sets[id - 1]->nr, sizeof(*a));
		if (!a)
			return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
		rc = plan_set(fs, id, a, err);
		free(a);
	}
	return rc;
}

void e4_forget_xattrs(struct e4 *fs)
{
	struct xset_table *t = &fs->tree->xsets;
	uint32_t id;

	for (id = 1; id <= t->nr; id++)
		t->sets[id - 1]->priv = NULL; /* the arena's */
}

uint64_t e4_use_xattrs(struct e4 *fs, const struct node *n,
		       uint8_t ibody[IBODY_BYTES])
{
	const struct xset *s = xset_get(&fs->tree->xsets, n->xset);
	struct plan *p = s ? s->priv : NULL;

	if (!p)
		return 0;
	memcpy(ibody, p->ibody, IBODY_BYTES);
	if (!p->blocks)
		return 0;
	return p->blocks[p->nr_given++ / E4_XATTR_MAX_REFS];
}

void e4_xattr_usage(const struct e4 *fs, const struct node *n,
		    uint64_t *ret_blocks, uint32_t *ret_inodes)
{
	const struct xset *s = xset_get(&fs->tree->xsets, n->xset);
	const struct plan *p = s ? s->priv : NULL;

	*ret_blocks = p ? (p->blocks ? 1u : 0u) + p->value_blocks : 0;
	*ret_inodes = p ? p->nr_values : 0;
}
