/* SPDX-License-Identifier: BSD-3-Clause */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vmmcore/bytes.h>
#include "mkimage/bytes.h"
#include "mkimage/source/meta.h"

/* --- times --------------------------------------------------------------- */

int meta_set_time(struct build *b, const char *path, int64_t sec, long nsec,
		  struct tree_time *ret, struct vc_error *err)
{
	if (sec < BUILD_MIN_TIME || sec > BUILD_MAX_TIME) {
		if (warn_add(&b->warn, err,
			     "entry '%s': time %lld changed to the %s ext4 has",
			     tree_show(path).s, (long long)sec,
			     sec < 0 ? "first" : "last"))
			return -1;
		sec = sec < 0 ? BUILD_MIN_TIME : BUILD_MAX_TIME;
		nsec = 0;
	}
	if (!b->has_time || sec > b->max_time)
		b->max_time = sec;
	b->has_time = true;
	if (b->has_epoch && sec >= b->epoch) {
		sec = b->epoch;
		nsec = 0;
	}
	*ret = (struct tree_time){ sec, (uint32_t)nsec };
	return 0;
}

static int get_time(struct build *b, struct archive_entry *e, int64_t sec,
		    long nsec, struct tree_time *ret, struct vc_error *err)
{
	return meta_set_time(b, archive_entry_pathname(e), sec, nsec, ret, err);
}

static int get_times(struct build *b, struct archive_entry *e,
		     struct tree_meta *m, struct vc_error *err)
{
	if (get_time(b, e, archive_entry_mtime(e), archive_entry_mtime_nsec(e),
		     &m->mtime, err))
		return -1;
	m->atime = m->ctime = m->mtime;
	if (archive_entry_atime_is_set(e) &&
	    get_time(b, e, archive_entry_atime(e), archive_entry_atime_nsec(e),
		     &m->atime, err))
		return -1;
	if (archive_entry_ctime_is_set(e) &&
	    get_time(b, e, archive_entry_ctime(e), archive_entry_ctime_nsec(e),
		     &m->ctime, err))
		return -1;
	m->has_btime = archive_entry_birthtime_is_set(e);
	if (m->has_btime &&
	    get_time(b, e, archive_entry_birthtime(e),
		     archive_entry_birthtime_nsec(e), &m->btime, err))
		return -1;
	return 0;
}

/* --- ACLs ---------------------------------------------------------------- */

static uint16_t tag_of(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return ACL_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER:
		return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK:
		return ACL_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return ACL_OTHER;
	default:
		return 0;
	}
}

static int add_acl_entry(struct named_acl *acl, int tag, int perm, int id,
			 const char *name, struct vc_error *err)
{
	struct acl_entry *e = &acl->entries[acl->nr];

	*e = (struct acl_entry){ tag_of(tag), (uint16_t)(perm & 7),
				 (uint32_t)id };
	if (!e->tag)
		return 0;
	if ((e->tag == ACL_USER || e->tag == ACL_GROUP) && id == -1) {
		if (!name || !*name)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "ACL entry for nobody");
		acl->names[acl->nr] = strdup(name);
		if (!acl->names[acl->nr])
			return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	}
	acl->nr++;
	return 0;
}

static int get_acl(struct archive_entry *e, bool is_default,
		   struct entry_meta *m, struct vc_error *err)
{
	int want = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT
			      : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	int nr = archive_entry_acl_reset(e, want);
	int type, perm, tag, id;
	struct named_acl *acl;
	const char *name;

	if (nr > ACL_MAX_ENTRIES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "ACL with more than %d entries",
			       ACL_MAX_ENTRIES);
	if (nr <= 0)
		return 0;
	acl = calloc(1, sizeof(*acl));
	if (!acl)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	acl->next = m->acls;
	m->acls = acl;
	acl->is_default = is_default;
	/* three more for the base entries, one for a mask */
	acl->entries = calloc((size_t)nr + 4, sizeof(*acl->entries));
	acl->names = calloc((size_t)nr + 4, sizeof(*acl->names));
	acl->path = strdup(tree_show(archive_entry_pathname(e)).s);
	if (!acl->entries || !acl->names || !acl->path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	while (archive_entry_acl_next(e, want, &type, &perm, &tag, &id,
				      &name) == ARCHIVE_OK) {
		if (acl->nr == (size_t)nr + 3)
			break;
		if (add_acl_entry(acl, tag, perm, id, name, err))
			return -1;
	}
	return 0;
}

static int warn_acl(struct build *b, const char *path, bool is_default,
		    struct vc_error *err)
{
	return warn_add(&b->warn, err, "entry '%s': %s left out: %s",
			tree_show(path).s, is_default ? "default ACL" : "ACL",
			is_default ? "only a directory has one"
				   : "a symbolic link has none");
}

static int get_acls(struct build *b, struct archive_entry *e,
		    struct entry_meta *m, struct vc_error *err)
{
	const int types = archive_entry_acl_types(e);
	const mode_t kind = archive_entry_filetype(e);

	if (kind != S_IFDIR && types & ARCHIVE_ENTRY_ACL_TYPE_DEFAULT &&
	    warn_acl(b, archive_entry_pathname(e), true, err))
		return -1;
	if (kind == S_IFLNK)
		return types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS
			       ? warn_acl(b, archive_entry_pathname(e), false,
					  err)
			       : 0;
	if (types & ARCHIVE_ENTRY_ACL_TYPE_NFS4)
		return warn_add(&b->warn, err, "entry '%s': NFSv4 ACL left out",
				tree_show(archive_entry_pathname(e)).s);
	/* without a SCHILY.acl.* record there are only the mode's three */
	if (types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS &&
	    archive_entry_acl_count(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS) > 3 &&
	    get_acl(e, false, m, err))
		return -1;
	return kind == S_IFDIR ? get_acl(e, true, m, err) : 0;
}

/* --- attributes ---------------------------------------------------------- */

static bool is_kept(const char *name)
{
	static const char *const spaces[] = { "user.", "trusted.",
					      "security." };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(spaces); i++)
		if (starts_with(name, spaces[i]) && name[strlen(spaces[i])])
			return true;
	return !strcmp(name, ACL_XATTR_ACCESS) ||
	       !strcmp(name, ACL_XATTR_DEFAULT);
}

/* An ACL given as the attribute's bytes: checked here, once. */
static int check_acl(const struct meta_xattrs *x, const char *name,
		     const uint8_t *value, size_t len, struct tree_meta *m,
		     bool *ret_keep, bool *ret_misplaced, struct vc_error *err)
{
	bool is_access = !strcmp(name, ACL_XATTR_ACCESS);
	vc_auto_free struct acl_entry *acl = NULL;
	size_t nr, given;

	*ret_keep = true;
	*ret_misplaced = false;
	if (!is_access && strcmp(name, ACL_XATTR_DEFAULT) != 0)
		return 0;
	acl = calloc(ACL_MAX_ENTRIES + 1, sizeof(*acl));
	if (!acl)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	if (acl_from_wire(value, len, acl, ACL_MAX_ENTRIES, &nr, err))
		return -1;
	given = nr;
	*ret_misplaced = nr > 0 && (is_access ? x->is_symlink : !x->is_dir);
	*ret_keep = nr > 0 && !*ret_misplaced;
	if (!*ret_keep)
		return 0;
	if (acl_normalize(acl, &nr, err))
		return -1;
	if (nr != given)
		return vc_fail(err, VC_E_CORRUPT, 0, "ACL without a mask");
	if (is_access) {
		m->mode = (uint16_t)((m->mode & 07000) | acl_mode(acl, nr));
		*ret_keep = !acl_is_mode(nr);
	}
	return 0;
}

/* What the kernel takes for capabilities: a version, and its size. */
static bool is_capability(const uint8_t *value, size_t len)
{
	struct vc_bytes c = vc_bytes_init(value, len);
	uint32_t magic = 0;

	vc_bytes_get_le32(&c, &magic);
	switch (magic & VFS_CAP_REVISION_MASK) {
	case VFS_CAP_REVISION_1:
		return len == XATTR_CAPS_SZ_1;
	case VFS_CAP_REVISION_2:
		return len == XATTR_CAPS_SZ_2;
	case VFS_CAP_REVISION_3:
		return len == XATTR_CAPS_SZ_3;
	default:
		return false;
	}
}

int meta_add_xattr(struct build *b, struct meta_xattrs *x, const char *name,
		   const void *value, size_t len, struct tree_meta *m,
		   struct vc_error *err)
{
	bool keep, is_misplaced;

	if (!is_kept(name))
		return warn_add(&b->warn, err,
				"entry '%s': attribute '%s' left out: ext4 has "
				"no place for its kind",
				tree_show(x->path).s, tree_show(name).s);
	if (!x->has_user && starts_with(name, "user."))
		return warn_add(&b->warn, err,
				"entry '%s': attribute '%s' left out: Linux "
				"has it of files and directories only",
				tree_show(x->path).s, tree_show(name).s);
	if (strlen(name) > XSET_MAX_NAME || len > XSET_MAX_VALUE)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "attribute '%s': name or value too long",
			       tree_show(name).s);
	if (!strcmp(name, "security.capability") && !is_capability(value, len))
		return warn_add(&b->warn, err,
				"entry '%s': attribute '%s' left out: not what "
				"Linux takes for capabilities",
				tree_show(x->path).s, name);
	if (check_acl(x, name, value, len, m, &keep, &is_misplaced, err))
		return vc_prefix(err, "attribute '%s'", name);
	if (is_misplaced)
		return warn_acl(b, x->path, strcmp(name, ACL_XATTR_ACCESS) != 0,
				err);
	if (keep)
		x->attrs[x->nr++] = (struct xattr){
			.name = name,
			.value = value,
			.name_len = (uint32_t)strlen(name),
			.value_len = (uint32_t)len,
		};
	return 0;
}

/* libarchive's list has the last first, and of two of a name the last counts. */
static void turn_round(struct xattr *a, uint32_t nr)
{
	struct xattr x;
	uint32_t i;

	for (i = 0; i < nr / 2; i++) {
		x = a[i];
		a[i] = a[nr - 1 - i];
		a[nr - 1 - i] = x;
	}
}

static int get_xattrs(struct build *b, struct archive_entry *e,
		      struct tree_meta *m, struct vc_error *err)
{
	int i, count = archive_entry_xattr_reset(e);
	vc_auto_free struct xattr *attrs = NULL;
	struct meta_xattrs x = {
		.path = archive_entry_pathname(e),
		.is_symlink = archive_entry_filetype(e) == S_IFLNK,
		.is_dir = archive_entry_filetype(e) == S_IFDIR,
		.has_user = archive_entry_filetype(e) == S_IFREG ||
			    archive_entry_filetype(e) == S_IFDIR,
	};
	const char *name;
	const void *value;
	size_t len;

	if (count <= 0)
		return 0;
	if (count > XSET_MAX_ATTRS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d attributes",
			       XSET_MAX_ATTRS);
	attrs = calloc((size_t)count, sizeof(*attrs));
	if (!attrs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attributes");
	x.attrs = attrs;
	for (i = 0; i < count; i++) {
		if (archive_entry_xattr_next(e, &name, &value, &len) !=
			    ARCHIVE_OK ||
		    !name)
			continue;
		if (meta_add_xattr(b, &x, name, value, len, m, err))
			return -1;
	}
	turn_round(attrs, x.nr);
	return xset_intern(&b->tree.xsets, &b->tree.arena, attrs, x.nr,
			   &m->xset, err);
}

/* --- all of it ----------------------------------------------------------- */

static int get_owner(la_int64_t id, const char *what, uint32_t *ret,
		     struct vc_error *err)
{
	if (id < 0 || id >= UINT32_MAX)
		return vc_fail(err, VC_E_LIMIT, 0, "%s %lld is out of range",
			       what, (long long)id);
	*ret = (uint32_t)id;
	return 0;
}

int entry_meta_get(struct build *b, struct archive_entry *e,
		   struct entry_meta *ret, struct vc_error *err)
{
	struct entry_meta m = { 0 };
	unsigned long set, clear;

	m.meta.mode = (uint16_t)(archive_entry_perm(e) & 07777);
	archive_entry_fflags(e, &set, &clear);
	m.meta.flags = (uint32_t)set & META_USER_FLAGS;
	if (set & ~(unsigned long)META_USER_FLAGS &&
	    warn_add(&b->warn, err,
		     "entry '%s': flags 0x%lx left out: none that a user may "
		     "set on ext4",
		     tree_show(archive_entry_pathname(e)).s,
		     set & ~(unsigned long)META_USER_FLAGS))
		return -1;
	if (get_owner(archive_entry_uid(e), "owner", &m.meta.uid, err) ||
	    get_owner(archive_entry_gid(e), "group", &m.meta.gid, err) ||
	    get_times(b, e, &m.meta, err) || get_xattrs(b, e, &m.meta, err))
		return -1;
	if (get_acls(b, e, &m, err)) {
		entry_meta_fini(&m);
		return -1;
	}
	*ret = m;
	return 0;
}

static bool needs_names(const struct named_acl *a)
{
	size_t i;

	for (i = 0; i < a->nr; i++)
		if (a->names[i])
			return true;
	return false;
}

static uint64_t acl_memory(const struct named_acl *a)
{
	uint64_t ret = sizeof(*a);
	size_t i;

	for (i = 0; i < a->nr; i++)
		ret += sizeof(*a->entries) + sizeof(*a->names) +
		       (a->names[i] ? strlen(a->names[i]) + 32 : 0);
	return ret;
}

int entry_meta_finish(struct build *b, struct node *n, struct entry_meta *m,
		      struct vc_error *err)
{
	struct named_acl *a;
	int rc;

	while ((a = m->acls)) {
		m->acls = a->next;
		if (needs_names(a)) {
			b->acl_bytes += acl_memory(a);
			if (b->acl_bytes >
			    BUILD_ACL_ROOM +
				    BUILD_ACL_ROOM_EACH * b->nr_entries) {
				named_acl_free(a);
				return vc_fail(err, VC_E_LIMIT, 0,
					       "the ACLs so far name too many "
					       "accounts");
			}
			a->node = n;
			a->next = b->acls;
			b->acls = a;
			continue;
		}
		rc = build_set_acl(b, n, a->is_default, a->entries, a->nr, err);
		named_acl_free(a);
		if (rc)
			return -1;
	}
	return 0;
}

void entry_meta_fini(struct entry_meta *m)
{
	struct named_acl *a;

	while ((a = m->acls)) {
		m->acls = a->next;
		named_acl_free(a);
	}
}
