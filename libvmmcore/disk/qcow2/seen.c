/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which entry named a table. No table belongs in two places of one tree, and
 * whoever walks a tree that names a few tables millions of times walks for ever,
 * in a file of no size. What was seen is remembered in slots that collide, at
 * places that nobody outside can foretell: an image with many more tables than
 * there are slots may get away with repeating some, and has paid for that with
 * as many tables.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "disk/qcow2/qcow2.h"

#define SEEN_BITS 14

struct qc_seen {
	uint64_t key; /* odd */
	struct {
		uint64_t offset; /* 0: none */
		uint32_t owner, index;
	} slots[1u << SEEN_BITS];
};

struct qc_seen *qc_seen_new(void)
{
	struct qc_seen *s = calloc(1, sizeof(*s));

	/* without it, a constant is as good against all but the malicious */
	if (s && getrandom(&s->key, sizeof(s->key), GRND_NONBLOCK) < 0)
		s->key = UINT64_C(0x9e3779b97f4a7c15);
	if (s)
		s->key |= 1;
	return s;
}

void qc_seen_clear(struct qc_seen *s)
{
	memset(s->slots, 0, sizeof(s->slots));
}

bool qc_seen_before(struct qc_seen *s, uint64_t offset, uint32_t owner,
		    uint32_t index, uint32_t *ret_index)
{
	size_t i = (size_t)((offset >> 9) * s->key >> (64 - SEEN_BITS));

	if (s->slots[i].offset == offset && s->slots[i].owner == owner &&
	    s->slots[i].index != index) {
		*ret_index = s->slots[i].index;
		return true;
	}
	s->slots[i].offset = offset;
	s->slots[i].owner = owner;
	s->slots[i].index = index;
	return false;
}
