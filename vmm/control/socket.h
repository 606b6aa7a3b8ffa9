/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix stream sockets in the file system. */
#ifndef VMM_CONTROL_SOCKET_H
#define VMM_CONTROL_SOCKET_H

#include <vmmcore/error.h>

/* Listen at `path`, for this user alone (mode 0600). A socket nobody listens
 * on any more is replaced; anything else there is an error. Returns an fd or
 * -1. The caller removes the path at the end. */
int socket_listen(const char *path, struct vc_error *err);

/* Connect to `path`, which may be /proc/self/fd/N of an inherited, connected
 * socket. Waits at most `timeout_ms` for whoever listens there to have room for
 * one more: then VC_E_SYS/EAGAIN. Returns an fd or -1. */
int socket_connect(const char *path, int timeout_ms, struct vc_error *err);

#endif
