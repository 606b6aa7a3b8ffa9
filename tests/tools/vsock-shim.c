/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vsock-shim LISTEN AGENT: what the vsock device of a VM is to its clients, for
 * an agent that listens on a Unix socket: takes "CONNECT <port>\n", answers
 * "OK <port>\n" and passes bytes on, or closes while nobody listens at AGENT.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/util.h>

#define CHUNK 65536

static int at(const char *path, bool is_listen)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (is_listen) {
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		    listen(fd, 64) < 0)
			return -1;
	} else if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		return -1;
	}
	return fd;
}

static int take_connect(int fd)
{
	char line[64];
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		if (read(fd, line + n, 1) != 1)
			return -1;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return strcmp(line, "CONNECT 1024\n") ? -1 : 0;
}

/* Blocking writes: a slow end holds the other up, as a full vsock window
 * does. Both directions are processes of their own, so neither waits for the
 * other. */
static void copy(int from, int to)
{
	static char buf[CHUNK];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (vc_write_full(to, buf, (size_t)n) < 0)
			break;
	shutdown(from, SHUT_RDWR);
	shutdown(to, SHUT_RDWR);
}

int main(int argc, char **argv)
{
	int listen_fd = argc == 3 ? at(argv[1], true) : -1;

	if (listen_fd < 0) {
		fprintf(stderr, "vsock-shim: cannot listen\n");
		return 1;
	}
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int host = accept(listen_fd, NULL, NULL), guest;

		if (host >= 0 && fork() == 0) {
			guest = take_connect(host) < 0 ? -1
						       : at(argv[2], false);
			if (guest < 0 || write(host, "OK 1073\n", 8) != 8)
				return 1;
			if (fork() == 0) {
				copy(host, guest);
				return 0;
			}
			copy(guest, host);
			/* leave no orphan: not every process 1 reaps */
			wait(NULL);
			return 0;
		}
		vc_close(&host);
	}
}
