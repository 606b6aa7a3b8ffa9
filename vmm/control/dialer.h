/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections that a guest makes to ports of the host, for a vsock device in its
 * jail (vc_virtio_vsock_opts.dial_fd): port P is whoever listens on the Unix
 * socket PATH_P. The guest chooses a number and nothing else.
 */
#ifndef VMM_CONTROL_DIALER_H
#define VMM_CONTROL_DIALER_H

#include <vmmcore/loop.h>

struct dialer {
	int fd; /* owned; -1: closed */
	struct vc_watch watch;
	const char *path; /* borrowed */
};

/* `fd` is owned. */
void dialer_init(struct dialer *d, int fd, const char *path);
void dialer_fini(struct dialer *d);
int dialer_start(struct dialer *d, struct vc_loop *loop,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
