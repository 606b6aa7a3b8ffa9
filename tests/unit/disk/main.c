/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_raw(void);

TEST_MAIN(suite_raw)
