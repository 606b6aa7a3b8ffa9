/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ways a PC is reset from software: the chipset's reset control
 * register (0xcf9) and the keyboard controller's output pin (i8042, which has
 * no keyboard here). All calls under the machine's device lock.
 */
#ifndef VMM_PLATFORM_RESET_H
#define VMM_PLATFORM_RESET_H

#include "vmm/bus/bus.h"

struct reset_ports {
	uint16_t i8042_data, i8042_command, reset_control;
};

struct reset {
	struct bus_range i8042_data, i8042_command, reset_control;
	uint8_t control;
	void (*on_reset)(void *opaque);
	void *opaque;
};

/* The caller attaches the three ranges. */
void reset_init(struct reset *r, const struct reset_ports *ports,
		void (*on_reset)(void *opaque), void *opaque);

#endif
