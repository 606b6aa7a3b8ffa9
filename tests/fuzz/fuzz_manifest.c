/* SPDX-License-Identifier: BSD-3-Clause */
/* The grammar of mkimage-manifest(5), and its steps over a small tree; files of
 * the host are not read. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void grow(struct build *b, struct vc_error *err)
{
	static const char *const dirs[] = { "/etc/app", "/usr/lib" };
	const struct tree_meta m = { .mode = 0755 };
	struct tree_place p;
	struct node *n;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(dirs); i++)
		assert(!tree_walk(&b->tree, dirs[i], TREE_MAKE_PARENTS, &p,
				  err) &&
		       !tree_add(&b->tree, &p, NODE_DIR, &m, &n, err));
	assert(!tree_walk(&b->tree, "lib", 0, &p, err) &&
	       !tree_add(&b->tree, &p, NODE_SYMLINK, &m, &n, err) &&
	       !tree_set_target(&b->tree, n, "/usr/lib", err));
}

static void check_tree(const struct tree *t)
{
	const struct node *dir;
	const struct dent *d;

	for (dir = t->root; dir; dir = dir->next) {
		if (!node_is_dir(dir) || !dir->nr_links)
			continue;
		for (d = dir->dir->first; d; d = d->next) {
			if (!d->node)
				continue;
			assert(d->len && d->node->nr_links);
			assert(!memchr(d->name, '/', d->len));
			assert(d->node->mode <= 07777);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct source_opts opts = { 0 };
	struct patterns exclude = { 0 };
	struct vc_error err = { 0 };
	struct ops ops = { 0 };
	struct build b;
	size_t i;

	assert(!build_init(&b, &err));
	grow(&b, &err);
	if (!manifest_parse((const char *)data, size, "dir/manifest", &ops,
			    &exclude, &err)) {
		/* the matching of patterns is libc's, and exponential */
		for (i = 0; i < exclude.nr; i++)
			assert(*exclude.texts[i]);
		for (i = 0; i < ops.nr; i++)
			if (ops.v[i].verb == OP_ADD)
				ops.v[i].verb = OP_MKDIR;
		if (!ops_apply(&b, &ops, &opts, &err) &&
		    !build_complete(&b, &err))
			check_tree(&b.tree);
	}
	ops_fini(&ops);
	patterns_fini(&exclude);
	build_fini(&b);
	return 0;
}
