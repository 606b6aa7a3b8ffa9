/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernels into guest memory: x86 bzImage (Documentation/arch/x86/boot.rst, the
 * 64-bit protocol), ELF with a PVH note (Xen x86/HVM direct boot ABI) and ELF
 * by the 64-bit Linux protocol; initrd; command line. Every byte of a kernel
 * file is hostile.
 */
#ifndef VMMCORE_LOADER_H
#define VMMCORE_LOADER_H

#include <vmmcore/memory.h>

VC_BEGIN_DECLS

#define VC_LOADER_MAX_KERNEL (UINT64_C(512) << 20)
#define VC_LOADER_MAX_INITRD (UINT64_C(4) << 30)
#define VC_LOADER_MAX_CMDLINE 2048 /* with the NUL */
#define VC_LOADER_MAX_PHDRS 64
#define VC_LOADER_MAX_NOTES 4096 /* bytes of notes looked at */

enum vc_kernel_proto {
	VC_KERNEL_LINUX64, /* enter `entry` in 64-bit mode, rsi = boot_params */
	VC_KERNEL_PVH,	   /* enter `entry` in 32-bit mode, ebx = start_info */
};

struct vc_kernel {
	enum vc_kernel_proto proto;
	gpa_t entry;
	gpa_t load_start, load_end; /* what was written, page aligned outward */
	uint64_t init_size;	    /* bzImage: RAM it wants at load_start */
	uint64_t initrd_max;	    /* highest address an initrd may reach */
	uint32_t cmdline_max;	    /* bytes without the NUL */
	/* bzImage: a copy of its setup header (offset 0x1f1 of the zero page) */
	uint8_t setup_header[0x290 - 0x1f1];
	size_t setup_header_len; /* 0 for ELF */
};

/* Load from `fd` (borrowed, seekable or read to memory). VC_E_CORRUPT or
 * VC_E_UNSUPPORTED say what the file is instead, where that is known. */
int vc_kernel_load(int fd, struct vc_mem *mem, struct vc_kernel *ret,
		   struct vc_error *err) VC_MUST_CHECK;

/* Put the file at the highest page-aligned place that ends below
 * min(max_end, end of RAM below 4 GiB) and above `min_start`. */
int vc_initrd_load(int fd, struct vc_mem *mem, gpa_t min_start, gpa_t max_end,
		   gpa_t *ret_gpa, uint64_t *ret_size,
		   struct vc_error *err) VC_MUST_CHECK;

/* A command line built of pieces: appended with one space between, printable
 * ASCII only, bounded. */
struct vc_cmdline {
	char text[VC_LOADER_MAX_CMDLINE];
	size_t len;
};
int vc_cmdline_add(struct vc_cmdline *c, const char *text,
		   struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
