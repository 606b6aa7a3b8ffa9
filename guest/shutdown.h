/* SPDX-License-Identifier: BSD-3-Clause */
/* Power off or reboot, in the way the guest's init understands. */
#ifndef GUEST_SHUTDOWN_H
#define GUEST_SHUTDOWN_H

#include <vmmcore/error.h>

/* as in a SHUTDOWN frame */
enum shutdown_how { SHUTDOWN_POWEROFF = 0, SHUTDOWN_REBOOT = 1 };

/* Returns when the shutdown has begun. */
int shutdown_guest(enum shutdown_how how, struct vc_error *err) VC_MUST_CHECK;

#endif
