/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extent maps. The tree's own extents may be longer than one of ext4 can be
 * (128 MiB), so a reader cuts them as it goes. Four fit in the inode; more make
 * a tree of blocks with 340 entries each, built from the leaves up, whose top
 * level is in the inode.
 */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

struct reader {
	const struct extents *ext;
	uint32_t i, done; /* blocks of extent i */
};

static bool next_extent(struct reader *r, struct extent *ret)
{
	const struct extent *e;

	if (r->i == r->ext->nr)
		return false;
	e = extents_get(r->ext, r->i);
	*ret = (struct extent){ e->physical + r->done, e->logical + r->done,
				e->len - r->done };
	if (ret->len > E4_MAX_EXTENT_LEN) {
		ret->len = E4_MAX_EXTENT_LEN;
		r->done += ret->len;
	} else {
		r->done = 0;
		r->i++;
	}
	return true;
}

uint32_t e4_count_extents(const struct extents *ext)
{
	struct reader r = { .ext = ext };
	struct extent e;
	uint32_t n = 0;

	while (next_extent(&r, &e))
		n++;
	return n;
}

uint64_t e4_count_blocks(const struct extents *ext)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < ext->nr; i++)
		total += extents_get(ext, i)->len;
	return total;
}

static void put_header(uint8_t *to, uint32_t entries, uint32_t max,
		       uint32_t depth)
{
	const struct e4_extent_header h = {
		.magic = le16_put(E4_EXTENT_MAGIC),
		.entries = e4_lo16(entries),
		.max = e4_lo16(max),
		.depth = e4_lo16(depth),
	};

	memcpy(to, &h, sizeof(h));
}

static uint32_t put_extents(uint8_t *to, struct reader *r, uint32_t max,
			    uint32_t *ret_first)
{
	struct e4_extent_header *h = (void *)to;
	struct extent e;
	uint32_t n;

	for (n = 0; n < max && next_extent(r, &e); n++) {
		const struct e4_extent x = {
			.block = le32_put(e.logical),
			.len = e4_lo16(e.len),
			.start_hi = e4_lo16(e.physical >> 32),
			.start_lo = e4_lo32(e.physical),
		};

		if (!n)
			*ret_first = e.logical;
		memcpy(to + sizeof(*h) + n * sizeof(x), &x, sizeof(x));
	}
	put_header(to, n, max, 0);
	return n;
}

void e4_fill_block(uint8_t block[E4_IBLOCK], const struct extents *ext,
		   const struct e4_map *map)
{
	struct reader r = { .ext = ext };
	uint32_t first;

	if (map) {
		memcpy(block, map->root, E4_IBLOCK);
		return;
	}
	memset(block, 0, E4_IBLOCK);
	put_extents(block, &r, E4_ROOT_EXTENTS, &first);
}

/* An entry of the level above: a block of the map, and the first block of the
 * file that it maps. */
struct child {
	uint64_t block;
	uint32_t first;
};

static void put_indexes(uint8_t *to, const struct child *c, uint32_t n,
			uint32_t max, uint32_t depth)
{
	uint32_t i;

	put_header(to, n, max, depth);
	for (i = 0; i < n; i++) {
		const struct e4_extent_idx x = {
			.block = le32_put(c[i].first),
			.leaf_lo = e4_lo32(c[i].block),
			.leaf_hi = e4_lo16(c[i].block >> 32),
		};

		memcpy(to + sizeof(struct e4_extent_header) + i * sizeof(x), &x,
		       sizeof(x));
	}
}

static void seal_block(uint8_t *to, uint32_t seed)
{
	const size_t at = sizeof(struct e4_extent_header) +
			  E4_BLOCK_EXTENTS * sizeof(struct e4_extent);
	const le32_t csum = le32_put(e4_crc32c(seed, to, at));

	memcpy(to + at, &csum, sizeof(csum));
}

static int put_leaves(struct e4 *fs, const struct extents *ext, uint32_t seed,
		      struct child *c, uint32_t n, struct vc_error *err)
{
	struct reader r = { .ext = ext };
	uint32_t i;
	uint8_t *to;

	for (i = 0; i < n; i++) {
		e4_alloc(fs, 1, &c[i].block);
		to = e4_block(fs, c[i].block, err);
		if (!to)
			return -1;
		put_extents(to, &r, E4_BLOCK_EXTENTS, &c[i].first);
		seal_block(to, seed);
	}
	return 0;
}

/* The next level up takes the place of the lower one in `c`. */
static int put_level(struct e4 *fs, uint32_t depth, uint32_t seed,
		     struct child *c, uint32_t *n, struct vc_error *err)
{
	uint32_t up = 0, i, some;
	struct child parent;
	uint8_t *to;

	for (i = 0; i < *n; i += some) {
		some = *n - i < E4_BLOCK_EXTENTS ? *n - i : E4_BLOCK_EXTENTS;
		e4_alloc(fs, 1, &parent.block);
		parent.first = c[i].first;
		to = e4_block(fs, parent.block, err);
		if (!to)
			return -1;
		put_indexes(to, c + i, some, E4_BLOCK_EXTENTS, depth);
		seal_block(to, seed);
		c[up++] = parent;
	}
	*n = up;
	return 0;
}

int e4_write_map(struct e4 *fs, const struct extents *ext, uint32_t ino,
		 const struct node *node, struct e4_map **ret,
		 struct vc_error *err)
{
	const uint32_t seed = e4_inode_seed(fs, ino);
	uint32_t n = (uint32_t)vc_div_round_up(e4_count_extents(ext),
					       E4_BLOCK_EXTENTS);
	vc_auto_free struct child *c = calloc(n, sizeof(*c));
	vc_auto_free struct e4_map *m = calloc(1, sizeof(*m));
	uint32_t depth = 1;

	if (!c || !m)
		return vc_fail(err, VC_E_SYS, ENOMEM, "extent map");
	m->node = node;
	m->nr_blocks = n;
	if (put_leaves(fs, ext, seed, c, n, err))
		return -1;
	for (; n > E4_ROOT_EXTENTS; depth++) {
		if (put_level(fs, depth, seed, c, &n, err))
			return -1;
		m->nr_blocks += n;
	}
	put_indexes(m->root, c, n, E4_ROOT_EXTENTS, depth);
	*ret = vc_steal_ptr(&m);
	return 0;
}

int e4_write_maps(struct e4 *fs, struct vc_error *err)
{
	struct e4_map *m;
	struct node *n;

	for (n = fs->tree->root; n; n = n->next) {
		if (!n->nr_links ||
		    e4_count_extents(&n->ext) <= E4_ROOT_EXTENTS)
			continue;
		if (e4_write_map(fs, &n->ext, n->ino, n, &m, err))
			return -1;
		*fs->maps_end = m;
		fs->maps_end = &m->next;
	}
	return 0;
}
