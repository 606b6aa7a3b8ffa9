/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's CPUID, with three things changed for each vCPU:
 *
 * - topology: one package, a core for each vCPU, one thread a core, the last
 *   level cache shared, the others not. The vCPU's index is its APIC id.
 *   Intel's leaves (1, 4, 0xb, 0x1f) and AMD's (0x80000008, 0x8000001d,
 *   0x8000001e) tell the same story; a guest reads those of its vendor.
 * - nested virtualization is hidden: it is a large part of KVM's attack
 *   surface and nobody asked for it.
 * - what the host has for itself alone is hidden: performance counters,
 *   MONITOR, thermal and power management.
 *
 * (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E)
 */
#include <string.h>
#include "vmm/arch/x86_64/cpuid.h"

#define LEAF1_ECX_MONITOR (1u << 3)
#define LEAF1_ECX_VMX (1u << 5)
#define LEAF1_ECX_OSXSAVE (1u << 27)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_EDX_HTT (1u << 28)
#define LEAF7_EDX_CORE_TYPE (1u << 15) /* hybrid parts */
#define EXT1_ECX_CMP_LEGACY (1u << 1)
#define EXT1_ECX_SVM (1u << 2)
#define EXT1_ECX_TOPOEXT (1u << 22)

#define CACHE_TYPE_MASK 0x1fu
#define LEVEL_SMT 1
#define LEVEL_CORE 2
#define MAX_CACHE_INDEX 8

struct vc_cpuid_entry *cpuid_find(struct cpuid *c, uint32_t function,
				  uint32_t index)
{
	size_t i;

	for (i = 0; i < c->nr; i++)
		if (c->e[i].function == function &&
		    (!c->e[i].has_index || c->e[i].index == index))
			return &c->e[i];
	return NULL;
}

/* Remove every entry of a leaf: all its registers then read as zero. */
static void hide(struct cpuid *c, uint32_t function)
{
	size_t from, to = 0;

	for (from = 0; from < c->nr; from++)
		if (c->e[from].function != function)
			c->e[to++] = c->e[from];
	c->nr = to;
}

static void add(struct cpuid *c, struct vc_cpuid_entry e)
{
	if (c->nr == VC_HV_MAX_CPUID) {
		c->is_full = true;
		return;
	}
	c->e[c->nr++] = e;
}

static uint32_t max_leaf(struct cpuid *c, uint32_t base)
{
	const struct vc_cpuid_entry *e = cpuid_find(c, base, 0);

	return e ? e->eax : 0;
}

/* Bits that number `n` things. */
static uint32_t bits_for(uint32_t n)
{
	uint32_t bits = 0;

	while ((UINT32_C(1) << bits) < n)
		bits++;
	return bits;
}

static void set_features(struct cpuid *c, unsigned index, unsigned nr)
{
	struct vc_cpuid_entry *e = cpuid_find(c, 1, 0);
	uint32_t ids = UINT32_C(1) << bits_for(nr);

	if (e) {
		e->ebx &= 0x0000ffff;
		e->ebx |= (uint32_t)index << 24;
		/* addressable ids, 8 bits wide */
		e->ebx |= (ids > 255 ? 255 : ids) << 16;
		/* OSXSAVE mirrors the guest's CR4: KVM keeps it */
		e->ecx &= ~(LEAF1_ECX_VMX | LEAF1_ECX_MONITOR |
			    LEAF1_ECX_OSXSAVE);
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		e->edx &= ~LEAF1_EDX_HTT;
		if (nr > 1)
			e->edx |= LEAF1_EDX_HTT;
	}
	e = cpuid_find(c, 7, 0);
	if (e)
		e->edx &= ~LEAF7_EDX_CORE_TYPE;
	e = cpuid_find(c, 0x80000001, 0);
	if (e) {
		e->ecx &= ~(EXT1_ECX_SVM | EXT1_ECX_CMP_LEGACY);
		if (nr > 1)
			e->ecx |= EXT1_ECX_CMP_LEGACY;
	}
}

/* Leaf 4 and AMD's 0x8000001d: the same format but for cores per package. */
static void set_caches(struct cpuid *c, uint32_t function, unsigned nr)
{
	uint32_t ids = UINT32_C(1) << bits_for(nr);
	uint32_t i;

	for (i = 0; i < MAX_CACHE_INDEX; i++) {
		struct vc_cpuid_entry *e = cpuid_find(c, function, i);
		uint32_t level, sharing;

		if (!e || !e->has_index || !(e->eax & CACHE_TYPE_MASK))
			continue;
		level = e->eax >> 5 & 7;
		sharing = level >= 3 ? ids - 1 : 0;
		e->eax = (e->eax & 0x3fff) | sharing << 14;
		if (function == 4) /* cores per package: 6 bits */
			e->eax |= (ids > 64 ? 63 : ids - 1) << 26;
	}
}

/* Leaves 0xb and 0x1f: a level of one thread, a level of all cores. */
static void set_levels(struct cpuid *c, uint32_t function, unsigned index,
		       unsigned nr)
{
	hide(c, function);
	if (max_leaf(c, 0) < function)
		return;
	add(c, (struct vc_cpuid_entry){ .function = function,
					.index = 0,
					.has_index = true,
					.eax = 0,
					.ebx = 1,
					.ecx = LEVEL_SMT << 8,
					.edx = index });
	add(c, (struct vc_cpuid_entry){ .function = function,
					.index = 1,
					.has_index = true,
					.eax = bits_for(nr),
					.ebx = nr,
					.ecx = LEVEL_CORE << 8 | 1,
					.edx = index });
	add(c, (struct vc_cpuid_entry){ .function = function,
					.index = 2,
					.has_index = true,
					.ecx = 2,
					.edx = index });
}

static void set_amd_topology(struct cpuid *c, unsigned index, unsigned nr)
{
	struct vc_cpuid_entry *e = cpuid_find(c, 0x80000008, 0);
	const struct vc_cpuid_entry *vendor = cpuid_find(c, 0, 0);
	bool is_intel = vendor && vendor->ebx == 0x756e6547; /* "Genu" */

	if (e && !is_intel) /* id size, cores less one */
		e->ecx = bits_for(nr) << 12 | (nr - 1);
	e = cpuid_find(c, 0x80000001, 0);
	hide(c, 0x8000001e);
	if (e && e->ecx & EXT1_ECX_TOPOEXT &&
	    max_leaf(c, 0x80000000) >= 0x8000001e)
		add(c, (struct vc_cpuid_entry){ .function = 0x8000001e,
						.eax = index,
						.ebx = index & 0xff,
						.ecx = 0 });
}

static void hide_host_leaves(struct cpuid *c)
{
	static const uint32_t leaves[] = {
		3,	    /* serial number */
		5,	    /* MONITOR */
		9,	    /* direct cache access */
		0xa,	    /* performance counters */
		0x8000000a, /* SVM */
		0x80000022, /* AMD's performance counters */
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(leaves); i++)
		hide(c, leaves[i]);
}

int cpuid_for_vcpu(struct cpuid *c, unsigned index, unsigned nr_vcpus,
		   struct vc_error *err)
{
	hide_host_leaves(c);
	set_features(c, index, nr_vcpus);
	set_caches(c, 4, nr_vcpus);
	set_caches(c, 0x8000001d, nr_vcpus);
	set_levels(c, 0xb, index, nr_vcpus);
	set_levels(c, 0x1f, index, nr_vcpus);
	set_amd_topology(c, index, nr_vcpus);
	if (c->is_full)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "CPUID: more than %d entries", VC_HV_MAX_CPUID);
	return 0;
}

unsigned cpuid_phys_bits(struct cpuid *c)
{
	const struct vc_cpuid_entry *e = cpuid_find(c, 0x80000008, 0);

	return e && e->eax & 0xff ? e->eax & 0xff : 36;
}
