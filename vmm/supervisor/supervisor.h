/* SPDX-License-Identifier: BSD-3-Clause */
/* The supervisor: `vmm run` itself. It opens what the command line names,
 * starts the machine and device processes, watches them and serves the control
 * socket. It never maps guest memory and parses nothing a guest wrote. */
#ifndef VMM_SUPERVISOR_SUPERVISOR_H
#define VMM_SUPERVISOR_SUPERVISOR_H

#include "vmm/supervisor/config.h"

/* Exit statuses of `vmm run` beyond 0, 1 and 2; vmm-run(1). */
#define VMM_EXIT_RESET 32
#define VMM_EXIT_CRASH 33
#define VMM_EXIT_DEVICE 37

/* Run the VM until it ends. On success *ret_status is the exit status, 0 or one
 * of the above, with its reason printed; -1 for an error of ours. */
int supervisor_run(const struct vm_config *config, int *ret_status,
		   struct vc_error *err) VC_MUST_CHECK;

#endif
