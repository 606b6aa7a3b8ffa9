/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include "tests/unit/loader/synthetic.h"

#define MIB UINT64_C(0x100000)

static struct vc_error err;
static struct vc_mem *mem;
static uint8_t file[SYN_MAX], guest[SYN_MAX];
static gpa_t gpa;
static uint64_t size;

static void setup(void)
{
	size_t i;

	for (i = 0; i < sizeof(file); i++)
		file[i] = (uint8_t)(i * 7);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "low", 0, 16 * MIB, &err), &err);
	/* RAM above 4 GiB must not tempt */
	ck_ok(vc_mem_add_ram(mem, "high", UINT64_C(1) << 32, 16 * MIB, &err),
	      &err);
}

static void teardown(void)
{
	mem = vc_mem_free(mem);
}

static int load(size_t n, gpa_t min_start, gpa_t max_end)
{
	int fd = syn_file(file, n);
	int ret =
		vc_initrd_load(fd, mem, min_start, max_end, &gpa, &size, &err);

	close(fd);
	return ret;
}

START_TEST(goes_to_the_top)
{
	ck_ok(load(5000, MIB, UINT64_MAX), &err);
	ck_assert_uint_eq(gpa, 16 * MIB - 8192);
	ck_assert_uint_eq(size, 5000);
	ck_assert(vc_mem_read(mem, gpa, guest, 5000));
	ck_assert_mem_eq(guest, file, 5000);
}
END_TEST

START_TEST(obeys_the_kernels_limit)
{
	ck_ok(load(4096, MIB, 8 * MIB + 100), &err);
	ck_assert_uint_eq(gpa, 8 * MIB - 4096);
	/* in place to the byte */
	ck_ok(load(8192, 8 * MIB - 8192, 8 * MIB), &err);
	ck_assert_uint_eq(gpa, 8 * MIB - 8192);
}
END_TEST

START_TEST(refuses_what_does_not_fit)
{
	ck_fails(load(8192, 8 * MIB - 8191, 8 * MIB), &err, VC_E_CONFIG);
	ck_fails(load(8192, 0, 8191), &err, VC_E_CONFIG);
	ck_fails(load(8192, 0, 0), &err, VC_E_CONFIG);
	ck_fails(load(1, UINT64_MAX, UINT64_MAX), &err, VC_E_CONFIG);
	ck_fails(load(0, MIB, UINT64_MAX), &err, VC_E_CORRUPT);
}
END_TEST

START_TEST(refuses_an_initrd_larger_than_memory)
{
	int fd = syn_file(file, 1);

	ck_assert_int_eq(ftruncate(fd, 17 * (off_t)MIB), 0);
	ck_fails(vc_initrd_load(fd, mem, MIB, UINT64_MAX, &gpa, &size, &err),
		 &err, VC_E_CONFIG);
	ck_assert_int_eq(ftruncate(fd, (off_t)VC_LOADER_MAX_INITRD + 1), 0);
	ck_fails(vc_initrd_load(fd, mem, MIB, UINT64_MAX, &gpa, &size, &err),
		 &err, VC_E_LIMIT);
	close(fd);
}
END_TEST

START_TEST(command_line_is_joined)
{
	struct vc_cmdline c = { .len = 0 };

	ck_ok(vc_cmdline_add(&c, "", &err), &err);
	ck_ok(vc_cmdline_add(&c, "console=ttyS0", &err), &err);
	ck_ok(vc_cmdline_add(&c, "", &err), &err);
	ck_ok(vc_cmdline_add(&c, "root=/dev/vda rw", &err), &err);
	ck_assert_str_eq(c.text, "console=ttyS0 root=/dev/vda rw");
	ck_assert_uint_eq(c.len, strlen(c.text));
}
END_TEST

START_TEST(command_line_is_printable)
{
	struct vc_cmdline c = { .len = 0 };

	ck_fails(vc_cmdline_add(&c, "a\nb", &err), &err, VC_E_ARG);
	ck_fails(vc_cmdline_add(&c, "a\tb", &err), &err, VC_E_ARG);
	ck_fails(vc_cmdline_add(&c, "\x7f", &err), &err, VC_E_ARG);
	ck_fails(vc_cmdline_add(&c, "\xc3\xa4", &err), &err, VC_E_ARG);
	ck_assert_uint_eq(c.len, 0);
}
END_TEST

START_TEST(command_line_is_bounded)
{
	struct vc_cmdline c = { .len = 0 };
	char text[VC_LOADER_MAX_CMDLINE + 1];

	memset(text, 'x', sizeof(text));
	text[VC_LOADER_MAX_CMDLINE] = '\0';
	ck_fails(vc_cmdline_add(&c, text, &err), &err, VC_E_LIMIT);
	text[VC_LOADER_MAX_CMDLINE - 1] = '\0';
	ck_ok(vc_cmdline_add(&c, text, &err), &err);
	ck_assert_uint_eq(c.len, VC_LOADER_MAX_CMDLINE - 1);
	ck_fails(vc_cmdline_add(&c, "y", &err), &err, VC_E_LIMIT);
	ck_ok(vc_cmdline_add(&c, "", &err), &err);

	/* room for the space and nothing after it */
	c.len = 0;
	text[VC_LOADER_MAX_CMDLINE - 2] = '\0';
	ck_ok(vc_cmdline_add(&c, text, &err), &err);
	ck_fails(vc_cmdline_add(&c, "y", &err), &err, VC_E_LIMIT);
	ck_assert_uint_eq(strlen(c.text), VC_LOADER_MAX_CMDLINE - 2);
}
END_TEST

TEST_SUITE(suite_initrd)
{
	Suite *s = suite_create("loader/initrd");
	TCase *tc = test_case(s, "initrd");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, goes_to_the_top);
	tcase_add_test(tc, obeys_the_kernels_limit);
	tcase_add_test(tc, refuses_what_does_not_fit);
	tcase_add_test(tc, refuses_an_initrd_larger_than_memory);

	tc = test_case(s, "command line");
	tcase_add_test(tc, command_line_is_joined);
	tcase_add_test(tc, command_line_is_printable);
	tcase_add_test(tc, command_line_is_bounded);
	return s;
}
