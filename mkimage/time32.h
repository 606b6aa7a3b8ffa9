/* SPDX-License-Identifier: BSD-3-Clause */
/* Times in formats that have 32 bits for them: whole seconds, from 1970 to
 * 2106. What is lost that way is counted, to be told once at the end. */
#ifndef MKIMAGE_TIME32_H
#define MKIMAGE_TIME32_H

#include "mkimage/tree.h"
#include "mkimage/warn.h"

struct time32_losses {
	uint64_t nr_clamped;   /* before 1970 or after 2106 */
	uint64_t nr_fractions; /* of a second */
};

/* The nearest that there is to `sec` seconds after 1970. */
uint32_t time32_clamp(struct time32_losses *l, int64_t sec);
/* Of a time of the tree. */
uint32_t time32_get(struct time32_losses *l, struct tree_time t);
/* Warn of what was lost. `format` is the name of what has no other times. */
int time32_warn(const struct time32_losses *l, const char *format,
		struct warnings *w, struct vc_error *err) VC_MUST_CHECK;

#endif
