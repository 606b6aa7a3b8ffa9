/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <vmmcore/util.h>
#include "vmm/control/link.h"

int link_send(int fd, enum link_type type, uint32_t arg, const char *text,
	      struct vc_error *err)
{
	struct link_msg msg = { .type = le32_put(type), .arg = le32_put(arg) };
	ssize_t n;

	if (text)
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	/* sendmsg() and recvmsg() are all that the machine's jail allows */
	n = vc_send_fds(fd, &msg, sizeof(msg), NULL, 0);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "link: send");
	return 0;
}

int link_recv(int fd, struct link_msg *ret, bool *ret_is_eof,
	      struct vc_error *err)
{
	size_t nr_fds;
	ssize_t n;

	*ret_is_eof = false;
	n = vc_recv_fds(fd, ret, sizeof(*ret), MSG_TRUNC, NULL, 0, &nr_fds);
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
