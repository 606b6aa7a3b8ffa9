/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sets of extended attributes, each distinct set stored once: an image with a
 * security label on every file has a handful of them.
 *
 * A set is sorted by name. POSIX ACLs are in it under their system.* names, in
 * the form getxattr(2) gives ("wire" form, version 2).
 */
#ifndef MKIMAGE_XSET_H
#define MKIMAGE_XSET_H

#include <vmmcore/error.h>
#include "mkimage/arena.h"

#define XSET_MAX_NAME 255 /* as the kernel */
#define XSET_MAX_VALUE 65536
#define XSET_MAX_ATTRS 4096
#define XSET_MAX_BYTES (UINT64_C(256) * 1024 * 1024) /* of all sets */

struct xattr {
	const char *name; /* with its namespace: "user.mime_type" */
	const uint8_t *value;
	uint32_t name_len, value_len;
};

struct xset {
	uint32_t nr;
	uint32_t nr_users; /* files; see tree_count_xset_users() */
	uint64_t hash;
	void *priv; /* the writer's; in the arena */
	struct xattr attr[];
};

struct xset_table {
	struct xset **sets; /* id - 1 */
	uint32_t nr, max;
	uint64_t bytes;
	uint32_t max_values; /* the writer's, see writer.h; ACLs do not count */
	uint32_t *slots;
	uint32_t nr_slots;
};

/* Find or add the set of `attrs`, which is sorted here (a repeated name: the
 * last one counts). Copies into `arena`. */
int xset_intern(struct xset_table *t, struct arena *arena, struct xattr *attrs,
		uint32_t nr, uint32_t *ret_id,
		struct vc_error *err) VC_MUST_CHECK;
static inline struct xset *xset_get(const struct xset_table *t, uint32_t id)
{
	return id ? t->sets[id - 1] : NULL;
}
void xset_table_fini(struct xset_table *t);

#endif
