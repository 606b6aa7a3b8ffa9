/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Can this host's KVM run a kernel? Flags and module names only hint at it; so
 * a vCPU is made that has one page of memory and runs an instruction that every
 * kernel uses, that every processor knows, and that KVM's emulator, which runs
 * guest kernels on hosts without virtualization hardware, does not.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "kvm/hv.h"

#define PROBE_PAGE 4096
#define PROBE_GPA 0x1000

static const uint8_t probe_code[] = {
	0x9b, /* fwait */
	0xf4, /* hlt */
};

static const char *backend_name(void)
{
	static const struct {
		const char *path, *name;
	} backends[] = {
		{ "/sys/module/kvm_intel", "kvm_intel" },
		{ "/sys/module/kvm_amd", "kvm_amd" },
		{ "/sys/module/kvm_pvm", "kvm_pvm" },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(backends); i++)
		if (access(backends[i].path, F_OK) == 0)
			return backends[i].name;
	return "unknown";
}

/* Flat 32-bit protected mode: what every back end enters natively. */
static int prepare(int vcpu_fd)
{
	struct kvm_segment code = { .limit = 0xffffffff,
				    .selector = 8,
				    .type = 11,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = PROBE_GPA, .rflags = 2 };
	struct kvm_sregs s;

	data.selector = 16;
	data.type = 3;
	if (hv_ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x31; /* PE, ET, NE */
	if (hv_ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0)
		return -1;
	return hv_ioctl(vcpu_fd, KVM_SET_REGS, &regs);
}

static const char *run_code(int vcpu_fd, const struct kvm_run *run)
{
	if (prepare(vcpu_fd) < 0)
		return "a vCPU's registers cannot be set";
	if (hv_ioctl(vcpu_fd, KVM_RUN, NULL) < 0)
		return "a vCPU cannot be run";
	if (run->exit_reason == KVM_EXIT_HLT)
		return NULL;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		return "it emulates guest kernels and lacks instructions they "
		       "use (fwait, 9b)";
	return "a test program in a VM went wrong";
}

/* NULL if the code ran, else what went wrong. */
static const char *try_vm(int kvm_fd, uint8_t *page)
{
	uint64_t identity = HV_IDENTITY_MAP_ADDR;
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = PROBE_GPA,
		.memory_size = PROBE_PAGE,
		.userspace_addr = (uintptr_t)page,
	};
	vc_auto_fd int vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	vc_auto_fd int vcpu_fd = -1;
	int map_bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	const char *why;
	void *run;

	if (vm_fd < 0)
		return "a VM cannot be created";
	/* processors without "unrestricted guest" need these two */
	if (hv_ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm_fd, KVM_SET_TSS_ADDR, (unsigned long)HV_TSS_ADDR) < 0 ||
	    hv_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return "a VM cannot be given memory";
	vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd < 0 || map_bytes < (int)sizeof(struct kvm_run))
		return "a vCPU cannot be created";
	run = mmap(NULL, (size_t)map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu_fd, 0);
	if (run == MAP_FAILED)
		return "a vCPU's page cannot be mapped";
	why = run_code(vcpu_fd, run);
	munmap(run, (size_t)map_bytes);
	return why;
}

bool vc_hv_is_emulated(void)
{
	return !hv_has_hardware() || !strcmp(backend_name(), "kvm_pvm");
}

bool vc_hv_probe(int kvm_fd, char *detail, size_t size)
{
	struct vc_error err = { 0 };
	const char *why;
	char text[256];
	void *page;

	if (hv_check_kvm(kvm_fd, &err) < 0) {
		snprintf(detail, size, "%s",
			 vc_error_str(&err, text, sizeof(text)));
		return false;
	}
	page = mmap(NULL, PROBE_PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		snprintf(detail, size, "no memory for a test");
		return false;
	}
	memcpy(page, probe_code, sizeof(probe_code));
	why = try_vm(kvm_fd, page);
	munmap(page, PROBE_PAGE);
	snprintf(detail, size,
		 "KVM back end %s, %s hardware virtualization%s%s",
		 backend_name(), hv_has_hardware() ? "with" : "without",
		 why ? ": " : "", why ? why : "");
	return !why;
}
