/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files that belong to the file system itself: the journal, empty but for
 * its superblock, and the resize inode, which owns the blocks into which the
 * group descriptors may grow.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "mkimage/ext4/fs.h"

/* --- journal ------------------------------------------------------------- */

/* The sizes mke2fs chooses. */
uint64_t e4_journal_blocks(uint64_t fs_blocks)
{
	static const struct {
		uint64_t below, blocks;
	} sizes[] = {
		{ 2048, 0 },
		{ 32768, 1024 },
		{ 256 * 1024, 4096 },
		{ 512 * 1024, 8192 },
		{ 4096 * 1024, 16384 },
		{ 8192 * 1024, 32768 },
		{ 16384 * 1024, 65536 },
		{ 32768 * 1024, 131072 },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(sizes); i++)
		if (fs_blocks < sizes[i].below)
			return sizes[i].blocks;
	return 262144;
}

int e4_write_journal(struct e4 *fs, struct vc_error *err)
{
	const struct e4_journal_super js = {
		.magic = be32_put(E4_JBD2_MAGIC),
		.blocktype = be32_put(E4_JBD2_SUPER_V2),
		.blocksize = be32_put(E4_BLOCK),
		.maxlen = be32_put(fs->geo.journal_blocks),
		.first = be32_put(1),
		.sequence = be32_put(1),
		.nr_users = be32_put(1),
	};
	uint8_t *to;

	if (!fs->geo.journal_blocks)
		return 0;
	if (e4_alloc_extents(fs, &fs->journal, 0, fs->geo.journal_blocks, err))
		return -1;
	if (e4_count_extents(&fs->journal) > E4_ROOT_EXTENTS &&
	    e4_write_map(fs, &fs->journal, E4_INO_JOURNAL, NULL,
			 &fs->journal_map, err))
		return -1;
	to = e4_block(fs, fs->journal.first.physical, err);
	if (!to)
		return -1;
	memcpy(to, &js, sizeof(js));
	return 0;
}

int e4_write_own_file(struct e4 *fs, struct extents *ext, const uint8_t *data,
		      size_t len, struct vc_error *err)
{
	const uint32_t nr = (uint32_t)vc_div_round_up(len, E4_BLOCK);
	const struct extent *e;
	size_t at = 0, n;
	uint32_t i, j;
	uint8_t *to;

	if (e4_alloc_extents(fs, ext, 0, nr, err))
		return -1;
	for (i = 0; i < ext->nr; i++) {
		e = extents_get(ext, i);
		for (j = 0; j < e->len; j++, at += n) {
			to = e4_block(fs, e->physical + j, err);
			if (!to)
				return -1;
			n = len - at < E4_BLOCK ? len - at : E4_BLOCK;
			memcpy(to, data + at, n);
		}
	}
	return 0;
}

void e4_fill_own_inode(const struct e4 *fs, struct e4_inode *in,
		       uint64_t size_bytes, uint64_t nr_blocks)
{
	const le32_t now = e4_lo32((uint64_t)fs->time);

	in->mode = le16_put(S_IFREG | 0600);
	in->links_count = le16_put(1);
	in->size_lo = e4_lo32(size_bytes);
	in->size_hi = e4_hi32(size_bytes);
	in->blocks_lo = e4_lo32(nr_blocks * E4_BLOCK_SECTORS);
	in->atime = in->ctime = in->mtime = in->crtime = now;
	in->extra_isize = le16_put(E4_EXTRA_ISIZE_BYTES);
}

void e4_fill_journal_inode(struct e4 *fs, struct e4_inode *in)
{
	uint64_t nr = fs->geo.journal_blocks;

	e4_fill_own_inode(fs, in, nr * E4_BLOCK,
			  nr + (fs->journal_map ? fs->journal_map->nr_blocks
						: 0));
	in->flags = le32_put(E4_FL_EXTENTS);
	e4_fill_block(in->block, &fs->journal, fs->journal_map);
}

/* --- resize inode -------------------------------------------------------- */

/*
 * Its blocks are mapped the old way. The double-indirect block has, at the
 * place of each reserved descriptor block, the number of that block in group
 * 0, which in turn serves as indirect block and has the numbers of the same
 * block's copies in the other groups.
 */
#define ADDRS (E4_BLOCK / 4)
#define DIRECT 12u
#define DOUBLE_SLOT 13u

static uint32_t nr_reserved(const struct e4 *fs)
{
	return fs->head_blocks - 1 - fs->geo.desc_blocks;
}

static void put_addr(uint8_t *to, uint32_t slot, uint64_t block)
{
	const le32_t v = e4_lo32(block);

	memcpy(to + slot * sizeof(v), &v, sizeof(v));
}

int e4_write_resize(struct e4 *fs, struct vc_error *err)
{
	uint32_t i, j, nr = nr_reserved(fs), at;
	uint8_t *to;

	if (!nr)
		return 0;
	e4_alloc(fs, 1, &fs->resize_block);
	to = e4_block(fs, fs->resize_block, err);
	if (!to)
		return -1;
	for (i = 0; i < nr; i++) {
		at = fs->geo.desc_blocks + i;
		put_addr(to, at % ADDRS, 1 + at);
	}
	for (i = 0; i < nr; i++) {
		at = 1 + fs->geo.desc_blocks + i;
		to = e4_block(fs, at, err);
		if (!to)
			return -1;
		for (j = 0; j < fs->nr_backups; j++) {
			if (fs->backup[j] >= fs->geo.nr_groups)
				break;
			put_addr(to, j,
				 (uint64_t)fs->backup[j] * E4_GROUP_BLOCKS +
					 at);
		}
	}
	return 0;
}

void e4_fill_resize_inode(struct e4 *fs, struct e4_inode *in)
{
	const uint64_t size = (uint64_t)ADDRS * ADDRS + ADDRS + DIRECT;
	uint32_t copies = e4_count_supers(fs, fs->geo.nr_groups);

	e4_fill_own_inode(fs, in, size * E4_BLOCK,
			  1 + (uint64_t)nr_reserved(fs) * copies);
	put_addr(in->block, DOUBLE_SLOT, fs->resize_block);
}
