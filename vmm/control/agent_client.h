/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's side of the guest agent. What comes from the guest is hostile:
 * frames are bounded, its text is made printable, and nothing here waits for it
 * without a limit except for the end of a command.
 */
#ifndef VMM_CONTROL_AGENT_CLIENT_H
#define VMM_CONTROL_AGENT_CLIENT_H

#include <vmmcore/agent.h>

struct agent_client {
	int fd;
	struct vc_agent_reader reader;
	struct vc_agent_writer writer;
};

/* Reach the agent through the vsock socket at `vsock_path` and greet it. Tries
 * again until `timeout_ms` are over, once at least: the guest may still boot.
 * `vm_fd` (-1: none) is borrowed; its end of file says that the VM has ended.
 * On failure there is nothing to close. */
int agent_connect(const char *vsock_path, int timeout_ms, int vm_fd,
		  struct agent_client *ret, struct vc_error *err) VC_MUST_CHECK;
void agent_disconnect(struct agent_client *c);

struct agent_io {
	int in; /* borrowed; -1: the command gets end of file */
	int out, err;
	int signals; /* a signalfd: what it reads goes to the command; or -1 */
};

enum agent_outcome {
	AGENT_EXITED,  /* number: exit status */
	AGENT_KILLED,  /* number: signal */
	AGENT_NOT_RUN, /* number: errno; text: why, printable */
};

struct agent_result {
	enum agent_outcome outcome;
	int number;
	char text[VC_AGENT_MAX_TEXT + 1];
};

/* Run a command and carry its streams until it has ended and all its output is
 * written. -1 when that could not be done; the command is then hung up by
 * agent_disconnect(). */
int agent_exec(struct agent_client *c, const struct vc_agent_exec *exec,
	       const struct agent_io *io, struct agent_result *ret,
	       struct vc_error *err) VC_MUST_CHECK;

/* The text of an ERROR frame, printable; returns `text`. */
const char *agent_error_text(const uint8_t *payload, size_t len,
			     char text[VC_AGENT_MAX_TEXT + 1]);

/* Have the guest power off or reboot: returns when it has begun. */
int agent_shutdown(const char *vsock_path, bool reboot, int timeout_ms,
		   struct vc_error *err) VC_MUST_CHECK;

#endif
