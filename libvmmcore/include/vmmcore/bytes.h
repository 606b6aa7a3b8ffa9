/* SPDX-License-Identifier: BSD-3-Clause */
/* A cursor over bytes from outside: each get checks, a failed one moves
 * nothing and makes every later get fail, so a parser may check once. */
#ifndef VMMCORE_BYTES_H
#define VMMCORE_BYTES_H

#include <vmmcore/endian.h>

VC_BEGIN_DECLS

struct vc_bytes {
	const uint8_t *data; /* borrowed */
	size_t size;
	size_t pos;
	bool bad; /* a get went past the end */
};

static inline struct vc_bytes vc_bytes_init(const void *data, size_t size)
{
	return (struct vc_bytes){ (const uint8_t *)data, size, 0, false };
}
static inline size_t vc_bytes_left(const struct vc_bytes *c)
{
	return c->bad ? 0 : c->size - c->pos;
}

/* All return false past the end. */
bool vc_bytes_get(struct vc_bytes *c, void *buf, size_t len);
/* A borrowed view of the next `len` bytes, or NULL. */
const uint8_t *vc_bytes_view(struct vc_bytes *c, size_t len);
bool vc_bytes_skip(struct vc_bytes *c, size_t len);
bool vc_bytes_seek(struct vc_bytes *c, size_t pos);
bool vc_bytes_get_u8(struct vc_bytes *c, uint8_t *ret);
bool vc_bytes_get_le16(struct vc_bytes *c, uint16_t *ret);
bool vc_bytes_get_le32(struct vc_bytes *c, uint32_t *ret);
bool vc_bytes_get_le64(struct vc_bytes *c, uint64_t *ret);
bool vc_bytes_get_be16(struct vc_bytes *c, uint16_t *ret);
bool vc_bytes_get_be32(struct vc_bytes *c, uint32_t *ret);
bool vc_bytes_get_be64(struct vc_bytes *c, uint64_t *ret);

VC_END_DECLS

#endif
