/* SPDX-License-Identifier: BSD-3-Clause */
/* What had to be changed or left out of an image: told to the user one by one,
 * or, with --strict, an error at the first. */
#ifndef MKIMAGE_WARN_H
#define MKIMAGE_WARN_H

#include <vmmcore/error.h>

#define WARN_MAX_KEPT 100

struct warnings {
	bool is_strict, is_quiet;
	uint64_t nr;
	char *kept[WARN_MAX_KEPT]; /* owned */
};

/* Returns 0, or -1 and `err` if warnings are errors. */
int warn_add(struct warnings *w, struct vc_error *err, const char *fmt, ...)
	VC_PRINTF(3, 4) VC_MUST_CHECK;
/* Say which entry an error is about, if it does not; -1. `entry` is printable. */
int warn_prefix(struct vc_error *err, const char *entry);
void warn_fini(struct warnings *w);

#endif
