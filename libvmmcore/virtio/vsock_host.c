/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vsock: the host's side of making connections.
 *
 * A client of listen_fd sends "CONNECT <port>\n" and may send its data right
 * behind: no byte after the newline is read here. When the guest has accepted
 * the client gets "OK <host port>\n"; when not, its connection is closed. While
 * no connection can be taken, listen_fd is not watched and clients wait in its
 * backlog.
 *
 * A guest that connects out is joined to what dial_fd answers. Answers come in
 * the order of the questions; the one to a question whose asker is gone is
 * read and dropped.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "virtio/vsock.h"

#define MAX_ACCEPTS 16 /* for one event */

/* --- clients --------------------------------------------------------------- */

static void on_listen(struct vc_watch *w, uint32_t events)
{
	struct vsock *vs = vc_container_of(w, struct vsock, listen_watch);
	int i;

	(void)events;
	for (i = 0; i < MAX_ACCEPTS && vs->nr_conns < VSOCK_MAX_CONNS; i++) {
		int fd = accept4(vs->listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct vsock_conn *c;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno != EAGAIN) {
			/* out of descriptors, most likely: breathe */
			virtio_dev_warn(&vs->dev, "accept failed, errno %d",
					errno);
			vs->accept_again_ns = vc_now_ns() + VSOCK_ACCEPT_NS;
			vsock_timer_at(vs, vs->accept_again_ns);
		}
		if (fd < 0)
			break;
		c = vsock_conn_new(vs, VSOCK_HELLO, fd);
		vsock_set_deadline(c, VSOCK_HELLO_NS);
		vsock_conn_update(c);
	}
	vsock_host_listen(vs);
}

void vsock_host_listen(struct vsock *vs)
{
	struct vc_error err;

	if (vs->listen_fd < 0)
		return;
	if (vs->nr_conns == VSOCK_MAX_CONNS || vs->accept_again_ns) {
		vc_watch_remove(&vs->listen_watch);
		return;
	}
	if (!vs->listen_watch.loop &&
	    vc_watch_add(vs->dev.loop, &vs->listen_watch, vs->listen_fd,
			 EPOLLIN, on_listen, &err) < 0) {
		virtio_dev_warn(&vs->dev, "%s", err.msg);
		vs->accept_again_ns = vc_now_ns() + VSOCK_ACCEPT_NS;
		vsock_timer_at(vs, vs->accept_again_ns);
	}
}

/* "CONNECT 1024", without the newline; the word in any case. */
static bool parse_line(const char *line, unsigned len, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	uint64_t port = 0;
	unsigned i = sizeof(word) - 1;

	if (len <= i || strncasecmp(line, word, i) != 0)
		return false;
	for (; i < len; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		port = port * 10 + (uint64_t)(line[i] - '0');
		if (port > UINT32_MAX)
			return false;
	}
	*ret_port = (uint32_t)port;
	return true;
}

static uint32_t take_port(struct vsock *vs, uint32_t guest_port)
{
	/* ends: there are more ports than connections */
	for (;;) {
		uint32_t port = vs->next_port++;

		vs->next_port |= VSOCK_FIRST_PORT;
		vs->next_port &= 2 * VSOCK_FIRST_PORT - 1;
		if (!vsock_conn_find(vs, port, guest_port))
			return port;
	}
}

static void hello_done(struct vsock_conn *c)
{
	if (!parse_line(c->line, c->line_len, &c->guest_port)) {
		vsock_conn_free(c);
		return;
	}
	c->host_port = take_port(c->vs, c->guest_port);
	c->state = VSOCK_CONNECTING;
	vsock_conn_hash(c);
	vsock_set_deadline(c, VSOCK_CONNECT_NS);
	vsock_conn_say(c, SAY_REQUEST);
	vsock_conn_update(c);
}

void vsock_host_hello(struct vsock_conn *c)
{
	size_t room = sizeof(c->line) - c->line_len;
	char *at = c->line + c->line_len;
	const char *nl;
	size_t take;
	ssize_t n = recv(c->fd, at, room, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vsock_conn_free(c);
		return;
	}
	nl = memchr(at, '\n', (size_t)n);
	take = nl ? (size_t)(nl - at) + 1 : (size_t)n;
	/* what was just seen is still there: nobody else reads it */
	if (recv(c->fd, at, take, MSG_DONTWAIT) != (ssize_t)take) {
		vsock_conn_free(c);
		return;
	}
	c->line_len += (unsigned)take - (nl ? 1 : 0);
	if (nl)
		hello_done(c);
	else if (c->line_len == sizeof(c->line))
		vsock_conn_free(c);
}

bool vsock_host_hello_ok(struct vsock_conn *c)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "OK %u\n", c->host_port);

	/* the first bytes ever sent there: they fit, or there is nobody */
	return send(c->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

/* --- dialling -------------------------------------------------------------- */

bool vsock_host_dial(struct vsock_conn *c)
{
	struct vsock *vs = c->vs;
	le32_t port = le32_put(c->host_port);

	if (vs->dial_fd < 0 || vs->nr_dials == VSOCK_MAX_DIALS)
		return false;
	if (send(vs->dial_fd, &port, sizeof(port),
		 MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(port))
		return false;
	vs->dials[(vs->first_dial + vs->nr_dials++) % VSOCK_MAX_DIALS] = c;
	vsock_set_deadline(c, VSOCK_DIAL_NS);
	return true;
}

void vsock_host_forget_dial(struct vsock_conn *c)
{
	struct vsock *vs = c->vs;
	unsigned i;

	for (i = 0; i < VSOCK_MAX_DIALS; i++)
		if (vs->dials[i] == c)
			vs->dials[i] = NULL;
}

void vsock_host_end_dial(struct vsock *vs)
{
	vc_watch_remove(&vs->dial_watch);
	vc_close(&vs->dial_fd);
	for (; vs->nr_dials; vs->nr_dials--) {
		struct vsock_conn *c = vs->dials[vs->first_dial];

		vs->dials[vs->first_dial] = NULL;
		vs->first_dial = (vs->first_dial + 1) % VSOCK_MAX_DIALS;
		if (c)
			vsock_conn_reset(c);
	}
}

/* `fd` (owned) is -1 if the host said no. */
static void dial_done(struct vsock *vs, int fd)
{
	struct vsock_conn *c = vs->dials[vs->first_dial];

	vs->dials[vs->first_dial] = NULL;
	vs->first_dial = (vs->first_dial + 1) % VSOCK_MAX_DIALS;
	vs->nr_dials--;
	if (!c) {
		vc_close(&fd);
		return;
	}
	if (fd < 0) {
		vsock_conn_reset(c);
		return;
	}
	c->fd = fd;
	c->state = VSOCK_OPEN;
	vsock_set_deadline(c, 0);
	vsock_conn_say(c, SAY_RESPONSE);
	vsock_conn_update(c);
}

void vsock_host_on_dial(struct vc_watch *w, uint32_t events)
{
	struct vsock *vs = vc_container_of(w, struct vsock, dial_watch);

	(void)events;
	while (vs->dial_fd >= 0) {
		le32_t status;
		int fd = -1;
		size_t nr_fds;
		ssize_t n = vc_recv_fds(vs->dial_fd, &status, sizeof(status),
					MSG_DONTWAIT, &fd, 1, &nr_fds);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n != sizeof(status) || !vs->nr_dials ||
		    (le32_get(status) == 0) != (nr_fds == 1)) {
			virtio_dev_warn(&vs->dev, "the way to the host's "
						  "services is gone");
			if (n > 0 && nr_fds)
				vc_close(&fd);
			vsock_host_end_dial(vs);
			break;
		}
		dial_done(vs, nr_fds ? fd : -1);
	}
	vsock_flush(vs);
}
