/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/accounts.h"
#include "tests/lib/test.h"

#define NR_LINES 50000

static struct vc_error err;
static struct accounts acc;

static void put(const char *text)
{
	accounts_clear(&acc);
	ck_ok(accounts_put(&acc, 0, text, strlen(text), &err), &err);
}

/* The id, or -1. */
static int64_t find(const char *name)
{
	bool is_found = false;
	uint32_t id = 0;

	ck_ok(accounts_find(&acc, name, &id, &is_found, &err), &err);
	return is_found ? (int64_t)id : -1;
}

START_TEST(the_first_line_of_a_name_counts)
{
	put("b:x:7:\na:x:1:\nab:x:3::\na:x:2:\nb:x:8:");
	ck_assert_int_eq(find("a"), 1);
	ck_assert_int_eq(find("ab"), 3);
	ck_assert_int_eq(find("b"), 7);
	ck_assert_int_eq(find("abc"), -1);
	ck_assert_int_eq(find(""), -1);
	/* another text in its place */
	put("a:x:9\n");
	ck_assert_int_eq(find("a"), 9);
	ck_assert_int_eq(find("b"), -1);
	accounts_fini(&acc);
}
END_TEST

START_TEST(what_is_no_account_is_passed_over)
{
	put("\n:\n::\nnone\nn:x\nn:x:\nn:x:-1:\nn:x:y:\nn:x:4294967295:\n"
	    "n:x:99999999999999999999:\nn:x:4294967294:\nroot:x:5:\n");
	ck_assert_int_eq(find("n"), 4294967294);
	ck_assert_int_eq(find("none"), -1);
	ck_assert_int_eq(find("root"), 0);
	accounts_fini(&acc);
	ck_assert_int_eq(find("root"), 0);
	ck_assert_int_eq(find("n"), -1);
}
END_TEST

START_TEST(comes_in_pieces)
{
	vc_auto_free char *big = calloc(1, ACCOUNTS_MAX_BYTES);

	ck_assert_ptr_nonnull(big);
	put("a:x:1");
	ck_assert_int_eq(find("a"), 1);
	ck_ok(accounts_put(&acc, 5, "2:\n", 3, &err), &err);
	ck_assert_int_eq(find("a"), 12);
	ck_assert_uint_eq(acc.nr, 1);
	/* a hole is zeroes */
	ck_ok(accounts_put(&acc, 10, "\nb:x:3:\n", 8, &err), &err);
	ck_assert_int_eq(find("b"), 3);
	ck_assert_uint_eq(acc.len, 18);
	/* too much of it is not kept */
	ck_ok(accounts_put(&acc, 18, big, ACCOUNTS_MAX_BYTES, &err), &err);
	ck_assert_uint_eq(acc.len, 18);
	accounts_fini(&acc);
}
END_TEST

/* Line by line for each name would take longer than the test may. */
START_TEST(many_names_in_many_lines)
{
	vc_auto_free char *text = NULL;
	size_t len = 0;
	char name[16];
	FILE *f = open_memstream(&text, &len);
	int i;

	ck_assert_ptr_nonnull(f);
	for (i = 0; i < NR_LINES; i++)
		fprintf(f, "u%d:x:%d:\n", i, i);
	fclose(f);
	ck_ok(accounts_put(&acc, 0, text, len, &err), &err);
	for (i = 0; i < NR_LINES; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		ck_assert_int_eq(find(name), i);
		name[0] = 'v';
		ck_assert_int_eq(find(name), -1);
	}
	accounts_fini(&acc);
}
END_TEST

TEST_SUITE(suite_accounts)
{
	Suite *s = suite_create("accounts");
	TCase *tc = test_case(s, "accounts");

	tcase_add_test(tc, the_first_line_of_a_name_counts);
	tcase_add_test(tc, what_is_no_account_is_passed_over);
	tcase_add_test(tc, comes_in_pieces);
	tcase_add_test(tc, many_names_in_many_lines);
	return s;
}
