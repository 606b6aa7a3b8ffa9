/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

int e4_number_inodes(struct e4 *fs, struct vc_error *err)
{
	uint32_t ino = E4_INO_FIRST + 1;
	struct node *n;

	for (n = fs->tree->root; n; n = n->next) {
		if (!n->nr_links)
			continue;
		if (n == fs->tree->root)
			n->ino = E4_INO_ROOT;
		else if (n == fs->lost_found)
			n->ino = E4_INO_LOST_FOUND;
		else
			n->ino = ino++;
	}
	fs->last_node = fs->nr_inodes = ino - 1;
	if (fs->nr_inodes > INT32_MAX)
		return vc_fail(err, VC_E_LIMIT, 0, "too many files");
	return 0;
}

/* --- one inode ----------------------------------------------------------- */

/* 32 bits of seconds, signed, then two bits above them and the nanoseconds. */
static void put_time(struct tree_time t, le32_t *lo, le32_t *extra)
{
	uint64_t epoch =
		((uint64_t)t.sec - (uint64_t)(int64_t)(int32_t)t.sec) >> 32;

	*lo = le32_put((uint32_t)t.sec);
	*extra = le32_put((uint32_t)(epoch & 3) | t.nsec << 2);
}

static void put_device(const struct node *n, uint8_t block[E4_IBLOCK])
{
	const bool is_small = n->dev.major < 256 && n->dev.minor < 256;
	const le32_t v = le32_put(node_device(n));

	/* the second word: the first is what old kernels look at */
	memcpy(block + (is_small ? 0 : sizeof(v)), &v, sizeof(v));
}

static uint32_t count_links(const struct node *n)
{
	uint32_t links;

	if (!node_is_dir(n))
		return n->nr_links;
	links = 2 + n->dir->nr_subdirs;
	/* dir_nlink: "too many to count" */
	return links > E4_MAX_LINKS ? 1 : links;
}

static bool has_extents(const struct node *n)
{
	return n->type == NODE_FILE || n->type == NODE_DIR ||
	       (n->type == NODE_SYMLINK && n->size_bytes >= E4_IBLOCK);
}

uint64_t e4_node_sectors(const struct e4 *fs, const struct node *n,
			 const struct e4_map *map)
{
	uint64_t nr;
	uint32_t nr_values;

	e4_xattr_usage(fs, n, &nr, &nr_values);
	if (has_extents(n))
		nr += e4_count_blocks(&n->ext);
	if (map)
		nr += map->nr_blocks;
	return nr * E4_BLOCK_SECTORS;
}

static void put_content(const struct node *n, const struct e4_map *map,
			struct e4_inode *in, uint32_t *flags)
{
	if (n->type == NODE_CHAR || n->type == NODE_BLOCK) {
		put_device(n, in->block);
	} else if (has_extents(n)) {
		*flags |= E4_FL_EXTENTS;
		e4_fill_block(in->block, &n->ext, map);
	} else if (n->type == NODE_SYMLINK) {
		memcpy(in->block, n->target, (size_t)n->size_bytes);
	}
}

/* The map of the node whose inode is written now, if it has one; the caller
 * frees it. */
static struct e4_map *take_map(struct e4 *fs, const struct node *n)
{
	struct e4_map *m = fs->maps;

	if (!m || m->node != n)
		return NULL;
	fs->maps = m->next;
	return m;
}

static void put_project(const struct e4 *fs, const struct node *n,
			struct e4_inode *in, uint32_t *flags)
{
	in->projid = le32_put(fs->opts.project_id);
	/* what is made in it belongs to the project as well */
	if (fs->opts.project_id && node_is_dir(n))
		*flags |= E4_FL_PROJINHERIT;
}

static void put_node(struct e4 *fs, const struct node *n, struct e4_inode *in)
{
	const struct tree_time now = { .sec = fs->time };
	vc_auto_free struct e4_map *map = take_map(fs, n);
	uint32_t flags = n->flags;
	uint64_t acl, nr_sectors;

	in->mode = e4_lo16(node_format(n) | (n->mode & 07777u));
	in->uid_lo = e4_lo16(n->uid);
	in->uid_hi = e4_hi16(n->uid);
	in->gid_lo = e4_lo16(n->gid);
	in->gid_hi = e4_hi16(n->gid);
	in->size_lo = e4_lo32(n->size_bytes);
	in->size_hi = e4_hi32(n->size_bytes);
	in->links_count = e4_lo16(count_links(n));
	in->extra_isize = le16_put(E4_EXTRA_ISIZE_BYTES);
	put_time(n->atime, &in->atime, &in->atime_extra);
	put_time(n->ctime, &in->ctime, &in->ctime_extra);
	put_time(n->mtime, &in->mtime, &in->mtime_extra);
	put_time(n->has_btime ? n->btime : now, &in->crtime, &in->crtime_extra);
	put_content(n, map, in, &flags);
	put_project(fs, n, in, &flags);
	nr_sectors = e4_node_sectors(fs, n, map);
	acl = e4_use_xattrs(fs, n, in->xattr);
	in->file_acl_lo = e4_lo32(acl);
	in->file_acl_hi = e4_hi16(acl >> 16);
	/* counted in sectors of 512 bytes: those of 16 TiB fit in 48 bits */
	in->blocks_lo = e4_lo32(nr_sectors);
	in->blocks_hi = e4_lo16(nr_sectors >> 32);
	in->flags = le32_put(flags);
}

static void seal_inode(const struct e4 *fs, uint32_t ino, struct e4_inode *in)
{
	uint32_t crc = e4_crc32c(e4_inode_seed(fs, ino), in, sizeof(*in));

	in->checksum_lo = e4_lo16(crc);
	in->checksum_hi = e4_hi16(crc);
}

/* --- the tables ---------------------------------------------------------- */

struct table {
	struct e4 *fs;
	struct node *next;	      /* where the search for `ino` goes on */
	const struct e4_value *value; /* the next that has no inode yet */
	uint8_t *to;
	uint32_t ino; /* to be written now */
};

/* The node of inode `ino`, or NULL. Numbers go up along the chain of nodes, so
 * one walk over it finds them all. */
static const struct node *take_node(struct table *t, uint32_t ino)
{
	if (ino == E4_INO_ROOT)
		return t->fs->tree->root;
	if (ino == E4_INO_LOST_FOUND)
		return t->fs->lost_found;
	if (ino < E4_INO_FIRST || ino > t->fs->last_node)
		return NULL;
	while (t->next->ino != ino || !t->next->nr_links)
		t->next = t->next->next;
	return t->next;
}

/* The inodes that no name leads to; false for the ones that are not in use. */
static bool put_own_inode(struct table *t, uint32_t ino, struct e4_inode *in)
{
	struct e4 *fs = t->fs;
	int i;

	if (ino == E4_INO_JOURNAL && fs->geo.journal_blocks) {
		e4_fill_journal_inode(fs, in);
		return true;
	}
	if (ino == E4_INO_RESIZE && fs->resize_block) {
		e4_fill_resize_inode(fs, in);
		return true;
	}
	if (t->value && t->value->ino == ino) {
		e4_fill_value_inode(fs, t->value, in);
		t->value = t->value->next;
		return true;
	}
	for (i = 0; i < E4_NR_QUOTAS; i++) {
		if (fs->quota[i].ino == ino) {
			e4_fill_quota_inode(fs, &fs->quota[i], in);
			return true;
		}
	}
	return false;
}

static void write_inode(struct table *t, struct e4_group *g, uint32_t ino,
			struct e4_inode *in)
{
	const struct node *n = take_node(t, ino);

	if (n)
		put_node(t->fs, n, in);
	else if (!put_own_inode(t, ino, in))
		return;
	seal_inode(t->fs, ino, in);
	g->nr_dirs += n && node_is_dir(n);
}

static int write_table(struct table *t, struct e4_group *g,
		       struct vc_error *err)
{
	struct e4_inode in;
	uint32_t i;

	for (i = 0; i < g->nr_inodes; i++, t->ino++) {
		if (i % E4_BLOCK_INODES == 0) {
			t->to = e4_block(t->fs,
					 g->inode_table + i / E4_BLOCK_INODES,
					 err);
			if (!t->to)
				return -1;
		}
		memset(&in, 0, sizeof(in));
		write_inode(t, g, t->ino, &in);
		memcpy(t->to + i % E4_BLOCK_INODES * sizeof(in), &in,
		       sizeof(in));
	}
	return 0;
}

int e4_write_inodes(struct e4 *fs, struct vc_error *err)
{
	struct table t = {
		.fs = fs,
		.next = fs->tree->root,
		.value = fs->values,
		.ino = 1,
	};
	uint32_t g;

	for (g = 0; g < fs->geo.nr_groups && fs->groups[g].nr_inodes; g++)
		if (write_table(&t, &fs->groups[g], err))
			return -1;
	return 0;
}
