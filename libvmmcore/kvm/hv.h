/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share. */
#ifndef KVM_HV_H
#define KVM_HV_H

#include <linux/kvm.h>
#include <vmmcore/kvm.h>

/* One page below the TSS, where no RAM, device or firmware is. */
#define HV_IDENTITY_MAP_ADDR UINT64_C(0xfeffc000)
#define HV_TSS_ADDR UINT64_C(0xfeffd000)

#define HV_NR_IOAPIC_PINS 24
#define HV_NR_PIC_PINS 16

struct hv_msi {
	bool is_used; /* given out by vc_hv_alloc_gsi() */
	bool is_set;
	uint64_t address;
	uint32_t data;
};

struct vc_hv {
	int kvm_fd;
	int vm_fd;
	const struct vc_mem *mem; /* borrowed */
	bool has_hardware;	  /* the processor virtualizes */
	size_t vcpu_map_bytes;
	unsigned max_vcpus;
	unsigned nr_gsis; /* routes the host takes, at most VC_HV_MAX_GSI */
	pthread_mutex_t routes_lock;
	struct hv_msi msi[VC_HV_MAX_GSI];
	struct kvm_irq_routing *routes; /* owned: room for every route */
};

struct vc_vcpu {
	struct vc_hv *hv; /* borrowed */
	int fd;
	unsigned index;
	struct kvm_run *run; /* mapped, hv->vcpu_map_bytes */
};

/* ioctl(2) again when a signal came between. */
int hv_ioctl(int fd, unsigned long request, void *arg);
/* The version and every capability needed; names what is missing. */
int hv_check_kvm(int kvm_fd, struct vc_error *err) VC_MUST_CHECK;
/* Does this processor have VMX or SVM? Without a system call. */
bool hv_has_hardware(void);
int hv_alloc_routes(struct vc_hv *hv, struct vc_error *err) VC_MUST_CHECK;
/* Tell KVM the whole table; the caller holds routes_lock or is alone. */
int hv_apply_routes(struct vc_hv *hv, struct vc_error *err) VC_MUST_CHECK;

#endif
