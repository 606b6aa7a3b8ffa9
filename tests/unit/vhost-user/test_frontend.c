/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frontend against a backend in a thread that answers as it should, up to
 * one request it does something else to.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vhost-user/channel.h"
#include "vhost-user/frontend.h"
#include "tests/lib/test.h"

#define TIMEOUT_MS 200

enum sin {
	SIN_NONE,
	SIN_SILENT,
	SIN_HANG_UP,
	SIN_HALF, /* then hang up */
	SIN_HALF_AND_WAIT,
	SIN_OTHER_REQUEST,
	SIN_NO_REPLY_FLAG,
	SIN_VERSION,
	SIN_LONG,
	SIN_SHORT,
	SIN_HUGE,
	SIN_FD,
	SIN_TWICE, /* seen at the next request */
	SIN_REFUSE,
	SIN_NUMBER, /* a value that cannot be */
	NR_SINS
};

static struct vc_error err;
static struct vc_vhu_frontend *fe;
static pthread_t thread;

static struct script {
	int sock;
	uint32_t at; /* the request it sins at */
	enum sin sin;
	uint64_t protocol_features;
	/* what it saw */
	int request_fd;
	uint64_t features;
	struct vhu_msg mem, addr;
	unsigned nr_mem_fds;
} script;

/* A right reply to the message in `chan`; false if none is due. */
static bool right_reply(struct vhu_chan *chan, struct vhu_msg *ret)
{
	const struct vhu_msg *m = &chan->msg;

	*ret = *m;
	ret->flags = VHU_FLAG_REPLY;
	ret->kind = VHU_P_U64;
	switch (m->request) {
	case VHU_GET_FEATURES:
		ret->u64 = UINT64_C(1) << VHU_F_PROTOCOL_FEATURES | 1u << 5;
		return true;
	case VHU_GET_PROTOCOL_FEATURES:
		/* with ones the frontend does not know */
		ret->u64 = script.protocol_features | 1u << 15 | 1u << 1;
		return true;
	case VHU_GET_QUEUE_NUM:
		ret->u64 = 3;
		return true;
	case VHU_GET_VRING_BASE:
		ret->kind = VHU_P_STATE;
		ret->state.num = 77;
		return true;
	case VHU_GET_CONFIG:
		ret->kind = VHU_P_CONFIG;
		memset(ret->config.data, 0x42, ret->config.len);
		return true;
	case VHU_SET_FEATURES:
		script.features = m->u64;
		break;
	case VHU_SET_MEM_TABLE:
		script.mem = *m;
		script.nr_mem_fds = (unsigned)chan->nr_fds;
		break;
	case VHU_SET_VRING_ADDR:
		script.addr = *m;
		break;
	case VHU_SET_BACKEND_REQ_FD:
		script.request_fd = vhu_chan_take_fd(chan, 0);
		break;
	default:
		break;
	}
	ret->u64 = 0;
	return m->flags & VHU_FLAG_NEED_REPLY;
}

static void put_header(uint8_t *bytes, size_t at, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(bytes + at, &x, sizeof(x));
}

/* Do it wrong. False: and do no more. */
static bool commit_sin(struct vhu_msg *m)
{
	uint8_t bytes[VHU_MAX_BYTES] = { 0 };
	size_t len, nr_fds = 0;
	bool go_on = true;

	if (script.sin == SIN_NUMBER) {
		m->u64 = 0; /* queues */
		if (m->kind == VHU_P_STATE)
			m->state.num = 0x10000;
		if (m->kind == VHU_P_CONFIG)
			m->config.offset++;
	}
	if (script.sin == SIN_REFUSE) {
		m->u64 = 1;
		if (m->kind == VHU_P_CONFIG)
			m->kind = VHU_P_NONE;
	}
	len = vhu_encode(m, bytes);
	switch (script.sin) {
	case SIN_SILENT:
		return true;
	case SIN_HANG_UP:
		return false;
	case SIN_HALF:
		len -= 3;
		go_on = false;
		break;
	case SIN_HALF_AND_WAIT:
		len -= 3;
		break;
	case SIN_OTHER_REQUEST:
		put_header(bytes, 0,
			   m->request == VHU_GET_STATUS ? VHU_SET_STATUS
							: VHU_GET_STATUS);
		put_header(bytes, 8, 8);
		len = VHU_HEADER_BYTES + 8;
		break;
	case SIN_NO_REPLY_FLAG:
		put_header(bytes, 4, VHU_FLAG_VERSION);
		break;
	case SIN_VERSION:
		put_header(bytes, 4, 2 | VHU_FLAG_REPLY);
		break;
	case SIN_LONG:
		put_header(bytes, 8, (uint32_t)len - VHU_HEADER_BYTES + 1);
		len++;
		break;
	case SIN_SHORT:
		put_header(bytes, 8, (uint32_t)len - VHU_HEADER_BYTES - 1);
		len--;
		break;
	case SIN_HUGE:
		put_header(bytes, 8, UINT32_MAX);
		break;
	case SIN_FD:
		nr_fds = 1;
		break;
	case SIN_TWICE:
		memcpy(bytes + len, bytes, len);
		len *= 2;
		break;
	case SIN_NONE:
	case SIN_REFUSE:
	case SIN_NUMBER:
	case NR_SINS:
		break;
	}
	/* the frontend may have gone; then it has seen enough */
	return vc_send_fds(script.sock, bytes, len, &(int){ 2 }, nr_fds) > 0 &&
	       go_on;
}

static void *backend(void *opaque)
{
	struct vhu_chan chan;
	struct vc_error e;
	struct vhu_msg m;
	bool go_on = true;

	(void)opaque;
	if (vhu_chan_init(&chan, script.sock, VHU_TO_BACKEND, &e) < 0)
		return NULL;
	chan.sock = script.sock;
	while (go_on) {
		struct pollfd p = { chan.sock, POLLIN, 0 };
		enum vhu_recv r = vhu_chan_recv(&chan, &e);

		if (r == VHU_RECV_AGAIN) {
			poll(&p, 1, -1);
			continue;
		}
		if (r != VHU_RECV_MSG)
			break;
		if (!right_reply(&chan, &m))
			continue;
		if (m.request == script.at)
			go_on = commit_sin(&m);
		else
			go_on = vhu_chan_send(&chan, &m, NULL, 0, &e) == 0;
	}
	vhu_chan_fini(&chan);
	return NULL;
}

static int start(uint32_t at, enum sin sin, uint64_t protocol_features)
{
	int pair[2], rc;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	script = (struct script){ .sock = pair[0],
				  .at = at,
				  .sin = sin,
				  .protocol_features = protocol_features,
				  .request_fd = -1 };
	ck_assert_int_eq(pthread_create(&thread, NULL, backend, NULL), 0);
	fe = NULL;
	rc = vhu_frontend_new(pair[1], TIMEOUT_MS, &fe, &err);
	if (rc < 0) {
		vc_close(&pair[1]); /* it is ours still */
		pthread_join(thread, NULL);
		vc_close(&script.request_fd);
	}
	return rc;
}

static void finish(void)
{
	fe = vc_vhu_frontend_free(fe);
	pthread_join(thread, NULL);
	vc_close(&script.request_fd);
}

START_TEST(learns_what_the_backend_offers)
{
	ck_ok(start(0, SIN_NONE, VHU_PROTOCOL_FEATURES), &err);
	ck_assert_uint_eq(vc_vhu_frontend_features(fe), 1u << 5);
	ck_assert_uint_eq(vc_vhu_frontend_max_queues(fe), 3);
	ck_assert_int_ge(vc_vhu_frontend_get_request_fd(fe), 0);
	ck_ok(vc_vhu_frontend_set_features(fe, 1u << 5, &err), &err);
	ck_assert_uint_eq(script.features,
			  UINT64_C(1) << VHU_F_PROTOCOL_FEATURES | 1u << 5);
	finish();
}
END_TEST

START_TEST(makes_do_without_protocol_features)
{
	uint8_t buf[4];

	ck_ok(start(0, SIN_NONE, 0), &err);
	ck_assert_uint_eq(vc_vhu_frontend_max_queues(fe), 1);
	ck_assert_int_eq(vc_vhu_frontend_get_request_fd(fe), -1);
	ck_ok(vc_vhu_frontend_handle_requests(fe, &err), &err);
	ck_ok(vc_vhu_frontend_set_status(fe, 7, &err), &err);
	ck_ok(vc_vhu_frontend_reset(fe, &err), &err);
	ck_fails(vc_vhu_frontend_get_config(fe, 0, buf, 4, &err), &err,
		 VC_E_UNSUPPORTED);
	finish();
}
END_TEST

START_TEST(says_where_things_are)
{
	struct vc_vhu_queue q = { .size = 8,
				  .desc = 0x1000,
				  .avail = 0x2000,
				  .used = 0x3000,
				  .kick_fd = 2,
				  .call_fd = -1 };
	struct vc_mem *mem;
	uint8_t buf[4];
	uint16_t base;

	ck_ok(start(0, SIN_NONE, VHU_PROTOCOL_FEATURES), &err);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "a", 0, 0x10000, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "b", 0x100000, 0x10000, &err), &err);
	ck_ok(vc_vhu_frontend_set_mem(fe, mem, &err), &err);
	ck_assert_uint_eq(script.mem.mem.nr, 2);
	ck_assert_uint_eq(script.nr_mem_fds, 2);
	ck_assert_uint_eq(script.mem.mem.regions[1].user_addr,
			  VHU_USER_BASE + 0x100000);
	ck_ok(vc_vhu_frontend_start_queue(fe, 2, &q, &err), &err);
	ck_assert_uint_eq(script.addr.addr.used, VHU_USER_BASE + 0x3000);
	ck_ok(vc_vhu_frontend_stop_queue(fe, 2, &base, &err), &err);
	ck_assert_uint_eq(base, 77);
	ck_fails(vc_vhu_frontend_start_queue(fe, 3, &q, &err), &err, VC_E_ARG);
	ck_ok(vc_vhu_frontend_get_config(fe, 0, buf, 4, &err), &err);
	ck_assert_uint_eq(buf[3], 0x42);
	ck_fails(vc_vhu_frontend_get_config(fe, 255, buf, 4, &err), &err,
		 VC_E_ARG);
	ck_fails(vc_vhu_frontend_set_config(fe, UINT32_MAX, buf, 4, &err), &err,
		 VC_E_ARG);
	vc_mem_free(mem);
	finish();
}
END_TEST

START_TEST(refuses_memory_it_cannot_share)
{
	static uint8_t plain[4096];
	struct vc_mem *mem;
	unsigned i;

	ck_ok(start(0, SIN_NONE, VHU_PROTOCOL_FEATURES), &err);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_plain(mem, plain, 0, 4096, &err), &err);
	ck_fails(vc_vhu_frontend_set_mem(fe, mem, &err), &err, VC_E_ARG);
	for (i = 1; i < 9; i++)
		ck_ok(vc_mem_add_ram(mem, "a", i * 0x10000, 4096, &err), &err);
	ck_fails(vc_vhu_frontend_set_mem(fe, mem, &err), &err, VC_E_LIMIT);
	vc_mem_free(mem);
	finish();
}
END_TEST

static void count(void *opaque)
{
	++*(unsigned *)opaque;
}

START_TEST(hears_of_config_changes)
{
	struct vhu_msg msg = { .request = VHU_BACKEND_CONFIG_CHANGE,
			       .kind = VHU_P_NONE };
	struct vhu_chan chan;
	unsigned n = 0;

	ck_ok(start(0, SIN_NONE, VHU_PROTOCOL_FEATURES), &err);
	vc_vhu_frontend_on_config_change(fe, count, &n);
	ck_ok(vhu_chan_init(&chan, script.request_fd, VHU_REPLY_OF_FRONTEND,
			    &err),
	      &err);
	chan.sock = vc_steal_fd(&script.request_fd);
	ck_ok(vhu_chan_send(&chan, &msg, NULL, 0, &err), &err);
	msg.flags = VHU_FLAG_NEED_REPLY;
	ck_ok(vhu_chan_send(&chan, &msg, NULL, 0, &err), &err);
	ck_ok(vc_vhu_frontend_handle_requests(fe, &err), &err);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(vhu_chan_recv(&chan, &err), VHU_RECV_MSG);
	ck_assert_uint_eq(chan.msg.u64, 0);
	ck_assert_int_eq(vhu_chan_recv(&chan, &err), VHU_RECV_AGAIN);
	/* nonsense, then the end */
	ck_assert_int_eq(write(chan.sock, "nonsense, nonsense", 18), 18);
	ck_fails(vc_vhu_frontend_handle_requests(fe, &err), &err, VC_E_PEER);
	vhu_chan_fini(&chan);
	finish();
}
END_TEST

/* A backend that refuses is heard, and no reason to end. */
START_TEST(hears_refusals)
{
	uint8_t buf[4] = { 0 };

	ck_ok(start(VHU_SET_STATUS, SIN_REFUSE, VHU_PROTOCOL_FEATURES), &err);
	ck_fails(vc_vhu_frontend_set_status(fe, 1, &err), &err, VC_E_PEER);
	ck_ok(vc_vhu_frontend_get_config(fe, 0, buf, 4, &err), &err);
	finish();
	ck_ok(start(VHU_GET_CONFIG, SIN_REFUSE, VHU_PROTOCOL_FEATURES), &err);
	ck_fails(vc_vhu_frontend_get_config(fe, 0, buf, 4, &err), &err,
		 VC_E_PEER);
	ck_ok(vc_vhu_frontend_set_status(fe, 1, &err), &err);
	finish();
}
END_TEST

/* Everything wrong with a reply, at each kind of request. */
static const uint32_t at[] = {
	VHU_GET_FEATURES, VHU_GET_QUEUE_NUM,  VHU_SET_BACKEND_REQ_FD,
	VHU_SET_STATUS,	  VHU_GET_VRING_BASE, VHU_GET_CONFIG,
};
#define NR_AT ((int)VC_ARRAY_SIZE(at))

static int talk(void)
{
	uint8_t buf[4];
	uint16_t base;

	if (vc_vhu_frontend_set_status(fe, 1, &err) < 0 ||
	    vc_vhu_frontend_stop_queue(fe, 0, &base, &err) < 0 ||
	    vc_vhu_frontend_get_config(fe, 0, buf, 4, &err) < 0)
		return -1;
	return vc_vhu_frontend_set_status(fe, 1, &err);
}

START_TEST(ends_on_wrong_replies)
{
	enum sin sin = (enum sin)(SIN_SILENT + _i / NR_AT);
	uint32_t request = at[_i % NR_AT];
	uint64_t before = vc_now_ns();

	if ((sin == SIN_REFUSE || sin == SIN_NUMBER) &&
	    request != VHU_GET_VRING_BASE && request != VHU_GET_CONFIG &&
	    request != VHU_GET_QUEUE_NUM)
		return; /* any number will do there */
	if (sin == SIN_REFUSE)
		return; /* hears_refusals */
	if (start(request, sin, VHU_PROTOCOL_FEATURES) == 0) {
		ck_fails(talk(), &err, VC_E_PEER);
		/* and nothing brings it back */
		ck_fails(vc_vhu_frontend_set_status(fe, 1, &err), &err,
			 VC_E_PEER);
		finish();
	} else {
		ck_assert_int_eq(err.code, VC_E_PEER);
	}
	ck_assert_uint_lt(vc_now_ns() - before, UINT64_C(20000000000));
}
END_TEST

/* The socket is full because the backend does not read. */
START_TEST(times_out_when_nothing_is_read)
{
	int pair[2], small = 1;
	uint8_t fill[4096] = { 0 };

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (send(pair[1], fill, sizeof(fill), MSG_DONTWAIT) > 0)
		;
	ck_fails(vhu_frontend_new(pair[1], TIMEOUT_MS, &fe, &err), &err,
		 VC_E_PEER);
	vc_close(&pair[0]);
	vc_close(&pair[1]);
}
END_TEST

TEST_SUITE(suite_frontend)
{
	Suite *s = suite_create("vhost-user/frontend");
	TCase *tc = test_case(s, "frontend");

	tcase_add_test(tc, learns_what_the_backend_offers);
	tcase_add_test(tc, makes_do_without_protocol_features);
	tcase_add_test(tc, says_where_things_are);
	tcase_add_test(tc, refuses_memory_it_cannot_share);
	tcase_add_test(tc, hears_of_config_changes);
	tcase_add_test(tc, hears_refusals);
	tc = test_case(s, "hostile");
	tcase_add_loop_test(tc, ends_on_wrong_replies, 0,
			    (NR_SINS - SIN_SILENT) * NR_AT);
	tcase_add_test(tc, times_out_when_nothing_is_read);
	return s;
}
