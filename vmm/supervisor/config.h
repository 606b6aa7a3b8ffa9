/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a VM is made of, as the command line said it. Strings are owned by the
 * config; nothing here has been opened yet.
 */
#ifndef VMM_SUPERVISOR_CONFIG_H
#define VMM_SUPERVISOR_CONFIG_H

#include <vmmcore/disk.h>
#include <vmmcore/sandbox.h>

#define VM_MAX_BLOCKS 16
#define VM_MAX_CONSOLES 8
#define VM_MAX_VHOST_USER 8
#define VM_MAX_DEVICES 30 /* slots 1..30 of PCI bus 0 */
#define VM_MAX_PARAMS 64
#define VM_MAX_CPUS 254
#define VM_MIN_MEM_MIB 32
#define VM_MAX_MEM_MIB (1024 * 1024)
#define VM_DEFAULT_CID 3

struct vm_block {
	char *path;
	bool is_ro, is_root, is_direct, has_lock;
	bool has_backing; /* files that the image names may be opened */
	int format;	  /* enum vc_disk_format */
	char *id;	  /* <= 20 bytes, or NULL */
	uint64_t nr_queues;
	uint64_t block_size;
};

enum vm_serial_type { VM_SERIAL_SINK, VM_SERIAL_STDOUT, VM_SERIAL_FILE };
enum vm_serial_hw { VM_HW_SERIAL, VM_HW_VIRTIO_CONSOLE };

struct vm_serial {
	int type; /* enum vm_serial_type */
	int hardware;
	uint64_t num;
	char *path;  /* VM_SERIAL_FILE */
	char *input; /* file to read from, or NULL */
	bool is_stdin, is_console, is_earlycon;
};

struct vm_vhost_user {
	int type; /* index into vm_vhost_user_types */
	char *socket;
};
extern const char *const vm_vhost_user_types[];

struct vm_config {
	char *name;
	char *kernel, *initrd;
	uint64_t nr_cpus;
	uint64_t mem_mib;
	char *params[VM_MAX_PARAMS];
	size_t nr_params;
	struct vm_block blocks[VM_MAX_BLOCKS];
	size_t nr_blocks;
	struct vm_serial serials[VM_MAX_CONSOLES];
	size_t nr_serials;
	struct vm_vhost_user vhost_user[VM_MAX_VHOST_USER];
	size_t nr_vhost_user;
	bool has_vsock;
	uint64_t cid;
	char *vsock_socket;
	bool has_rng;
	char *control_socket;
	bool has_sandbox, has_kvm_check;
	enum vc_jail_action seccomp;
	bool is_debug;
};

void vm_config_init(struct vm_config *c);
void vm_config_fini(struct vm_config *c);

/* Fill in defaults that depend on other options, and refuse what does not fit
 * together (VC_E_ARG, VC_E_CONFIG). */
int vm_config_finish(struct vm_config *c, struct vc_error *err) VC_MUST_CHECK;

/* The kernel command line: what the devices need, then the user's. */
#define VM_CMDLINE_MAX 2048
int vm_config_cmdline(const struct vm_config *c, char *buf, size_t size,
		      struct vc_error *err) VC_MUST_CHECK;

#endif
