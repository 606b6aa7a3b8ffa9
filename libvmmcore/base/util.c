/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <vmmcore/util.h>

void vc_open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	vc_close(&fd);
}

void vc_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vc_cleanup_fd(int *fd)
{
	int saved = errno;

	vc_close(fd);
	errno = saved;
}

void vc_cleanup_free(void *ptr_addr)
{
	void *p;

	memcpy(&p, ptr_addr, sizeof(p));
	free(p);
}

void vc_cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

int vc_write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

const char *vc_last_name(const char *path, size_t *ret_len)
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	*ret_len = len - (slash ? (size_t)(slash + 1 - path) : 0);
	return slash ? slash + 1 : path;
}

bool vc_same_file(const char *a, const char *b)
{
	vc_auto_free char *dir_a = NULL, *dir_b = NULL;
	const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
	struct stat st_a, st_b;
	bool has_a = stat(a, &st_a) == 0, has_b = stat(b, &st_b) == 0;

	if (!has_a && !has_b) {
		if (strcmp(slash_a ? slash_a + 1 : a,
			   slash_b ? slash_b + 1 : b) != 0)
			return false;
		dir_a = slash_a ? strndup(a, (size_t)(slash_a + 1 - a))
				: strdup(".");
		dir_b = slash_b ? strndup(b, (size_t)(slash_b + 1 - b))
				: strdup(".");
		has_a = dir_a && stat(dir_a, &st_a) == 0;
		has_b = dir_b && stat(dir_b, &st_b) == 0;
	}
	return has_a && has_b && st_a.st_dev == st_b.st_dev &&
	       st_a.st_ino == st_b.st_ino;
}

int vc_read_full(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENODATA;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int vc_pwrite_full(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int vc_pread_full(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENODATA;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

union fd_control {
	char buf[CMSG_SPACE(VC_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

ssize_t vc_send_fds(int sock, const void *buf, size_t len, const int *fds,
		    size_t nr_fds)
{
	union fd_control control;
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nr_fds > VC_MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (nr_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Take the descriptors out of one control message; what does not fit in `fds`
 * is closed. */
static void take_fds(struct cmsghdr *c, int *fds, size_t max_fds,
		     size_t *nr_fds)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	size_t i;

	for (i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*nr_fds < max_fds)
			fds[(*nr_fds)++] = fd;
		else
			close(fd);
	}
}

ssize_t vc_recv_fds(int sock, void *buf, size_t len, int flags, int *fds,
		    size_t max_fds, size_t *ret_nr_fds)
{
	union fd_control control;
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	*ret_nr_fds = 0;
	do
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take_fds(c, fds, max_fds, ret_nr_fds);
	return n;
}

int vc_set_nonblock(int fd, struct vc_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return vc_fail(err, VC_E_SYS, errno, "set non-blocking");
	return 0;
}

uint64_t vc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

int vc_open(const char *path, int flags, mode_t mode, struct vc_error *err)
{
	static const char self_fd[] = "/proc/self/fd/";
	int fd;

	if (!strncmp(path, self_fd, sizeof(self_fd) - 1)) {
		uint64_t n;

		if (vc_parse_u64(path + sizeof(self_fd) - 1, INT32_MAX, &n,
				 err) < 0)
			return vc_prefix(err, "%s", path);
		fd = fcntl((int)n, F_DUPFD_CLOEXEC, 0);
	} else {
		fd = open(path, flags | O_CLOEXEC, mode);
	}
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: open", path);
	return fd;
}
