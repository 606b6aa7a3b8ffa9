/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vmm/control/socket.h"

#define LISTEN_BACKLOG 64

static int set_path(struct sockaddr_un *sa, const char *path,
		    struct vc_error *err)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (!*path || strlen(path) >= sizeof(sa->sun_path))
		return vc_fail(err, VC_E_ARG, 0,
			       "%s: a socket's path must have 1 to %zu bytes",
			       path, sizeof(sa->sun_path) - 1);
	strcpy(sa->sun_path, path);
	return 0;
}

/* With a full backlog connect() waits, for as long as a send may. */
static int connect_to(const struct sockaddr_un *sa, int timeout_ms)
{
	vc_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit, none = { 0 };

	if (timeout_ms < 1)
		timeout_ms = 1; /* 0 would be for ever */
	limit.tv_sec = timeout_ms / 1000;
	limit.tv_usec = timeout_ms % 1000 * 1000;
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) <
		    0 ||
	    connect(fd, (const struct sockaddr *)(const void *)sa,
		    sizeof(*sa)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) < 0)
		return -1;
	return vc_steal_fd(&fd);
}

int socket_connect(const char *path, int timeout_ms, struct vc_error *err)
{
	struct sockaddr_un sa;
	struct stat st;
	int fd;

	if (!strncmp(path, "/proc/self/fd/", 14))
		return vc_open(path, 0, 0, err);
	if (set_path(&sa, path, err) < 0)
		return -1;
	fd = connect_to(&sa, timeout_ms);
	if (fd < 0 && errno == ECONNREFUSED && stat(path, &st) == 0 &&
	    !S_ISSOCK(st.st_mode))
		errno = ENOTSOCK; /* never will be, unlike one nobody serves */
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: connect", path);
	return fd;
}

/* Remove the socket at `sa` if nobody listens on it. */
static int remove_stale(const struct sockaddr_un *sa, struct vc_error *err)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return vc_fail(err, VC_E_SYS, EEXIST, "%s: listen",
			       sa->sun_path);
	fd = connect_to(sa, 0);
	if (fd >= 0 || errno != ECONNREFUSED) {
		vc_close(&fd);
		return vc_fail(err, VC_E_SYS, EADDRINUSE, "%s: listen",
			       sa->sun_path);
	}
	unlink(sa->sun_path);
	return 0;
}

static int bind_private(int fd, const struct sockaddr_un *sa)
{
	mode_t old = umask(0177);
	int ret = bind(fd, (const struct sockaddr *)(const void *)sa,
		       sizeof(*sa));

	umask(old);
	return ret;
}

int socket_listen(const char *path, struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	struct sockaddr_un sa;

	if (set_path(&sa, path, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket");
	if (bind_private(fd, &sa) < 0) {
		if (errno != EADDRINUSE)
			return vc_fail(err, VC_E_SYS, errno, "%s: listen",
				       path);
		if (remove_stale(&sa, err) < 0)
			return -1;
		if (bind_private(fd, &sa) < 0)
			return vc_fail(err, VC_E_SYS, errno, "%s: listen",
				       path);
	}
	if (listen(fd, LISTEN_BACKLOG) < 0) {
		vc_fail(err, VC_E_SYS, errno, "%s: listen", path);
		unlink(path);
		return -1;
	}
	return vc_steal_fd(&fd);
}
