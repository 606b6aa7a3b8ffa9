/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "vmm/device/device.h"

/* Is somebody listening? *ret_is_stale: a socket is there, but nobody is. */
static int probe(const struct sockaddr_un *sa, bool *ret_is_stale,
		 struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	struct stat st;

	*ret_is_stale = false;
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : vc_fail(err, VC_E_SYS, errno,
						 "socket '%s'", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "socket '%s': there is a file that is no socket",
			       sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket");
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 &&
	    errno == ECONNREFUSED) {
		*ret_is_stale = true;
		return 0;
	}
	return vc_fail(err, VC_E_CONFIG, 0, "socket '%s': already in use",
		       sa->sun_path);
}

int device_listen(struct device *d, const char *path, int *ret_fd,
		  struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	bool is_stale;
	mode_t mask;
	int rc;

	if (!*path || strlen(path) >= sizeof(sa.sun_path))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "socket '%s': a path has 1 to %zu bytes", path,
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	if (probe(&sa, &is_stale, err) < 0)
		return -1;
	if (is_stale && unlink(path) < 0 && errno != ENOENT)
		return vc_fail(err, VC_E_SYS, errno, "socket '%s': remove",
			       path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket");
	mask = umask(0177);
	rc = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (rc < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket '%s': bind", path);
	assert(d->nr_paths < DEVICE_MAX_PATHS);
	d->paths[d->nr_paths++] = path;
	if (listen(fd, SOMAXCONN) < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket '%s': listen",
			       path);
	*ret_fd = vc_steal_fd(&fd);
	return 0;
}

void device_remove_paths(struct device *d)
{
	while (d->nr_paths)
		unlink(d->paths[--d->nr_paths]);
}
