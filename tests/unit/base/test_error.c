/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include "tests/lib/test.h"

START_TEST(reads_object_action_reason)
{
	struct vc_error err;
	char line[200];

	ck_assert_int_eq(vc_fail(&err, VC_E_SYS, ENOENT, "open"), -1);
	ck_assert_int_eq(vc_prefix(&err, "disk '%s'", "a.img"), -1);
	ck_assert_str_eq(vc_error_str(&err, line, sizeof(line)),
			 "disk 'a.img': open: No such file or directory");
	ck_assert_int_eq(vc_exit_status(&err), 1);
	vc_fail(&err, VC_E_ARG, 0, "x");
	ck_assert_int_eq(vc_exit_status(&err), 2);
	ck_assert_int_eq(vc_fail(NULL, VC_E_ARG, 0, "x"), -1);
	ck_assert_int_eq(vc_prefix(NULL, "x"), -1);
}
END_TEST

START_TEST(cuts_what_does_not_fit)
{
	struct vc_error err;
	int i;

	vc_fail(&err, VC_E_SYS, 0, "the end");
	for (i = 0; i < 100; i++)
		vc_prefix(&err, "a rather long object");
	ck_assert_uint_lt(strlen(err.msg), sizeof(err.msg));
}
END_TEST

START_TEST(makes_text_printable)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "plain", "plain" },
		{ "\x1b[2J", "\\x1b[2J" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xc3", "\\xc3" },
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xc2\x85", "\\xc2\\x85" },
		{ "\x7f\n", "\\x7f\\x0a" },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	};
	char buf[64];

	ck_assert_str_eq(vc_printable(t[_i].in, buf, sizeof(buf)), t[_i].out);
	/* never cut inside a character or an escape */
	vc_printable(t[_i].in, buf, 4);
	ck_assert_uint_lt(strlen(buf), 4);
}
END_TEST

TEST_SUITE(suite_error)
{
	Suite *s = suite_create("base/error");
	TCase *tc = test_case(s, "error");

	tcase_add_test(tc, reads_object_action_reason);
	tcase_add_test(tc, cuts_what_does_not_fit);
	tcase_add_loop_test(tc, makes_text_printable, 0, 9);
	return s;
}
