/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_backend(void);
Suite *suite_frontend(void);
Suite *suite_message(void);

TEST_MAIN(suite_message, suite_backend, suite_frontend)
