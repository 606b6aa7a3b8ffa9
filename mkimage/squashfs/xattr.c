/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each set of attributes is handed to libsquashfs once. The format knows the
 * namespaces user, trusted and security: no POSIX ACLs, and nothing of the
 * kernel's own ("system"). What is left out is told with the first entry that
 * has it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/squashfs/fs.h"

static bool is_supported(const char *name)
{
	static const char *const prefixes[] = { "user.", "trusted.",
						"security." };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static int tell(struct sq_fs *fs, const struct xset *set, const char *name,
		const struct dent *d, struct vc_error *err)
{
	struct tree_shown path =
		d ? tree_show_path(fs->tree, d) : tree_show(".");
	char others[40] = "";

	if (set->nr_users > 1)
		snprintf(others, sizeof(others), " and %u more",
			 set->nr_users - 1);
	return warn_add(fs->warn, err,
			"entry '%s'%s: attribute '%s' left out: squashfs has "
			"no attributes of this kind",
			path.s, others, tree_show(name).s);
}

static int add_set(struct sq_fs *fs, uint32_t id, const struct dent *d,
		   struct vc_error *err)
{
	const struct xset *set = xset_get(&fs->tree->xsets, id);
	char name[XSET_MAX_NAME + 1];
	uint32_t i, nr = 0;
	int rc;

	rc = sqfs_xattr_writer_begin(fs->xattrs, 0);
	for (i = 0; !rc && i < set->nr; i++) {
		const struct xattr *a = &set->attr[i];

		memcpy(name, a->name, a->name_len);
		name[a->name_len] = '\0';
		if (!is_supported(name)) {
			if (tell(fs, set, name, d, err))
				return -1;
			continue;
		}
		nr++;
		rc = sqfs_xattr_writer_add(fs->xattrs, name, a->value,
					   a->value_len);
	}
	if (!rc)
		rc = sqfs_xattr_writer_end(fs->xattrs, &fs->xattr_ids[id - 1]);
	if (!nr)
		fs->xattr_ids[id - 1] = UINT32_MAX;
	return rc ? sq_fail(fs, rc, "attributes", err) : 0;
}

/* Of one name, the first that is met of its set. */
static int add_of(struct sq_fs *fs, const struct node *n, const struct dent *d,
		  uint8_t *is_done, struct vc_error *err)
{
	if (!n->xset || is_done[n->xset - 1])
		return 0;
	is_done[n->xset - 1] = 1;
	return add_set(fs, n->xset, d, err);
}

int sq_add_xattrs(struct sq_fs *fs, struct vc_error *err)
{
	const uint32_t nr = fs->tree->xsets.nr;
	vc_auto_free uint8_t *is_done = calloc(nr + 1, 1);
	const struct node *n;
	const struct dent *d;

	fs->xattr_ids = calloc(nr + 1, sizeof(*fs->xattr_ids));
	if (!is_done || !fs->xattr_ids)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	tree_count_xset_users(fs->tree);
	if (add_of(fs, fs->tree->root, NULL, is_done, err))
		return -1;
	for (n = fs->tree->root; n; n = n->next) {
		if (!node_is_dir(n) || !n->nr_links)
			continue;
		for (d = n->dir->first; d; d = d->next)
			if (d->node && add_of(fs, d->node, d, is_done, err))
				return -1;
	}
	return 0;
}
