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

#define NOT_WRITTEN UINT64_MAX

static const uint16_t type_bits[] = {
	[NODE_FILE] = S_IFREG,	  [NODE_DIR] = S_IFDIR,
	[NODE_SYMLINK] = S_IFLNK, [NODE_CHAR] = S_IFCHR,
	[NODE_BLOCK] = S_IFBLK,	  [NODE_FIFO] = S_IFIFO,
	[NODE_SOCKET] = S_IFSOCK,
};

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

/* --- numbers ------------------------------------------------------------------ */

/* Until then `ino` of a file says where its contents are. */
static void give_number(struct sq_fs *fs, struct node *n)
{
	fs->slot_of[fs->nr_inodes] = n->type == NODE_FILE ? n->ino : 0;
	n->ino = ++fs->nr_inodes | SQ_NUMBERED;
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

static int number_all(struct sq_fs *fs, struct vc_error *err)
{
	const struct node *n;
	uint32_t nr = 0, i;

	for (n = fs->tree->root; n; n = n->next)
		nr += n->nr_links > 0;
	fs->slot_of = calloc(nr, sizeof(*fs->slot_of));
	fs->inode_refs = calloc(nr, sizeof(*fs->inode_refs));
	if (!fs->slot_of || !fs->inode_refs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	for (i = 0; i < nr; i++)
		fs->inode_refs[i] = NOT_WRITTEN;
	give_number(fs, fs->tree->root);
	return number_dir(fs, fs->tree->root, err);
}

/* --- inodes -------------------------------------------------------------------- */

uint32_t sq_time(struct sq_fs *fs, int64_t sec)
{
	if (sec >= 0 && sec <= UINT32_MAX)
		return (uint32_t)sec;
	fs->nr_clamped++;
	return sec < 0 ? 0 : UINT32_MAX;
}

/* What all inodes have; writes it. */
static int write_inode(struct sq_fs *fs, const struct node *n,
		       sqfs_inode_generic_t *in, struct vc_error *err)
{
	const uint32_t number = sq_number(n);
	uint64_t block;
	uint32_t offset;
	int rc;

	fs->nr_fractions += n->mtime.nsec != 0;
	in->base.mode = n->mode;
	in->base.mod_time = sq_time(fs, n->mtime.sec);
	in->base.inode_number = number;
	rc = sqfs_id_table_id_to_index(fs->ids, n->uid, &in->base.uid_idx);
	if (!rc)
		rc = sqfs_id_table_id_to_index(fs->ids, n->gid,
					       &in->base.gid_idx);
	if (rc)
		return sq_fail(fs, rc, "owners and groups", err);
	sqfs_meta_writer_get_position(fs->inodes, &block, &offset);
	fs->inode_refs[number - 1] = block << 16 | offset;
	rc = sqfs_meta_writer_write_inode(fs->inodes, in);
	return rc ? sq_fail(fs, rc, "inodes", err) : 0;
}

static uint32_t xattrs_of(const struct sq_fs *fs, const struct node *n)
{
	return n->xset ? fs->xattr_ids[n->xset - 1] : UINT32_MAX;
}

static int write_file(struct sq_fs *fs, const struct node *n,
		      struct vc_error *err)
{
	sqfs_inode_generic_t room, *in;
	int rc;

	in = sq_get_inode(fs->slots, fs->slot_of[sq_number(n) - 1], n, &room);
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

static uint32_t dev_number(const struct node *n)
{
	return (n->dev.minor & 0xff) | n->dev.major << 8 |
	       (n->dev.minor & ~0xffu) << 12;
}

static int write_special(struct sq_fs *fs, const struct node *n,
			 struct vc_error *err)
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
		in->data.dev.devno = dev_number(n);
	} else {
		in->base.type = n->type == NODE_FIFO ? SQFS_INODE_FIFO
						     : SQFS_INODE_SOCKET;
		in->data.ipc.nlink = n->nr_links;
	}
	if (sqfs_inode_set_xattr_index(in, xattrs_of(fs, n)))
		return sq_fail(fs, SQFS_ERROR_INTERNAL, "inodes", err);
	return write_inode(fs, n, in, err);
}

/* --- directories ----------------------------------------------------------------- */

static int write_names(struct sq_fs *fs, struct dent **list, size_t nr,
		       struct vc_error *err)
{
	char name[TREE_MAX_NAME + 1];
	const struct node *n;
	size_t i;
	int rc;

	rc = sqfs_dir_writer_begin(fs->dir_writer, 0);
	for (i = 0; !rc && i < nr; i++) {
		n = list[i]->node;
		memcpy(name, list[i]->name, list[i]->len);
		name[list[i]->len] = '\0';
		rc = sqfs_dir_writer_add_entry(
			fs->dir_writer, name, sq_number(n),
			fs->inode_refs[sq_number(n) - 1],
			(uint16_t)(type_bits[n->type] | n->mode));
	}
	if (!rc)
		rc = sqfs_dir_writer_end(fs->dir_writer);
	return rc ? sq_fail(fs, rc, "directories", err) : 0;
}

static int write_dir_inode(struct sq_fs *fs, const struct node *dir,
			   struct vc_error *err)
{
	const uint32_t nr_links = 2 + dir->dir->nr_subdirs;
	/* nothing is above the root: a number that no inode has */
	const uint32_t parent = dir == fs->tree->root
					? fs->nr_inodes + 1
					: sq_number(dir->dir->parent);
	sqfs_inode_generic_t *in;
	int rc;

	in = sqfs_dir_writer_create_inode(fs->dir_writer, nr_links,
					  xattrs_of(fs, dir), parent);
	if (!in)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	if (in->base.type == SQFS_INODE_EXT_DIR)
		in->data.dir_ext.nlink = nr_links;
	else
		in->data.dir.nlink = nr_links;
	rc = write_inode(fs, dir, in, err);
	sqfs_free(in);
	return rc;
}

static int write_dir(struct sq_fs *fs, const struct node *dir,
		     struct vc_error *err)
{
	vc_auto_free struct dent **list = NULL;
	const struct node *n;
	size_t nr, i;
	int rc = 0;

	if (sorted(dir, &list, &nr, err))
		return -1;
	for (i = 0; !rc && i < nr; i++) {
		n = list[i]->node;
		if (fs->inode_refs[sq_number(n) - 1] != NOT_WRITTEN)
			continue;
		if (node_is_dir(n))
			rc = write_dir(fs, n, err);
		else if (n->type == NODE_FILE)
			rc = write_file(fs, n, err);
		else
			rc = write_special(fs, n, err);
	}
	if (rc || write_names(fs, list, nr, err))
		return -1;
	return write_dir_inode(fs, dir, err);
}

/* --- the tables --------------------------------------------------------------------- */

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
	s->root_inode_ref = fs->inode_refs[0];
	s->inode_count = fs->nr_inodes;
	rc = sqfs_frag_table_write(fs->data.frags, f, s, fs->cmp);
	if (!rc)
		rc = sqfs_dir_writer_write_export_table(
			fs->dir_writer, f, fs->cmp, sq_number(fs->tree->root),
			s->root_inode_ref, s);
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
	if (fs->dirs)
		fs->dir_writer = sqfs_dir_writer_create(
			fs->dirs, SQFS_DIR_WRITER_CREATE_EXPORT_TABLE);
	if (!fs->inodes || !fs->dir_writer || !fs->ids || !fs->xattrs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	if (sq_add_xattrs(fs, err) || number_all(fs, err))
		return -1;
	fs->super.inode_table_start = f->get_size(f);
	if (write_dir(fs, fs->tree->root, err))
		return -1;
	rc = flush_meta(fs);
	return rc ? sq_fail(fs, rc, "tables", err) : 0;
}
