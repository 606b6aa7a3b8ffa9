/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables as a guest walks them: RSDP, XSDT, each table. What iasl says of
 * them is tests/tools/test-acpi.sh. */
#include <string.h>
#include <vmmcore/endian.h>
#include "tests/lib/test.h"
#include "vmm/arch/x86_64/acpi.h"

static struct vc_error err;
static uint8_t buf[ACPI_MAX_BYTES];
static size_t len;

static uint32_t get32(const uint8_t *p)
{
	le32_t x;

	memcpy(&x, p, sizeof(x));
	return le32_get(x);
}

static uint64_t get64(const uint8_t *p)
{
	le64_t x;

	memcpy(&x, p, sizeof(x));
	return le64_get(x);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint8_t *at(uint64_t addr)
{
	ck_assert_uint_ge(addr, ACPI_BASE);
	ck_assert_uint_lt(addr, ACPI_BASE + len);
	return buf + (addr - ACPI_BASE);
}

/* A table whose length and checksum hold. */
static uint8_t *table(uint64_t addr, const char *signature)
{
	uint8_t *t = at(addr);
	uint32_t n = get32(t + 4);

	ck_assert_mem_eq(t, signature, 4);
	ck_assert_uint_ge(n, ACPI_HEADER_BYTES);
	ck_assert_uint_le(addr - ACPI_BASE + n, len);
	ck_assert_uint_eq(sum(t, n), 0);
	return t;
}

static uint8_t *listed(const char *signature)
{
	uint8_t *xsdt = table(get64(buf + 24), "XSDT");
	uint32_t i, n = get32(xsdt + 4);

	ck_assert_uint_eq((n - ACPI_HEADER_BYTES) % 8, 0);
	for (i = ACPI_HEADER_BYTES; i < n; i += 8)
		if (!memcmp(at(get64(xsdt + i)), signature, 4))
			return table(get64(xsdt + i), signature);
	ck_abort_msg("no %s in the XSDT", signature);
	return NULL;
}

static void build(unsigned nr_vcpus, uint64_t mem_bytes)
{
	memset(buf, 0, sizeof(buf));
	ck_ok(acpi_build(nr_vcpus, mem_bytes, buf, &len, &err), &err);
}

START_TEST(rsdp_has_both_checksums)
{
	build(1, ARCH_MIN_RAM);
	ck_assert_mem_eq(buf, "RSD PTR ", 8);
	ck_assert_uint_eq(buf[15], 2);
	ck_assert_uint_eq(get32(buf + 20), ACPI_RSDP_BYTES);
	ck_assert_uint_eq(sum(buf, 20), 0);
	ck_assert_uint_eq(sum(buf, ACPI_RSDP_BYTES), 0);
}
END_TEST

START_TEST(fadt_describes_the_ports)
{
	uint8_t *f, *facs;

	build(2, ARCH_MIN_RAM);
	f = listed("FACP");
	ck_assert_uint_eq(get32(f + 4), 276);
	ck_assert_uint_eq(f[8], 6);
	facs = at(get32(f + 36));
	ck_assert_mem_eq(facs, "FACS", 4);
	ck_assert_uint_eq(get32(facs + 4), 64);
	ck_assert_uint_eq(get32(f + 36) % 64, 0);
	table(get32(f + 40), "DSDT");
	ck_assert_uint_eq(get64(f + 140), get32(f + 40));
	ck_assert_uint_eq(f[46], ARCH_IRQ_SCI);
	ck_assert_uint_eq(get32(f + 56), ARCH_PORT_PM1A_EVT);
	ck_assert_uint_eq(get32(f + 64), ARCH_PORT_PM1A_CNT);
	ck_assert_uint_eq(f[88], ARCH_PM1A_EVT_LEN);
	ck_assert_uint_eq(f[89], ARCH_PM1A_CNT_LEN);
	ck_assert_uint_eq(get64(f + 116 + 4), ARCH_PORT_RESET);
	ck_assert_uint_eq(f[128], ARCH_RESET_VALUE);
	ck_assert_uint_eq(get64(f + 148 + 4), ARCH_PORT_PM1A_EVT);
	ck_assert_uint_eq(get64(f + 172 + 4), ARCH_PORT_PM1A_CNT);
}
END_TEST

START_TEST(madt_lists_every_vcpu)
{
	static const unsigned nrs[] = { 1, 2, 3, 8, 64, ARCH_MAX_VCPUS };
	unsigned cpus = 0, ioapics = 0, overrides = 0, nmis = 0;
	uint8_t *m, *p, *end;

	build(nrs[_i], ARCH_MIN_RAM);
	m = listed("APIC");
	end = m + get32(m + 4);
	for (p = m + 44; p < end; p += p[1]) {
		ck_assert_uint_ge(p[1], 2);
		ck_assert_uint_le(p[1], (size_t)(end - p));
		switch (p[0]) {
		case 0:
			ck_assert_uint_eq(p[3], cpus);
			ck_assert_uint_eq(get32(p + 4), 1);
			cpus++;
			break;
		case 1:
			ck_assert_uint_eq(get32(p + 4), 0xfec00000);
			ioapics++;
			break;
		case 2:
			if (p[3] == 0)
				ck_assert_uint_eq(get32(p + 4), 2);
			else
				ck_assert_uint_eq(get32(p + 4), ARCH_IRQ_SCI);
			overrides++;
			break;
		case 4:
			nmis++;
			break;
		default:
			ck_abort_msg("MADT entry of type %u", p[0]);
		}
	}
	ck_assert_ptr_eq(p, end);
	ck_assert_uint_eq(cpus, nrs[_i]);
	ck_assert_uint_eq(ioapics, 1);
	ck_assert_uint_eq(overrides, 2);
	ck_assert_uint_eq(nmis, 1);
}
END_TEST

START_TEST(mcfg_describes_ecam)
{
	uint8_t *m;

	build(1, ARCH_MIN_RAM);
	m = listed("MCFG");
	ck_assert_uint_eq(get32(m + 4), 60);
	ck_assert_uint_eq(get64(m + 44), ARCH_ECAM_BASE);
	ck_assert_uint_eq(m[54], 0);
	ck_assert_uint_eq(m[55], ARCH_ECAM_NR_BUSES - 1);
}
END_TEST

/* --- the AML writer ------------------------------------------------------- */

/* A package of a buffer of `n` bytes, and how many bytes its length takes. */
START_TEST(package_lengths)
{
	static const struct {
		size_t body;
		uint8_t head[3];
		size_t nr_head;
	} t[] = {
		{ 0, { 5 }, 1 },
		{ 58, { 63 }, 1 },
		{ 59, { 0x41, 4 }, 2 },
		{ 4089, { 0x4f, 0xff }, 2 },
		{ 4090, { 0x81, 0, 1 }, 3 },
	};
	uint8_t data[5000], zero[5000] = { 0 };
	struct aml a = { .data = data, .size = sizeof(data) };
	size_t block = aml_begin_scope(&a, "X");

	aml_bytes(&a, zero, t[_i].body);
	aml_end(&a, block);
	ck_assert(!a.is_full);
	ck_assert_uint_eq(a.len, 1 + t[_i].nr_head + 4 + t[_i].body);
	ck_assert_mem_eq(data + 1, t[_i].head, t[_i].nr_head);
	ck_assert_mem_eq(data + 1 + t[_i].nr_head, "X___", 4);
}
END_TEST

START_TEST(aml_values)
{
	static const uint8_t want[] = {
		0x00, 0x01, 0x0a, 0x02, 0x0b, 0x00, 0x01, 0x0c,
		0x00, 0x00, 0x01, 0x00, 0x0e, 0,    0,	  0,
		0,    1,    0,	  0,	0,    0x0d, 'h',  'i',
		0,    0x0c, 0x41, 0xd0, 0x0a, 0x08, /* EisaId ("PNP0A08") */
	};
	uint8_t data[64];
	struct aml a = { .data = data, .size = sizeof(data) };

	aml_integer(&a, 0);
	aml_integer(&a, 1);
	aml_integer(&a, 2);
	aml_integer(&a, 0x100);
	aml_integer(&a, 0x10000);
	aml_integer(&a, UINT64_C(0x100000000));
	aml_string(&a, "hi");
	aml_eisa_id(&a, "PNP0A08");
	ck_assert_uint_eq(a.len, sizeof(want));
	ck_assert_mem_eq(data, want, sizeof(want));
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
	uint8_t data[64];
	size_t size;

	memset(data, 0x77, sizeof(data));
	for (size = 0; size < 40; size++) {
		struct aml a = { .data = data, .size = size };
		size_t block = aml_begin_device(&a, "DEV"), crs, inner;

		crs = aml_begin_resources(&a, &inner);
		aml_res_io(&a, 0x3f8, 8);
		aml_end_resources(&a, crs, inner);
		aml_end(&a, block);
		ck_assert(a.is_full == (size < 26));
		ck_assert_uint_eq(data[size], 0x77);
	}
}
END_TEST

TEST_SUITE(suite_acpi)
{
	Suite *s = suite_create("vmm/acpi");
	TCase *tc = test_case(s, "tables");

	tcase_add_test(tc, rsdp_has_both_checksums);
	tcase_add_test(tc, fadt_describes_the_ports);
	tcase_add_loop_test(tc, madt_lists_every_vcpu, 0, 6);
	tcase_add_test(tc, mcfg_describes_ecam);

	tc = test_case(s, "aml");
	tcase_add_loop_test(tc, package_lengths, 0, 5);
	tcase_add_test(tc, aml_values);
	tcase_add_test(tc, a_full_buffer_is_told);
	return s;
}
