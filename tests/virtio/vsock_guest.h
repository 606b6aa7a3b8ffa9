/* SPDX-License-Identifier: BSD-3-Clause */
/* A vsock driver on the fake guest, and the host's side of its sockets. One at
 * a time. Whatever a test did not ask for fails it. */
#ifndef TESTS_VIRTIO_VSOCK_GUEST_H
#define TESTS_VIRTIO_VSOCK_GUEST_H

#include <vmmcore/endian.h>
#include "tests/virtio/fake_guest.h"

enum { VG_RX, VG_TX, VG_EVENT };
enum {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST
};
#define VG_CID 77
#define VG_DATA 4096 /* bytes of data an rx buffer takes */

struct vg_hdr {
	le64_t src_cid, dst_cid;
	le32_t src_port, dst_port, len;
	le16_t type, op;
	le32_t flags, buf_alloc, fwd_cnt;
};
struct vg_pkt {
	uint64_t src_cid;
	uint32_t host_port, guest_port, len, flags, buf_alloc, fwd_cnt;
	unsigned type, op;
	uint8_t data[VG_DATA];
};

extern struct fg *vg_fg;
extern uint32_t vg_alloc, vg_fwd; /* said in every packet sent */

/* Make the device and its queues. `nr_rx` buffers are posted and posted again
 * when used. With `has_dial`, *ret_dial is the outer end of dial_fd. */
void vg_start(unsigned nr_rx, int *ret_dial);
void vg_queues(unsigned nr_rx); /* after a reset */
void vg_stop(void);

/* The next packet. */
bool vg_recv_within(struct vg_pkt *p, int timeout_ms);
/* It must be `op` of this connection. CREDIT_UPDATEs in between are skipped
 * unless one is asked for. */
void vg_expect(struct vg_pkt *p, unsigned op, uint32_t host_port,
	       uint32_t guest_port);
void vg_expect_nothing(void);
struct vg_hdr vg_hdr(unsigned op, uint32_t host_port, uint32_t guest_port,
		     uint32_t flags, uint32_t len);
/* Send a header as it is, with `bytes` of data behind it. */
void vg_send_raw(const struct vg_hdr *h, const void *data, uint32_t bytes);
void vg_send(unsigned op, uint32_t host_port, uint32_t guest_port,
	     uint32_t flags, const void *data, uint32_t len);

/* A client of the listening socket. */
int vg_client(void);
void vg_write(int fd, const void *data, size_t len);
void vg_read(int fd, void *buf, size_t len); /* exactly */
void vg_expect_eof(int fd);		     /* or a reset */
/* The whole way: a client joined to the guest's `port`. */
int vg_connect(uint32_t guest_port, uint32_t *ret_host_port);

/* A pattern that tells where in a stream it is. */
void vg_fill(uint8_t *buf, size_t len, size_t at);
/* The client does not read: send what there is credit for, `alloc` and what
 * more is announced. Returns the bytes sent. */
uint32_t vg_fill_credit(uint32_t host_port, uint32_t guest_port,
			uint32_t alloc);

#endif
