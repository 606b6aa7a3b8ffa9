/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket, client side. */
#ifndef VMM_CONTROL_CLIENT_H
#define VMM_CONTROL_CLIENT_H

#include <jansson.h>
#include <vmmcore/error.h>

/* for a VM that has nothing else to do */
#define CTL_TIMEOUT_MS 10000

/* Connect to the VM whose control socket is at `path`. Returns an fd or -1;
 * VC_E_SYS/EAGAIN if it has taken no connections for `timeout_ms`. */
int ctl_connect(const char *path, int timeout_ms, struct vc_error *err);

/* Call `method` with `params` (stolen; may be NULL) and wait for its answer,
 * at most `timeout_ms` (VC_E_SYS/ETIMEDOUT); *ret_result (may be NULL) is a new reference. VC_E_PEER for an answer that
 * is none; an error of the VM's has its text. */
int ctl_call(int fd, const char *method, json_t *params, int timeout_ms,
	     json_t **ret_result, struct vc_error *err) VC_MUST_CHECK;

/* Wait until the VM has ended: its end of the connection is closed. Returns 0,
 * or -1 with VC_E_SYS/ETIMEDOUT. */
int ctl_wait_end(int fd, int timeout_ms, struct vc_error *err) VC_MUST_CHECK;

#endif
