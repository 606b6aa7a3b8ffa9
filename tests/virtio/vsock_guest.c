/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/vsock_guest.h"

#define MAX_RX 64
#define QSIZE 128
#define RAM_BYTES ((size_t)64 << 20) /* chains are never given back */

struct fg *vg_fg;
uint32_t vg_alloc, vg_fwd;

static struct {
	struct vg_hdr hdr;
	uint8_t data[VG_DATA];
	uint16_t head;
} rx[MAX_RX];
static unsigned nr_rx;
static struct sockaddr_un addr;
static socklen_t addr_len;

static int listening_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	/* the kernel finds a name that is in no file system */
	addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	addr_len = sizeof(sa_family_t);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, addr_len), 0);
	addr_len = sizeof(addr);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &addr_len),
			 0);
	ck_assert_int_eq(listen(fd, 128), 0);
	return fd;
}

static void post(unsigned i)
{
	struct fg_seg segs[] = { { FG_IN, &rx[i].hdr, sizeof(rx[i].hdr) },
				 { FG_IN, rx[i].data, VG_DATA } };

	rx[i].head = fg_chain(vg_fg, VG_RX, segs, 2);
	fg_kick(vg_fg, VG_RX);
}

void vg_queues(unsigned nr)
{
	unsigned i;

	ck_assert_uint_le(nr, MAX_RX);
	nr_rx = nr;
	fg_queue(vg_fg, VG_RX, QSIZE);
	fg_queue(vg_fg, VG_TX, QSIZE);
	fg_queue(vg_fg, VG_EVENT, 8);
	for (i = 0; i < nr; i++)
		post(i);
}

void vg_start(unsigned nr, int *ret_dial)
{
	struct vc_virtio_vsock_opts o = { .guest_cid = VG_CID,
					  .listen_fd = listening_socket(),
					  .dial_fd = -1 };
	struct vc_virtio_dev *dev;
	struct vc_error err;
	int pair[2];

	if (ret_dial) {
		ck_assert_int_eq(socketpair(AF_UNIX,
					    SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
					    pair),
				 0);
		o.dial_fd = pair[0];
		*ret_dial = pair[1];
	}
	vg_alloc = 256 << 10;
	vg_fwd = 0;
	vg_fg = fg_new(RAM_BYTES);
	ck_ok(vc_virtio_vsock_new(fg_loop(vg_fg), &o, &dev, &err), &err);
	fg_attach(vg_fg, dev, 0);
	vg_queues(nr);
}

void vg_stop(void)
{
	fg_free(vg_fg);
	vg_fg = NULL;
}

bool vg_recv_within(struct vg_pkt *p, int timeout_ms)
{
	uint32_t used;
	int head = fg_used_within(vg_fg, VG_RX, &used, timeout_ms);
	const struct vg_hdr *h;
	unsigned i;

	if (head < 0)
		return false;
	for (i = 0; i < nr_rx && rx[i].head != head; i++)
		;
	ck_assert_uint_lt(i, nr_rx);
	h = &rx[i].hdr;
	*p = (struct vg_pkt){
		.src_cid = le64_get(h->src_cid),
		.host_port = le32_get(h->src_port),
		.guest_port = le32_get(h->dst_port),
		.len = le32_get(h->len),
		.flags = le32_get(h->flags),
		.buf_alloc = le32_get(h->buf_alloc),
		.fwd_cnt = le32_get(h->fwd_cnt),
		.type = le16_get(h->type),
		.op = le16_get(h->op),
	};
	ck_assert_uint_eq(le64_get(h->dst_cid), VG_CID);
	ck_assert_uint_eq(used, sizeof(*h) + p->len);
	ck_assert_uint_le(p->len, VG_DATA);
	ck_assert(p->op == OP_RW || !p->len);
	memcpy(p->data, rx[i].data, p->len);
	post(i);
	return true;
}

void vg_expect(struct vg_pkt *p, unsigned op, uint32_t host_port,
	       uint32_t guest_port)
{
	do
		ck_assert_msg(vg_recv_within(p, FG_TIMEOUT_MS),
			      "no packet, expected op %u", op);
	while (p->op == OP_CREDIT_UPDATE && op != OP_CREDIT_UPDATE);
	ck_assert_uint_eq(p->op, op);
	ck_assert_uint_eq(p->src_cid, 2);
	ck_assert_uint_eq(p->type, 1);
	ck_assert_uint_eq(p->host_port, host_port);
	ck_assert_uint_eq(p->guest_port, guest_port);
}

void vg_expect_nothing(void)
{
	struct vg_pkt p;

	ck_assert(!vg_recv_within(&p, 50));
}

struct vg_hdr vg_hdr(unsigned op, uint32_t host_port, uint32_t guest_port,
		     uint32_t flags, uint32_t len)
{
	return (struct vg_hdr){
		.src_cid = le64_put(VG_CID),
		.dst_cid = le64_put(2),
		.src_port = le32_put(guest_port),
		.dst_port = le32_put(host_port),
		.len = le32_put(len),
		.type = le16_put(1),
		.op = le16_put((uint16_t)op),
		.flags = le32_put(flags),
		.buf_alloc = le32_put(vg_alloc),
		.fwd_cnt = le32_put(vg_fwd),
	};
}

void vg_send_raw(const struct vg_hdr *h, const void *data, uint32_t bytes)
{
	struct vg_hdr copy = *h;
	static uint8_t buf[1 << 17];
	struct fg_seg segs[] = { { FG_OUT, &copy, sizeof(copy) },
				 { FG_OUT, buf, bytes } };

	ck_assert_uint_le(bytes, sizeof(buf));
	if (bytes)
		memcpy(buf, data, bytes);
	ck_assert_uint_eq(fg_do(vg_fg, VG_TX, segs, bytes ? 2 : 1), 0);
}

void vg_send(unsigned op, uint32_t host_port, uint32_t guest_port,
	     uint32_t flags, const void *data, uint32_t len)
{
	struct vg_hdr h = vg_hdr(op, host_port, guest_port, flags, len);

	vg_send_raw(&h, data, len);
}

int vg_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, addr_len), 0);
	return fd;
}

void vg_write(int fd, const void *data, size_t len)
{
	ck_assert_int_eq(vc_write_full(fd, data, len), 0);
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ck_assert_msg(poll(&p, 1, FG_TIMEOUT_MS) == 1, "nothing to read");
}

void vg_read(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len) {
		ssize_t n;

		wait_readable(fd);
		n = read(fd, at, len);
		ck_assert_msg(n > 0, "%zu bytes missing", len);
		at += n;
		len -= (size_t)n;
	}
}

void vg_expect_eof(int fd)
{
	ssize_t n;
	char c;

	wait_readable(fd);
	n = read(fd, &c, 1);
	ck_assert(n == 0 || (n < 0 && errno == ECONNRESET));
}

int vg_connect(uint32_t guest_port, uint32_t *ret_host_port)
{
	int fd = vg_client();
	struct vg_pkt p;
	char text[64], want[64];
	int n = snprintf(text, sizeof(text), "CONNECT %u\n", guest_port);

	vg_write(fd, text, (size_t)n);
	do /* connections of before may still be ending */
		ck_assert(vg_recv_within(&p, FG_TIMEOUT_MS));
	while (p.op == OP_SHUTDOWN);
	ck_assert_uint_eq(p.op, OP_REQUEST);
	ck_assert_uint_eq(p.guest_port, guest_port);
	ck_assert_uint_ge(p.buf_alloc, 65536);
	vg_send(OP_RESPONSE, p.host_port, guest_port, 0, NULL, 0);
	n = snprintf(want, sizeof(want), "OK %u\n", p.host_port);
	vg_read(fd, text, (size_t)n);
	ck_assert_mem_eq(text, want, (size_t)n);
	*ret_host_port = p.host_port;
	return fd;
}

void vg_fill(uint8_t *buf, size_t len, size_t at)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)((at + i) * 5 + ((at + i) >> 8));
}

uint32_t vg_fill_credit(uint32_t host_port, uint32_t guest_port, uint32_t alloc)
{
	static uint8_t buf[16384];
	struct vg_pkt p;
	uint32_t sent = 0, fwd = 0;

	for (;;) {
		uint32_t n = alloc - (sent - fwd);

		if (!n && !vg_recv_within(&p, 200))
			return sent;
		if (!n) {
			ck_assert_uint_eq(p.op, OP_CREDIT_UPDATE);
			fwd = p.fwd_cnt;
			continue;
		}
		if (n > sizeof(buf))
			n = sizeof(buf);
		vg_fill(buf, n, sent);
		vg_send(OP_RW, host_port, guest_port, 0, buf, n);
		sent += n;
	}
}
