/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user messages, in two ways. The first byte chooses:
 *
 *	0..3  the codec alone, as read by that side; what it accepts must come
 *	      back the same from the encoder;
 *	else  the rest is what a frontend writes to a backend that drives a
 *	      virtio-rng. Descriptors are added where a message that parses would
 *	      have them: RAM for a memory table, eventfds for rings. Each page
 *	      of RAM is the head of an avail ring with four entries, and then
 *	      the input's own bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "vhost-user/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE_BYTES 4096u
#define RAM_BYTES (16 * PAGE_BYTES)

static void fuzz_codec(enum vhu_side side, const uint8_t *data, size_t size)
{
	uint8_t buf[VHU_MAX_BYTES];
	struct vc_error err;
	struct vhu_msg msg;
	size_t nr_fds, len;

	if (size < VHU_HEADER_BYTES ||
	    vhu_parse_header(side, data, &msg, &err) < 0)
		return;
	if (msg.size_bytes > VC_VHU_MAX_PAYLOAD)
		abort();
	data += VHU_HEADER_BYTES;
	size -= VHU_HEADER_BYTES;
	if (size < msg.size_bytes)
		return;
	for (nr_fds = 0; nr_fds <= VC_VHU_MAX_FDS; nr_fds++) {
		struct vhu_msg m = msg;

		if (vhu_parse_payload(side, data, nr_fds, &m, &err) < 0)
			continue;
		if (!m.size_bytes)
			m.kind = VHU_P_NONE; /* a refused GET_CONFIG */
		len = vhu_encode(&m, buf);
		if (len != VHU_HEADER_BYTES + m.size_bytes)
			abort();
		/* the padding of a memory table is not kept */
		if (m.kind != VHU_P_MEM &&
		    memcmp(buf + VHU_HEADER_BYTES, data, m.size_bytes))
			abort();
	}
}

static int make_ram(const uint8_t *data, size_t size)
{
	static const uint8_t avail[4] = { 0, 0, 4, 0 };
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t off;

	if (fd < 0 || ftruncate(fd, RAM_BYTES) < 0)
		abort();
	for (off = 0; off < RAM_BYTES; off += PAGE_BYTES)
		if (pwrite(fd, avail, sizeof(avail), (off_t)off) < 0 ||
		    pwrite(fd, data, size, (off_t)(off + sizeof(avail))) < 0)
			abort();
	return fd;
}

/* How many bytes of `data` are one message, and which descriptors it needs. */
static size_t next_message(const uint8_t *data, size_t size, size_t *nr_fds,
			   bool *wants_ram)
{
	struct vhu_msg msg;
	struct vc_error err;
	size_t n;

	*nr_fds = 0;
	*wants_ram = false;
	if (size < VHU_HEADER_BYTES ||
	    vhu_parse_header(VHU_TO_BACKEND, data, &msg, &err) < 0)
		return size;
	n = VHU_HEADER_BYTES + msg.size_bytes;
	if (n > size)
		return size;
	for (; *nr_fds <= VC_VHU_MAX_FDS; ++*nr_fds)
		if (vhu_parse_payload(VHU_TO_BACKEND, data + VHU_HEADER_BYTES,
				      *nr_fds, &msg, &err) == 0) {
			*wants_ram = msg.kind == VHU_P_MEM;
			return n;
		}
	*nr_fds = 0;
	return n;
}

static void send_message(int sock, const uint8_t *data, size_t len, int ram,
			 size_t nr_fds, bool wants_ram)
{
	int fds[VC_VHU_MAX_FDS];
	size_t i;

	for (i = 0; i < nr_fds; i++)
		fds[i] = wants_ram ? ram : eventfd(1, EFD_CLOEXEC);
	if (vc_send_fds(sock, data, len, fds, nr_fds) < 0 && errno != EPIPE &&
	    errno != ECONNRESET && errno != EAGAIN)
		abort();
	for (i = 0; i < nr_fds && !wants_ram; i++)
		vc_close(&fds[i]);
}

static void on_end(void *opaque, const struct vc_error *err)
{
	bool *has_ended = opaque;

	(void)err;
	*has_ended = true;
}

static void fuzz_backend(const uint8_t *data, size_t size)
{
	struct vc_vhu_backend *be = NULL;
	struct vc_virtio_dev *dev = NULL;
	struct vc_loop *loop = NULL;
	struct vc_error err;
	bool has_ended = false;
	uint8_t replies[4096];
	int pair[2], ram = make_ram(data, vc_min_u64(size, PAGE_BYTES - 4));

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    vc_loop_new(&loop, &err) < 0 ||
	    vc_virtio_rng_new(loop, &dev, &err) < 0 ||
	    vc_vhu_backend_new(dev, pair[0], on_end, &has_ended, &be, &err) < 0)
		abort();
	while (size && !has_ended) {
		size_t nr_fds, n;
		bool wants_ram;

		n = next_message(data, size, &nr_fds, &wants_ram);
		send_message(pair[1], data, n, ram, nr_fds, wants_ram);
		data += n;
		size -= n;
		if (vc_loop_step(loop, 0, &err) < 0)
			abort();
		while (recv(pair[1], replies, sizeof(replies), MSG_DONTWAIT) >
		       0)
			;
	}
	/* rings, if any run, and then the hang-up */
	if (vc_loop_step(loop, 0, &err) < 0)
		abort();
	vc_close(&pair[1]);
	if (!has_ended && (vc_loop_step(loop, 0, &err) < 0 || !has_ended))
		abort();
	vc_vhu_backend_free(be);
	vc_virtio_free(dev);
	vc_loop_free(loop);
	vc_close(&ram);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] <= VHU_REPLY_OF_FRONTEND)
		fuzz_codec((enum vhu_side)data[0], data + 1, size - 1);
	else
		fuzz_backend(data + 1, size - 1);
	return 0;
}
