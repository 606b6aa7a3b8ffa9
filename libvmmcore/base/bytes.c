/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmmcore/bytes.h>

const uint8_t *vc_bytes_view(struct vc_bytes *c, size_t len)
{
	const uint8_t *p;

	if (c->bad || len > c->size - c->pos) {
		c->bad = true;
		return NULL;
	}
	p = c->data + c->pos;
	c->pos += len;
	return p;
}

bool vc_bytes_get(struct vc_bytes *c, void *buf, size_t len)
{
	const uint8_t *p = vc_bytes_view(c, len);

	if (!p)
		return false;
	if (len)
		memcpy(buf, p, len);
	return true;
}

bool vc_bytes_skip(struct vc_bytes *c, size_t len)
{
	return vc_bytes_view(c, len) != NULL;
}

bool vc_bytes_seek(struct vc_bytes *c, size_t pos)
{
	if (c->bad || pos > c->size) {
		c->bad = true;
		return false;
	}
	c->pos = pos;
	return true;
}

bool vc_bytes_get_u8(struct vc_bytes *c, uint8_t *ret)
{
	return vc_bytes_get(c, ret, 1);
}

#define DEFINE_GET(order, bits)                              \
	bool vc_bytes_get_##order##bits(struct vc_bytes *c,  \
					uint##bits##_t *ret) \
	{                                                    \
		order##bits##_t x;                           \
                                                             \
		if (!vc_bytes_get(c, &x, sizeof(x)))         \
			return false;                        \
		*ret = order##bits##_get(x);                 \
		return true;                                 \
	}

DEFINE_GET(le, 16)
DEFINE_GET(le, 32)
DEFINE_GET(le, 64)
DEFINE_GET(be, 16)
DEFINE_GET(be, 32)
DEFINE_GET(be, 64)
