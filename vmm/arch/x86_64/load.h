/* SPDX-License-Identifier: BSD-3-Clause */
/* What lies below 1 MiB when the guest starts, and the memory map it is told
 * of. Addresses as arch.h shows them. */
#ifndef ARCH_X86_64_LOAD_H
#define ARCH_X86_64_LOAD_H

#include <vmmcore/loader.h>
#include "vmm/arch/x86_64/arch.h"

#define LOAD_GDT UINT64_C(0x500)
#define LOAD_PVH_INFO UINT64_C(0x6000)
#define LOAD_PVH_MODULE UINT64_C(0x6040)
#define LOAD_PVH_MEMMAP UINT64_C(0x6100)
#define LOAD_BOOT_PARAMS UINT64_C(0x7000)
#define LOAD_STACK UINT64_C(0x8ff0)
#define LOAD_PAGE_TABLES UINT64_C(0x9000)
#define LOAD_CMDLINE UINT64_C(0x20000)
#define LOAD_RAM_END_640K UINT64_C(0xa0000)
#define LOAD_HIGH_MEM UINT64_C(0x100000)

#define E820_RAM 1
#define E820_RESERVED 2
#define LOAD_MAX_E820 8

struct e820_range {
	uint64_t addr, size;
	uint32_t type;
};

/* Returns how many. */
size_t load_e820(uint64_t mem_bytes, struct e820_range ret[LOAD_MAX_E820]);

/* What is in memory besides the kernel. */
struct load_payload {
	gpa_t initrd;
	uint64_t initrd_bytes; /* 0: none */
	gpa_t rsdp;
};

int load_boot_params(struct vc_mem *mem, const struct vc_kernel *kernel,
		     const struct load_payload *payload, uint64_t mem_bytes,
		     struct vc_error *err) VC_MUST_CHECK;
int load_pvh_info(struct vc_mem *mem, const struct load_payload *payload,
		  uint64_t mem_bytes, struct vc_error *err) VC_MUST_CHECK;

#endif
