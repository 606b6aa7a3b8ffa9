/* SPDX-License-Identifier: BSD-3-Clause */
#include <sys/eventfd.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/loop.h>

static struct vc_error err;
static struct vc_watch watches[2];
static int nr_called;

/* Each removes the other: whichever runs first, only one may run. */
static void remove_other(struct vc_watch *w, uint32_t events)
{
	(void)events;
	nr_called++;
	vc_watch_remove(w == &watches[0] ? &watches[1] : &watches[0]);
	vc_loop_stop(w->loop, 5);
}

START_TEST(a_removed_watch_of_the_same_batch_is_not_called)
{
	struct vc_loop *loop;
	int fds[2], value, i;

	ck_ok(vc_loop_new(&loop, &err), &err);
	for (i = 0; i < 2; i++) {
		fds[i] = eventfd(1, EFD_CLOEXEC);
		ck_ok(vc_watch_add(loop, &watches[i], fds[i], EPOLLIN,
				   remove_other, &err),
		      &err);
	}
	ck_ok(vc_loop_run(loop, &value, &err), &err);
	ck_assert_int_eq(value, 5);
	ck_assert_int_eq(nr_called, 1);
	vc_watch_remove(&watches[0]);
	vc_watch_remove(&watches[1]);
	vc_loop_free(loop);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static void on_timer(struct vc_timer *t)
{
	nr_called++;
	vc_loop_stop(t->watch.loop, 0);
}

START_TEST(a_timer_fires_once_and_not_when_stopped)
{
	struct vc_timer t = { .fd = -1 };
	struct vc_loop *loop;

	ck_ok(vc_loop_new(&loop, &err), &err);
	ck_ok(vc_timer_init(&t, loop, on_timer, &err), &err);
	vc_timer_start(&t, 0);
	ck_ok(vc_loop_run(loop, NULL, &err), &err);
	ck_ok(vc_loop_step(loop, 20, &err), &err);
	ck_assert_int_eq(nr_called, 1);
	vc_timer_start(&t, 1);
	vc_timer_stop(&t);
	ck_ok(vc_loop_step(loop, 20, &err), &err);
	ck_assert_int_eq(nr_called, 1);
	vc_timer_fini(&t);
	vc_loop_free(loop);
}
END_TEST

TEST_SUITE(suite_loop)
{
	Suite *s = suite_create("base/loop");
	TCase *tc = test_case(s, "loop");

	tcase_add_test(tc, a_removed_watch_of_the_same_batch_is_not_called);
	tcase_add_test(tc, a_timer_fires_once_and_not_when_stopped);
	return s;
}
