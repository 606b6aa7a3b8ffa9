/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting takes three steps: the socket, the vsock device's answer to
 * CONNECT, the agent's HELLO. Until the guest has booted, each of them may fail
 * or find the connection closed; all that is one case, "not yet". Only when the
 * agent has answered is a failure final. The request is sent after that, so a
 * command never runs twice.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vmm/control/agent_client.h"
#include "vmm/control/socket.h"

#define NS_PER_MS UINT64_C(1000000)
#define RETRY_MS 50
#define MAX_REPLY 64 /* of the vsock device, "OK 4294967295" */

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = vc_now_ns();

	return now >= deadline_ns ? 0
				  : (int)((deadline_ns - now) / NS_PER_MS) + 1;
}

static uint64_t deadline(int timeout_ms)
{
	return vc_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Wait for input. VC_E_SYS/ETIMEDOUT after the deadline, VC_E_CONFIG when the
 * VM has ended; `fd` may be -1 to wait for that alone. */
static int wait_input(int fd, int vm_fd, uint64_t deadline_ns,
		      struct vc_error *err)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = vm_fd, .events = POLLIN } };
	int n = poll(p, 2, left_ms(deadline_ns));

	if (n < 0 && errno != EINTR)
		return vc_fail(err, VC_E_SYS, errno, "agent: poll");
	if (p[1].revents)
		return vc_fail(err, VC_E_CONFIG, 0, "the VM has ended");
	if (n == 0)
		return vc_fail(err, VC_E_SYS, ETIMEDOUT, "agent: connect");
	return 0;
}

/* "CONNECT port", and the answer up to its newline and no byte further. */
static int ask_device(int fd, int vm_fd, uint64_t deadline_ns,
		      struct vc_error *err)
{
	char line[MAX_REPLY];
	size_t n = 0;
	int len = snprintf(line, sizeof(line), "CONNECT %d\n", VC_AGENT_PORT);

	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return vc_fail(err, VC_E_SYS, errno, "vsock: send");
	while (n < sizeof(line) - 1) {
		ssize_t got = recv(fd, line + n, 1, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (wait_input(fd, vm_fd, deadline_ns, err) < 0)
				return -1;
			continue;
		}
		if (got <= 0)
			return vc_fail(err, VC_E_SYS, ECONNREFUSED,
				       "agent: connect");
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	if (strncmp(line, "OK ", 3))
		return vc_fail(err, VC_E_PEER, 0,
			       "vsock: not the socket of a "
			       "vsock device");
	return 0;
}

/* Read until there is a whole frame. */
static int next_frame(struct agent_client *c, int vm_fd, uint64_t deadline_ns,
		      enum vc_agent_type *ret_type, const uint8_t **ret_payload,
		      size_t *ret_len, struct vc_error *err)
{
	enum vc_agent_status st;

	while ((st = vc_agent_reader_get(&c->reader, ret_type, ret_payload,
					 ret_len)) == VC_AGENT_MORE) {
		size_t len;
		uint8_t *to = vc_agent_reader_space(&c->reader, &len);
		ssize_t n = recv(c->fd, to, len, MSG_DONTWAIT);

		if (n > 0)
			vc_agent_reader_add(&c->reader, (size_t)n);
		else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (wait_input(c->fd, vm_fd, deadline_ns, err) < 0)
				return -1;
		} else {
			return vc_fail(err, VC_E_SYS, ECONNRESET,
				       "agent: receive");
		}
	}
	if (st == VC_AGENT_BROKEN)
		return vc_fail(err, VC_E_PEER, 0, "agent: malformed frame");
	return 0;
}

static int greet(struct agent_client *c, int vm_fd, uint64_t deadline_ns,
		 struct vc_error *err)
{
	enum vc_agent_type type;
	const uint8_t *payload;
	struct vc_bytes b;
	uint32_t version;
	size_t len;

	if (!vc_agent_writer_put_text(&c->writer, VC_AGENT_HELLO,
				      VC_AGENT_VERSION, "vmm " VC_VERSION) ||
	    vc_agent_writer_flush(&c->writer, c->fd) != VC_AGENT_OK)
		return vc_fail(err, VC_E_SYS, ECONNRESET, "agent: send");
	if (next_frame(c, vm_fd, deadline_ns, &type, &payload, &len, err) < 0)
		return -1;
	b = vc_bytes_init(payload, len);
	if (type != VC_AGENT_HELLO || !vc_bytes_get_le32(&b, &version))
		return vc_fail(err, VC_E_PEER, 0, "agent: no greeting");
	if (version != VC_AGENT_VERSION)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "agent: it speaks version %u, this is %d",
			       version, VC_AGENT_VERSION);
	vc_agent_reader_drop(&c->reader);
	return 0;
}

static int try_connect(const char *path, int vm_fd, uint64_t deadline_ns,
		       struct agent_client *c, struct vc_error *err)
{
	c->fd = socket_connect(path, left_ms(deadline_ns), err);
	if (c->fd < 0 || vc_set_nonblock(c->fd, err) < 0 ||
	    ask_device(c->fd, vm_fd, deadline_ns, err) < 0 ||
	    vc_agent_reader_init(&c->reader, err) < 0 ||
	    vc_agent_writer_init(&c->writer, err) < 0 ||
	    greet(c, vm_fd, deadline_ns, err) < 0)
		return -1;
	return 0;
}

static bool is_not_yet(const struct vc_error *err)
{
	return err->code == VC_E_SYS &&
	       (err->sys == ENOENT || err->sys == ECONNREFUSED ||
		err->sys == ECONNRESET || err->sys == EPIPE ||
		err->sys == EAGAIN);
}

int agent_connect(const char *vsock_path, int timeout_ms, int vm_fd,
		  struct agent_client *ret, struct vc_error *err)
{
	uint64_t end = deadline(timeout_ms);

	for (;;) {
		struct agent_client c = { .fd = -1 };
		struct vc_error pause;

		if (try_connect(vsock_path, vm_fd, end, &c, err) == 0) {
			*ret = c;
			return 0;
		}
		agent_disconnect(&c);
		if (!is_not_yet(err) || !left_ms(end))
			return -1;
		if (wait_input(-1, vm_fd, deadline(RETRY_MS), &pause) < 0 &&
		    pause.code != VC_E_SYS) {
			*err = pause;
			return -1;
		}
	}
}

void agent_disconnect(struct agent_client *c)
{
	vc_close(&c->fd);
	vc_agent_reader_fini(&c->reader);
	vc_agent_writer_fini(&c->writer);
}

int agent_shutdown(const char *vsock_path, bool reboot, int timeout_ms,
		   struct vc_error *err)
{
	uint64_t end = deadline(timeout_ms);
	struct agent_client c = { .fd = -1 };
	char text[VC_AGENT_MAX_TEXT + 1];
	enum vc_agent_type type;
	const uint8_t *payload;
	size_t len;
	int ret = -1;

	if (agent_connect(vsock_path, timeout_ms, -1, &c, err) < 0)
		return -1;
	if (!vc_agent_writer_put_u32(&c.writer, VC_AGENT_SHUTDOWN, reboot) ||
	    vc_agent_writer_flush(&c.writer, c.fd) != VC_AGENT_OK)
		vc_fail(err, VC_E_SYS, ECONNRESET, "agent: send");
	else if (next_frame(&c, -1, end, &type, &payload, &len, err) == 0) {
		if (type == VC_AGENT_EXIT)
			ret = 0;
		else
			vc_fail(err, VC_E_PEER, 0, "agent: shutdown: %s",
				agent_error_text(payload, len, text));
	}
	agent_disconnect(&c);
	return ret;
}

const char *agent_error_text(const uint8_t *payload, size_t len,
			     char text[VC_AGENT_MAX_TEXT + 1])
{
	char raw[VC_AGENT_MAX_TEXT + 1] = "";
	size_t skip = sizeof(le32_t);

	if (len > skip)
		memcpy(raw, payload + skip,
		       len - skip < VC_AGENT_MAX_TEXT ? len - skip
						      : VC_AGENT_MAX_TEXT);
	return vc_printable(raw, text, VC_AGENT_MAX_TEXT + 1);
}
