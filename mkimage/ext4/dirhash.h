/* SPDX-License-Identifier: BSD-3-Clause */
/* The hash of names that ext4's directory index is sorted by. */
#ifndef MKIMAGE_EXT4_DIRHASH_H
#define MKIMAGE_EXT4_DIRHASH_H

#include <vmmcore/cdefs.h>

/* Half MD4 with signed characters; seed of all zeroes: the built-in one. */
void e4_dirhash(const uint32_t seed[4], const char *name, size_t len,
		uint32_t *ret_major, uint32_t *ret_minor);

#endif
