/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tests/unit/sandbox/spawn_child.h"

#define MAX_FD 4096

static int list_fds(void)
{
	int i;

	for (i = 0; i < MAX_FD; i++)
		if (fcntl(i, F_GETFD) >= 0)
			dprintf(1, "%d ", i);
	return 0;
}

static int check_signals(void)
{
	struct sigaction sa;
	sigset_t mask;
	int i;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (i = 1; i < SIGRTMAX; i++) {
		if (sigismember(&mask, i) == 1)
			dprintf(1, "%d is blocked ", i);
		/* a sanitizer may have put handlers, never SIG_IGN */
		if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			dprintf(1, "%d is ignored ", i);
	}
	dprintf(1, "clean");
	return 0;
}

int spawn_child(const char *what)
{
	int a, b;

	if (!strcmp(what, "fds"))
		return list_fds();
	if (!strcmp(what, "signals"))
		return check_signals();
	if (!strcmp(what, "ids")) {
		dprintf(1, "pid %d uid %d gid %d", (int)getpid(), (int)getuid(),
			(int)getgid());
		return 0;
	}
	if (!strcmp(what, "wait")) {
		if (write(1, "", 1) != 1)
			return 1;
		for (;;)
			pause();
	}
	if (sscanf(what, "write %d %d", &a, &b) == 2)
		return write(a, "a", 1) == 1 && write(b, "b", 1) == 1 ? 0 : 1;
	return 2;
}
