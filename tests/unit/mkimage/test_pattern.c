/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include "mkimage/pattern.h"
#include "tests/lib/test.h"

static struct vc_error err;

START_TEST(matches_as_the_manual_says)
{
	static const struct {
		const char *pattern, *path;
		bool want;
	} cases[] = {
		{ "a", "a", true },
		{ "a", "x/a", true },
		{ "a", "x/a/y", true },
		{ "a", "ab", false },
		{ "/a", "a", true },
		{ "/a", "/a/b", true },
		{ "/a", "x/a", false },
		{ "*.pyc", "usr/lib/x.pyc", true },
		{ "*.pyc", "x.pyc/in", true },
		{ "/usr/*", "usr", false },
		{ "/usr/*", "usr/lib", true },
		{ "/usr/*/x", "usr/a/b/x", false },
		{ "doc/", "usr/doc", true },
		{ "b/c", "./a//b/./c", true },
		{ "[ab]", "b", true },
		{ "./doc/", "doc/x", true },
		{ "./doc", "usr/doc", false },
		{ ".//a/./b", "a/b", true },
		{ "a//b", "x/a/b", true },
		{ ".*", ".a", true },
		{ "a", "", false },
		{ "*", ".", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct patterns p = { 0 };

		ck_ok(patterns_add(&p, cases[i].pattern, &err), &err);
		ck_assert_msg(patterns_match(&p, cases[i].path) ==
				      cases[i].want,
			      "%s on %s", cases[i].pattern, cases[i].path);
		patterns_fini(&p);
	}
}
END_TEST

START_TEST(refuses_nothing_at_all)
{
	struct patterns p = { 0 };

	ck_fails(patterns_add(&p, "", &err), &err, VC_E_ARG);
	ck_fails(patterns_add(&p, "//", &err), &err, VC_E_ARG);
	ck_fails(patterns_add(&p, "./", &err), &err, VC_E_ARG);
	ck_assert(!patterns_match(&p, "a"));
	patterns_fini(&p);
}
END_TEST

TEST_SUITE(suite_pattern)
{
	Suite *s = suite_create("pattern");
	TCase *t = test_case(s, "pattern");

	tcase_add_test(t, matches_as_the_manual_says);
	tcase_add_test(t, refuses_nothing_at_all);
	return s;
}
