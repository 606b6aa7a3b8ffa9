/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/append.h"

static void pump(struct appender *a);

/* --- output --------------------------------------------------------------*/

static void take_free_out(struct appender *a)
{
	unsigned i;

	for (i = 0; i < APPEND_OUTS && !a->out; i++)
		if (!a->outs[i].is_busy) {
			a->out = &a->outs[i];
			a->out->len = 0;
		}
}

static void out_written(struct eng_io *io, int res)
{
	struct append_out *out = vc_container_of(io, struct append_out, io);
	struct appender *a = out->appender;

	if (res && a->failed == VC_DISK_OK)
		a->failed = disk_status_of(res);
	out->is_busy = false;
	if (!a->out)
		take_free_out(a);
	pump(a);
}

static void write_out(struct appender *a)
{
	struct append_out *out = a->out;
	struct vc_disk *d = a->disk;

	if (a->ops->before_out)
		a->ops->before_out(a);
	a->out = NULL;
	out->is_busy = true;
	out->io.op = ENG_WRITE;
	out->io.offset = a->out_offset;
	out->io.done = out_written;
	eng_io_set_buf(&out->io, out->data, out->len);
	out->io.fd = disk_fd_for(d, &out->io);
	a->out_offset += out->len;
	engine_submit(d->engine, &out->io);
	take_free_out(a);
}

uint8_t *append_room(struct appender *a, size_t len)
{
	if (a->out && APPEND_OUT_BYTES - a->out->len < len)
		write_out(a);
	return a->out ? a->out->data + a->out->len : NULL;
}

void append_add(struct appender *a, size_t len)
{
	a->out->len += len;
}

uint64_t append_offset(const struct appender *a)
{
	return a->out_offset + (a->out ? a->out->len : 0);
}

static bool is_idle(const struct appender *a)
{
	unsigned i;

	for (i = 0; i < APPEND_OUTS; i++)
		if (a->outs[i].is_busy)
			return false;
	return true;
}

/* --- requests -------------------------------------------------------------*/

/* False: wait. */
static bool advance_write(struct appender *a, const struct vc_disk_req *req,
			  enum vc_disk_status *ret)
{
	if (!a->req_pos && req->offset_bytes < a->pos) {
		*ret = VC_DISK_ENOTSUP;
		return true;
	}
	if (req->op == VC_DISK_WRITE)
		return a->ops->write(a, req);
	if (req->op == VC_DISK_WRITE_ZEROES)
		return a->ops->write_zeroes(a, req);
	if (a->ops->write_compressed)
		return a->ops->write_compressed(a, req, ret);
	*ret = VC_DISK_ENOTSUP;
	return true;
}

static bool advance(struct appender *a, const struct vc_disk_req *req,
		    enum vc_disk_status *ret)
{
	*ret = VC_DISK_OK;
	switch (req->op) {
	case VC_DISK_WRITE:
	case VC_DISK_WRITE_ZEROES:
	case VC_DISK_WRITE_COMPRESSED:
		return advance_write(a, req, ret);
	case VC_DISK_FLUSH:
		return is_idle(a);
	case VC_DISK_DISCARD:
		break;
	case VC_DISK_READ:
	case VC_DISK_SHARE:
	default:
		*ret = VC_DISK_ENOTSUP;
	}
	return true;
}

static void pump(struct appender *a)
{
	struct vc_disk_req *req;

	while ((req = a->waiting.head)) {
		enum vc_disk_status status = a->failed;

		if (status == VC_DISK_OK && !advance(a, req, &status))
			return;
		if (a->failed != VC_DISK_OK)
			status = a->failed;
		disk_queue_get(&a->waiting);
		a->req_pos = 0;
		disk_complete(a->disk, req, status);
	}
}

void append_submit(struct appender *a, struct vc_disk_req *req)
{
	bool is_first = !a->waiting.head;

	disk_queue_put(&a->waiting, req);
	if (is_first)
		pump(a);
}

/* --- the end --------------------------------------------------------------*/

void append_settle(struct appender *a)
{
	while (!is_idle(a))
		engine_reap(a->disk->engine, true);
}

void append_put(struct appender *a, const void *data, size_t len)
{
	uint8_t *to;

	while (!(to = append_room(a, len)))
		append_settle(a);
	memcpy(to, data, len);
	append_add(a, len);
}

int append_check(const struct appender *a, struct vc_error *err)
{
	if (a->failed == VC_DISK_OK)
		return 0;
	return vc_fail(err, VC_E_SYS, vc_disk_status_errno(a->failed),
		       "write at %llu", (unsigned long long)a->pos);
}

int append_finish(struct appender *a, struct vc_error *err)
{
	append_settle(a);
	if (append_check(a, err) < 0)
		return -1;
	if (a->out->len)
		write_out(a);
	append_settle(a);
	return append_check(a, err);
}

int append_end_file(struct appender *a, struct vc_error *err)
{
	if (ftruncate(a->disk->fd, (off_t)a->out_offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "truncate");
	if (!a->disk->no_sync && disk_sync_now(a->disk) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sync");
	return 0;
}

/* --- setting up -----------------------------------------------------------*/

bool append_init(struct appender *a, struct vc_disk *disk,
		 const struct append_ops *ops, uint64_t offset)
{
	unsigned i;

	a->disk = disk;
	a->ops = ops;
	a->out_offset = offset;
	for (i = 0; i < APPEND_OUTS; i++) {
		a->outs[i].appender = a;
		a->outs[i].data = malloc(APPEND_OUT_BYTES);
		if (!a->outs[i].data)
			return false;
	}
	take_free_out(a);
	return true;
}

void append_fini(struct appender *a)
{
	unsigned i;

	/* what is being written goes on until it has ended */
	append_settle(a);
	for (i = 0; i < APPEND_OUTS; i++)
		free(a->outs[i].data);
}
