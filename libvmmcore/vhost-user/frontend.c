/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frontend: the side of a VMM. Every call sends its requests and waits for
 * their answers; where the backend offers REPLY_ACK each request has one, so a
 * call that returns 0 has been carried out.
 *
 * The backend may be hostile. A reply must be to the request just sent, of the
 * one size it can have, without descriptors, and there in time; bytes that
 * nobody asked for are a mistake too. After any of these the connection is
 * dead: the stream can no longer be trusted to be in step. A request the
 * backend refuses in good form fails its call and nothing else.
 *
 * Ring addresses travel as addresses of "the frontend". Ours are invented:
 * guest-physical plus VHU_USER_BASE. That tells a device process nothing about
 * where our mappings are, and keeps the two kinds of address from being mixed
 * up without notice.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "vhost-user/channel.h"
#include "vhost-user/frontend.h"

#define REQUESTS_PER_CALL 16 /* of the backend: then others get their turn */

struct vc_vhu_frontend {
	struct vhu_chan chan;
	struct vhu_chan requests; /* the backend's to us; sock -1: none */
	uint64_t features, protocol_features;
	unsigned max_queues;
	int timeout_ms;
	int err_fd; /* borrowed; -1: none */
	bool has_protocol;
	bool is_dead;
	void (*on_config_change)(void *opaque);
	void *opaque;
};

static bool has_pf(const struct vc_vhu_frontend *fe,
		   enum vhu_protocol_feature bit)
{
	return fe->protocol_features >> bit & 1;
}

/* --- one request ---------------------------------------------------------- */

static int wait_for(struct vc_vhu_frontend *fe, short events,
		    uint64_t deadline_ns, struct vc_error *err)
{
	struct pollfd p = { .fd = fe->chan.sock, .events = events };
	uint64_t now = vc_now_ns();
	int n;

	do {
		if (now >= deadline_ns)
			return vc_fail(err, VC_E_PEER, 0, "no answer in %d ms",
				       fe->timeout_ms);
		n = poll(&p, 1, (int)((deadline_ns - now) / 1000000) + 1);
		now = vc_now_ns();
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? vc_fail(err, VC_E_SYS, errno, "poll") : 0;
}

/* Between requests the backend has nothing to say. */
static int check_quiet(struct vc_vhu_frontend *fe, struct vc_error *err)
{
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(fe->chan.sock, &msg, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return vc_fail(err, VC_E_PEER, 0, "the backend spoke unasked");
	if (n == 0)
		return vc_fail(err, VC_E_PEER, 0, "the backend hung up");
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return vc_fail(err, VC_E_PEER, errno, "receive");
	return 0;
}

static int send_request(struct vc_vhu_frontend *fe, const struct vhu_msg *msg,
			const int *fds, size_t nr_fds, uint64_t deadline_ns,
			struct vc_error *err)
{
	while (vhu_chan_send(&fe->chan, msg, fds, nr_fds, err) < 0)
		if (err->sys != EAGAIN ||
		    wait_for(fe, POLLOUT, deadline_ns, err) < 0)
			return -1;
	return 0;
}

static int recv_reply(struct vc_vhu_frontend *fe, uint32_t request,
		      uint64_t deadline_ns, struct vc_error *err)
{
	for (;;) {
		switch (vhu_chan_recv(&fe->chan, err)) {
		case VHU_RECV_AGAIN:
			if (wait_for(fe, POLLIN, deadline_ns, err) < 0)
				return -1;
			break;
		case VHU_RECV_EOF:
			return vc_fail(err, VC_E_PEER, 0,
				       "the backend hung up");
		case VHU_RECV_ERROR:
			return -1;
		case VHU_RECV_MSG:
			if (fe->chan.msg.request != request)
				return vc_fail(
					err, VC_E_PEER, 0,
					"answered with a reply to %s",
					vhu_request_name(VHU_REPLY_OF_BACKEND,
							 fe->chan.msg.request));
			return 0;
		}
	}
}

/* Send and, if `has_reply`, wait: the reply is then in fe->chan.msg. A failure
 * is the end of the connection. */
static int exchange(struct vc_vhu_frontend *fe, const struct vhu_msg *msg,
		    const int *fds, size_t nr_fds, bool has_reply,
		    struct vc_error *err)
{
	uint64_t deadline = vc_now_ns() + (uint64_t)fe->timeout_ms * 1000000;
	struct vc_error e = { .code = VC_E_PEER, .msg = "connection is over" };

	if (fe->is_dead || check_quiet(fe, &e) < 0 ||
	    send_request(fe, msg, fds, nr_fds, deadline, &e) < 0 ||
	    (has_reply && recv_reply(fe, msg->request, deadline, &e) < 0)) {
		fe->is_dead = true;
		vc_prefix(&e, "vhost-user: %s",
			  vhu_request_name(VHU_TO_BACKEND, msg->request));
		if (err)
			*err = e;
		return -1;
	}
	return 0;
}

/* A request without a reply of its own: acknowledged where that was agreed. */
static int command(struct vc_vhu_frontend *fe, struct vhu_msg *msg,
		   const int *fds, size_t nr_fds, struct vc_error *err)
{
	bool has_ack = has_pf(fe, VHU_PF_REPLY_ACK);

	if (has_ack)
		msg->flags |= VHU_FLAG_NEED_REPLY;
	if (exchange(fe, msg, fds, nr_fds, has_ack, err) < 0)
		return -1;
	if (has_ack && fe->chan.msg.u64)
		return vc_fail(err, VC_E_PEER, 0,
			       "vhost-user: %s: the backend refused",
			       vhu_request_name(VHU_TO_BACKEND, msg->request));
	return 0;
}

static int get_u64(struct vc_vhu_frontend *fe, enum vhu_request request,
		   uint64_t *ret, struct vc_error *err)
{
	const struct vhu_msg msg = { .request = request, .kind = VHU_P_NONE };

	if (exchange(fe, &msg, NULL, 0, true, err) < 0)
		return -1;
	*ret = fe->chan.msg.u64;
	return 0;
}

static int set_u64(struct vc_vhu_frontend *fe, enum vhu_request request,
		   uint64_t value, struct vc_error *err)
{
	struct vhu_msg msg = { .request = request,
			       .kind = VHU_P_U64,
			       .u64 = value };

	return command(fe, &msg, NULL, 0, err);
}

static int set_state(struct vc_vhu_frontend *fe, enum vhu_request request,
		     unsigned qi, uint32_t num, struct vc_error *err)
{
	struct vhu_msg msg = { .request = request,
			       .kind = VHU_P_STATE,
			       .state = { qi, num } };

	return command(fe, &msg, NULL, 0, err);
}

/* --- the start ------------------------------------------------------------ */

static int make_request_channel(struct vc_vhu_frontend *fe,
				struct vc_error *err)
{
	struct vhu_msg msg = { .request = VHU_SET_BACKEND_REQ_FD,
			       .kind = VHU_P_NONE };
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vc_fail(err, VC_E_SYS, errno, "vhost-user: socketpair");
	rc = vhu_chan_init(&fe->requests, pair[0], VHU_TO_FRONTEND, err);
	fe->requests.sock = pair[0];
	if (rc == 0)
		rc = command(fe, &msg, &pair[1], 1, err);
	vc_close(&pair[1]);
	return rc;
}

static int learn_nr_queues(struct vc_vhu_frontend *fe, struct vc_error *err)
{
	uint64_t n;

	fe->max_queues = 1; /* what the protocol says without MQ */
	if (!has_pf(fe, VHU_PF_MQ))
		return 0;
	if (get_u64(fe, VHU_GET_QUEUE_NUM, &n, err) < 0)
		return -1;
	if (!n)
		return vc_fail(err, VC_E_PEER, 0,
			       "vhost-user: GET_QUEUE_NUM: no queue at all");
	fe->max_queues = (unsigned)vc_min_u64(n, VC_VIRTIO_MAX_QUEUES);
	return 0;
}

static int negotiate(struct vc_vhu_frontend *fe, struct vc_error *err)
{
	struct vhu_msg owner = { .request = VHU_SET_OWNER, .kind = VHU_P_NONE };
	const uint64_t protocol = UINT64_C(1) << VHU_F_PROTOCOL_FEATURES;
	uint64_t features, pf;

	if (get_u64(fe, VHU_GET_FEATURES, &features, err) < 0)
		return -1;
	fe->has_protocol = features & protocol;
	fe->features = features & ~protocol;
	if (fe->has_protocol) {
		if (get_u64(fe, VHU_GET_PROTOCOL_FEATURES, &pf, err) < 0)
			return -1;
		pf &= VHU_PROTOCOL_FEATURES;
		if (set_u64(fe, VHU_SET_PROTOCOL_FEATURES, pf, err) < 0)
			return -1;
		fe->protocol_features = pf;
	}
	if (command(fe, &owner, NULL, 0, err) < 0 ||
	    learn_nr_queues(fe, err) < 0)
		return -1;
	return has_pf(fe, VHU_PF_BACKEND_REQ) ? make_request_channel(fe, err)
					      : 0;
}

int vhu_frontend_new(int sock, int timeout_ms, struct vc_vhu_frontend **ret,
		     struct vc_error *err)
{
	struct vc_vhu_frontend *fe = calloc(1, sizeof(*fe));

	if (!fe)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vhost-user frontend");
	fe->timeout_ms = timeout_ms;
	fe->err_fd = -1;
	fe->requests.sock = -1;
	if (vhu_chan_init(&fe->chan, sock, VHU_REPLY_OF_BACKEND, err) < 0) {
		vc_vhu_frontend_free(fe);
		return -1;
	}
	fe->chan.sock = sock;
	if (negotiate(fe, err) < 0) {
		fe->chan.sock = -1; /* stays the caller's */
		vc_vhu_frontend_free(fe);
		return -1;
	}
	*ret = fe;
	return 0;
}

int vc_vhu_frontend_new(int sock, struct vc_vhu_frontend **ret,
			struct vc_error *err)
{
	return vhu_frontend_new(sock, VC_VHU_REPLY_TIMEOUT_MS, ret, err);
}

struct vc_vhu_frontend *vc_vhu_frontend_free(struct vc_vhu_frontend *fe)
{
	if (fe) {
		vhu_chan_fini(&fe->chan);
		vhu_chan_fini(&fe->requests);
		free(fe);
	}
	return NULL;
}

/* --- what is known -------------------------------------------------------- */

uint64_t vc_vhu_frontend_features(const struct vc_vhu_frontend *fe)
{
	return fe->features;
}

unsigned vc_vhu_frontend_max_queues(const struct vc_vhu_frontend *fe)
{
	return fe->max_queues;
}

int vc_vhu_frontend_get_fd(const struct vc_vhu_frontend *fe)
{
	return fe->chan.sock;
}

void vc_vhu_frontend_set_err_fd(struct vc_vhu_frontend *fe, int err_fd)
{
	fe->err_fd = err_fd;
}

/* --- device --------------------------------------------------------------- */

int vc_vhu_frontend_set_mem(struct vc_vhu_frontend *fe,
			    const struct vc_mem *mem, struct vc_error *err)
{
	struct vhu_msg msg = { .request = VHU_SET_MEM_TABLE,
			       .kind = VHU_P_MEM };
	int fds[VHU_MAX_REGIONS];
	size_t i, nr = vc_mem_nr_regions(mem);

	if (nr > VHU_MAX_REGIONS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "vhost-user: more than %d memory regions",
			       VHU_MAX_REGIONS);
	for (i = 0; i < nr; i++) {
		const struct vc_mem_region *r = vc_mem_region(mem, i);

		if (r->fd < 0)
			return vc_fail(err, VC_E_ARG, 0,
				       "vhost-user: memory without a file");
		fds[i] = r->fd;
		msg.mem.regions[i] =
			(struct vhu_region){ r->gpa, r->size_bytes,
					     VHU_USER_BASE + r->gpa,
					     r->fd_offset };
	}
	msg.mem.nr = (uint32_t)nr;
	return command(fe, &msg, fds, nr, err);
}

int vc_vhu_frontend_set_features(struct vc_vhu_frontend *fe, uint64_t features,
				 struct vc_error *err)
{
	if (fe->has_protocol)
		features |= UINT64_C(1) << VHU_F_PROTOCOL_FEATURES;
	return set_u64(fe, VHU_SET_FEATURES, features, err);
}

static int check_config(const struct vc_vhu_frontend *fe, uint32_t off,
			uint32_t len, struct vc_error *err)
{
	if (!vc_range_ok(off, len, VHU_MAX_CONFIG))
		return vc_fail(err, VC_E_ARG, 0,
			       "vhost-user: %u bytes of configuration at %u",
			       len, off);
	if (!has_pf(fe, VHU_PF_CONFIG))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "vhost-user: the backend has no configuration");
	return 0;
}

int vc_vhu_frontend_get_config(struct vc_vhu_frontend *fe, uint32_t off,
			       uint8_t *buf, uint32_t len, struct vc_error *err)
{
	struct vhu_msg msg = { .request = VHU_GET_CONFIG,
			       .kind = VHU_P_CONFIG,
			       .config = { off, len, 0, len, { 0 } } };
	const struct vhu_msg *reply = &fe->chan.msg;

	if (check_config(fe, off, len, err) < 0 ||
	    exchange(fe, &msg, NULL, 0, true, err) < 0)
		return -1;
	if (!reply->config.len && len)
		return vc_fail(err, VC_E_PEER, 0,
			       "vhost-user: GET_CONFIG: the backend refused");
	if (reply->config.len != len || reply->config.offset != off) {
		fe->is_dead = true;
		return vc_fail(
			err, VC_E_PEER, 0,
			"vhost-user: GET_CONFIG: another range came back");
	}
	memcpy(buf, reply->config.data, len);
	return 0;
}

int vc_vhu_frontend_set_config(struct vc_vhu_frontend *fe, uint32_t off,
			       const uint8_t *buf, uint32_t len,
			       struct vc_error *err)
{
	struct vhu_msg msg = { .request = VHU_SET_CONFIG,
			       .kind = VHU_P_CONFIG,
			       .config = { off, len, 0, len, { 0 } } };

	if (check_config(fe, off, len, err) < 0)
		return -1;
	memcpy(msg.config.data, buf, len);
	return command(fe, &msg, NULL, 0, err);
}

int vc_vhu_frontend_set_status(struct vc_vhu_frontend *fe, uint8_t status,
			       struct vc_error *err)
{
	return has_pf(fe, VHU_PF_STATUS)
		       ? set_u64(fe, VHU_SET_STATUS, status, err)
		       : 0;
}

int vc_vhu_frontend_reset(struct vc_vhu_frontend *fe, struct vc_error *err)
{
	struct vhu_msg msg = { .request = VHU_RESET_DEVICE,
			       .kind = VHU_P_NONE };

	return has_pf(fe, VHU_PF_RESET_DEVICE)
		       ? command(fe, &msg, NULL, 0, err)
		       : vc_vhu_frontend_set_status(fe, 0, err);
}

/* --- queues --------------------------------------------------------------- */

static int set_fd(struct vc_vhu_frontend *fe, enum vhu_request request,
		  unsigned qi, int fd, struct vc_error *err)
{
	struct vhu_msg msg = { .request = request,
			       .kind = VHU_P_U64,
			       .u64 = fd < 0 ? qi | VHU_VRING_NO_FD : qi };

	return command(fe, &msg, &fd, fd < 0 ? 0 : 1, err);
}

int vc_vhu_frontend_start_queue(struct vc_vhu_frontend *fe, unsigned qi,
				const struct vc_vhu_queue *q,
				struct vc_error *err)
{
	struct vhu_msg addr = {
		.request = VHU_SET_VRING_ADDR,
		.kind = VHU_P_ADDR,
		.addr = { .index = qi,
			  .desc = VHU_USER_BASE + q->desc,
			  .used = VHU_USER_BASE + q->used,
			  .avail = VHU_USER_BASE + q->avail },
	};

	if (qi >= fe->max_queues)
		return vc_fail(err, VC_E_ARG, 0, "vhost-user: queue %u of %u",
			       qi, fe->max_queues);
	if (set_state(fe, VHU_SET_VRING_NUM, qi, q->size, err) < 0 ||
	    set_state(fe, VHU_SET_VRING_BASE, qi, q->base, err) < 0 ||
	    command(fe, &addr, NULL, 0, err) < 0)
		return -1;
	if (fe->err_fd >= 0 &&
	    set_fd(fe, VHU_SET_VRING_ERR, qi, fe->err_fd, err) < 0)
		return -1;
	if (set_fd(fe, VHU_SET_VRING_CALL, qi, q->call_fd, err) < 0 ||
	    set_fd(fe, VHU_SET_VRING_KICK, qi, q->kick_fd, err) < 0)
		return -1;
	return fe->has_protocol
		       ? set_state(fe, VHU_SET_VRING_ENABLE, qi, 1, err)
		       : 0;
}

int vc_vhu_frontend_stop_queue(struct vc_vhu_frontend *fe, unsigned qi,
			       uint16_t *ret_base, struct vc_error *err)
{
	const struct vhu_msg msg = { .request = VHU_GET_VRING_BASE,
				     .kind = VHU_P_STATE,
				     .state = { qi, 0 } };
	const struct vhu_msg *reply = &fe->chan.msg;

	if (exchange(fe, &msg, NULL, 0, true, err) < 0)
		return -1;
	if (reply->state.index != qi || reply->state.num > UINT16_MAX) {
		fe->is_dead = true;
		return vc_fail(err, VC_E_PEER, 0,
			       "vhost-user: GET_VRING_BASE: queue %u at %u for "
			       "queue %u",
			       reply->state.index, reply->state.num, qi);
	}
	*ret_base = (uint16_t)reply->state.num;
	return 0;
}

/* --- the backend's own requests ------------------------------------------- */

void vc_vhu_frontend_on_config_change(struct vc_vhu_frontend *fe,
				      void (*fn)(void *opaque), void *opaque)
{
	fe->on_config_change = fn;
	fe->opaque = opaque;
}

int vc_vhu_frontend_get_request_fd(const struct vc_vhu_frontend *fe)
{
	return fe->requests.sock;
}

static int handle_request(struct vc_vhu_frontend *fe, struct vc_error *err)
{
	struct vhu_msg reply = fe->requests.msg;

	/* the one row of the table; more need a switch */
	assert(reply.request == VHU_BACKEND_CONFIG_CHANGE);
	if (fe->on_config_change)
		fe->on_config_change(fe->opaque);
	if (!(reply.flags & VHU_FLAG_NEED_REPLY) ||
	    !has_pf(fe, VHU_PF_REPLY_ACK))
		return 0;
	reply.flags = VHU_FLAG_REPLY;
	reply.kind = VHU_P_U64;
	reply.u64 = 0;
	return vhu_chan_send(&fe->requests, &reply, NULL, 0, err);
}

int vc_vhu_frontend_handle_requests(struct vc_vhu_frontend *fe,
				    struct vc_error *err)
{
	int i;

	for (i = 0; i < REQUESTS_PER_CALL && fe->requests.sock >= 0; i++) {
		switch (vhu_chan_recv(&fe->requests, err)) {
		case VHU_RECV_AGAIN:
			return 0;
		case VHU_RECV_EOF:
			return vc_fail(err, VC_E_PEER, 0,
				       "vhost-user: the backend hung up");
		case VHU_RECV_ERROR:
			return vc_prefix(err, "vhost-user: backend's request");
		case VHU_RECV_MSG:
			if (handle_request(fe, err) < 0)
				return vc_prefix(err, "vhost-user: answer");
		}
	}
	return 0;
}
