/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a vCPU cannot go on, in one line. The usual cause is a host whose KVM has
 * no virtualization hardware under it: its instruction emulator then meets an
 * instruction it does not know, and only the address and the bytes tell which.
 * Nothing here opens a file, so that it works in a sealed process.
 */
#include <stdio.h>
#include <string.h>
#include <vmmcore/memory.h>
#include "kvm/hv.h"

#define MAX_INSN_BYTES 15 /* of an x86 instruction */

static const char *internal_error_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "cannot emulate an instruction";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "met two exceptions at once";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "could not deliver an event";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "met an unexpected exit";
	default:
		return "internal error";
	}
}

static void exit_text(const struct kvm_run *run, char *buf, size_t size)
{
	switch (run->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(buf, size, "%s (internal error %u)",
			 internal_error_name(run->internal.suberror),
			 run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(buf, size,
			 "the processor refused to enter the guest (reason "
			 "0x%llx)",
			 (unsigned long long)
				 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_SHUTDOWN:
		snprintf(buf, size, "the guest met a triple fault");
		break;
	default:
		snprintf(buf, size, "stopped for exit reason %u",
			 run->exit_reason);
	}
}

/* The bytes at the instruction pointer: as KVM saw them, else from guest
 * memory through the guest's page tables. Returns how many. */
static size_t insn_bytes(struct vc_vcpu *vcpu, uint64_t linear,
			 uint8_t bytes[MAX_INSN_BYTES])
{
	const struct kvm_run *run = vcpu->run;
	struct kvm_translation t = { .linear_address = linear };
	size_t n;

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	    run->internal.ndata >= 3 &&
	    run->emulation_failure.flags &
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		n = run->emulation_failure.insn_size;
		if (n > MAX_INSN_BYTES)
			n = MAX_INSN_BYTES;
		memcpy(bytes, run->emulation_failure.insn_bytes, n);
		if (n)
			return n;
	}
	if (!vcpu->hv->mem || hv_ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0 ||
	    !t.valid)
		return 0;
	/* stay in the page: the next one may be elsewhere */
	n = 4096 - t.physical_address % 4096;
	if (n > MAX_INSN_BYTES)
		n = MAX_INSN_BYTES;
	return vc_mem_read(vcpu->hv->mem, t.physical_address, bytes, n) ? n : 0;
}

static void where_text(struct vc_vcpu *vcpu, char *buf, size_t size)
{
	uint8_t bytes[MAX_INSN_BYTES];
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	size_t i, n, used;

	*buf = '\0';
	if (hv_ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    hv_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	used = (size_t)snprintf(buf, size, " at RIP 0x%llx",
				(unsigned long long)regs.rip);
	n = insn_bytes(vcpu, sregs.cs.base + regs.rip, bytes);
	if (n && used < size)
		used += (size_t)snprintf(buf + used, size - used, ", bytes");
	for (i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, " %02x",
					 bytes[i]);
}

const char *vc_vcpu_describe(struct vc_vcpu *vcpu, char *buf, size_t size)
{
	char what[128], where[128];

	exit_text(vcpu->run, what, sizeof(what));
	where_text(vcpu, where, sizeof(where));
	snprintf(buf, size, "vCPU %u: %s: %s%s", vcpu->index,
		 vcpu->hv->has_hardware
			 ? "KVM"
			 : "KVM without hardware virtualization (no vmx or svm "
			   "processor flag)",
		 what, where);
	return buf;
}
