/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vsock (virtio 1.2, 5.10) inside: shared by vsock.c (queues, packets,
 * timer), vsock_conn.c (one connection) and vsock_host.c (where connections
 * come from on the host's side). Theory of operation: vsock.c.
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include <vmmcore/endian.h>
#include "virtio/device.h"

#define VSOCK_MAX_CONNS 1024 /* power of two: also the size of the hash */
#define VSOCK_BUF_BYTES (128u << 10) /* guest to host, of one connection */
#define VSOCK_MAX_DIALS 64	     /* unanswered, on dial_fd */
#define VSOCK_MAX_RSTS 1024	     /* waiting for a buffer; power of two */
/* Above this many the driver's packets wait until it has taken some. */
#define VSOCK_STALL_RSTS (VSOCK_MAX_RSTS / 2)
#define VSOCK_MAX_READS 16 /* of one socket before the others' turn */
#define VSOCK_MAX_TX 512   /* packets of the driver before anything else */
#define VSOCK_LINE_MAX 32  /* "CONNECT <port>\n", all of it */
#define VSOCK_HOST_CID 2
#define VSOCK_FIRST_PORT (UINT32_C(1) << 30) /* ours: [2^30, 2^31) */

#define VSOCK_HELLO_NS (UINT64_C(5) * 1000000000)    /* client's first line */
#define VSOCK_CONNECT_NS (UINT64_C(10) * 1000000000) /* guest's answer */
#define VSOCK_DIAL_NS (UINT64_C(10) * 1000000000)    /* dial_fd's answer */
#define VSOCK_CLOSE_NS (UINT64_C(8) * 1000000000)    /* guest's RST */
#define VSOCK_ACCEPT_NS (UINT64_C(1) * 1000000000)   /* out of descriptors */

enum vsock_queue { VSOCK_Q_RX, VSOCK_Q_TX, VSOCK_Q_EVENT, VSOCK_NR_QUEUES };

/* 5.10.6 */
struct vsock_hdr {
	le64_t src_cid, dst_cid;
	le32_t src_port, dst_port, len;
	le16_t type, op;
	le32_t flags, buf_alloc, fwd_cnt;
};
_Static_assert(sizeof(struct vsock_hdr) == 44, "virtio 1.2, 5.10.6");

#define VSOCK_TYPE_STREAM 1
enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN,
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
};
#define VSOCK_SHUT_RCV 1u
#define VSOCK_SHUT_SEND 2u
#define VSOCK_SHUT_BOTH 3u

/* What a connection has to say to the guest. */
#define SAY_REQUEST 1u
#define SAY_RESPONSE 2u
#define SAY_DATA 4u /* the host's socket may have some */
#define SAY_SHUTDOWN 8u
#define SAY_CREDIT 16u
#define SAY_ASK_CREDIT 32u

enum vsock_state {
	VSOCK_FREE,
	VSOCK_HELLO,	  /* a client has not yet said where to */
	VSOCK_CONNECTING, /* the guest was asked */
	VSOCK_DIALING,	  /* the host was asked */
	VSOCK_OPEN,
	VSOCK_CLOSING,	/* host's side gone: waiting for the guest's RST */
	VSOCK_DRAINING, /* guest's side gone: the host still has data to take */
};

struct vsock;

struct vsock_conn {
	struct vsock *vs; /* borrowed; the owner */
	enum vsock_state state;
	int fd; /* owned; -1: none */
	struct vc_watch watch;
	uint32_t host_port, guest_port;
	struct vsock_conn *hash_next, *free_next, *say_next, *say_prev;
	uint64_t deadline_ns; /* 0: none */

	unsigned say;
	bool is_listed;	   /* among those with a say */
	unsigned nr_reads; /* since its socket was last polled */
	bool asked_guest;  /* REQUEST was sent */
	bool asked_credit; /* and nothing was heard since */
	bool host_eof;	   /* no more to read from fd */
	bool host_hup;	   /* the host's end is closed */
	bool host_deaf;	   /* what the guest sends is dropped */
	bool is_hashed;
	unsigned guest_shut; /* what the guest has shut down */
	unsigned host_shut;  /* said or to be said to the guest */

	/* host to guest */
	uint32_t peer_alloc, peer_fwd, tx_cnt;
	/* guest to host: a ring of VSOCK_BUF_BYTES, for what fd does not take
	 * at once */
	uint8_t *buf; /* borrowed, of vs->bufs */
	uint32_t buf_at, buf_len;
	uint32_t fwd_cnt, told_fwd;

	char line[VSOCK_LINE_MAX];
	unsigned line_len;
};

struct vsock_rst {
	uint64_t src_cid;
	uint32_t src_port, dst_port;
	uint16_t type;
};

struct vsock {
	struct vc_virtio_dev dev;
	uint64_t guest_cid;
	int listen_fd, dial_fd; /* owned */
	struct vc_watch listen_watch, dial_watch;
	struct vc_timer timer;
	bool has_timer;
	uint64_t timer_ns; /* when it fires; 0: stopped */
	uint64_t accept_again_ns;
	uint32_t next_port;

	bool was_started[VSOCK_NR_QUEUES]; /* in this process */
	bool owes_reset;		   /* TRANSPORT_RESET is to be sent */
	bool is_tx_stalled; /* too many RSTs wait, or too many packets came */
	unsigned nr_conns, nr_deadlines;

	/* connections that were used and are free, a stack, and how many of
	 * conns[] were ever used */
	struct vsock_conn *free_conns;
	unsigned nr_ever;
	struct vsock_conn *first_say, *last_say; /* a queue */
	struct vsock_conn *hash[VSOCK_MAX_CONNS];
	/* in the order asked; NULL: nobody waits for it any more */
	struct vsock_conn *dials[VSOCK_MAX_DIALS];
	unsigned first_dial, nr_dials;
	struct vsock_rst rsts[VSOCK_MAX_RSTS];
	unsigned first_rst, nr_rsts;

	struct vsock_conn conns[VSOCK_MAX_CONNS];
	uint8_t *bufs; /* VSOCK_MAX_CONNS * VSOCK_BUF_BYTES, touched on use */
	struct vc_vq_chain rx, tx;
};

/* --- vsock.c --------------------------------------------------------------- */

/* Send what there is to send to the guest. Call it last, after anything that
 * may have given a connection something to say; frees connections. */
void vsock_flush(struct vsock *vs);
/* Queue an RST that belongs to no connection. */
void vsock_rst(struct vsock *vs, uint64_t src_cid, uint32_t src_port,
	       uint32_t dst_port, uint16_t type);
/* Set (`delay_ns` from now) or clear (0) a connection's deadline. */
void vsock_set_deadline(struct vsock_conn *c, uint64_t delay_ns);
/* See to it that the timer fires no later than `at_ns`. */
void vsock_timer_at(struct vsock *vs, uint64_t at_ns);

/* --- vsock_conn.c ---------------------------------------------------------- */

/* NULL if all are taken. `fd` (owned on success) may be -1. */
struct vsock_conn *vsock_conn_new(struct vsock *vs, enum vsock_state state,
				  int fd);
void vsock_conn_free(struct vsock_conn *c);
/* Tell the guest it is over, then free. */
void vsock_conn_reset(struct vsock_conn *c);
struct vsock_conn *vsock_conn_find(struct vsock *vs, uint32_t host_port,
				   uint32_t guest_port);
void vsock_conn_hash(struct vsock_conn *c);
/* Queue up to say `what` as well. */
void vsock_conn_say(struct vsock_conn *c, unsigned what);
void vsock_conn_unlist(struct vsock_conn *c);
/* Watch `fd` for what the state needs. */
void vsock_conn_update(struct vsock_conn *c);
/* A packet of the guest; `iov` is its data, hdr->len bytes or more. May free. */
void vsock_conn_input(struct vsock_conn *c, const struct vsock_hdr *hdr,
		      const struct iovec *iov, int nr_iov);
/* Compose the next packet: op and flags of `hdr`, and its data, at most `room`
 * bytes, in `data`; its length in *ret_len. False: nothing to say now. */
bool vsock_conn_output(struct vsock_conn *c, uint8_t *data, size_t room,
		       enum vsock_op *ret_op, uint32_t *ret_flags,
		       uint32_t *ret_len);
/* The deadline has passed. May free. */
void vsock_conn_expire(struct vsock_conn *c);

/* --- vsock_host.c ---------------------------------------------------------- */

/* Watch listen_fd if a connection can be taken. */
void vsock_host_listen(struct vsock *vs);
/* The client of a connection in state HELLO has sent something. May free. */
void vsock_host_hello(struct vsock_conn *c);
/* The guest accepted: tell the client. False: it is gone. */
bool vsock_host_hello_ok(struct vsock_conn *c);
/* Ask for a connection to `c->host_port`; false: not possible. */
bool vsock_host_dial(struct vsock_conn *c);
void vsock_host_forget_dial(struct vsock_conn *c);
/* No more dialling; those who wait are reset. */
void vsock_host_end_dial(struct vsock *vs);
void vsock_host_on_dial(struct vc_watch *w, uint32_t events);

#endif
