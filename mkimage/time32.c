/* SPDX-License-Identifier: BSD-3-Clause */
#include "mkimage/time32.h"

uint32_t time32_clamp(struct time32_losses *l, int64_t sec)
{
	if (sec >= 0 && sec <= UINT32_MAX)
		return (uint32_t)sec;
	l->nr_clamped++;
	return sec < 0 ? 0 : UINT32_MAX;
}

uint32_t time32_get(struct time32_losses *l, struct tree_time t)
{
	l->nr_fractions += t.nsec != 0;
	return time32_clamp(l, t.sec);
}

int time32_warn(const struct time32_losses *l, const char *format,
		struct warnings *w, struct vc_error *err)
{
	if (l->nr_clamped &&
	    warn_add(w, err,
		     "%llu times before 1970 or after 2106 changed: %s cannot "
		     "say them",
		     (unsigned long long)l->nr_clamped, format))
		return -1;
	if (l->nr_fractions &&
	    warn_add(w, err,
		     "%llu times cut to whole seconds: %s has no others",
		     (unsigned long long)l->nr_fractions, format))
		return -1;
	return 0;
}
