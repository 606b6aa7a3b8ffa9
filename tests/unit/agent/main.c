/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_exec(void);
Suite *suite_frame(void);
Suite *suite_ring(void);

TEST_MAIN(suite_exec, suite_frame, suite_ring)
