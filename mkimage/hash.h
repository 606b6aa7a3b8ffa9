/* SPDX-License-Identifier: BSD-3-Clause */
/* xxHash, fast enough to run over every byte that goes by. It tells contents
 * apart by accident, not against an adversary. The values are the same on every
 * machine. */
#ifndef MKIMAGE_HASH_H
#define MKIMAGE_HASH_H

#include "config.h"
#define XXH_STATIC_LINKING_ONLY /* for states that are no pointers */
#include <xxhash.h>
#ifdef HAVE_XXH3_DISPATCH /* by what this processor can do */
#include <xxh_x86dispatch.h>
#endif
#include <vmmcore/endian.h>

static inline uint64_t xxh64(const void *data, size_t len, uint64_t seed)
{
	return XXH64(data, len, seed);
}

/* Of whole blocks; several times as fast. */
static inline uint64_t xxh3(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

/* --- piece by piece ------------------------------------------------------- */

struct xxh64 {
	XXH64_state_t state;
};

static inline void xxh64_init(struct xxh64 *h, uint64_t seed)
{
	XXH64_reset(&h->state, seed);
}

static inline void xxh64_update(struct xxh64 *h, const void *data, size_t len)
{
	XXH64_update(&h->state, data, len);
}

/* As little-endian. */
static inline void xxh64_update_u64(struct xxh64 *h, uint64_t v)
{
	const le64_t w = le64_put(v);

	xxh64_update(h, &w, sizeof(w));
}

static inline uint64_t xxh64_final(const struct xxh64 *h)
{
	return XXH64_digest(&h->state);
}

#endif
