/* SPDX-License-Identifier: BSD-3-Clause */
/* What an entry says about its inode: owner, times, attributes. */
#ifndef MKIMAGE_SOURCE_META_H
#define MKIMAGE_SOURCE_META_H

#include <linux/fs.h>
#include "mkimage/build.h"

struct archive_entry;

/* The flags a user may set and a file system does not keep for itself. */
#define META_USER_FLAGS                                               \
	(FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | \
	 FS_NOATIME_FL | FS_DIRSYNC_FL | FS_TOPDIR_FL)

/* --- of any source --- */

/* Note a time of the entry `path`: clamped, with a warning, to what ext4 has
 * and to SOURCE_DATE_EPOCH. */
int meta_set_time(struct build *b, const char *path, int64_t sec, long nsec,
		  struct tree_time *ret, struct vc_error *err) VC_MUST_CHECK;

struct meta_xattrs {
	const char *path; /* of the entry */
	bool is_symlink, is_dir;
	bool has_user; /* a file or directory: Linux has "user." of no other */
	struct xattr *attrs; /* with room for one more */
	uint32_t nr;
};

/* Check an attribute and, if the image keeps it, add it to `x`; name and value
 * are borrowed. An ACL changes the mode in `m`. */
int meta_add_xattr(struct build *b, struct meta_xattrs *x, const char *name,
		   const void *value, size_t len, struct tree_meta *m,
		   struct vc_error *err) VC_MUST_CHECK;

/* --- of an archive's --- */

struct entry_meta {
	struct tree_meta meta;
	struct named_acl *acls; /* owned: still without the node */
};

int entry_meta_get(struct build *b, struct archive_entry *e,
		   struct entry_meta *ret, struct vc_error *err) VC_MUST_CHECK;
/* The node is there: hand it what needs one. */
int entry_meta_finish(struct build *b, struct node *n, struct entry_meta *m,
		      struct vc_error *err) VC_MUST_CHECK;
void entry_meta_fini(struct entry_meta *m);

#endif
