/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories: the names of each in order, in runs that share a header, as the
 * inodes of a run lie in one block and have numbers close to each other. A run
 * does not cross a block of its own table, so that the index of a large
 * directory, which has the first name of each run, leads to where to start.
 *
 * libsquashfs has a writer of directories as well. It copies all names of one
 * and keeps where every inode is, 80 bytes for each of a million files in one
 * folder; here the names are those of the tree.
 */
#include <errno.h>
#include <sqfs/block.h>
#include <sqfs/dir.h>
#include <sqfs/table.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/squashfs/fs.h"

#define MAX_INDEX UINT16_MAX /* the field's; what has none is found as well */
#define SIZE_MORE 3	     /* the size of a directory is more by that */

/* One that is being written. */
struct listing {
	uint64_t ref; /* where it begins */
	size_t size;
	uint8_t *index; /* owned: sqfs_dir_index_t, each with its name */
	size_t index_len, index_max;
	uint16_t nr_index;
};

static uint16_t type_of(const struct node *n)
{
	static const uint16_t types[] = {
		[NODE_FILE] = SQFS_INODE_FILE,
		[NODE_DIR] = SQFS_INODE_DIR,
		[NODE_SYMLINK] = SQFS_INODE_SLINK,
		[NODE_CHAR] = SQFS_INODE_CDEV,
		[NODE_BLOCK] = SQFS_INODE_BDEV,
		[NODE_FIFO] = SQFS_INODE_FIFO,
		[NODE_SOCKET] = SQFS_INODE_SOCKET,
	};

	return types[n->type];
}

/* How many of `list` have one header, which goes to `offset` in its block. */
static size_t count_run(struct dent *const *list, size_t nr, uint32_t offset)
{
	const uint64_t block = sq_ref(list[0]->node) >> 16;
	const int64_t first = sq_number(list[0]->node);
	size_t size, i;
	int64_t diff;

	size = (offset + sizeof(sqfs_dir_header_t)) % SQFS_META_BLOCK_SIZE;
	for (i = 0; i < nr && i < SQFS_MAX_DIR_ENT; i++) {
		diff = sq_number(list[i]->node) - first;
		size += sizeof(sqfs_dir_entry_t) + list[i]->len;
		if (sq_ref(list[i]->node) >> 16 != block || diff > INT16_MAX ||
		    diff < -INT16_MAX || (i && size > SQFS_META_BLOCK_SIZE))
			break;
	}
	return i;
}

static int add_index(struct listing *l, const struct dent *first,
		     uint64_t block)
{
	const sqfs_dir_index_t entry = {
		.index = (uint32_t)l->size,
		.start_block = (uint32_t)block,
		.size = first->len - 1u,
	};
	const size_t need = l->index_len + sizeof(entry) + first->len;
	uint8_t *more;

	if (l->nr_index == MAX_INDEX)
		return 0;
	if (need > l->index_max) {
		more = realloc(l->index, 2 * need);
		if (!more)
			return SQFS_ERROR_ALLOC;
		l->index = more;
		l->index_max = 2 * need;
	}
	memcpy(l->index + l->index_len, &entry, sizeof(entry));
	memcpy(l->index + l->index_len + sizeof(entry), first->name,
	       first->len);
	l->index_len = need;
	l->nr_index++;
	return 0;
}

/* Returns an error of libsquashfs, which writes what is little-endian. */
static int put_run(struct sq_fs *fs, struct listing *l,
		   struct dent *const *list, size_t nr)
{
	struct {
		le32_t count, start_block, number;
	} head = {
		le32_put((uint32_t)nr - 1),
		le32_put((uint32_t)(sq_ref(list[0]->node) >> 16)),
		le32_put(sq_number(list[0]->node)),
	};
	struct {
		le16_t offset, diff, type, size;
	} entry;
	const struct node *n;
	size_t i;
	int rc;

	_Static_assert(sizeof(head) == sizeof(sqfs_dir_header_t), "format");
	_Static_assert(sizeof(entry) == sizeof(sqfs_dir_entry_t), "format");
	rc = sqfs_meta_writer_append(fs->dirs, &head, sizeof(head));
	l->size += sizeof(head);
	for (i = 0; !rc && i < nr; i++) {
		n = list[i]->node;
		entry.offset = le16_put((uint16_t)(sq_ref(n) & 0xffff));
		entry.diff = le16_put(
			(uint16_t)(sq_number(n) - sq_number(list[0]->node)));
		entry.type = le16_put(type_of(n));
		entry.size = le16_put((uint16_t)(list[i]->len - 1));
		rc = sqfs_meta_writer_append(fs->dirs, &entry, sizeof(entry));
		if (!rc)
			rc = sqfs_meta_writer_append(fs->dirs, list[i]->name,
						     list[i]->len);
		l->size += sizeof(entry) + list[i]->len;
	}
	return rc;
}

static int put_names(struct sq_fs *fs, struct listing *l,
		     struct dent *const *list, size_t nr)
{
	uint64_t block;
	uint32_t offset;
	size_t at, n;
	int rc = 0;

	sqfs_meta_writer_get_position(fs->dirs, &block, &offset);
	l->ref = block << 16 | offset;
	for (at = 0; !rc && at < nr; at += n) {
		sqfs_meta_writer_get_position(fs->dirs, &block, &offset);
		n = count_run(list + at, nr - at, offset);
		rc = add_index(l, list[at], block);
		if (!rc)
			rc = put_run(fs, l, list + at, n);
	}
	return rc;
}

static sqfs_inode_generic_t *make_inode(const struct listing *l,
					const struct node *dir, uint32_t xattrs,
					uint32_t parent)
{
	const uint32_t nr_links = 2 + dir->dir->nr_subdirs;
	sqfs_inode_generic_t *in = calloc(1, sizeof(*in) + l->index_len);

	if (!in)
		return NULL;
	if (xattrs == UINT32_MAX && l->size + SIZE_MORE <= UINT16_MAX) {
		in->base.type = SQFS_INODE_DIR;
		in->data.dir = (sqfs_inode_dir_t){
			.start_block = (uint32_t)(l->ref >> 16),
			.nlink = nr_links,
			.size = (uint16_t)(l->size + SIZE_MORE),
			.offset = (uint16_t)(l->ref & 0xffff),
			.parent_inode = parent,
		};
		return in;
	}
	in->base.type = SQFS_INODE_EXT_DIR;
	in->data.dir_ext = (sqfs_inode_dir_ext_t){
		.nlink = nr_links,
		.size = (uint32_t)l->size + SIZE_MORE,
		.start_block = (uint32_t)(l->ref >> 16),
		.parent_inode = parent,
		.inodex_count = l->nr_index,
		.offset = (uint16_t)(l->ref & 0xffff),
		.xattr_idx = xattrs,
	};
	if (l->index_len)
		memcpy(in->extra, l->index, l->index_len);
	in->payload_bytes_available = (uint32_t)l->index_len;
	in->payload_bytes_used = (uint32_t)l->index_len;
	return in;
}

int sq_write_names(struct sq_fs *fs, const struct node *dir,
		   struct dent *const *list, size_t nr, uint32_t xattrs,
		   uint32_t parent, sqfs_inode_generic_t **ret,
		   struct vc_error *err)
{
	struct listing l = { 0 };
	int rc = put_names(fs, &l, list, nr);

	if (!rc && l.size > UINT32_MAX - SIZE_MORE)
		rc = SQFS_ERROR_OVERFLOW;
	if (!rc) {
		*ret = make_inode(&l, dir, xattrs, parent);
		rc = *ret ? 0 : SQFS_ERROR_ALLOC;
	}
	free(l.index);
	return rc ? sq_fail(fs, rc, "directories", err) : 0;
}

int sq_write_exports(struct sq_fs *fs, sqfs_file_t *f)
{
	le64_t *refs = calloc(fs->nr_inodes, sizeof(*refs));
	const struct node *n;
	int rc;

	if (!refs)
		return SQFS_ERROR_ALLOC;
	for (n = fs->tree->root; n; n = n->next)
		if (n->ino & SQ_NUMBERED)
			refs[sq_number(n) - 1] = le64_put(sq_ref(n));
	fs->super.flags |= SQFS_FLAG_EXPORTABLE;
	rc = sqfs_write_table(f, fs->cmp, refs, fs->nr_inodes * sizeof(*refs),
			      &fs->super.export_table_start);
	free(refs);
	return rc;
}
