/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_config(void);
Suite *suite_server(void);
Suite *suite_socket(void);

TEST_MAIN(suite_config, suite_server, suite_socket)
