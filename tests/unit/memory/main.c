/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_memory(void);

TEST_MAIN(suite_memory)
