/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/log.h>
#include "mkimage/warn.h"

int warn_add(struct warnings *w, struct vc_error *err, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (w->is_strict)
		return vc_fail(err, VC_E_CORRUPT, 0, "%s (--strict)", text);
	if (w->nr < WARN_MAX_KEPT) {
		if (asprintf(&w->kept[w->nr], "%s", text) < 0)
			return vc_fail(err, VC_E_SYS, ENOMEM, "warning");
		if (!w->is_quiet)
			vc_log(VC_LOG_WARN, "warning", "%s", text);
	} else if (w->nr == WARN_MAX_KEPT && !w->is_quiet) {
		vc_log(VC_LOG_WARN, "warning",
		       "there is more of this: only counted from here on");
	}
	w->nr++;
	return 0;
}

int warn_prefix(struct vc_error *err, const char *entry)
{
	/* a warning that became an error names it already */
	if (!strncmp(err->msg, "entry '", strlen("entry '")))
		return -1;
	return vc_prefix(err, "entry '%s'", *entry ? entry : "/");
}

void warn_fini(struct warnings *w)
{
	size_t i;

	for (i = 0; i < WARN_MAX_KEPT; i++)
		free(w->kept[i]);
	*w = (struct warnings){ 0 };
}
