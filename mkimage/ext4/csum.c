/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <vmmcore/endian.h>
#include "mkimage/ext4/csum.h"

#define POLY_REFLECTED 0x82f63b78u

/* table[n][b]: the effect of byte b, n bytes before the end of a word of 8. */
static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
	uint32_t b, crc;
	int i, n;

	for (b = 0; b < 256; b++) {
		crc = b;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? POLY_REFLECTED : 0);
		table[0][b] = crc;
	}
	for (n = 1; n < 8; n++)
		for (b = 0; b < 256; b++)
			table[n][b] = table[n - 1][b] >> 8 ^
				      table[0][table[n - 1][b] & 0xff];
}

uint32_t e4_crc32c_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	le32_t lo, hi;
	uint32_t a, b;

	pthread_once(&once, fill_table);
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&lo, p, 4);
		memcpy(&hi, p + 4, 4);
		a = le32_get(lo) ^ crc;
		b = le32_get(hi);
		crc = table[7][a & 0xff] ^ table[6][a >> 8 & 0xff] ^
		      table[5][a >> 16 & 0xff] ^ table[4][a >> 24] ^
		      table[3][b & 0xff] ^ table[2][b >> 8 & 0xff] ^
		      table[1][b >> 16 & 0xff] ^ table[0][b >> 24];
	}
	for (; len; len--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t c = crc, w;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&w, p, sizeof(w));
		c = _mm_crc32_u64(c, w);
	}
	for (; len; len--, p++)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}

uint32_t e4_crc32c(uint32_t crc, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
	return e4_crc32c_table(crc, data, len);
}
#else
uint32_t e4_crc32c(uint32_t crc, const void *data, size_t len)
{
	return e4_crc32c_table(crc, data, len);
}
#endif
