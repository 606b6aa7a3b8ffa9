/* SPDX-License-Identifier: BSD-3-Clause */
/* UUID and hash seed from all that is in the image: the same content has the
 * same ones, other content others. */
#include <string.h>
#include "mkimage/ext4/fs.h"

/* What there is of a node, into the sum in one piece. */
struct words {
	le64_t w[16];
	size_t nr;
};

static void add(struct words *x, uint64_t v)
{
	x->w[x->nr++] = le64_put(v);
}

static void add_time(struct words *x, struct tree_time t)
{
	add(x, (uint64_t)t.sec);
	add(x, t.nsec);
}

static void add_node(const struct e4 *fs, struct xxh64 *h, const struct node *n)
{
	const struct xset *set = xset_get(&fs->tree->xsets, n->xset);
	struct words x = { .nr = 0 };

	add(&x, n->ino);
	add(&x, (uint64_t)n->type << 32 | n->mode);
	add(&x, (uint64_t)n->uid << 32 | n->gid);
	add(&x, (uint64_t)n->flags << 32 | n->nr_links);
	add(&x, n->size_bytes);
	add_time(&x, n->mtime);
	add_time(&x, n->atime);
	add_time(&x, n->ctime);
	if (n->has_btime)
		add_time(&x, n->btime);
	add(&x, set ? set->hash : 0);
	if (n->type == NODE_FILE)
		add(&x, n->digest);
	else if (n->type == NODE_CHAR || n->type == NODE_BLOCK)
		add(&x, (uint64_t)n->dev.major << 32 | n->dev.minor);
	xxh64_update(h, x.w, x.nr * sizeof(x.w[0]));
	if (n->type == NODE_SYMLINK)
		xxh64_update(h, n->target, (size_t)n->size_bytes);
}

static void add_names(struct xxh64 *h, const struct node *dir)
{
	const struct dent *d;

	for (d = dir->dir->first; d; d = d->next) {
		if (!d->node)
			continue;
		xxh64_update_u64(h, (uint64_t)d->node->ino << 8 | d->len);
		xxh64_update(h, d->name, d->len);
	}
}

static uint64_t digest(const struct e4 *fs)
{
	const struct node *n;
	struct xxh64 h;

	if (fs->opts.seed)
		return xxh64(fs->opts.seed, strlen(fs->opts.seed), 0);
	xxh64_init(&h, 0);
	for (n = fs->tree->root; n; n = n->next) {
		if (!n->nr_links)
			continue;
		add_node(fs, &h, n);
		if (node_is_dir(n))
			add_names(&h, n);
	}
	xxh64_update(&h, fs->opts.label, sizeof(fs->opts.label));
	xxh64_update_u64(&h, (uint64_t)fs->time);
	return xxh64_final(&h);
}

void e4_make_ident(struct e4 *fs)
{
	const le64_t sum = le64_put(digest(fs));
	uint64_t half;
	le64_t v;
	int i;

	for (i = 0; i < 2; i++) {
		v = le64_put(xxh64(&sum, sizeof(sum), (uint64_t)i));
		memcpy(fs->uuid.b + 8 * i, &v, sizeof(v));
		half = xxh64(&sum, sizeof(sum), (uint64_t)i + 2);
		fs->hash_seed[2 * i] = (uint32_t)half;
		fs->hash_seed[2 * i + 1] = (uint32_t)(half >> 32);
	}
	/* version 8: made by a rule of our own; the usual variant */
	fs->uuid.b[6] = (uint8_t)((fs->uuid.b[6] & 0x0f) | 0x80);
	fs->uuid.b[8] = (uint8_t)((fs->uuid.b[8] & 0x3f) | 0x80);
	if (fs->opts.has_uuid)
		fs->uuid = fs->opts.uuid;
	fs->csum_seed = e4_crc32c(UINT32_MAX, fs->uuid.b, sizeof(fs->uuid.b));
}
