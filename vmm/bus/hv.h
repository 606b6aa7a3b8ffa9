/* SPDX-License-Identifier: BSD-3-Clause */
/* What buses and devices ask of the hypervisor, so that their unit tests can
 * put a fake in its place. The real one is bus_hv_kvm. Same contracts as the
 * functions of that name in vmmcore/kvm.h. */
#ifndef VMM_BUS_HV_H
#define VMM_BUS_HV_H

#include <vmmcore/kvm.h>

struct bus_hv;

struct bus_hv_ops {
	int (*set_irq)(struct bus_hv *hv, unsigned gsi, bool level,
		       struct vc_error *err);
	int (*alloc_gsi)(struct bus_hv *hv, unsigned *ret_gsi,
			 struct vc_error *err);
	int (*set_msi)(struct bus_hv *hv, unsigned gsi, uint64_t address,
		       uint32_t data, struct vc_error *err);
	int (*add_irqfd)(struct bus_hv *hv, int fd, unsigned gsi,
			 struct vc_error *err);
	int (*remove_irqfd)(struct bus_hv *hv, int fd, unsigned gsi,
			    struct vc_error *err);
	int (*add_ioeventfd)(struct bus_hv *hv, int fd, gpa_t gpa, uint32_t len,
			     struct vc_error *err);
	int (*remove_ioeventfd)(struct bus_hv *hv, int fd, gpa_t gpa,
				uint32_t len, struct vc_error *err);
};

struct bus_hv {
	const struct bus_hv_ops *ops;
};

struct bus_hv_kvm {
	struct bus_hv base;
	struct vc_hv *hv; /* borrowed */
};
void bus_hv_kvm_init(struct bus_hv_kvm *k, struct vc_hv *hv);

#endif
