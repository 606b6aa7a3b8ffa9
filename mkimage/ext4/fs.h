/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the ext4 writer share. See fs.c for how it works. */
#ifndef MKIMAGE_EXT4_FS_H
#define MKIMAGE_EXT4_FS_H

#include <stdlib.h>
#include <vmmcore/checked.h>
#include "mkimage/ext4/csum.h"
#include "mkimage/ext4/ext4.h"
#include "mkimage/ext4/format.h"
#include "mkimage/hash.h"

#define E4_MAX_BACKUPS 32 /* groups with a copy of the superblock, below 2^17 */

/* The extent map of a file that has too many extents for its inode. Maps are
 * made before the inodes are written, and in the same order. */
struct e4_map {
	struct e4_map *next;
	const struct node *node; /* NULL: a file without a name */
	uint8_t root[E4_IBLOCK]; /* for i_block */
	uint32_t nr_blocks;	 /* of the map itself */
};

/* An attribute's value in an inode of its own. */
struct e4_value {
	struct e4_value *next;
	const uint8_t *data; /* borrowed */
	uint32_t len, hash;
	uint32_t nr_refs; /* from inodes and attribute blocks */
	uint32_t ino;
	struct extents ext;
};

enum e4_quota_type { E4_USER_QUOTA, E4_GROUP_QUOTA, E4_PROJECT_QUOTA };
#define E4_NR_QUOTAS 3

struct e4_quota {
	uint32_t ino; /* 0: not kept */
	uint64_t size_bytes;
	struct extents ext;
	struct e4_map *map;
};

struct e4_group {
	uint64_t block_bitmap, inode_bitmap, inode_table;
	uint8_t *used;	    /* bitmap; NULL: all free. Owned if not e4_full */
	uint32_t nr_blocks; /* of the group */
	uint32_t nr_used;   /* blocks */
	uint32_t nr_inodes; /* in use */
	uint32_t nr_dirs;
	uint32_t block_csum, inode_csum;
};

/* Sizes that depend on how large the file system becomes. */
struct e4_geometry {
	uint64_t nr_blocks;
	uint32_t nr_groups, inodes_per_group, table_blocks, desc_blocks;
	uint32_t journal_blocks;
};

struct e4 {
	struct writer base;
	struct out *out; /* borrowed */
	struct ext4_opts opts;
	struct tree *tree; /* during finish(); borrowed */
	int64_t time;

	/* where the next block comes from */
	uint64_t next, run_end;
	uint64_t data_end;    /* where it stood behind the last contents */
	uint64_t limit;	      /* blocks from here on are counted, not written */
	uint64_t nr_alloced;  /* less what was dropped */
	uint32_t head_blocks; /* superblock copy and what follows it */
	uint32_t backup[E4_MAX_BACKUPS], nr_backups;
	uint8_t scratch[E4_BLOCK];

	/* the file whose contents come now */
	struct node *file;
	uint64_t digest;
	uint8_t part[E4_BLOCK]; /* a block not yet whole */
	uint32_t part_logical;
	bool has_part;
	uint64_t nr_data;

	/* contents that turned out not to be needed */
	struct extent *dropped;
	size_t nr_dropped, max_dropped;
	bool is_out_of_memory;
	struct vc_outfile *spill; /* what came past a given size, or NULL */
	uint64_t spill_end;	  /* blocks from here on are not in it */
	bool is_spill_full;
	bool is_lost; /* contents that would fit were not kept */

	/* the layout */
	struct vc_guid uuid;
	uint32_t csum_seed, hash_seed[4];
	uint32_t nr_inodes;
	uint32_t last_node; /* the highest inode number a node has */
	struct node *lost_found;
	struct e4_value *values, *last_value; /* by inode number */
	struct e4_quota quota[E4_NR_QUOTAS];
	struct e4_map *maps, **maps_end;
	struct extents journal;
	struct e4_map *journal_map;
	uint64_t resize_block; /* double-indirect block of the resize inode */
	struct e4_geometry geo;
	struct e4_group *groups;
};

static inline struct e4 *to_e4(struct writer *w)
{
	return vc_container_of(w, struct e4, base);
}

static inline le32_t e4_lo32(uint64_t v)
{
	return le32_put((uint32_t)v);
}
static inline le32_t e4_hi32(uint64_t v)
{
	return le32_put((uint32_t)(v >> 32));
}
static inline le16_t e4_lo16(uint64_t v)
{
	return le16_put((uint16_t)v);
}
static inline le16_t e4_hi16(uint64_t v)
{
	return le16_put((uint16_t)(v >> 16));
}

/* fs.c: blocks */
/* Up to `want` blocks side by side; returns how many. */
uint32_t e4_alloc(struct e4 *fs, uint32_t want, uint64_t *ret_start);
/* The next blocks are from `at` on. */
void e4_set_cursor(struct e4 *fs, uint64_t at);
/* `want` blocks, added to `ext` from `logical` on. */
int e4_alloc_extents(struct e4 *fs, struct extents *ext, uint32_t logical,
		     uint32_t want, struct vc_error *err) VC_MUST_CHECK;
/* Where the allocation stands after `n` blocks from `at`. */
uint64_t e4_advance(const struct e4 *fs, uint64_t at, uint64_t n);
/* `at`, or if that belongs to a superblock and what follows it, what comes after
 * it; *ret_end is where the next copy begins. */
uint64_t e4_skip_head(const struct e4 *fs, uint64_t at, uint64_t *ret_end);
/* The first of `n` blocks side by side at or after `at`. */
uint64_t e4_fit(const struct e4 *fs, uint64_t at, uint64_t n);
bool e4_has_super(const struct e4 *fs, uint32_t group);
uint32_t e4_count_supers(const struct e4 *fs, uint32_t nr_groups);
/* The contents of a block, zeroed, to fill before the next call. */
uint8_t *e4_block(struct e4 *fs, uint64_t nr, struct vc_error *err);
uint32_t e4_inode_seed(const struct e4 *fs, uint32_t ino);

/* compact.c */
/* Keep a block of contents that is past the given size. */
int e4_spill(struct e4 *fs, uint64_t nr, const uint8_t *data,
	     struct vc_error *err) VC_MUST_CHECK;
/* All contents are in: close the holes, and leave as much room behind each
 * superblock as there has to be, itself included. Behind the contents there is
 * nothing afterwards. */
int e4_compact(struct e4 *fs, uint32_t head_blocks,
	       struct vc_error *err) VC_MUST_CHECK;
/* read.c */
int e4_file_read(struct writer *w, const struct node *n, uint64_t offset,
		 void *data, size_t len, struct vc_error *err);
/* ident.c */
void e4_make_ident(struct e4 *fs);
/* extents.c: the blocks of the map that do not fit in the inode */
int e4_write_maps(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
int e4_write_map(struct e4 *fs, const struct extents *ext, uint32_t ino,
		 const struct node *node, struct e4_map **ret,
		 struct vc_error *err) VC_MUST_CHECK;
/* i_block: the root of `map` or, if that is NULL, the at most E4_ROOT_EXTENTS
 * extents themselves. */
void e4_fill_block(uint8_t block[E4_IBLOCK], const struct extents *ext,
		   const struct e4_map *map);
/* How many extents of ext4, and how many blocks. */
uint32_t e4_count_extents(const struct extents *ext);
uint64_t e4_count_blocks(const struct extents *ext);
/* dir.c */
int e4_write_dirs(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
/* xattr.c */
int e4_write_xattrs(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
/* As though they had not been written. */
void e4_forget_xattrs(struct e4 *fs);
/* The attributes of an inode: what is in it, and the next reference to its
 * block (0: none). */
uint64_t e4_use_xattrs(struct e4 *fs, const struct node *n,
		       uint8_t ibody[E4_INODE - E4_IBODY_XATTR]);
/* What attributes outside the inode add to what a file of this set takes. */
void e4_xattr_usage(const struct e4 *fs, const struct node *n,
		    uint64_t *ret_blocks, uint32_t *ret_inodes);
/* value.c: attributes' values with inodes of their own */
struct e4_value *e4_add_value(struct e4 *fs, const uint8_t *data, uint32_t len,
			      struct vc_error *err);
void e4_fill_value_inode(const struct e4 *fs, const struct e4_value *v,
			 struct e4_inode *in);
void e4_free_values(struct e4 *fs);
/* quota.c */
int e4_write_quotas(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
void e4_fill_quota_inode(const struct e4 *fs, const struct e4_quota *q,
			 struct e4_inode *in);
void e4_free_quotas(struct e4 *fs);
/* inode.c */
/* What a node takes, in units of E4_SECTOR: contents, map and attributes.
 * `map` is the node's or NULL. */
uint64_t e4_node_sectors(const struct e4 *fs, const struct node *n,
			 const struct e4_map *map);
int e4_number_inodes(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
int e4_write_inodes(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
/* journal.c: the two files of the file system itself */
uint64_t e4_journal_blocks(uint64_t fs_blocks);
int e4_write_journal(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
int e4_write_resize(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
/* Write `len` bytes to new blocks, the contents of a file that no name leads
 * to; the blocks are added to `ext`. */
int e4_write_own_file(struct e4 *fs, struct extents *ext, const uint8_t *data,
		      size_t len, struct vc_error *err) VC_MUST_CHECK;
/* What the inodes of all such files have in common. `nr_blocks` of the file
 * and its map. */
void e4_fill_own_inode(const struct e4 *fs, struct e4_inode *in,
		       uint64_t size_bytes, uint64_t nr_blocks);
void e4_fill_journal_inode(struct e4 *fs, struct e4_inode *in);
void e4_fill_resize_inode(struct e4 *fs, struct e4_inode *in);
/* layout.c */
/* How many descriptor blocks, and room for more, follow each superblock: at
 * least; and by what is known when all contents are there, not more than it will
 * turn out to be. */
uint32_t e4_first_head(const struct ext4_opts *opts);
uint32_t e4_guess_head(const struct e4 *fs);
/* With heads as they are, how large the file system becomes; *ret_head is what
 * such a size has to have. */
int e4_choose_geometry(struct e4 *fs, uint32_t *ret_head,
		       struct vc_error *err) VC_MUST_CHECK;
int e4_place_tables(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
int e4_write_bitmaps(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;
uint64_t e4_count_free(const struct e4 *fs);
/* What is kept for root in a file system of so many blocks. */
uint64_t e4_reserved_blocks(const struct e4 *fs, uint64_t nr_blocks);
void e4_free_groups(struct e4 *fs);
/* super.c */
int e4_write_supers(struct e4 *fs, struct vc_error *err) VC_MUST_CHECK;

#endif
