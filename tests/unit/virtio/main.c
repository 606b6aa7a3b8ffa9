/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_queue(void);

TEST_MAIN(suite_queue)
