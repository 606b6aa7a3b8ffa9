/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/ext4/dirhash.h"
#include "tests/lib/test.h"

/* What the dx_hash request of debugfs(8) prints. */
START_TEST(agrees_with_debugfs)
{
	static const struct {
		char fill;
		int len; /* 0: `name` */
		const char *name;
		uint32_t major, minor;
	} t[] = {
		{ 0, 0, "a", 0xd5fa7d7a, 0xacb48187 },
		{ 0, 0, "lost+found", 0x591de422, 0x6ffc56e0 },
		{ 0, 0, "hello world", 0x36f15d9e, 0x108b37f5 },
		{ 'x', 31, NULL, 0x415798c2, 0xe25911d8 },
		{ 'x', 32, NULL, 0xae38ae70, 0x439dc1ad },
		{ 'y', 33, NULL, 0xcf79e5d6, 0x2a5f92c9 },
		{ 'z', 255, NULL, 0x3b4d55ea, 0xa08c3c2e },
		/* characters are signed */
		{ 0, 0, "\303\251t\303\251", 0xa69a4d3a, 0x22bac128 },
		/* would have the hash that stands for the end */
		{ 0, 0, "the-last-hash-there-is--dalcibdn", 0xfffffffc,
		  0x55a0903f },
	};
	static const uint32_t no_seed[4];
	uint32_t major, minor;
	char name[256];

	if (t[_i].len)
		memset(name, t[_i].fill, (size_t)t[_i].len);
	else
		strcpy(name, t[_i].name);
	e4_dirhash(no_seed, name, t[_i].len ? (size_t)t[_i].len : strlen(name),
		   &major, &minor);
	ck_assert_uint_eq(major, t[_i].major);
	ck_assert_uint_eq(minor, t[_i].minor);
}
END_TEST

START_TEST(takes_a_seed)
{
	/* 01234567-89ab-cdef-0123-456789abcdef, read as little-endian words */
	static const uint32_t seed[4] = { 0x67452301, 0xefcdab89, 0x67452301,
					  0xefcdab89 };
	uint32_t major, minor;

	e4_dirhash(seed, "vmm", 3, &major, &minor);
	ck_assert_uint_eq(major, 0xcd2d826a);
	ck_assert_uint_eq(minor, 0xd8c44001);
}
END_TEST

TEST_SUITE(suite_dirhash)
{
	Suite *s = suite_create("mkimage/dirhash");
	TCase *tc = test_case(s, "dirhash");

	tcase_add_loop_test(tc, agrees_with_debugfs, 0, 9);
	tcase_add_test(tc, takes_a_seed);
	return s;
}
