/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sealing a process with several threads: none may be left out. Each test seals
 * a child, whose exit status says what it found; the jail's namespaces are for
 * tests/sandbox.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/sandbox.h>
#include "tests/lib/test.h"

enum { FINE = 0, NOT_FORBIDDEN = 1, SEAL_FAILED = 2, SEAL_PASSED = 3 };

static const struct vc_jail_limits no_limits = { .allow_threads = true };
static pthread_barrier_t barrier;

static int run(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "status %#x", (unsigned)status);
	return WEXITSTATUS(status);
}

static bool is_forbidden(void)
{
	errno = 0;
	return syscall(SYS_personality, 0xffffffff) < 0 && errno == EPERM;
}

/* Waits for the seal, then looks whether it holds here too. */
static void *follows(void *arg)
{
	int *ret = arg;

	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	*ret = is_forbidden() ? FINE : NOT_FORBIDDEN;
	return NULL;
}

/* The same, with a program of its own. */
static void *seals_itself(void *arg)
{
	struct vc_error err;
	int *ret = arg;

	*ret = vc_jail_seal_thread(VC_ROLE_VCPU, VC_JAIL_ERRNO, &err);
	if (*ret < 0)
		return NULL;
	return follows(arg);
}

static void *seals_and_ends(void *arg)
{
	struct vc_error err;

	if (vc_jail_seal_thread(VC_ROLE_VCPU, VC_JAIL_ERRNO, &err) < 0)
		return arg;
	return NULL;
}

static int seal(enum vc_jail_role role)
{
	struct vc_error err;

	if (vc_jail_seal(role, VC_JAIL_ERRNO, &no_limits, &err) < 0)
		return err.code == VC_E_INTERNAL ? SEAL_FAILED : 100;
	return FINE;
}

static int seal_with(void *(*fn)(void *))
{
	int found = 50, rc;
	pthread_t t;

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&t, NULL, fn, &found))
		return 101;
	pthread_barrier_wait(&barrier);
	rc = seal(VC_ROLE_MACHINE);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	if (rc)
		return rc;
	return is_forbidden() ? found : NOT_FORBIDDEN;
}

static int one_program_for_all(void)
{
	return seal_with(follows);
}

static int one_program_each(void)
{
	return seal_with(seals_itself);
}

static int one_is_left_out(void)
{
	int found[2] = { 50, 50 }, rc;
	pthread_t t[2];

	pthread_barrier_init(&barrier, NULL, 3);
	if (pthread_create(&t[0], NULL, follows, &found[0]) ||
	    pthread_create(&t[1], NULL, seals_itself, &found[1]))
		return 101;
	pthread_barrier_wait(&barrier);
	rc = seal(VC_ROLE_MACHINE);
	pthread_barrier_wait(&barrier);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	return rc == FINE ? SEAL_PASSED : rc;
}

/* A thread that is gone must not stand for one that is there. */
static int one_has_ended(void)
{
	int found = 50, rc;
	pthread_t t[2];
	void *failed;

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&t[0], NULL, seals_and_ends, &found) ||
	    pthread_join(t[0], &failed) || failed)
		return 101;
	/* of the same thread: the stack is used again, the id is not */
	if (pthread_create(&t[1], NULL, seals_itself, &found))
		return 102;
	pthread_barrier_wait(&barrier);
	rc = seal(VC_ROLE_MACHINE);
	pthread_barrier_wait(&barrier);
	pthread_join(t[1], NULL);
	return rc ? rc : found;
}

static void *wait_at_barrier(void *arg)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return arg;
}

static int namespaces_with_a_thread(void)
{
	struct vc_error err;
	pthread_t t;
	int rc;

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&t, NULL, wait_at_barrier, NULL))
		return 101;
	pthread_barrier_wait(&barrier);
	rc = vc_jail_namespaces("x", &err);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	if (rc == 0)
		return SEAL_PASSED;
	return err.code == VC_E_INTERNAL ? SEAL_FAILED : 100;
}

/* Lowered to what is asked, never raised. */
static int limits(void)
{
	const struct vc_jail_limits l = { .max_fds = 64,
					  .max_file_bytes = 1 << 20,
					  .allow_threads = false };
	struct rlimit before = { 4096, 4096 }, now;
	struct vc_error err;

	if (setrlimit(RLIMIT_FSIZE, &before) < 0)
		return 101;
	/* what is only logged lets us look at the limits */
	if (vc_jail_seal(VC_ROLE_RNG, VC_JAIL_LOG, &l, &err) < 0)
		return SEAL_FAILED;
	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_max != 64 ||
	    now.rlim_cur != 64)
		return 102;
	if (getrlimit(RLIMIT_FSIZE, &now) < 0 || now.rlim_max != 4096)
		return 103;
	if (getrlimit(RLIMIT_NPROC, &now) < 0 || now.rlim_max != 0)
		return 104;
	if (getrlimit(RLIMIT_CORE, &now) < 0 || now.rlim_max != 0)
		return 105;
	return FINE;
}

START_TEST(gives_all_threads_one_program)
{
	ck_assert_int_eq(run(one_program_for_all), FINE);
}
END_TEST

START_TEST(lets_threads_have_programs_of_their_own)
{
	ck_assert_int_eq(run(one_program_each), FINE);
}
END_TEST

START_TEST(refuses_to_leave_a_thread_out)
{
	ck_assert_int_eq(run(one_is_left_out), SEAL_FAILED);
}
END_TEST

START_TEST(forgets_threads_that_ended)
{
	ck_assert_int_eq(run(one_has_ended), FINE);
}
END_TEST

START_TEST(refuses_namespaces_for_several_threads)
{
	ck_assert_int_eq(run(namespaces_with_a_thread), SEAL_FAILED);
}
END_TEST

START_TEST(lowers_limits)
{
	ck_assert_int_eq(run(limits), FINE);
}
END_TEST

TEST_SUITE(suite_seal)
{
	Suite *s = suite_create("seal");
	TCase *tc = test_case(s, "seal");

	tcase_add_test(tc, gives_all_threads_one_program);
	tcase_add_test(tc, lets_threads_have_programs_of_their_own);
	tcase_add_test(tc, refuses_to_leave_a_thread_out);
	tcase_add_test(tc, forgets_threads_that_ended);
	tcase_add_test(tc, refuses_namespaces_for_several_threads);
	tcase_add_test(tc, lowers_limits);
	return s;
}
