/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vsock (virtio 1.2, 5.10), streams, joined to Unix sockets of the host.
 *
 *	guest  <- rx queue, tx queue, event queue ->  vsock.c
 *	                                                 |
 *	              table of connections, a ring each: vsock_conn.c
 *	                                                 |
 *	clients of listen_fd, answers of dial_fd:        vsock_host.c
 *
 * A packet of the guest (tx queue) is dealt with at once and its buffer given
 * back: data goes to the socket or to the connection's ring, whose size is the
 * credit that the guest has. What is to be sent to the guest (rx queue) is not
 * stored: a connection notes *what* it has to say, queues up, and composes the
 * packet when it is its turn and the guest has a buffer. RSTs for what is no
 * connection of ours have a queue of their own, of limited length; when it is
 * long, packets of the guest wait, so a guest that provokes RSTs and takes none
 * only stops itself.
 *
 * Everything is a table of fixed size; nothing is allocated while it runs, and
 * memory that was never used is never touched. One timer serves all deadlines
 * and runs only while there is one.
 *
 * The guest's word is trusted for nothing: addresses other than its own are
 * dropped, and what does not fit the state of a connection, exceeds its credit
 * or is longer than its buffer resets that connection and no other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vmmcore/util.h>
#include "virtio/vsock.h"

#define VSOCK_QUEUE_SIZE 256
#define VSOCK_F_STREAM 0
#define VSOCK_MIN_CID 3
#define VSOCK_EVENT_TRANSPORT_RESET 0 /* 5.10.6.7 */
#define BUFS_BYTES ((size_t)VSOCK_MAX_CONNS * VSOCK_BUF_BYTES)

static struct vsock *to_vsock(struct vc_virtio_dev *dev)
{
	return vc_container_of(dev, struct vsock, dev);
}

static uint64_t vsock_features(const struct vc_virtio_dev *dev)
{
	(void)dev;
	return UINT64_C(1) << VSOCK_F_STREAM;
}

static size_t vsock_get_config(const struct vc_virtio_dev *dev, uint8_t *buf)
{
	const struct vsock *vs = (const void *)dev; /* the first member */
	le64_t cid = le64_put(vs->guest_cid);

	memcpy(buf, &cid, sizeof(cid));
	return sizeof(cid);
}

/* --- deadlines ------------------------------------------------------------- */

void vsock_timer_at(struct vsock *vs, uint64_t at_ns)
{
	uint64_t now = vc_now_ns();

	if (vs->timer_ns && vs->timer_ns <= at_ns)
		return;
	vs->timer_ns = at_ns;
	vc_timer_start(&vs->timer, at_ns > now ? at_ns - now : 0);
}

void vsock_set_deadline(struct vsock_conn *c, uint64_t delay_ns)
{
	struct vsock *vs = c->vs;

	vs->nr_deadlines -= c->deadline_ns != 0;
	c->deadline_ns = delay_ns ? vc_now_ns() + delay_ns : 0;
	vs->nr_deadlines += c->deadline_ns != 0;
	if (c->deadline_ns)
		vsock_timer_at(vs, c->deadline_ns);
	else if (!vs->nr_deadlines && !vs->accept_again_ns &&
		 !vs->is_tx_stalled && vs->timer_ns) {
		vc_timer_stop(&vs->timer);
		vs->timer_ns = 0;
	}
}

static void take_tx(struct vsock *vs);

static void on_timer(struct vc_timer *t)
{
	struct vsock *vs = vc_container_of(t, struct vsock, timer);
	uint64_t now = vc_now_ns();
	unsigned i;

	vs->timer_ns = 0;
	for (i = 0; i < vs->nr_ever; i++) {
		struct vsock_conn *c = &vs->conns[i];

		if (c->deadline_ns && c->deadline_ns <= now)
			vsock_conn_expire(c);
		else if (c->deadline_ns)
			vsock_timer_at(vs, c->deadline_ns);
	}
	if (vs->accept_again_ns && vs->accept_again_ns <= now) {
		vs->accept_again_ns = 0;
		vsock_host_listen(vs);
	} else if (vs->accept_again_ns) {
		vsock_timer_at(vs, vs->accept_again_ns);
	}
	if (vs->is_tx_stalled)
		take_tx(vs);
	vsock_flush(vs);
}

/* --- to the guest ---------------------------------------------------------- */

void vsock_rst(struct vsock *vs, uint64_t src_cid, uint32_t src_port,
	       uint32_t dst_port, uint16_t type)
{
	if (vs->nr_rsts == VSOCK_MAX_RSTS) {
		virtio_dev_warn(&vs->dev, "the guest takes no packets: "
					  "a reset was dropped");
		return;
	}
	vs->rsts[(vs->first_rst + vs->nr_rsts++) % VSOCK_MAX_RSTS] =
		(struct vsock_rst){ src_cid, src_port, dst_port, type };
}

/* Fill the chain vs->rx with a header and give it to the driver. */
static void send_packet(struct vsock *vs, const struct vsock_hdr *hdr)
{
	struct vc_vq_chain *c = &vs->rx;

	vc_iov_write(c->in, c->nr_in, 0, hdr, sizeof(*hdr));
	vc_vq_push(&vs->dev.vq[VSOCK_Q_RX], c->head,
		   (uint32_t)sizeof(*hdr) + le32_get(hdr->len));
}

static void send_rst(struct vsock *vs)
{
	const struct vsock_rst *r = &vs->rsts[vs->first_rst];
	struct vsock_hdr hdr = {
		.src_cid = le64_put(r->src_cid),
		.dst_cid = le64_put(vs->guest_cid),
		.src_port = le32_put(r->src_port),
		.dst_port = le32_put(r->dst_port),
		.type = le16_put(r->type),
		.op = le16_put(VSOCK_OP_RST),
	};

	vs->first_rst = (vs->first_rst + 1) % VSOCK_MAX_RSTS;
	vs->nr_rsts--;
	send_packet(vs, &hdr);
}

/* The longest piece of host memory behind the header in the chain. */
static uint8_t *data_room(const struct vc_vq_chain *c, size_t *ret_room)
{
	size_t skip = sizeof(struct vsock_hdr);
	int i;

	for (i = 0; i < c->nr_in; i++) {
		if (skip < c->in[i].iov_len) {
			*ret_room = c->in[i].iov_len - skip;
			return (uint8_t *)c->in[i].iov_base + skip;
		}
		skip -= c->in[i].iov_len;
	}
	return NULL; /* not for a chain pop_rx() let through */
}

/* The next packet of the connection at the head of the queue; false if it had
 * none. It goes to the tail if it has more. */
static bool send_next(struct vsock *vs)
{
	struct vsock_conn *c = vs->first_say;
	struct vsock_hdr hdr;
	enum vsock_op op;
	uint32_t flags, len;
	size_t room;
	uint8_t *data = data_room(&vs->rx, &room);
	bool has_packet;

	vsock_conn_unlist(c);
	has_packet =
		data && vsock_conn_output(c, data, room, &op, &flags, &len);
	if (has_packet) {
		hdr = (struct vsock_hdr){
			.src_cid = le64_put(VSOCK_HOST_CID),
			.dst_cid = le64_put(vs->guest_cid),
			.src_port = le32_put(c->host_port),
			.dst_port = le32_put(c->guest_port),
			.len = le32_put(len),
			.type = le16_put(VSOCK_TYPE_STREAM),
			.op = le16_put((uint16_t)op),
			.flags = le32_put(flags),
			.buf_alloc = le32_put(VSOCK_BUF_BYTES),
			.fwd_cnt = le32_put(c->fwd_cnt),
		};
		c->told_fwd = c->fwd_cnt;
		c->say &= ~SAY_CREDIT;
		send_packet(vs, &hdr);
	}
	if (c->say)
		vsock_conn_say(c, 0);
	vsock_conn_update(c);
	return has_packet;
}

static bool pop_rx(struct vsock *vs)
{
	if (!virtio_dev_pop(&vs->dev, VSOCK_Q_RX, &vs->rx))
		return false;
	if (vs->rx.nr_out || vs->rx.in_bytes <= sizeof(struct vsock_hdr)) {
		virtio_dev_reject(&vs->dev, VSOCK_Q_RX,
				  "a buffer that cannot take a packet");
		return false;
	}
	return true;
}

void vsock_flush(struct vsock *vs)
{
	struct vc_vq *vq = &vs->dev.vq[VSOCK_Q_RX];
	bool has_chain = false;

	while (vs->nr_rsts || vs->first_say) {
		if (!has_chain && !pop_rx(vs))
			break;
		has_chain = true;
		if (vs->nr_rsts) {
			send_rst(vs);
			has_chain = false;
		} else if (send_next(vs)) {
			has_chain = false;
		}
	}
	if (has_chain)
		vc_vq_unpop(vq);
	vc_vq_notify(vq);
	if (vs->is_tx_stalled && vs->nr_rsts < VSOCK_STALL_RSTS)
		vsock_timer_at(vs, vc_now_ns());
}

/* After a restart of this process, or of the whole VM from a snapshot, the
 * guest has connections we know nothing of: 5.10.6.7 has a word for it. */
static void send_reset_event(struct vsock *vs)
{
	struct vc_vq *vq = &vs->dev.vq[VSOCK_Q_EVENT];
	le32_t id = le32_put(VSOCK_EVENT_TRANSPORT_RESET);
	struct vc_vq_chain *c = &vs->rx;

	if (!vs->owes_reset || !virtio_dev_pop(&vs->dev, VSOCK_Q_EVENT, c))
		return;
	if (c->nr_out || c->in_bytes < sizeof(id)) {
		virtio_dev_reject(&vs->dev, VSOCK_Q_EVENT,
				  "a buffer that cannot take an event");
		return;
	}
	vc_iov_write(c->in, c->nr_in, 0, &id, sizeof(id));
	vc_vq_push(vq, c->head, sizeof(id));
	vc_vq_notify(vq);
	vs->owes_reset = false;
}

/* --- from the guest -------------------------------------------------------- */

static void rst_reply(struct vsock *vs, const struct vsock_hdr *hdr)
{
	if (le16_get(hdr->op) != VSOCK_OP_RST)
		vsock_rst(vs, le64_get(hdr->dst_cid), le32_get(hdr->dst_port),
			  le32_get(hdr->src_port), le16_get(hdr->type));
}

/* The guest connects to a port of the host. */
static void take_request(struct vsock *vs, const struct vsock_hdr *hdr)
{
	struct vsock_conn *c =
		vs->dial_fd < 0 ? NULL : vsock_conn_new(vs, VSOCK_DIALING, -1);

	if (!c) {
		rst_reply(vs, hdr);
		return;
	}
	c->host_port = le32_get(hdr->dst_port);
	c->guest_port = le32_get(hdr->src_port);
	c->peer_alloc = le32_get(hdr->buf_alloc);
	c->peer_fwd = le32_get(hdr->fwd_cnt);
	vsock_conn_hash(c);
	if (!vsock_host_dial(c))
		vsock_conn_reset(c);
}

static void take_packet(struct vsock *vs, const struct vsock_hdr *hdr,
			const struct iovec *iov, int nr_iov, uint64_t bytes)
{
	struct vsock_conn *c;

	if (le64_get(hdr->src_cid) != vs->guest_cid) {
		/* there is no one to answer */
		vs->dev.nr_guest_errors++;
		virtio_dev_warn(&vs->dev, "a packet from an address that is "
					  "not the guest's was dropped");
		return;
	}
	if (le64_get(hdr->dst_cid) != VSOCK_HOST_CID ||
	    le16_get(hdr->type) != VSOCK_TYPE_STREAM) {
		rst_reply(vs, hdr);
		return;
	}
	c = vsock_conn_find(vs, le32_get(hdr->dst_port),
			    le32_get(hdr->src_port));
	if (le32_get(hdr->len) > bytes && c)
		vsock_conn_reset(c);
	else if (le32_get(hdr->len) > bytes)
		rst_reply(vs, hdr);
	else if (c)
		vsock_conn_input(c, hdr, iov, nr_iov);
	else if (le16_get(hdr->op) == VSOCK_OP_REQUEST)
		take_request(vs, hdr);
	else
		rst_reply(vs, hdr);
}

static void take_tx(struct vsock *vs)
{
	struct vc_vq *vq = &vs->dev.vq[VSOCK_Q_TX];
	struct vc_vq_chain *c = &vs->tx;
	unsigned n = 0;

	vc_vq_disable_kicks(vq);
	for (;;) {
		struct vsock_hdr hdr;

		vs->is_tx_stalled =
			n++ == VSOCK_MAX_TX || vs->nr_rsts >= VSOCK_STALL_RSTS;
		if (vs->is_tx_stalled)
			break; /* vsock_flush() sees to it that it goes on */
		if (!virtio_dev_pop(&vs->dev, VSOCK_Q_TX, c))
			break;
		if (c->nr_in || c->out_bytes < sizeof(hdr)) {
			virtio_dev_reject(&vs->dev, VSOCK_Q_TX,
					  "a buffer that is no packet");
			break;
		}
		vc_iov_read(c->out, c->nr_out, 0, &hdr, sizeof(hdr));
		vc_iov_skip(&c->out, &c->nr_out, sizeof(hdr));
		take_packet(vs, &hdr, c->out, c->nr_out,
			    c->out_bytes - sizeof(hdr));
		vc_vq_push(vq, c->head, 0);
	}
	vc_vq_notify(vq);
}

/* --- the class ------------------------------------------------------------- */

static void vsock_kick(struct vc_virtio_dev *dev, unsigned qi)
{
	struct vsock *vs = to_vsock(dev);

	if (qi == VSOCK_Q_EVENT) {
		send_reset_event(vs);
		return;
	}
	if (qi == VSOCK_Q_TX)
		take_tx(vs);
	vsock_flush(vs);
}

static void vsock_start_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	struct vsock *vs = to_vsock(dev);

	/* a ring that was used before, by somebody who was not us */
	if (!vs->was_started[qi] && dev->vq[qi].next_avail)
		vs->owes_reset = true;
	vs->was_started[qi] = true;
	send_reset_event(vs);
	vsock_kick(dev, qi);
}

static void vsock_stop_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	/* nothing of any queue is kept between calls */
	(void)dev;
	(void)qi;
}

/* Forget everything the guest knows of. A client whose request the guest has
 * not seen goes on waiting: drivers begin with a reset. */
static void vsock_reset(struct vc_virtio_dev *dev)
{
	struct vsock *vs = to_vsock(dev);
	unsigned i;

	vs->nr_rsts = 0;
	vs->owes_reset = false;
	memset(vs->was_started, true, sizeof(vs->was_started));
	vs->is_tx_stalled = false;
	for (i = 0; i < vs->nr_ever; i++) {
		struct vsock_conn *c = &vs->conns[i];

		if (c->state == VSOCK_FREE || c->state == VSOCK_HELLO ||
		    c->state == VSOCK_DRAINING ||
		    (c->state == VSOCK_CONNECTING && !c->asked_guest))
			continue;
		vsock_conn_free(c);
	}
}

static void vsock_free(struct vc_virtio_dev *dev)
{
	struct vsock *vs = to_vsock(dev);
	unsigned i;

	vc_watch_remove(&vs->listen_watch);
	vc_close(&vs->listen_fd);
	for (i = 0; i < vs->nr_ever; i++)
		if (vs->conns[i].state != VSOCK_FREE)
			vsock_conn_free(&vs->conns[i]);
	vc_watch_remove(&vs->dial_watch);
	vc_close(&vs->dial_fd);
	if (vs->has_timer)
		vc_timer_fini(&vs->timer);
	if (vs->bufs)
		munmap(vs->bufs, BUFS_BYTES);
	free(vs);
}

static const struct vc_virtio_ops vsock_ops = {
	.name = "vsock",
	.id = VC_VIRTIO_ID_VSOCK,
	.features = vsock_features,
	.get_config = vsock_get_config,
	.start_queue = vsock_start_queue,
	.kick = vsock_kick,
	.stop_queue = vsock_stop_queue,
	.free = vsock_free,
	.reset = vsock_reset,
};

/* Rings of connections: reserved, not charged until they are used. */
static int map_bufs(struct vsock *vs, struct vc_error *err)
{
	void *p = mmap(NULL, BUFS_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return vc_fail(err, VC_E_SYS, errno, "virtio-vsock: buffers");
	vs->bufs = p;
	return 0;
}

int vc_virtio_vsock_new(struct vc_loop *loop,
			const struct vc_virtio_vsock_opts *o,
			struct vc_virtio_dev **ret, struct vc_error *err)
{
	vc_auto(vc_virtio) struct vc_virtio_dev *dev = NULL;
	struct vsock *vs;

	if (o->guest_cid < VSOCK_MIN_CID || o->guest_cid >= UINT32_MAX)
		return vc_fail(err, VC_E_ARG, 0,
			       "virtio-vsock: guest address %llu: not from 3 "
			       "to 4294967294",
			       (unsigned long long)o->guest_cid);
	vs = calloc(1, sizeof(*vs));
	if (!vs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "virtio-vsock");
	dev = &vs->dev;
	virtio_dev_init(dev, &vsock_ops, loop, VSOCK_NR_QUEUES,
			VSOCK_QUEUE_SIZE);
	vs->guest_cid = o->guest_cid;
	vs->listen_fd = vs->dial_fd = -1;
	vs->next_port = VSOCK_FIRST_PORT;
	if (map_bufs(vs, err) < 0 ||
	    vc_timer_init(&vs->timer, loop, on_timer, err) < 0)
		return -1;
	vs->has_timer = true;
	if (o->listen_fd >= 0 && vc_set_nonblock(o->listen_fd, err) < 0)
		return -1;
	if (o->dial_fd >= 0 &&
	    vc_watch_add(loop, &vs->dial_watch, o->dial_fd, EPOLLIN,
			 vsock_host_on_dial, err) < 0)
		return -1;
	vs->dial_fd = o->dial_fd;
	vs->listen_fd = o->listen_fd;
	vsock_host_listen(vs);
	*ret = vc_steal_ptr(&dev);
	return 0;
}
