/* SPDX-License-Identifier: BSD-3-Clause */
/* ext4 on disk, as Documentation/filesystems/ext4 of the Linux kernel tells it:
 * what this writer uses of it. */
#ifndef MKIMAGE_EXT4_FORMAT_H
#define MKIMAGE_EXT4_FORMAT_H

#include <vmmcore/endian.h>

#define E4_BLOCK 4096u
#define E4_SECTOR 512u /* what an inode counts its blocks in */
#define E4_BLOCK_SECTORS (E4_BLOCK / E4_SECTOR)
#define E4_GROUP_BLOCKS 32768u /* what one bitmap block can tell */
#define E4_MAX_GROUP_INODES 32768u
#define E4_INODE 256u
#define E4_BLOCK_INODES (E4_BLOCK / E4_INODE)
#define E4_DESC 64u
#define E4_BLOCK_DESCS (E4_BLOCK / E4_DESC)
#define E4_FLEX_LOG 4 /* groups whose bitmaps and tables lie together */
#define E4_FLEX_GROUPS (1u << E4_FLEX_LOG)

#define E4_MAGIC 0xef53
#define E4_SUPER_OFFSET 1024u

enum { /* inode numbers */
       E4_INO_ROOT = 2,
       E4_INO_USER_QUOTA = 3,
       E4_INO_GROUP_QUOTA = 4,
       E4_INO_RESIZE = 7,
       E4_INO_JOURNAL = 8,
       E4_INO_LOST_FOUND = 11,
       E4_INO_FIRST = 11, /* not reserved */
};

enum { /* s_feature_compat */
       E4_HAS_JOURNAL = 0x4,
       E4_EXT_ATTR = 0x8,
       E4_RESIZE_INODE = 0x10,
       E4_DIR_INDEX = 0x20,
};
enum { /* s_feature_incompat */
       E4_FILETYPE = 0x2,
       E4_EXTENTS = 0x40,
       E4_64BIT = 0x80,
       E4_FLEX_BG = 0x200,
       E4_EA_INODE = 0x400,
       E4_CASEFOLD = 0x20000,
};
enum { /* s_feature_ro_compat */
       E4_SPARSE_SUPER = 0x1,
       E4_LARGE_FILE = 0x2,
       E4_HUGE_FILE = 0x8,
       E4_DIR_NLINK = 0x20,
       E4_EXTRA_ISIZE = 0x40,
       E4_QUOTA = 0x100,
       E4_METADATA_CSUM = 0x400,
       E4_PROJECT = 0x2000,
       E4_VERITY = 0x8000,
};

#define E4_STATE_CLEAN 1
#define E4_ERRORS_CONTINUE 1
#define E4_REV_DYNAMIC 1
#define E4_HASH_HALF_MD4 1
#define E4_FLAG_SIGNED_HASH 1
#define E4_MOUNT_XATTR_ACL 0xc
#define E4_CHECKSUM_CRC32C 1
#define E4_ENCODING_UTF8_12_1 1

struct e4_super {
	le32_t inodes_count, blocks_count_lo, r_blocks_count_lo,
		free_blocks_count_lo, free_inodes_count, first_data_block,
		log_block_size, log_cluster_size, blocks_per_group,
		clusters_per_group, inodes_per_group, mtime, wtime;
	le16_t mnt_count, max_mnt_count, magic, state, errors, minor_rev_level;
	le32_t lastcheck, checkinterval, creator_os, rev_level;
	le16_t def_resuid, def_resgid;
	le32_t first_ino;
	le16_t inode_size, block_group_nr;
	le32_t feature_compat, feature_incompat, feature_ro_compat;
	uint8_t uuid[16];
	char volume_name[16];
	char last_mounted[64];
	le32_t algorithm_usage_bitmap;
	uint8_t prealloc_blocks, prealloc_dir_blocks;
	le16_t reserved_gdt_blocks;
	uint8_t journal_uuid[16];
	le32_t journal_inum, journal_dev, last_orphan;
	le32_t hash_seed[4];
	uint8_t def_hash_version, jnl_backup_type;
	le16_t desc_size;
	le32_t default_mount_opts, first_meta_bg, mkfs_time;
	le32_t jnl_blocks[17];
	le32_t blocks_count_hi, r_blocks_count_hi, free_blocks_count_hi;
	le16_t min_extra_isize, want_extra_isize;
	le32_t flags;
	le16_t raid_stride, mmp_interval;
	le64_t mmp_block;
	le32_t raid_stripe_width;
	uint8_t log_groups_per_flex, checksum_type, encryption_level, pad;
	le64_t kbytes_written;
	uint8_t unused1[0x240 - 0x180]; /* snapshots, errors, mount options */
	le32_t usr_quota_inum, grp_quota_inum, overhead_clusters, backup_bgs[2];
	uint8_t unused2[0x268 - 0x254]; /* encryption */
	le32_t lpf_ino, prj_quota_inum, checksum_seed;
	uint8_t wtime_hi, mtime_hi, mkfs_time_hi, lastcheck_hi;
	uint8_t unused3[0x27c - 0x278]; /* errors */
	le16_t encoding, encoding_flags;
	uint8_t unused4[0x3fc - 0x280];
	le32_t checksum;
};
_Static_assert(sizeof(struct e4_super) == 1024, "superblock");
_Static_assert(offsetof(struct e4_super, uuid) == 0x68, "superblock");
_Static_assert(offsetof(struct e4_super, reserved_gdt_blocks) == 0xce, "super");
_Static_assert(offsetof(struct e4_super, jnl_blocks) == 0x10c, "superblock");
_Static_assert(offsetof(struct e4_super, kbytes_written) == 0x178, "super");
_Static_assert(offsetof(struct e4_super, usr_quota_inum) == 0x240, "super");
_Static_assert(offsetof(struct e4_super, checksum_seed) == 0x270, "superblock");
_Static_assert(offsetof(struct e4_super, encoding) == 0x27c, "superblock");

enum { /* bg_flags */
       E4_BG_INODE_UNINIT = 1,
       E4_BG_BLOCK_UNINIT = 2,
       E4_BG_INODE_ZEROED = 4,
};

struct e4_desc {
	le32_t block_bitmap_lo, inode_bitmap_lo, inode_table_lo;
	le16_t free_blocks_lo, free_inodes_lo, used_dirs_lo, flags;
	le32_t exclude_bitmap_lo;
	le16_t block_bitmap_csum_lo, inode_bitmap_csum_lo, itable_unused_lo,
		checksum;
	le32_t block_bitmap_hi, inode_bitmap_hi, inode_table_hi;
	le16_t free_blocks_hi, free_inodes_hi, used_dirs_hi, itable_unused_hi;
	le32_t exclude_bitmap_hi;
	le16_t block_bitmap_csum_hi, inode_bitmap_csum_hi;
	le32_t reserved;
};
_Static_assert(sizeof(struct e4_desc) == E4_DESC, "group descriptor");

enum { /* i_flags */
       E4_FL_INDEX = 0x1000,
       E4_FL_EXTENTS = 0x80000,
       E4_FL_EA_INODE = 0x200000, /* it has an attribute's value */
       E4_FL_PROJINHERIT = 0x20000000,
};

#define E4_EXTRA_ISIZE_BYTES 32
#define E4_IBODY_XATTR (128 + E4_EXTRA_ISIZE_BYTES)
#define E4_IBLOCK 60 /* bytes of i_block */

struct e4_inode {
	le16_t mode, uid_lo;
	le32_t size_lo, atime, ctime, mtime, dtime;
	le16_t gid_lo, links_count;
	le32_t blocks_lo, flags, version_lo;
	uint8_t block[E4_IBLOCK];
	le32_t generation, file_acl_lo, size_hi, faddr;
	le16_t blocks_hi, file_acl_hi, uid_hi, gid_hi, checksum_lo, reserved;
	le16_t extra_isize, checksum_hi;
	le32_t ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra,
		version_hi, projid;
	uint8_t xattr[E4_INODE - E4_IBODY_XATTR];
};
_Static_assert(sizeof(struct e4_inode) == E4_INODE, "inode");
_Static_assert(offsetof(struct e4_inode, checksum_hi) == 0x82, "inode");
_Static_assert(offsetof(struct e4_inode, xattr) == E4_IBODY_XATTR, "inode");

#define E4_EXTENT_MAGIC 0xf30a
#define E4_MAX_EXTENT_LEN 32768u
#define E4_ROOT_EXTENTS 4u
#define E4_BLOCK_EXTENTS 340u

struct e4_extent_header {
	le16_t magic, entries, max, depth;
	le32_t generation;
};
struct e4_extent {
	le32_t block;
	le16_t len, start_hi;
	le32_t start_lo;
};
struct e4_extent_idx {
	le32_t block, leaf_lo;
	le16_t leaf_hi, unused;
};
_Static_assert(sizeof(struct e4_extent_header) == 12, "extent header");
_Static_assert(sizeof(struct e4_extent) == 12, "extent");
_Static_assert(sizeof(struct e4_extent_idx) == 12, "extent index");

#define E4_MAX_LINKS 65000u
#define E4_DIR_TAIL 12u
#define E4_DIR_TAIL_TYPE 0xde

struct e4_dirent {
	le32_t inode;
	le16_t rec_len;
	uint8_t name_len, file_type;
};
#define E4_DIRENT_LEN(name_len) ((8u + (unsigned)(name_len) + 3) & ~3u)

#define E4_DX_ROOT_MAX 507u
#define E4_DX_NODE_MAX 510u

struct e4_dx_info {
	le32_t reserved;
	uint8_t hash_version, info_length, indirect_levels, unused_flags;
};
struct e4_dx_entry {
	le32_t hash, block;
};

#define E4_XATTR_MAGIC 0xea020000
#define E4_XATTR_MAX_REFS 1024u

enum { /* e_name_index: the namespace, which the name then lacks */
       E4_XATTR_USER = 1,
       E4_XATTR_ACL_ACCESS = 2,
       E4_XATTR_ACL_DEFAULT = 3,
       E4_XATTR_TRUSTED = 4,
       E4_XATTR_SECURITY = 6,
};

struct e4_xattr_header {
	le32_t magic, refcount, blocks, hash, checksum, reserved[3];
};
struct e4_xattr_entry {
	uint8_t name_len, name_index;
	le16_t value_offs;
	le32_t value_inum, value_size, hash;
};
_Static_assert(sizeof(struct e4_xattr_header) == 32, "xattr header");
_Static_assert(sizeof(struct e4_xattr_entry) == 16, "xattr entry");

/* Quota files: a tree of blocks of their own size, under it usage by id. */
#define E4_QUOTA_BLOCK 1024u
#define E4_QUOTA_DEPTH 4 /* levels above the blocks with the entries */
#define E4_QUOTA_ROOT 1u /* block */
#define E4_QUOTA_VERSION 1
#define E4_QUOTA_GRACE 604800 /* seconds */

struct e4_quota_header {
	le32_t magic, version;
	/* about all of it */
	le32_t block_grace, inode_grace, flags, nr_blocks, free_block,
		free_entry;
};
struct e4_quota_leaf {
	le32_t next_free, prev_free;
	le16_t entries, pad1;
	le32_t pad2;
};
struct e4_quota_entry {
	le32_t id, pad;
	le64_t inode_hard, inode_soft, inodes, block_hard, block_soft, space,
		block_time, inode_time;
};
_Static_assert(sizeof(struct e4_quota_header) == 32, "quota header");
_Static_assert(sizeof(struct e4_quota_leaf) == 16, "quota leaf");
_Static_assert(sizeof(struct e4_quota_entry) == 72, "quota entry");
#define E4_QUOTA_LEAF_ENTRIES                              \
	((E4_QUOTA_BLOCK - sizeof(struct e4_quota_leaf)) / \
	 sizeof(struct e4_quota_entry))

#define E4_JBD2_MAGIC 0xc03b3998
#define E4_JBD2_SUPER_V2 4
#define E4_MIN_JOURNAL_BLOCKS 1024u

struct e4_journal_super {
	be32_t magic, blocktype, sequence_hdr, blocksize, maxlen, first,
		sequence, start, err_no, feature_compat, feature_incompat,
		feature_ro_compat;
	uint8_t uuid[16];
	be32_t nr_users;
};
_Static_assert(offsetof(struct e4_journal_super, uuid) == 0x30, "journal");

#endif
