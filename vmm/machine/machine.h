/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine process: KVM, vCPU threads, buses, platform devices, and the
 * frontends of the virtio devices, which live in processes of their own.
 * vmm/README.md tells the story.
 */
#ifndef VMM_MACHINE_MACHINE_H
#define VMM_MACHINE_MACHINE_H

#include <vmmcore/sandbox.h>
#include "vmm/control/link.h"

#define MACHINE_MAX_DEVICES 31 /* PCI slots 1..31 */

struct machine_device_config {
	char *name;  /* owned; "virtio-blk0" */
	uint64_t id; /* enum vc_virtio_id: vhost-user does not tell */
	int fd;	     /* connected vhost-user socket */
};

/* Descriptors are inherited and the machine's from then on; -1: none. */
struct machine_config {
	int kvm_fd;
	int link_fd; /* to the supervisor */
	int kernel_fd, initrd_fd;
	int serial_in_fd, serial_out_fd;
	uint64_t mem_bytes;
	unsigned nr_vcpus;
	const char *cmdline;
	struct machine_device_config devices[MACHINE_MAX_DEVICES];
	size_t nr_devices;
	bool has_sandbox;
	enum vc_jail_action seccomp_action;
	bool has_kvm_check;
};

/* How it ended. */
struct machine_result {
	enum link_end end;
	int lost_device;  /* index of the device that is gone, or -1 */
	bool is_orphaned; /* the supervisor is gone: exit without any ado */
	char text[LINK_TEXT_MAX]; /* one line on why */
};

/* The whole life of a VM. -1 if it never ran or the host failed. */
int machine_main(struct machine_config *config, struct machine_result *ret,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
