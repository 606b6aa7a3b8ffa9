/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a shell cannot do with descriptors, for scripts that start the processes
 * of a VM by hand:
 *
 *	fds stream|seqpacket A B COMMAND...	run COMMAND with a socketpair
 *						as descriptors A and B
 *	fds send FD TYPE			a message on a machine's link
 *	fds recv FD				wait for one: TYPE ARG TEXT
 *	fds shrink FD				make a pipe hold 4 KiB
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "vmm/control/link.h"

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static int run_with_pair(int type, int a, int b, char **argv)
{
	int pair[2];

	if (socketpair(AF_UNIX, type, 0, pair) < 0 || pair[0] == b ||
	    pair[1] == a)
		return 1;
	if (dup2(pair[0], a) < 0 || dup2(pair[1], b) < 0)
		return 1;
	if (pair[0] != a)
		close(pair[0]);
	if (pair[1] != b)
		close(pair[1]);
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}

static int receive(int fd)
{
	struct vc_error err;
	struct link_msg msg;
	bool is_eof;

	if (link_recv(fd, &msg, &is_eof, &err) < 0) {
		fprintf(stderr, "fds: %s\n", err.msg);
		return 1;
	}
	if (is_eof)
		puts("eof");
	else
		printf("%u %u %s\n", le32_get(msg.type), le32_get(msg.arg),
		       msg.text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "stream"))
		return run_with_pair(SOCK_STREAM, number(argv[2]),
				     number(argv[3]), argv + 4);
	if (argc > 4 && !strcmp(argv[1], "seqpacket"))
		return run_with_pair(SOCK_SEQPACKET, number(argv[2]),
				     number(argv[3]), argv + 4);
	if (argc == 4 && !strcmp(argv[1], "send"))
		return link_send(number(argv[2]),
				 (enum link_type)number(argv[3]), 0, NULL,
				 NULL) < 0;
	if (argc == 3 && !strcmp(argv[1], "recv"))
		return receive(number(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "shrink"))
		return fcntl(number(argv[2]), F_SETPIPE_SZ, 4096) < 0;
	fputs("usage: see fds.c\n", stderr);
	return 2;
}
