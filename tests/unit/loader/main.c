/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_initrd(void);
Suite *suite_kernel(void);

TEST_MAIN(suite_initrd, suite_kernel)
