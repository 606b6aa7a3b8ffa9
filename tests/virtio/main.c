/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_blk(void);
Suite *suite_console(void);
Suite *suite_rng(void);
Suite *suite_vsock(void);
Suite *suite_vsock_hostile(void);

TEST_MAIN(suite_blk, suite_console, suite_rng, suite_vsock, suite_vsock_hostile)
