/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "guest/runconf.h"
#include "tests/lib/test.h"

static struct vc_error err;
static struct runconf c;

static int parse_n(const char *text, size_t len)
{
	FILE *f = tmpfile();
	int rc;

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	rewind(f);
	memset(&err, 0, sizeof(err));
	rc = runconf_parse(f, &c, &err);
	fclose(f);
	return rc;
}

static int parse(const char *text)
{
	return parse_n(text, strlen(text));
}

START_TEST(reads_all_keys)
{
	ck_ok(parse("# text\n\ncmd -c\nentrypoint /bin/sh\n"
		    "entrypoint a b\\x5cc\\x0ad\nenv A=1\nenv B=x y=z\n"
		    "user www:www\ndirectory /srv/x y\n"
		    "stop-signal SIGQUIT\ncmd last"),
	      &err);
	ck_assert_str_eq(c.argv[0], "/bin/sh");
	ck_assert_str_eq(c.argv[1], "a b\\c\nd");
	ck_assert_str_eq(c.argv[2], "-c");
	ck_assert_str_eq(c.argv[3], "last");
	ck_assert_ptr_null(c.argv[4]);
	ck_assert_str_eq(c.env[0], "A=1");
	ck_assert_str_eq(c.env[1], "B=x y=z");
	ck_assert_ptr_null(c.env[2]);
	ck_assert_str_eq(c.user, "www:www");
	ck_assert_str_eq(c.cwd, "/srv/x y");
	ck_assert_int_eq(c.stop_signal, SIGQUIT);
	runconf_fini(&c);
}
END_TEST

START_TEST(nothing_is_nothing_to_run)
{
	ck_ok(parse(""), &err);
	ck_assert_ptr_null(c.argv[0]);
	ck_assert_ptr_null(c.env[0]);
	ck_assert_ptr_null(c.user);
	ck_assert_int_eq(c.stop_signal, SIGTERM);
	runconf_fini(&c);
	ck_ok(runconf_read("/nothing/there", &c, &err), &err);
	ck_assert_ptr_null(c.argv[0]);
	runconf_fini(&c);
}
END_TEST

START_TEST(reads_signals)
{
	static const struct {
		const char *line;
		int want;
	} good[] = {
		{ "stop-signal 9", SIGKILL },
		{ "stop-signal INT", SIGINT },
		{ "stop-signal SIGWINCH", SIGWINCH },
	};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_ok(parse(good[i].line), &err);
		ck_assert_int_eq(c.stop_signal, good[i].want);
		runconf_fini(&c);
	}
	ck_ok(parse("stop-signal SIGRTMIN+3"), &err);
	ck_assert_int_eq(c.stop_signal, SIGRTMIN + 3);
	runconf_fini(&c);
}
END_TEST

START_TEST(refuses_what_it_does_not_know)
{
	static const char *const bad[] = {
		"entrypoint",
		"entry x",
		"user",
		"env x",
		"env =x",
		"cmd \\",
		"cmd \\n",
		"cmd \\x0",
		"cmd \\x00",
		"cmd \\xg0",
		"stop-signal 0",
		"stop-signal 65",
		"stop-signal SIGNO",
		"stop-signal RTMIN+99",
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_fails(parse(bad[i]), &err, VC_E_CORRUPT);
	ck_fails(parse_n("cmd x\0y\n", 8), &err, VC_E_CORRUPT);
	ck_fails(parse("user x\nuser y\ndirectory /\nnonsense here"), &err,
		 VC_E_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err.msg, "line 4"));
}
END_TEST

TEST_SUITE(suite_runconf)
{
	Suite *s = suite_create("runconf");
	TCase *t = test_case(s, "runconf");

	tcase_add_test(t, reads_all_keys);
	tcase_add_test(t, nothing_is_nothing_to_run);
	tcase_add_test(t, reads_signals);
	tcase_add_test(t, refuses_what_it_does_not_know);
	return s;
}
