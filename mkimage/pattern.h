/* SPDX-License-Identifier: BSD-3-Clause */
/* Names to leave out, by pattern. See mkimage(1), "Leaving out". */
#ifndef MKIMAGE_PATTERN_H
#define MKIMAGE_PATTERN_H

#include <vmmcore/error.h>

#define PATTERNS_MAX 4096
#define PATTERN_MAX_LEN 4096 /* bytes */

struct patterns {
	char **texts; /* owned */
	size_t nr;
};

int patterns_add(struct patterns *p, const char *text,
		 struct vc_error *err) VC_MUST_CHECK;
/* Does a pattern match `path`, or a directory on the way to it? Leading and
 * doubled slashes and "." do not count. */
bool patterns_match(const struct patterns *p, const char *path);
void patterns_fini(struct patterns *p);

#endif
