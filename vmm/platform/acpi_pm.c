/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "vmm/platform/acpi_pm.h"

#define EVENT_BYTES 4 /* status, then enable */
#define CONTROL_BYTES 2

#define PM1_GBL (1u << 5)
#define PM1_PWRBTN (1u << 8)
#define PM1_SLPBTN (1u << 9)
#define PM1_RTC (1u << 10)
#define PM1_ENABLE_MASK (PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)
#define CNT_SCI_EN (1u << 0)
#define CNT_BM_RLD (1u << 1)
#define CNT_SLP_TYP(v) ((v) >> 10 & 7)
#define CNT_SLP_TYP_MASK (7u << 10)
#define CNT_SLP_EN (1u << 13)

static void sci_update(struct acpi_pm *pm)
{
	bool level = pm->status & pm->enable;
	struct vc_error err;

	if (level != pm->sci_level &&
	    pm->hv->ops->set_irq(pm->hv, pm->config.sci, level, &err) == 0)
		pm->sci_level = level;
}

static void event_read(struct bus_range *r, uint64_t off, uint8_t *data,
		       unsigned len)
{
	struct acpi_pm *pm = vc_container_of(r, struct acpi_pm, event_range);
	uint32_t image = pm->status | (uint32_t)pm->enable << 16;

	bus_put_le(data, len, image >> 8 * off);
}

static void event_write(struct bus_range *r, uint64_t off, const uint8_t *data,
			unsigned len)
{
	struct acpi_pm *pm = vc_container_of(r, struct acpi_pm, event_range);
	uint8_t status[2] = { 0 }, enable[2];
	unsigned i;

	bus_put_le(enable, 2, pm->enable);
	for (i = 0; i < len; i++) {
		if (off + i < 2)
			status[off + i] = data[i];
		else
			enable[off + i - 2] = data[i];
	}
	pm->status &= (uint16_t)~bus_get_le(status, 2); /* 1 clears */
	pm->enable = (uint16_t)(bus_get_le(enable, 2) & PM1_ENABLE_MASK);
	sci_update(pm);
}

static void control_read(struct bus_range *r, uint64_t off, uint8_t *data,
			 unsigned len)
{
	struct acpi_pm *pm = vc_container_of(r, struct acpi_pm, control_range);

	bus_put_le(data, len, (uint64_t)(pm->control | CNT_SCI_EN) >> 8 * off);
}

static void control_write(struct bus_range *r, uint64_t off,
			  const uint8_t *data, unsigned len)
{
	struct acpi_pm *pm = vc_container_of(r, struct acpi_pm, control_range);
	uint8_t bytes[2];
	unsigned i;
	uint64_t v;

	bus_put_le(bytes, 2, pm->control);
	for (i = 0; i < len; i++)
		bytes[off + i] = data[i];
	v = bus_get_le(bytes, 2);
	/* SLP_EN is write-only: it acts and reads as 0 */
	pm->control = (uint16_t)(v & (CNT_SLP_TYP_MASK | CNT_BM_RLD));
	if ((v & CNT_SLP_EN) && CNT_SLP_TYP(v) == pm->config.s5_type)
		pm->config.on_poweroff(pm->config.opaque);
}

static const struct bus_range_ops event_ops = { event_read, event_write };
static const struct bus_range_ops control_ops = { control_read, control_write };

void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config,
		  struct bus_hv *hv)
{
	memset(pm, 0, sizeof(*pm));
	pm->config = *config;
	pm->hv = hv;
	pm->event_range =
		(struct bus_range){ "acpi-pm1-event", &event_ops,
				    config->event_port, EVENT_BYTES, false };
	pm->control_range =
		(struct bus_range){ "acpi-pm1-control", &control_ops,
				    config->control_port, CONTROL_BYTES,
				    false };
}

void acpi_pm_press_power_button(struct acpi_pm *pm)
{
	pm->status |= PM1_PWRBTN;
	sci_update(pm);
}
