/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"
#include <vmmcore/bytes.h>

START_TEST(reads_both_byte_orders)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	struct vc_bytes c = vc_bytes_init(in, sizeof(in));
	uint64_t v64;
	uint16_t v16;
	uint8_t v8;

	ck_assert(vc_bytes_get_be64(&c, &v64));
	ck_assert_uint_eq(v64, UINT64_C(0x0102030405060708));
	ck_assert(vc_bytes_get_le16(&c, &v16));
	ck_assert_uint_eq(v16, 0x0a09);
	ck_assert(vc_bytes_get_u8(&c, &v8));
	ck_assert_uint_eq(vc_bytes_left(&c), 0);
	ck_assert(vc_bytes_seek(&c, 1));
	ck_assert(vc_bytes_get_be16(&c, &v16));
	ck_assert_uint_eq(v16, 0x0203);
}
END_TEST

START_TEST(one_failure_makes_all_later_gets_fail)
{
	static const uint8_t in[3];
	struct vc_bytes c = vc_bytes_init(in, sizeof(in));
	uint32_t v = 7;
	uint8_t b;

	ck_assert(!vc_bytes_get_le32(&c, &v));
	ck_assert_uint_eq(v, 7);
	ck_assert(!vc_bytes_get_u8(&c, &b));
	ck_assert(!vc_bytes_seek(&c, 0));
	ck_assert(!vc_bytes_skip(&c, 0));
	ck_assert_uint_eq(vc_bytes_left(&c), 0);
}
END_TEST

START_TEST(a_huge_length_does_not_wrap)
{
	static const uint8_t in[8];
	struct vc_bytes c = vc_bytes_init(in, sizeof(in));

	ck_assert(vc_bytes_skip(&c, 4));
	ck_assert_ptr_null(vc_bytes_view(&c, SIZE_MAX - 2));
}
END_TEST

TEST_SUITE(suite_bytes)
{
	Suite *s = suite_create("base/bytes");
	TCase *tc = test_case(s, "bytes");

	tcase_add_test(tc, reads_both_byte_orders);
	tcase_add_test(tc, one_failure_makes_all_later_gets_fail);
	tcase_add_test(tc, a_huge_length_does_not_wrap);
	return s;
}
