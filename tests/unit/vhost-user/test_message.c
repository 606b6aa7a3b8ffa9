/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "vhost-user/message.h"
#include "tests/lib/test.h"

static struct vc_error err;
static uint8_t buf[VHU_MAX_BYTES];

static int parse(enum vhu_side side, size_t nr_fds, struct vhu_msg *ret)
{
	if (vhu_parse_header(side, buf, ret, &err) < 0)
		return -1;
	return vhu_parse_payload(side, buf + VHU_HEADER_BYTES, nr_fds, ret,
				 &err);
}

static void header(uint32_t request, uint32_t flags, uint32_t size)
{
	le32_t h[3] = { le32_put(request), le32_put(flags), le32_put(size) };

	memset(buf, 0, sizeof(buf));
	memcpy(buf, h, sizeof(h));
}

static void word(size_t at, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(buf + VHU_HEADER_BYTES + at, &x, sizeof(x));
}

/* What the encoder writes the parser reads. */
START_TEST(round_trips)
{
	static const struct {
		enum vhu_side side;
		size_t nr_fds;
		struct vhu_msg msg;
	} t[] = {
		{ VHU_TO_BACKEND,
		  0,
		  { .request = VHU_GET_FEATURES, .kind = VHU_P_NONE } },
		{ VHU_TO_BACKEND,
		  0,
		  { .request = VHU_SET_FEATURES,
		    .kind = VHU_P_U64,
		    .flags = VHU_FLAG_NEED_REPLY,
		    .u64 = UINT64_C(0x123456789abcdef0) } },
		{ VHU_REPLY_OF_BACKEND,
		  0,
		  { .request = VHU_SET_FEATURES,
		    .kind = VHU_P_U64,
		    .flags = VHU_FLAG_REPLY,
		    .u64 = 1 } },
		{ VHU_TO_BACKEND,
		  0,
		  { .request = VHU_SET_VRING_NUM,
		    .kind = VHU_P_STATE,
		    .state = { 3, 256 } } },
		{ VHU_TO_BACKEND,
		  0,
		  { .request = VHU_SET_VRING_ADDR,
		    .kind = VHU_P_ADDR,
		    .addr = { 1, 2, 3, 4, 5, 6 } } },
		{ VHU_TO_BACKEND,
		  2,
		  { .request = VHU_SET_MEM_TABLE,
		    .kind = VHU_P_MEM,
		    .mem = { 2, { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } } } } },
		{ VHU_REPLY_OF_BACKEND,
		  0,
		  { .request = VHU_GET_CONFIG,
		    .kind = VHU_P_CONFIG,
		    .flags = VHU_FLAG_REPLY,
		    .config = { 4, 3, 0, 3, { 7, 8, 9 } } } },
		{ VHU_TO_BACKEND,
		  1,
		  { .request = VHU_SET_VRING_KICK,
		    .kind = VHU_P_U64,
		    .u64 = 0xff } },
		{ VHU_TO_BACKEND,
		  0,
		  { .request = VHU_SET_VRING_KICK,
		    .kind = VHU_P_U64,
		    .u64 = 0x103 } },
		{ VHU_TO_FRONTEND,
		  0,
		  { .request = VHU_BACKEND_CONFIG_CHANGE,
		    .kind = VHU_P_NONE } },
	};
	uint8_t first[VHU_MAX_BYTES];
	struct vhu_msg got;
	size_t len;

	ck_assert_uint_eq(VC_ARRAY_SIZE(t), 10);
	len = vhu_encode(&t[_i].msg, buf);
	memcpy(first, buf, len);
	ck_ok(parse(t[_i].side, t[_i].nr_fds, &got), &err);
	ck_assert_uint_eq(got.request, t[_i].msg.request);
	ck_assert_uint_eq(got.flags, t[_i].msg.flags);
	ck_assert_int_eq(got.kind, t[_i].msg.kind);
	ck_assert_uint_eq(got.size_bytes, len - VHU_HEADER_BYTES);
	ck_assert_uint_eq(vhu_encode(&got, buf), len);
	ck_assert_mem_eq(buf, first, len);
}
END_TEST

START_TEST(refuses_headers)
{
	static const struct {
		enum vhu_side side;
		uint32_t request, flags, size;
	} bad[] = {
		{ VHU_TO_BACKEND, 0, 1, 0 },
		{ VHU_TO_BACKEND, 4, 1, 0 }, /* a hole in the table */
		{ VHU_TO_BACKEND, VHU_NR_REQUESTS, 1, 0 },
		{ VHU_TO_BACKEND, UINT32_MAX, 1, 0 },
		{ VHU_TO_BACKEND, VHU_GET_FEATURES, 0, 0 },
		{ VHU_TO_BACKEND, VHU_GET_FEATURES, 2, 0 },
		{ VHU_TO_BACKEND, VHU_GET_FEATURES, 1 | VHU_FLAG_REPLY, 0 },
		{ VHU_TO_BACKEND, VHU_GET_FEATURES, 1, 8 },
		{ VHU_TO_BACKEND, VHU_SET_FEATURES, 1, 7 },
		{ VHU_TO_BACKEND, VHU_SET_FEATURES, 1, 9 },
		{ VHU_TO_BACKEND, VHU_SET_FEATURES, 1, UINT32_MAX },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 7 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 9 * 32 },
		{ VHU_TO_BACKEND, VHU_GET_CONFIG, 1, 12 + 257 },
		{ VHU_REPLY_OF_BACKEND, VHU_GET_FEATURES, 1, 8 },
		{ VHU_REPLY_OF_BACKEND, VHU_GET_FEATURES, 5, 0 },
		{ VHU_REPLY_OF_BACKEND, VHU_SET_MEM_TABLE, 5, 40 },
		{ VHU_TO_FRONTEND, VHU_SET_MEM_TABLE, 1, 0 },
		{ VHU_TO_FRONTEND, 1, 1, 0 },
	};
	struct vhu_msg msg;

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 19);
	header(bad[_i].request, bad[_i].flags, bad[_i].size);
	ck_fails(vhu_parse_header(bad[_i].side, buf, &msg, &err), &err,
		 VC_E_PEER);
}
END_TEST

START_TEST(refuses_descriptors)
{
	static const struct {
		enum vhu_side side;
		uint32_t request, flags, size, word;
		size_t nr_fds;
	} bad[] = {
		{ VHU_TO_BACKEND, VHU_GET_FEATURES, 1, 0, 0, 1 },
		{ VHU_TO_BACKEND, VHU_SET_BACKEND_REQ_FD, 1, 0, 0, 0 },
		{ VHU_TO_BACKEND, VHU_SET_BACKEND_REQ_FD, 1, 0, 0, 2 },
		{ VHU_TO_BACKEND, VHU_SET_VRING_KICK, 1, 8, 0, 0 },
		{ VHU_TO_BACKEND, VHU_SET_VRING_KICK, 1, 8, 0x100, 1 },
		{ VHU_TO_BACKEND, VHU_SET_VRING_KICK, 1, 8, 0x200, 1 },
		{ VHU_TO_BACKEND, VHU_SET_VRING_CALL, 1, 8, 0, 2 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 32, 1, 0 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 32, 1, 2 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 32, 2, 2 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 64, 1, 1 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8 + 8 * 32, 9, 9 },
		{ VHU_TO_BACKEND, VHU_SET_MEM_TABLE, 1, 8, UINT32_MAX, 8 },
		{ VHU_REPLY_OF_BACKEND, VHU_GET_FEATURES, 5, 8, 0, 1 },
	};
	struct vhu_msg msg;

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 14);
	header(bad[_i].request, bad[_i].flags, bad[_i].size);
	word(0, bad[_i].word);
	ck_fails(parse(bad[_i].side, bad[_i].nr_fds, &msg), &err, VC_E_PEER);
}
END_TEST

START_TEST(refuses_config)
{
	struct vhu_msg msg;

	header(VHU_GET_CONFIG, 1, 11); /* not even its header */
	ck_fails(parse(VHU_TO_BACKEND, 0, &msg), &err, VC_E_PEER);
	header(VHU_GET_CONFIG, 1, 0);
	ck_fails(parse(VHU_TO_BACKEND, 0, &msg), &err, VC_E_PEER);
	header(VHU_GET_CONFIG, 1, 12 + 8); /* says 9, has 8 */
	word(4, 9);
	ck_fails(parse(VHU_TO_BACKEND, 0, &msg), &err, VC_E_PEER);
	word(4, 8);
	ck_ok(parse(VHU_TO_BACKEND, 0, &msg), &err);
	ck_assert_uint_eq(msg.config.len, 8);
	/* as a reply, nothing at all is a refusal */
	header(VHU_GET_CONFIG, 5, 0);
	ck_ok(parse(VHU_REPLY_OF_BACKEND, 0, &msg), &err);
	ck_assert_uint_eq(msg.config.len, 0);
}
END_TEST

TEST_SUITE(suite_message)
{
	Suite *s = suite_create("vhost-user/message");
	TCase *tc = test_case(s, "message");

	tcase_add_loop_test(tc, round_trips, 0, 10);
	tcase_add_loop_test(tc, refuses_headers, 0, 19);
	tcase_add_loop_test(tc, refuses_descriptors, 0, 14);
	tcase_add_test(tc, refuses_config);
	return s;
}
