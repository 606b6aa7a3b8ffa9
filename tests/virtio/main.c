/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_rng(void);

TEST_MAIN(suite_rng)
