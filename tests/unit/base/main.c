/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_kv(void);
Suite *suite_number(void);
Suite *suite_outfile(void);

TEST_MAIN(suite_kv, suite_number, suite_outfile)
