/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths in the image are walked as in a chroot: a merged /usr is followed, and
 * nothing leads out. chmod and chown follow a link at the end as well, as the
 * programs of those names do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vmmcore/util.h>
#include "mkimage/mode.h"
#include "mkimage/ops.h"

const struct op_kind op_kinds[OP_NR_VERBS] = {
	[OP_ADD] = { "add", OP_ARG_HOST, true, true },
	[OP_MKDIR] = { "mkdir", OP_ARG_NONE, true, true },
	[OP_SYMLINK] = { "symlink", OP_ARG_TARGET, false, true },
	[OP_CHMOD] = { "chmod", OP_ARG_MODE, false, false },
	[OP_CHMOD_ALL] = { "chmod-all", OP_ARG_MODE, false, false },
	[OP_CHOWN] = { "chown", OP_ARG_OWNER, false, false },
	[OP_CHOWN_ALL] = { "chown-all", OP_ARG_OWNER, false, false },
	[OP_REMOVE] = { "remove", OP_ARG_NONE, false, false },
};

/* --- the list ------------------------------------------------------------- */

void op_fini(struct op *op)
{
	free(op->guest);
	free(op->arg);
	free(op->mode);
	*op = (struct op){ 0 };
}

int ops_add(struct ops *o, struct op *op, struct vc_error *err)
{
	struct op *v;
	size_t max;
	int rc = 0;

	if (!op->guest)
		rc = vc_fail(err, VC_E_SYS, ENOMEM, "%s",
			     op_kinds[op->verb].name);
	else if (!*op->guest)
		rc = vc_fail(err, VC_E_ARG, 0, "no name in the image");
	else if (o->nr == OPS_MAX)
		rc = vc_fail(err, VC_E_LIMIT, 0, "more than %d steps", OPS_MAX);
	if (!rc && o->nr == o->max) {
		max = o->max ? 2 * o->max : 16;
		v = realloc(o->v, max * sizeof(*v));
		if (v) {
			o->v = v;
			o->max = max;
		} else {
			rc = vc_fail(err, VC_E_SYS, ENOMEM, "steps");
		}
	}
	if (rc) {
		op_fini(op);
		return -1;
	}
	o->v[o->nr++] = *op;
	return 0;
}

void ops_fini(struct ops *o)
{
	while (o->nr)
		op_fini(&o->v[--o->nr]);
	free(o->v);
	*o = (struct ops){ 0 };
}

/* --- texts ---------------------------------------------------------------- */

static int parse_id(const char *text, size_t len, uint32_t *ret,
		    struct vc_error *err)
{
	char part[16];
	uint64_t v;

	if (!len || len >= sizeof(part) || strspn(text, "0123456789") < len)
		return vc_fail(err, VC_E_ARG, 0, "not of the form UID:GID");
	memcpy(part, text, len);
	part[len] = '\0';
	if (vc_parse_u64(part, SOURCE_MAX_ID, &v, err))
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

int op_parse_owner(const char *text, uint32_t *ret_uid, uint32_t *ret_gid,
		   struct vc_error *err)
{
	size_t len = strcspn(text, ":");

	if (!text[len])
		return vc_fail(err, VC_E_ARG, 0, "not of the form UID:GID");
	if (parse_id(text, len, ret_uid, err))
		return -1;
	return parse_id(text + len + 1, strlen(text + len + 1), ret_gid, err);
}

/* Whether it can be said of any file is known before there is one. */
static int set_mode(struct op *op, const char *text, struct vc_error *err)
{
	uint16_t mode = 0;

	free(op->mode);
	op->mode = strdup(text);
	if (!op->mode)
		return vc_fail(err, VC_E_SYS, ENOMEM, "mode");
	return mode_change(text, false, &mode, err);
}

int op_set(struct op *op, enum op_arg arg, const char *text,
	   struct vc_error *err)
{
	switch (arg) {
	case OP_ARG_MODE:
		return set_mode(op, text, err);
	case OP_ARG_OWNER:
		op->has_owner = true;
		return op_parse_owner(text, &op->uid, &op->gid, err);
	case OP_ARG_HOST:
	case OP_ARG_TARGET:
		op->arg = strdup(text);
		return op->arg ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "name");
	case OP_ARG_NONE:
	default:
		return 0;
	}
}

/* Where the name in the image begins: behind the last ":/", else behind the
 * last ":". */
static const char *split(const char *text)
{
	const char *p, *at = NULL;

	for (p = strstr(text, ":/"); p; p = strstr(p + 1, ":/"))
		at = p;
	return at ? at : strrchr(text, ':');
}

int ops_add_option(struct ops *o, enum op_verb verb, const char *text,
		   struct vc_error *err)
{
	const enum op_arg arg = op_kinds[verb].arg;
	vc_auto_free char *first = NULL;
	struct op op = { .verb = verb };
	const char *at = NULL;

	if (arg != OP_ARG_NONE) {
		at = split(text);
		if (!at || at == text)
			return vc_fail(err, VC_E_ARG, 0, "no ':'");
		first = strndup(text, (size_t)(at - text));
		if (!first)
			return vc_fail(err, VC_E_SYS, ENOMEM, "option");
		text = at + 1;
	}
	if (op_set(&op, arg, first, err)) {
		op_fini(&op);
		return -1;
	}
	op.guest = strdup(text);
	return ops_add(o, &op, err);
}

/* --- the steps ------------------------------------------------------------ */

/* The ACL's base entries are the mode's bits in another place. */
static int change_mode(struct build *b, struct node *n, uint16_t mode,
		       struct vc_error *err)
{
	const struct xset *set = xset_get(&b->tree.xsets, n->xset);
	vc_auto_free struct acl_entry *acl = NULL;
	const struct xattr *a = NULL;
	bool has_mask = false;
	size_t i, nr;

	n->mode = mode;
	for (i = 0; set && i < set->nr; i++)
		/* the names of a set are not terminated */
		if (set->attr[i].name_len == strlen(ACL_XATTR_ACCESS) &&
		    !memcmp(set->attr[i].name, ACL_XATTR_ACCESS,
			    set->attr[i].name_len))
			a = &set->attr[i];
	if (!a)
		return 0;
	acl = calloc(ACL_MAX_ENTRIES + 1, sizeof(*acl));
	if (!acl)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACL");
	if (acl_from_wire(a->value, a->value_len, acl, ACL_MAX_ENTRIES, &nr,
			  err))
		return -1;
	for (i = 0; i < nr; i++)
		has_mask |= acl[i].tag == ACL_MASK;
	for (i = 0; i < nr; i++) {
		if (acl[i].tag == ACL_USER_OBJ)
			acl[i].perm = mode >> 6 & 7;
		else if (acl[i].tag == (has_mask ? ACL_MASK : ACL_GROUP_OBJ))
			acl[i].perm = mode >> 3 & 7;
		else if (acl[i].tag == ACL_OTHER)
			acl[i].perm = mode & 7;
	}
	return build_set_acl(b, n, false, acl, nr, err);
}

/* By the words of `op`, if it has any. A symbolic link has no mode of its own. */
static int change_mode_by(struct build *b, struct node *n, const struct op *op,
			  struct vc_error *err)
{
	uint16_t mode = n->mode;

	if (!op->mode || n->type == NODE_SYMLINK)
		return 0;
	if (mode_change(op->mode, node_is_dir(n), &mode, err))
		return -1;
	return change_mode(b, n, mode, err);
}

static int set_given(struct build *b, const struct op *op, struct node *n,
		     struct vc_error *err)
{
	if (op->has_owner) {
		n->uid = op->uid;
		n->gid = op->gid;
	}
	return change_mode_by(b, n, op, err);
}

/* No deeper than TREE_MAX_DEPTH; links in there are changed, not followed. */
static int change_below(struct build *b, struct node *dir, const struct op *op,
			struct vc_error *err)
{
	struct dent *d;

	for (d = dir->dir->first; d; d = d->next) {
		if (!d->node)
			continue;
		if (set_given(b, op, d->node, err) ||
		    (node_is_dir(d->node) && change_below(b, d->node, op, err)))
			return -1;
	}
	return 0;
}

static int change(struct build *b, const struct op *op, struct vc_error *err)
{
	struct node *n = tree_find(&b->tree, op->guest);
	struct tree_place place;

	/* of what is wrong with the name itself */
	if (!n && tree_walk(&b->tree, op->guest, TREE_CHROOT, &place, err) &&
	    err->code != VC_E_SYS)
		return vc_prefix(err, "'%s'", tree_show(op->guest).s);
	if (!n)
		return vc_fail(err, VC_E_SYS, ENOENT, "'%s'",
			       tree_show(op->guest).s);
	if ((op->verb == OP_CHOWN_ALL || op->verb == OP_CHMOD_ALL) &&
	    node_is_dir(n) && change_below(b, n, op, err))
		return -1;
	return set_given(b, op, n, err);
}

static int walk_to(struct build *b, const char *guest, struct tree_place *ret,
		   struct vc_error *err)
{
	if (tree_walk(&b->tree, guest, TREE_MAKE_PARENTS | TREE_CHROOT, ret,
		      err))
		return vc_prefix(err, "'%s'", tree_show(guest).s);
	return 0;
}

static struct node *node_at(struct build *b, const struct tree_place *p)
{
	return p->len ? tree_child(&b->tree, p->dir, p->name, p->len) : p->dir;
}

static int make(struct build *b, const struct op *op, enum node_type type,
		uint16_t mode, struct node **ret, struct vc_error *err)
{
	const struct tree_meta meta = build_meta(b, mode);
	struct tree_place place;

	if (walk_to(b, op->guest, &place, err))
		return -1;
	*ret = node_at(b, &place);
	if (*ret && type == NODE_DIR && node_is_dir(*ret))
		return 0;
	if (*ret && (type == NODE_DIR || node_is_dir(*ret)))
		return vc_fail(err, VC_E_SYS,
			       node_is_dir(*ret) ? EISDIR : EEXIST, "'%s'",
			       tree_show(op->guest).s);
	return tree_add(&b->tree, &place, type, &meta, ret, err);
}

static int make_dir(struct build *b, const struct op *op, struct vc_error *err)
{
	const struct node *n = tree_find(&b->tree, op->guest);
	struct node *made;

	/* a link to a directory will do */
	if (n && node_is_dir(n))
		return change(b, op, err);
	if (make(b, op, NODE_DIR, 0755, &made, err))
		return -1;
	return set_given(b, op, made, err);
}

static int make_symlink(struct build *b, const struct op *op,
			struct vc_error *err)
{
	struct node *n;

	if (!*op->arg || strlen(op->arg) > TREE_MAX_SYMLINK)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "'%s': a target of 0 or more than %d bytes",
			       tree_show(op->guest).s, TREE_MAX_SYMLINK);
	if (make(b, op, NODE_SYMLINK, 0777, &n, err) ||
	    tree_set_target(&b->tree, n, op->arg, err))
		return -1;
	return set_given(b, op, n, err);
}

static int take_away(struct build *b, const struct op *op, struct vc_error *err)
{
	struct tree_place place;

	if (tree_walk(&b->tree, op->guest, TREE_CHROOT, &place, err)) {
		if (err->sys != ENOENT)
			return vc_prefix(err, "'%s'", tree_show(op->guest).s);
	} else if (!place.len) {
		return vc_fail(err, VC_E_CONFIG, 0, "'%s': the root stays",
			       tree_show(op->guest).s);
	} else if (tree_remove(&b->tree, &place)) {
		return 0;
	}
	return vc_fail(err, VC_E_SYS, ENOENT, "'%s'", tree_show(op->guest).s);
}

/* GUEST, or what HOST is called in the folder GUEST/. */
static char *name_for(const struct op *op)
{
	const char *guest = op->guest, *last;
	size_t len;
	char *ret;

	if (guest[strlen(guest) - 1] != '/')
		return strdup(guest);
	last = vc_last_name(op->arg, &len);
	if (asprintf(&ret, "%s%.*s", guest, (int)len, last) < 0)
		return NULL;
	return ret;
}

static int check_kind(struct build *b, const struct op *op, const char *guest,
		      struct stat *ret, struct vc_error *err)
{
	struct tree_place place;
	const struct node *n;

	if (stat(op->arg, ret))
		return vc_fail(err, VC_E_SYS, errno, "'%s'",
			       tree_show(op->arg).s);
	if (walk_to(b, guest, &place, err))
		return -1;
	n = node_at(b, &place);
	if (n && node_is_dir(n) && !S_ISDIR(ret->st_mode))
		return vc_fail(err, VC_E_SYS, EISDIR,
			       "'%s' (to put it in there, end the name in '/')",
			       tree_show(guest).s);
	return 0;
}

static int add_from_host(struct build *b, const struct op *op,
			 const struct source_opts *opts, struct vc_error *err)
{
	static const struct patterns none;
	const struct patterns *exclude = b->exclude;
	/* whoever builds the image is not known in it */
	struct source_opts o = {
		.has_owner = true,
		.one_file_system = opts->one_file_system,
		.uid = op->has_owner ? op->uid : opts->uid,
		.gid = op->has_owner ? op->gid : opts->gid,
	};
	struct stat st;
	vc_auto_free char *guest = name_for(op);
	struct node *n;
	int rc;

	if (!guest)
		return vc_fail(err, VC_E_SYS, ENOMEM, "add");
	if (check_kind(b, op, guest, &st, err))
		return -1;
	b->exclude = &none;
	rc = source_dir(b, op->arg, guest, &o, err);
	b->exclude = exclude;
	n = rc ? NULL : tree_find(&b->tree, guest);
	return n ? change_mode_by(b, n, op, err) : rc;
}

static int apply(struct build *b, const struct op *op,
		 const struct source_opts *opts, struct vc_error *err)
{
	switch (op->verb) {
	case OP_ADD:
		return add_from_host(b, op, opts, err);
	case OP_MKDIR:
		return make_dir(b, op, err);
	case OP_SYMLINK:
		return make_symlink(b, op, err);
	case OP_REMOVE:
		return take_away(b, op, err);
	case OP_CHMOD:
	case OP_CHMOD_ALL:
	case OP_CHOWN:
	case OP_CHOWN_ALL:
	default:
		return change(b, op, err);
	}
}

int ops_apply(struct build *b, const struct ops *o,
	      const struct source_opts *opts, struct vc_error *err)
{
	const struct op *op;
	size_t i;

	for (i = 0; i < o->nr; i++) {
		op = &o->v[i];
		if (!apply(b, op, opts, err))
			continue;
		vc_prefix(err, "%s%s", op->file ? "" : "--",
			  op_kinds[op->verb].name);
		return op->file ? vc_prefix(err, "%s: line %u", op->file,
					    op->line)
				: -1;
	}
	return 0;
}
