/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmmcore/util.h>
#include "tests/lib/test.h"

static struct vc_error err;

START_TEST(parses_sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} t[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "64k", 65536 },
		{ "1.5G", UINT64_C(3) << 29 },
		{ "8E", UINT64_C(8) << 60 },
		{ "512b", 512 },
		{ "0.5K", 512 },
		{ "0x10", 16 },
		{ "0XfF", 255 },
	};
	uint64_t v;

	ck_ok(vc_parse_size(t[_i].text, &v, &err), &err);
	ck_assert_uint_eq(v, t[_i].bytes);
}
END_TEST

START_TEST(refuses_sizes)
{
	static const char *const bad[] = { "",	  "k",	 "-1",	"1.5",
					   "1kk", "16E", "1.k", "0x1k",
					   "0x",  " 1",	 "1 " };
	uint64_t v;

	ck_fails(vc_parse_size(bad[_i], &v, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(parses_whole_numbers)
{
	uint64_t v;

	ck_ok(vc_parse_u64("0x1F", 100, &v, &err), &err);
	ck_assert_uint_eq(v, 31);
	ck_ok(vc_parse_u64("0b11", 100, &v, &err), &err);
	ck_assert_uint_eq(v, 3);
	ck_ok(vc_parse_u64("007", 100, &v, &err), &err);
	ck_assert_uint_eq(v, 7);
	ck_fails(vc_parse_u64("101", 100, &v, &err), &err, VC_E_ARG);
	ck_fails(vc_parse_u64("18446744073709551616", UINT64_MAX, &v, &err),
		 &err, VC_E_ARG);
	ck_fails(vc_parse_u64("0x", 100, &v, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(sizes_have_three_digits)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} cases[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "0.977 KiB" },
		{ 4096, "4 KiB" },
		{ UINT64_C(1280) << 20, "1.25 GiB" },
		{ UINT64_C(999) << 30, "999 GiB" },
		{ UINT64_C(16) << 40, "16 TiB" },
		{ UINT64_MAX, "16 EiB" },
	};
	char buf[32];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(vc_human_size(cases[i].bytes, buf,
					       sizeof(buf)),
				 cases[i].want);
}
END_TEST

TEST_SUITE(suite_number)
{
	Suite *s = suite_create("base/number");
	TCase *tc = test_case(s, "number");

	tcase_add_loop_test(tc, parses_sizes, 0, 9);
	tcase_add_loop_test(tc, refuses_sizes, 0, 11);
	tcase_add_test(tc, parses_whole_numbers);
	tcase_add_test(tc, sizes_have_three_digits);
	return s;
}
