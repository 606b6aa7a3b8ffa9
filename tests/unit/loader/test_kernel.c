/* SPDX-License-Identifier: BSD-3-Clause */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/loader/synthetic.h"

static struct vc_error err;
static struct vc_mem *mem;
static struct vc_kernel kernel;
static uint8_t file[SYN_MAX], guest[SYN_MAX];

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "ram", 0, SYN_RAM, &err), &err);
}

static void teardown(void)
{
	mem = vc_mem_free(mem);
}

static int load(size_t n)
{
	int fd = syn_file(file, n);
	int ret = vc_kernel_load(fd, mem, &kernel, &err);

	close(fd);
	return ret;
}

START_TEST(loads_a_bzimage)
{
	ck_ok(load(syn_bzimage(file)), &err);
	ck_assert_int_eq(kernel.proto, VC_KERNEL_LINUX64);
	ck_assert_uint_eq(kernel.entry, SYN_BZ_PREF + 0x200);
	ck_assert_uint_eq(kernel.load_start, SYN_BZ_PREF);
	ck_assert_uint_eq(kernel.load_end, SYN_BZ_PREF + SYN_BZ_PAYLOAD);
	ck_assert_uint_eq(kernel.init_size, SYN_BZ_INIT_SIZE);
	ck_assert_uint_eq(kernel.initrd_max, 0x7fffffff);
	ck_assert_uint_eq(kernel.cmdline_max, 2047);
	ck_assert_uint_eq(kernel.setup_header_len, 0x268 - 0x1f1);
	ck_assert_mem_eq(kernel.setup_header, file + 0x1f1, 0x268 - 0x1f1);
	ck_assert(vc_mem_read(mem, SYN_BZ_PREF, guest, SYN_BZ_PAYLOAD));
	ck_assert_mem_eq(guest, file + SYN_BZ_SETUP, SYN_BZ_PAYLOAD);
}
END_TEST

START_TEST(reads_a_bzimage_from_a_pipe)
{
	size_t n = syn_bzimage(file);
	int p[2];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(vc_write_full(p[1], file, n), 0);
	close(p[1]);
	ck_ok(vc_kernel_load(p[0], mem, &kernel, &err), &err);
	close(p[0]);
	ck_assert(vc_mem_read(mem, SYN_BZ_PREF, guest, SYN_BZ_PAYLOAD));
	ck_assert_mem_eq(guest, file + SYN_BZ_SETUP, SYN_BZ_PAYLOAD);
}
END_TEST

START_TEST(moves_a_bzimage_that_does_not_fit)
{
	size_t n = syn_bzimage(file);

	syn_put64(file + 0x258, SYN_RAM - 4096);
	ck_ok(load(n), &err);
	ck_assert_uint_eq(kernel.load_start, 0x200000);
	file[0x234] = 0; /* not relocatable */
	ck_fails(load(n), &err, VC_E_CONFIG);
}
END_TEST

START_TEST(header_length_is_bounded)
{
	size_t n = syn_bzimage(file);

	file[0x201] = 0xff;
	ck_ok(load(n), &err);
	ck_assert_uint_eq(kernel.setup_header_len, sizeof(kernel.setup_header));
	file[0x201] = 0;
	ck_ok(load(n), &err);
	ck_assert_uint_eq(kernel.setup_header_len, 0x202 - 0x1f1);
}
END_TEST

START_TEST(the_last_paragraph_may_be_cut)
{
	size_t n = syn_bzimage(file);

	ck_ok(load(n - 15), &err);
	ck_fails(load(n - 16), &err, VC_E_CORRUPT);
}
END_TEST

/* One field of the header, one outcome. */
static const struct {
	size_t offset;
	unsigned bytes;
	uint64_t value;
	enum vc_errc code;
} bad_bzimages[] = {
	{ 0x206, 2, 0x20b, VC_E_UNSUPPORTED }, /* version */
	{ 0x236, 2, 0, VC_E_UNSUPPORTED },     /* 32-bit only */
	{ 0x211, 1, 0, VC_E_UNSUPPORTED },     /* zImage */
	{ 0x230, 4, 0, VC_E_CORRUPT },	       /* alignment */
	{ 0x230, 4, 0x300000, VC_E_CORRUPT },
	{ 0x230, 4, 0x80000000, VC_E_CORRUPT },
	{ 0x230, 4, 16, VC_E_CORRUPT },
	{ 0x258, 8, 0, VC_E_CORRUPT },	    /* preferred address */
	{ 0x258, 8, 0x7000, VC_E_CORRUPT }, /* over our tables */
	{ 0x258, 8, 0x1000001, VC_E_CORRUPT },
	{ 0x258, 8, UINT64_MAX - 4095, VC_E_CORRUPT },
	{ 0x260, 4, 0, VC_E_CORRUPT }, /* init_size */
	{ 0x260, 4, 4095, VC_E_CORRUPT },
	{ 0x260, 4, 0xffffffff, VC_E_CONFIG },
	{ 0x1f4, 4, 0, VC_E_CORRUPT },	     /* syssize */
	{ 0x1f4, 4, 0x10000, VC_E_CORRUPT }, /* truncated */
	{ 0x1f4, 4, 0xffffffff, VC_E_CORRUPT },
	{ 0x1f1, 1, 255, VC_E_CORRUPT }, /* setup past the end */
};

START_TEST(refuses_bad_bzimages)
{
	size_t n = syn_bzimage(file);

	memset(guest, 0x5a, sizeof(guest));
	syn_put(file + bad_bzimages[_i].offset, bad_bzimages[_i].bytes,
		bad_bzimages[_i].value);
	memset(&kernel, 0x5a, sizeof(kernel));
	ck_fails(load(n), &err, bad_bzimages[_i].code);
	/* written only on success */
	ck_assert_mem_eq(&kernel, guest, sizeof(kernel));
}
END_TEST

START_TEST(every_truncation_of_a_bzimage_fails)
{
	size_t n = syn_bzimage(file) - 16;

	for (;; n = n < 700 ? n - 1 : n - 97) {
		ck_assert_int_eq(load(n), -1);
		if (!n)
			break;
	}
}
END_TEST

START_TEST(loads_an_elf_with_pvh)
{
	uint8_t zero[SYN_ELF_MEMSZ] = { 0 };
	size_t n = syn_elf(file);

	ck_assert(vc_mem_fill(mem, SYN_ELF_PADDR, 0xaa, SYN_ELF_MEMSZ));
	ck_ok(load(n), &err);
	ck_assert_int_eq(kernel.proto, VC_KERNEL_PVH);
	ck_assert_uint_eq(kernel.entry, SYN_ELF_PVH);
	ck_assert_uint_eq(kernel.load_start, SYN_ELF_PADDR);
	ck_assert_uint_eq(kernel.load_end, SYN_ELF_PADDR + SYN_ELF_MEMSZ);
	ck_assert_uint_eq(kernel.setup_header_len, 0);
	ck_assert(vc_mem_read(mem, SYN_ELF_PADDR, guest, SYN_ELF_MEMSZ));
	ck_assert_mem_eq(guest, file + SYN_ELF_LOAD, SYN_ELF_FILESZ);
	ck_assert_mem_eq(guest + SYN_ELF_FILESZ, zero,
			 SYN_ELF_MEMSZ - SYN_ELF_FILESZ);
}
END_TEST

START_TEST(an_elf_without_pvh_is_entered_as_linux)
{
	size_t n = syn_elf(file);

	syn_put32(file + SYN_ELF_NOTE + 28, 17); /* another type of note */
	ck_ok(load(n), &err);
	ck_assert_int_eq(kernel.proto, VC_KERNEL_LINUX64);
	ck_assert_uint_eq(kernel.entry, SYN_ELF_ENTRY);
}
END_TEST

START_TEST(hostile_notes_are_no_pvh)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} bad[] = {
		{ 0, 0xffffffff },  { 4, 0xffffffff },	{ 4, 0xfffffffd },
		{ 20, 0xffffffff }, { 24, 0xfffffffc }, { 24, 2 },
		{ 20, 3 },
	};
	size_t n = syn_elf(file);

	syn_put32(file + SYN_ELF_NOTE + bad[_i].offset, bad[_i].value);
	ck_ok(load(n), &err);
	ck_assert_int_eq(kernel.proto, VC_KERNEL_LINUX64);
}
END_TEST

static const struct {
	size_t offset;
	unsigned bytes;
	uint64_t value;
	enum vc_errc code;
} bad_elfs[] = {
	{ 4, 1, ELFCLASS32, VC_E_UNSUPPORTED },
	{ 5, 1, ELFDATA2MSB, VC_E_UNSUPPORTED },
	{ 16, 2, ET_REL, VC_E_UNSUPPORTED },
	{ 16, 2, ET_CORE, VC_E_UNSUPPORTED },
	{ 16, 2, 77, VC_E_CORRUPT },
	{ 18, 2, EM_AARCH64, VC_E_UNSUPPORTED },
	{ 18, 2, 0x7777, VC_E_UNSUPPORTED },
	{ 32, 8, UINT64_MAX, VC_E_CORRUPT }, /* e_phoff */
	{ 32, 8, SYN_MAX, VC_E_CORRUPT },
	{ 54, 2, 32, VC_E_CORRUPT }, /* e_phentsize */
	{ 56, 2, 0, VC_E_CORRUPT },  /* e_phnum */
	{ 56, 2, 65, VC_E_LIMIT },
	{ 56, 2, 0xffff, VC_E_LIMIT },
	{ SYN_PHDR(0), 4, PT_NULL, VC_E_CORRUPT }, /* nothing loaded */
	{ SYN_PHDR(0), 4, PT_INTERP, VC_E_UNSUPPORTED },
	{ SYN_PHDR(0) + 8, 8, UINT64_MAX, VC_E_CORRUPT }, /* p_offset */
	{ SYN_PHDR(0) + 8, 8, 0x1001, VC_E_CORRUPT },
	{ SYN_PHDR(0) + 24, 8, 0x7000, VC_E_UNSUPPORTED }, /* p_paddr */
	{ SYN_PHDR(0) + 24, 8, UINT64_MAX - 100, VC_E_CORRUPT },
	{ SYN_PHDR(0) + 24, 8, SYN_RAM - 4096, VC_E_CONFIG },
	{ SYN_PHDR(0) + 24, 8, SYN_RAM, VC_E_CONFIG },
	{ SYN_PHDR(0) + 24, 8, 0x300000, VC_E_CORRUPT }, /* entry outside */
	{ SYN_PHDR(0) + 32, 8, SYN_ELF_MEMSZ + 1, VC_E_CORRUPT }, /* p_filesz */
	{ SYN_PHDR(0) + 32, 8, SYN_ELF_MEMSZ, VC_E_CORRUPT },
	{ SYN_PHDR(0) + 40, 8, UINT64_MAX, VC_E_CORRUPT }, /* p_memsz */
	{ SYN_PHDR(0) + 40, 8, 0, VC_E_CORRUPT },
	{ SYN_PHDR(0) + 40, 8, UINT64_C(1) << 30, VC_E_LIMIT },
	{ SYN_PHDR(1) + 8, 8, UINT64_MAX - 8, VC_E_CORRUPT }, /* the note */
	{ SYN_PHDR(1) + 32, 8, 1 << 20, VC_E_CORRUPT },
	{ SYN_ELF_NOTE + 36, 4, 0x100, VC_E_CORRUPT }, /* its entry */
	{ SYN_ELF_NOTE + 36, 4, SYN_ELF_PADDR + 300, VC_E_CORRUPT },
};

START_TEST(refuses_bad_elfs)
{
	size_t n = syn_elf(file);

	syn_put(file + bad_elfs[_i].offset, bad_elfs[_i].bytes,
		bad_elfs[_i].value);
	ck_fails(load(n), &err, bad_elfs[_i].code);
}
END_TEST

START_TEST(many_segments_cannot_clear_for_ever)
{
	size_t n = syn_elf(file), i;

	/* 40 segments of 32 MiB each: more than the limit together */
	n = SYN_MAX;
	syn_put16(file + 56, 40);
	syn_put32(file + SYN_PHDR(0) + 40, 32 << 20);
	for (i = 1; i < 40; i++)
		memcpy(file + SYN_PHDR(i), file + SYN_PHDR(0), 56);
	ck_fails(load(n), &err, VC_E_LIMIT);
}
END_TEST

START_TEST(names_what_a_file_is)
{
	static const struct {
		const char *bytes;
		size_t n;
		size_t offset;
		const char *word;
	} t[] = {
		{ "\x1f\x8b\x08", 3, 0, "gzip" },
		{ "\x28\xb5\x2f\xfd", 4, 0, "zstd" },
		{ "BZh9", 4, 0, "bzip2" },
		{ "070701", 6, 0, "cpio" },
		{ "QFI\xfb", 4, 0, "qcow2" },
		{ "#!/bin/sh\n", 10, 0, "script" },
		{ "MZ", 2, 0, "EFI" },
		{ "ustar", 5, 257, "tar" },
		{ "ARM\x64", 4, 0x38, "aarch64" },
	};

	memset(file, 0, sizeof(file));
	memcpy(file + t[_i].offset, t[_i].bytes, t[_i].n);
	ck_fails(load(t[_i].offset + t[_i].n), &err, VC_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.msg, t[_i].word) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(refuses_what_is_nothing)
{
	int fd;

	memset(file, 'x', sizeof(file));
	ck_fails(load(0), &err, VC_E_CORRUPT);
	ck_fails(load(1), &err, VC_E_CORRUPT);
	ck_fails(load(sizeof(file)), &err, VC_E_CORRUPT);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_fails(vc_kernel_load(fd, mem, &kernel, &err), &err, VC_E_ARG);
	close(fd);
}
END_TEST

START_TEST(refuses_a_kernel_beyond_the_limit)
{
	int fd = syn_file(file, 1);

	ck_assert_int_eq(ftruncate(fd, (off_t)VC_LOADER_MAX_KERNEL + 1), 0);
	ck_fails(vc_kernel_load(fd, mem, &kernel, &err), &err, VC_E_LIMIT);
	close(fd);
}
END_TEST

TEST_SUITE(suite_kernel)
{
	Suite *s = suite_create("loader/kernel");
	TCase *tc = test_case(s, "bzImage");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, loads_a_bzimage);
	tcase_add_test(tc, reads_a_bzimage_from_a_pipe);
	tcase_add_test(tc, moves_a_bzimage_that_does_not_fit);
	tcase_add_test(tc, header_length_is_bounded);
	tcase_add_test(tc, the_last_paragraph_may_be_cut);
	tcase_add_loop_test(tc, refuses_bad_bzimages, 0,
			    VC_ARRAY_SIZE(bad_bzimages));
	tcase_add_test(tc, every_truncation_of_a_bzimage_fails);

	tc = test_case(s, "ELF");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, loads_an_elf_with_pvh);
	tcase_add_test(tc, an_elf_without_pvh_is_entered_as_linux);
	tcase_add_loop_test(tc, hostile_notes_are_no_pvh, 0, 7);
	tcase_add_loop_test(tc, refuses_bad_elfs, 0, VC_ARRAY_SIZE(bad_elfs));
	tcase_add_test(tc, many_segments_cannot_clear_for_ever);

	tc = test_case(s, "other files");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, names_what_a_file_is, 0, 9);
	tcase_add_test(tc, refuses_what_is_nothing);
	tcase_add_test(tc, refuses_a_kernel_beyond_the_limit);
	return s;
}
