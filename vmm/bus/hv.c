/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm/bus/hv.h"

static struct vc_hv *to_hv(struct bus_hv *b)
{
	return vc_container_of(b, struct bus_hv_kvm, base)->hv;
}

static int kvm_set_irq(struct bus_hv *b, unsigned gsi, bool level,
		       struct vc_error *err)
{
	return vc_hv_set_irq(to_hv(b), gsi, level, err);
}

static int kvm_alloc_gsi(struct bus_hv *b, unsigned *ret_gsi,
			 struct vc_error *err)
{
	return vc_hv_alloc_gsi(to_hv(b), ret_gsi, err);
}

static int kvm_set_msi(struct bus_hv *b, unsigned gsi, uint64_t address,
		       uint32_t data, struct vc_error *err)
{
	return vc_hv_set_msi(to_hv(b), gsi, address, data, err);
}

static int kvm_add_irqfd(struct bus_hv *b, int fd, unsigned gsi,
			 struct vc_error *err)
{
	return vc_hv_add_irqfd(to_hv(b), fd, gsi, err);
}

static int kvm_remove_irqfd(struct bus_hv *b, int fd, unsigned gsi,
			    struct vc_error *err)
{
	return vc_hv_remove_irqfd(to_hv(b), fd, gsi, err);
}

static int kvm_add_ioeventfd(struct bus_hv *b, int fd, gpa_t gpa, uint32_t len,
			     struct vc_error *err)
{
	return vc_hv_add_ioeventfd(to_hv(b), fd, gpa, len, err);
}

static int kvm_remove_ioeventfd(struct bus_hv *b, int fd, gpa_t gpa,
				uint32_t len, struct vc_error *err)
{
	return vc_hv_remove_ioeventfd(to_hv(b), fd, gpa, len, err);
}

static const struct bus_hv_ops kvm_ops = {
	.set_irq = kvm_set_irq,
	.alloc_gsi = kvm_alloc_gsi,
	.set_msi = kvm_set_msi,
	.add_irqfd = kvm_add_irqfd,
	.remove_irqfd = kvm_remove_irqfd,
	.add_ioeventfd = kvm_add_ioeventfd,
	.remove_ioeventfd = kvm_remove_ioeventfd,
};

void bus_hv_kvm_init(struct bus_hv_kvm *k, struct vc_hv *hv)
{
	*k = (struct bus_hv_kvm){ { &kvm_ops }, hv };
}
