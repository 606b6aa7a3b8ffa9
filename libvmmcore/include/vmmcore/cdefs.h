/* SPDX-License-Identifier: BSD-3-Clause */
/* What every public header needs: linkage, visibility and attributes. */
#ifndef VMMCORE_CDEFS_H
#define VMMCORE_CDEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define VC_EXTERN_BEGIN extern "C" {
#define VC_EXTERN_END }
#else
#define VC_EXTERN_BEGIN
#define VC_EXTERN_END
#endif

/* Between these two, declarations are exported from the shared library. */
#define VC_BEGIN_DECLS VC_EXTERN_BEGIN _Pragma("GCC visibility push(default)")
#define VC_END_DECLS _Pragma("GCC visibility pop") VC_EXTERN_END

#define VC_MUST_CHECK __attribute__((warn_unused_result))
#define VC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define VC_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define vc_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
