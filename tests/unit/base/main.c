/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_bytes(void);
Suite *suite_error(void);
Suite *suite_loop(void);
Suite *suite_options(void);
Suite *suite_kv(void);
Suite *suite_number(void);
Suite *suite_outfile(void);

TEST_MAIN(suite_options, suite_loop, suite_error, suite_bytes, suite_kv,
	  suite_number, suite_outfile)
