/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "vmm/control/dialer.h"
#include "vmm/control/socket.h"

/* for one event, so that a guest that dials and dials does not keep the
 * supervisor from the rest */
#define MAX_DIALS 16

/* Returns an fd, or -1 with the reason in *ret_errno. */
static int dial(const struct dialer *d, uint32_t port, int *ret_errno)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct vc_error err;
	int n, fd;

	n = snprintf(path, sizeof(path), "%s_%u", d->path, port);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		*ret_errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket_connect(path, 0, &err);
	*ret_errno = fd >= 0 ? 0 : err.sys ? err.sys : ECONNREFUSED;
	return fd;
}

/* One question; false if there is none. */
static bool serve(struct dialer *d)
{
	le32_t port, status;
	size_t nr_fds;
	int error, fd;
	ssize_t n;

	n = vc_recv_fds(d->fd, &port, sizeof(port), MSG_DONTWAIT | MSG_TRUNC,
			NULL, 0, &nr_fds);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n != sizeof(port)) {
		dialer_fini(d);
		return false;
	}
	fd = dial(d, le32_get(port), &error);
	status = le32_put((uint32_t)error);
	n = vc_send_fds(d->fd, &status, sizeof(status), &fd, fd < 0 ? 0 : 1);
	vc_close(&fd);
	/* a device that reads no answers gets no more */
	if (n < 0)
		dialer_fini(d);
	return n >= 0;
}

static void on_question(struct vc_watch *w, uint32_t events)
{
	struct dialer *d = vc_container_of(w, struct dialer, watch);
	int i;

	(void)events;
	for (i = 0; i < MAX_DIALS && serve(d); i++)
		;
}

void dialer_init(struct dialer *d, int fd, const char *path)
{
	*d = (struct dialer){ .fd = fd, .path = path };
}

void dialer_fini(struct dialer *d)
{
	vc_watch_remove(&d->watch);
	vc_close(&d->fd);
}

int dialer_start(struct dialer *d, struct vc_loop *loop, struct vc_error *err)
{
	if (vc_set_nonblock(d->fd, err) < 0)
		return -1;
	return vc_watch_add(loop, &d->watch, d->fd, EPOLLIN, on_question, err);
}
