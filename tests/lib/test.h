/* SPDX-License-Identifier: BSD-3-Clause */
/* What every Check program here shares: TEST_MAIN() and assertions on the error
 * object. One program per folder of the tree, one Suite per source file. */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <check.h>
#include <vmmcore/error.h>

#ifdef NDEBUG
#error "tests need assert()"
#endif

typedef Suite *(*test_suite_fn)(void);

/* Head of a suite's function: TEST_SUITE(suite_kv) { ... return s; } */
#define TEST_SUITE(name)   \
	Suite *name(void); \
	Suite *name(void)

/* Run the suites, each test in a process of its own (CK_FORK=no for gdb). A
 * test that leaves a descriptor open fails. */
int test_main(const test_suite_fn *suites, size_t nr);

#define TEST_MAIN(...)                                                        \
	int main(void)                                                        \
	{                                                                     \
		static const test_suite_fn suites[] = { __VA_ARGS__ };        \
                                                                              \
		return test_main(suites, sizeof(suites) / sizeof(suites[0])); \
	}

/* A case of its own named `name` with the fd-leak fixture. */
TCase *test_case(Suite *s, const char *name);

/* `call` returns 0; else the error's text is shown. */
#define ck_ok(call, err)                                                  \
	do {                                                              \
		char text_[512];                                          \
		ck_assert_msg((call) == 0, "%s",                          \
			      vc_error_str((err), text_, sizeof(text_))); \
	} while (0)
/* `call` returns -1 with this code. */
#define ck_fails(call, err, want)                                         \
	do {                                                              \
		ck_assert_int_eq((call), -1);                             \
		ck_assert_msg((err)->code == (want), "code %d, text: %s", \
			      (int)(err)->code, (err)->msg);              \
	} while (0)

#endif
