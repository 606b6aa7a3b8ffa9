/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the squashfs writer share. See fs.c for how it works. */
#ifndef MKIMAGE_SQUASHFS_FS_H
#define MKIMAGE_SQUASHFS_FS_H

#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <vmmcore/util.h>
#include "mkimage/hash.h"
#include "mkimage/squashfs/squashfs.h"
#include "mkimage/time32.h"

/* --- file.c: where libsquashfs writes to ---------------------------------- */

struct sq_file {
	sqfs_file_t base;
	struct out *out;	 /* borrowed; or NULL: `temp` */
	struct vc_outfile *temp; /* owned */
	uint64_t size;
	uint64_t high;	/* the largest size it ever had */
	uint64_t start; /* of what is in `buf`, which ends at `size` */
	uint8_t *buf;
	struct xxh64 sum;    /* of all that was written */
	struct vc_error err; /* the first one */
};

int sq_file_new(struct out *out, struct vc_outfile *temp, struct sq_file **ret,
		struct vc_error *err) VC_MUST_CHECK;
int sq_file_flush(struct sq_file *f);

/* --- data.c: contents ----------------------------------------------------- */

/* The contents of one file. libsquashfs may write to *inode until it is told
 * to finish, whatever has become of the file. */
struct sq_slot {
	sqfs_inode_generic_t *inode; /* owned */
	struct node *node;	     /* NULL: dropped */
};

/* What makes blocks of contents in one file. */
struct sq_data {
	struct sq_file *file;
	sqfs_block_writer_t *writer;
	sqfs_frag_table_t *frags;
	sqfs_block_processor_t *proc;
};

struct sq_fs {
	struct writer base;
	struct out *out;       /* borrowed */
	struct warnings *warn; /* borrowed */
	struct squashfs_opts opts;
	sqfs_super_t super;
	sqfs_compressor_t *cmp, *uncmp;
	uint64_t data_start; /* the first byte of contents */
	struct sq_data data;
	sqfs_data_reader_t *reader; /* after finish() */

	struct sq_slot **slots; /* by node.ino - 1; each in memory of its own */
	uint32_t nr_slots, max_slots;
	uint32_t nr_settled; /* those before it stay */
	bool has_dropped;

	struct node *file; /* whose contents come now */
	uint64_t file_pos;

	/* the layout; see tree.c */
	struct tree *tree; /* during finish(); borrowed */
	sqfs_meta_writer_t *inodes, *dirs;
	sqfs_id_table_t *ids;
	sqfs_xattr_writer_t *xattrs;
	uint32_t *xattr_ids; /* by xset id - 1 */
	uint32_t nr_inodes;
	uint64_t nr_data;
	struct time32_losses times;
};

static inline struct sq_fs *to_sq(struct writer *w)
{
	return vc_container_of(w, struct sq_fs, base);
}

/* A node.ino that is no slot: where the contents are is in node.ext, as most
 * files have no blocks of their own, only a fragment. */
#define SQ_SETTLED (UINT32_MAX >> 1)
/* A node.ino with this bit is the number of the inode; what a file had there
 * before is in node.ext.nr then. */
#define SQ_NUMBERED (UINT32_C(1) << 31)
static inline uint32_t sq_number(const struct node *n)
{
	return n->ino & ~SQ_NUMBERED;
}

/* Where its inode is: block and offset, once it has been written. It has a place
 * in the node: a table would be in memory beside the names of a folder. */
#define SQ_NOT_WRITTEN UINT64_MAX
static inline uint64_t sq_ref(const struct node *n)
{
	return n->type == NODE_FILE ? n->ref : n->ext.first.physical;
}

static inline void sq_set_ref(struct node *n, uint64_t ref)
{
	if (n->type == NODE_FILE)
		n->ref = ref;
	else
		n->ext.first.physical = ref;
}

/* What the return value of libsquashfs means. */
int sq_fail(const struct sq_fs *fs, int code, const char *what,
	    struct vc_error *err);

/* The same of a return value that may be 0 though a write has failed. */
int sq_check(const struct sq_fs *fs, int code, const char *what,
	     struct vc_error *err) VC_MUST_CHECK;

/* --- compress.c: 0 or an error of libsquashfs; sqfs_destroy() ends it */
int sq_compressor_new(const sqfs_compressor_config_t *cfg,
		      sqfs_compressor_t **ret) VC_MUST_CHECK;

int sq_data_open(struct sq_fs *fs, struct sq_file *file,
		 struct vc_error *err) VC_MUST_CHECK; /* owned */
void sq_data_close(struct sq_data *d);
void sq_free_slots(struct sq_slot **slots, uint32_t nr);
/* The inode of a file, in its slot or made in `room`. */
sqfs_inode_generic_t *sq_get_inode(struct sq_slot **slots, uint32_t slot,
				   const struct node *n,
				   sqfs_inode_generic_t *room);
/* Wait for all contents; take out what was dropped. */
int sq_data_finish(struct sq_fs *fs, struct vc_error *err) VC_MUST_CHECK;
int sq_file_begin(struct writer *w, struct node *n, struct vc_error *err);
int sq_file_data(struct writer *w, uint64_t offset, const void *data,
		 size_t len, struct vc_error *err);
int sq_file_end(struct writer *w, struct vc_error *err);
void sq_file_drop(struct writer *w, struct node *n);
int sq_file_read(struct writer *w, const struct node *n, uint64_t offset,
		 void *data, size_t len, struct vc_error *err);

/* --- tree.c: all but contents --------------------------------------------- */

int sq_write_tree(struct sq_fs *fs, struct vc_error *err) VC_MUST_CHECK;

/* --- dir.c: a directory. Its inode lacks what those of all kinds have, and is
 * the caller's to free */
int sq_write_names(struct sq_fs *fs, const struct node *dir,
		   struct dent *const *list, size_t nr, uint32_t xattrs,
		   uint32_t parent, sqfs_inode_generic_t **ret,
		   struct vc_error *err) VC_MUST_CHECK;
/* The table of where inodes are. */
int sq_write_exports(struct sq_fs *fs, sqfs_file_t *f) VC_MUST_CHECK;
/* --- xattr.c: the attributes, and what of them squashfs cannot have */
int sq_add_xattrs(struct sq_fs *fs, struct vc_error *err) VC_MUST_CHECK;

#endif
