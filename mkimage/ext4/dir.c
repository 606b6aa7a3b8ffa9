/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories, each written once, when all its names are known.
 *
 * One that fits in a block is a plain list, in order of arrival. A larger one
 * gets its index at once: names sorted by hash fill leaf blocks, and above them
 * one or two levels of index point at the first hash of each leaf. Leaves are
 * left an eighth empty, so that the first names a guest adds do not split every
 * block. File blocks: the root of the index, its nodes, the leaves.
 */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/dirhash.h"
#include "mkimage/ext4/fs.h"

#define LEAF_BYTES (E4_BLOCK - E4_DIR_TAIL)
#define LEAF_FILL (LEAF_BYTES - LEAF_BYTES / 8)
#define NODE_FILL (E4_DX_NODE_MAX - E4_DX_NODE_MAX / 8)
/* e2fsck wants room in it when there is nothing left to allocate */
#define LOST_FOUND_BLOCKS 4
#define DIGIT_BITS 8
#define NR_DIGITS (1u << DIGIT_BITS)
#define FETCH_AHEAD 8 /* names */

struct slot {
	uint32_t hash, minor;
	const struct dent *d;
};

struct leaf {
	uint32_t first; /* slot */
	uint32_t hash;
};

struct dir {
	struct e4 *fs;
	struct node *n;
	uint32_t seed;	    /* of the inode's checksums */
	struct slot *slots; /* owned, kept from directory to directory */
	uint32_t nr, max;
	struct leaf *leaves; /* owned, likewise */
	uint32_t nr_leaves, max_leaves;
	/* the block being filled */
	uint8_t *to;
	uint32_t at;	      /* offset of the next entry */
	uint32_t last;	      /* of the one before, whose length may grow */
	uint32_t ext, in_ext; /* the block after it: extent, block of that */
};

static const uint8_t file_types[] = {
	[NODE_FILE] = 1,    [NODE_DIR] = 2,  [NODE_CHAR] = 3,
	[NODE_BLOCK] = 4,   [NODE_FIFO] = 5, [NODE_SOCKET] = 6,
	[NODE_SYMLINK] = 7,
};

/* --- blocks -------------------------------------------------------------- */

static int next_block(struct dir *x, struct vc_error *err)
{
	const struct extent *e = extents_get(&x->n->ext, x->ext);

	x->to = e4_block(x->fs, e->physical + x->in_ext, err);
	if (++x->in_ext == e->len) {
		x->ext++;
		x->in_ext = 0;
	}
	x->at = x->last = 0;
	return x->to ? 0 : -1;
}

static void put_header(uint8_t *to, uint32_t ino, uint32_t rec_len,
		       uint32_t name_len, uint32_t type)
{
	const struct e4_dirent d = {
		.inode = le32_put(ino),
		.rec_len = e4_lo16(rec_len),
		.name_len = (uint8_t)name_len,
		.file_type = (uint8_t)type,
	};

	memcpy(to, &d, sizeof(d));
}

static void put_name(struct dir *x, uint32_t ino, const char *name,
		     uint32_t len, enum node_type type)
{
	put_header(x->to + x->at, ino, E4_DIRENT_LEN(len), len,
		   file_types[type]);
	memcpy(x->to + x->at + sizeof(struct e4_dirent), name, len);
	x->last = x->at;
	x->at += E4_DIRENT_LEN(len);
}

static void put_dent(struct dir *x, const struct dent *d)
{
	put_name(x, d->node->ino, d->name, d->len,
		 (enum node_type)d->node->type);
}

static void put_dots(struct dir *x)
{
	put_name(x, x->n->ino, ".", 1, NODE_DIR);
	put_name(x, x->n->dir->parent->ino, "..", 2, NODE_DIR);
}

/* The last entry takes what is left; the checksum poses as one more. */
static void seal_leaf(struct dir *x)
{
	const le16_t rest = e4_lo16(LEAF_BYTES - x->last);
	le32_t csum;

	if (x->at)
		memcpy(x->to + x->last + offsetof(struct e4_dirent, rec_len),
		       &rest, sizeof(rest));
	else
		put_header(x->to, 0, LEAF_BYTES, 0, 0);
	put_header(x->to + LEAF_BYTES, 0, E4_DIR_TAIL, 0, E4_DIR_TAIL_TYPE);
	csum = le32_put(e4_crc32c(x->seed, x->to, LEAF_BYTES));
	memcpy(x->to + E4_BLOCK - sizeof(csum), &csum, sizeof(csum));
}

/* --- the index ----------------------------------------------------------- */

static void put_index_entry(uint8_t *entries, uint32_t i, uint32_t hash,
			    uint32_t block)
{
	const struct e4_dx_entry e = { le32_put(hash), le32_put(block) };

	memcpy(entries + i * sizeof(e), &e, sizeof(e));
}

/* `offset` is where the entries begin; the first one's hash, which nobody
 * needs, makes room for the counts. The checksum leaves out unused entries. */
static void seal_index(struct dir *x, uint32_t offset, uint32_t nr,
		       uint32_t max)
{
	const le16_t counts[2] = { e4_lo16(max), e4_lo16(nr) };
	const size_t entry = sizeof(struct e4_dx_entry);
	uint8_t tail[8] = { 0 };
	uint32_t crc;
	le32_t csum;

	memcpy(x->to + offset, counts, sizeof(counts));
	crc = e4_crc32c(x->seed, x->to, offset + nr * entry);
	crc = e4_crc32c(crc, tail, sizeof(tail));
	csum = le32_put(crc);
	memcpy(tail + 4, &csum, sizeof(csum));
	memcpy(x->to + offset + max * entry, tail, sizeof(tail));
}

static uint32_t nodes_needed(uint32_t nr_leaves)
{
	if (nr_leaves <= E4_DX_ROOT_MAX)
		return 0;
	return (uint32_t)vc_div_round_up(nr_leaves, NODE_FILL);
}

static int write_root(struct dir *x, uint32_t nr_nodes, struct vc_error *err)
{
	const struct e4_dx_info info = {
		.hash_version = E4_HASH_HALF_MD4,
		.info_length = sizeof(info),
		.indirect_levels = nr_nodes ? 1 : 0,
	};
	const le16_t rest = e4_lo16(E4_BLOCK - E4_DIRENT_LEN(1));
	uint32_t at, i, nr = nr_nodes ? nr_nodes : x->nr_leaves;

	if (next_block(x, err))
		return -1;
	put_dots(x);
	memcpy(x->to + x->last + offsetof(struct e4_dirent, rec_len), &rest,
	       sizeof(rest));
	memcpy(x->to + x->at, &info, sizeof(info));
	at = x->at + (uint32_t)sizeof(info);
	for (i = 0; i < nr; i++)
		put_index_entry(x->to + at, i,
				x->leaves[nr_nodes ? i * NODE_FILL : i].hash,
				1 + i);
	seal_index(x, at, nr, E4_DX_ROOT_MAX);
	return 0;
}

static int write_nodes(struct dir *x, uint32_t nr_nodes, struct vc_error *err)
{
	const uint32_t at = sizeof(struct e4_dirent);
	uint32_t i, j, first, n;

	for (i = 0; i < nr_nodes; i++) {
		if (next_block(x, err))
			return -1;
		put_header(x->to, 0, E4_BLOCK, 0, 0);
		first = i * NODE_FILL;
		n = x->nr_leaves - first;
		if (n > NODE_FILL)
			n = NODE_FILL;
		for (j = 0; j < n; j++)
			put_index_entry(x->to + at, j,
					x->leaves[first + j].hash,
					1 + nr_nodes + first + j);
		seal_index(x, at, n, E4_DX_NODE_MAX);
	}
	return 0;
}

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->minor != y->minor)
		return x->minor < y->minor ? -1 : 1;
	if (x->d->len != y->d->len)
		return x->d->len < y->d->len ? -1 : 1;
	return memcmp(x->d->name, y->d->name, x->d->len);
}

static uint32_t digit_of(const struct slot *s)
{
	return s->hash >> (32 - DIGIT_BITS);
}

/* Hashes are even: a digit of them parts a large directory into pieces that are
 * sorted within a processor's cache, and in place, which qsort() is not. */
static void sort_slots(struct slot *s, uint32_t nr)
{
	uint32_t start[NR_DIGITS + 1] = { 0 }, next[NR_DIGITS], i, d, to;
	struct slot held;

	for (i = 0; i < nr; i++)
		start[digit_of(&s[i]) + 1]++;
	for (d = 0; d < NR_DIGITS; d++) {
		start[d + 1] += start[d];
		next[d] = start[d];
	}
	for (d = 0; d < NR_DIGITS; d++) {
		while (next[d] < start[d + 1]) {
			to = digit_of(&s[next[d]]);
			i = next[to]++;
			if (to == d)
				continue;
			held = s[i];
			s[i] = s[next[d]];
			s[next[d]] = held;
		}
		qsort(s + start[d], start[d + 1] - start[d], sizeof(*s),
		      compare_slots);
	}
}

static int add_leaf(struct dir *x, uint32_t first, struct vc_error *err)
{
	const struct slot *s = x->slots;
	uint32_t max = x->max_leaves;
	struct leaf *more;

	if (x->nr_leaves == max) {
		max = max ? max * 2 : 64;
		more = realloc(x->leaves, max * sizeof(*more));
		if (!more)
			return vc_fail(err, VC_E_SYS, ENOMEM, "directory");
		x->leaves = more;
		x->max_leaves = max;
	}
	x->leaves[x->nr_leaves++] = (struct leaf){
		.first = first,
		/* the low bit: the hash goes on from the leaf before */
		.hash = s[first].hash |
			(first && s[first].hash == s[first - 1].hash),
	};
	return 0;
}

static int cut_leaves(struct dir *x, struct vc_error *err)
{
	uint32_t i, len, used = 0;

	x->nr_leaves = 0;
	for (i = 0; i < x->nr; i++) {
		len = E4_DIRENT_LEN(x->slots[i].d->len);
		if (!i || used + len > LEAF_FILL) {
			if (add_leaf(x, i, err))
				return -1;
			used = 0;
		}
		used += len;
	}
	return 0;
}

/* In the order of their hashes, names and nodes lie all over the memory: have
 * the processor fetch those that come next. */
static void fetch_ahead(const struct dir *x, uint32_t at)
{
	if (at + 2 * FETCH_AHEAD < x->nr)
		__builtin_prefetch(x->slots[at + 2 * FETCH_AHEAD].d);
	if (at + FETCH_AHEAD < x->nr)
		__builtin_prefetch(&x->slots[at + FETCH_AHEAD].d->node->ino);
}

static int write_leaves(struct dir *x, struct vc_error *err)
{
	uint32_t i, s, end;

	for (i = 0; i < x->nr_leaves; i++) {
		if (next_block(x, err))
			return -1;
		end = i + 1 < x->nr_leaves ? x->leaves[i + 1].first : x->nr;
		for (s = x->leaves[i].first; s < end; s++) {
			fetch_ahead(x, s);
			put_dent(x, x->slots[s].d);
		}
		seal_leaf(x);
	}
	return 0;
}

static int write_indexed(struct dir *x, struct vc_error *err)
{
	uint32_t i, nr_nodes, nr_blocks;

	for (i = 0; i < x->nr; i++)
		e4_dirhash(x->fs->hash_seed, x->slots[i].d->name,
			   x->slots[i].d->len, &x->slots[i].hash,
			   &x->slots[i].minor);
	sort_slots(x->slots, x->nr);
	if (cut_leaves(x, err))
		return -1;
	nr_nodes = nodes_needed(x->nr_leaves);
	if (nr_nodes > E4_DX_ROOT_MAX)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "a directory with %u names is too large for "
			       "ext4",
			       x->nr);
	nr_blocks = 1 + nr_nodes + x->nr_leaves;
	x->n->flags |= E4_FL_INDEX;
	x->n->size_bytes = (uint64_t)nr_blocks * E4_BLOCK;
	if (e4_alloc_extents(x->fs, &x->n->ext, 0, nr_blocks, err) ||
	    write_root(x, nr_nodes, err) || write_nodes(x, nr_nodes, err))
		return -1;
	return write_leaves(x, err);
}

/* --- all of it ----------------------------------------------------------- */

static int write_plain(struct dir *x, struct vc_error *err)
{
	uint32_t i, nr = x->n == x->fs->lost_found ? LOST_FOUND_BLOCKS : 1;

	x->n->size_bytes = (uint64_t)nr * E4_BLOCK;
	if (e4_alloc_extents(x->fs, &x->n->ext, 0, nr, err) ||
	    next_block(x, err))
		return -1;
	put_dots(x);
	for (i = 0; i < x->nr; i++)
		put_dent(x, x->slots[i].d);
	seal_leaf(x);
	for (i = 1; i < nr; i++) {
		if (next_block(x, err))
			return -1;
		seal_leaf(x);
	}
	return 0;
}

static int collect(struct dir *x, uint64_t *ret_bytes, struct vc_error *err)
{
	struct slot *more;
	struct dent *d;
	uint32_t max;

	x->nr = 0;
	*ret_bytes = E4_DIRENT_LEN(1) + E4_DIRENT_LEN(2);
	for (d = x->n->dir->first; d; d = d->next) {
		if (!d->node)
			continue;
		if (x->nr == x->max) {
			max = x->max ? x->max * 2 : 1024;
			more = realloc(x->slots, max * sizeof(*more));
			if (!more)
				return vc_fail(err, VC_E_SYS, ENOMEM,
					       "directory");
			x->slots = more;
			x->max = max;
		}
		x->slots[x->nr++].d = d;
		*ret_bytes += E4_DIRENT_LEN(d->len);
	}
	return 0;
}

static int write_dir(struct dir *x, struct node *n, struct vc_error *err)
{
	uint64_t bytes;

	x->n = n;
	x->ext = x->in_ext = 0;
	x->seed = e4_inode_seed(x->fs, n->ino);
	if (collect(x, &bytes, err))
		return -1;
	return bytes <= LEAF_BYTES ? write_plain(x, err)
				   : write_indexed(x, err);
}

int e4_write_dirs(struct e4 *fs, struct vc_error *err)
{
	struct dir x = { .fs = fs };
	struct node *n;
	int rc = 0;

	for (n = fs->tree->root; n && !rc; n = n->next)
		if (node_is_dir(n) && n->nr_links)
			rc = write_dir(&x, n, err);
	free(x.slots);
	free(x.leaves);
	return rc;
}
