/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "tests/lib/test.h"
#include "tests/unit/sandbox/spawn_child.h"

Suite *suite_policy(void);
Suite *suite_seal(void);
Suite *suite_spawn(void);

int main(int argc, char **argv)
{
	static const test_suite_fn suites[] = { suite_policy, suite_seal,
						suite_spawn };

	if (argc == 2 && !strcmp(argv[0], "child"))
		return spawn_child(argv[1]);
	return test_main(suites, sizeof(suites) / sizeof(suites[0]));
}
