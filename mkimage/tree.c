/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inodes are chained in order of arrival, which is the order the writer gives
 * them numbers in: what an archive holds side by side lies side by side.
 *
 * Names are found through one hash table over (directory, name) for the whole
 * tree. A name is never taken out of it: a removed one keeps its dent with no
 * node, and is used again when the name comes back. The hash is seeded with the
 * directory's address, so that nobody can prepare names that collide. A byte of
 * it stands beside each slot, in a table that fits into a processor's cache
 * when the names do not: to find that a name is new takes no look at another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vmmcore/checked.h>
#include "mkimage/hash.h"
#include "mkimage/tree.h"

#define FIRST_SLOTS 4096
#define GROW_AHEAD 16 /* names fetched into the cache before their turn */
#define SHOWN_HEAD 40 /* of a long name */

static int out_of_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "tree");
}

/* In printable form; false if that has no room. */
static bool show_all(const char *name, size_t len, char *to, size_t size)
{
	char copy[sizeof(((struct tree_shown *)NULL)->s)];
	char all[4 * sizeof(copy)];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	vc_printable(copy, all, sizeof(all));
	if (strlen(all) >= size)
		return false;
	memcpy(to, all, strlen(all) + 1);
	return true;
}

/* Of a long name the beginning and the end: its last component says the most. */
struct tree_shown tree_show_n(const char *name, size_t len)
{
	struct tree_shown ret;
	size_t at, n, nul = strnlen(name, len);

	if (show_all(name, nul, ret.s, sizeof(ret.s)))
		return ret;
	for (n = vc_min_u64(nul, SHOWN_HEAD);
	     !show_all(name, n, ret.s, SHOWN_HEAD); n--)
		;
	at = strlen(ret.s);
	memcpy(ret.s + at, "...", 3);
	at += 3;
	for (n = vc_min_u64(nul, sizeof(ret.s) - at - 1);
	     !show_all(name + nul - n, n, ret.s + at, sizeof(ret.s) - at); n--)
		;
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
	char path[4096];
	size_t at = sizeof(path);

	/* from the end; what does not fit is the beginning */
	for (; d; d = d->dir == t->root ? NULL : dent_of(d->dir)) {
		if (at < sizeof(path))
			path[--at] = '/';
		if (d->len + 3u >= at) {
			at -= 3;
			memcpy(path + at, "...", 3);
			break;
		}
		at -= d->len;
		memcpy(path + at, d->name, d->len);
	}
	return tree_show_n(path + at, sizeof(path) - at);
}

/* --- nodes --------------------------------------------------------------- */

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
	n->btime = m->btime;
	n->has_btime = m->has_btime;
}

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
	if (m)
		set_meta(n, m);
	if (t->last)
		t->last->next = n;
	t->last = n;
	t->nr_nodes++;
	return n;
}

static int alloc_slots(struct tree *t, size_t nr, struct vc_error *err)
{
	struct dent **slots = calloc(nr, sizeof(struct dent *));
	uint8_t *tags = calloc(nr, sizeof(*tags));

	if (!slots || !tags) {
		free(slots);
		free(tags);
		return out_of_memory(err);
	}
	t->slots = slots;
	t->tags = tags;
	t->nr_slots = nr;
	return 0;
}

int tree_init(struct tree *t, struct vc_error *err)
{
	*t = (struct tree){ 0 };
	if (alloc_slots(t, FIRST_SLOTS, err))
		return -1;
	t->layer = 1;
	t->root = new_node(t, NODE_DIR, NULL, err);
	if (!t->root)
		return -1;
	t->root->mode = 0755;
	t->root->nr_links = 1;
	t->root->dir->parent = t->root;
	t->root->dir->is_implicit = true;
	t->nr_implicit = 1;
	return 0;
}

void tree_fini(struct tree *t)
{
	struct node *n;

	for (n = t->root; n; n = n->next)
		extents_fini(&n->ext);
	free(t->slots);
	free(t->tags);
	free(t->pending);
	xset_table_fini(&t->xsets);
	arena_fini(&t->arena);
	*t = (struct tree){ 0 };
}

uint16_t node_format(const struct node *n)
{
	static const uint16_t formats[] = {
		[NODE_FILE] = S_IFREG,	  [NODE_DIR] = S_IFDIR,
		[NODE_SYMLINK] = S_IFLNK, [NODE_CHAR] = S_IFCHR,
		[NODE_BLOCK] = S_IFBLK,	  [NODE_FIFO] = S_IFIFO,
		[NODE_SOCKET] = S_IFSOCK,
	};

	return formats[n->type];
}

uint32_t node_device(const struct node *n)
{
	return (n->dev.minor & 0xff) | n->dev.major << 8 |
	       (n->dev.minor & ~0xffu) << 12;
}

void tree_count_xset_users(struct tree *t)
{
	const struct node *n;
	uint32_t i;

	for (i = 0; i < t->xsets.nr; i++)
		t->xsets.sets[i]->nr_users = 0;
	for (n = t->root; n; n = n->next)
		if (n->nr_links && n->xset)
			xset_get(&t->xsets, n->xset)->nr_users++;
}

/* --- names --------------------------------------------------------------- */

static uint32_t hash_name(const struct node *dir, const char *name, size_t len)
{
	return (uint32_t)xxh64(name, len, (uint64_t)(uintptr_t)dir);
}

static uint8_t tag_of(uint32_t hash)
{
	return (uint8_t)(hash >> 24) | 1;
}

static struct dent *find_dent(const struct tree *t, const struct node *dir,
			      const char *name, size_t len, uint32_t hash)
{
	size_t at = hash & (t->nr_slots - 1);
	struct dent *d;

	for (; t->tags[at]; at = (at + 1) & (t->nr_slots - 1)) {
		if (t->tags[at] != tag_of(hash))
			continue;
		d = t->slots[at];
		if (d->hash == hash && d->dir == dir && d->len == len &&
		    !memcmp(d->name, name, len))
			return d;
	}
	return NULL;
}

static void put_slot(struct tree *t, struct dent *d)
{
	size_t at = d->hash & (t->nr_slots - 1);

	while (t->tags[at])
		at = (at + 1) & (t->nr_slots - 1);
	t->slots[at] = d;
	t->tags[at] = tag_of(d->hash);
}

static int grow_slots(struct tree *t, struct vc_error *err)
{
	vc_auto_free uint8_t *tags = t->tags;
	struct dent **old = t->slots;
	size_t nr_old = t->nr_slots, i;

	if (alloc_slots(t, nr_old * 2, err)) {
		(void)vc_steal_ptr(&tags);
		return -1;
	}
	for (i = 0; i < nr_old; i++) {
		if (i + GROW_AHEAD < nr_old)
			__builtin_prefetch(old[i + GROW_AHEAD]);
		if (tags[i])
			put_slot(t, old[i]);
	}
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

void tree_list_dent(struct dent *d)
{
	struct node_dir *dir = d->dir->dir;

	d->next = NULL;
	if (dir->last)
		dir->last->next = d;
	else
		dir->first = d;
	dir->last = d;
}

struct dent *tree_get_dent(struct tree *t, struct node *dir, const char *name,
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
	tree_list_dent(d);
	t->nr_dents++;
	put_slot(t, d);
	return d;
}

bool tree_dir_is_empty(const struct node *dir)
{
	return !dir->dir->nr_names;
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
			d->dir->dir->nr_names--;
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

void tree_bind_dent(struct tree *t, struct dent *d, struct node *n)
{
	d->dir->dir->nr_names += !d->node;
	if (d->layer == TREE_UNLISTED)
		tree_list_dent(d);
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
	t->nr_implicit -= t->root->dir->is_implicit;
	t->root->dir->is_implicit = false;
	*ret = t->root;
	return 0;
}

int tree_add(struct tree *t, const struct tree_place *place,
	     enum node_type type, const struct tree_meta *meta,
	     struct node **ret, struct vc_error *err)
{
	struct dent *d;
	struct node *n;

	if (!place->len)
		return add_root(t, type, meta, ret, err);
	d = tree_get_dent(t, place->dir, place->name, place->len, err);
	if (!d)
		return -1;
	if (d->node && node_is_dir(d->node) && type == NODE_DIR) {
		set_meta(d->node, meta);
		t->nr_implicit -= d->node->dir->is_implicit;
		d->node->dir->is_implicit = false;
		d->layer = t->layer;
		*ret = d->node;
		return 0;
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
	tree_bind_dent(t, d, n);
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
