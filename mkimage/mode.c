/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/util.h>
#include "mkimage/mode.h"

#define SET_IDS 06000

static int parse_octal(const char *text, uint16_t *ret, struct vc_error *err)
{
	size_t len = strlen(text);

	if (!len || len > 5 || strspn(text, "01234567") != len ||
	    strtoul(text, NULL, 8) > 07777)
		return vc_fail(err, VC_E_ARG, 0, "not an octal mode");
	*ret = (uint16_t)strtoul(text, NULL, 8);
	return 0;
}

/* "ugoa", as the bits that are theirs; moves `p` on. */
static uint16_t get_who(const char **p)
{
	uint16_t who = 0;

	for (;; ++*p) {
		switch (**p) {
		case 'u':
			who |= 04700;
			break;
		case 'g':
			who |= 02070;
			break;
		case 'o':
			who |= 01007;
			break;
		case 'a':
			who |= 07777;
			break;
		default:
			return who ? who : 07777;
		}
	}
}

/* "rwxXst", as bits of everybody; moves `p` on. */
static uint16_t get_bits(const char **p, bool is_dir, uint16_t mode)
{
	uint16_t bits = 0;

	for (;; ++*p) {
		switch (**p) {
		case 'r':
			bits |= 0444;
			break;
		case 'w':
			bits |= 0222;
			break;
		case 'X':
			if (!is_dir && !(mode & 0111))
				break;
			__attribute__((fallthrough));
		case 'x':
			bits |= 0111;
			break;
		case 's':
			bits |= SET_IDS;
			break;
		case 't':
			bits |= 01000;
			break;
		default:
			return bits;
		}
	}
}

/* A clause up to ',' or the end: "go-w", "u=rwx", "a+r-x". */
static int apply_clause(const char **p, bool is_dir, uint16_t *mode)
{
	const uint16_t who = get_who(p);
	uint16_t bits, cleared;
	char how;

	if (!**p || !strchr("+-=", **p))
		return -1;
	while (**p && strchr("+-=", **p)) {
		how = *(*p)++;
		bits = get_bits(p, is_dir, *mode) & who;
		/* those of a directory stay unless they are named */
		cleared = is_dir ? who & (uint16_t)~SET_IDS : who;
		if (how == '=')
			*mode &= (uint16_t)~cleared;
		if (how == '-')
			*mode &= (uint16_t)~bits;
		else
			*mode |= bits;
	}
	return 0;
}

int mode_change(const char *text, bool is_dir, uint16_t *mode,
		struct vc_error *err)
{
	const char *p = text;

	if (*p >= '0' && *p <= '9')
		return parse_octal(text, mode, err);
	for (;; p++) {
		if (apply_clause(&p, is_dir, mode) || (*p && *p != ','))
			return vc_fail(err, VC_E_ARG, 0,
				       "neither an octal mode nor one like "
				       "u=rwX,go-w");
		if (!*p)
			return 0;
	}
}
