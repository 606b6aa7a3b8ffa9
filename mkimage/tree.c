/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inodes are chained in order of arrival, which is the order the writer gives
 * them numbers in: what an archive holds side by side lies side by side.
 *
 * Names are found through one hash table over (directory, name) for the whole
 * tree. A name is never taken out of it: a removed one keeps its dent with no
 * node, and is used again when the name comes back. The hash is seeded with the
 * directory's address, so that nobody can prepare names that collide.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/hash.h"
#include "mkimage/tree.h"

#define FIRST_SLOTS 4096

static int out_of_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "tree");
}

struct tree_shown tree_show_n(const char *name, size_t len)
{
	struct tree_shown ret;
	char copy[sizeof(ret.s)];

	if (len > sizeof(copy) - 1)
		len = sizeof(copy) - 1;
	memcpy(copy, name, len);
	copy[len] = '\0';
	vc_printable(copy, ret.s, sizeof(ret.s));
	return ret;
}

struct tree_shown tree_show(const char *name)
{
	return tree_show_n(name, strlen(name));
}

static const struct dent *dent_of(const struct node *dir)
{
	const struct dent *d = dir->dir->parent->dir->first;

	while (d && d->node != dir)
		d = d->next;
	return d;
}

struct tree_shown tree_show_path(const struct tree *t, const struct dent *d)
{
	char path[sizeof(((struct tree_shown *)NULL)->s)];
	size_t at = sizeof(path);

	/* from the end; what does not fit is the beginning */
	for (; d; d = d->dir == t->root ? NULL : dent_of(d->dir)) {
		if (at < sizeof(path))
			path[--at] = '/';
		if (d->len >= at)
			break;
		at -= d->len;
		memcpy(path + at, d->name, d->len);
	}
	return tree_show_n(path + at, sizeof(path) - at);
}

/* --- nodes --------------------------------------------------------------- */

static struct node *new_node(struct tree *t, enum node_type type,
			     const struct tree_meta *m, struct vc_error *err)
{
	struct node *n;

	if (t->nr_nodes == TREE_MAX_NODES) {
		vc_fail(err, VC_E_LIMIT, 0, "more than %u files",
			TREE_MAX_NODES);
		return NULL;
	}
	n = arena_alloc(&t->arena, sizeof(*n));
	if (n && type == NODE_DIR)
		n->dir = arena_alloc(&t->arena, sizeof(*n->dir));
	if (!n || (type == NODE_DIR && !n->dir)) {
		out_of_memory(err);
		return NULL;
	}
	n->type = (uint8_t)type;
	if (m) {
		n->mode = m->mode;
		n->uid = m->uid;
		n->gid = m->gid;
		n->xset = m->xset;
		n->flags = m->flags;
		n->mtime = m->mtime;
		n->atime = m->atime;
		n->ctime = m->ctime;
	}
	if (t->last)
		t->last->next = n;
	t->last = n;
	t->nr_nodes++;
	return n;
}

static void set_meta(struct node *n, const struct tree_meta *m)
{
	n->mode = m->mode;
	n->uid = m->uid;
	n->gid = m->gid;
	n->xset = m->xset;
	n->flags = m->flags;
	n->mtime = m->mtime;
	n->atime = m->atime;
	n->ctime = m->ctime;
}

int tree_init(struct tree *t, struct vc_error *err)
{
	*t = (struct tree){ 0 };
	t->slots = calloc(FIRST_SLOTS, sizeof(*t->slots));
	if (!t->slots)
		return out_of_memory(err);
	t->nr_slots = FIRST_SLOTS;
	t->layer = 1;
	t->root = new_node(t, NODE_DIR, NULL, err);
	if (!t->root)
		return -1;
	t->root->mode = 0755;
	t->root->nr_links = 1;
	t->root->dir->parent = t->root;
	t->root->dir->is_implicit = true;
	return 0;
}

void tree_fini(struct tree *t)
{
	struct node *n;

	for (n = t->root; n; n = n->next)
		extents_fini(&n->ext);
	free(t->slots);
	xset_table_fini(&t->xsets);
	arena_fini(&t->arena);
	*t = (struct tree){ 0 };
}

/* --- names --------------------------------------------------------------- */

static uint32_t hash_name(const struct node *dir, const char *name, size_t len)
{
	return (uint32_t)xxh64(name, len, (uint64_t)(uintptr_t)dir);
}

static struct dent *find_dent(const struct tree *t, const struct node *dir,
			      const char *name, size_t len, uint32_t hash)
{
	size_t at = hash & (t->nr_slots - 1);
	struct dent *d;

	for (; (d = t->slots[at]); at = (at + 1) & (t->nr_slots - 1))
		if (d->hash == hash && d->dir == dir && d->len == len &&
		    !memcmp(d->name, name, len))
			return d;
	return NULL;
}

static void put_slot(struct tree *t, struct dent *d)
{
	size_t at = d->hash & (t->nr_slots - 1);

	while (t->slots[at])
		at = (at + 1) & (t->nr_slots - 1);
	t->slots[at] = d;
}

static int grow_slots(struct tree *t, struct vc_error *err)
{
	struct dent **old = t->slots;
	size_t nr_old = t->nr_slots, i;

	t->slots = calloc(nr_old * 2, sizeof(*t->slots));
	if (!t->slots) {
		t->slots = old;
		return out_of_memory(err);
	}
	t->nr_slots = nr_old * 2;
	for (i = 0; i < nr_old; i++)
		if (old[i])
			put_slot(t, old[i]);
	free(old);
	return 0;
}

struct dent *tree_find_dent(const struct tree *t, const struct node *dir,
			    const char *name, size_t len)
{
	if (len > TREE_MAX_NAME)
		return NULL;
	return find_dent(t, dir, name, len, hash_name(dir, name, len));
}

struct node *tree_child(const struct tree *t, const struct node *dir,
			const char *name, size_t len)
{
	struct dent *d = tree_find_dent(t, dir, name, len);

	return d ? d->node : NULL;
}

/* The dent of the name, made if need be. */
static struct dent *get_dent(struct tree *t, struct node *dir, const char *name,
			     size_t len, struct vc_error *err)
{
	uint32_t hash = hash_name(dir, name, len);
	struct dent *d = find_dent(t, dir, name, len, hash);

	if (d)
		return d;
	if (t->nr_dents >= t->nr_slots / 3 * 2 && grow_slots(t, err))
		return NULL;
	d = arena_alloc(&t->arena, sizeof(*d) + len);
	if (!d) {
		out_of_memory(err);
		return NULL;
	}
	d->dir = dir;
	d->hash = hash;
	d->len = (uint8_t)len;
	memcpy(d->name, name, len);
	if (dir->dir->last)
		dir->dir->last->next = d;
	else
		dir->dir->first = d;
	dir->dir->last = d;
	t->nr_dents++;
	put_slot(t, d);
	return d;
}

static bool is_empty(const struct node *dir)
{
	const struct dent *d;

	for (d = dir->dir->first; d; d = d->next)
		if (d->node)
			return false;
	return true;
}

/* Take the node out of `d`. Directories left behind are emptied in turn: they
 * wait in a list through their parent pointer, which no longer means anything.
 */
void tree_clear_dent(struct tree *t, struct dent *d)
{
	struct node *todo = NULL, *n;

	for (;;) {
		n = d ? d->node : NULL;
		if (n) {
			d->node = NULL;
			n->nr_links--;
			if (node_is_dir(n)) {
				d->dir->dir->nr_subdirs--;
				n->dir->parent = todo;
				todo = n;
			} else if (!n->nr_links && n->type == NODE_FILE &&
				   t->drop) {
				t->drop(t->drop_opaque, n);
			}
		}
		while (todo && !todo->dir->first)
			todo = todo->dir->parent;
		if (!todo)
			return;
		d = todo->dir->first;
		todo->dir->first = d->next;
	}
}

static void bind_dent(struct tree *t, struct dent *d, struct node *n)
{
	d->node = n;
	d->layer = t->layer;
	n->nr_links++;
}

/* The root has an entry like any other directory, but no name. */
static int add_root(struct tree *t, enum node_type type,
		    const struct tree_meta *meta, struct node **ret,
		    struct vc_error *err)
{
	if (type != NODE_DIR)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "the root must be a directory");
	set_meta(t->root, meta);
	t->root->dir->is_implicit = false;
	*ret = t->root;
	return 0;
}

int tree_add(struct tree *t, const struct tree_place *place,
	     enum node_type type, const struct tree_meta *meta,
	     struct node **ret, bool *ret_replaced_dir, struct vc_error *err)
{
	struct dent *d;
	struct node *n;

	if (ret_replaced_dir)
		*ret_replaced_dir = false;
	if (!place->len)
		return add_root(t, type, meta, ret, err);
	d = get_dent(t, place->dir, place->name, place->len, err);
	if (!d)
		return -1;
	if (d->node && node_is_dir(d->node)) {
		if (type == NODE_DIR) {
			set_meta(d->node, meta);
			d->node->dir->is_implicit = false;
			d->layer = t->layer;
			*ret = d->node;
			return 0;
		}
		if (ret_replaced_dir)
			*ret_replaced_dir = !is_empty(d->node);
	}
	if (type == NODE_DIR && place->dir->dir->depth == TREE_MAX_DEPTH)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d directories deep", TREE_MAX_DEPTH);
	n = new_node(t, type, meta, err);
	if (!n)
		return -1;
	tree_clear_dent(t, d);
	if (type == NODE_DIR) {
		n->dir->parent = place->dir;
		n->dir->depth = place->dir->dir->depth + 1;
		place->dir->dir->nr_subdirs++;
	}
	bind_dent(t, d, n);
	*ret = n;
	return 0;
}

int tree_set_target(struct tree *t, struct node *n, const char *target,
		    struct vc_error *err)
{
	size_t len = strlen(target);

	n->target = arena_alloc(&t->arena, len + 1);
	if (!n->target)
		return out_of_memory(err);
	memcpy(n->target, target, len + 1);
	n->size_bytes = len;
	return 0;
}

/* --- ways ---------------------------------------------------------------- */

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
	memcpy(at.name, name, len);
	if (tree_add(w->t, &at, NODE_DIR, &meta, ret, NULL, err))
		return -1;
	(*ret)->dir->is_implicit = true;
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

/* --- hard links ---------------------------------------------------------- */

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

int tree_link(struct tree *t, const struct tree_place *place,
	      const char *target, struct node **ret, struct vc_error *err)
{
	struct tree_meta meta = { 0 };
	struct node *n, *pending;
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
		t->nr_pending++;
		if (tree_add(t, place, NODE_PENDING, &meta, &pending, NULL,
			     err))
			return -1;
		return tree_set_target(t, pending, target, err);
	}
	d = get_dent(t, place->dir, place->name, place->len, err);
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
		bind_dent(t, d, n);
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
	if (check_link(link->bound, "its target", err))
		return -1;
	link->nr_links--;
	bind_dent(t, d, link->bound);
	return 0;
}

int tree_resolve(struct tree *t, struct vc_error *err)
{
	uint32_t visit = 0;
	struct node *dir;
	struct dent *d;

	if (!t->nr_pending)
		return 0;
	t->nr_pending = 0;
	for (dir = t->root; dir; dir = dir->next) {
		if (!node_is_dir(dir) || !dir->nr_links)
			continue;
		for (d = dir->dir->first; d; d = d->next)
			if (d->node &&
			    (d->node->type == NODE_PENDING ||
			     d->node->type == NODE_BOUND) &&
			    resolve_dent(t, d, ++visit, err))
				return vc_prefix(err, "entry '%s'",
						 tree_show_path(t, d).s);
	}
	return 0;
}

/* --- extents ------------------------------------------------------------- */

int extents_append(struct extents *ext, uint32_t logical, uint64_t physical,
		   uint32_t len, struct vc_error *err)
{
	struct extent *last, *more;
	uint32_t max;

	if (!ext->nr) {
		ext->first = (struct extent){ physical, logical, len };
		ext->nr = 1;
		return 0;
	}
	last = ext->nr == 1 ? &ext->first : &ext->more[ext->nr - 2];
	if (last->physical + last->len == physical &&
	    last->logical + last->len == logical) {
		last->len += len;
		return 0;
	}
	if (ext->nr - 1 == ext->max_more) {
		max = ext->max_more ? ext->max_more * 2 : 4;
		more = realloc(ext->more, max * sizeof(*more));
		if (!more)
			return vc_fail(err, VC_E_SYS, ENOMEM, "extent list");
		ext->more = more;
		ext->max_more = max;
	}
	ext->more[ext->nr++ - 1] = (struct extent){ physical, logical, len };
	return 0;
}

void extents_fini(struct extents *ext)
{
	free(ext->more);
	*ext = (struct extents){ 0 };
}
