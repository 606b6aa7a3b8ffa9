/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/loader.h>

int vc_cmdline_add(struct vc_cmdline *c, const char *text, struct vc_error *err)
{
	size_t len = strlen(text), space = c->len ? 1 : 0;
	size_t i;

	for (i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return vc_fail(err, VC_E_ARG, 0,
				       "kernel command line: byte 0x%02x is "
				       "not printable ASCII",
				       (unsigned char)text[i]);
	if (!len)
		return 0;
	if (!vc_range_ok(c->len + space, len, sizeof(c->text) - 1))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "kernel command line: longer than %zu "
			       "characters",
			       sizeof(c->text) - 1);
	if (space)
		c->text[c->len++] = ' ';
	memcpy(c->text + c->len, text, len + 1);
	c->len += len;
	return 0;
}
