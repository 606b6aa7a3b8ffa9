/* SPDX-License-Identifier: BSD-3-Clause */
/* What is often asked of characters and bytes. */
#ifndef MKIMAGE_BYTES_H
#define MKIMAGE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The value of the hexadecimal digit `c`, 0 to 15; -1 if it is none. */
static inline int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static inline bool starts_with(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* Are all of them zero? Also true of none. */
static inline bool is_all_zero(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

#endif
