/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state a processor is in when firmware hands over: segments and control
 * registers for the entry point, the MSRs and local APIC pins a kernel expects
 * to have been set. (Intel SDM volume 3, chapters 3, 11 and 12)
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "kvm/hv.h"

#define CR0_PE (1u << 0)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

#define GDT_CODE 2
#define GDT_DATA 3
#define GDT_BYTES 32
#define TSS_MIN_LIMIT 0x67

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE (1u << 11)
#define MTRR_WRITE_BACK 6
#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRING (1u << 0)

#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_MODE_MASK 0x700u
#define APIC_MODE_NMI 0x400u
#define APIC_MODE_EXTINT 0x700u

static struct kvm_segment flat_segment(uint16_t gdt_index, uint8_t type,
				       bool is_64bit)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = (uint16_t)(gdt_index * 8),
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = is_64bit,
		.db = !is_64bit,
	};
}

static int set_sregs(struct vc_vcpu *vcpu, const struct vc_vcpu_entry *entry,
		     struct vc_error *err)
{
	struct kvm_segment data = flat_segment(GDT_DATA, 3, false);
	struct kvm_sregs s;

	if (hv_ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "vCPU %u: read its system registers",
			       vcpu->index);
	s.cs = flat_segment(GDT_CODE, 11, entry->is_64bit);
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = (struct kvm_segment){ .limit = TSS_MIN_LIMIT,
				     .type = 11,
				     .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt = (struct kvm_dtable){ .base = entry->gdt,
				     .limit = GDT_BYTES - 1 };
	s.idt = (struct kvm_dtable){ .limit = 0 };
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	s.cr4 = 0;
	s.efer = 0;
	if (entry->is_64bit) {
		s.cr0 |= CR0_PG;
		s.cr3 = entry->cr3;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	if (hv_ioctl(vcpu->fd, KVM_SET_SREGS, &s) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "vCPU %u: set its system registers",
			       vcpu->index);
	return 0;
}

static int set_regs(struct vc_vcpu *vcpu, const struct vc_vcpu_entry *entry,
		    struct vc_error *err)
{
	struct kvm_regs r = {
		.rip = entry->rip,
		.rsp = entry->rsp,
		.rsi = entry->rsi,
		.rbx = entry->rbx,
		.rflags = 2, /* the bit that is always set */
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };

	if (hv_ioctl(vcpu->fd, KVM_SET_REGS, &r) < 0 ||
	    hv_ioctl(vcpu->fd, KVM_SET_FPU, &fpu) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "vCPU %u: set its registers", vcpu->index);
	return 0;
}

/* With the MTRRs off a Linux kernel gives up on PAT too; all processors must
 * agree on them. */
static int set_msrs(struct vc_vcpu *vcpu, struct vc_error *err)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} values[] = {
		{ MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING },
		{ MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(values); i++) {
		union {
			struct kvm_msrs msrs;
			uint8_t room[sizeof(struct kvm_msrs) +
				     sizeof(struct kvm_msr_entry)];
		} m = { .msrs = { .nmsrs = 1 } };

		m.msrs.entries[0] =
			(struct kvm_msr_entry){ .index = values[i].index,
						.data = values[i].value };
		if (hv_ioctl(vcpu->fd, KVM_SET_MSRS, &m) != 1)
			return vc_fail(err, VC_E_SYS, errno,
				       "vCPU %u: set MSR 0x%x", vcpu->index,
				       values[i].index);
	}
	return 0;
}

static void set_lvt(struct kvm_lapic_state *apic, size_t reg, uint32_t mode)
{
	uint32_t v;

	memcpy(&v, apic->regs + reg, sizeof(v));
	v = (v & ~APIC_MODE_MASK) | mode;
	memcpy(apic->regs + reg, &v, sizeof(v));
}

/* LINT0 takes the PIC, LINT1 is NMI, as the MADT says. */
static int set_lints(struct vc_vcpu *vcpu, struct vc_error *err)
{
	struct kvm_lapic_state apic;

	if (hv_ioctl(vcpu->fd, KVM_GET_LAPIC, &apic) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "vCPU %u: read its local APIC", vcpu->index);
	set_lvt(&apic, APIC_LVT_LINT0, APIC_MODE_EXTINT);
	set_lvt(&apic, APIC_LVT_LINT1, APIC_MODE_NMI);
	if (hv_ioctl(vcpu->fd, KVM_SET_LAPIC, &apic) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "vCPU %u: set its local APIC", vcpu->index);
	return 0;
}

int vc_vcpu_set_entry(struct vc_vcpu *vcpu, const struct vc_vcpu_entry *entry,
		      struct vc_error *err)
{
	if (set_msrs(vcpu, err) < 0 || set_lints(vcpu, err) < 0)
		return -1;
	if (!entry)
		return 0;
	if (set_sregs(vcpu, entry, err) < 0 || set_regs(vcpu, entry, err) < 0)
		return -1;
	return 0;
}
