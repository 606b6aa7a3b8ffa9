/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/memory.h>

#define PAGE 4096
#define BASE UINT64_C(0x100000)

static struct vc_error err;
static struct vc_mem *mem;

/* [BASE, BASE + 2 pages), [+2, +3 pages) touching it, one page far away. */
static void set_up(void)
{
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "far", UINT64_C(1) << 40, PAGE, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "low", BASE, 2 * PAGE, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "next", BASE + 2 * PAGE, PAGE, &err), &err);
}

static void tear_down(void)
{
	mem = vc_mem_free(mem);
}

START_TEST(copies_across_touching_regions)
{
	char out[PAGE], in[PAGE];

	memset(out, 'x', sizeof(out));
	ck_assert(vc_mem_write(mem, BASE + 2 * PAGE - 100, out, 200));
	ck_assert(vc_mem_read(mem, BASE + 2 * PAGE - 100, in, 200));
	ck_assert_mem_eq(in, out, 200);
	ck_assert(vc_mem_fill(mem, BASE + 2 * PAGE - 50, 'y', 100));
	ck_assert(vc_mem_read(mem, BASE + 2 * PAGE - 51, in, 2));
	ck_assert_mem_eq(in, "xy", 2);
}
END_TEST

START_TEST(refuses_what_is_not_all_ram)
{
	static const struct {
		gpa_t gpa;
		uint64_t len;
	} bad[] = {
		{ 0, 1 },
		{ BASE - 1, 2 },
		{ BASE + 3 * PAGE - 1, 2 },
		{ BASE + 3 * PAGE, 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },
		{ BASE, UINT64_MAX },
		{ BASE, UINT64_MAX - BASE + 1 },
		{ UINT64_C(1) << 40, PAGE + 1 },
		{ (UINT64_C(1) << 40) - 1, 2 },
	};
	char buf[8192] = "untouched";
	struct iovec iov[8];
	size_t len = bad[_i].len < sizeof(buf) ? bad[_i].len : sizeof(buf);

	ck_assert(!vc_mem_contains(mem, bad[_i].gpa, bad[_i].len));
	ck_assert_int_eq(vc_mem_iov(mem, bad[_i].gpa, bad[_i].len, iov, 8), -1);
	if (len == bad[_i].len) {
		ck_assert(!vc_mem_read(mem, bad[_i].gpa, buf, len));
		ck_assert(!vc_mem_write(mem, bad[_i].gpa, buf, len));
		ck_assert(!vc_mem_fill(mem, bad[_i].gpa, 0, len));
		ck_assert_str_eq(buf, "untouched");
	}
}
END_TEST

START_TEST(takes_empty_ranges_anywhere)
{
	struct iovec iov[1];
	char c;

	ck_assert(vc_mem_read(mem, 0, &c, 0));
	ck_assert_int_eq(vc_mem_iov(mem, 0, 0, iov, 0), 0);
}
END_TEST

START_TEST(maps_at_most_max_entries)
{
	struct iovec iov[2];

	ck_assert_int_eq(vc_mem_iov(mem, BASE, 3 * PAGE, iov, 1), -1);
	ck_assert_int_eq(vc_mem_iov(mem, BASE, 3 * PAGE, iov, 2), 2);
	ck_assert_uint_eq(iov[0].iov_len, 2 * PAGE);
	ck_assert_uint_eq(iov[1].iov_len, PAGE);
}
END_TEST

START_TEST(indices_are_little_endian_and_aligned)
{
	uint8_t b[2] = { 0x34, 0x12 };
	uint16_t v;

	ck_assert(vc_mem_write(mem, BASE + 2, b, 2));
	ck_assert(vc_mem_load16_acquire(mem, BASE + 2, &v));
	ck_assert_uint_eq(v, 0x1234);
	ck_assert(vc_mem_store16_release(mem, BASE + 4, 0xabcd));
	ck_assert(vc_mem_read(mem, BASE + 4, b, 2));
	ck_assert_uint_eq(b[0], 0xcd);
	ck_assert(!vc_mem_load16_acquire(mem, BASE + 1, &v));
	ck_assert(!vc_mem_load16_acquire(mem, BASE + 3 * PAGE, &v));
	ck_assert(!vc_mem_store16_release(mem, BASE - 2, 0));
}
END_TEST

START_TEST(refuses_regions)
{
	static const struct {
		gpa_t gpa;
		uint64_t size;
	} bad[] = {
		{ 0, 0 },
		{ 1, PAGE },
		{ 0, PAGE + 1 },
		{ BASE, PAGE },
		{ BASE - PAGE, 2 * PAGE },
		{ BASE + PAGE, PAGE },
		{ 0, UINT64_C(1) << 45 },
		{ UINT64_MAX - PAGE + 1, PAGE },
		{ VC_MEM_MAX_BYTES, PAGE },
	};
	size_t before = vc_mem_nr_regions(mem);

	ck_assert_int_eq(vc_mem_add_ram(mem, "bad", bad[_i].gpa, bad[_i].size,
					&err),
			 -1);
	ck_assert_uint_eq(vc_mem_nr_regions(mem), before);
}
END_TEST

START_TEST(ram_cannot_be_shrunk)
{
	const struct vc_mem_region *r = vc_mem_region(mem, 0);

	ck_assert_int_eq(ftruncate(r->fd, 0), -1);
	ck_assert_int_eq(errno, EPERM);
}
END_TEST

START_TEST(maps_a_file_that_is_long_enough)
{
	int fd = memfd_create("given", MFD_CLOEXEC);
	gpa_t gpa;

	ck_assert_int_eq(ftruncate(fd, 2 * PAGE), 0);
	ck_fails(vc_mem_add_fd(mem, fd, PAGE, 0, 2 * PAGE, 0, &err), &err,
		 VC_E_ARG);
	ck_fails(vc_mem_add_fd(mem, fd, UINT64_MAX - PAGE + 1, 0, PAGE, 0,
			       &err),
		 &err, VC_E_ARG);
	ck_fails(vc_mem_add_fd(mem, fd, 0, 0, PAGE, UINT64_MAX, &err), &err,
		 VC_E_ARG);
	ck_ok(vc_mem_add_fd(mem, fd, PAGE, 0, PAGE, 0x7000000, &err), &err);
	ck_assert(vc_mem_user_to_gpa(mem, 0x7000010, 16, &gpa));
	ck_assert_uint_eq(gpa, 0x10);
	ck_assert(!vc_mem_user_to_gpa(mem, 0x7000010, PAGE, &gpa));
	ck_assert(!vc_mem_user_to_gpa(mem, 0x6ffffff, 2, &gpa));
	ck_ok(vc_mem_remove(mem, 0, &err), &err);
	ck_assert(!vc_mem_contains(mem, 0, 1));
	ck_fails(vc_mem_remove(mem, 0, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(bounds_the_number_of_regions)
{
	static uint8_t host[PAGE];
	size_t i;

	for (i = vc_mem_nr_regions(mem); i < VC_MEM_MAX_REGIONS; i++)
		ck_ok(vc_mem_add_plain(mem, host, (i + 1000) * PAGE, PAGE,
				       &err),
		      &err);
	ck_fails(vc_mem_add_plain(mem, host, 0, PAGE, &err), &err, VC_E_LIMIT);
}
END_TEST

TEST_SUITE(suite_memory)
{
	Suite *s = suite_create("memory");
	TCase *tc = test_case(s, "memory");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, copies_across_touching_regions);
	tcase_add_loop_test(tc, refuses_what_is_not_all_ram, 0, 10);
	tcase_add_test(tc, takes_empty_ranges_anywhere);
	tcase_add_test(tc, maps_at_most_max_entries);
	tcase_add_test(tc, indices_are_little_endian_and_aligned);
	tcase_add_loop_test(tc, refuses_regions, 0, 9);
	tcase_add_test(tc, ram_cannot_be_shrunk);
	tcase_add_test(tc, maps_a_file_that_is_long_enough);
	tcase_add_test(tc, bounds_the_number_of_regions);
	return s;
}
