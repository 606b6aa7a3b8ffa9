/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mkimage/source/source.h"
#include "mkimage/source/tar.h"
#include "tests/fuzz/archive.h"

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
	uint32_t nr;

	for (dir = t->root; dir; dir = dir->next) {
		if (!node_is_dir(dir) || !dir->nr_links)
			continue;
		assert(dir->dir->depth <= TREE_MAX_DEPTH);
		nr = 0;
		for (d = dir->dir->first; d; d = d->next) {
			if (!d->node)
				continue;
			nr++;
			assert(d->len && d->node->nr_links);
			assert(!memchr(d->name, '/', d->len));
			assert(!(d->len <= 2 && d->name[0] == '.' &&
				 d->name[d->len - 1] == '.'));
			assert(tree_child(t, dir, d->name, d->len) == d->node);
			assert(d->node->type < NODE_PENDING);
		}
		assert(dir->dir->nr_names == nr);
	}
}

/* The file with the input, one for all of them. */
static int write_input(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("archive", MFD_CLOEXEC);
	assert(fd >= 0 && !ftruncate(fd, 0));
	assert(pwrite(fd, data, size, 0) == (ssize_t)size);
	return fd;
}

void archive_try(const uint8_t *data, size_t size, bool is_layer)
{
	const struct stream_range range = { .fd = write_input(data, size),
					    .size = size };
	struct checker c = { .base.ops = &ops };
	struct vc_error err = { 0 };
	struct stream *s = NULL;
	struct build b;
	struct tar t;

	assert(!build_init(&b, &err));
	b.writer = &c.base;
	b.warn.is_quiet = true;
	if (!stream_open_range(&range, NULL, &s, &err) &&
	    !tar_start(&t, &b, s, NULL, &err) &&
	    !tar_to_tree(&t, is_layer, &err) && !build_complete(&b, &err))
		check_tree(&b.tree);
	stream_close(s);
	build_fini(&b);
}
