/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What talks to the host in a guest of the vsock test.
 *
 *	vsock_peer echo PORT NR	take NR connections, side by side; each gets
 *				back what it sends, to its end of file
 *	vsock_peer dial PORT	connect to the host, say hello, print the reply
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static struct sockaddr_vm address(unsigned cid, const char *port)
{
	return (struct sockaddr_vm){
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = (unsigned)strtoul(port, NULL, 10),
	};
}

static int echo(int fd)
{
	char buf[65536];
	ssize_t n, done, k;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (done = 0; done < n; done += k) {
			k = write(fd, buf + done, (size_t)(n - done));
			if (k < 0)
				return 1;
		}
	return n < 0;
}

static int serve(const char *port, int nr)
{
	struct sockaddr_vm a = address(VMADDR_CID_ANY, port);
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0), failed = 0, status;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 16) < 0) {
		perror("vsock_peer: listen");
		return 1;
	}
	puts("READY");
	fflush(stdout);
	while (nr--) {
		int c = accept(fd, NULL, NULL);

		if (c < 0)
			return 1;
		if (!fork())
			_exit(echo(c));
		close(c);
	}
	while (wait(&status) >= 0)
		failed += status != 0;
	printf("ECHO failed %d\n", failed);
	return failed != 0;
}

static int dial(const char *port)
{
	struct sockaddr_vm a = address(VMADDR_CID_HOST, port);
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	char buf[256];
	ssize_t n;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		printf("DIAL %s\n", strerror(errno));
		return 1;
	}
	if (write(fd, "hello", 5) != 5)
		return 1;
	n = read(fd, buf, sizeof(buf));
	printf("DIAL %.*s\n", n < 0 ? 0 : (int)n, buf);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "echo"))
		return serve(argv[2], atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "dial"))
		return dial(argv[2]);
	fprintf(stderr, "usage: vsock_peer echo PORT NR | dial PORT\n");
	return 2;
}
