/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/ext4/csum.h"
#include "tests/lib/test.h"

START_TEST(knows_vectors)
{
	/* RFC 3720 B.4, without the inversion at the end */
	static const struct {
		int fill; /* -1: 0, 1, 2, ...; -2: 31, 30, ... */
		uint32_t crc;
	} t[] = {
		{ 0x00, 0x8a9136aa },
		{ 0xff, 0x62a8ab43 },
		{ -1, 0x46dd794e },
		{ -2, 0x113fdb5c },
	};
	uint8_t buf[32];
	int i;

	for (i = 0; i < 32; i++)
		buf[i] = (uint8_t)(t[_i].fill >= 0    ? t[_i].fill
				   : t[_i].fill == -1 ? i
						      : 31 - i);
	ck_assert_uint_eq(e4_crc32c(UINT32_MAX, buf, 32), ~t[_i].crc);
	ck_assert_uint_eq(e4_crc32c_table(UINT32_MAX, buf, 32), ~t[_i].crc);
}
END_TEST

START_TEST(both_ways_agree)
{
	uint8_t buf[300];
	size_t i, from, len;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 167 + (i >> 3));
	for (from = 0; from < 9; from++)
		for (len = 0; len + from < sizeof(buf); len++)
			ck_assert_uint_eq(e4_crc32c(0x1234567, buf + from, len),
					  e4_crc32c_table(0x1234567, buf + from,
							  len));
}
END_TEST

START_TEST(goes_on_in_pieces)
{
	const char text[] = "a text that comes in two pieces";
	uint32_t all = e4_crc32c(7, text, sizeof(text));
	size_t i;

	for (i = 0; i <= sizeof(text); i++)
		ck_assert_uint_eq(e4_crc32c(e4_crc32c(7, text, i), text + i,
					    sizeof(text) - i),
				  all);
}
END_TEST

TEST_SUITE(suite_csum)
{
	Suite *s = suite_create("mkimage/csum");
	TCase *tc = test_case(s, "crc32c");

	tcase_add_loop_test(tc, knows_vectors, 0, 4);
	tcase_add_test(tc, both_ways_agree);
	tcase_add_test(tc, goes_on_in_pieces);
	return s;
}
