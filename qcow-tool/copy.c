/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying a disk: a ring of buffers, each being filled, waiting or written.
 * Reads are started in order and many at a time; so are writes, in the same
 * order, so that what is allocated lies in the order of the disk.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "qcow-tool/copy.h"

#define NR_BUFFERS 8
#define BUFFER_BYTES (2u << 20)
#define BUFFER_ALIGN 4096

enum state { FREE, READING, READ, WRITING };

struct copy;

struct buffer {
	enum state state;
	struct copy *copy;
	struct vc_disk_req req;
	struct iovec iov;
	uint8_t *data;
	uint64_t offset;
	size_t len;
	size_t pos; /* written or found zero up to here */
	enum vc_disk_status status;
};

struct copy {
	struct vc_disk *src, *dst;
	const struct copy_opts *opts;
	uint64_t size, pos; /* next to be read */
	uint64_t extent_end;
	uint64_t nr_done; /* bytes */
	struct buffer buffers[NR_BUFFERS];
	unsigned head, tail; /* head: next to be written; tail: next free */
	const char *failed;  /* what did */
	enum vc_disk_status status;
	uint64_t failed_at;
};

static bool is_zero(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < 16 && i < n; i++)
		if (p[i])
			return false;
	/* each byte equals the one 16 before it */
	return n <= 16 || !memcmp(p, p + 16, n - 16);
}

static void fail(struct copy *c, const char *what, enum vc_disk_status status,
		 uint64_t at)
{
	if (c->failed)
		return;
	c->failed = what;
	c->status = status;
	c->failed_at = at;
}

static void write_next(struct buffer *b);

static void write_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct buffer *b = vc_container_of(req, struct buffer, req);

	if (status != VC_DISK_OK)
		fail(b->copy, "write", status, req->offset_bytes);
	b->pos += req->length_bytes;
	write_next(b);
}

static void read_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct buffer *b = vc_container_of(req, struct buffer, req);

	if (status != VC_DISK_OK)
		fail(b->copy, "read", status, req->offset_bytes);
	b->state = READ;
}

/* The length of the piece at b->pos that is all zero or has none of it, in
 * granules as the disk is divided. */
static size_t piece(const struct buffer *b, bool *ret_zero)
{
	uint64_t granule = b->copy->opts->granule;
	size_t pos = b->pos;

	*ret_zero = false;
	if (!granule)
		return b->len - pos;
	while (pos < b->len) {
		uint64_t at = b->offset + pos;
		size_t n = (size_t)vc_min_u64(granule - (at & (granule - 1)),
					      b->len - pos);
		bool zero = is_zero(b->data + pos, n);

		if (pos == b->pos)
			*ret_zero = zero;
		else if (zero != *ret_zero)
			break;
		pos += n;
	}
	return pos - b->pos;
}

static void submit(struct vc_disk *disk, struct buffer *b, enum vc_disk_op op,
		   size_t pos, size_t len)
{
	b->iov = (struct iovec){ b->data + pos, len };
	b->req = (struct vc_disk_req){
		.op = op,
		.offset_bytes = b->offset + pos,
		.length_bytes = len,
		.iov = &b->iov,
		.nr_iov = 1,
		.done = op == VC_DISK_READ ? read_done : write_done,
	};
	vc_disk_submit(disk, &b->req);
}

static void write_next(struct buffer *b)
{
	while (b->pos < b->len && !b->copy->failed) {
		bool zero;
		size_t n = piece(b, &zero);

		if (!zero) {
			submit(b->copy->dst, b, VC_DISK_WRITE, b->pos, n);
			return;
		}
		b->pos += n;
	}
	b->copy->nr_done += b->len;
	b->state = FREE;
}

/* Where data is to be read next: skips what is known to be zero. */
static int find_data(struct copy *c, struct vc_error *err)
{
	while (c->pos < c->size && c->pos >= c->extent_end) {
		struct vc_disk_extent e;

		if (vc_disk_map(c->src, c->pos, UINT64_MAX, &e, err) < 0)
			return -1;
		if (e.kind == VC_DISK_DATA) {
			c->extent_end = c->pos + e.length_bytes;
			break;
		}
		c->pos += e.length_bytes;
		c->nr_done += e.length_bytes;
	}
	return 0;
}

static int start_reads(struct copy *c, struct vc_error *err)
{
	while (c->buffers[c->tail % NR_BUFFERS].state == FREE) {
		struct buffer *b = &c->buffers[c->tail % NR_BUFFERS];
		uint64_t end;

		if (find_data(c, err) < 0)
			return -1;
		if (c->pos >= c->size || c->failed)
			return 0;
		/* end at a multiple, so that granules and clusters are whole */
		end = vc_align_down(c->pos + BUFFER_BYTES, BUFFER_BYTES);
		end = vc_min_u64(end, c->extent_end);
		b->offset = c->pos;
		b->len = (size_t)(end - c->pos);
		b->pos = 0;
		b->state = READING;
		c->pos = end;
		c->tail++;
		submit(c->src, b, VC_DISK_READ, 0, b->len);
	}
	return 0;
}

static void start_writes(struct copy *c)
{
	while (c->head != c->tail &&
	       c->buffers[c->head % NR_BUFFERS].state == READ) {
		struct buffer *b = &c->buffers[c->head++ % NR_BUFFERS];

		b->state = WRITING;
		write_next(b);
	}
}

static bool is_idle(const struct copy *c)
{
	unsigned i;

	for (i = 0; i < NR_BUFFERS; i++)
		if (c->buffers[i].state == READING ||
		    c->buffers[i].state == WRITING)
			return false;
	return true;
}

static int run(struct copy *c, struct vc_error *err)
{
	struct pollfd fds[2] = {
		{ vc_disk_get_poll_fd(c->src), POLLIN, 0 },
		{ vc_disk_get_poll_fd(c->dst), POLLIN, 0 },
	};

	for (;;) {
		int n;

		if (start_reads(c, err) < 0)
			return -1;
		start_writes(c);
		vc_disk_kick(c->src);
		vc_disk_kick(c->dst);
		if (is_idle(c) && (c->failed || c->head == c->tail))
			return 0;
		n = vc_disk_poll(c->src, false) + vc_disk_poll(c->dst, false);
		if (c->opts->progress)
			c->opts->progress(c->nr_done, c->size);
		if (!n && poll(fds, 2, -1) < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "poll");
	}
}

int copy_disk(struct vc_disk *src, struct vc_disk *dst,
	      const struct copy_opts *opts, struct vc_error *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	int ret = -1, i;

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	c->src = src;
	c->dst = dst;
	c->opts = opts;
	c->size = vc_disk_get_size(src);
	for (i = 0; i < NR_BUFFERS; i++) {
		c->buffers[i].copy = c;
		c->buffers[i].data = aligned_alloc(BUFFER_ALIGN, BUFFER_BYTES);
		if (!c->buffers[i].data) {
			vc_fail(err, VC_E_SYS, ENOMEM, "copy");
			goto out;
		}
	}
	ret = run(c, err);
	if (ret == 0 && c->failed)
		ret = vc_fail(err, VC_E_SYS, vc_disk_status_errno(c->status),
			      "%s at %llu", c->failed,
			      (unsigned long long)c->failed_at);
out:
	/* the buffers must not be freed under I/O */
	vc_disk_drain(src);
	vc_disk_drain(dst);
	for (i = 0; i < NR_BUFFERS; i++)
		free(c->buffers[i].data);
	free(c);
	return ret;
}
