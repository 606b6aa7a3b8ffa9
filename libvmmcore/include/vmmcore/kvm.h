/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hypervisor: one VM, its memory slots, interrupt routing and vCPUs. The
 * implementation is the only place that includes <linux/kvm.h>.
 * (Documentation/virt/kvm/api.rst)
 */
#ifndef VMMCORE_KVM_H
#define VMMCORE_KVM_H

#include <pthread.h>
#include <vmmcore/memory.h>

VC_BEGIN_DECLS

#define VC_HV_MAX_VCPUS 254
#define VC_HV_MAX_GSI 1024     /* interrupt routes */
#define VC_HV_FIRST_MSI_GSI 24 /* 0..23 are the IOAPIC's pins */

struct vc_hv;	/* a VM */
struct vc_vcpu; /* one vCPU */

/* `kvm_fd` is an open /dev/kvm, owned on success. Creates the VM with in-kernel
 * interrupt controllers and timer. */
int vc_hv_new(int kvm_fd, struct vc_hv **ret,
	      struct vc_error *err) VC_MUST_CHECK;
struct vc_hv *vc_hv_free(struct vc_hv *hv); /* vCPUs first */

/* Give the guest every region of `mem` (borrowed, outlives hv). */
int vc_hv_map_memory(struct vc_hv *hv, const struct vc_mem *mem,
		     struct vc_error *err) VC_MUST_CHECK;

/* Interrupts. A pin: level or edge set by the IOAPIC. Any thread. */
int vc_hv_set_irq(struct vc_hv *hv, unsigned gsi, bool level,
		  struct vc_error *err) VC_MUST_CHECK;
/* Raise `gsi` whenever `fd` (eventfd, borrowed) is signalled. */
int vc_hv_add_irqfd(struct vc_hv *hv, int fd, unsigned gsi,
		    struct vc_error *err) VC_MUST_CHECK;
int vc_hv_remove_irqfd(struct vc_hv *hv, int fd, unsigned gsi,
		       struct vc_error *err) VC_MUST_CHECK;
/* MSI routes: a GSI of its own, from VC_HV_FIRST_MSI_GSI up. */
int vc_hv_alloc_gsi(struct vc_hv *hv, unsigned *ret_gsi,
		    struct vc_error *err) VC_MUST_CHECK;
int vc_hv_set_msi(struct vc_hv *hv, unsigned gsi, uint64_t address,
		  uint32_t data, struct vc_error *err) VC_MUST_CHECK;
int vc_hv_clear_msi(struct vc_hv *hv, unsigned gsi,
		    struct vc_error *err) VC_MUST_CHECK;

/* A guest write of `len` bytes (0: any) at MMIO address `gpa` signals `fd`
 * without an exit. */
int vc_hv_add_ioeventfd(struct vc_hv *hv, int fd, gpa_t gpa, uint32_t len,
			struct vc_error *err) VC_MUST_CHECK;
int vc_hv_remove_ioeventfd(struct vc_hv *hv, int fd, gpa_t gpa, uint32_t len,
			   struct vc_error *err) VC_MUST_CHECK;

/* --- vCPUs ---------------------------------------------------------------- */

/* Create vCPU `index` (also its APIC id). Its thread makes all other calls but
 * vc_vcpu_kick(). */
int vc_vcpu_new(struct vc_hv *hv, unsigned index, struct vc_vcpu **ret,
		struct vc_error *err) VC_MUST_CHECK;
struct vc_vcpu *vc_vcpu_free(struct vc_vcpu *vcpu);

struct vc_cpuid_entry {
	uint32_t function, index;
	bool has_index;
	uint32_t eax, ebx, ecx, edx;
};
#define VC_HV_MAX_CPUID 256
/* What the host can give a guest: *ret_nr entries. */
int vc_hv_get_cpuid(const struct vc_hv *hv,
		    struct vc_cpuid_entry ret[VC_HV_MAX_CPUID], size_t *ret_nr,
		    struct vc_error *err) VC_MUST_CHECK;
int vc_vcpu_set_cpuid(struct vc_vcpu *vcpu, const struct vc_cpuid_entry *e,
		      size_t nr, struct vc_error *err) VC_MUST_CHECK;

/* How an entry point wants to find the processor. */
struct vc_vcpu_entry {
	bool is_64bit; /* long mode, identity-mapped at cr3; else flat 32-bit
			* protected mode without paging */
	uint64_t rip, rsp, rsi, rbx;
	gpa_t cr3;
	gpa_t gdt; /* where a 4-entry GDT (null, -, code, data) lies */
};
/* The boot processor's registers. Also sets the MSRs and LINT pins that firmware
 * would have; `entry` NULL does only that, for the others, which wait for SIPI.
 * After vc_vcpu_set_cpuid(). */
int vc_vcpu_set_entry(struct vc_vcpu *vcpu, const struct vc_vcpu_entry *entry,
		      struct vc_error *err) VC_MUST_CHECK;

enum vc_exit_kind {
	VC_EXIT_NONE, /* kicked, interrupted: look at flags, run again */
	VC_EXIT_PIO,
	VC_EXIT_MMIO,
	VC_EXIT_HALT,	  /* only without an in-kernel APIC */
	VC_EXIT_SHUTDOWN, /* triple fault */
	VC_EXIT_RESET,
	VC_EXIT_POWEROFF,
	VC_EXIT_CRASH,
	VC_EXIT_ERROR, /* the host cannot go on: vc_vcpu_describe() */
};
struct vc_exit {
	enum vc_exit_kind kind;
	bool is_write;
	uint64_t addr;	/* port or gpa */
	uint32_t len;	/* 1, 2, 4 or 8 bytes an access */
	uint32_t count; /* PIO: string accesses, else 1 */
	uint8_t *data;	/* len * count bytes, in the vCPU's page: to be read
			   * for a write, filled for a read, before the next
			   * run */
};
int vc_vcpu_run(struct vc_vcpu *vcpu, struct vc_exit *ret,
		struct vc_error *err) VC_MUST_CHECK;
/* Make vc_vcpu_run() return soon. Any thread; also before it is entered.
 * `thread` runs the vCPU; SIGRTMIN must have a handler that does nothing. */
void vc_vcpu_kick(struct vc_vcpu *vcpu, pthread_t thread);
/* One line on why it cannot go on: the host's KVM back end, the guest's RIP and
 * the bytes there. Returns `buf`. */
const char *vc_vcpu_describe(struct vc_vcpu *vcpu, char *buf, size_t size);

/* Is this a host without virtualization hardware, whose KVM can only emulate
 * what guest kernels do? vc_hv_probe() then tells whether it does that well
 * enough. Reads /sys: before any jail. */
bool vc_hv_is_emulated(void);
/* Can this host run a stock kernel? Runs a few instructions in a VM of its own
 * to see. `detail` gets a sentence: the back end, or what is missing. `kvm_fd`
 * is borrowed. Reads /sys: before any jail. */
bool vc_hv_probe(int kvm_fd, char *detail, size_t size);

VC_END_DECLS

#endif
