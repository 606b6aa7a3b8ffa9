/* SPDX-License-Identifier: BSD-3-Clause */
/* Checked arithmetic for values from outside: true means it overflowed, as
 * with C23's ckd_*; *ret is then not to be used. */
#ifndef VMMCORE_CHECKED_H
#define VMMCORE_CHECKED_H

#include <vmmcore/cdefs.h>

#define vc_ckd_add(ret, a, b) __builtin_add_overflow((a), (b), (ret))
#define vc_ckd_sub(ret, a, b) __builtin_sub_overflow((a), (b), (ret))
#define vc_ckd_mul(ret, a, b) __builtin_mul_overflow((a), (b), (ret))

/* Is [off, off + len) inside [0, size)? Cannot overflow. */
static inline bool vc_range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

static inline bool vc_is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* `align` is a power of two. Rounding up can overflow: check against a limit
 * first. */
static inline uint64_t vc_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}
static inline uint64_t vc_align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}
static inline uint64_t vc_div_round_up(uint64_t v, uint64_t by)
{
	return v / by + !!(v % by);
}
static inline uint64_t vc_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
