/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of system calls, for hosts without io_uring: operations are done
 * one after the other when the batch is kicked. It needs no thread, so it
 * works in a process that has unshared or sealed itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "disk/engine.h"

int (*sync_engine_inject)(const struct eng_io *io);

struct sync_engine {
	struct engine base;
	struct eng_queue waiting;
};

static struct sync_engine *to_sync(struct engine *e)
{
	return vc_container_of(e, struct sync_engine, base);
}

static void sync_submit(struct engine *e, struct eng_io *io)
{
	eng_queue_put(&to_sync(e)->waiting, io);
}

static int do_once(struct eng_io *io)
{
	int nr = io->nr_iov < IOV_MAX ? io->nr_iov : IOV_MAX;
	ssize_t n = -1;

	if (sync_engine_inject) {
		int res = sync_engine_inject(io);

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

static void sync_kick(struct engine *e)
{
	struct eng_io *io;

	while ((io = eng_queue_get(&to_sync(e)->waiting))) {
		while (!eng_io_advance(io, do_once(io)))
			continue;
		eng_queue_put(&e->finished, io);
		engine_wake(e);
	}
}

static void sync_reap(struct engine *e, bool wait)
{
	(void)wait; /* whatever is in flight is finished by now */
	sync_kick(e);
}

static void sync_free(struct engine *e)
{
	struct sync_engine *s = to_sync(e);

	vc_close(&e->event_fd);
	free(s);
}

static const struct engine_ops sync_ops = { "sync", sync_submit, sync_kick,
					    sync_reap, sync_free };

int sync_engine_new(struct engine **ret, struct vc_error *err)
{
	struct sync_engine *s = calloc(1, sizeof(*s));

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "disk engine");
	s->base.ops = &sync_ops;
	s->base.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->base.event_fd < 0) {
		free(s);
		return vc_fail(err, VC_E_SYS, errno, "eventfd");
	}
	*ret = &s->base;
	return 0;
}
