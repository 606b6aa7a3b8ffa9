/* SPDX-License-Identifier: BSD-3-Clause */
/* Start the command of an EXEC request. */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H

#include <sys/types.h>
#include <vmmcore/agent.h>

/* Our ends; -1 when closed. All are non-blocking and close-on-exec. */
struct spawned {
	pid_t pid; /* leads a session and process group of its own; 0: none */
	int in, out, err;
	int status; /* end of file: it runs; else see spawn_status() */
};

/* Returns once the process exists, before its program does. `err->sys` is what
 * an ERROR frame says: 0 when the request cannot be met as it is. */
int spawn_start(const struct vc_agent_exec *exec, struct spawned *ret,
		struct vc_error *err) VC_MUST_CHECK;

/* Read `status`. Returns 0 with *ret_is_running when that is decided, or -1
 * with the reason why the program did not start. */
int spawn_status(struct spawned *s, const char *program, bool *ret_is_running,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
