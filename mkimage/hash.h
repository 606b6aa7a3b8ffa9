/* SPDX-License-Identifier: BSD-3-Clause */
/* XXH64, streaming: fast enough to run over every byte that goes by. It tells
 * contents apart by accident, not against an adversary. */
#ifndef MKIMAGE_HASH_H
#define MKIMAGE_HASH_H

#include <vmmcore/cdefs.h>

struct xxh64 {
	uint64_t lane[4];
	uint64_t total;
	uint64_t seed;
	uint8_t buf[32];
	uint32_t nr_buf;
};

void xxh64_init(struct xxh64 *h, uint64_t seed);
void xxh64_update(struct xxh64 *h, const void *data, size_t len);
void xxh64_update_u64(struct xxh64 *h, uint64_t v); /* as little-endian */
uint64_t xxh64_final(const struct xxh64 *h);
uint64_t xxh64(const void *data, size_t len, uint64_t seed);

#endif
