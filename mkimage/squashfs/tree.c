/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inodes and directories. A directory tells where the inodes of what is in it
 * are, so these are written first: children before parents, each directory in
 * the order of its names, which is also the order the format wants. Inodes have
 * their numbers before that, along the same way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "mkimage/squashfs/fs.h"

static int compare_names(const void *a, const void *b)
{
	const struct dent *x = *(const struct dent *const *)a;
	const struct dent *y = *(const struct dent *const *)b;
	int rc = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

	return rc ? rc : (int)x->len - (int)y->len;
}

/* The names in `dir`, in order. */
static int sorted(const struct node *dir, struct dent ***ret, size_t *ret_nr,
		  struct vc_error *err)
{
	struct dent *d, **list;
	size_t nr = 0;

	for (d = dir->dir->first; d; d = d->next)
		nr += d->node != NULL;
	list = malloc((nr + 1) * sizeof(struct dent *));
	if (!list)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	nr = 0;
	for (d = dir->dir->first; d; d = d->next)
		if (d->node)
			list[nr++] = d;
	qsort(list, nr, sizeof(struct dent *), compare_names);
	*ret = list;
	*ret_nr = nr;
	return 0;
}

/* --- numbers -------------------------------------------------------------- */

/* Until then `ino` of a file says where its contents are. */
static void give_number(struct sq_fs *fs, struct node *n)
{
	if (n->type == NODE_FILE)
		n->ext.nr = n->ino;
	n->ino = ++fs->nr_inodes | SQ_NUMBERED;
	sq_set_ref(n, SQ_NOT_WRITTEN);
}

/* At most TREE_MAX_DEPTH deep, as write_dir(). */
static int number_dir(struct sq_fs *fs, const struct node *dir,
		      struct vc_error *err)
{
	vc_auto_free struct dent **list = NULL;
	size_t nr, i;

	if (sorted(dir, &list, &nr, err))
		return -1;
	for (i = 0; i < nr; i++)
		if (!(list[i]->node->ino & SQ_NUMBERED))
			give_number(fs, list[i]->node);
	for (i = 0; i < nr; i++)
		if (node_is_dir(list[i]->node) &&
		    number_dir(fs, list[i]->node, err))
			return -1;
	return 0;
}

/* --- inodes --------------------------------------------------------------- */

/* What all inodes have; writes it. */
static int write_inode(struct sq_fs *fs, struct node *n,
		       sqfs_inode_generic_t *in, struct vc_error *err)
{
	const uint32_t number = sq_number(n);
	uint64_t block;
	uint32_t offset;
	int rc;

	in->base.mode = n->mode;
	in->base.mod_time = time32_get(&fs->times, n->mtime);
	in->base.inode_number = number;
	rc = sqfs_id_table_id_to_index(fs->ids, n->uid, &in->base.uid_idx);
	if (!rc)
		rc = sqfs_id_table_id_to_index(fs->ids, n->gid,
					       &in->base.gid_idx);
	if (rc)
		return sq_fail(fs, rc, "owners and groups", err);
	sqfs_meta_writer_get_position(fs->inodes, &block, &offset);
	sq_set_ref(n, block << 16 | offset);
	rc = sqfs_meta_writer_write_inode(fs->inodes, in);
	return rc ? sq_fail(fs, rc, "inodes", err) : 0;
}

static uint32_t xattrs_of(const struct sq_fs *fs, const struct node *n)
{
	return n->xset ? fs->xattr_ids[n->xset - 1] : UINT32_MAX;
}

static int write_file(struct sq_fs *fs, struct node *n, struct vc_error *err)
{
	sqfs_inode_generic_t room, *in;
	int rc;

	in = sq_get_inode(fs->slots, n->ext.nr, n, &room);
	rc = sqfs_inode_set_xattr_index(in, xattrs_of(fs, n));
	if (!rc && n->nr_links > 1)
		rc = sqfs_inode_make_extended(in);
	if (rc)
		return sq_fail(fs, rc, "inodes", err);
	fs->nr_data += n->size_bytes;
	if (in->base.type == SQFS_INODE_EXT_FILE) {
		in->data.file_ext.nlink = n->nr_links;
		fs->nr_data -= in->data.file_ext.sparse;
	}
	return write_inode(fs, n, in, err);
}

static int write_special(struct sq_fs *fs, struct node *n, struct vc_error *err)
{
	const size_t len = n->type == NODE_SYMLINK ? (size_t)n->size_bytes : 0;
	vc_auto_free sqfs_inode_generic_t *in =
		calloc(1, sizeof(*in) + len + 1);

	if (!in)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	if (n->type == NODE_SYMLINK) {
		in->base.type = SQFS_INODE_SLINK;
		in->data.slink.nlink = n->nr_links;
		in->data.slink.target_size = (uint32_t)len;
		in->payload_bytes_available = (uint32_t)len;
		in->payload_bytes_used = (uint32_t)len;
		memcpy(in->extra, n->target, len);
	} else if (n->type == NODE_CHAR || n->type == NODE_BLOCK) {
		in->base.type = n->type == NODE_CHAR ? SQFS_INODE_CDEV
						     : SQFS_INODE_BDEV;
		in->data.dev.nlink = n->nr_links;
		in->data.dev.devno = node_device(n);
	} else {
		in->base.type = n->type == NODE_FIFO ? SQFS_INODE_FIFO
						     : SQFS_INODE_SOCKET;
		in->data.ipc.nlink = n->nr_links;
	}
	if (sqfs_inode_set_xattr_index(in, xattrs_of(fs, n)))
		return sq_fail(fs, SQFS_ERROR_INTERNAL, "inodes", err);
	return write_inode(fs, n, in, err);
}

/* --- directories ---------------------------------------------------------- */

static int write_dir_inode(struct sq_fs *fs, struct node *dir,
			   struct dent *const *list, size_t nr,
			   struct vc_error *err)
{
	/* nothing is above the root: a number that no inode has */
	const uint32_t parent = dir == fs->tree->root
					? fs->nr_inodes + 1
					: sq_number(dir->dir->parent);
	vc_auto_free sqfs_inode_generic_t *in = NULL;

	if (sq_write_names(fs, dir, list, nr, xattrs_of(fs, dir), parent, &in,
			   err))
		return -1;
	return write_inode(fs, dir, in, err);
}

static int write_dir(struct sq_fs *fs, struct node *dir, struct vc_error *err)
{
	vc_auto_free struct dent **list = NULL;
	struct node *n;
	size_t nr, i;
	int rc = 0;

	if (sorted(dir, &list, &nr, err))
		return -1;
	for (i = 0; !rc && i < nr; i++) {
		n = list[i]->node;
		if (sq_ref(n) != SQ_NOT_WRITTEN)
			continue;
		if (node_is_dir(n))
			rc = write_dir(fs, n, err);
		else if (n->type == NODE_FILE)
			rc = write_file(fs, n, err);
		else
			rc = write_special(fs, n, err);
	}
	return rc ? -1 : write_dir_inode(fs, dir, list, nr, err);
}

/* --- the tables ----------------------------------------------------------- */

static int flush_meta(struct sq_fs *fs)
{
	sqfs_super_t *s = &fs->super;
	sqfs_file_t *f = &fs->data.file->base;
	int rc = sqfs_meta_writer_flush(fs->inodes);

	if (!rc)
		rc = sqfs_meta_writer_flush(fs->dirs);
	if (rc)
		return rc;
	s->directory_table_start = f->get_size(f);
	rc = sqfs_meta_write_write_to_file(fs->dirs);
	if (rc)
		return rc;
	s->root_inode_ref = sq_ref(fs->tree->root);
	s->inode_count = fs->nr_inodes;
	rc = sqfs_frag_table_write(fs->data.frags, f, s, fs->cmp);
	if (!rc)
		rc = sq_write_exports(fs, f);
	if (!rc)
		rc = sqfs_id_table_write(fs->ids, f, s, fs->cmp);
	if (!rc)
		rc = sqfs_xattr_writer_flush(fs->xattrs, f, s, fs->cmp);
	return rc;
}

int sq_write_tree(struct sq_fs *fs, struct vc_error *err)
{
	sqfs_file_t *f = &fs->data.file->base;
	int rc;

	fs->inodes = sqfs_meta_writer_create(f, fs->cmp, 0);
	fs->dirs = sqfs_meta_writer_create(f, fs->cmp,
					   SQFS_META_WRITER_KEEP_IN_MEMORY);
	fs->ids = sqfs_id_table_create(0);
	fs->xattrs = sqfs_xattr_writer_create(0);
	if (!fs->inodes || !fs->dirs || !fs->ids || !fs->xattrs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	if (sq_add_xattrs(fs, err))
		return -1;
	give_number(fs, fs->tree->root);
	if (number_dir(fs, fs->tree->root, err))
		return -1;
	fs->super.inode_table_start = f->get_size(f);
	if (write_dir(fs, fs->tree->root, err))
		return -1;
	rc = flush_meta(fs);
	return rc ? sq_fail(fs, rc, "tables", err) : 0;
}
