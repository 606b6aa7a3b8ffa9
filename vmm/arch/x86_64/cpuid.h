/* SPDX-License-Identifier: BSD-3-Clause */
/* The processor a guest sees. */
#ifndef ARCH_X86_64_CPUID_H
#define ARCH_X86_64_CPUID_H

#include "vmm/arch/x86_64/arch.h"

struct cpuid {
	struct vc_cpuid_entry e[VC_HV_MAX_CPUID];
	size_t nr;
	bool is_full; /* an entry did not fit */
};

/* The entry of a leaf, or NULL; `index` counts only for leaves that have it. */
struct vc_cpuid_entry *cpuid_find(struct cpuid *c, uint32_t function,
				  uint32_t index);

/* Turn what the host offers into what vCPU `index` of `nr_vcpus` shows. */
int cpuid_for_vcpu(struct cpuid *c, unsigned index, unsigned nr_vcpus,
		   struct vc_error *err) VC_MUST_CHECK;

/* Bits of a guest-physical address. */
unsigned cpuid_phys_bits(struct cpuid *c);

#endif
