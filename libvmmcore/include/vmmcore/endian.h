/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Integers of fixed byte order. On-disk and wire structures are made only of
 * these and of bytes, so that a field cannot be used unconverted, needs no
 * alignment, and sizeof has no padding to hide.
 */
#ifndef VMMCORE_ENDIAN_H
#define VMMCORE_ENDIAN_H

#include <string.h>
#include <vmmcore/cdefs.h>

typedef struct {
	uint8_t b[2];
} le16_t;
typedef struct {
	uint8_t b[4];
} le32_t;
typedef struct {
	uint8_t b[8];
} le64_t;
typedef struct {
	uint8_t b[2];
} be16_t;
typedef struct {
	uint8_t b[4];
} be32_t;
typedef struct {
	uint8_t b[8];
} be64_t;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VC_LE(n, v) (v)
#define VC_BE(n, v) __builtin_bswap##n(v)
#else
#define VC_LE(n, v) __builtin_bswap##n(v)
#define VC_BE(n, v) (v)
#endif

static inline uint16_t le16_get(le16_t x)
{
	uint16_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_LE(16, v);
}
static inline le16_t le16_put(uint16_t v)
{
	le16_t x;

	v = VC_LE(16, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

static inline uint32_t le32_get(le32_t x)
{
	uint32_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_LE(32, v);
}
static inline le32_t le32_put(uint32_t v)
{
	le32_t x;

	v = VC_LE(32, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

static inline uint64_t le64_get(le64_t x)
{
	uint64_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_LE(64, v);
}
static inline le64_t le64_put(uint64_t v)
{
	le64_t x;

	v = VC_LE(64, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

static inline uint16_t be16_get(be16_t x)
{
	uint16_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_BE(16, v);
}
static inline be16_t be16_put(uint16_t v)
{
	be16_t x;

	v = VC_BE(16, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

static inline uint32_t be32_get(be32_t x)
{
	uint32_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_BE(32, v);
}
static inline be32_t be32_put(uint32_t v)
{
	be32_t x;

	v = VC_BE(32, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

static inline uint64_t be64_get(be64_t x)
{
	uint64_t v;

	memcpy(&v, x.b, sizeof(v));
	return VC_BE(64, v);
}
static inline be64_t be64_put(uint64_t v)
{
	be64_t x;

	v = VC_BE(64, v);
	memcpy(x.b, &v, sizeof(v));
	return x;
}

#endif
