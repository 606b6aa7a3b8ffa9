/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of system calls: operations are done one after the other, by
 * whoever kicks the batch. For those who have threads of their own that read
 * and write, and where no other engine can be had.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "disk/engine.h"

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

static void sync_kick(struct engine *e)
{
	struct eng_io *io;

	while ((io = eng_queue_get(&to_sync(e)->waiting))) {
		eng_io_run(io);
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
