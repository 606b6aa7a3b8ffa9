/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting processes: the test program starts itself with another argv[0], as
 * `child <what>`, and the child reports on a pipe or by its exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/sandbox.h>
#include "tests/lib/test.h"
#include "tests/unit/sandbox/spawn_child.h"

static struct vc_error err;

static int open_self(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int try_spawn(const char *what, int exe, const struct vc_jail_fd *fds,
		     size_t nr_fds, bool jail, pid_t *ret_pid, int *ret_pidfd)
{
	char name[] = "child", arg[32], env[] = "VC_TEST=1";
	char *const argv[] = { name, arg, NULL };
	char *const envp[] = { env, NULL };
	const struct vc_jail_spawn_opts o = {
		exe, argv, envp, fds, nr_fds, jail
	};

	snprintf(arg, sizeof(arg), "%s", what);
	return vc_jail_spawn(&o, ret_pid, ret_pidfd, &err);
}

static int reap(pid_t pid, int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int status;

	ck_assert_int_eq(poll(&p, 1, 60000), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(pidfd);
	return status;
}

/* Start `child what` with a pipe at 1, 2 as it is; its output and status. */
static int run(const char *what, bool jail, char *out, size_t size)
{
	int exe = open_self(), ends[2], pidfd;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	const struct vc_jail_fd fds[] = { { ends[1], 1 }, { 2, 2 } };
	ck_ok(try_spawn(what, exe, fds, 2, jail, &pid, &pidfd), &err);
	close(exe);
	close(ends[1]);
	while ((n = read(ends[0], out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(ends[0]);
	return reap(pid, pidfd);
}

START_TEST(passes_only_what_is_named)
{
	char out[256];
	/* neither close-on-exec nor named: must not arrive */
	int stray = open("/", O_RDONLY);

	ck_assert_int_ge(stray, 0);
	ck_assert_int_eq(run("fds", _i, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "1 2 ");
	close(stray);
}
END_TEST

START_TEST(places_descriptors_that_swap)
{
	int exe = open_self(), a[2], b[2], pidfd;
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(a, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(b, O_CLOEXEC), 0);
	/* each goes where the other is; the child writes 'a' to a[1]'s number
	 * and 'b' to b[1]'s */
	const struct vc_jail_fd fds[] = { { a[1], b[1] }, { b[1], a[1] } };
	char what[32];
	snprintf(what, sizeof(what), "write %d %d", a[1], b[1]);
	ck_ok(try_spawn(what, exe, fds, 2, false, &pid, &pidfd), &err);
	ck_assert_int_eq(reap(pid, pidfd), 0);
	ck_assert_int_eq((int)read(a[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'b');
	ck_assert_int_eq((int)read(b[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'a');
	close(exe);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}
END_TEST

START_TEST(starts_with_clean_signals)
{
	sigset_t set, before;
	char out[64];

	signal(SIGPIPE, SIG_IGN);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &before);
	ck_assert_int_eq(run("signals", false, out, sizeof(out)), 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	ck_assert_str_eq(out, "clean");
}
END_TEST

START_TEST(jailed_child_is_first_and_root_inside)
{
	char out[64];

	ck_assert_int_eq(run("ids", true, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "pid 1 uid 0 gid 0");
}
END_TEST

START_TEST(reports_the_step_that_failed)
{
	int exe = open("/", O_RDONLY | O_CLOEXEC), pidfd = -1;
	pid_t pid;

	ck_fails(try_spawn("x", exe, NULL, 0, _i, &pid, &pidfd), &err,
		 VC_E_SYS);
	ck_assert_int_eq(err.sys, EACCES); /* a folder is no program */
	ck_assert_ptr_nonnull(strstr(err.msg, "exec"));
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
	close(exe);
}
END_TEST

START_TEST(refuses_wrong_descriptors)
{
	const struct vc_jail_fd twice[] = { { 1, 5 }, { 2, 5 } };
	const struct vc_jail_fd negative[] = { { 1, -1 } };
	const struct vc_jail_fd closed[] = { { 999, 3 } };
	int exe = open_self(), pidfd;
	pid_t pid;

	ck_fails(try_spawn("fds", exe, twice, 2, false, &pid, &pidfd), &err,
		 VC_E_INTERNAL);
	ck_fails(try_spawn("fds", exe, negative, 1, false, &pid, &pidfd), &err,
		 VC_E_INTERNAL);
	ck_fails(try_spawn("fds", exe, closed, 1, false, &pid, &pidfd), &err,
		 VC_E_SYS);
	ck_assert_int_eq(err.sys, EBADF);
	close(exe);
}
END_TEST

/* grandparent (this test) -> parent, which starts a child that waits for ever
 * with our pipe open, and is killed: the pipe must see its end. */
START_TEST(child_dies_with_its_parent)
{
	int exe = open_self(), ends[2], pidfd;
	struct pollfd p;
	pid_t parent;
	char byte;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	parent = fork();
	ck_assert_int_ge(parent, 0);
	if (parent == 0) {
		const struct vc_jail_fd fds[] = { { ends[1], 1 } };
		pid_t pid;

		if (try_spawn("wait", exe, fds, 1, _i, &pid, &pidfd) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	/* the child says that it runs; the parent lives until we have heard */
	ck_assert_int_eq((int)read(ends[0], &byte, 1), 1);
	kill(parent, SIGKILL);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	p = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 60000), 1);
	ck_assert_int_eq((int)read(ends[0], &byte, 1), 0);
	close(ends[0]);
	close(exe);
}
END_TEST

START_TEST(closes_all_but_the_kept)
{
	int fds[8], i, status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		for (i = 0; i < 8; i++)
			fds[i] = dup2(0, 40 + i * 3);
		const int keep[] = { fds[5], fds[1], -1, fds[1], fds[2] };
		if (vc_jail_close_others(keep, 5, &err) < 0)
			_exit(100);
		for (i = 0; i < 128; i++) {
			bool is_kept = i == 43 || i == 46 || i == 55;

			if ((fcntl(i, F_GETFD) >= 0) != is_kept)
				_exit(1 + i);
		}
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "descriptor %d", WEXITSTATUS(status) - 1);
}
END_TEST

TEST_SUITE(suite_spawn)
{
	Suite *s = suite_create("spawn");
	TCase *tc = test_case(s, "spawn");

	tcase_add_loop_test(tc, passes_only_what_is_named, 0, 2);
	tcase_add_test(tc, places_descriptors_that_swap);
	tcase_add_test(tc, starts_with_clean_signals);
	tcase_add_test(tc, jailed_child_is_first_and_root_inside);
	tcase_add_loop_test(tc, reports_the_step_that_failed, 0, 2);
	tcase_add_test(tc, refuses_wrong_descriptors);
	tcase_add_loop_test(tc, child_dies_with_its_parent, 0, 2);
	tcase_add_test(tc, closes_all_but_the_kept);
	return s;
}
