/* SPDX-License-Identifier: BSD-3-Clause */
/* A piece of text that is not terminated, and may have NULs in it. */
#ifndef MKIMAGE_SOURCE_TEXT_H
#define MKIMAGE_SOURCE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
	const char *p;
	size_t len;
};

static inline bool text_is(struct text t, const char *want)
{
	return strlen(want) == t.len && !memcmp(t.p, want, t.len);
}

static inline bool text_is_one_of(struct text t, const char *const *names)
{
	for (; *names; names++)
		if (text_is(t, *names))
			return true;
	return false;
}

static inline bool text_starts_with(struct text t, const char *with)
{
	return t.len >= strlen(with) && !memcmp(t.p, with, strlen(with));
}

static inline bool text_has_nul(struct text t)
{
	return memchr(t.p, '\0', t.len) != NULL;
}

static inline size_t text_count_digits(struct text t)
{
	size_t n = 0;

	while (n < t.len && t.p[n] >= '0' && t.p[n] <= '9')
		n++;
	return n;
}

#endif
