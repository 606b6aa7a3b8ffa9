/* SPDX-License-Identifier: BSD-3-Clause */
/* Ways through the tree: from a path to a directory and a name in it. No name
 * and no link leads out of the tree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/tree.h"

static int out_of_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "tree");
}

static const char *skip_empty(const char *p)
{
	for (;;) {
		if (*p == '/')
			p++;
		else if (p[0] == '.' && (p[1] == '/' || !p[1]))
			p++;
		else
			return p;
	}
}

static bool is_dotdot(const char *p, size_t len)
{
	return len == 2 && p[0] == '.' && p[1] == '.';
}

static int check_path(const char *path, struct vc_error *err)
{
	const char *p;
	size_t len;

	if (strlen(path) > TREE_MAX_PATH)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its name is longer than %d bytes",
			       TREE_MAX_PATH);
	for (p = skip_empty(path); *p; p = skip_empty(p + len)) {
		len = strcspn(p, "/");
		if (is_dotdot(p, len))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "its name has a '..' component");
		if (len > TREE_MAX_NAME)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "a component of its name is longer than "
				       "%d bytes",
				       TREE_MAX_NAME);
	}
	return 0;
}

struct walk {
	struct tree *t;
	unsigned flags;
	bool follow_last;
	int nr_followed;
	struct node *dir;
	const char *rest;
	char *buf; /* owned: what `rest` points into after a link */
};

/* Go on with the link's target, then what was left. */
static int follow(struct walk *w, const struct node *link, const char *name,
		  size_t len, struct vc_error *err)
{
	bool is_abs = link->target[0] == '/';
	char *buf;

	if (is_abs && !(w->flags & TREE_CHROOT))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "'%s' on its way is a symbolic link out of the "
			       "tree, to '%s'",
			       tree_show_n(name, len).s,
			       tree_show(link->target).s);
	if (++w->nr_followed > TREE_MAX_FOLLOW ||
	    link->size_bytes + strlen(w->rest) > 2 * TREE_MAX_PATH)
		return vc_fail(err, VC_E_SYS, ELOOP, "'%s' on its way",
			       tree_show_n(name, len).s);
	if (asprintf(&buf, "%s/%s", link->target, w->rest) < 0)
		return out_of_memory(err);
	free(w->buf);
	w->buf = buf;
	w->rest = buf;
	if (is_abs)
		w->dir = w->t->root;
	return 0;
}

static int go_up(struct walk *w, struct vc_error *err)
{
	if (w->dir == w->t->root && !(w->flags & TREE_CHROOT))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "a symbolic link on its way leads out of the "
			       "tree");
	w->dir = w->dir->dir->parent;
	return 0;
}

static int make_parent(struct walk *w, const char *name, size_t len,
		       struct node **ret, struct vc_error *err)
{
	const struct tree_meta meta = { .mode = 0755 };
	struct tree_place at = { .dir = w->dir, .len = len };

	if (!(w->flags & TREE_MAKE_PARENTS))
		return vc_fail(err, VC_E_SYS, ENOENT, "directory '%s'",
			       tree_show_n(name, len).s);
	if (w->t->nr_implicit >
	    TREE_MAX_IMPLICIT + (uint64_t)TREE_MAX_IMPLICIT_EACH *
					(w->t->nr_nodes - w->t->nr_implicit))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %u directories that have no entry of "
			       "their own",
			       w->t->nr_implicit);
	memcpy(at.name, name, len);
	if (tree_add(w->t, &at, NODE_DIR, &meta, ret, err))
		return -1;
	(*ret)->dir->is_implicit = true;
	w->t->nr_implicit++;
	return 0;
}

/* One component; *ret_done after the last. */
static int step(struct walk *w, struct tree_place *ret, bool *ret_done,
		struct vc_error *err)
{
	const char *name = skip_empty(w->rest);
	size_t len = strcspn(name, "/");
	struct node *child;

	*ret_done = !len;
	if (!len) {
		ret->dir = w->dir;
		return 0;
	}
	w->rest = skip_empty(name + len);
	if (is_dotdot(name, len))
		return go_up(w, err);
	if (len > TREE_MAX_NAME)
		return vc_fail(err, VC_E_SYS, ENAMETOOLONG,
			       "a symbolic link on its way");
	child = tree_child(w->t, w->dir, name, len);
	if (!*w->rest && !w->follow_last) {
		*ret_done = true;
		ret->dir = w->dir;
		ret->len = len;
		memcpy(ret->name, name, len);
		ret->name[len] = '\0';
		return 0;
	}
	if (child && child->type == NODE_SYMLINK)
		return follow(w, child, name, len, err);
	if (child && !node_is_dir(child)) {
		if (!*w->rest) { /* of tree_find() */
			*ret_done = true;
			ret->dir = child;
			return 0;
		}
		return vc_fail(err, VC_E_SYS, ENOTDIR, "'%s' on its way",
			       tree_show_n(name, len).s);
	}
	if (!child && make_parent(w, name, len, &child, err))
		return -1;
	w->dir = child;
	return 0;
}

static int walk(struct walk *w, struct tree_place *ret, struct vc_error *err)
{
	bool is_done = false;
	int rc = 0;

	*ret = (struct tree_place){ 0 };
	w->dir = w->t->root;
	while (!rc && !is_done)
		rc = step(w, ret, &is_done, err);
	free(w->buf);
	return rc;
}

int tree_walk(struct tree *t, const char *path, unsigned flags,
	      struct tree_place *ret, struct vc_error *err)
{
	struct walk w = { .t = t, .flags = flags, .rest = path };

	if (check_path(path, err))
		return -1;
	return walk(&w, ret, err);
}

struct node *tree_find(struct tree *t, const char *path)
{
	struct walk w = {
		.t = t,
		.flags = TREE_CHROOT,
		.follow_last = true,
		.rest = path,
	};
	struct tree_place place;

	if (check_path(path, NULL) || walk(&w, &place, NULL))
		return NULL;
	return place.dir;
}
