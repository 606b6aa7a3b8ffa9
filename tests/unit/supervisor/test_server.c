/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/util.h>
#include "vmm/control/client.h"
#include "vmm/control/server.h"
#include "vmm/control/socket.h"

static int nr_calls;
static struct vc_error err;

static json_t *method_ok(void *opaque, json_t *params, struct vc_error *e)
{
	(void)opaque;
	(void)params;
	(void)e;
	nr_calls++;
	return json_pack("{s:s}", "a", "b");
}

static json_t *method_bad(void *opaque, json_t *params, struct vc_error *e)
{
	(void)opaque;
	(void)params;
	vc_fail(e, VC_E_CONFIG, 0, "no such luck");
	return NULL;
}

static const struct ctl_method methods[] = {
	{ "ok", method_ok },
	{ "bad", method_bad },
};

START_TEST(answers_as_json_rpc_says)
{
	static const struct {
		const char *ask, *answer;
	} t[] = {
		{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ok\"}",
		  "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"b\"}}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"bad\"}",
		  "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-"
		  "32000,"
		  "\"message\":\"no such luck\"}}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"none\"}",
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,"
		  "\"message\":\"method not found\"}}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"ok\"}", NULL },
		{ "nonsense",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
		  "\"message\":\"parse error\"}}\n" },
		{ "[]",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
		  "\"message\":\"invalid request\"}}\n" },
		{ "{\"id\":1,\"method\":\"ok\"}",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
		  "\"message\":\"invalid request\"}}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ok\"}",
		  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
		  "\"message\":\"invalid request\"}}\n" },
	};
	char *answer =
		ctl_answer(t[_i].ask, strlen(t[_i].ask), methods, 2, NULL);

	if (t[_i].answer)
		ck_assert_str_eq(answer, t[_i].answer);
	else
		ck_assert_ptr_null(answer);
	ck_assert_int_eq(nr_calls, _i == 0 || _i == 3);
	free(answer);
}
END_TEST

struct fixture {
	char path[64];
	struct vc_loop *loop;
	struct ctl_server *server;
	pthread_t thread;
	int stop_fd[2];
	struct vc_watch stop;
};

static void on_stop(struct vc_watch *w, uint32_t events)
{
	(void)events;
	vc_loop_stop(w->loop, 0);
}

static void *serve(void *arg)
{
	struct fixture *f = arg;
	struct vc_error e;

	if (vc_loop_run(f->loop, NULL, &e) < 0)
		abort();
	return NULL;
}

static void start(struct fixture *f)
{
	snprintf(f->path, sizeof(f->path), "/tmp/vmmkit-test-%d.sock",
		 (int)getpid());
	ck_ok(vc_loop_new(&f->loop, &err), &err);
	ck_ok(ctl_server_new(f->loop, f->path, methods, 2, NULL, &f->server,
			     &err),
	      &err);
	ck_assert_int_eq(pipe(f->stop_fd), 0);
	ck_ok(vc_watch_add(f->loop, &f->stop, f->stop_fd[0], EPOLLIN, on_stop,
			   &err),
	      &err);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void stop(struct fixture *f)
{
	ck_assert_int_eq(write(f->stop_fd[1], "x", 1), 1);
	pthread_join(f->thread, NULL);
	ctl_server_free(f->server);
	vc_watch_remove(&f->stop);
	vc_loop_free(f->loop);
	close(f->stop_fd[0]);
	close(f->stop_fd[1]);
	ck_assert_int_eq(access(f->path, F_OK), -1);
}

START_TEST(serves_clients)
{
	struct fixture f = { 0 };
	json_t *result;
	int a, b;

	start(&f);
	a = ctl_connect(f.path, 1000, &err);
	b = ctl_connect(f.path, 1000, &err);
	ck_assert_int_ge(a, 0);
	ck_assert_int_ge(b, 0);
	ck_ok(ctl_call(a, "ok", NULL, CTL_TIMEOUT_MS, &result, &err), &err);
	ck_assert_str_eq(json_string_value(json_object_get(result, "a")), "b");
	json_decref(result);
	ck_fails(ctl_call(b, "bad", NULL, CTL_TIMEOUT_MS, NULL, &err), &err,
		 VC_E_PEER);
	ck_assert_ptr_nonnull(strstr(err.msg, "no such luck"));
	ck_ok(ctl_call(b, "ok", NULL, CTL_TIMEOUT_MS, NULL, &err), &err);
	ck_fails(ctl_wait_end(b, 10, &err), &err, VC_E_SYS);
	stop(&f);
	ck_ok(ctl_wait_end(b, 1000, &err), &err);
	close(a);
	close(b);
}
END_TEST

/* A client that never takes its answers must neither stop the others nor make
 * the server hold more than one answer for it. */
START_TEST(survives_a_client_that_does_not_read)
{
	static const char ask[] = "{\"jsonrpc\":\"2.0\",\"id\":1,"
				  "\"method\":\"ok\"}\n";
	struct fixture f = { 0 };
	int a, b, i;

	start(&f);
	a = ctl_connect(f.path, 1000, &err);
	b = ctl_connect(f.path, 1000, &err);
	for (i = 0; i < 100000; i++)
		if (send(a, ask, sizeof(ask) - 1, MSG_DONTWAIT) < 0)
			break;
	ck_assert_int_lt(i, 100000);
	ck_ok(ctl_call(b, "ok", NULL, CTL_TIMEOUT_MS, NULL, &err), &err);
	stop(&f);
	close(a);
	close(b);
}
END_TEST

START_TEST(drops_a_line_that_is_too_long)
{
	static char big[CTL_MAX_LINE + 1];
	struct fixture f = { 0 };
	struct pollfd p;
	int a;

	start(&f);
	a = ctl_connect(f.path, 1000, &err);
	memset(big, 'x', sizeof(big));
	ck_assert_int_ge(send(a, big, sizeof(big), MSG_NOSIGNAL), 0);
	p = (struct pollfd){ .fd = a, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_le(recv(a, big, 1, 0), 0);
	stop(&f);
	close(a);
}
END_TEST

START_TEST(bounds_the_number_of_clients)
{
	int fds[CTL_MAX_CLIENTS + 1], i;
	struct fixture f = { 0 };

	start(&f);
	for (i = 0; i < CTL_MAX_CLIENTS; i++) {
		fds[i] = ctl_connect(f.path, 1000, &err);
		ck_ok(ctl_call(fds[i], "ok", NULL, CTL_TIMEOUT_MS, NULL, &err),
		      &err);
	}
	fds[i] = ctl_connect(f.path, 1000, &err);
	ck_assert_int_eq(
		ctl_call(fds[i], "ok", NULL, CTL_TIMEOUT_MS, NULL, &err), -1);
	ck_ok(ctl_call(fds[0], "ok", NULL, CTL_TIMEOUT_MS, NULL, &err), &err);
	for (i = 0; i <= CTL_MAX_CLIENTS; i++)
		close(fds[i]);
	stop(&f);
}
END_TEST

TEST_SUITE(suite_server)
{
	Suite *s = suite_create("control/server");
	TCase *tc = test_case(s, "server");

	tcase_add_loop_test(tc, answers_as_json_rpc_says, 0, 8);
	tcase_add_test(tc, serves_clients);
	tcase_add_test(tc, survives_a_client_that_does_not_read);
	tcase_add_test(tc, drops_a_line_that_is_too_long);
	tcase_add_test(tc, bounds_the_number_of_clients);
	return s;
}
