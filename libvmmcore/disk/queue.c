/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads on one disk. A format is written for one thread at a time,
 * and stays so: whoever holds the disk's lock is that thread. A queue is what
 * each thread has of its own:
 *
 *	vc_disk_queue_submit() -> pending -> (lock) the disk -> finished
 *	                                                          |
 *	done(), without the lock  <-  vc_disk_queue_poll()  <- - -+
 *
 * Nobody serves the disk but those who use it. Whoever kicks or polls takes the
 * lock, gives the disk what is pending, takes the engine's completions whosesoever
 * they are, lets the format go on with them, and leaves what finished with
 * the queues it came from, whose `event_fd` it makes readable. A request whose
 * owner is asleep is thus completed by others up to its done().
 *
 * Of those who wait in vc_disk_queue_poll(), one is the driver: it waits for the
 * engine as well as for its queue, the others for their queues alone, so that a
 * completion wakes one thread. A driver that leaves wakes another who waits, and
 * that one finds the place empty and takes it. It is an invariant, whenever
 * the lock is free: if anyone waits, there is a driver, or one who waits has been
 * woken and has not had the lock since. Hence no wake-up is lost: a completion
 * makes the engine's descriptor readable, and it stays so until somebody has
 * taken the lock and read it; what that one finds is in a queue, and the queue's
 * descriptor readable, before the lock is free again.
 *
 * The lock is held while a format works and while the engine takes what it is
 * to do; never while somebody waits, and never in a done(). With the engine of
 * plain system calls the I/O itself is done with the lock held.
 *
 * A thread may end while the kernel still does what it gave to a ring, which may
 * be what others asked for. Kernels that cancel it then are met by the engine, see
 * uring.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "disk/disk.h"

struct vc_disk_queue {
	struct vc_disk *disk; /* borrowed */

	/* the owning thread's */
	struct req_queue pending;
	unsigned nr_in_flight; /* submitted, done() not yet called */
	int event_fd;	       /* written by others */
	int poll_fd;	       /* readable when event_fd or the engine's is */

	/* under the disk's lock */
	struct vc_disk_queue *next; /* of the same disk */
	struct req_queue finished;
	bool is_signalled; /* event_fd was written */
	bool is_waiting;   /* its owner is in wait_for_some() */
};

/* --- with the lock held ---------------------------------------------------- */

static void wake(struct vc_disk_queue *q)
{
	/* can fail only when the counter is full, hence readable */
	if (!q->is_signalled && eventfd_write(q->event_fd, 1) == 0)
		q->is_signalled = true;
}

void disk_queue_finish(struct vc_disk_queue *q, struct vc_disk_req *req)
{
	disk_queue_put(&q->finished, req);
	wake(q);
}

static void hand_over(struct vc_disk_queue *q)
{
	struct vc_disk_req *req;

	while ((req = disk_queue_get(&q->pending)))
		disk_submit(q->disk, req, q);
}

/* What is left to do for who waits when there is no driver. */
static void pass_on(struct vc_disk *d)
{
	struct vc_disk_queue *q;

	if (d->has_driver)
		return;
	for (q = d->queues; q; q = q->next)
		if (q->is_waiting) {
			wake(q);
			return;
		}
}

static void take_signal(struct vc_disk_queue *q)
{
	eventfd_t v;

	if (q->is_signalled && eventfd_read(q->event_fd, &v) == 0)
		q->is_signalled = false;
}

static void wait_for_some(struct vc_disk_queue *q)
{
	struct vc_disk *d = q->disk;

	while (!q->finished.head) {
		bool drives = !d->has_driver;
		struct pollfd fds[2] = { { q->event_fd, POLLIN, 0 },
					 { vc_disk_get_poll_fd(d), POLLIN,
					   0 } };

		if (drives)
			d->has_driver = true;
		q->is_waiting = true;
		pthread_mutex_unlock(&d->lock);
		/* on a signal, there is nothing yet: once more */
		(void)poll(fds, drives ? 2 : 1, -1);
		pthread_mutex_lock(&d->lock);
		q->is_waiting = false;
		if (drives)
			d->has_driver = false;
		take_signal(q);
		if (drives || !q->finished.head)
			vc_disk_poll(d, false);
	}
	pass_on(d);
}

/* --- the owner's ----------------------------------------------------------- */

void vc_disk_queue_submit(struct vc_disk_queue *q, struct vc_disk_req *req)
{
	q->nr_in_flight++;
	disk_queue_put(&q->pending, req);
}

void vc_disk_queue_kick(struct vc_disk_queue *q)
{
	struct vc_disk *d = q->disk;

	if (!q->pending.head)
		return;
	pthread_mutex_lock(&d->lock);
	hand_over(q);
	vc_disk_kick(d);
	pthread_mutex_unlock(&d->lock);
}

int vc_disk_queue_get_poll_fd(const struct vc_disk_queue *q)
{
	return q->poll_fd;
}

int vc_disk_queue_poll(struct vc_disk_queue *q, bool wait)
{
	struct vc_disk *d = q->disk;
	struct req_queue batch;
	struct vc_disk_req *req;
	int n = 0;

	pthread_mutex_lock(&d->lock);
	hand_over(q);
	take_signal(q);
	vc_disk_poll(d, false);
	if (wait && q->nr_in_flight)
		wait_for_some(q);
	take_signal(q);
	batch = q->finished;
	q->finished = (struct req_queue){ NULL, NULL };
	pthread_mutex_unlock(&d->lock);
	while ((req = disk_queue_get(&batch))) {
		q->nr_in_flight--;
		n++;
		disk_call_done(req);
	}
	vc_disk_queue_kick(q); /* what done() has started */
	return n;
}

int vc_disk_queue_open(struct vc_disk *d, struct vc_disk_queue **ret,
		       struct vc_error *err)
{
	vc_auto(vc_disk_queue) struct vc_disk_queue *q = calloc(1, sizeof(*q));
	struct epoll_event ev = { .events = EPOLLIN };

	if (!q)
		return vc_fail(err, VC_E_SYS, ENOMEM, "%s: queue", d->name);
	q->poll_fd = -1;
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: eventfd", d->name);
	q->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (q->poll_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: epoll", d->name);
	if (epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, q->event_fd, &ev) < 0 ||
	    epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, vc_disk_get_poll_fd(d), &ev) <
		    0)
		return vc_fail(err, VC_E_SYS, errno, "%s: epoll", d->name);
	pthread_mutex_lock(&d->lock);
	q->disk = d;
	q->next = d->queues;
	d->queues = q;
	pthread_mutex_unlock(&d->lock);
	*ret = vc_steal_ptr(&q);
	return 0;
}

static void leave(struct vc_disk_queue *q)
{
	struct vc_disk *d = q->disk;
	struct vc_disk_queue **at = &d->queues;

	while (q->nr_in_flight)
		vc_disk_queue_poll(q, true);
	pthread_mutex_lock(&d->lock);
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	pthread_mutex_unlock(&d->lock);
}

struct vc_disk_queue *vc_disk_queue_close(struct vc_disk_queue *q)
{
	if (!q)
		return NULL;
	if (q->disk)
		leave(q);
	vc_close(&q->poll_fd);
	vc_close(&q->event_fd);
	free(q);
	return NULL;
}
