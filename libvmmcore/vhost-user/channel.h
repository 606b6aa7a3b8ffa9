/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of a vhost-user socket: messages with their descriptors, whole or
 * not at all. Never blocks. */
#ifndef VHOST_USER_CHANNEL_H
#define VHOST_USER_CHANNEL_H

#include "vhost-user/message.h"

enum vhu_recv {
	VHU_RECV_MSG,	/* a whole message is in chan->msg */
	VHU_RECV_AGAIN, /* no more bytes for now */
	VHU_RECV_EOF,	/* the peer hung up between two messages */
	VHU_RECV_ERROR, /* see err: the channel is of no more use */
};

struct vhu_chan {
	int sock; /* owned */
	enum vhu_side reads;
	/* the message being received */
	size_t have; /* bytes of it */
	bool has_header;
	size_t nr_fds;
	int fds[VC_VHU_MAX_FDS +
		1]; /* owned until taken; one more than may be */
	struct vhu_msg msg;
	uint8_t buf[VHU_MAX_BYTES];
};

/* `sock` is not taken yet: set chan->sock when all else has succeeded. */
int vhu_chan_init(struct vhu_chan *chan, int sock, enum vhu_side reads,
		  struct vc_error *err) VC_MUST_CHECK;
void vhu_chan_fini(struct vhu_chan *chan);

/* Go on receiving. After VHU_RECV_MSG the message and what is left of its
 * descriptors stay until the next call. */
enum vhu_recv vhu_chan_recv(struct vhu_chan *chan, struct vc_error *err);
/* The message's descriptor `i`, now the caller's; -1 if there is none. */
int vhu_chan_take_fd(struct vhu_chan *chan, size_t i);

/* Send a message whole. VC_E_PEER with sys EAGAIN when the peer does not read:
 * nothing was sent then. */
int vhu_chan_send(struct vhu_chan *chan, const struct vhu_msg *msg,
		  const int *fds, size_t nr_fds,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
