/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of a mode, in the words of chmod(1). */
#ifndef MKIMAGE_MODE_H
#define MKIMAGE_MODE_H

#include <stdbool.h>
#include <stdint.h>
#include <vmmcore/error.h>

/* "755", octal, to the bits a mode has. */
int mode_parse(const char *text, uint16_t *ret,
	       struct vc_error *err) VC_MUST_CHECK;
/* The same, or "u=rwX,go-w": what `mode` becomes by it. There is no umask: no
 * letter in front is "a". VC_E_ARG if it is neither. */
int mode_change(const char *text, bool is_dir, uint16_t *mode,
		struct vc_error *err) VC_MUST_CHECK;

#endif
