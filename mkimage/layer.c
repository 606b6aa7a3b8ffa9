/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layers of a tree. Every name knows the layer that brought it, so that a
 * whiteout can take away what lies below and spare what its own layer brings,
 * in whatever order the two arrive.
 *
 * A directory is emptied of older names at most once a layer (`pruned`): no
 * older name can come back within it, and whiteouts by the thousand cost no
 * more than one. What is removed then leaves the directory's list, and comes back
 * to it with its name: so layers by the thousand look at each name as often as a
 * layer has brought it, and not at the names of all of them.
 */
#include "mkimage/tree.h"

int tree_next_layer(struct tree *t, struct vc_error *err)
{
	if (t->layer == TREE_MAX_LAYERS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d layers",
			       TREE_MAX_LAYERS);
	if (tree_resolve(t, err))
		return -1;
	t->layer++;
	return 0;
}

/* Of what an earlier layer said about a directory nothing is left. */
static void make_implicit(struct tree *t, struct node *n)
{
	const struct tree_time never = { 0 };

	n->mode = 0755;
	n->uid = n->gid = n->xset = n->flags = 0;
	n->mtime = n->atime = n->ctime = n->btime = never;
	n->has_btime = false;
	t->nr_implicit += !n->dir->is_implicit;
	n->dir->is_implicit = true;
}

static void prune_dent(struct tree *t, struct dent *d);

static void prune_children(struct tree *t, struct node *dir)
{
	struct node_dir *nd = dir->dir;
	struct dent *d, *next, *last = NULL;

	if (nd->pruned == t->layer)
		return;
	nd->pruned = t->layer;
	for (d = nd->first; d; d = next) {
		next = d->next;
		t->nr_pruned++;
		prune_dent(t, d);
		if (d->node) {
			last = d;
			continue;
		}
		d->layer = TREE_UNLISTED;
		*(last ? &last->next : &nd->first) = next;
	}
	nd->last = last;
}

/* No deeper than TREE_MAX_DEPTH. */
static void prune_dent(struct tree *t, struct dent *d)
{
	struct node *n = d->node;

	if (!n)
		return;
	if (node_is_dir(n))
		prune_children(t, n);
	if (d->layer == t->layer)
		return;
	if (node_is_dir(n) && !tree_dir_is_empty(n)) {
		make_implicit(t, n);
		d->layer = t->layer;
		return;
	}
	tree_clear_dent(t, d);
}

void tree_whiteout(struct tree *t, const struct tree_place *place)
{
	struct dent *d = tree_find_dent(t, place->dir, place->name, place->len);

	if (d)
		prune_dent(t, d);
}

void tree_make_opaque(struct tree *t, struct node *dir)
{
	prune_children(t, dir);
}

bool tree_remove(struct tree *t, const struct tree_place *place)
{
	struct dent *d = tree_find_dent(t, place->dir, place->name, place->len);

	if (!d || !d->node)
		return false;
	tree_clear_dent(t, d);
	return true;
}

bool tree_is_older(const struct tree *t, const struct tree_place *place)
{
	const struct dent *d =
		tree_find_dent(t, place->dir, place->name, place->len);

	return d && d->node && d->layer != t->layer;
}
