/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of a mode, in the words of chmod(1). */
#ifndef MKIMAGE_MODE_H
#define MKIMAGE_MODE_H

#include <stdbool.h>
#include <stdint.h>
#include <vmmcore/error.h>

/* What `mode` becomes by "755", octal, or "u=rwX,go-w". There is no umask: no
 * letter in front is "a". VC_E_ARG if it is neither. */
int mode_change(const char *text, bool is_dir, uint16_t *mode,
		struct vc_error *err) VC_MUST_CHECK;

#endif
