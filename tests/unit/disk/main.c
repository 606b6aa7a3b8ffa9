/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_composite(void);
Suite *suite_convert(void);
Suite *suite_gpt(void);
Suite *suite_qcow2_crash(void);
Suite *suite_qcow2_format(void);
Suite *suite_qcow2_hostile(void);
Suite *suite_qcow2_io(void);
Suite *suite_qcow2_killed(void);
Suite *suite_qcow2_life(void);
Suite *suite_qcow2_manage(void);
Suite *suite_queue(void);
Suite *suite_raw(void);
Suite *suite_sequential(void);
Suite *suite_sparse(void);
Suite *suite_sync(void);
Suite *suite_zstd(void);

TEST_MAIN(suite_raw, suite_qcow2_io, suite_qcow2_manage, suite_qcow2_format,
	  suite_qcow2_hostile, suite_qcow2_crash, suite_gpt, suite_composite,
	  suite_convert, suite_sequential, suite_sparse, suite_zstd,
	  suite_queue, suite_qcow2_life, suite_qcow2_killed, suite_sync)
