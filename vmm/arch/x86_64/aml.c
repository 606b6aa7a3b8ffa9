/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block's length is known only at its end, and how many bytes the length
 * itself takes depends on it: aml_begin_*() leaves one byte, aml_end() moves
 * the body up if more are needed. Blocks inside have ended by then, so no
 * remembered position moves.
 */
#include <string.h>
#include "vmm/arch/x86_64/aml.h"

#define OP_ZERO 0x00
#define OP_ONE 0x01
#define OP_NAME 0x08
#define OP_BYTE 0x0a
#define OP_WORD 0x0b
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_QWORD 0x0e
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_METHOD 0x14
#define OP_EXT 0x5b
#define OP_EXT_DEVICE 0x82
#define OP_IF 0xa0
#define OP_ELSE 0xa1

void aml_bytes(struct aml *a, const void *p, size_t n)
{
	if (n > a->size - a->len) {
		a->is_full = true;
		return;
	}
	memcpy(a->data + a->len, p, n);
	a->len += n;
}

void aml_u8(struct aml *a, uint8_t v)
{
	aml_bytes(a, &v, 1);
}

void aml_u16(struct aml *a, uint16_t v)
{
	aml_u8(a, (uint8_t)v);
	aml_u8(a, (uint8_t)(v >> 8));
}

void aml_u32(struct aml *a, uint32_t v)
{
	aml_u16(a, (uint16_t)v);
	aml_u16(a, (uint16_t)(v >> 16));
}

void aml_u64(struct aml *a, uint64_t v)
{
	aml_u32(a, (uint32_t)v);
	aml_u32(a, (uint32_t)(v >> 32));
}

/* --- blocks --------------------------------------------------------------- */

static size_t begin(struct aml *a)
{
	size_t at = a->len;

	aml_u8(a, 0);
	return at;
}

/* PkgLength (20.2.4): counts itself; 1 byte up to 63, else the low 4 bits and
 * 1 to 3 further bytes. */
void aml_end(struct aml *a, size_t at)
{
	size_t body = a->len - at - 1, extra, total, i;

	if (a->is_full)
		return;
	extra = body + 1 < 64 ? 0 : body + 2 < 0x1000 ? 1 : 2;
	if (extra > a->size - a->len) {
		a->is_full = true;
		return;
	}
	memmove(a->data + at + 1 + extra, a->data + at + 1, body);
	a->len += extra;
	total = body + 1 + extra;
	if (!extra) {
		a->data[at] = (uint8_t)total;
		return;
	}
	a->data[at] = (uint8_t)(extra << 6 | (total & 0xf));
	for (i = 1, total >>= 4; i <= extra; i++, total >>= 8)
		a->data[at + i] = (uint8_t)total;
}

void aml_name_ref(struct aml *a, const char *name)
{
	size_t i, n = strlen(name);

	for (i = 0; i < 4; i++)
		aml_u8(a, (uint8_t)(i < n ? name[i] : '_'));
}

size_t aml_begin_scope(struct aml *a, const char *name)
{
	size_t at;

	aml_u8(a, OP_SCOPE);
	at = begin(a);
	aml_name_ref(a, name);
	return at;
}

size_t aml_begin_device(struct aml *a, const char *name)
{
	size_t at;

	aml_u8(a, OP_EXT);
	aml_u8(a, OP_EXT_DEVICE);
	at = begin(a);
	aml_name_ref(a, name);
	return at;
}

size_t aml_begin_method(struct aml *a, const char *name, unsigned nr_args)
{
	size_t at;

	aml_u8(a, OP_METHOD);
	at = begin(a);
	aml_name_ref(a, name);
	aml_u8(a, (uint8_t)nr_args); /* not serialized */
	return at;
}

size_t aml_begin_package(struct aml *a, uint8_t nr_elements)
{
	size_t at;

	aml_u8(a, OP_PACKAGE);
	at = begin(a);
	aml_u8(a, nr_elements);
	return at;
}

size_t aml_begin_if(struct aml *a)
{
	aml_u8(a, OP_IF);
	return begin(a);
}

size_t aml_begin_else(struct aml *a)
{
	aml_u8(a, OP_ELSE);
	return begin(a);
}

/* --- values --------------------------------------------------------------- */

void aml_name(struct aml *a, const char *name)
{
	aml_u8(a, OP_NAME);
	aml_name_ref(a, name);
}

void aml_integer(struct aml *a, uint64_t v)
{
	if (v <= 1) {
		aml_u8(a, v ? OP_ONE : OP_ZERO);
	} else if (v <= UINT8_MAX) {
		aml_u8(a, OP_BYTE);
		aml_u8(a, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		aml_u8(a, OP_WORD);
		aml_u16(a, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		aml_u8(a, OP_DWORD);
		aml_u32(a, (uint32_t)v);
	} else {
		aml_u8(a, OP_QWORD);
		aml_u64(a, v);
	}
}

void aml_string(struct aml *a, const char *text)
{
	aml_u8(a, OP_STRING);
	aml_bytes(a, text, strlen(text) + 1);
}

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of 5 bits, four hexadecimal digits; big-endian in a DWord. */
void aml_eisa_id(struct aml *a, const char id[7])
{
	unsigned v = 0, i;

	for (i = 0; i < 3; i++)
		v = v << 5 | ((unsigned)(id[i] - '@') & 0x1f);
	for (i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_u8(a, OP_DWORD);
	aml_u32(a, __builtin_bswap32(v));
}

void aml_buffer(struct aml *a, const void *p, uint8_t n)
{
	size_t at;

	aml_u8(a, OP_BUFFER);
	at = begin(a);
	aml_integer(a, n);
	aml_bytes(a, p, n);
	aml_end(a, at);
}

/* --- resource descriptors (6.4) ------------------------------------------- */

#define RES_IO 0x47
#define RES_IRQ 0x22
#define RES_END 0x79
#define RES_MEM32_FIXED 0x86
#define RES_DWORD 0x87
#define RES_WORD 0x88
#define RES_QWORD 0x8a

#define RES_TYPE_MEM 0
#define RES_TYPE_IO 1
#define RES_TYPE_BUS 2
#define RES_FIXED_RANGE 0x0c /* minimum and maximum do not move */
#define RES_IO_ENTIRE_RANGE 0x03
#define RES_MEM_READ_WRITE 0x01

size_t aml_begin_resources(struct aml *a, size_t *ret_inner)
{
	size_t at;

	aml_name(a, "_CRS");
	aml_u8(a, OP_BUFFER);
	at = begin(a);
	aml_u8(a, OP_BYTE); /* the buffer's size, set at the end */
	*ret_inner = a->len;
	aml_u8(a, 0);
	return at;
}

void aml_end_resources(struct aml *a, size_t at, size_t inner)
{
	size_t n;

	aml_u8(a, RES_END);
	aml_u8(a, 0); /* no checksum */
	if (a->is_full)
		return;
	n = a->len - inner - 1;
	if (n > UINT8_MAX) {
		a->is_full = true;
		return;
	}
	a->data[inner] = (uint8_t)n;
	aml_end(a, at);
}

static void window_head(struct aml *a, uint8_t tag, uint16_t len, uint8_t type,
			uint8_t type_flags)
{
	aml_u8(a, tag);
	aml_u16(a, len);
	aml_u8(a, type);
	aml_u8(a, RES_FIXED_RANGE);
	aml_u8(a, type_flags);
}

static void word_window(struct aml *a, uint8_t type, uint8_t flags,
			uint16_t first, uint16_t last)
{
	window_head(a, RES_WORD, 13, type, flags);
	aml_u16(a, 0); /* granularity */
	aml_u16(a, first);
	aml_u16(a, last);
	aml_u16(a, 0); /* translation */
	aml_u16(a, (uint16_t)(last - first + 1));
}

void aml_res_bus(struct aml *a, uint16_t first, uint16_t last)
{
	word_window(a, RES_TYPE_BUS, 0, first, last);
}

void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last)
{
	word_window(a, RES_TYPE_IO, RES_IO_ENTIRE_RANGE, first, last);
}

void aml_res_mem32_window(struct aml *a, uint32_t first, uint32_t last)
{
	window_head(a, RES_DWORD, 23, RES_TYPE_MEM, RES_MEM_READ_WRITE);
	aml_u32(a, 0);
	aml_u32(a, first);
	aml_u32(a, last);
	aml_u32(a, 0);
	aml_u32(a, last - first + 1);
}

void aml_res_mem64_window(struct aml *a, uint64_t first, uint64_t last)
{
	window_head(a, RES_QWORD, 43, RES_TYPE_MEM, RES_MEM_READ_WRITE);
	aml_u64(a, 0);
	aml_u64(a, first);
	aml_u64(a, last);
	aml_u64(a, 0);
	aml_u64(a, last - first + 1);
}

void aml_res_io(struct aml *a, uint16_t port, uint8_t nr)
{
	aml_u8(a, RES_IO);
	aml_u8(a, 1); /* all 16 bits are decoded */
	aml_u16(a, port);
	aml_u16(a, port);
	aml_u8(a, 1); /* alignment */
	aml_u8(a, nr);
}

void aml_res_mem32(struct aml *a, uint32_t base, uint32_t size)
{
	aml_u8(a, RES_MEM32_FIXED);
	aml_u16(a, 9);
	aml_u8(a, RES_MEM_READ_WRITE);
	aml_u32(a, base);
	aml_u32(a, size);
}

void aml_res_irq(struct aml *a, unsigned irq)
{
	aml_u8(a, RES_IRQ);
	aml_u16(a, (uint16_t)(1u << irq));
}
