/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM as KVM sees it. Interrupt controllers (PIC, IOAPIC, local APICs) and
 * the PIT live in the kernel, so a timer tick or a device interrupt never
 * enters this process. What the host's KVM must have is checked once, by
 * name, before anything is made.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <vmmcore/util.h>
#include "kvm/hv.h"

#define LEAF1_ECX_TSC_DEADLINE (1u << 24)

int hv_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do
		ret = ioctl(fd, request, arg);
	while (ret < 0 && errno == EINTR);
	return ret;
}

static int check_cap(int kvm_fd, unsigned long cap)
{
	return ioctl(kvm_fd, KVM_CHECK_EXTENSION, cap);
}

bool hv_has_hardware(void)
{
#if defined(__x86_64__)
	unsigned eax, ebx, ecx, edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & (1u << 5))
		return true; /* VMX */
	return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) &&
	       ecx & (1u << 2); /* SVM */
#else
	return true;
#endif
}

int hv_check_kvm(int kvm_fd, struct vc_error *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
		{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
		{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR" },
		{ KVM_CAP_IRQCHIP, "IRQCHIP" },
		{ KVM_CAP_PIT2, "PIT2" },
		{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
		{ KVM_CAP_IRQFD, "IRQFD" },
		{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
		{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "IOEVENTFD_ANY_LENGTH" },
		{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
		{ KVM_CAP_MP_STATE, "MP_STATE" },
		{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	};
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
	size_t i;

	if (version < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: read the API version");
	if (version != KVM_API_VERSION)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "KVM: API version %d, not %d", version,
			       KVM_API_VERSION);
	for (i = 0; i < VC_ARRAY_SIZE(needed); i++)
		if (check_cap(kvm_fd, (unsigned long)needed[i].cap) <= 0)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "KVM: this host lacks capability "
				       "KVM_CAP_%s",
				       needed[i].name);
	return 0;
}

static int read_limits(struct vc_hv *hv, struct vc_error *err)
{
	int map_bytes = ioctl(hv->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int vcpus = check_cap(hv->kvm_fd, KVM_CAP_MAX_VCPUS);
	int gsis = check_cap(hv->kvm_fd, KVM_CAP_IRQ_ROUTING);

	if (map_bytes < 0 || (size_t)map_bytes < sizeof(struct kvm_run))
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: read the size of a vCPU's page");
	hv->vcpu_map_bytes = (size_t)map_bytes;
	if (vcpus <= 0) /* KVM_CAP_NR_VCPUS' documented default */
		vcpus = 4;
	hv->max_vcpus =
		vcpus < VC_HV_MAX_VCPUS ? (unsigned)vcpus : VC_HV_MAX_VCPUS;
	hv->nr_gsis = gsis < VC_HV_MAX_GSI ? (unsigned)gsis : VC_HV_MAX_GSI;
	return 0;
}

/* Order matters: the PIT wants the irqchip, routes want both. */
static int create_platform(struct vc_hv *hv, struct vc_error *err)
{
	uint64_t identity = HV_IDENTITY_MAP_ADDR;
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (hv_ioctl(hv->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: set the identity map's address");
	if (ioctl(hv->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)HV_TSS_ADDR) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: set the TSS's address");
	if (ioctl(hv->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: create the interrupt controllers");
	if (hv_ioctl(hv->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return vc_fail(err, VC_E_SYS, errno, "KVM: create the timer");
	if (hv_alloc_routes(hv, err) < 0)
		return -1;
	return hv_apply_routes(hv, err);
}

VC_DEFINE_CLEANUP(vc_hv, struct vc_hv *, vc_hv_free)

int vc_hv_new(int kvm_fd, struct vc_hv **ret, struct vc_error *err)
{
	vc_auto(vc_hv) struct vc_hv *hv = calloc(1, sizeof(*hv));

	if (!hv)
		return vc_fail(err, VC_E_SYS, ENOMEM, "KVM: new VM");
	hv->vm_fd = -1;
	hv->kvm_fd = -1; /* not ours until nothing can fail any more */
	pthread_mutex_init(&hv->routes_lock, NULL);
	hv->has_hardware = hv_has_hardware();
	if (hv_check_kvm(kvm_fd, err) < 0)
		return -1;
	do
		hv->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	while (hv->vm_fd < 0 && errno == EINTR);
	if (hv->vm_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "KVM: create a VM");
	hv->kvm_fd = kvm_fd;
	if (read_limits(hv, err) < 0 || create_platform(hv, err) < 0) {
		hv->kvm_fd = -1;
		return -1;
	}
	*ret = vc_steal_ptr(&hv);
	return 0;
}

struct vc_hv *vc_hv_free(struct vc_hv *hv)
{
	if (!hv)
		return NULL;
	vc_close(&hv->vm_fd);
	vc_close(&hv->kvm_fd);
	pthread_mutex_destroy(&hv->routes_lock);
	free(hv->routes);
	free(hv);
	return NULL;
}

int vc_hv_map_memory(struct vc_hv *hv, const struct vc_mem *mem,
		     struct vc_error *err)
{
	int max = check_cap(hv->kvm_fd, KVM_CAP_NR_MEMSLOTS);
	size_t i, nr = vc_mem_nr_regions(mem);

	if (max > 0 && nr > (size_t)max)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "KVM: %zu memory regions, this host takes %d",
			       nr, max);
	for (i = 0; i < nr; i++) {
		const struct vc_mem_region *r = vc_mem_region(mem, i);
		struct kvm_userspace_memory_region slot = {
			.slot = (uint32_t)i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->size_bytes,
			.userspace_addr = (uintptr_t)r->host,
		};

		if (hv_ioctl(hv->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "KVM: map %llu bytes of memory at "
				       "0x%llx",
				       (unsigned long long)r->size_bytes,
				       (unsigned long long)r->gpa);
	}
	hv->mem = mem;
	return 0;
}

/* KVM reports the local APIC's TSC deadline timer by a capability, because only
 * VMs with an in-kernel APIC have it; ours does. */
static void offer_tsc_deadline(const struct vc_hv *hv, struct vc_cpuid_entry *e,
			       size_t nr)
{
	size_t i;

	if (check_cap(hv->kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		return;
	for (i = 0; i < nr; i++)
		if (e[i].function == 1)
			e[i].ecx |= LEAF1_ECX_TSC_DEADLINE;
}

int vc_hv_get_cpuid(const struct vc_hv *hv,
		    struct vc_cpuid_entry ret[VC_HV_MAX_CPUID], size_t *ret_nr,
		    struct vc_error *err)
{
	vc_auto_free struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + VC_HV_MAX_CPUID * sizeof(c->entries[0]));
	uint32_t i;

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "KVM: read CPUID");
	c->nent = VC_HV_MAX_CPUID;
	if (hv_ioctl(hv->kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "KVM: read the host's CPUID");
	for (i = 0; i < c->nent && i < VC_HV_MAX_CPUID; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];

		ret[i] = (struct vc_cpuid_entry){
			.function = e->function,
			.index = e->index,
			.has_index = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = e->eax,
			.ebx = e->ebx,
			.ecx = e->ecx,
			.edx = e->edx,
		};
	}
	*ret_nr = i;
	offer_tsc_deadline(hv, ret, i);
	return 0;
}
