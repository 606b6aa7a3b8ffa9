/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest/workload.h"
#include "tests/lib/test.h"

static struct vc_error err;

START_TEST(environment_is_completed)
{
	char path[] = "PATH=/x", other[] = "A=b";
	char *given[] = { other, path, NULL };
	struct runconf c = { .env = given };
	char **env = workload_env(&c, "/home/u", &err);

	ck_assert_ptr_nonnull(env);
	ck_assert_str_eq(env[0], "HOME=/home/u");
	ck_assert_str_eq(env[1], "TERM=linux");
	ck_assert_str_eq(env[2], "A=b");
	ck_assert_str_eq(env[3], "PATH=/x");
	ck_assert_ptr_null(env[4]);
	workload_env_free(env);
}
END_TEST

static int run(char **argv, char **env, char *cwd, char *user)
{
	struct runconf c = {
		.argv = argv,
		.env = env,
		.cwd = cwd,
		.user = user,
	};
	int status = -1;
	pid_t pid;

	ck_ok(workload_start(&c, &pid, &err), &err);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(runs_with_environment_folder_and_user)
{
	char sh[] = "sh", dash[] = "-c", dir[64], var[] = "V=a b";
	char script[] =
		"[ \"$V\" = 'a b' ] && [ \"$(basename \"$PWD\")\" = in ] "
		"&& [ -n \"$PATH\" ] && exit $(id -u)";
	char *argv[] = { sh, dash, script, NULL }, *env[] = { var, NULL };
	char user[] = "42:43";

	if (getuid())
		return; /* only root becomes another */
	snprintf(dir, sizeof(dir), "/tmp/workload-%d/new/in", (int)getpid());
	ck_assert_int_eq(run(argv, env, dir, user), 42);
	ck_assert_int_eq(rmdir(dir), 0);
	*strrchr(dir, '/') = '\0';
	ck_assert_int_eq(rmdir(dir), 0);
	*strrchr(dir, '/') = '\0';
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(what_cannot_run_ends_with_127)
{
	char name[] = "/nothing/there";
	char *argv[] = { name, NULL }, *none[] = { NULL };

	ck_assert_int_eq(run(argv, none, NULL, NULL), 127);
}
END_TEST

START_TEST(nothing_to_run)
{
	char *none[] = { NULL }, bad[] = "no-such-user-here";
	char name[] = "true", *argv[] = { name, NULL };
	struct runconf c = { .argv = none, .env = none };
	pid_t pid = 1;

	ck_ok(workload_start(&c, &pid, &err), &err);
	ck_assert_int_eq(pid, 0);
	c.argv = argv;
	c.user = bad;
	ck_fails(workload_start(&c, &pid, &err), &err, VC_E_ARG);
}
END_TEST

TEST_SUITE(suite_workload)
{
	Suite *s = suite_create("workload");
	TCase *t = test_case(s, "workload");

	tcase_add_test(t, environment_is_completed);
	tcase_add_test(t, runs_with_environment_folder_and_user);
	tcase_add_test(t, what_cannot_run_ends_with_127);
	tcase_add_test(t, nothing_to_run);
	return s;
}
