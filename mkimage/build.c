/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/build.h"

static int out_of_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "tree");
}

static void drop_file(void *opaque, struct node *n)
{
	struct build *b = opaque;

	if (b->writer)
		b->writer->ops->file_drop(b->writer, n);
}

int build_init(struct build *b, struct vc_error *err)
{
	static const struct patterns none;

	*b = (struct build){ .exclude = &none };
	if (tree_init(&b->tree, err))
		return -1;
	b->tree.drop = drop_file;
	b->tree.drop_opaque = b;
	return 0;
}

void named_acl_free(struct named_acl *a)
{
	size_t i;

	for (i = 0; a->names && i < a->nr; i++)
		free(a->names[i]);
	free(a->names);
	free(a->entries);
	free(a->path);
	free(a);
}

void build_fini(struct build *b)
{
	struct named_acl *a;

	while ((a = b->acls)) {
		b->acls = a->next;
		named_acl_free(a);
	}
	accounts_fini(&b->passwd);
	accounts_fini(&b->group);
	accounts_fini(&b->shadow);
	accounts_fini(&b->hosts);
	tree_fini(&b->tree);
	warn_fini(&b->warn);
}

int64_t build_time(const struct build *b)
{
	if (b->has_epoch)
		return b->epoch;
	return b->has_time ? b->max_time : 0;
}

struct tree_meta build_meta(const struct build *b, uint16_t mode)
{
	const struct tree_time now = { .sec = build_time(b) };

	return (struct tree_meta){
		.mode = mode,
		.mtime = now,
		.atime = now,
		.ctime = now,
	};
}

enum build_before build_look(const struct build *b,
			     const struct tree_place *place)
{
	const struct node *n =
		tree_child(&b->tree, place->dir, place->name, place->len);

	if (!n)
		return BUILD_BEFORE_NOTHING;
	if (node_is_dir(n))
		return tree_dir_is_empty(n) ? BUILD_BEFORE_NOTHING
					    : BUILD_BEFORE_DIR;
	if (!tree_is_older(&b->tree, place))
		return BUILD_BEFORE_NOTHING;
	return n->type == NODE_SYMLINK ? BUILD_BEFORE_LINK : BUILD_BEFORE_FILE;
}

int build_warn_replaced(struct build *b, const char *path,
			enum build_before before, bool is_dir,
			struct vc_error *err)
{
	if (before == BUILD_BEFORE_DIR && !is_dir)
		return warn_add(&b->warn, err,
				"entry '%s' replaces a directory and what it "
				"had",
				tree_show(path).s);
	if ((before == BUILD_BEFORE_LINK || before == BUILD_BEFORE_FILE) &&
	    is_dir)
		return warn_add(&b->warn, err,
				"entry '%s', a directory, replaces a %s of an "
				"earlier source",
				tree_show(path).s,
				before == BUILD_BEFORE_LINK ? "symbolic link"
							    : "file");
	return 0;
}

int build_set_xattr(struct build *b, struct node *n, const char *name,
		    const void *value, size_t len, struct vc_error *err)
{
	const struct xset *old = xset_get(&b->tree.xsets, n->xset);
	uint32_t nr = old ? old->nr : 0;
	vc_auto_free struct xattr *attrs = calloc(nr + 1, sizeof(*attrs));

	if (!attrs)
		return out_of_memory(err);
	if (old)
		memcpy(attrs, old->attr, nr * sizeof(*attrs));
	attrs[nr] = (struct xattr){
		.name = name,
		.value = value,
		.name_len = (uint32_t)strlen(name),
		.value_len = (uint32_t)len,
	};
	return xset_intern(&b->tree.xsets, &b->tree.arena, attrs, nr + 1,
			   &n->xset, err);
}

int build_set_acl(struct build *b, struct node *n, bool is_default,
		  struct acl_entry *e, size_t nr, struct vc_error *err)
{
	vc_auto_free uint8_t *wire = malloc(ACL_WIRE_BYTES(nr + 1));

	if (!wire)
		return out_of_memory(err);
	if (acl_normalize(e, &nr, err))
		return -1;
	if (!is_default) {
		n->mode = (uint16_t)((n->mode & 07000) | acl_mode(e, nr));
		if (acl_is_mode(nr))
			return 0;
	}
	return build_set_xattr(
		b, n, is_default ? ACL_XATTR_DEFAULT : ACL_XATTR_ACCESS, wire,
		acl_to_wire(e, nr, wire), err);
}

int build_file(struct build *b, struct node *n, const void *data, size_t len,
	       struct vc_error *err)
{
	struct writer *w = b->writer;

	n->size_bytes = len;
	if (w->ops->file_begin(w, n, err) ||
	    w->ops->file_data(w, 0, data, len, err))
		return -1;
	return w->ops->file_end(w, err);
}

/* --- contents wanted here as well ----------------------------------------- */

int build_file_data(struct build *b, struct accounts *acc, uint64_t offset,
		    const void *data, size_t len, struct vc_error *err)
{
	struct writer *w = b->writer;

	if (!offset)
		machine_count(&b->machines, data, len);
	if (w->ops->file_data(w, offset, data, len, err))
		return -1;
	return acc ? accounts_put(acc, offset, data, len, err) : 0;
}

/* ACLs name accounts of passwd and group; --root-password-hash and --hostname
 * edit the other two. */
struct accounts *build_capture_for(struct build *b, const struct tree_place *p)
{
	struct accounts *acc;

	if (!strcmp(p->name, "passwd"))
		acc = &b->passwd;
	else if (!strcmp(p->name, "group"))
		acc = &b->group;
	else if (!strcmp(p->name, "shadow"))
		acc = &b->shadow;
	else if (!strcmp(p->name, "hosts"))
		acc = &b->hosts;
	else
		return NULL;
	if (p->dir != tree_find(&b->tree, "etc"))
		return NULL;
	accounts_clear(acc);
	return acc;
}

/* --- names of accounts ---------------------------------------------------- */

static int name_acl(struct build *b, struct named_acl *a, struct vc_error *err)
{
	struct accounts *acc;
	size_t i, nr = 0;
	bool is_found;

	for (i = 0; i < a->nr; i++) {
		acc = a->entries[i].tag == ACL_USER ? &b->passwd : &b->group;
		is_found = !a->names[i];
		if (!is_found &&
		    accounts_find(acc, a->names[i], &a->entries[i].id,
				  &is_found, err))
			return -1;
		if (!is_found) {
			if (warn_add(&b->warn, err,
				     "entry '%s': ACL entry for '%s' left out: "
				     "the image has no account of that name",
				     a->path, tree_show(a->names[i]).s))
				return -1;
			continue;
		}
		a->entries[nr++] = a->entries[i];
	}
	if (build_set_acl(b, a->node, a->is_default, a->entries, nr, err))
		return vc_prefix(err, "entry '%s'", a->path);
	return 0;
}

int build_settle(struct build *b, struct vc_error *err)
{
	struct named_acl *a;
	int rc = tree_resolve(&b->tree, err);

	while (!rc && (a = b->acls)) {
		if (a->node->nr_links)
			rc = name_acl(b, a, err);
		b->acls = a->next;
		named_acl_free(a);
	}
	return rc;
}

int build_complete(struct build *b, struct vc_error *err)
{
	const struct tree_time now = { build_time(b), 0 };
	struct node *n;

	if (build_settle(b, err))
		return -1;
	for (n = b->tree.root; n; n = n->next)
		if (node_is_dir(n) && n->nr_links && n->dir->is_implicit)
			n->mtime = n->atime = n->ctime = now;
	return 0;
}
