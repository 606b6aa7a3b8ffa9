/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Half MD4: the three rounds of MD4 on eight words in place of sixteen, one
 * after the other over pieces of 32 bytes of the name. Characters count as
 * signed on every host, which the superblock says (EXT2_FLAGS_SIGNED_HASH): a
 * kernel of any architecture then finds names that are not ASCII.
 */
#include "mkimage/ext4/dirhash.h"

#define PIECE 32
#define HASH_EOF 0x7fffffffu

static uint32_t rotl(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t pick(uint32_t x, uint32_t y, uint32_t z)
{
	return z ^ (x & (y ^ z));
}

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) + ((x ^ y) & z);
}

static uint32_t parity(uint32_t x, uint32_t y, uint32_t z)
{
	return x ^ y ^ z;
}

typedef uint32_t (*mix_fn)(uint32_t, uint32_t, uint32_t);

static void half_md4(uint32_t buf[4], const uint32_t in[8])
{
	static const struct {
		mix_fn mix;
		uint32_t add;
		uint8_t order[8];
		uint8_t shift[4];
	} rounds[3] = {
		{ pick, 0, { 0, 1, 2, 3, 4, 5, 6, 7 }, { 3, 7, 11, 19 } },
		{ majority,
		  0x5a827999,
		  { 1, 3, 5, 7, 0, 2, 4, 6 },
		  { 3, 5, 9, 13 } },
		{ parity,
		  0x6ed9eba1,
		  { 3, 7, 2, 6, 1, 5, 0, 4 },
		  { 3, 9, 11, 15 } },
	};
	uint32_t v[4] = { buf[0], buf[1], buf[2], buf[3] };
	unsigned r, i, at;

	for (r = 0; r < 3; r++) {
		for (i = 0; i < 8; i++) {
			/* the word that changes goes a, d, c, b, a, ... */
			at = (4 - i) & 3;
			v[at] += rounds[r].mix(v[(at + 1) & 3], v[(at + 2) & 3],
					       v[(at + 3) & 3]) +
				 in[rounds[r].order[i]] + rounds[r].add;
			v[at] = rotl(v[at], rounds[r].shift[i & 3]);
		}
	}
	for (i = 0; i < 4; i++)
		buf[i] += v[i];
}

/* A piece of the name as eight words, filled up with its length. */
static void fill_words(const char *name, size_t len, uint32_t out[8])
{
	uint32_t pad = (uint32_t)len | (uint32_t)len << 8, word;
	size_t i, n = len < PIECE ? len : PIECE;
	unsigned at = 0;

	pad |= pad << 16;
	word = pad;
	for (i = 0; i < n; i++) {
		word = (uint32_t)(int)(signed char)name[i] + (word << 8);
		if (i % 4 == 3) {
			out[at++] = word;
			word = pad;
		}
	}
	if (at < 8)
		out[at++] = word;
	while (at < 8)
		out[at++] = pad;
}

void e4_dirhash(const uint32_t seed[4], const char *name, size_t len,
		uint32_t *ret_major, uint32_t *ret_minor)
{
	uint32_t buf[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	uint32_t words[8], hash;
	int i;

	if (seed[0] || seed[1] || seed[2] || seed[3])
		for (i = 0; i < 4; i++)
			buf[i] = seed[i];
	while (len) {
		fill_words(name, len, words);
		half_md4(buf, words);
		if (len <= PIECE)
			break;
		name += PIECE;
		len -= PIECE;
	}
	hash = buf[1] & ~1u;
	if (hash == HASH_EOF << 1)
		hash = (HASH_EOF - 1) << 1;
	*ret_major = hash;
	*ret_minor = buf[2];
}
