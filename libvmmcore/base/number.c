/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and sizes as users type them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>

/* The longest text looked at: a number with a fraction and a suffix. */
#define NUMBER_MAX_TEXT 64

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Digits of `base` from *p on; false for none or overflow. */
static bool scan(const char **p, unsigned base, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	while ((unsigned)digit(*s) < base) {
		if (vc_ckd_mul(&v, v, base) ||
		    vc_ckd_add(&v, v, (unsigned)digit(*s)))
			return false;
		s++;
	}
	if (s == *p)
		return false;
	*p = s;
	*ret = v;
	return true;
}

int vc_parse_u64(const char *text, uint64_t max, uint64_t *ret,
		 struct vc_error *err)
{
	char shown[NUMBER_MAX_TEXT];
	const char *p = text;
	unsigned base = 10;
	uint64_t v;

	if (p[0] == '0' && p[1]) {
		base = p[1] == 'x'   ? 16
		       : p[1] == 'o' ? 8
		       : p[1] == 'b' ? 2
				     : 10;
		if (base != 10)
			p += 2;
	}
	if (!scan(&p, base, &v) || *p)
		return vc_fail(err, VC_E_ARG, 0, "'%s': not a whole number",
			       vc_printable(text, shown, sizeof(shown)));
	if (v > max)
		return vc_fail(err, VC_E_ARG, 0, "'%s': more than %llu",
			       vc_printable(text, shown, sizeof(shown)),
			       (unsigned long long)max);
	*ret = v;
	return 0;
}

static int bad_size(const char *text, struct vc_error *err)
{
	char shown[NUMBER_MAX_TEXT];

	return vc_fail(err, VC_E_ARG, 0,
		       "'%s': not a size (a number with an optional suffix "
		       "k, M, G, T, P or E)",
		       vc_printable(text, shown, sizeof(shown)));
}

int vc_parse_size(const char *text, uint64_t *ret_bytes, struct vc_error *err)
{
	static const char suffixes[] = "bkmgtpe";
	const char *p = text, *suffix;
	uint64_t whole, bytes, frac = 0, scale = 1;
	unsigned shift = 0;

	/* bytes: k, M, ... would be digits or not */
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		p += 2;
		if (!scan(&p, 16, ret_bytes) || *p)
			return bad_size(text, err);
		return 0;
	}
	if (!scan(&p, 10, &whole))
		return bad_size(text, err);
	if (*p == '.') {
		const char *start = ++p;

		/* nine digits are finer than a byte of any sensible size */
		for (; isdigit((unsigned char)*p); p++)
			if (p - start < 9) {
				frac = frac * 10 + (uint64_t)digit(*p);
				scale *= 10;
			}
		if (p == start)
			return bad_size(text, err);
	}
	if (*p) {
		suffix = strchr(suffixes, tolower((unsigned char)*p));
		if (!suffix || p[1])
			return bad_size(text, err);
		shift = 10 * (unsigned)(suffix - suffixes);
	}
	if (scale > 1 && !shift)
		return bad_size(text, err);
	if (vc_ckd_mul(&bytes, whole, UINT64_C(1) << shift))
		return bad_size(text, err);
	if (frac) {
		__uint128_t f = ((__uint128_t)frac << shift) / scale;

		if (vc_ckd_add(&bytes, bytes, (uint64_t)f))
			return bad_size(text, err);
	}
	*ret_bytes = bytes;
	return 0;
}

const char *vc_human_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "",   "Ki", "Mi", "Gi",
					     "Ti", "Pi", "Ei" };
	double v = (double)bytes;
	unsigned i = 0;

	/* three digits: the next unit begins at 1000, not at 1024 */
	for (; i + 1 < VC_ARRAY_SIZE(units) && v >= 1000; i++)
		v /= 1024;
	snprintf(buf, size, "%.3g %sB", v, units[i]);
	return buf;
}
