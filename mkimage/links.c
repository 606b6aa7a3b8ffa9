/* SPDX-License-Identifier: BSD-3-Clause */
/* Hard links: to what is there, and to what comes later. The names of these are
 * kept, so that a layer which has a few is not a walk over all that is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/tree.h"

/* What a hard link's target names; links at its end are not followed. */
static int link_target(struct tree *t, const char *path, struct node **ret,
		       struct vc_error *err)
{
	struct tree_place place;

	*ret = NULL;
	if (tree_walk(t, path, t->link_flags, &place, err)) {
		if (err->sys == ENOENT)
			return 0;
		return vc_prefix(err, "hard link to '%s'", tree_show(path).s);
	}
	*ret = place.len ? tree_child(t, place.dir, place.name, place.len)
			 : place.dir;
	return 0;
}

static int check_link(const struct node *n, const char *target,
		      struct vc_error *err)
{
	if (node_is_dir(n))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "hard link to '%s', which is a directory",
			       tree_show(target).s);
	if (n->nr_links == TREE_MAX_LINKS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "'%s' has more than %d hard links",
			       tree_show(target).s, TREE_MAX_LINKS);
	return 0;
}

/* The name at `place` waits for `target`. */
static int add_pending(struct tree *t, const struct tree_place *place,
		       const char *target, struct vc_error *err)
{
	struct tree_meta meta = { 0 };
	struct dent **more;
	struct node *n;
	size_t max;

	if (t->nr_pending == t->max_pending) {
		max = t->max_pending ? t->max_pending * 2 : 64;
		more = realloc(t->pending, max * sizeof(struct dent *));
		if (!more)
			return vc_fail(err, VC_E_SYS, ENOMEM, "hard link");
		t->pending = more;
		t->max_pending = max;
	}
	if (tree_add(t, place, NODE_PENDING, &meta, &n, err))
		return -1;
	t->pending[t->nr_pending++] =
		tree_find_dent(t, place->dir, place->name, place->len);
	return tree_set_target(t, n, target, err);
}

int tree_link(struct tree *t, const struct tree_place *place,
	      const char *target, struct node **ret, struct vc_error *err)
{
	struct node *n;
	struct dent *d;

	*ret = NULL;
	if (!place->len)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "the root must be a directory");
	if (link_target(t, target, &n, err))
		return -1;
	if (!n || n->type == NODE_PENDING) {
		if (n &&
		    tree_child(t, place->dir, place->name, place->len) == n)
			return 0; /* to itself */
		return add_pending(t, place, target, err);
	}
	d = tree_get_dent(t, place->dir, place->name, place->len, err);
	if (!d)
		return -1;
	if (d->node != n) {
		if (check_link(n, target, err))
			return -1;
		/* held while its old name may be cleared away with a
		 * directory the new one replaces */
		n->nr_links++;
		tree_clear_dent(t, d);
		n->nr_links--;
		if (!n->nr_links)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "hard link replaces the directory of "
				       "its target '%s'",
				       tree_show(target).s);
		tree_bind_dent(t, d, n);
	}
	d->layer = t->layer;
	*ret = n;
	return 0;
}

/* What a pending link leads to in the end. `visit` numbers the searches, in the
 * inode number nobody uses yet, so that a chain that meets itself is seen. */
static int follow_chain(struct tree *t, struct node *n, uint32_t visit,
			struct node **ret, struct vc_error *err)
{
	while (n && n->type == NODE_PENDING && n->ino != visit) {
		n->ino = visit;
		if (link_target(t, n->target, &n, err))
			return -1;
	}
	while (n && n->type == NODE_BOUND)
		n = n->bound;
	*ret = n;
	return 0;
}

static int resolve_one(struct tree *t, struct dent *d, uint32_t visit,
		       struct vc_error *err)
{
	struct node *n, *to, *next;

	if (follow_chain(t, d->node, visit, &to, err))
		return -1;
	if (!to || to->type == NODE_PENDING)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "hard link to '%s', which is not there",
			       tree_show(d->node->target).s);
	if (check_link(to, d->node->target, err))
		return -1;
	/* the whole chain is known now: walk it only once */
	for (n = d->node; n && n->type == NODE_PENDING; n = next) {
		if (link_target(t, n->target, &next, err))
			return -1;
		n->type = NODE_BOUND;
		n->bound = to;
	}
	return 0;
}

static int resolve_dent(struct tree *t, struct dent *d, uint32_t visit,
			struct vc_error *err)
{
	struct node *link = d->node;

	if (link->type == NODE_PENDING && resolve_one(t, d, visit, err))
		return -1;
	/* the target's name went when the link was bound */
	if (link->bound->nr_links == TREE_MAX_LINKS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its target has more than %d hard links",
			       TREE_MAX_LINKS);
	link->nr_links--;
	tree_bind_dent(t, d, link->bound);
	return 0;
}

int tree_resolve(struct tree *t, struct vc_error *err)
{
	struct dent *d;
	size_t i;

	for (i = 0; i < t->nr_pending; i++) {
		d = t->pending[i];
		if (d->node &&
		    (d->node->type == NODE_PENDING ||
		     d->node->type == NODE_BOUND) &&
		    resolve_dent(t, d, (uint32_t)i + 1, err))
			return vc_prefix(err, "entry '%s'",
					 tree_show_path(t, d).s);
	}
	free(vc_steal_ptr(&t->pending));
	t->nr_pending = t->max_pending = 0;
	return 0;
}
