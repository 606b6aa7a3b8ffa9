/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt routes and event descriptors.
 *
 * KVM takes the routing table only as a whole, so the table is kept here (made
 * once: a sealed process allocates nothing) and handed over after each change. Pins 0..15 go to both the PIC and the IOAPIC,
 * as on a PC: the timer's pin 0 reaches the IOAPIC as pin 2, as the MADT tells
 * the guest. GSIs from VC_HV_FIRST_MSI_GSI up are MSIs; one without a message
 * has no route, and a signal on it is dropped.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <vmmcore/util.h>
#include "kvm/hv.h"

_Static_assert(VC_HV_FIRST_MSI_GSI == HV_NR_IOAPIC_PINS,
	       "MSIs begin after the IOAPIC's pins");

#define NR_PIN_ROUTES (HV_NR_PIC_PINS + HV_NR_IOAPIC_PINS)

static struct kvm_irq_routing_entry *add_pin(struct kvm_irq_routing_entry *e,
					     uint32_t gsi, uint32_t chip,
					     uint32_t pin)
{
	*e = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
	return e + 1;
}

static struct kvm_irq_routing_entry *add_pins(struct kvm_irq_routing_entry *e)
{
	uint32_t i;

	for (i = 0; i < 8; i++)
		e = add_pin(e, i, KVM_IRQCHIP_PIC_MASTER, i);
	for (i = 8; i < HV_NR_PIC_PINS; i++)
		e = add_pin(e, i, KVM_IRQCHIP_PIC_SLAVE, i - 8);
	e = add_pin(e, 0, KVM_IRQCHIP_IOAPIC, 2);
	for (i = 1; i < HV_NR_IOAPIC_PINS; i++)
		if (i != 2)
			e = add_pin(e, i, KVM_IRQCHIP_IOAPIC, i);
	return e;
}

int hv_alloc_routes(struct vc_hv *hv, struct vc_error *err)
{
	hv->routes = calloc(1, sizeof(*hv->routes) +
				       (NR_PIN_ROUTES + VC_HV_MAX_GSI) *
					       sizeof(hv->routes->entries[0]));
	if (!hv->routes)
		return vc_fail(err, VC_E_SYS, ENOMEM, "KVM: route interrupts");
	return 0;
}

int hv_apply_routes(struct vc_hv *hv, struct vc_error *err)
{
	struct kvm_irq_routing *table = hv->routes;
	struct kvm_irq_routing_entry *e;
	uint32_t gsi;

	e = add_pins(table->entries);
	for (gsi = VC_HV_FIRST_MSI_GSI; gsi < hv->nr_gsis; gsi++) {
		const struct hv_msi *m = &hv->msi[gsi];

		if (!m->is_set)
			continue;
		*e = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)m->address,
				   .address_hi = (uint32_t)(m->address >> 32),
				   .data = m->data },
		};
		e++;
	}
	table->nr = (uint32_t)(e - table->entries);
	if (hv_ioctl(hv->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: set %u interrupt routes", table->nr);
	return 0;
}

int vc_hv_set_irq(struct vc_hv *hv, unsigned gsi, bool level,
		  struct vc_error *err)
{
	struct kvm_irq_level arg = { .irq = gsi, .level = level };

	if (hv_ioctl(hv->vm_fd, KVM_IRQ_LINE, &arg) < 0)
		return vc_fail(err, VC_E_SYS, errno, "KVM: set interrupt %u",
			       gsi);
	return 0;
}

static int change_irqfd(struct vc_hv *hv, int fd, unsigned gsi, uint32_t flags,
			struct vc_error *err)
{
	struct kvm_irqfd arg = { .fd = (uint32_t)fd,
				 .gsi = gsi,
				 .flags = flags };

	if (hv_ioctl(hv->vm_fd, KVM_IRQFD, &arg) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: %s the event of interrupt %u",
			       flags ? "detach" : "attach", gsi);
	return 0;
}

int vc_hv_add_irqfd(struct vc_hv *hv, int fd, unsigned gsi,
		    struct vc_error *err)
{
	return change_irqfd(hv, fd, gsi, 0, err);
}

int vc_hv_remove_irqfd(struct vc_hv *hv, int fd, unsigned gsi,
		       struct vc_error *err)
{
	return change_irqfd(hv, fd, gsi, KVM_IRQFD_FLAG_DEASSIGN, err);
}

int vc_hv_alloc_gsi(struct vc_hv *hv, unsigned *ret_gsi, struct vc_error *err)
{
	unsigned gsi;

	pthread_mutex_lock(&hv->routes_lock);
	for (gsi = VC_HV_FIRST_MSI_GSI; gsi < hv->nr_gsis; gsi++)
		if (!hv->msi[gsi].is_used)
			break;
	if (gsi < hv->nr_gsis)
		hv->msi[gsi].is_used = true;
	pthread_mutex_unlock(&hv->routes_lock);
	if (gsi >= hv->nr_gsis)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "KVM: more than %u message interrupts",
			       hv->nr_gsis - VC_HV_FIRST_MSI_GSI);
	*ret_gsi = gsi;
	return 0;
}

/* The old message stays in force when the host refuses the new one. */
static int change_msi(struct vc_hv *hv, unsigned gsi, struct hv_msi msi,
		      struct vc_error *err)
{
	struct hv_msi old;
	int ret;

	assert(gsi >= VC_HV_FIRST_MSI_GSI && gsi < hv->nr_gsis);
	pthread_mutex_lock(&hv->routes_lock);
	assert(hv->msi[gsi].is_used);
	old = hv->msi[gsi];
	hv->msi[gsi] = msi;
	ret = hv_apply_routes(hv, err);
	if (ret < 0)
		hv->msi[gsi] = old;
	pthread_mutex_unlock(&hv->routes_lock);
	return ret;
}

int vc_hv_set_msi(struct vc_hv *hv, unsigned gsi, uint64_t address,
		  uint32_t data, struct vc_error *err)
{
	return change_msi(hv, gsi,
			  (struct hv_msi){ .is_used = true,
					   .is_set = true,
					   .address = address,
					   .data = data },
			  err);
}

int vc_hv_clear_msi(struct vc_hv *hv, unsigned gsi, struct vc_error *err)
{
	return change_msi(hv, gsi, (struct hv_msi){ .is_used = true }, err);
}

static int change_ioeventfd(struct vc_hv *hv, int fd, gpa_t gpa, uint32_t len,
			    uint32_t flags, struct vc_error *err)
{
	struct kvm_ioeventfd arg = {
		.addr = gpa, .len = len, .fd = fd, .flags = flags
	};

	if (hv_ioctl(hv->vm_fd, KVM_IOEVENTFD, &arg) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: %s the event of address 0x%llx",
			       flags ? "detach" : "attach",
			       (unsigned long long)gpa);
	return 0;
}

int vc_hv_add_ioeventfd(struct vc_hv *hv, int fd, gpa_t gpa, uint32_t len,
			struct vc_error *err)
{
	return change_ioeventfd(hv, fd, gpa, len, 0, err);
}

int vc_hv_remove_ioeventfd(struct vc_hv *hv, int fd, gpa_t gpa, uint32_t len,
			   struct vc_error *err)
{
	return change_ioeventfd(hv, fd, gpa, len, KVM_IOEVENTFD_FLAG_DEASSIGN,
				err);
}
