/* SPDX-License-Identifier: BSD-3-Clause */
/* What an archive's entry says about its inode: owner, times, attributes. */
#ifndef MKIMAGE_SOURCE_META_H
#define MKIMAGE_SOURCE_META_H

#include "mkimage/build.h"

struct archive_entry;

struct entry_meta {
	struct tree_meta meta;
	struct named_acl *acls; /* owned: still without the node */
};

/* `format` is archive_format()'s. */
int entry_meta_get(struct build *b, struct archive_entry *e, int format,
		   struct entry_meta *ret, struct vc_error *err) VC_MUST_CHECK;
/* The node is there: hand it what needs one. */
int entry_meta_finish(struct build *b, struct node *n, struct entry_meta *m,
		      struct vc_error *err) VC_MUST_CHECK;
void entry_meta_fini(struct entry_meta *m);

#endif
