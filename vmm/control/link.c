/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "vmm/control/link.h"

int link_send(int fd, enum link_type type, uint32_t arg, const char *text,
	      struct vc_error *err)
{
	struct link_msg msg = { .type = le32_put(type), .arg = le32_put(arg) };
	ssize_t n;

	if (text)
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	do
		n = send(fd, &msg, sizeof(msg), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "link: send");
	return 0;
}

int link_recv(int fd, struct link_msg *ret, bool *ret_is_eof,
	      struct vc_error *err)
{
	ssize_t n;

	*ret_is_eof = false;
	do
		n = recv(fd, ret, sizeof(*ret), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		*ret_is_eof = true;
		return 0;
	}
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "link: receive");
	if (n != sizeof(*ret))
		return vc_fail(err, VC_E_PEER, 0, "link: a packet of %zd bytes",
			       n);
	ret->text[sizeof(ret->text) - 1] = '\0';
	return 0;
}
