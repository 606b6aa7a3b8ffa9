/* SPDX-License-Identifier: BSD-3-Clause */
/* Many small objects of one life time: allocated by bumping a pointer, freed
 * all together. */
#ifndef MKIMAGE_ARENA_H
#define MKIMAGE_ARENA_H

#include <vmmcore/cdefs.h>

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;
	size_t left;
	uint8_t *next;
};

/* Zeroed, aligned to 8; NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t size);
void arena_fini(struct arena *a);

#endif
