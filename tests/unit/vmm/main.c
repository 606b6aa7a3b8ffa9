/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"

Suite *suite_acpi(void);
Suite *suite_cpuid(void);
Suite *suite_load(void);
Suite *suite_pci(void);
Suite *suite_pm(void);
Suite *suite_rtc(void);
Suite *suite_serial(void);
Suite *suite_virtio_pci(void);

TEST_MAIN(suite_acpi, suite_cpuid, suite_load, suite_pci, suite_pm, suite_rtc,
	  suite_serial, suite_virtio_pci)
