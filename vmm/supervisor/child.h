/* SPDX-License-Identifier: BSD-3-Clause */
/* A process of the VM: its command line and descriptors, its end, and the
 * lines it writes to standard error. */
#ifndef VMM_SUPERVISOR_CHILD_H
#define VMM_SUPERVISOR_CHILD_H

#include <vmmcore/loop.h>
#include <vmmcore/sandbox.h>

#define CHILD_MAX_ARGS 160
#define CHILD_MAX_FDS VC_MAX_FDS
#define CHILD_MAX_LINE 1024

struct child {
	char name[32];	 /* "machine", "virtio-blk0" */
	char label[400]; /* what a user knows it by: "disk 'a.qcow2'", or "" */
	/* before the start */
	char *argv[CHILD_MAX_ARGS + 1]; /* owned */
	size_t nr_args;
	struct vc_jail_fd fds[CHILD_MAX_FDS]; /* .from is owned */
	size_t nr_fds;
	bool is_bad; /* an argument was lost: told at the start */
	/* while it runs */
	pid_t pid; /* 0: not started, or reaped */
	int pidfd;
	struct vc_watch exit_watch;
	int log_fd;
	struct vc_watch log_watch;
	int wait_status; /* of waitpid(), once reaped */
	/* standard error, cut into lines; the newest one is held back: it is
	 * the reason if the process fails */
	char line[CHILD_MAX_LINE];
	size_t line_used;
	char held[CHILD_MAX_LINE];
	/* Called when it has ended and was reaped. */
	void (*on_exit)(struct child *c);
	void *owner; /* borrowed */
};

void child_init(struct child *c, const char *name);
/* Closes, frees; kills and reaps a running process. */
void child_fini(struct child *c);

/* Append one argument. Failure is remembered and told by child_start(). */
void child_arg(struct child *c, const char *fmt, ...) VC_PRINTF(2, 3);
/* Hand `fd` (owned) over; returns its number in the child. */
int child_fd(struct child *c, int fd);

int child_start(struct child *c, struct vc_loop *loop, bool jail, int exe_fd,
		struct vc_error *err) VC_MUST_CHECK;
/* Why it ended, one line: its own last words, or how it died. */
void child_reason(const struct child *c, char *buf, size_t size);
bool child_has_failed(const struct child *c);

#endif
