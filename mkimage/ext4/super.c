/* SPDX-License-Identifier: BSD-3-Clause */
/* The superblock, the group descriptors, and their copies. */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

static void fill_desc(const struct e4 *fs, uint32_t nr, struct e4_desc *d)
{
	const struct e4_group *g = &fs->groups[nr];
	const uint32_t free_blocks = g->nr_blocks - g->nr_used;
	const uint32_t free_inodes = fs->geo.inodes_per_group - g->nr_inodes;
	const le32_t nr_le = le32_put(nr);
	uint32_t flags = E4_BG_INODE_ZEROED, crc;

	if (!g->nr_inodes)
		flags |= E4_BG_INODE_UNINIT;
	if (!g->used && nr + 1 < fs->geo.nr_groups)
		flags |= E4_BG_BLOCK_UNINIT;
	*d = (struct e4_desc){
		.block_bitmap_lo = e4_lo32(g->block_bitmap),
		.block_bitmap_hi = e4_hi32(g->block_bitmap),
		.inode_bitmap_lo = e4_lo32(g->inode_bitmap),
		.inode_bitmap_hi = e4_hi32(g->inode_bitmap),
		.inode_table_lo = e4_lo32(g->inode_table),
		.inode_table_hi = e4_hi32(g->inode_table),
		.free_blocks_lo = e4_lo16(free_blocks),
		.free_blocks_hi = e4_hi16(free_blocks),
		.free_inodes_lo = e4_lo16(free_inodes),
		.free_inodes_hi = e4_hi16(free_inodes),
		.used_dirs_lo = e4_lo16(g->nr_dirs),
		.used_dirs_hi = e4_hi16(g->nr_dirs),
		.itable_unused_lo = e4_lo16(free_inodes),
		.itable_unused_hi = e4_hi16(free_inodes),
		.flags = e4_lo16(flags),
		.block_bitmap_csum_lo = e4_lo16(g->block_csum),
		.block_bitmap_csum_hi = e4_hi16(g->block_csum),
		.inode_bitmap_csum_lo = e4_lo16(g->inode_csum),
		.inode_bitmap_csum_hi = e4_hi16(g->inode_csum),
	};
	crc = e4_crc32c(fs->csum_seed, &nr_le, sizeof(nr_le));
	d->checksum = e4_lo16(e4_crc32c(crc, d, sizeof(*d)));
}

static void set_features(const struct e4 *fs, struct e4_super *s)
{
	const struct ext4_features *f = &fs->opts.features;
	uint32_t compat = E4_EXT_ATTR | E4_DIR_INDEX;
	uint32_t incompat = E4_FILETYPE | E4_EXTENTS | E4_64BIT | E4_FLEX_BG;
	uint32_t ro_compat = E4_SPARSE_SUPER | E4_LARGE_FILE | E4_HUGE_FILE |
			     E4_DIR_NLINK | E4_EXTRA_ISIZE | E4_METADATA_CSUM;

	if (fs->geo.journal_blocks)
		compat |= E4_HAS_JOURNAL;
	if (fs->resize_block)
		compat |= E4_RESIZE_INODE;
	if (f->ea_inode)
		incompat |= E4_EA_INODE;
	if (f->casefold) {
		incompat |= E4_CASEFOLD;
		s->encoding = le16_put(E4_ENCODING_UTF8_12_1);
	}
	if (f->verity)
		ro_compat |= E4_VERITY;
	if (f->project)
		ro_compat |= E4_PROJECT;
	if (f->quota)
		ro_compat |= E4_QUOTA;
	s->feature_compat = le32_put(compat);
	s->feature_incompat = le32_put(incompat);
	s->feature_ro_compat = le32_put(ro_compat);
	s->usr_quota_inum = le32_put(fs->quota[E4_USER_QUOTA].ino);
	s->grp_quota_inum = le32_put(fs->quota[E4_GROUP_QUOTA].ino);
	s->prj_quota_inum = le32_put(fs->quota[E4_PROJECT_QUOTA].ino);
}

/* What the file system itself takes, as the kernel counts it: it would write it
 * into the superblock and all copies at the first mount if it were not there. */
static uint64_t overhead(const struct e4 *fs)
{
	const struct e4_geometry *g = &fs->geo;
	const uint32_t head =
		fs->resize_block ? fs->head_blocks : 1 + g->desc_blocks;

	return g->journal_blocks +
	       (uint64_t)e4_count_supers(fs, g->nr_groups) * head +
	       (uint64_t)g->nr_groups * (2 + g->table_blocks);
}

static void set_sizes(const struct e4 *fs, struct e4_super *s)
{
	const struct e4_geometry *g = &fs->geo;
	uint64_t nr_free = e4_count_free(fs);
	uint32_t nr_inodes = g->nr_groups * g->inodes_per_group;

	s->inodes_count = le32_put(nr_inodes);
	s->free_inodes_count = le32_put(nr_inodes - fs->nr_inodes);
	s->blocks_count_lo = e4_lo32(g->nr_blocks);
	s->blocks_count_hi = e4_hi32(g->nr_blocks);
	s->r_blocks_count_lo = e4_lo32(e4_reserved_blocks(fs, g->nr_blocks));
	s->r_blocks_count_hi = e4_hi32(e4_reserved_blocks(fs, g->nr_blocks));
	s->free_blocks_count_lo = e4_lo32(nr_free);
	s->free_blocks_count_hi = e4_hi32(nr_free);
	s->overhead_clusters = e4_lo32(overhead(fs));
	s->log_block_size = le32_put(2);
	s->log_cluster_size = le32_put(2);
	s->blocks_per_group = le32_put(E4_GROUP_BLOCKS);
	s->clusters_per_group = le32_put(E4_GROUP_BLOCKS);
	s->inodes_per_group = le32_put(g->inodes_per_group);
	s->first_ino = le32_put(E4_INO_FIRST);
	s->inode_size = le16_put(E4_INODE);
	s->desc_size = le16_put(E4_DESC);
	s->min_extra_isize = le16_put(E4_EXTRA_ISIZE_BYTES);
	s->want_extra_isize = le16_put(E4_EXTRA_ISIZE_BYTES);
	s->log_groups_per_flex = E4_FLEX_LOG;
	if (fs->resize_block)
		s->reserved_gdt_blocks =
			e4_lo16(fs->head_blocks - 1 - g->desc_blocks);
}

/* Where the journal is, in case its inode is damaged. */
static void set_journal(struct e4 *fs, struct e4_super *s)
{
	struct e4_inode in = { 0 };

	if (!fs->geo.journal_blocks)
		return;
	e4_fill_journal_inode(fs, &in);
	s->journal_inum = le32_put(E4_INO_JOURNAL);
	s->jnl_backup_type = 1;
	memcpy(s->jnl_blocks, in.block, sizeof(in.block));
	s->jnl_blocks[15] = in.size_hi;
	s->jnl_blocks[16] = in.size_lo;
}

static void fill_super(struct e4 *fs, struct e4_super *s)
{
	/* times before 1970 do not exist here */
	uint64_t now = fs->time < 0 ? 0 : (uint64_t)fs->time;
	int i;

	*s = (struct e4_super){
		.magic = le16_put(E4_MAGIC),
		.state = le16_put(E4_STATE_CLEAN),
		.errors = le16_put(E4_ERRORS_CONTINUE),
		.rev_level = le32_put(E4_REV_DYNAMIC),
		.max_mnt_count = le16_put(UINT16_MAX), /* never check */
		.wtime = e4_lo32(now),
		.mkfs_time = e4_lo32(now),
		.lastcheck = e4_lo32(now),
		.wtime_hi = (uint8_t)(now >> 32),
		.mkfs_time_hi = (uint8_t)(now >> 32),
		.lastcheck_hi = (uint8_t)(now >> 32),
		.def_hash_version = E4_HASH_HALF_MD4,
		.flags = le32_put(E4_FLAG_SIGNED_HASH),
		.default_mount_opts = le32_put(E4_MOUNT_XATTR_ACL),
		.checksum_type = E4_CHECKSUM_CRC32C,
	};
	set_features(fs, s);
	set_sizes(fs, s);
	set_journal(fs, s);
	memcpy(s->uuid, fs->uuid.b, sizeof(s->uuid));
	memcpy(s->volume_name, fs->opts.label, sizeof(s->volume_name));
	for (i = 0; i < 4; i++)
		s->hash_seed[i] = le32_put(fs->hash_seed[i]);
}

static int write_super(struct e4 *fs, struct e4_super *s, uint32_t group,
		       struct vc_error *err)
{
	uint8_t *to = e4_block(fs, (uint64_t)group * E4_GROUP_BLOCKS, err);

	if (!to)
		return -1;
	s->block_group_nr = e4_lo16(group);
	s->checksum = le32_put(
		e4_crc32c(UINT32_MAX, s, offsetof(struct e4_super, checksum)));
	memcpy(to + (group ? 0 : E4_SUPER_OFFSET), s, sizeof(*s));
	return 0;
}

static int write_descs(struct e4 *fs, uint32_t group, struct vc_error *err)
{
	uint64_t at = (uint64_t)group * E4_GROUP_BLOCKS + 1;
	struct e4_desc d;
	uint8_t *to = NULL;
	uint32_t i;

	for (i = 0; i < fs->geo.nr_groups; i++) {
		if (i % E4_BLOCK_DESCS == 0) {
			to = e4_block(fs, at + i / E4_BLOCK_DESCS, err);
			if (!to)
				return -1;
		}
		fill_desc(fs, i, &d);
		memcpy(to + i % E4_BLOCK_DESCS * sizeof(d), &d, sizeof(d));
	}
	return 0;
}

int e4_write_supers(struct e4 *fs, struct vc_error *err)
{
	struct e4_super s;
	uint32_t i, g;

	fill_super(fs, &s);
	/* the first one last: without it there is no file system */
	for (i = fs->nr_backups + 1; i-- > 0;) {
		g = i ? fs->backup[i - 1] : 0;
		if (g < fs->geo.nr_groups &&
		    (write_descs(fs, g, err) || write_super(fs, &s, g, err)))
			return -1;
	}
	return 0;
}
