/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vmm/control/client.h"
#include "vmm/control/server.h"
#include "vmm/control/socket.h"

#define NS_PER_MS 1000000

int ctl_connect(const char *path, int timeout_ms, struct vc_error *err)
{
	return socket_connect(path, timeout_ms, err);
}

static int send_request(int fd, const char *method, json_t *params,
			struct vc_error *err)
{
	json_t *o = json_pack("{s:s,s:i,s:s,s:o*}", "jsonrpc", "2.0", "id", 1,
			      "method", method, "params", params);
	vc_auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	ssize_t n;

	json_decref(o);
	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "%s", method);
	text[len] = '\n'; /* in place of the NUL */
	n = send(fd, text, len + 1, MSG_NOSIGNAL);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: send", method);
	/* a request is far smaller than a socket's buffer */
	if ((size_t)n != len + 1)
		return vc_fail(err, VC_E_SYS, EIO, "%s: send", method);
	return 0;
}

/* Wait until `fd` is readable; -1 at `deadline_ns`. */
static int wait_readable(int fd, uint64_t deadline_ns, struct vc_error *err)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = vc_now_ns();
		uint64_t left = now < deadline_ns ? deadline_ns - now : 0;
		int n = poll(&p, 1, (int)(left / NS_PER_MS));

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "poll");
		if (n == 0)
			return vc_fail(err, VC_E_SYS, ETIMEDOUT,
				       "wait for the VM");
	}
}

static int receive_line(int fd, char *buf, size_t size, int timeout_ms,
			struct vc_error *err)
{
	uint64_t deadline = vc_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	size_t used = 0;

	for (;;) {
		ssize_t n;
		char *end;

		if (wait_readable(fd, deadline, err) < 0)
			return -1;
		n = recv(fd, buf + used, size - used, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "receive");
		if (n == 0)
			return vc_fail(err, VC_E_PEER, 0,
				       "the VM closed the connection");
		used += (size_t)n;
		end = memchr(buf, '\n', used);
		if (end) {
			*end = '\0';
			return 0;
		}
		if (used == size)
			return vc_fail(err, VC_E_PEER, 0, "answer too long");
	}
}

int ctl_call(int fd, const char *method, json_t *params, int timeout_ms,
	     json_t **ret_result, struct vc_error *err)
{
	vc_auto_free char *buf = malloc(CTL_MAX_LINE);
	const char *message;
	json_t *answer, *result;

	if (!buf) {
		json_decref(params);
		return vc_fail(err, VC_E_SYS, ENOMEM, "%s", method);
	}
	if (send_request(fd, method, params, err) < 0)
		return -1;
	if (receive_line(fd, buf, CTL_MAX_LINE, timeout_ms, err) < 0)
		return vc_prefix(err, "%s", method);
	answer = json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
	result = json_object_get(answer, "result");
	message = json_string_value(
		json_object_get(json_object_get(answer, "error"), "message"));
	if (message)
		vc_fail(err, VC_E_PEER, 0, "%s: %s", method, message);
	else if (!result)
		vc_fail(err, VC_E_PEER, 0, "%s: not a JSON-RPC answer", method);
	if (message || !result) {
		json_decref(answer);
		return -1;
	}
	if (ret_result)
		*ret_result = json_incref(result);
	json_decref(answer);
	return 0;
}

int ctl_wait_end(int fd, int timeout_ms, struct vc_error *err)
{
	uint64_t deadline = vc_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	char buf[256];

	for (;;) {
		ssize_t n;

		if (wait_readable(fd, deadline, err) < 0)
			return -1;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "receive");
	}
}
