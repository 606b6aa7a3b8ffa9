/* SPDX-License-Identifier: BSD-3-Clause */
/* RAM around the gap below 4 GiB, and the PCI window above it. */
#include <vmmcore/checked.h>
#include "vmm/arch/x86_64/arch.h"

#define PAGE_BYTES UINT64_C(4096)

gpa_t arch_pci_mem64(uint64_t mem_bytes)
{
	uint64_t end = ARCH_RAM_HIGH;

	if (mem_bytes > ARCH_RAM_LOW_END)
		end += mem_bytes - ARCH_RAM_LOW_END;
	return vc_align_up(end, ARCH_PCI_MEM64_SIZE);
}

int arch_add_ram(struct vc_mem *mem, uint64_t bytes, struct vc_error *err)
{
	uint64_t low = vc_min_u64(bytes, ARCH_RAM_LOW_END);

	if (bytes < ARCH_MIN_RAM || bytes > ARCH_MAX_RAM || bytes % PAGE_BYTES)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "memory of %llu bytes: must be whole pages, "
			       "%llu MiB to %llu GiB",
			       (unsigned long long)bytes,
			       (unsigned long long)(ARCH_MIN_RAM >> 20),
			       (unsigned long long)(ARCH_MAX_RAM >> 30));
	if (vc_mem_add_ram(mem, "guest-ram-low", 0, low, err) < 0)
		return -1;
	if (bytes > low && vc_mem_add_ram(mem, "guest-ram-high", ARCH_RAM_HIGH,
					  bytes - low, err) < 0)
		return -1;
	return 0;
}
