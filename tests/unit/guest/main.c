/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_agent(void);
Suite *suite_cmdline(void);
Suite *suite_user(void);

TEST_MAIN(suite_agent, suite_cmdline, suite_user)
