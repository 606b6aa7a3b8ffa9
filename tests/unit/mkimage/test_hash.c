/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/hash.h"
#include "tests/lib/test.h"

START_TEST(knows_vectors)
{
	static const struct {
		const char *text;
		uint64_t seed, hash;
	} t[] = {
		{ "", 0, UINT64_C(0xef46db3751d8e999) },
		{ "a", 0, UINT64_C(0xd24ec4f1a98c6e5b) },
		{ "abc", 0, UINT64_C(0x44bc2cf5ad770999) },
		{ "xxhash", 20141025, UINT64_C(0xb559b98d844e0635) },
		{ "Nobody inspects the spammish repetition", 0,
		  UINT64_C(0xfbcea83c8a378bf1) },
	};

	ck_assert_uint_eq(xxh64(t[_i].text, strlen(t[_i].text), t[_i].seed),
			  t[_i].hash);
}
END_TEST

START_TEST(goes_on_in_pieces)
{
	uint8_t buf[200];
	struct xxh64 h;
	size_t i, step, n;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31);
	for (step = 1; step < 70; step++) {
		xxh64_init(&h, step);
		for (i = 0; i < sizeof(buf); i += n) {
			n = sizeof(buf) - i < step ? sizeof(buf) - i : step;
			xxh64_update(&h, buf + i, n);
		}
		ck_assert_uint_eq(xxh64_final(&h),
				  xxh64(buf, sizeof(buf), step));
	}
}
END_TEST

TEST_SUITE(suite_hash)
{
	Suite *s = suite_create("mkimage/hash");
	TCase *tc = test_case(s, "xxh64");

	tcase_add_loop_test(tc, knows_vectors, 0, 5);
	tcase_add_test(tc, goes_on_in_pieces);
	return s;
}
