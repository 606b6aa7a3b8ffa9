/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <vmmcore/checked.h>
#include "mkimage/arena.h"

#define CHUNK_BYTES (size_t)(256 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	uint64_t align[];
};

static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
	struct arena_chunk *c = calloc(1, sizeof(*c) + size);

	if (c) {
		c->next = a->chunks;
		a->chunks = c;
	}
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c;
	void *ret;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size_t)vc_align_up(size, 8);
	if (size > CHUNK_BYTES / 8) {
		/* its own chunk: the current one goes on being filled */
		c = add_chunk(a, size);
		return c ? c->align : NULL;
	}
	if (size > a->left) {
		c = add_chunk(a, CHUNK_BYTES);
		if (!c)
			return NULL;
		a->next = (uint8_t *)c->align;
		a->left = CHUNK_BYTES;
	}
	ret = a->next;
	a->next += size;
	a->left -= size;
	return ret;
}

void arena_fini(struct arena *a)
{
	struct arena_chunk *c, *next;

	for (c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct arena){ 0 };
}
