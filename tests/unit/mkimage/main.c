/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_accounts(void);
Suite *suite_acl(void);
Suite *suite_ahead(void);
Suite *suite_boot(void);
Suite *suite_csum(void);
Suite *suite_digest(void);
Suite *suite_dirhash(void);
Suite *suite_fat(void);
Suite *suite_layer(void);
Suite *suite_layout(void);
Suite *suite_machine(void);
Suite *suite_part(void);
Suite *suite_pattern(void);
Suite *suite_stream(void);
Suite *suite_tree(void);
Suite *suite_xset(void);

TEST_MAIN(suite_accounts, suite_acl, suite_ahead, suite_boot, suite_csum,
	  suite_digest, suite_dirhash, suite_fat, suite_layer, suite_layout,
	  suite_machine, suite_part, suite_pattern, suite_stream, suite_tree,
	  suite_xset)
