/* SPDX-License-Identifier: BSD-3-Clause */
/* The formats a kernel can have. */
#ifndef LOADER_KERNEL_H
#define LOADER_KERNEL_H

#include "loader/source.h"

#define LD_HEAD_BYTES 1024 /* enough to tell what a file is */

/* Both look at the first `n` bytes only. */
bool ld_is_bzimage(const uint8_t *head, size_t n);
bool ld_is_elf(const uint8_t *head, size_t n);

int ld_load_bzimage(const struct ld_source *src, struct vc_mem *mem,
		    struct vc_kernel *ret, struct vc_error *err) VC_MUST_CHECK;
int ld_load_elf(const struct ld_source *src, struct vc_mem *mem,
		struct vc_kernel *ret, struct vc_error *err) VC_MUST_CHECK;

#endif
