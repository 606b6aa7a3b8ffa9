/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop hands epoll the address of the watch. A callback may remove and free
 * any watch, also one that the same epoll_wait() reported: the batch being
 * dispatched is kept in the loop, and removing a watch clears its entries.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vmmcore/loop.h>
#include <vmmcore/util.h>

#define LOOP_BATCH 32

struct vc_loop {
	int epoll_fd;
	bool is_stopped;
	int value;
	int nr_events, next_event;
	struct epoll_event events[LOOP_BATCH];
};

int vc_loop_new(struct vc_loop **ret, struct vc_error *err)
{
	vc_auto_free struct vc_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return vc_fail(err, VC_E_SYS, ENOMEM, "event loop");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "epoll_create1");
	*ret = vc_steal_ptr(&loop);
	return 0;
}

struct vc_loop *vc_loop_free(struct vc_loop *loop)
{
	if (loop) {
		vc_close(&loop->epoll_fd);
		free(loop);
	}
	return NULL;
}

int vc_watch_add(struct vc_loop *loop, struct vc_watch *w, int fd,
		 uint32_t events, vc_watch_fn fn, struct vc_error *err)
{
	struct epoll_event ev = { .events = events, .data = { .ptr = w } };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return vc_fail(err, VC_E_SYS, errno, "watch a descriptor");
	*w = (struct vc_watch){ fn, fd, events, loop };
	return 0;
}

void vc_watch_set_events(struct vc_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data = { .ptr = w } };

	if (!w->loop || w->events == events)
		return;
	w->events = events;
	/* fails only for a descriptor that is not watched */
	epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void vc_watch_remove(struct vc_watch *w)
{
	struct vc_loop *loop = w->loop;
	int i;

	if (!loop)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (i = loop->next_event; i < loop->nr_events; i++)
		if (loop->events[i].data.ptr == w)
			loop->events[i].data.ptr = NULL;
	w->loop = NULL;
	w->fd = -1;
}

int vc_loop_step(struct vc_loop *loop, int timeout_ms, struct vc_error *err)
{
	int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_BATCH,
			   timeout_ms);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "epoll_wait");
	loop->nr_events = n;
	loop->next_event = 0;
	while (loop->next_event < loop->nr_events) {
		struct epoll_event *ev = &loop->events[loop->next_event++];
		struct vc_watch *w = ev->data.ptr;

		if (w)
			w->fn(w, ev->events);
	}
	loop->nr_events = 0;
	return 0;
}

int vc_loop_run(struct vc_loop *loop, int *ret_value, struct vc_error *err)
{
	loop->is_stopped = false;
	while (!loop->is_stopped)
		if (vc_loop_step(loop, -1, err) < 0)
			return -1;
	if (ret_value)
		*ret_value = loop->value;
	return 0;
}

void vc_loop_stop(struct vc_loop *loop, int value)
{
	loop->is_stopped = true;
	loop->value = value;
}

static void on_timer(struct vc_watch *w, uint32_t events)
{
	struct vc_timer *t = vc_container_of(w, struct vc_timer, watch);
	uint64_t n;

	(void)events;
	if (read(t->fd, &n, sizeof(n)) == sizeof(n))
		t->fn(t);
}

int vc_timer_init(struct vc_timer *t, struct vc_loop *loop,
		  void (*fn)(struct vc_timer *t), struct vc_error *err)
{
	vc_auto_fd int fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "timerfd_create");
	t->fn = fn;
	if (vc_watch_add(loop, &t->watch, fd, EPOLLIN, on_timer, err) < 0)
		return -1;
	t->fd = vc_steal_fd(&fd);
	return 0;
}

static void timer_set(struct vc_timer *t, uint64_t delay_ns)
{
	struct itimerspec its = {
		.it_value = { (time_t)(delay_ns / 1000000000),
			      (long)(delay_ns % 1000000000) },
	};

	/* fails only for a bad descriptor or an out of range tv_nsec */
	timerfd_settime(t->fd, 0, &its, NULL);
}

void vc_timer_start(struct vc_timer *t, uint64_t delay_ns)
{
	timer_set(t, delay_ns ? delay_ns : 1); /* 0 would disarm it */
}

void vc_timer_stop(struct vc_timer *t)
{
	timer_set(t, 0);
}

void vc_timer_fini(struct vc_timer *t)
{
	vc_watch_remove(&t->watch);
	vc_close(&t->fd);
}
