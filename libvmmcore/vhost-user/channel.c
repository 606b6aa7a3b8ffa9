/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages over a non-blocking stream socket. A message is read in two steps,
 * header then payload, each asking the kernel for exactly the bytes that are
 * missing: a read never reaches into the next message, so descriptors always
 * belong to the message being read. A peer that sends half a message costs
 * us nothing but the memory of the channel.
 *
 * Descriptors are collected while a message comes in, one more than any message
 * may have, so that too many are noticed; everything not taken by the reader of
 * the message is closed when the next one begins or the channel ends.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <vmmcore/util.h>
#include "vhost-user/channel.h"

static void close_fds(struct vhu_chan *chan)
{
	size_t i;

	for (i = 0; i < chan->nr_fds; i++)
		vc_close(&chan->fds[i]);
	chan->nr_fds = 0;
}

int vhu_chan_init(struct vhu_chan *chan, int sock, enum vhu_side reads,
		  struct vc_error *err)
{
	chan->sock = -1;
	chan->reads = reads;
	chan->have = 0;
	chan->has_header = false;
	chan->nr_fds = 0;
	return vc_set_nonblock(sock, err);
}

void vhu_chan_fini(struct vhu_chan *chan)
{
	close_fds(chan);
	vc_close(&chan->sock);
}

/* Read until chan->have is `want`. VHU_RECV_MSG: it is. */
static enum vhu_recv fill(struct vhu_chan *chan, size_t want,
			  struct vc_error *err)
{
	while (chan->have < want) {
		size_t got_fds;
		ssize_t n = vc_recv_fds(chan->sock, chan->buf + chan->have,
					want - chan->have, 0,
					chan->fds + chan->nr_fds,
					VC_ARRAY_SIZE(chan->fds) - chan->nr_fds,
					&got_fds);

		chan->nr_fds += got_fds;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return VHU_RECV_AGAIN;
		if (n < 0 && errno == ECONNRESET)
			n = 0; /* gone without reading what we sent */
		if (n < 0) {
			vc_fail(err, VC_E_SYS, errno, "receive");
			return VHU_RECV_ERROR;
		}
		if (n == 0 && !chan->have)
			return VHU_RECV_EOF;
		if (n == 0) {
			vc_fail(err, VC_E_PEER, 0,
				"hung up in the middle of a message");
			return VHU_RECV_ERROR;
		}
		chan->have += (size_t)n;
		if (chan->nr_fds > VC_VHU_MAX_FDS) {
			vc_fail(err, VC_E_PEER, 0,
				"more than %d descriptors with a message",
				VC_VHU_MAX_FDS);
			return VHU_RECV_ERROR;
		}
	}
	return VHU_RECV_MSG;
}

enum vhu_recv vhu_chan_recv(struct vhu_chan *chan, struct vc_error *err)
{
	enum vhu_recv r;

	if (!chan->have)
		close_fds(chan); /* what nobody took of the message before */
	if (!chan->has_header) {
		r = fill(chan, VHU_HEADER_BYTES, err);
		if (r != VHU_RECV_MSG)
			return r;
		if (vhu_parse_header(chan->reads, chan->buf, &chan->msg, err) <
		    0)
			return VHU_RECV_ERROR;
		assert(chan->msg.size_bytes <= VC_VHU_MAX_PAYLOAD);
		chan->has_header = true;
	}
	r = fill(chan, VHU_HEADER_BYTES + chan->msg.size_bytes, err);
	if (r != VHU_RECV_MSG)
		return r;
	if (vhu_parse_payload(chan->reads, chan->buf + VHU_HEADER_BYTES,
			      chan->nr_fds, &chan->msg, err) < 0)
		return VHU_RECV_ERROR;
	chan->have = 0;
	chan->has_header = false;
	return VHU_RECV_MSG;
}

int vhu_chan_take_fd(struct vhu_chan *chan, size_t i)
{
	return i < chan->nr_fds ? vc_steal_fd(&chan->fds[i]) : -1;
}

int vhu_chan_send(struct vhu_chan *chan, const struct vhu_msg *msg,
		  const int *fds, size_t nr_fds, struct vc_error *err)
{
	uint8_t buf[VHU_MAX_BYTES];
	size_t len = vhu_encode(msg, buf);
	ssize_t n = vc_send_fds(chan->sock, buf, len, fds, nr_fds);

	if (n < 0)
		return vc_fail(err, VC_E_PEER, errno, "send");
	/* messages are far smaller than a socket buffer's unit */
	if ((size_t)n != len)
		return vc_fail(err, VC_E_PEER, 0, "send: cut short");
	return 0;
}
