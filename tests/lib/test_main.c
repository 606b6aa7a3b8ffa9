/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <stdlib.h>
#include "tests/lib/test.h"

static int fds_before;

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void remember_fds(void)
{
	fds_before = count_fds();
}

static void compare_fds(void)
{
	ck_assert_msg(count_fds() == fds_before,
		      "the test left a descriptor open");
}

TCase *test_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	/* generous: an instrumented build on a busy machine */
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, remember_fds, compare_fds);
	suite_add_tcase(s, tc);
	return tc;
}

int test_main(const test_suite_fn *suites, size_t nr)
{
	SRunner *sr = srunner_create(NULL);
	int failed;
	size_t i;

	for (i = 0; i < nr; i++)
		srunner_add_suite(sr, suites[i]());
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
