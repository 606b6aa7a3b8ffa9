/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An epoll loop. One thread owns a loop and everything watched by it; other
 * threads wake it through an eventfd it watches. A watch is embedded in the
 * object that owns the fd; the loop never closes an fd.
 */
#ifndef VMMCORE_LOOP_H
#define VMMCORE_LOOP_H

#include <sys/epoll.h>
#include <vmmcore/error.h>

VC_BEGIN_DECLS

struct vc_loop;
struct vc_watch;

/* `events` are EPOLL* bits. May add, change and remove any watch, its own
 * too, and may free the object the watch is in after removing it. */
typedef void (*vc_watch_fn)(struct vc_watch *w, uint32_t events);

struct vc_watch {
	vc_watch_fn fn;
	int fd; /* borrowed; -1 when not watched */
	uint32_t events;
	struct vc_loop *loop; /* borrowed; NULL when not watched */
};

int vc_loop_new(struct vc_loop **ret, struct vc_error *err) VC_MUST_CHECK;
struct vc_loop *vc_loop_free(struct vc_loop *loop); /* NULL is fine */

int vc_watch_add(struct vc_loop *loop, struct vc_watch *w, int fd,
		 uint32_t events, vc_watch_fn fn,
		 struct vc_error *err) VC_MUST_CHECK;
/* Cannot fail for a watched fd. */
void vc_watch_set_events(struct vc_watch *w, uint32_t events);
void vc_watch_remove(struct vc_watch *w); /* no-op when not watched */

/* One-shot timer on the loop, `delay_ns` from now. timerfd underneath, which
 * it owns; created by init, so it works in a sealed process. */
struct vc_timer {
	struct vc_watch watch;
	void (*fn)(struct vc_timer *t);
	int fd;
};
int vc_timer_init(struct vc_timer *t, struct vc_loop *loop,
		  void (*fn)(struct vc_timer *t),
		  struct vc_error *err) VC_MUST_CHECK;
void vc_timer_start(struct vc_timer *t, uint64_t delay_ns);
void vc_timer_stop(struct vc_timer *t);
void vc_timer_fini(struct vc_timer *t);

/* Run until vc_loop_stop(); returns the value given there, or -1 and `err`. */
int vc_loop_run(struct vc_loop *loop, int *ret_value,
		struct vc_error *err) VC_MUST_CHECK;
/* Wait at most `timeout_ms` (-1: for ever) and dispatch one round. */
int vc_loop_step(struct vc_loop *loop, int timeout_ms,
		 struct vc_error *err) VC_MUST_CHECK;
void vc_loop_stop(struct vc_loop *loop, int value);

VC_END_DECLS

#endif
