/* SPDX-License-Identifier: BSD-3-Clause */
/* Open what the configuration names, and write down each process's command
 * line. */
#ifndef VMM_SUPERVISOR_RESOURCES_H
#define VMM_SUPERVISOR_RESOURCES_H

#include "vmm/control/dialer.h"
#include "vmm/control/opener.h"
#include "vmm/supervisor/child.h"
#include "vmm/supervisor/config.h"

struct vm_processes {
	struct child machine;
	struct child devices[VM_MAX_DEVICES];
	size_t nr_devices; /* started by us */
	size_t nr_slots;   /* devices of the machine, foreign ones too */
	const char
		*slot_names[VM_MAX_DEVICES]; /* by slot: borrowed or constant */
	char slot_name_buf[VM_MAX_DEVICES][32];
	int link_fd; /* our end */
	/* sockets made in the file system, to be removed at the end */
	char *vsock_path;
	/* logs that did not exist before; borrowed from the configuration */
	const char *new_logs[VM_MAX_CONSOLES];
	size_t nr_new_logs;
	/* by disk; those with no fd have nothing to ask for */
	struct opener openers[VM_MAX_BLOCKS];
	struct dialer dialer; /* no fd without a vsock device */
};

void vm_processes_init(struct vm_processes *p);
void vm_processes_fini(struct vm_processes *p);
/* Serve device processes that ask for files, until the guest runs, and for
 * connections. */
int vm_processes_start_serving(struct vm_processes *p, struct vc_loop *loop,
			       struct vc_error *err) VC_MUST_CHECK;
void vm_processes_end_opening(struct vm_processes *p);
/* The VM never ran: remove the logs it made, if nothing is in them. */
void vm_processes_remove_logs(struct vm_processes *p);

/* Everything is opened here; nothing is started. */
int vm_processes_prepare(struct vm_processes *p, const struct vm_config *c,
			 struct vc_error *err) VC_MUST_CHECK;

#endif
