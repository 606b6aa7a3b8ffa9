/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmmcore/endian.h>
#include "mkimage/hash.h"

#define P1 UINT64_C(0x9E3779B185EBCA87)
#define P2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define P3 UINT64_C(0x165667B19E3779F9)
#define P4 UINT64_C(0x85EBCA77C2B2AE63)
#define P5 UINT64_C(0x27D4EB2F165667C5)

static inline uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline uint64_t word(const uint8_t *p)
{
	le64_t w;

	memcpy(&w, p, sizeof(w));
	return le64_get(w);
}

static inline uint64_t mix(uint64_t acc, uint64_t w)
{
	return rotl(acc + w * P2, 31) * P1;
}

static inline uint64_t merge(uint64_t h, uint64_t lane)
{
	return (h ^ mix(0, lane)) * P1 + P4;
}

void xxh64_init(struct xxh64 *h, uint64_t seed)
{
	*h = (struct xxh64){
		.lane = { seed + P1 + P2, seed + P2, seed, seed - P1 },
		.seed = seed,
	};
}

/* Whole stripes of 32 bytes; returns how many bytes were taken. */
static size_t stripes(struct xxh64 *h, const uint8_t *p, size_t len)
{
	uint64_t a = h->lane[0], b = h->lane[1], c = h->lane[2], d = h->lane[3];
	size_t done;

	for (done = 0; len - done >= 32; done += 32) {
		a = mix(a, word(p + done));
		b = mix(b, word(p + done + 8));
		c = mix(c, word(p + done + 16));
		d = mix(d, word(p + done + 24));
	}
	h->lane[0] = a;
	h->lane[1] = b;
	h->lane[2] = c;
	h->lane[3] = d;
	return done;
}

void xxh64_update(struct xxh64 *h, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t n;

	h->total += len;
	if (h->nr_buf) {
		n = 32 - h->nr_buf;
		if (n > len)
			n = len;
		memcpy(h->buf + h->nr_buf, p, n);
		h->nr_buf += (uint32_t)n;
		p += n;
		len -= n;
		if (h->nr_buf < 32)
			return;
		stripes(h, h->buf, 32);
		h->nr_buf = 0;
	}
	n = stripes(h, p, len);
	if (len - n)
		memcpy(h->buf, p + n, len - n);
	h->nr_buf = (uint32_t)(len - n);
}

void xxh64_update_u64(struct xxh64 *h, uint64_t v)
{
	le64_t w = le64_put(v);

	xxh64_update(h, &w, sizeof(w));
}

uint64_t xxh64_final(const struct xxh64 *h)
{
	const uint8_t *p = h->buf, *end = h->buf + h->nr_buf;
	uint64_t v;
	le32_t half;

	if (h->total >= 32) {
		v = rotl(h->lane[0], 1) + rotl(h->lane[1], 7) +
		    rotl(h->lane[2], 12) + rotl(h->lane[3], 18);
		v = merge(v, h->lane[0]);
		v = merge(v, h->lane[1]);
		v = merge(v, h->lane[2]);
		v = merge(v, h->lane[3]);
	} else {
		v = h->seed + P5;
	}
	v += h->total;
	for (; end - p >= 8; p += 8)
		v = rotl(v ^ mix(0, word(p)), 27) * P1 + P4;
	if (end - p >= 4) {
		memcpy(&half, p, sizeof(half));
		v = rotl(v ^ le32_get(half) * P1, 23) * P2 + P3;
		p += 4;
	}
	for (; p < end; p++)
		v = rotl(v ^ *p * P5, 11) * P1;
	v = (v ^ v >> 33) * P2;
	v = (v ^ v >> 29) * P3;
	return v ^ v >> 32;
}

uint64_t xxh64(const void *data, size_t len, uint64_t seed)
{
	struct xxh64 h;

	xxh64_init(&h, seed);
	xxh64_update(&h, data, len);
	return xxh64_final(&h);
}
