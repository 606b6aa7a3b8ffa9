/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "guest/user.h"
#include "tests/lib/test.h"

static struct vc_error err;
static struct user u;
static char dir[] = "/tmp/test-user.XXXXXX";
static char passwd[64], group[64];

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(passwd, sizeof(passwd), "%s/passwd", dir);
	snprintf(group, sizeof(group), "%s/group", dir);
	write_file(passwd, "root:x:0:0:root:/root:/bin/bash\n"
			   "# a comment\n"
			   "broken line\n"
			   "joe:x:1000:100:Joe:/home/joe:/bin/sh\n"
			   "1000:x:1001:1001:odd:/home/odd:/bin/odd\n");
	write_file(group, "root:x:0:\nusers:x:100:joe\nkvm:x:50:ann,joe\n"
			  "disk:x:60:ann\naudio:x:70:joe\n");
}

static void teardown(void)
{
	unlink(passwd);
	unlink(group);
	rmdir(dir);
}

static void look_up(const char *spec)
{
	ck_ok(user_lookup(passwd, group, spec, &u, &err), &err);
}

START_TEST(nobody_named_is_root)
{
	look_up(_i ? NULL : "");
	ck_assert_uint_eq(u.uid, 0);
	ck_assert_uint_eq(u.gid, 0);
	ck_assert_str_eq(u.home, "/root");
	ck_assert_str_eq(u.shell, "/bin/bash");
	ck_assert_uint_eq(u.nr_groups, 1);
}
END_TEST

START_TEST(a_name_brings_its_groups)
{
	look_up("joe");
	ck_assert_uint_eq(u.uid, 1000);
	ck_assert_uint_eq(u.gid, 100);
	ck_assert_str_eq(u.name, "joe");
	ck_assert_str_eq(u.home, "/home/joe");
	ck_assert_uint_eq(u.nr_groups, 3);
	ck_assert_uint_eq(u.groups[0], 100);
	ck_assert_uint_eq(u.groups[1], 50);
	ck_assert_uint_eq(u.groups[2], 70);
}
END_TEST

START_TEST(an_explicit_group_is_the_only_one)
{
	look_up("joe:disk");
	ck_assert_uint_eq(u.uid, 1000);
	ck_assert_uint_eq(u.gid, 60);
	ck_assert_uint_eq(u.nr_groups, 1);
	ck_assert_uint_eq(u.groups[0], 60);
	look_up("joe:4000000000");
	ck_assert_uint_eq(u.gid, 4000000000u);
}
END_TEST

START_TEST(numbers)
{
	look_up("0");
	ck_assert_str_eq(u.name, "root");
	/* somebody's number: that user */
	look_up("1001");
	ck_assert_str_eq(u.home, "/home/odd");
	/* nobody's: not root's group by accident */
	look_up("5000");
	ck_assert_uint_eq(u.uid, 5000);
	ck_assert_uint_eq(u.gid, 5000);
	ck_assert_str_eq(u.home, "/");
	ck_assert_str_eq(u.name, "5000");
}
END_TEST

START_TEST(refuses)
{
	/* 4294967295 means "leave it as it is" to the kernel */
	static const char *const bad[] = { "ann",	 "joe:nogroup",
					   "4294967295", "-1",
					   "joe:-1",	 "0x10",
					   ":users",	 "1 " };

	ck_fails(user_lookup(passwd, group, bad[_i], &u, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(root_needs_no_file)
{
	unlink(passwd);
	unlink(group);
	look_up("root");
	ck_assert_uint_eq(u.uid, 0);
	ck_assert_uint_eq(u.gid, 0);
	look_up("0:0");
	ck_fails(user_lookup(passwd, group, "joe", &u, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(entries_have_limits)
{
	FILE *f = fopen(passwd, "we");
	int i;

	ck_assert_ptr_nonnull(f);
	fprintf(f, "long:x:1:1::/%0*d:/bin/sh\n", USER_MAX_PATH, 0);
	fprintf(f, "many:x:2:2::/:/bin/sh\n");
	fclose(f);
	f = fopen(group, "we");
	ck_assert_ptr_nonnull(f);
	for (i = 0; i < USER_MAX_GROUPS; i++)
		fprintf(f, "g%d:x:%d:many\n", i, 1000 + i);
	fclose(f);
	ck_fails(user_lookup(passwd, group, "long", &u, &err), &err,
		 VC_E_LIMIT);
	ck_fails(user_lookup(passwd, group, "many", &u, &err), &err,
		 VC_E_LIMIT);
}
END_TEST

TEST_SUITE(suite_user)
{
	Suite *s = suite_create("guest/user");
	TCase *tc = test_case(s, "user");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, nobody_named_is_root, 0, 2);
	tcase_add_test(tc, a_name_brings_its_groups);
	tcase_add_test(tc, an_explicit_group_is_the_only_one);
	tcase_add_test(tc, numbers);
	tcase_add_loop_test(tc, refuses, 0, 8);
	tcase_add_test(tc, root_needs_no_file);
	tcase_add_test(tc, entries_have_limits);
	return s;
}
