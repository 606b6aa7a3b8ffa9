/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection from the host, in a process of its own: one command, or one
 * request to shut down. */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <vmmcore/error.h>

/* how long the host may take to say what it wants */
#define SESSION_REQUEST_TIMEOUT_MS 30000
/* how long to wait for the host to close after the last frame */
#define SESSION_CLOSE_TIMEOUT_MS 30000
#define SESSION_SHUTDOWN_DELAY_MS 2000
/* between SIGHUP and SIGKILL when the host went away */
#define SESSION_HANGUP_GRACE_MS 2000

struct session_config {
	int sock;	   /* borrowed, non-blocking */
	int signals;	   /* borrowed, a signalfd: SIGCHLD, SIGTERM */
	bool can_shutdown; /* obey SHUTDOWN */
};

/* Serve until the host is done or gone. No process of the command's group is
 * left when the host went away first. */
int session_run(const struct session_config *config,
		struct vc_error *err) VC_MUST_CHECK;

#endif
