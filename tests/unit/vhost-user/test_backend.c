/* SPDX-License-Identifier: BSD-3-Clause */
/* The backend under a frontend that is this file: one thread, which writes
 * messages and then turns the backend's loop. */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vhost-user/channel.h"
#include "virtio/device.h"
#include "tests/lib/test.h"

#define RAM_GPA 0x10000u
#define RAM_BYTES 0x10000u
#define USER UINT64_C(0x7f0000000000)
#define DESC 0x0u /* in RAM */
#define AVAIL 0x1000u
#define USED 0x2000u
#define QSIZE 8u

static struct vc_error err;

/* A device that takes every chain and counts what happens to it. */
static struct stub {
	struct vc_virtio_dev dev;
	unsigned nr_starts, nr_stops, nr_kicks, nr_resets, nr_chains;
	uint8_t config[8];
	struct vc_vq_chain chain;
} stub;

static struct vc_loop *loop;
static struct vc_vhu_backend *be;
static struct vhu_chan chan; /* our end */
static bool has_ended, has_end_err;
static struct vc_error end_err;

static uint64_t stub_features(const struct vc_virtio_dev *dev)
{
	(void)dev;
	return 1u << 5;
}

static size_t stub_get_config(const struct vc_virtio_dev *dev, uint8_t *buf)
{
	(void)dev;
	memcpy(buf, stub.config, sizeof(stub.config));
	return sizeof(stub.config);
}

static void stub_set_config(struct vc_virtio_dev *dev, size_t off,
			    const uint8_t *buf, size_t len)
{
	(void)dev;
	memcpy(stub.config + off, buf, len);
}

static void stub_start(struct vc_virtio_dev *dev, unsigned qi)
{
	ck_assert(dev->vq[qi].is_running);
	stub.nr_starts++;
}

static void stub_kick(struct vc_virtio_dev *dev, unsigned qi)
{
	stub.nr_kicks++;
	while (virtio_dev_pop(dev, qi, &stub.chain)) {
		stub.nr_chains++;
		vc_vq_push(&dev->vq[qi], stub.chain.head, 0);
	}
	vc_vq_notify(&dev->vq[qi]);
}

static void stub_stop(struct vc_virtio_dev *dev, unsigned qi)
{
	ck_assert(dev->vq[qi].is_running);
	stub.nr_stops++;
}

static void stub_reset(struct vc_virtio_dev *dev)
{
	(void)dev;
	stub.nr_resets++;
}

static const struct vc_virtio_ops stub_ops = {
	.name = "stub",
	.features = stub_features,
	.get_config = stub_get_config,
	.start_queue = stub_start,
	.kick = stub_kick,
	.stop_queue = stub_stop,
	.set_config = stub_set_config,
	.reset = stub_reset,
};

static void on_end(void *opaque, const struct vc_error *e)
{
	ck_assert_ptr_eq(opaque, &stub);
	ck_assert(!has_ended);
	has_ended = true;
	has_end_err = e;
	if (e)
		end_err = *e;
}

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_ok(vc_loop_new(&loop, &err), &err);
	memset(&stub, 0, sizeof(stub));
	virtio_dev_init(&stub.dev, &stub_ops, loop, 2, 256);
	has_ended = false;
	ck_ok(vc_vhu_backend_new(&stub.dev, pair[0], on_end, &stub, &be, &err),
	      &err);
	ck_ok(vhu_chan_init(&chan, pair[1], VHU_REPLY_OF_BACKEND, &err), &err);
	chan.sock = pair[1];
}

static void teardown(void)
{
	vc_vhu_backend_free(be);
	vc_loop_free(loop);
	vhu_chan_fini(&chan);
}

static void pump(void)
{
	int i;

	for (i = 0; i < 4; i++)
		ck_ok(vc_loop_step(loop, 0, &err), &err);
}

static void say(struct vhu_msg msg, const int *fds, size_t nr_fds)
{
	ck_ok(vhu_chan_send(&chan, &msg, fds, nr_fds, &err), &err);
	pump();
}

static const struct vhu_msg *reply(void)
{
	enum vhu_recv r = vhu_chan_recv(&chan, &err);

	ck_assert_msg(r == VHU_RECV_MSG, "no reply (%d)", (int)r);
	return &chan.msg;
}

static void say_none(uint32_t request)
{
	say((struct vhu_msg){ .request = request, .kind = VHU_P_NONE }, NULL,
	    0);
}

static void say_u64(uint32_t request, uint64_t v)
{
	say((struct vhu_msg){ .request = request, .kind = VHU_P_U64, .u64 = v },
	    NULL, 0);
}

static void say_fd(uint32_t request, uint64_t v, int fd)
{
	say((struct vhu_msg){ .request = request, .kind = VHU_P_U64, .u64 = v },
	    &fd, 1);
}

static void say_state(uint32_t request, uint32_t index, uint32_t num)
{
	say((struct vhu_msg){ .request = request,
			      .kind = VHU_P_STATE,
			      .state = { index, num } },
	    NULL, 0);
}

static void say_addr(uint32_t index, uint64_t desc)
{
	say((struct vhu_msg){ .request = VHU_SET_VRING_ADDR,
			      .kind = VHU_P_ADDR,
			      .addr = { index, 0, desc, USER + USED,
					USER + AVAIL, 0 } },
	    NULL, 0);
}

/* Was the last thing said refused, in a way that ended the connection? */
static void expect_end(enum vc_errc code)
{
	pump();
	ck_assert(has_ended);
	ck_assert(has_end_err);
	ck_assert_int_eq(end_err.code, code);
}

static uint64_t acked(struct vhu_msg msg, const int *fds, size_t nr_fds)
{
	msg.flags |= VHU_FLAG_NEED_REPLY;
	say(msg, fds, nr_fds);
	ck_assert_uint_eq(reply()->request, msg.request);
	return chan.msg.u64;
}

static void negotiate(void)
{
	say_none(VHU_GET_FEATURES);
	ck_assert(reply()->u64 >> VHU_F_PROTOCOL_FEATURES & 1);
	say_none(VHU_GET_PROTOCOL_FEATURES);
	ck_assert_uint_eq(reply()->u64, VHU_PROTOCOL_FEATURES);
	say_u64(VHU_SET_PROTOCOL_FEATURES, VHU_PROTOCOL_FEATURES);
	say_none(VHU_SET_OWNER);
	say_u64(VHU_SET_FEATURES, UINT64_C(1) << VC_VIRTIO_F_VERSION_1 |
					  UINT64_C(1)
						  << VHU_F_PROTOCOL_FEATURES);
}

/* RAM of which we keep a mapping; two regions of it when `split`. */
static uint8_t *give_mem(bool split)
{
	int fds[2], fd = memfd_create("ram", MFD_CLOEXEC);
	struct vhu_msg msg = {
		.request = VHU_SET_MEM_TABLE,
		.kind = VHU_P_MEM,
		.mem = { 1, { { RAM_GPA, RAM_BYTES, USER, 0 } } },
	};
	uint8_t *ram;

	ck_assert(fd >= 0 && ftruncate(fd, RAM_BYTES) == 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(ram, MAP_FAILED);
	if (split) {
		msg.mem.nr = 2;
		msg.mem.regions[0].size_bytes = 0x8000;
		msg.mem.regions[1] =
			(struct vhu_region){ RAM_GPA + 0x8000, 0x8000,
					     USER + 0x8000, 0x8000 };
	}
	fds[0] = fds[1] = fd;
	say(msg, fds, msg.mem.nr);
	vc_close(&fd);
	return ram;
}

/* Queue 0, all but its enabling; returns the kick eventfd. */
static int set_up_queue(void)
{
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ck_assert_int_ge(kick, 0);
	say_state(VHU_SET_VRING_NUM, 0, QSIZE);
	say_state(VHU_SET_VRING_BASE, 0, 0);
	say_addr(0, USER + DESC);
	say_fd(VHU_SET_VRING_KICK, 0, kick);
	ck_assert(!stub.dev.vq[0].is_running);
	return kick;
}

/* One descriptor made available as entry `idx`. */
static void make_available(uint8_t *ram, uint16_t idx)
{
	le64_t addr = le64_put(RAM_GPA + 0x4000);
	le32_t len = le32_put(4);
	le16_t i = le16_put((uint16_t)(idx + 1));

	memcpy(ram + DESC, &addr, 8);
	memcpy(ram + DESC + 8, &len, 4);
	memcpy(ram + AVAIL + 2, &i, 2);
}

static void kick_it(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
	pump();
}

START_TEST(runs_a_queue)
{
	int kick, call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n;
	uint8_t *ram;

	negotiate();
	ram = give_mem(true);
	kick = set_up_queue();
	say_fd(VHU_SET_VRING_CALL, 0, call);
	make_available(ram, 0);
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	/* what was there before the start is taken without a kick */
	ck_assert_uint_eq(stub.nr_starts, 1);
	ck_assert_uint_eq(stub.nr_chains, 1);
	ck_assert_int_eq(read(call, &n, 8), 8);
	make_available(ram, 1);
	kick_it(kick);
	ck_assert_uint_eq(stub.nr_chains, 2);
	ck_assert_int_eq(read(call, &n, 8), 8);
	/* a call descriptor may be changed under way, and be none */
	say_u64(VHU_SET_VRING_CALL, VHU_VRING_NO_FD);
	make_available(ram, 2);
	kick_it(kick);
	ck_assert_uint_eq(stub.nr_chains, 3);
	ck_assert_int_eq(read(call, &n, 8), -1);

	say_state(VHU_GET_VRING_BASE, 0, 0);
	ck_assert_uint_eq(reply()->state.num, 3);
	ck_assert_uint_eq(stub.nr_stops, 1);
	make_available(ram, 3);
	kick_it(kick);
	ck_assert_uint_eq(stub.nr_chains, 3);
	/* it starts again with a new kick descriptor, at the base it had */
	say_fd(VHU_SET_VRING_KICK, 0, kick);
	ck_assert_uint_eq(stub.nr_chains, 4);
	ck_assert(!has_ended);
	vc_close(&kick);
	vc_close(&call);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(stops_and_starts_by_enable)
{
	uint8_t *ram;
	int kick;

	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	ck_assert_uint_eq(stub.nr_starts, 1);
	say_state(VHU_SET_VRING_ENABLE, 0, 0);
	ck_assert_uint_eq(stub.nr_stops, 1);
	make_available(ram, 0);
	kick_it(kick);
	ck_assert_uint_eq(stub.nr_chains, 0);
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	ck_assert_uint_eq(stub.nr_chains, 1);
	/* the second queue never had anything to do with it */
	ck_assert(!stub.dev.vq[1].is_running);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

/* Without VHOST_USER_F_PROTOCOL_FEATURES queues are enabled from the start. */
START_TEST(runs_for_a_frontend_without_protocol_features)
{
	uint8_t *ram;
	int kick;

	say_none(VHU_SET_OWNER);
	ram = give_mem(false);
	make_available(ram, 0);
	kick = set_up_queue();
	say_u64(VHU_SET_FEATURES, 0);
	ck_assert_uint_eq(stub.nr_chains, 1);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(resets)
{
	uint8_t *ram;
	int kick;

	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	say_u64(VHU_SET_STATUS, 0xf);
	say_none(VHU_GET_STATUS);
	ck_assert_uint_eq(reply()->u64, 0xf);
	if (_i)
		say_u64(VHU_SET_STATUS, 0);
	else
		say_none(VHU_RESET_DEVICE);
	ck_assert(!stub.dev.vq[0].is_running);
	ck_assert_uint_eq(stub.nr_resets, 1);
	ck_assert_uint_eq(stub.dev.features, 0);
	say_none(VHU_GET_STATUS);
	ck_assert_uint_eq(reply()->u64, 0);
	/* everything from the start again, but the memory */
	vc_close(&kick);
	say_u64(VHU_SET_FEATURES, UINT64_C(1) << VHU_F_PROTOCOL_FEATURES);
	kick = set_up_queue();
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	ck_assert_uint_eq(stub.nr_starts, 2);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(answers_about_itself)
{
	struct vhu_msg get = { .request = VHU_GET_CONFIG,
			       .kind = VHU_P_CONFIG,
			       .config = { 4, 60, 0, 60, { 0 } } };
	uint8_t want[60] = { 5, 6, 7, 8 };

	memcpy(stub.config, "\1\2\3\4\5\6\7\10", 8);
	negotiate();
	say_none(VHU_GET_QUEUE_NUM);
	ck_assert_uint_eq(reply()->u64, 2);
	/* longer than what the device has: zeroes */
	say(get, NULL, 0);
	ck_assert_uint_eq(reply()->config.len, 60);
	ck_assert_mem_eq(chan.msg.config.data, want, 60);
	/* a request without room is a request all the same */
	get.config.len = 0;
	say(get, NULL, 0);
	ck_assert_uint_eq(reply()->config.len, 60);
	get.config.offset = 200;
	say(get, NULL, 0);
	ck_assert_uint_eq(reply()->size_bytes, 0);
	get.config.offset = UINT32_MAX;
	say(get, NULL, 0);
	ck_assert_uint_eq(reply()->size_bytes, 0);
	ck_assert(!has_ended);
}
END_TEST

START_TEST(sets_config)
{
	struct vhu_msg set = { .request = VHU_SET_CONFIG,
			       .kind = VHU_P_CONFIG,
			       .config = { 6, 2, 0, 2, { 1, 2 } } };

	negotiate();
	ck_assert_uint_eq(acked(set, NULL, 0), 0);
	ck_assert_uint_eq(stub.config[7], 2);
	set.config.offset = 7;
	ck_assert_uint_eq(acked(set, NULL, 0), 1);
	set.config.offset = UINT32_MAX;
	ck_assert_uint_eq(acked(set, NULL, 0), 1);
}
END_TEST

START_TEST(tells_of_config_changes)
{
	struct vhu_chan requests;
	int pair[2], i;

	negotiate();
	stub.dev.on_config_change(&stub.dev); /* nobody to tell yet */
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	say((struct vhu_msg){ .request = VHU_SET_BACKEND_REQ_FD,
			      .kind = VHU_P_NONE },
	    &pair[1], 1);
	vc_close(&pair[1]);
	ck_ok(vhu_chan_init(&requests, pair[0], VHU_TO_FRONTEND, &err), &err);
	requests.sock = pair[0];
	stub.dev.on_config_change(&stub.dev);
	ck_assert_int_eq(vhu_chan_recv(&requests, &err), VHU_RECV_MSG);
	ck_assert_uint_eq(requests.msg.request, VHU_BACKEND_CONFIG_CHANGE);
	/* a frontend that does not read blocks nobody */
	for (i = 0; i < 100000; i++)
		stub.dev.on_config_change(&stub.dev);
	ck_assert_int_eq(vhu_chan_recv(&requests, &err), VHU_RECV_MSG);
	vhu_chan_fini(&requests);
	stub.dev.on_config_change(&stub.dev);
	ck_assert(!has_ended);
}
END_TEST

START_TEST(signals_a_broken_queue)
{
	int kick, bad = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint8_t *ram;
	uint64_t n;

	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_fd(VHU_SET_VRING_ERR, 0, bad);
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	memset(ram + AVAIL + 2, 0x55, 2);
	ck_assert_int_eq(read(bad, &n, 8), -1);
	kick_it(kick);
	ck_assert_int_eq(read(bad, &n, 8), 8);
	ck_assert_uint_eq(stub.dev.nr_guest_errors, 1);
	ck_assert(!has_ended);
	vc_close(&kick);
	vc_close(&bad);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(ends_when_the_frontend_hangs_up)
{
	uint8_t *ram;
	int kick;

	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	vhu_chan_fini(&chan);
	pump();
	ck_assert(has_ended && !has_end_err);
	ck_assert_uint_eq(stub.nr_stops, 1);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

/* A new frontend finds the device as after power on. */
START_TEST(forgets_the_frontend)
{
	negotiate();
	vhu_chan_fini(&chan);
	pump();
	teardown();
	ck_assert_uint_eq(stub.nr_resets, 1);
	ck_assert_uint_eq(stub.dev.features, 0);
	ck_assert_ptr_null(stub.dev.owner);
	setup();
	negotiate();
	ck_assert(!has_ended);
}
END_TEST

/* --- hostile ------------------------------------------------------------- */

/* Each of these is refused: with an acknowledgement where one was agreed. */
START_TEST(refuses_in_good_form)
{
	static const struct vhu_msg bad[] = {
		{ .request = VHU_SET_FEATURES, .kind = VHU_P_U64, .u64 = 1 },
		{ .request = VHU_SET_PROTOCOL_FEATURES,
		  .kind = VHU_P_U64,
		  .u64 = 1u << 1 },
		{ .request = VHU_SET_VRING_NUM,
		  .kind = VHU_P_STATE,
		  .state = { 2, 8 } },
		{ .request = VHU_SET_VRING_NUM,
		  .kind = VHU_P_STATE,
		  .state = { 0, 0 } },
		{ .request = VHU_SET_VRING_NUM,
		  .kind = VHU_P_STATE,
		  .state = { 0, 7 } },
		{ .request = VHU_SET_VRING_NUM,
		  .kind = VHU_P_STATE,
		  .state = { 0, 512 } },
		{ .request = VHU_SET_VRING_NUM,
		  .kind = VHU_P_STATE,
		  .state = { 0, 0x10008 } },
		{ .request = VHU_SET_VRING_BASE,
		  .kind = VHU_P_STATE,
		  .state = { 0, 0x10000 } },
		{ .request = VHU_SET_VRING_BASE,
		  .kind = VHU_P_STATE,
		  .state = { UINT32_MAX, 0 } },
		{ .request = VHU_SET_VRING_ADDR,
		  .kind = VHU_P_ADDR,
		  .addr = { 9, 0, 0, 0, 0, 0 } },
		{ .request = VHU_SET_VRING_ADDR,
		  .kind = VHU_P_ADDR,
		  .addr = { 0, 1, 0, 0, 0, 0 } },
		{ .request = VHU_SET_VRING_ENABLE,
		  .kind = VHU_P_STATE,
		  .state = { 0, 2 } },
		{ .request = VHU_SET_VRING_ENABLE,
		  .kind = VHU_P_STATE,
		  .state = { 200, 1 } },
		{ .request = VHU_SET_VRING_KICK,
		  .kind = VHU_P_U64,
		  .u64 = VHU_VRING_NO_FD },
		{ .request = VHU_SET_VRING_CALL,
		  .kind = VHU_P_U64,
		  .u64 = VHU_VRING_NO_FD | 2 },
		{ .request = VHU_SET_STATUS, .kind = VHU_P_U64, .u64 = 0x100 },
	};

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 16);
	negotiate();
	ck_assert_uint_eq(acked(bad[_i], NULL, 0), 1);
	ck_assert(!has_ended);
	/* and without one, that is the end */
	say(bad[_i], NULL, 0);
	ck_assert(has_ended && has_end_err);
}
END_TEST

/* What a running queue stands on stays. */
START_TEST(refuses_changes_under_way)
{
	struct vhu_msg num = { .request = VHU_SET_VRING_NUM,
			       .kind = VHU_P_STATE,
			       .state = { 0, 16 } };
	struct vhu_msg base = { .request = VHU_SET_VRING_BASE,
				.kind = VHU_P_STATE };
	struct vhu_msg addr = { .request = VHU_SET_VRING_ADDR,
				.kind = VHU_P_ADDR };
	struct vhu_msg features = { .request = VHU_SET_FEATURES,
				    .kind = VHU_P_U64 };
	struct vhu_msg mem = { .request = VHU_SET_MEM_TABLE,
			       .kind = VHU_P_MEM };
	uint8_t *ram;
	int kick;

	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	ck_assert_uint_eq(acked(num, NULL, 0), 1);
	ck_assert_uint_eq(acked(base, NULL, 0), 1);
	ck_assert_uint_eq(acked(addr, NULL, 0), 1);
	ck_assert_uint_eq(acked(features, NULL, 0), 1);
	ck_assert_uint_eq(acked(mem, NULL, 0), 1); /* of no region */
	make_available(ram, 0);
	kick_it(kick);
	ck_assert_uint_eq(stub.nr_chains, 1);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(refuses_rings_outside_memory)
{
	static const uint64_t desc[] = { 0,
					 USER - 16,
					 USER + RAM_BYTES - 16,
					 USER + RAM_BYTES,
					 UINT64_MAX - 15,
					 USER + 8, /* not aligned */
					 RAM_GPA };
	struct vhu_msg enable = { .request = VHU_SET_VRING_ENABLE,
				  .kind = VHU_P_STATE,
				  .state = { 0, 1 } };
	uint8_t *ram;
	int kick;

	ck_assert_uint_eq(VC_ARRAY_SIZE(desc), 7);
	negotiate();
	ram = give_mem(false);
	kick = set_up_queue();
	say_addr(0, desc[_i]);
	ck_assert_uint_eq(acked(enable, NULL, 0), 1);
	ck_assert(!stub.dev.vq[0].is_running);
	ck_assert_uint_eq(stub.nr_starts, 0);
	vc_close(&kick);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(refuses_memory)
{
	static const struct {
		uint32_t nr;
		struct vhu_region r[2];
	} bad[] = {
		{ 1, { { 0, RAM_BYTES + 0x1000, 0, 0 } } }, /* file too short */
		{ 1, { { 0, 0x1000, 0, RAM_BYTES } } },
		{ 1, { { 0, 0, 0, 0 } } },
		{ 1, { { 0, 0x1800, 0, 0 } } },
		{ 1, { { 0x800, 0x1000, 0, 0 } } },
		{ 1, { { 0, 0x1000, 0, UINT64_MAX & ~UINT64_C(0xfff) } } },
		{ 1, { { UINT64_MAX & ~UINT64_C(0xfff), 0x1000, 0, 0 } } },
		{ 1, { { 0, UINT64_MAX & ~UINT64_C(0xfff), 0, 0 } } },
		{ 1, { { 0, 0x1000, UINT64_MAX - 0xffe, 0 } } },
		{ 2, { { 0, 0x2000, 0, 0 }, { 0x1000, 0x1000, 0, 0 } } },
	};
	struct vhu_msg msg = { .request = VHU_SET_MEM_TABLE,
			       .kind = VHU_P_MEM };
	int fds[2];
	uint8_t *ram;

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 10);
	negotiate();
	ram = give_mem(false);
	fds[0] = fds[1] = memfd_create("ram", MFD_CLOEXEC);
	ck_assert(fds[0] >= 0 && ftruncate(fds[0], RAM_BYTES) == 0);
	msg.mem.nr = bad[_i].nr;
	memcpy(msg.mem.regions, bad[_i].r, sizeof(bad[_i].r));
	ck_assert_uint_eq(acked(msg, fds, msg.mem.nr), 1);
	ck_assert(!has_ended);
	vc_close(&fds[0]);
	munmap(ram, RAM_BYTES);
}
END_TEST

/* A kick descriptor that is none must neither hang nor spin the backend. */
START_TEST(survives_odd_kick_descriptors)
{
	int fds[2], memfd = memfd_create("odd", MFD_CLOEXEC);
	struct vhu_msg kick = { .request = VHU_SET_VRING_KICK,
				.kind = VHU_P_U64 };
	uint8_t *ram;
	unsigned n;

	negotiate();
	ram = give_mem(false);
	vc_close(&(int){ set_up_queue() });
	say_state(VHU_SET_VRING_ENABLE, 0, 1);
	/* a file cannot be waited for */
	ck_assert_uint_eq(acked(kick, &memfd, 1), 1);
	/* a pipe can, and hangs up */
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_uint_eq(acked(kick, &fds[0], 1), 0);
	vc_close(&fds[0]);
	vc_close(&fds[1]);
	pump();
	n = stub.nr_kicks;
	pump();
	ck_assert_uint_eq(stub.nr_kicks, n);
	ck_assert(!has_ended);
	vc_close(&memfd);
	munmap(ram, RAM_BYTES);
}
END_TEST

static void raw(const void *bytes, size_t len, size_t nr_fds)
{
	int fds[VC_MAX_FDS] = { 0 };
	size_t i;

	for (i = 0; i < nr_fds; i++)
		fds[i] = STDERR_FILENO;
	ck_assert_int_eq(vc_send_fds(chan.sock, bytes, len, fds, nr_fds),
			 (ssize_t)len);
	pump();
}

START_TEST(ends_on_garbage)
{
	uint8_t junk[64];

	memset(junk, 0xa5, sizeof(junk));
	raw(junk, sizeof(junk), 0);
	expect_end(VC_E_PEER);
}
END_TEST

START_TEST(ends_on_half_a_message)
{
	struct vhu_msg msg = { .request = VHU_SET_FEATURES, .kind = VHU_P_U64 };
	uint8_t bytes[VHU_MAX_BYTES];
	size_t len = vhu_encode(&msg, bytes), i;

	/* byte by byte is slow, but not wrong */
	for (i = 0; i < len; i++)
		raw(bytes + i, 1, 0);
	ck_assert(!has_ended);
	raw(bytes, len - (size_t)_i, 0);
	vhu_chan_fini(&chan);
	expect_end(VC_E_PEER);
}
END_TEST

START_TEST(ends_on_too_many_descriptors)
{
	struct vhu_msg msg = { .request = VHU_SET_MEM_TABLE,
			       .kind = VHU_P_MEM,
			       .mem = { .nr = 8 } };
	uint8_t bytes[VHU_MAX_BYTES];
	size_t len = vhu_encode(&msg, bytes);

	raw(bytes, len, 9 + (size_t)_i * 8);
	expect_end(VC_E_PEER);
}
END_TEST

/* A few per byte: counted over the whole message. */
START_TEST(ends_on_descriptors_in_small_portions)
{
	struct vhu_msg msg = { .request = VHU_GET_FEATURES,
			       .kind = VHU_P_NONE };
	uint8_t bytes[VHU_MAX_BYTES];
	size_t i;

	vhu_encode(&msg, bytes);
	for (i = 0; i < 5; i++)
		raw(bytes + i, 1, 2);
	expect_end(VC_E_PEER);
}
END_TEST

START_TEST(ends_when_replies_are_not_read)
{
	struct vhu_msg msg = { .request = VHU_GET_FEATURES,
			       .kind = VHU_P_NONE };
	int i;

	for (i = 0; i < 100000 && !has_ended; i++) {
		ck_ok(vhu_chan_send(&chan, &msg, NULL, 0, &err), &err);
		ck_ok(vc_loop_step(loop, 0, &err), &err);
	}
	expect_end(VC_E_PEER);
}
END_TEST

static TCase *backend_case(Suite *s, const char *name)
{
	TCase *tc = test_case(s, name);

	tcase_add_checked_fixture(tc, setup, teardown);
	return tc;
}

TEST_SUITE(suite_backend)
{
	Suite *s = suite_create("vhost-user/backend");
	TCase *tc = backend_case(s, "backend");

	tcase_add_test(tc, runs_a_queue);
	tcase_add_test(tc, stops_and_starts_by_enable);
	tcase_add_test(tc, runs_for_a_frontend_without_protocol_features);
	tcase_add_loop_test(tc, resets, 0, 2);
	tcase_add_test(tc, answers_about_itself);
	tcase_add_test(tc, sets_config);
	tcase_add_test(tc, tells_of_config_changes);
	tcase_add_test(tc, signals_a_broken_queue);
	tcase_add_test(tc, ends_when_the_frontend_hangs_up);
	tcase_add_test(tc, forgets_the_frontend);

	tc = backend_case(s, "hostile");
	tcase_add_loop_test(tc, refuses_in_good_form, 0, 16);
	tcase_add_test(tc, refuses_changes_under_way);
	tcase_add_loop_test(tc, refuses_rings_outside_memory, 0, 7);
	tcase_add_loop_test(tc, refuses_memory, 0, 10);
	tcase_add_test(tc, survives_odd_kick_descriptors);
	tcase_add_test(tc, ends_on_garbage);
	tcase_add_loop_test(tc, ends_on_half_a_message, 1, 19);
	tcase_add_loop_test(tc, ends_on_too_many_descriptors, 0, 3);
	tcase_add_test(tc, ends_on_descriptors_in_small_portions);
	tcase_add_test(tc, ends_when_replies_are_not_read);
	return s;
}
