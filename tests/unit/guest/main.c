/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_agent(void);
Suite *suite_cmdline(void);
Suite *suite_rootdev(void);
Suite *suite_runconf(void);
Suite *suite_user(void);
Suite *suite_workload(void);

TEST_MAIN(suite_agent, suite_cmdline, suite_rootdev, suite_runconf, suite_user,
	  suite_workload)
