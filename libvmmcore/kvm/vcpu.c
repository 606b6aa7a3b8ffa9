/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU: its shared page, the run call and the exits decoded.
 *
 * Kicks: the kicker sets immediate_exit in the shared page and sends SIGRTMIN.
 * If the vCPU is in the guest the signal ends KVM_RUN; if it was about to
 * enter, immediate_exit does. Only a run that was interrupted clears the flag,
 * so a kick that meets an exit for another reason still ends the next run and
 * none is lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <vmmcore/util.h>
#include "kvm/hv.h"

VC_DEFINE_CLEANUP(vc_vcpu, struct vc_vcpu *, vc_vcpu_free)

int vc_vcpu_new(struct vc_hv *hv, unsigned index, struct vc_vcpu **ret,
		struct vc_error *err)
{
	vc_auto(vc_vcpu) struct vc_vcpu *vcpu = NULL;
	void *map;

	if (index >= hv->max_vcpus)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "vCPU %u: this host runs at most %u in a VM",
			       index, hv->max_vcpus);
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vCPU %u", index);
	vcpu->hv = hv;
	vcpu->index = index;
	vcpu->fd = ioctl(hv->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "vCPU %u: create", index);
	map = mmap(NULL, hv->vcpu_map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu->fd, 0);
	if (map == MAP_FAILED)
		return vc_fail(err, VC_E_SYS, errno, "vCPU %u: map its page",
			       index);
	vcpu->run = map;
	*ret = vc_steal_ptr(&vcpu);
	return 0;
}

struct vc_vcpu *vc_vcpu_free(struct vc_vcpu *vcpu)
{
	if (!vcpu)
		return NULL;
	if (vcpu->run)
		munmap(vcpu->run, vcpu->hv->vcpu_map_bytes);
	vc_close(&vcpu->fd);
	free(vcpu);
	return NULL;
}

int vc_vcpu_set_cpuid(struct vc_vcpu *vcpu, const struct vc_cpuid_entry *e,
		      size_t nr, struct vc_error *err)
{
	vc_auto_free struct kvm_cpuid2 *c = NULL;
	size_t i;

	if (nr > VC_HV_MAX_CPUID)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "vCPU %u: %zu CPUID entries, at most %d",
			       vcpu->index, nr, VC_HV_MAX_CPUID);
	c = calloc(1, sizeof(*c) + nr * sizeof(c->entries[0]));
	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vCPU %u: CPUID",
			       vcpu->index);
	c->nent = (uint32_t)nr;
	for (i = 0; i < nr; i++)
		c->entries[i] = (struct kvm_cpuid_entry2){
			.function = e[i].function,
			.index = e[i].index,
			.flags = e[i].has_index
					 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
					 : 0,
			.eax = e[i].eax,
			.ebx = e[i].ebx,
			.ecx = e[i].ecx,
			.edx = e[i].edx,
		};
	if (hv_ioctl(vcpu->fd, KVM_SET_CPUID2, c) < 0)
		return vc_fail(err, VC_E_SYS, errno, "vCPU %u: set CPUID",
			       vcpu->index);
	return 0;
}

static enum vc_exit_kind decode_system_event(uint32_t type)
{
	switch (type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return VC_EXIT_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return VC_EXIT_RESET;
	case KVM_SYSTEM_EVENT_CRASH:
		return VC_EXIT_CRASH;
	default:
		return VC_EXIT_ERROR;
	}
}

static void decode_exit(struct kvm_run *run, struct vc_exit *ret)
{
	*ret = (struct vc_exit){ .kind = VC_EXIT_ERROR, .count = 1 };
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		ret->kind = VC_EXIT_PIO;
		ret->is_write = run->io.direction == KVM_EXIT_IO_OUT;
		ret->addr = run->io.port;
		ret->len = run->io.size;
		ret->count = run->io.count;
		ret->data = (uint8_t *)run + run->io.data_offset;
		break;
	case KVM_EXIT_MMIO:
		ret->kind = VC_EXIT_MMIO;
		ret->is_write = run->mmio.is_write;
		ret->addr = run->mmio.phys_addr;
		ret->len = run->mmio.len;
		ret->data = run->mmio.data;
		break;
	case KVM_EXIT_INTR:
		ret->kind = VC_EXIT_NONE;
		break;
	case KVM_EXIT_HLT:
		ret->kind = VC_EXIT_HALT;
		break;
	case KVM_EXIT_SHUTDOWN:
		ret->kind = VC_EXIT_SHUTDOWN;
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		ret->kind = decode_system_event(run->system_event.type);
		break;
	default: /* vc_vcpu_describe() says what */
		break;
	}
}

int vc_vcpu_run(struct vc_vcpu *vcpu, struct vc_exit *ret, struct vc_error *err)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
		/* EAGAIN: a vCPU that waits for its SIPI was woken */
		if (errno != EINTR && errno != EAGAIN)
			return vc_fail(err, VC_E_SYS, errno, "vCPU %u: run",
				       vcpu->index);
		__atomic_store_n(&vcpu->run->immediate_exit, 0,
				 __ATOMIC_RELAXED);
		*ret = (struct vc_exit){ .kind = VC_EXIT_NONE };
		return 0;
	}
	decode_exit(vcpu->run, ret);
	return 0;
}

void vc_vcpu_kick(struct vc_vcpu *vcpu, pthread_t thread)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(thread, SIGRTMIN);
}
