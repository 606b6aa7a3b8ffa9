/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "guest/init.h"
#include "tests/lib/test.h"

static struct cmdline c;

START_TEST(finds_values)
{
	cmdline_parse(&c, "root=/dev/vda  ro\tinit=\"/a b\" rootflags=x=y rw "
			  "root=/dev/vdb\n");
	ck_assert_str_eq(cmdline_get(&c, "root"), "/dev/vdb");
	ck_assert_str_eq(cmdline_get(&c, "init"), "/a b");
	ck_assert_str_eq(cmdline_get(&c, "rootflags"), "x=y");
	ck_assert_str_eq(cmdline_get(&c, "ro"), "");
	ck_assert_ptr_null(cmdline_get(&c, "roo"));
	ck_assert_ptr_null(cmdline_get(&c, "panic"));
	/* which of two came last can be told */
	ck_assert(cmdline_get(&c, "rw") > cmdline_get(&c, "ro"));
}
END_TEST

START_TEST(survives_anything)
{
	static char big[3 * INIT_MAX_CMDLINE];

	cmdline_parse(&c, "");
	ck_assert_ptr_null(cmdline_get(&c, "root"));
	cmdline_parse(&c, "   \n");
	ck_assert_ptr_null(cmdline_get(&c, "root"));
	cmdline_parse(&c, "\"root=/dev/vda unterminated");
	ck_assert_str_eq(cmdline_get(&c, "root"), "/dev/vda unterminated");
	memset(big, 'x', sizeof(big) - 1);
	cmdline_parse(&c, big);
	ck_assert_uint_eq(strlen(c.text), INIT_MAX_CMDLINE - 2);
}
END_TEST

TEST_SUITE(suite_cmdline)
{
	Suite *s = suite_create("guest/cmdline");
	TCase *tc = test_case(s, "cmdline");

	tcase_add_test(tc, finds_values);
	tcase_add_test(tc, survives_anything);
	return s;
}
