/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest and a client say to virtio-vsock. The input is a list of steps,
 * a byte each and what belongs to it:
 *
 *	0..127	 a packet of the guest: 8 bytes choose op, ports, length, flags
 *		 and credit, so that connections are hit; the data follows
 *	128..191 a client writes that many bytes (less 128) of the input
 *	192..223 that many receive buffers (less 191) become available
 *	224..239 a client connects, or one hangs up (odd)
 *	240..255 the answer to a dial: refused, or connected (odd)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vmmcore/bytes.h>
#include <vmmcore/util.h>
#include <vmmcore/virtio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM 0x40000u
#define QSIZE 64u
#define QUEUE(qi) \
	(0x4000u * (qi)) /* descriptors, +0x1000 avail, +0x2000 used */
#define BUF(qi, i) (0x10000u + (qi)*0x10000u + (i)*1024u)
#define BUF_BYTES 1024u
#define CID 3
#define MAX_CLIENTS 8
#define MAX_STEPS 256

struct hdr {
	le64_t src_cid, dst_cid;
	le32_t src_port, dst_port, len;
	le16_t type, op;
	le32_t flags, buf_alloc, fwd_cnt;
};

struct desc {
	le64_t addr;
	le32_t len;
	le16_t flags, next;
};

struct world {
	struct vc_loop *loop;
	struct vc_mem *mem;
	struct vc_virtio_dev *dev;
	uint8_t *ram;
	int dial;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int clients[MAX_CLIENTS];
	uint16_t avail[2];
};

static void step(struct world *w)
{
	struct vc_error err;
	uint8_t junk[4096];
	int i;

	if (vc_loop_step(w->loop, 0, &err) < 0)
		abort();
	for (i = 0; i < MAX_CLIENTS; i += 2) /* the others do not read */
		if (w->clients[i] >= 0)
			while (recv(w->clients[i], junk, sizeof(junk),
				    MSG_DONTWAIT) > 0)
				;
}

static void make_available(struct world *w, unsigned qi, uint32_t len)
{
	uint16_t slot = w->avail[qi] % QSIZE;
	struct desc d = { le64_put(BUF(qi, slot)), le32_put(len),
			  le16_put(qi == 0 ? 2 : 0), le16_put(0) };
	uint8_t *q = w->ram + QUEUE(qi);
	le16_t head = le16_put(slot), idx;

	memcpy(q + sizeof(d) * slot, &d, sizeof(d));
	memcpy(q + 0x1004 + 2 * slot, &head, sizeof(head));
	idx = le16_put(++w->avail[qi]);
	memcpy(q + 0x1002, &idx, sizeof(idx));
	w->dev->ops->kick(w->dev, qi);
}

static uint16_t used_idx(const struct world *w, unsigned qi)
{
	le16_t idx;

	memcpy(&idx, w->ram + QUEUE(qi) + 0x2002, sizeof(idx));
	return le16_get(idx);
}

static void send_packet(struct world *w, struct vc_bytes *c, uint8_t kind)
{
	static const uint32_t host_ports[] = { 1u << 30, (1u << 30) + 1, 80,
					       81 };
	uint8_t b[8], *at = w->ram + BUF(1, w->avail[1] % QSIZE);
	struct hdr h = { .src_cid = le64_put(CID), .dst_cid = le64_put(2) };
	uint32_t len;

	if (!vc_bytes_get(c, b, sizeof(b)) ||
	    (uint16_t)(w->avail[1] - used_idx(w, 1)) >= QSIZE)
		return;
	len = b[1] * 4u;
	h.src_port = le32_put(b[2] & 1 ? 7 : b[2]);
	h.dst_port = le32_put(host_ports[b[3] % 4]);
	h.len = le32_put(b[4] & 0x80 ? (uint32_t)b[4] << 24 : len);
	h.type = le16_put(kind & 0x40 ? kind : 1);
	h.op = le16_put(b[0] % 10);
	h.flags = le32_put(b[4] & 3);
	h.buf_alloc = le32_put(b[5] * 1000u);
	h.fwd_cnt = le32_put((uint32_t)b[6] << (b[7] % 32));
	if (kind & 0x20)
		h.dst_cid = le64_put(b[7]);
	memcpy(at, &h, sizeof(h));
	vc_bytes_get(c, at + sizeof(h),
		     len < vc_bytes_left(c) ? len : vc_bytes_left(c));
	if (len > BUF_BYTES - sizeof(h))
		len = BUF_BYTES - (uint32_t)sizeof(h);
	make_available(w, 1, (uint32_t)sizeof(h) + len);
}

static void client(struct world *w, unsigned i)
{
	if (i % 2) {
		vc_close(&w->clients[i / 2]);
		return;
	}
	i /= 2;
	if (w->clients[i] >= 0)
		return;
	w->clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->clients[i] < 0 ||
	    connect(w->clients[i], (struct sockaddr *)&w->addr, w->addr_len) <
		    0)
		abort();
}

static void client_writes(struct world *w, struct vc_bytes *c, uint8_t n)
{
	uint8_t buf[64];
	int fd = w->clients[n % MAX_CLIENTS];

	if (vc_bytes_get(c, buf, n) && fd >= 0 &&
	    send(fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EBADF)
		abort();
}

static void answer_dial(struct world *w, unsigned n)
{
	le32_t port, status = le32_put(n & 1 ? 0 : ECONNREFUSED);
	int pair[2];

	if (recv(w->dial, &port, sizeof(port), MSG_DONTWAIT) != sizeof(port) &&
	    n < 14)
		return; /* nobody asked; 14 and 15 answer all the same */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	if (vc_send_fds(w->dial, &status, sizeof(status), pair, n & 1) < 0 &&
	    errno != EPIPE)
		abort();
	close(pair[0]);
	if (w->clients[n / 2] >= 0)
		close(w->clients[n / 2]);
	w->clients[n / 2] = pair[1];
}

static void run(struct world *w, struct vc_bytes *c)
{
	unsigned nr_steps = 0;
	uint8_t kind, n;

	while (vc_bytes_get_u8(c, &kind) && nr_steps++ < MAX_STEPS) {
		if (kind < 128) {
			send_packet(w, c, kind);
		} else if (kind < 192) {
			client_writes(w, c, kind & 63);
		} else if (kind < 224) {
			for (n = 192; n <= kind; n++)
				if ((uint16_t)(w->avail[0] - used_idx(w, 0)) <
				    QSIZE)
					make_available(w, 0, BUF_BYTES);
		} else if (kind < 240) {
			client(w, kind & 15);
		} else {
			answer_dial(w, kind & 15);
		}
		step(w);
	}
}

static void start(struct world *w)
{
	struct vc_virtio_vsock_opts o = { .guest_cid = CID };
	struct vc_error err;
	unsigned qi;
	int pair[2], i;

	for (i = 0; i < MAX_CLIENTS; i++)
		w->clients[i] = -1;
	o.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	w->addr.sun_family = AF_UNIX;
	w->addr_len = sizeof(w->addr);
	if (o.listen_fd < 0 ||
	    bind(o.listen_fd, (struct sockaddr *)&w->addr,
		 sizeof(sa_family_t)) < 0 ||
	    getsockname(o.listen_fd, (struct sockaddr *)&w->addr,
			&w->addr_len) < 0 ||
	    listen(o.listen_fd, 16) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	o.dial_fd = pair[0];
	w->dial = pair[1];
	w->ram = aligned_alloc(4096, RAM);
	if (!w->ram || vc_loop_new(&w->loop, &err) < 0 ||
	    vc_mem_new(&w->mem, &err) < 0 ||
	    vc_mem_add_plain(w->mem, w->ram, 0, RAM, &err) < 0 ||
	    vc_virtio_vsock_new(w->loop, &o, &w->dev, &err) < 0)
		abort();
	memset(w->ram, 0, RAM);
	for (qi = 0; qi < 2; qi++)
		if (vc_vq_start(&w->dev->vq[qi], w->mem, QSIZE, QUEUE(qi),
				QUEUE(qi) + 0x1000, QUEUE(qi) + 0x2000, 0, 0,
				&err) < 0)
			abort();
}

static void stop(struct world *w)
{
	unsigned qi;
	int i;

	for (qi = 0; qi < 2; qi++) {
		w->dev->ops->stop_queue(w->dev, qi);
		vc_vq_stop(&w->dev->vq[qi]);
	}
	w->dev->ops->reset(w->dev);
	vc_virtio_free(w->dev);
	for (i = 0; i < MAX_CLIENTS; i++)
		vc_close(&w->clients[i]);
	vc_close(&w->dial);
	vc_mem_free(w->mem);
	vc_loop_free(w->loop);
	free(w->ram);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vc_bytes c = vc_bytes_init(data, size);
	struct world w = { 0 };

	start(&w);
	run(&w, &c);
	stop(&w);
	return 0;
}
