/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values of attributes that are too large for an inode and a block get an inode
 * of their own (the feature ea_inode), without a name, numbered after all the
 * files. How many refer to it stands where a file has its version and its time
 * of change, the checksum of the value where that of access is.
 */
#include <errno.h>
#include "mkimage/ext4/fs.h"

struct e4_value *e4_add_value(struct e4 *fs, const uint8_t *data, uint32_t len,
			      struct vc_error *err)
{
	struct e4_value *v = arena_alloc(&fs->tree->arena, sizeof(*v));

	if (!v) {
		vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
		return NULL;
	}
	v->data = data;
	v->len = len;
	v->hash = e4_crc32c(fs->csum_seed, data, len);
	v->ino = ++fs->nr_inodes;
	if (fs->last_value)
		fs->last_value->next = v;
	else
		fs->values = v;
	fs->last_value = v;
	return e4_write_own_file(fs, &v->ext, data, len, err) ? NULL : v;
}

void e4_fill_value_inode(const struct e4 *fs, const struct e4_value *v,
			 struct e4_inode *in)
{
	e4_fill_own_inode(fs, in, v->len, e4_count_blocks(&v->ext));
	in->flags = le32_put(E4_FL_EXTENTS | E4_FL_EA_INODE);
	in->atime = le32_put(v->hash);
	in->version_lo = le32_put(v->nr_refs);
	in->ctime = le32_put(0); /* the high half of the references */
	e4_fill_block(in->block, &v->ext, NULL);
}

void e4_free_values(struct e4 *fs)
{
	struct e4_value *v;

	/* they are the arena's */
	for (v = fs->values; v; v = v->next)
		extents_fini(&v->ext);
	fs->values = fs->last_value = NULL;
}
