/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI fixed hardware that a PC has of old: the PM1a event block with the
 * power button, and the PM1a control block with sleep type 5 (ACPI 6.5, 4.8.3).
 * The machine is always in ACPI mode. All calls under the machine's device
 * lock.
 */
#ifndef VMM_PLATFORM_ACPI_PM_H
#define VMM_PLATFORM_ACPI_PM_H

#include "vmm/bus/hv.h"
#include "vmm/bus/bus.h"

struct acpi_pm_config {
	uint16_t event_port, control_port;
	unsigned sci;
	uint8_t s5_type; /* SLP_TYP of \_S5 */
	void (*on_poweroff)(void *opaque);
	void *opaque;
};

struct acpi_pm {
	struct bus_range event_range, control_range;
	struct acpi_pm_config config;
	struct bus_hv *hv; /* borrowed */
	uint16_t status, enable, control;
	bool sci_level;
};

/* The caller attaches both ranges. */
void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config,
		  struct bus_hv *hv);
void acpi_pm_press_power_button(struct acpi_pm *pm);

#endif
