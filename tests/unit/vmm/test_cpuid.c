/* SPDX-License-Identifier: BSD-3-Clause */
/* Topology and hidden features, from host CPUIDs made up for the purpose. */
#include <string.h>
#include "tests/lib/test.h"
#include "vmm/arch/x86_64/cpuid.h"

static struct vc_error err;
static struct cpuid c;

static void put(uint32_t function, uint32_t index, bool has_index, uint32_t eax,
		uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	c.e[c.nr++] = (struct vc_cpuid_entry){ function, index, has_index, eax,
					       ebx,	 ecx,	edx };
}

static void intel_host(void)
{
	memset(&c, 0, sizeof(c));
	put(0, 0, false, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	/* APIC id 77, VMX, MONITOR, OSXSAVE, x2APIC, TSC deadline */
	put(1, 0, false, 0x806f8, 0x4d400800,
	    1u << 3 | 1u << 5 | 1u << 27 | 1u << 21 | 1u << 24, 0x0febfbff);
	put(4, 0, true, 0x7c004121, 0x01c0003f, 0x3f, 0);   /* L1d */
	put(4, 1, true, 0x7c004122, 0x01c0003f, 0x3f, 0);   /* L1i */
	put(4, 2, true, 0x7c004143, 0x03c0003f, 0x7ff, 0);  /* L2 */
	put(4, 3, true, 0x7c1fc163, 0x03c0003f, 0xffff, 4); /* L3 */
	put(4, 4, true, 0, 0, 0, 0);
	put(5, 0, false, 0x40, 0x40, 3, 0x11142120);
	put(7, 0, true, 0, 0x123, 0, 1u << 15);
	put(0xa, 0, false, 0x08300805, 0, 0, 0x604);
	put(0xb, 0, true, 1, 2, 0x100, 77);
	put(0xb, 1, true, 7, 128, 0x201, 77);
	put(0x1f, 0, true, 1, 2, 0x100, 77);
	put(0x80000000, 0, false, 0x80000008, 0, 0, 0);
	put(0x80000008, 0, false, 0x3034, 0, 0, 0);
}

static void amd_host(void)
{
	memset(&c, 0, sizeof(c));
	put(0, 0, false, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	put(1, 0, false, 0xa20f10, 0x05100800, 0, 0x178bfbff);
	put(0xb, 0, true, 1, 2, 0x100, 5);
	put(0x80000000, 0, false, 0x80000021, 0, 0, 0);
	/* CmpLegacy, SVM, TopologyExtensions */
	put(0x80000001, 0, false, 0, 0, 1u << 1 | 1u << 2 | 1u << 22, 0);
	put(0x80000008, 0, false, 0x3030, 0, 0x501f, 0);
	put(0x8000000a, 0, false, 1, 0x8000, 0, 0x101bbcff);
	put(0x8000001d, 0, true, 0x4121, 0x1c0003f, 0x3f, 0);
	put(0x8000001d, 1, true, 0x3c163, 0x3c0003f, 0x3fff, 1);
	put(0x8000001d, 2, true, 0, 0, 0, 0);
	put(0x8000001e, 0, false, 5, 0x102, 0, 0);
}

static const struct vc_cpuid_entry *leaf(uint32_t function, uint32_t index)
{
	const struct vc_cpuid_entry *e = cpuid_find(&c, function, index);

	ck_assert_msg(e != NULL, "leaf 0x%x index %u", function, index);
	return e;
}

START_TEST(hides_what_is_the_hosts)
{
	intel_host();
	ck_ok(cpuid_for_vcpu(&c, 0, 1, &err), &err);
	ck_assert_uint_eq(leaf(1, 0)->ecx & (1u << 3 | 1u << 5 | 1u << 27), 0);
	ck_assert_uint_ne(leaf(1, 0)->ecx & 1u << 31, 0); /* hypervisor */
	ck_assert_uint_ne(leaf(1, 0)->ecx & 1u << 24, 0); /* stays */
	ck_assert_uint_ne(leaf(1, 0)->ecx & 1u << 21, 0);
	ck_assert_uint_eq(leaf(7, 0)->edx, 0);
	ck_assert_ptr_null(cpuid_find(&c, 5, 0));
	ck_assert_ptr_null(cpuid_find(&c, 0xa, 0));

	amd_host();
	ck_ok(cpuid_for_vcpu(&c, 0, 1, &err), &err);
	ck_assert_uint_eq(leaf(0x80000001, 0)->ecx, 1u << 22);
	ck_assert_ptr_null(cpuid_find(&c, 0x8000000a, 0));
}
END_TEST

START_TEST(one_vcpu_is_alone)
{
	intel_host();
	ck_ok(cpuid_for_vcpu(&c, 0, 1, &err), &err);
	ck_assert_uint_eq(leaf(1, 0)->ebx, 0x00010800);
	ck_assert_uint_eq(leaf(1, 0)->edx & 1u << 28, 0);
	ck_assert_uint_eq(leaf(4, 3)->eax, 0x163);
	ck_assert_uint_eq(leaf(0xb, 1)->eax, 0);
	ck_assert_uint_eq(leaf(0xb, 1)->ebx, 1);
}
END_TEST

START_TEST(intel_topology)
{
	static const struct {
		unsigned index, nr, bits;
	} t[] = { { 0, 2, 1 }, { 1, 2, 1 },   { 2, 3, 2 },
		  { 3, 4, 2 }, { 63, 64, 6 }, { 253, 254, 8 } };
	unsigned index = t[_i].index, nr = t[_i].nr, bits = t[_i].bits;
	unsigned ids = 1u << bits, leaves[] = { 0xb, 0x1f }, i;

	intel_host();
	ck_ok(cpuid_for_vcpu(&c, index, nr, &err), &err);
	ck_assert_uint_eq(leaf(1, 0)->ebx >> 24, index);
	ck_assert_uint_eq(leaf(1, 0)->ebx >> 16 & 0xff, ids > 255 ? 255 : ids);
	ck_assert_uint_eq(leaf(1, 0)->ebx & 0xffff, 0x0800);
	ck_assert_uint_ne(leaf(1, 0)->edx & 1u << 28, 0);
	for (i = 0; i < 3; i++) /* private */
		ck_assert_uint_eq(leaf(4, i)->eax >> 14 & 0xfff, 0);
	ck_assert_uint_eq(leaf(4, 3)->eax >> 14 & 0xfff, ids - 1);
	ck_assert_uint_eq(leaf(4, 3)->eax & 0x3fff, 0x163);
	ck_assert_uint_eq(leaf(4, 0)->eax >> 26, ids > 64 ? 63 : ids - 1);
	ck_assert_uint_eq(leaf(4, 4)->eax, 0);
	for (i = 0; i < 2; i++) {
		ck_assert_uint_eq(leaf(leaves[i], 0)->eax, 0);
		ck_assert_uint_eq(leaf(leaves[i], 0)->ebx, 1);
		ck_assert_uint_eq(leaf(leaves[i], 0)->ecx, 0x100);
		ck_assert_uint_eq(leaf(leaves[i], 0)->edx, index);
		ck_assert_uint_eq(leaf(leaves[i], 1)->eax, bits);
		ck_assert_uint_eq(leaf(leaves[i], 1)->ebx, nr);
		ck_assert_uint_eq(leaf(leaves[i], 1)->ecx, 0x201);
		ck_assert_uint_eq(leaf(leaves[i], 1)->edx, index);
		ck_assert_uint_eq(leaf(leaves[i], 2)->ebx, 0);
	}
	/* AMD's words are not for Intel */
	ck_assert_uint_eq(leaf(0x80000008, 0)->ecx, 0);
}
END_TEST

START_TEST(amd_topology)
{
	amd_host();
	ck_ok(cpuid_for_vcpu(&c, 3, 4, &err), &err);
	ck_assert_uint_eq(leaf(0x80000008, 0)->ecx, 2u << 12 | 3);
	ck_assert_uint_eq(leaf(0x80000008, 0)->eax, 0x3030);
	ck_assert_uint_ne(leaf(0x80000001, 0)->ecx & 1u << 1, 0);
	ck_assert_uint_eq(leaf(0x8000001d, 0)->eax, 0x121);
	ck_assert_uint_eq(leaf(0x8000001d, 1)->eax, 0x163 | 3 << 14);
	ck_assert_uint_eq(leaf(0x8000001e, 0)->eax, 3);
	ck_assert_uint_eq(leaf(0x8000001e, 0)->ebx, 3);
	ck_assert_uint_eq(leaf(0xb, 1)->ebx, 4);
	/* the host's highest leaf is below it */
	ck_assert_ptr_null(cpuid_find(&c, 0x1f, 0));
}
END_TEST

START_TEST(too_many_entries_are_refused)
{
	intel_host();
	while (c.nr < VC_HV_MAX_CPUID)
		put(0x40000100, (uint32_t)c.nr, true, 0, 0, 0, 0);
	ck_fails(cpuid_for_vcpu(&c, 0, 1, &err), &err, VC_E_LIMIT);
}
END_TEST

START_TEST(physical_address_bits)
{
	amd_host();
	ck_assert_uint_eq(cpuid_phys_bits(&c), 48);
	c.nr = 1;
	ck_assert_uint_eq(cpuid_phys_bits(&c), 36);
}
END_TEST

TEST_SUITE(suite_cpuid)
{
	Suite *s = suite_create("vmm/cpuid");
	TCase *tc = test_case(s, "cpuid");

	tcase_add_test(tc, hides_what_is_the_hosts);
	tcase_add_test(tc, one_vcpu_is_alone);
	tcase_add_loop_test(tc, intel_topology, 0, 6);
	tcase_add_test(tc, amd_topology);
	tcase_add_test(tc, too_many_entries_are_refused);
	tcase_add_test(tc, physical_address_bits);
	return s;
}
