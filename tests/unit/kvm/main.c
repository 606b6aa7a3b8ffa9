/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "tests/lib/test.h"

#define SKIPPED 77

Suite *suite_hv(void);

int main(void)
{
	static const test_suite_fn suites[] = { suite_hv };
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	/* tests/e2e/test-host.sh runs it where there is one */
	if (fd < 0) {
		perror("/dev/kvm: open");
		return SKIPPED;
	}
	close(fd);
	return test_main(suites, 1);
}
