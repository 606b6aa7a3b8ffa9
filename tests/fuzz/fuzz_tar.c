/* SPDX-License-Identifier: BSD-3-Clause */
/* An archive to a tree: libarchive's parser, names, links, attributes, ACLs. The
 * writer keeps nothing but checks what it is handed. */
#include <archive.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "mkimage/source/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct checker {
	struct writer base;
	struct node *file;
	uint64_t pos;
};

static struct checker *to_checker(struct writer *w)
{
	return vc_container_of(w, struct checker, base);
}

static int file_begin(struct writer *w, struct node *n, struct vc_error *err)
{
	struct checker *c = to_checker(w);

	(void)err;
	assert(n->type == NODE_FILE && !n->ext.nr);
	c->file = n;
	c->pos = 0;
	return 0;
}

static int file_data(struct writer *w, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err)
{
	struct checker *c = to_checker(w);

	(void)data;
	(void)err;
	assert(c->file && len && len <= c->file->size_bytes);
	assert(offset >= c->pos && offset <= c->file->size_bytes - len);
	c->pos = offset + len;
	return 0;
}

static int file_end(struct writer *w, struct vc_error *err)
{
	(void)err;
	to_checker(w)->file = NULL;
	return 0;
}

static void file_drop(struct writer *w, struct node *n)
{
	(void)w;
	assert(n->type == NODE_FILE);
}

static const struct writer_ops ops = {
	.name = "checker",
	.file_begin = file_begin,
	.file_data = file_data,
	.file_end = file_end,
	.file_drop = file_drop,
};

/* What every name in the tree must be, and every node count. */
static void check_tree(struct tree *t)
{
	const struct node *dir;
	const struct dent *d;

	for (dir = t->root; dir; dir = dir->next) {
		if (!node_is_dir(dir) || !dir->nr_links)
			continue;
		assert(dir->dir->depth <= TREE_MAX_DEPTH);
		for (d = dir->dir->first; d; d = d->next) {
			if (!d->node)
				continue;
			assert(d->len && d->node->nr_links);
			assert(!memchr(d->name, '/', d->len));
			assert(!(d->len <= 2 && d->name[0] == '.' &&
				 d->name[d->len - 1] == '.'));
			assert(tree_child(t, dir, d->name, d->len) == d->node);
			assert(d->node->type < NODE_PENDING);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct archive_opts opts = { .is_layer = size % 2 };
	struct checker c = { .base.ops = &ops };
	struct vc_error err = { 0 };
	struct archive *a = archive_read_new();
	struct build b;

	assert(a && !build_init(&b, &err));
	b.writer = &c.base;
	b.warn.is_quiet = true;
	archive_read_support_format_tar(a);
	if (archive_read_open_memory(a, data, size) == ARCHIVE_OK &&
	    !source_archive(&b, a, &opts, &err) && !build_complete(&b, &err))
		check_tree(&b.tree);
	archive_read_free(a);
	build_fini(&b);
	return 0;
}
