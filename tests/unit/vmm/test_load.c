/* SPDX-License-Identifier: BSD-3-Clause */
/* What arch_load() leaves in memory, read back as a kernel would. */
#include <string.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include "tests/lib/test.h"
#include "tests/unit/loader/synthetic.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/load.h"

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

static struct vc_error err;
static struct vc_mem *mem;
static struct arch_config cfg;
static struct vc_vcpu_entry entry;
static uint8_t file[SYN_MAX], initrd[5000];

static void setup(void)
{
	memset(initrd, 'i', sizeof(initrd));
	cfg = (struct arch_config){ .nr_vcpus = 2,
				    .mem_bytes = 64 * MIB,
				    .cmdline = "console=ttyS0",
				    .kernel_fd = -1,
				    .initrd_fd = -1 };
	ck_ok(vc_mem_new(&mem, &err), &err);
}

static void teardown(void)
{
	if (cfg.kernel_fd >= 0)
		close(cfg.kernel_fd);
	if (cfg.initrd_fd >= 0)
		close(cfg.initrd_fd);
	mem = vc_mem_free(mem);
}

static void load(size_t kernel_bytes)
{
	cfg.kernel_fd = syn_file(file, kernel_bytes);
	ck_ok(arch_add_ram(mem, cfg.mem_bytes, &err), &err);
	ck_ok(arch_load(&cfg, mem, &entry, &err), &err);
}

static uint32_t guest32(gpa_t gpa)
{
	le32_t v;

	ck_assert(vc_mem_read(mem, gpa, &v, sizeof(v)));
	return le32_get(v);
}

static uint64_t guest64(gpa_t gpa)
{
	le64_t v;

	ck_assert(vc_mem_read(mem, gpa, &v, sizeof(v)));
	return le64_get(v);
}

START_TEST(linux_gets_boot_params)
{
	uint8_t zp[4096];
	char text[16];

	cfg.initrd_fd = syn_file(initrd, sizeof(initrd));
	load(syn_bzimage(file));
	ck_assert(entry.is_64bit);
	ck_assert_uint_eq(entry.rip, SYN_BZ_PREF + 0x200);
	ck_assert_uint_eq(entry.rsi, LOAD_BOOT_PARAMS);
	ck_assert(vc_mem_read(mem, entry.rsi, zp, sizeof(zp)));
	ck_assert_mem_eq(zp + 0x202, "HdrS", 4);
	ck_assert_uint_eq(zp[0x210], 0xff); /* type of loader */
	ck_assert_uint_eq(zp[0x1ef], 0);    /* sentinel */
	ck_assert_uint_eq(guest64(entry.rsi + 0x70), ACPI_BASE);
	ck_assert_uint_eq(guest32(entry.rsi + 0x218), 64 * MIB - 8192);
	ck_assert_uint_eq(guest32(entry.rsi + 0x21c), sizeof(initrd));
	ck_assert(vc_mem_read(mem, guest32(entry.rsi + 0x228), text, 14));
	ck_assert_str_eq(text, "console=ttyS0");
}
END_TEST

/* Follow the tables for an address; all below 4 GiB is mapped to itself. */
START_TEST(page_tables_are_the_identity)
{
	static const uint64_t addrs[] = { 0, 0x7000, 0x1000200, 0xbfffffff,
					  0xffffffff };
	uint64_t a = addrs[_i], e;

	load(syn_bzimage(file));
	e = guest64(entry.cr3 + (a >> 39 & 511) * 8);
	ck_assert_uint_eq(e & 0x83, 3);
	e = guest64((e & ~UINT64_C(0xfff)) + (a >> 30 & 511) * 8);
	ck_assert_uint_eq(e & 0x83, 3);
	e = guest64((e & ~UINT64_C(0xfff)) + (a >> 21 & 511) * 8);
	ck_assert_uint_eq(e & 0x83, 0x83);
	ck_assert_uint_eq((e & ~UINT64_C(0x1fffff)) | (a & 0x1fffff), a);
}
END_TEST

START_TEST(pvh_gets_start_info)
{
	gpa_t map;

	cfg.initrd_fd = syn_file(initrd, sizeof(initrd));
	load(syn_elf(file));
	ck_assert(!entry.is_64bit);
	ck_assert_uint_eq(entry.rip, SYN_ELF_PVH);
	ck_assert_uint_eq(guest32(entry.rbx), 0x336ec578);
	ck_assert_uint_eq(guest32(entry.rbx + 4), 1);
	ck_assert_uint_eq(guest32(entry.rbx + 12), 1);
	ck_assert_uint_eq(guest64(guest64(entry.rbx + 16)), 64 * MIB - 8192);
	ck_assert_uint_eq(guest64(guest64(entry.rbx + 16) + 8), sizeof(initrd));
	ck_assert_uint_eq(guest64(entry.rbx + 24), LOAD_CMDLINE);
	ck_assert_uint_eq(guest64(entry.rbx + 32), ACPI_BASE);
	map = guest64(entry.rbx + 40);
	ck_assert_uint_eq(guest32(entry.rbx + 48), 4);
	ck_assert_uint_eq(guest64(map + 2 * 24), MIB);
	ck_assert_uint_eq(guest64(map + 2 * 24 + 8), 63 * MIB);
	ck_assert_uint_eq(guest32(map + 2 * 24 + 16), E820_RAM);
}
END_TEST

START_TEST(an_elf_gets_a_made_up_header)
{
	size_t n = syn_elf(file);

	syn_put32(file + SYN_ELF_NOTE + 28, 17);
	load(n);
	ck_assert_uint_eq(entry.rip, SYN_ELF_ENTRY);
	ck_assert_uint_eq(guest32(entry.rsi + 0x202), 0x53726448);
	ck_assert_uint_eq(guest32(entry.rsi + 0x218), 0); /* no initrd */
}
END_TEST

/* Sorted, apart, all RAM told of and nothing else. */
START_TEST(e820_covers_the_ram)
{
	static const uint64_t sizes[] = { 32 * MIB, 3 * GIB, 3 * GIB + 4096,
					  4 * GIB, 64 * GIB };
	struct e820_range r[LOAD_MAX_E820];
	size_t i, nr = load_e820(sizes[_i], r);
	uint64_t ram = 0, end = 0;

	for (i = 0; i < nr; i++) {
		ck_assert_uint_ge(r[i].addr, end);
		ck_assert_uint_ne(r[i].size, 0);
		end = r[i].addr + r[i].size;
		if (r[i].type == E820_RAM)
			ram += r[i].size;
	}
	ck_assert_uint_eq(ram, sizes[_i] - (MIB - LOAD_RAM_END_640K));
	ck_assert_uint_ge(arch_pci_mem64(sizes[_i]), end);
	ck_assert_uint_eq(arch_pci_mem64(sizes[_i]) % ARCH_PCI_MEM64_SIZE, 0);
}
END_TEST

START_TEST(ram_is_split_around_the_gap)
{
	ck_ok(arch_add_ram(mem, 4 * GIB, &err), &err);
	ck_assert_uint_eq(vc_mem_nr_regions(mem), 2);
	ck_assert(vc_mem_contains(mem, 3 * GIB - 4096, 4096));
	ck_assert(!vc_mem_contains(mem, 3 * GIB, 1));
	ck_assert(vc_mem_contains(mem, 4 * GIB, GIB));
	ck_assert(!vc_mem_contains(mem, 5 * GIB, 1));
}
END_TEST

START_TEST(refuses_bad_sizes)
{
	static const uint64_t bad[] = { 0,
					4096,
					ARCH_MIN_RAM - 4096,
					ARCH_MIN_RAM + 1,
					ARCH_MAX_RAM + 4096,
					UINT64_MAX };

	ck_fails(arch_add_ram(mem, bad[_i], &err), &err, VC_E_CONFIG);
	ck_assert_uint_eq(vc_mem_nr_regions(mem), 0);
}
END_TEST

START_TEST(refuses_bad_configurations)
{
	size_t n = syn_bzimage(file);

	syn_put32(file + 0x238, 5); /* cmdline_size */
	cfg.kernel_fd = syn_file(file, n);
	ck_ok(arch_add_ram(mem, cfg.mem_bytes, &err), &err);
	ck_fails(arch_load(&cfg, mem, &entry, &err), &err, VC_E_LIMIT);
	cfg.nr_vcpus = 0;
	ck_fails(arch_load(&cfg, mem, &entry, &err), &err, VC_E_CONFIG);
	cfg.nr_vcpus = ARCH_MAX_VCPUS + 1;
	ck_fails(arch_load(&cfg, mem, &entry, &err), &err, VC_E_CONFIG);
}
END_TEST

TEST_SUITE(suite_load)
{
	Suite *s = suite_create("vmm/load");
	TCase *tc = test_case(s, "load");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, linux_gets_boot_params);
	tcase_add_loop_test(tc, page_tables_are_the_identity, 0, 5);
	tcase_add_test(tc, pvh_gets_start_info);
	tcase_add_test(tc, an_elf_gets_a_made_up_header);
	tcase_add_loop_test(tc, e820_covers_the_ram, 0, 5);
	tcase_add_test(tc, ram_is_split_around_the_gap);
	tcase_add_loop_test(tc, refuses_bad_sizes, 0, 6);
	tcase_add_test(tc, refuses_bad_configurations);
	return s;
}
