/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "disk/engine.h"

int (*engine_inject)(const struct eng_io *io);

void eng_queue_put(struct eng_queue *q, struct eng_io *io)
{
	io->next = NULL;
	if (q->tail)
		q->tail->next = io;
	else
		q->head = io;
	q->tail = io;
}

struct eng_io *eng_queue_get(struct eng_queue *q)
{
	struct eng_io *io = q->head;

	if (io) {
		q->head = io->next;
		if (!q->head)
			q->tail = NULL;
	}
	return io;
}

static int try_engine(enum vc_disk_io want, struct engine **ret,
		      struct vc_error *err)
{
	switch (want) {
	case VC_DISK_IO_URING:
		return uring_engine_new(ret, err);
	case VC_DISK_IO_POOL:
		return pool_engine_new(ret, err);
	case VC_DISK_IO_SYNC:
		break;
	case VC_DISK_IO_AUTO:
		if (uring_engine_new(ret, err) == 0 ||
		    pool_engine_new(ret, err) == 0)
			return 0;
		break; /* not even a thread: still slower, still right */
	}
	return sync_engine_new(ret, err);
}

int engine_new(enum vc_disk_io want, struct engine **ret, struct vc_error *err)
{
	if (try_engine(want, ret, err) < 0)
		return -1;
	(*ret)->nr_refs = 1;
	return 0;
}

struct engine *engine_ref(struct engine *e)
{
	e->nr_refs++;
	return e;
}

struct engine *engine_unref(struct engine *e)
{
	if (e && !--e->nr_refs)
		e->ops->free(e);
	return NULL;
}

void eng_io_set_buf(struct eng_io *io, void *buf, size_t len)
{
	io->small[0] = (struct iovec){ buf, len };
	io->iov = io->small;
	io->nr_iov = 1;
	io->heap = NULL;
	io->len = len;
}

bool eng_io_set_iov(struct eng_io *io, const struct iovec *iov, int nr_iov,
		    uint64_t skip, uint64_t len)
{
	int n = 0;

	io->len = len;
	io->heap = NULL;
	io->iov = io->small;
	while (nr_iov && skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		nr_iov--;
	}
	if (nr_iov > ENG_SMALL_IOV) {
		io->heap = malloc((size_t)nr_iov * sizeof(*iov));
		if (!io->heap)
			return false;
		io->iov = io->heap;
	}
	for (; nr_iov && len; iov++, nr_iov--) {
		size_t part = iov->iov_len - (size_t)skip;

		if (part > len)
			part = (size_t)len;
		if (part)
			io->iov[n++] =
				(struct iovec){ (char *)iov->iov_base + skip,
						part };
		len -= part;
		skip = 0;
	}
	io->nr_iov = n;
	return true;
}

/* Drop `n` bytes from the front of what is still to be transferred. */
static void consume(struct eng_io *io, size_t n)
{
	io->offset += n;
	io->len -= n;
	while (n && n >= io->iov->iov_len) {
		n -= io->iov->iov_len;
		io->iov++;
		io->nr_iov--;
	}
	if (n) {
		io->iov->iov_base = (char *)io->iov->iov_base + n;
		io->iov->iov_len -= n;
	}
}

static void fill_with_zeroes(struct eng_io *io)
{
	int i;

	for (i = 0; i < io->nr_iov; i++)
		memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
}

/* Returns true when `io` is finished, with its result in io->res. */
bool eng_io_advance(struct eng_io *io, int res)
{
	io->res = res;
	if (res == -EINTR || res == -EAGAIN)
		return false;
	if (res < 0 || io->op == ENG_SYNC || io->op == ENG_FALLOCATE)
		return true;
	io->res = 0;
	if ((uint64_t)res >= io->len)
		return true;
	if (res == 0) {
		if (io->op == ENG_READ)
			fill_with_zeroes(io);
		else
			io->res = -EIO;
		return true;
	}
	consume(io, (size_t)res);
	return false;
}

static int do_once(struct eng_io *io)
{
	int nr = io->nr_iov < IOV_MAX ? io->nr_iov : IOV_MAX;
	ssize_t n = -1;

	if (engine_inject) {
		int res = engine_inject(io);

		if (res < 0)
			return res;
	}
	switch (io->op) {
	case ENG_READ:
		n = preadv(io->fd, io->iov, nr, (off_t)io->offset);
		break;
	case ENG_WRITE:
		n = pwritev(io->fd, io->iov, nr, (off_t)io->offset);
		break;
	case ENG_SYNC:
		n = fdatasync(io->fd);
		break;
	case ENG_FALLOCATE:
		n = fallocate(io->fd, io->mode, (off_t)io->offset,
			      (off_t)io->len);
		break;
	case ENG_SHARE:
		break; /* does not come here */
	}
	return n < 0 ? -errno : (int)n; /* at most MAX_RW_COUNT, < 2 GiB */
}

void eng_io_run(struct eng_io *io)
{
	while (!eng_io_advance(io, do_once(io)))
		continue;
}

void engine_submit(struct engine *e, struct eng_io *io)
{
	e->nr_in_flight++;
	if (io->op == ENG_SHARE) {
		io->res = eng_share(io);
		eng_queue_put(&e->finished, io);
		engine_wake(e);
		return;
	}
	e->ops->submit(e, io);
}

void engine_kick(struct engine *e)
{
	e->ops->kick(e);
}

void engine_wake(struct engine *e)
{
	if (e->is_signalled)
		return;
	/* can fail only when the counter is full, hence readable */
	if (eventfd_write(e->event_fd, 1) == 0)
		e->is_signalled = true;
}

unsigned engine_reap(struct engine *e, bool wait)
{
	struct eng_queue batch;
	struct eng_io *io;
	eventfd_t v;
	unsigned n = 0;

	if (eventfd_read(e->event_fd, &v) == 0)
		e->is_signalled = false;
	e->ops->reap(e, wait && e->nr_in_flight && !e->finished.head);
	batch = e->finished;
	e->finished = (struct eng_queue){ NULL, NULL };
	while ((io = eng_queue_get(&batch))) {
		e->nr_in_flight--;
		free(io->heap);
		io->heap = NULL;
		io->done(io, io->res);
		n++;
	}
	return n;
}
