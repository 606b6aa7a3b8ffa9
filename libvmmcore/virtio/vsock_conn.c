/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One vsock connection: between the guest's packets and a host socket.
 *
 * Guest to host, data is sent to the socket straight out of the guest's buffer;
 * what the socket does not take goes to the connection's ring, which is as large
 * as the credit the guest was given, so that there is always room for what the
 * guest may send. More than that is a violation and resets the connection.
 *
 * Host to guest, data is read from the socket straight into the guest's buffer,
 * as much as its credit and the buffer allow. The socket is polled only while
 * there is credit.
 *
 * Watching. A hang-up is reported by epoll whether or not it was asked for, and
 * again each time. So a socket is watched, if for nothing else, until its
 * hang-up was seen, and from then on only while there is something to ask for.
 *
 * Ends. A half-close passes through: end of file here is SHUTDOWN(SEND) there,
 * and the other way round shutdown(2). When the host's end is closed, what is
 * left is read, then SHUTDOWN(both) is sent and the guest's RST awaited for a
 * while (CLOSING). When the guest has shut down both ways it gets its RST at
 * once, and the socket stays until it has taken what the guest had sent
 * (DRAINING).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "virtio/vsock.h"

/* --- the table ------------------------------------------------------------- */

static struct vsock_conn **bucket(struct vsock *vs, uint32_t host_port,
				  uint32_t guest_port)
{
	uint32_t h = (host_port * UINT32_C(0x9e3779b1)) ^
		     (guest_port * UINT32_C(0x85ebca77));

	return &vs->hash[(h >> 16 ^ h) % VSOCK_MAX_CONNS];
}

struct vsock_conn *vsock_conn_find(struct vsock *vs, uint32_t host_port,
				   uint32_t guest_port)
{
	struct vsock_conn *c = *bucket(vs, host_port, guest_port);

	while (c && (c->host_port != host_port || c->guest_port != guest_port))
		c = c->hash_next;
	return c;
}

void vsock_conn_hash(struct vsock_conn *c)
{
	struct vsock_conn **b = bucket(c->vs, c->host_port, c->guest_port);

	c->hash_next = *b;
	*b = c;
	c->is_hashed = true;
}

static void unhash(struct vsock_conn *c)
{
	struct vsock_conn **p;

	if (!c->is_hashed)
		return;
	p = bucket(c->vs, c->host_port, c->guest_port);
	while (*p != c)
		p = &(*p)->hash_next;
	*p = c->hash_next;
	c->is_hashed = false;
}

struct vsock_conn *vsock_conn_new(struct vsock *vs, enum vsock_state state,
				  int fd)
{
	struct vsock_conn *c = vs->free_conns;
	size_t i;

	if (c)
		vs->free_conns = c->free_next;
	else if (vs->nr_ever < VSOCK_MAX_CONNS)
		c = &vs->conns[vs->nr_ever++];
	else
		return NULL;
	i = (size_t)(c - vs->conns);
	*c = (struct vsock_conn){ .vs = vs,
				  .state = state,
				  .fd = fd,
				  .buf = vs->bufs + i * VSOCK_BUF_BYTES };
	vs->nr_conns++;
	return c;
}

void vsock_conn_free(struct vsock_conn *c)
{
	struct vsock *vs = c->vs;

	if (c->state == VSOCK_DIALING)
		vsock_host_forget_dial(c);
	unhash(c);
	vsock_conn_unlist(c);
	vsock_set_deadline(c, 0);
	vc_watch_remove(&c->watch);
	vc_close(&c->fd);
	c->state = VSOCK_FREE;
	c->free_next = vs->free_conns;
	vs->free_conns = c;
	vs->nr_conns--;
	vsock_host_listen(vs); /* there is room again */
}

void vsock_conn_reset(struct vsock_conn *c)
{
	bool is_known = c->is_hashed;

	/* a guest that was not yet asked knows nothing of it */
	if (c->state == VSOCK_CONNECTING && !c->asked_guest)
		is_known = false;
	if (is_known)
		vsock_rst(c->vs, VSOCK_HOST_CID, c->host_port, c->guest_port,
			  VSOCK_TYPE_STREAM);
	vsock_conn_free(c);
}

void vsock_conn_expire(struct vsock_conn *c)
{
	/* no one left something undone that a reset does not end */
	vsock_conn_reset(c);
}

/* --- who has something to say ---------------------------------------------- */

void vsock_conn_say(struct vsock_conn *c, unsigned what)
{
	struct vsock *vs = c->vs;

	c->say |= what;
	if (c->is_listed)
		return;
	c->is_listed = true;
	c->say_next = NULL;
	c->say_prev = vs->last_say;
	if (vs->last_say)
		vs->last_say->say_next = c;
	else
		vs->first_say = c;
	vs->last_say = c;
}

void vsock_conn_unlist(struct vsock_conn *c)
{
	struct vsock *vs = c->vs;

	if (!c->is_listed)
		return;
	c->is_listed = false;
	if (c->say_prev)
		c->say_prev->say_next = c->say_next;
	else
		vs->first_say = c->say_next;
	if (c->say_next)
		c->say_next->say_prev = c->say_prev;
	else
		vs->last_say = c->say_prev;
}

/* Bytes the guest lets us send. Whatever nonsense its counters make of it, the
 * size of its buffers bounds what is written. */
static uint32_t credit(const struct vsock_conn *c)
{
	uint32_t on_the_way = c->tx_cnt - c->peer_fwd;

	return on_the_way < c->peer_alloc ? c->peer_alloc - on_the_way : 0;
}

/* --- the host's socket ----------------------------------------------------- */

/* Everything of the host is gone: end it with the guest. */
static void close_host(struct vsock_conn *c)
{
	vc_watch_remove(&c->watch);
	vc_close(&c->fd);
	c->buf_len = 0;
	c->state = VSOCK_CLOSING;
	c->host_eof = c->host_deaf = true;
	c->host_shut = VSOCK_SHUT_BOTH;
	vsock_conn_say(c, SAY_SHUTDOWN);
	vsock_set_deadline(c, VSOCK_CLOSE_NS);
}

static void forwarded(struct vsock_conn *c, uint32_t n)
{
	c->fwd_cnt += n;
	if (c->fwd_cnt - c->told_fwd >= VSOCK_BUF_BYTES / 2)
		vsock_conn_say(c, SAY_CREDIT);
}

/* The host takes no more. */
static void deafen(struct vsock_conn *c)
{
	c->host_deaf = true;
	forwarded(c, c->buf_len);
	c->buf_len = 0;
	c->host_shut |= VSOCK_SHUT_RCV;
	vsock_conn_say(c, SAY_SHUTDOWN);
}

/* Send `len` bytes; returns how many went, which are all if nobody reads. */
static uint32_t send_host(struct vsock_conn *c, const void *buf, size_t len)
{
	ssize_t n;

	if (c->host_deaf)
		return (uint32_t)len;
	do
		n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (uint32_t)n;
	if (errno == EAGAIN)
		return 0;
	deafen(c);
	return (uint32_t)len;
}

/* Send what the socket did not take before. */
static void drain(struct vsock_conn *c)
{
	while (c->buf_len) {
		uint32_t n = VSOCK_BUF_BYTES - c->buf_at;

		if (n > c->buf_len)
			n = c->buf_len;
		n = send_host(c, c->buf + c->buf_at, n);
		if (c->host_deaf)
			break; /* the ring was dropped */
		if (!n)
			return;
		c->buf_at = (c->buf_at + n) % VSOCK_BUF_BYTES;
		c->buf_len -= n;
		forwarded(c, n);
	}
	if (c->guest_shut & VSOCK_SHUT_SEND && c->fd >= 0)
		shutdown(c->fd, SHUT_WR);
}

static void on_conn(struct vc_watch *w, uint32_t events)
{
	struct vsock_conn *c = vc_container_of(w, struct vsock_conn, watch);
	struct vsock *vs = c->vs;

	if (events & (EPOLLHUP | EPOLLERR))
		c->host_hup = true;
	switch (c->state) {
	case VSOCK_HELLO:
		vsock_host_hello(c);
		break;
	case VSOCK_CONNECTING:
		vsock_conn_reset(c);
		break;
	case VSOCK_OPEN:
		drain(c);
		if (!c->host_eof) {
			c->nr_reads = 0;
			vsock_conn_say(c, SAY_DATA);
		} else if (c->host_hup) {
			close_host(c);
		}
		vsock_conn_update(c);
		break;
	case VSOCK_DRAINING:
		drain(c);
		if (!c->buf_len)
			vsock_conn_free(c);
		else
			vsock_conn_update(c);
		break;
	case VSOCK_DIALING:
	case VSOCK_CLOSING:
	case VSOCK_FREE:
		break; /* have no socket */
	}
	vsock_flush(vs);
}

void vsock_conn_update(struct vsock_conn *c)
{
	uint32_t events = 0;
	struct vc_error err;

	if (c->fd < 0)
		return;
	if (c->state == VSOCK_HELLO)
		events = EPOLLIN;
	else if (c->state == VSOCK_OPEN && !c->host_eof &&
		 !(c->say & SAY_DATA) && credit(c))
		events = EPOLLIN;
	if (c->buf_len)
		events |= EPOLLOUT;

	if (!events && c->host_hup)
		vc_watch_remove(&c->watch);
	else if (c->watch.loop)
		vc_watch_set_events(&c->watch, events);
	else if (vc_watch_add(c->vs->dev.loop, &c->watch, c->fd, events,
			      on_conn, &err) < 0)
		vsock_set_deadline(c, 1); /* out of memory: end it */
}

/* --- from the guest -------------------------------------------------------- */

/* `len` bytes, for which there is room in the ring. */
static void input_data(struct vsock_conn *c, const struct iovec *iov,
		       int nr_iov, uint32_t len)
{
	uint32_t done = 0, end, n;
	int i;

	for (i = 0; i < nr_iov && done < len && !c->buf_len; i++) {
		uint32_t want =
			(uint32_t)vc_min_u64(iov[i].iov_len, len - done);

		n = send_host(c, iov[i].iov_base, want);
		forwarded(c, n);
		done += n;
		if (n < want)
			break;
	}
	while (done < len) {
		end = (c->buf_at + c->buf_len) % VSOCK_BUF_BYTES;
		n = (uint32_t)vc_min_u64(len - done, VSOCK_BUF_BYTES - end);
		vc_iov_read(iov, nr_iov, done, c->buf + end, n);
		c->buf_len += n;
		done += n;
	}
}

/* The guest knows the connection no more. */
static void guest_gone(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || !c->buf_len) {
		vsock_conn_free(c);
		return;
	}
	unhash(c);
	vsock_conn_unlist(c);
	c->say = 0;
	c->state = VSOCK_DRAINING;
	c->guest_shut = VSOCK_SHUT_BOTH;
}

static void input_shutdown(struct vsock_conn *c, uint32_t flags)
{
	if (c->state != VSOCK_OPEN && c->state != VSOCK_CLOSING) {
		vsock_conn_reset(c);
		return;
	}
	c->guest_shut |= flags & VSOCK_SHUT_BOTH;
	if (c->guest_shut == VSOCK_SHUT_BOTH) {
		vsock_rst(c->vs, VSOCK_HOST_CID, c->host_port, c->guest_port,
			  VSOCK_TYPE_STREAM);
		guest_gone(c);
		return;
	}
	if (c->state == VSOCK_CLOSING)
		return;
	if (flags & VSOCK_SHUT_SEND)
		drain(c); /* and pass the end of file on */
	if (flags & VSOCK_SHUT_RCV) {
		c->host_eof = true;
		c->say &= ~SAY_DATA;
		shutdown(c->fd, SHUT_RD);
	}
}

static void input_response(struct vsock_conn *c)
{
	if (c->state != VSOCK_CONNECTING || !c->asked_guest ||
	    !vsock_host_hello_ok(c)) {
		vsock_conn_reset(c);
		return;
	}
	c->state = VSOCK_OPEN;
	vsock_set_deadline(c, 0);
}

static void input_rw(struct vsock_conn *c, const struct vsock_hdr *hdr,
		     const struct iovec *iov, int nr_iov)
{
	uint32_t len = le32_get(hdr->len);

	if (c->state == VSOCK_CLOSING)
		return; /* it had not heard yet */
	if (c->state != VSOCK_OPEN || c->guest_shut & VSOCK_SHUT_SEND ||
	    len > VSOCK_BUF_BYTES - c->buf_len) {
		vsock_conn_reset(c);
		return;
	}
	input_data(c, iov, nr_iov, len);
}

static void input_op(struct vsock_conn *c, const struct vsock_hdr *hdr,
		     const struct iovec *iov, int nr_iov)
{
	switch (le16_get(hdr->op)) {
	case VSOCK_OP_RESPONSE:
		input_response(c);
		break;
	case VSOCK_OP_RST:
		guest_gone(c);
		break;
	case VSOCK_OP_SHUTDOWN:
		input_shutdown(c, le32_get(hdr->flags));
		break;
	case VSOCK_OP_RW:
		input_rw(c, hdr, iov, nr_iov);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break; /* every packet is one */
	case VSOCK_OP_CREDIT_REQUEST:
		vsock_conn_say(c, SAY_CREDIT);
		break;
	default: /* REQUEST of what there is, and what there is not */
		vsock_conn_reset(c);
		break;
	}
}

void vsock_conn_input(struct vsock_conn *c, const struct vsock_hdr *hdr,
		      const struct iovec *iov, int nr_iov)
{
	c->peer_alloc = le32_get(hdr->buf_alloc);
	c->peer_fwd = le32_get(hdr->fwd_cnt);
	c->asked_credit = false;
	input_op(c, hdr, iov, nr_iov);
	if (c->state != VSOCK_FREE)
		vsock_conn_update(c);
}

/* --- to the guest ---------------------------------------------------------- */

/* Read from the host; false if there is nothing to send of it now. */
static bool read_host(struct vsock_conn *c, uint8_t *data, size_t room,
		      uint32_t *ret_len)
{
	ssize_t n;

	if (c->host_eof || c->nr_reads++ == VSOCK_MAX_READS) {
		c->say &= ~SAY_DATA;
		return false;
	}
	if (!credit(c)) {
		c->say &= ~SAY_DATA;
		if (!c->asked_credit)
			c->say |= SAY_ASK_CREDIT;
		c->asked_credit = true;
		return false;
	}
	do
		n = recv(c->fd, data, vc_min_u64(room, credit(c)),
			 MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->tx_cnt += (uint32_t)n;
		*ret_len = (uint32_t)n;
		return true;
	}
	c->say &= ~SAY_DATA;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0) /* reset: no more in either direction */
		c->host_hup = true;
	c->host_eof = true;
	c->host_shut |= VSOCK_SHUT_SEND;
	c->say |= SAY_SHUTDOWN;
	if (c->host_hup)
		close_host(c);
	return false;
}

bool vsock_conn_output(struct vsock_conn *c, uint8_t *data, size_t room,
		       enum vsock_op *ret_op, uint32_t *ret_flags,
		       uint32_t *ret_len)
{
	static const struct {
		unsigned say;
		enum vsock_op op;
	} rest[] = {
		{ SAY_SHUTDOWN, VSOCK_OP_SHUTDOWN },
		{ SAY_ASK_CREDIT, VSOCK_OP_CREDIT_REQUEST },
		{ SAY_CREDIT, VSOCK_OP_CREDIT_UPDATE },
	};
	size_t i;

	*ret_flags = *ret_len = 0;
	if (c->say & (SAY_REQUEST | SAY_RESPONSE)) {
		*ret_op = c->say & SAY_REQUEST ? VSOCK_OP_REQUEST
					       : VSOCK_OP_RESPONSE;
		c->say &= ~(SAY_REQUEST | SAY_RESPONSE);
		c->asked_guest = true;
		return true;
	}
	if (c->say & SAY_DATA && read_host(c, data, room, ret_len)) {
		*ret_op = VSOCK_OP_RW;
		return true;
	}
	for (i = 0; i < VC_ARRAY_SIZE(rest); i++) {
		if (!(c->say & rest[i].say))
			continue;
		c->say &= ~rest[i].say;
		*ret_op = rest[i].op;
		if (*ret_op == VSOCK_OP_SHUTDOWN)
			*ret_flags = c->host_shut;
		return true;
	}
	return false;
}
