/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of threads, for hosts where io_uring is off (a sysctl, a seccomp
 * filter around us, an old kernel): a few threads make the system calls that a
 * ring would, so that many operations are under way at a time and whoever owns
 * the disk never waits for one.
 *
 * The owner collects what it submits in `waiting`, without the lock; a kick
 * moves it to `todo`. A thread takes the head of `todo`, does it, and puts it
 * into `done`; the first to put something there makes event_fd readable. The
 * owner takes all of `done` at once. Between the two an operation belongs to the
 * thread that does it alone.
 *
 * The threads are made with the engine and end with it. A process seals itself
 * after that, so the threads have to be past everything a C library does when a
 * thread begins, which the seal would not let through: the engine is not
 * handed out before each of them has said that it waits. They take no signals,
 * and need no call but those of an operation, futex and write.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "disk/engine.h"

/* How many operations are under way at a time: enough for a disk to sort them,
 * few enough that each disk of a VM can have its own. */
#define POOL_THREADS 8
#define POOL_STACK_BYTES (256u << 10)

struct pool_engine {
	struct engine base;
	struct eng_queue waiting; /* the owner's */
	pthread_t threads[POOL_THREADS];
	unsigned nr_threads;

	/* Nothing else is locked while this is held. */
	pthread_mutex_t lock;
	pthread_cond_t has_todo; /* or is_ending */
	pthread_cond_t has_done; /* or a thread is ready */
	struct eng_queue todo, done;
	unsigned nr_idle; /* threads that wait for has_todo */
	bool is_ending;
};

static struct pool_engine *to_pool(struct engine *e)
{
	return vc_container_of(e, struct pool_engine, base);
}

/* --- the threads ----------------------------------------------------------- */

static void put_done(struct pool_engine *p, struct eng_io *io)
{
	bool is_first = !p->done.head;

	eng_queue_put(&p->done, io);
	if (!is_first)
		return;
	/* can fail only when the counter is full, hence readable */
	(void)!eventfd_write(p->base.event_fd, 1);
	pthread_cond_signal(&p->has_done);
}

static void *work(void *opaque)
{
	struct pool_engine *p = opaque;
	struct eng_io *io;

	pthread_setname_np(pthread_self(), "disk-io");
	pthread_mutex_lock(&p->lock);
	p->nr_idle++;
	pthread_cond_signal(&p->has_done);
	for (;;) {
		while (!(io = eng_queue_get(&p->todo)) && !p->is_ending)
			pthread_cond_wait(&p->has_todo, &p->lock);
		if (!io)
			break;
		p->nr_idle--;
		pthread_mutex_unlock(&p->lock);
		eng_io_run(io);
		pthread_mutex_lock(&p->lock);
		p->nr_idle++;
		put_done(p, io);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* --- the owner ------------------------------------------------------------- */

static void pool_submit(struct engine *e, struct eng_io *io)
{
	eng_queue_put(&to_pool(e)->waiting, io);
}

static void pool_kick(struct engine *e)
{
	struct pool_engine *p = to_pool(e);
	struct eng_io *io;
	unsigned nr = 0;

	if (!p->waiting.head)
		return;
	pthread_mutex_lock(&p->lock);
	while ((io = eng_queue_get(&p->waiting))) {
		eng_queue_put(&p->todo, io);
		/* one that is busy looks into `todo` before it waits */
		if (nr++ < p->nr_idle)
			pthread_cond_signal(&p->has_todo);
	}
	pthread_mutex_unlock(&p->lock);
}

static void pool_reap(struct engine *e, bool wait)
{
	struct pool_engine *p = to_pool(e);
	struct eng_io *io;

	pool_kick(e);
	pthread_mutex_lock(&p->lock);
	while (wait && !p->done.head)
		pthread_cond_wait(&p->has_done, &p->lock);
	while ((io = eng_queue_get(&p->done)))
		eng_queue_put(&e->finished, io);
	pthread_mutex_unlock(&p->lock);
}

static void pool_free(struct engine *e)
{
	struct pool_engine *p = to_pool(e);
	unsigned i;

	pthread_mutex_lock(&p->lock);
	p->is_ending = true;
	pthread_cond_broadcast(&p->has_todo);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->nr_threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->has_todo);
	pthread_cond_destroy(&p->has_done);
	pthread_mutex_destroy(&p->lock);
	vc_close(&p->base.event_fd);
	free(p);
}

static const struct engine_ops pool_ops = { "threads", pool_submit, pool_kick,
					    pool_reap, pool_free };

/* A limit of the host may allow fewer threads than wanted, one is enough.
 * Returns 0 or an errno. */
static int start_threads(struct pool_engine *p)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int sys = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, POOL_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->nr_threads < POOL_THREADS && !sys) {
		sys = pthread_create(&p->threads[p->nr_threads], &attr, work,
				     p);
		if (!sys)
			p->nr_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	pthread_mutex_lock(&p->lock);
	while (p->nr_idle < p->nr_threads)
		pthread_cond_wait(&p->has_done, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return p->nr_threads ? 0 : sys;
}

int pool_engine_new(struct engine **ret, struct vc_error *err)
{
	struct pool_engine *p = calloc(1, sizeof(*p));
	int sys;

	if (!p)
		return vc_fail(err, VC_E_SYS, ENOMEM, "disk engine");
	p->base.ops = &pool_ops;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->has_todo, NULL);
	pthread_cond_init(&p->has_done, NULL);
	p->base.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->base.event_fd < 0) {
		vc_fail(err, VC_E_SYS, errno, "eventfd");
		pool_free(&p->base);
		return -1;
	}
	sys = start_threads(p);
	if (sys) {
		vc_fail(err, VC_E_SYS, sys, "disk engine: start a thread");
		pool_free(&p->base);
		return -1;
	}
	*ret = &p->base;
	return 0;
}
