/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <vmmcore/error.h>

int vc_fail(struct vc_error *err, enum vc_errc code, int sys, const char *fmt,
	    ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->code = code;
	err->sys = sys;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int vc_prefix(struct vc_error *err, const char *fmt, ...)
{
	char head[sizeof(err->msg)], old[sizeof(err->msg)];
	va_list ap;
	size_t n;

	if (!err)
		return -1;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(old, err->msg, sizeof(old));
	n = (size_t)snprintf(err->msg, sizeof(err->msg), "%s", head);
	if (n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
	return -1;
}

const char *vc_error_str(const struct vc_error *err, char *buf, size_t size)
{
	if (err->sys)
		snprintf(buf, size, "%s: %s", err->msg, strerror(err->sys));
	else
		snprintf(buf, size, "%s", err->msg);
	return buf;
}

/* Length of the UTF-8 sequence at `s`, 0 if it is not a valid, printable one
 * (C1 controls and surrogates are not). */
static size_t utf8_len(const unsigned char *s)
{
	unsigned cp, min;
	size_t n, i;

	if (s[0] >= 0x20 && s[0] < 0x7f)
		return 1;
	if ((s[0] & 0xe0) == 0xc0) {
		n = 2;
		cp = s[0] & 0x1fu;
		min = 0xa0;
	} else if ((s[0] & 0xf0) == 0xe0) {
		n = 3;
		cp = s[0] & 0x0fu;
		min = 0x800;
	} else if ((s[0] & 0xf8) == 0xf0) {
		n = 4;
		cp = s[0] & 0x07u;
		min = 0x10000;
	} else {
		return 0;
	}
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	return n;
}

const char *vc_printable(const char *text, char *buf, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	while (*s) {
		size_t n = utf8_len(s);
		size_t need = n ? n : 4;

		if (used + need >= size)
			break;
		if (n) {
			memcpy(buf + used, s, n);
			s += n;
		} else {
			snprintf(buf + used, size - used, "\\x%02x", *s++);
		}
		used += need;
	}
	if (size)
		buf[used] = '\0';
	return buf;
}

int vc_exit_status(const struct vc_error *err)
{
	return err->code == VC_E_ARG ? 2 : 1;
}
