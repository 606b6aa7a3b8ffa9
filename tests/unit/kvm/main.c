/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <unistd.h>
#include "tests/lib/test.h"

#define SKIPPED 77

Suite *suite_hv(void);

int main(void)
{
	static const test_suite_fn suites[] = { suite_hv };

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		puts("no /dev/kvm to use");
		return SKIPPED;
	}
	return test_main(suites, 1);
}
