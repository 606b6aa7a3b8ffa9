/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Owners, times and attributes of a folder's entries. The ids among them are
 * the host's: owners, and those in ACLs and capabilities, go through the maps.
 *
 * Attributes of what cannot be opened for reading (links, devices) are read
 * through an O_PATH descriptor's entry in /proc.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <vmmcore/endian.h>
#include "mkimage/source/dir.h"
#include "mkimage/source/meta.h"

#define MAX_XATTR_NAMES 65536 /* bytes, as the kernel */
#define CAPS_ROOTID offsetof(struct vfs_ns_cap_data, rootid)

/* --- owners --------------------------------------------------------------- */

static bool map_id(const struct id_map *map, uint32_t id, uint32_t *ret)
{
	const struct id_range *r;
	size_t i;

	*ret = id;
	for (i = 0; i < map->nr; i++) {
		r = &map->ranges[i];
		if (id < r->host || id - r->host >= r->count)
			continue;
		*ret = r->guest + (id - r->host);
		return true;
	}
	return !map->nr;
}

static int map_owner(const struct source_opts *o, const struct id_map *map,
		     uint32_t id, uint32_t other, const char *what,
		     uint32_t *ret, struct vc_error *err)
{
	/* without a map, everything has the one owner */
	if (o->has_owner && !map->nr) {
		*ret = other;
		return 0;
	}
	if (map_id(map, id, ret))
		return 0;
	if (!o->has_owner)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "%s %u: no map names it, and there is no "
			       "--owner",
			       what, id);
	*ret = other;
	return 0;
}

static uint32_t get_id(const uint8_t *p)
{
	le32_t v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static void put_id(uint8_t *p, uint32_t id)
{
	const le32_t v = le32_put(id);

	memcpy(p, &v, sizeof(v));
}

/* The ids in an ACL and in a capability are the host's as well. */
static int map_value(const struct source_opts *o, const char *name,
		     uint8_t *value, size_t len, struct vc_error *err)
{
	const struct id_map *map;
	uint32_t id;
	size_t at;

	if (!strcmp(name, "security.capability") && len == XATTR_CAPS_SZ_3 &&
	    (get_id(value) & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_3) {
		if (!map_id(&o->uids, get_id(value + CAPS_ROOTID), &id))
			return vc_fail(err, VC_E_CONFIG, 0,
				       "capabilities for the root %u: no map "
				       "names it",
				       get_id(value + CAPS_ROOTID));
		put_id(value + CAPS_ROOTID, id);
		return 0;
	}
	if (strcmp(name, ACL_XATTR_ACCESS) != 0 &&
	    strcmp(name, ACL_XATTR_DEFAULT) != 0)
		return 0;
	for (at = ACL_WIRE_BYTES(0); at + ACL_WIRE_ENTRY <= len;
	     at += ACL_WIRE_ENTRY) {
		if (value[at] != ACL_USER && value[at] != ACL_GROUP)
			continue;
		map = value[at] == ACL_USER ? &o->uids : &o->gids;
		if (!map_id(map, get_id(value + at + ACL_WIRE_ID), &id))
			return vc_fail(err, VC_E_CONFIG, 0,
				       "ACL for %u: no map names it",
				       get_id(value + at + ACL_WIRE_ID));
		put_id(value + at + ACL_WIRE_ID, id);
	}
	return 0;
}

/* --- attributes ----------------------------------------------------------- */

/* Names, each ended by NUL, of what `proc` stands for. */
static int list_xattrs(const char *proc, char **ret, size_t *ret_len,
		       struct vc_error *err)
{
	vc_auto_free char *names = NULL;
	ssize_t n = listxattr(proc, NULL, 0);

	*ret_len = 0;
	if (n < 0 && errno == ENOTSUP)
		return 0;
	if (n > 0) {
		names = malloc(MAX_XATTR_NAMES);
		if (!names)
			return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
		n = listxattr(proc, names, MAX_XATTR_NAMES);
	}
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "attributes: list");
	*ret = vc_steal_ptr(&names);
	*ret_len = (size_t)n;
	return 0;
}

static int read_xattr(const struct dir_meta *d, const char *proc,
		      const char *name, uint8_t **ret, size_t *ret_len,
		      struct vc_error *err)
{
	vc_auto_free uint8_t *value = NULL;
	ssize_t n = getxattr(proc, name, d->buf, XSET_MAX_VALUE);

	if (n < 0)
		return errno == ENODATA ? dir_changed(err)
					: vc_fail(err, VC_E_SYS, errno,
						  "attribute '%s': read",
						  tree_show(name).s);
	value = malloc((size_t)n + 1);
	if (!value)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
	memcpy(value, d->buf, (size_t)n);
	if (map_value(d->opts, name, value, (size_t)n, err))
		return -1;
	*ret = vc_steal_ptr(&value);
	*ret_len = (size_t)n;
	return 0;
}

/* How XFS keeps the ACLs, shown beside them to root: they are there already, and
 * other file systems have no such thing. */
static bool is_acl_of_xfs(const char *name)
{
	return !strcmp(name, "trusted.SGI_ACL_FILE") ||
	       !strcmp(name, "trusted.SGI_ACL_DEFAULT");
}

/* `names` is the list; there are no more than `max`. */
static int take_xattrs(const struct dir_meta *d, const char *proc,
		       const char *names, size_t len, struct meta_xattrs *x,
		       uint8_t **values, struct tree_meta *m,
		       struct vc_error *err)
{
	const char *name;
	size_t n = 0, i = 0;

	for (name = names; name < names + len; name += strlen(name) + 1, i++) {
		if (is_acl_of_xfs(name))
			continue;
		if (read_xattr(d, proc, name, &values[i], &n, err) ||
		    meta_add_xattr(d->b, x, name, values[i], n, m, err))
			return -1;
	}
	return xset_intern(&d->b->tree.xsets, &d->b->tree.arena, x->attrs,
			   x->nr, &m->xset, err);
}

static int get_xattrs(const struct dir_meta *d, int fd, mode_t mode,
		      struct tree_meta *m, struct vc_error *err)
{
	vc_auto_free struct xattr *attrs = NULL;
	vc_auto_free uint8_t **values = NULL;
	vc_auto_free char *names = NULL;
	struct meta_xattrs x = {
		.path = d->path,
		.is_symlink = S_ISLNK(mode),
		.is_dir = S_ISDIR(mode),
		.has_user = true, /* or it would not be there */
	};
	size_t len = 0, max = 0, i;
	char proc[40];
	int rc;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (list_xattrs(proc, &names, &len, err))
		return -1;
	for (i = 0; i < len; i++)
		max += !names[i];
	if (!max)
		return 0;
	if (max > XSET_MAX_ATTRS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d attributes",
			       XSET_MAX_ATTRS);
	attrs = calloc(max, sizeof(*attrs));
	values = calloc(max, sizeof(*values));
	if (!attrs || !values)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
	x.attrs = attrs;
	rc = take_xattrs(d, proc, names, len, &x, values, m, err);
	for (i = 0; i < max; i++)
		free(values[i]);
	return rc;
}

int dir_get_meta(const struct dir_meta *d, const struct stat *st, int fd,
		 struct tree_meta *ret, struct vc_error *err)
{
	const struct source_opts *o = d->opts;
	struct tree_meta m = { .mode = st->st_mode & 07777 };
	unsigned flags = 0;

	if (map_owner(o, &o->uids, st->st_uid, o->uid, "owner", &m.uid, err) ||
	    map_owner(o, &o->gids, st->st_gid, o->gid, "group", &m.gid, err) ||
	    meta_set_time(d->b, d->path, st->st_mtim.tv_sec,
			  st->st_mtim.tv_nsec, &m.mtime, err))
		return -1;
	m.atime = m.ctime = m.mtime;
	if ((S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) &&
	    !ioctl(fd, FS_IOC_GETFLAGS, &flags))
		m.flags = flags & META_USER_FLAGS;
	if (get_xattrs(d, fd, st->st_mode, &m, err))
		return -1;
	*ret = m;
	return 0;
}
