/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "vmm/platform/reset.h"

#define I8042_PULSE 0xf0 /* to 0xff: pulse the pins whose bit is 0 */
#define I8042_PULSE_NOT_RESET 0x01
#define CONTROL_CPU 0x04 /* reset the processor on 0 -> 1 */
#define CONTROL_KEPT 0x0a

/* No keyboard: status 0 says that the controller takes commands and has no
 * byte to give. */
static void zero_read(struct bus_range *range, uint64_t off, uint8_t *data,
		      unsigned len)
{
	(void)range;
	(void)off;
	memset(data, 0, len);
}

static void ignore_write(struct bus_range *range, uint64_t off,
			 const uint8_t *data, unsigned len)
{
	(void)range;
	(void)off;
	(void)data;
	(void)len;
}

static void command_write(struct bus_range *range, uint64_t off,
			  const uint8_t *data, unsigned len)
{
	struct reset *r = vc_container_of(range, struct reset, i8042_command);

	(void)off;
	(void)len;
	if ((data[0] & I8042_PULSE) == I8042_PULSE &&
	    !(data[0] & I8042_PULSE_NOT_RESET))
		r->on_reset(r->opaque);
}

static void control_read(struct bus_range *range, uint64_t off, uint8_t *data,
			 unsigned len)
{
	struct reset *r = vc_container_of(range, struct reset, reset_control);

	(void)off;
	bus_put_le(data, len, r->control);
}

static void control_write(struct bus_range *range, uint64_t off,
			  const uint8_t *data, unsigned len)
{
	struct reset *r = vc_container_of(range, struct reset, reset_control);

	(void)off;
	(void)len;
	r->control = data[0] & CONTROL_KEPT;
	if (data[0] & CONTROL_CPU)
		r->on_reset(r->opaque);
}

static const struct bus_range_ops data_ops = { zero_read, ignore_write };
static const struct bus_range_ops command_ops = { zero_read, command_write };
static const struct bus_range_ops control_ops = { control_read, control_write };

void reset_init(struct reset *r, const struct reset_ports *ports,
		void (*on_reset)(void *opaque), void *opaque)
{
	memset(r, 0, sizeof(*r));
	r->i8042_data = (struct bus_range){ "i8042-data", &data_ops,
					    ports->i8042_data, 1, false };
	r->i8042_command = (struct bus_range){ "i8042-command", &command_ops,
					       ports->i8042_command, 1, false };
	r->reset_control = (struct bus_range){ "reset-control", &control_ops,
					       ports->reset_control, 1, false };
	r->on_reset = on_reset;
	r->opaque = opaque;
}
