/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices every machine has, at the places the architecture says. */
#include "vmm/machine/internal.h"

static void on_poweroff(void *opaque)
{
	machine_end(opaque, LINK_END_POWEROFF, "power off");
}

static void on_reset(void *opaque)
{
	machine_end(opaque, LINK_END_RESET, "reset");
}

static void on_rtc_rearm(struct mc146818 *rtc)
{
	machine_wake(vc_container_of(rtc, struct machine, rtc));
}

static void on_rtc_timer(struct vc_timer *t)
{
	struct machine *m = vc_container_of(t, struct machine, rtc_timer);
	uint64_t next_ns;

	pthread_mutex_lock(&m->lock);
	mc146818_tick(&m->rtc);
	next_ns = mc146818_next_ns(&m->rtc);
	pthread_mutex_unlock(&m->lock);
	if (next_ns)
		vc_timer_start(t, next_ns);
}

static const struct mc146818_ops rtc_ops = { mc146818_host_now_ns,
					     on_rtc_rearm };

static int attach_pci(struct machine *m, struct vc_error *err)
{
	struct pci_host_config c = {
		.pio = &m->pio,
		.mmio = &m->mmio,
		.address_port = ARCH_PORT_PCI_ADDRESS,
		.data_port = ARCH_PORT_PCI_DATA,
		.ecam_base = ARCH_ECAM_BASE,
		.ecam_size = ARCH_ECAM_SIZE,
		.mem32_base = ARCH_PCI_MEM32_BASE,
		.mem32_size = ARCH_PCI_MEM32_SIZE,
		.mem64_base = arch_pci_mem64(m->config->mem_bytes),
		.mem64_size = ARCH_PCI_MEM64_SIZE,
	};

	return pci_host_init(&m->pci, &c, err);
}

static int attach_power(struct machine *m, struct vc_error *err)
{
	struct acpi_pm_config pm = {
		.event_port = ARCH_PORT_PM1A_EVT,
		.control_port = ARCH_PORT_PM1A_CNT,
		.sci = ARCH_IRQ_SCI,
		.s5_type = ARCH_SLP_TYP_S5,
		.on_poweroff = on_poweroff,
		.opaque = m,
	};
	struct reset_ports ports = {
		.i8042_data = ARCH_PORT_I8042_DATA,
		.i8042_command = ARCH_PORT_I8042_CMD,
		.reset_control = ARCH_PORT_RESET,
	};

	acpi_pm_init(&m->pm, &pm, &m->bus_hv.base);
	reset_init(&m->reset, &ports, on_reset, m);
	if (bus_attach(&m->pio, &m->pm.event_range, err) < 0 ||
	    bus_attach(&m->pio, &m->pm.control_range, err) < 0 ||
	    bus_attach(&m->pio, &m->reset.i8042_data, err) < 0 ||
	    bus_attach(&m->pio, &m->reset.i8042_command, err) < 0)
		return -1;
	return bus_attach(&m->pio, &m->reset.reset_control, err);
}

int board_attach(struct machine *m, struct vc_error *err)
{
	const struct machine_config *c = m->config;

	if (attach_pci(m, err) < 0 || attach_power(m, err) < 0)
		return -1;
	mc146818_init(&m->rtc, &rtc_ops, &m->bus_hv.base, ARCH_IRQ_RTC,
		      ARCH_PORT_RTC_INDEX);
	if (bus_attach(&m->pio, &m->rtc.range, err) < 0 ||
	    vc_timer_init(&m->rtc_timer, m->loop, on_rtc_timer, err) < 0)
		return -1;
	if (console_init(&m->console, m, c->serial_in_fd, c->serial_out_fd,
			 err) < 0)
		return -1;
	return bus_attach(&m->pio, &m->console.uart.range, err);
}

void board_detach(struct machine *m)
{
	console_fini(&m->console);
	if (m->rtc_timer.watch.loop)
		vc_timer_fini(&m->rtc_timer);
	pci_host_fini(&m->pci);
}
