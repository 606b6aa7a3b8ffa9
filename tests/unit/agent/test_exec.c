/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/agent.h>
#include "tests/lib/test.h"

static struct vc_error err;
static uint8_t buf[VC_AGENT_MAX_PAYLOAD];

static char arg0[] = "sh", arg1[] = "", arg2[] = "a b";
static char env0[] = "K=V";
static char *argv_3[] = { arg0, arg1, arg2, NULL };
static char *env_1[] = { env0, NULL };

START_TEST(round_trip)
{
	struct vc_agent_exec in = { .cwd = "/tmp",
				    .user = "nobody:users",
				    .argv = argv_3,
				    .env = env_1 };
	struct vc_agent_exec out;
	void *storage;
	size_t len;

	ck_ok(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err);
	ck_ok(vc_agent_exec_decode(buf, len, &out, &storage, &err), &err);
	memset(buf, 0xff, sizeof(buf)); /* nothing points into it */
	ck_assert_str_eq(out.cwd, "/tmp");
	ck_assert_str_eq(out.user, "nobody:users");
	ck_assert_str_eq(out.argv[0], "sh");
	ck_assert_str_eq(out.argv[1], "");
	ck_assert_str_eq(out.argv[2], "a b");
	ck_assert_ptr_null(out.argv[3]);
	ck_assert_str_eq(out.env[0], "K=V");
	ck_assert_ptr_null(out.env[1]);
	free(storage);
}
END_TEST

START_TEST(absent_members_stay_absent)
{
	struct vc_agent_exec in = { .argv = argv_3 }, out;
	void *storage;
	size_t len;

	ck_ok(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err);
	ck_ok(vc_agent_exec_decode(buf, len, &out, &storage, &err), &err);
	ck_assert_ptr_null(out.cwd);
	ck_assert_ptr_null(out.user);
	ck_assert_ptr_null(out.env[0]);
	free(storage);
}
END_TEST

START_TEST(encode_refuses_what_does_not_fit)
{
	char *none[] = { NULL };
	char **many = calloc(VC_AGENT_MAX_ARGS + 2, sizeof(*many));
	char *big = malloc(VC_AGENT_MAX_PAYLOAD);
	char *one_big[] = { big, NULL };
	struct vc_agent_exec in = { .argv = none };
	size_t len, i;

	ck_fails(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err,
		 VC_E_ARG);
	for (i = 0; i < VC_AGENT_MAX_ARGS; i++)
		many[i] = arg1;
	in.argv = many;
	ck_ok(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err);
	many[i] = arg1;
	ck_fails(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err,
		 VC_E_LIMIT);
	memset(big, 'x', VC_AGENT_MAX_PAYLOAD);
	/* flags, four counts, the length of the string */
	big[VC_AGENT_MAX_PAYLOAD - 6 * 4] = '\0';
	in.argv = one_big;
	ck_ok(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err);
	ck_assert_uint_eq(len, VC_AGENT_MAX_PAYLOAD);
	ck_fails(vc_agent_exec_encode(&in, buf, sizeof(buf) - 1, &len, &err),
		 &err, VC_E_LIMIT);
	free(many);
	free(big);
}
END_TEST

START_TEST(decode_refuses_every_truncation)
{
	struct vc_agent_exec in = {
		.cwd = "/", .user = "u", .argv = argv_3, .env = env_1
	};
	struct vc_agent_exec out;
	uint8_t *copy;
	void *storage;
	size_t len, n;

	ck_ok(vc_agent_exec_encode(&in, buf, sizeof(buf), &len, &err), &err);
	for (n = 0; n < len; n++) {
		copy = malloc(n + 1); /* so that ASan sees an overrun */
		memcpy(copy, buf, n);
		ck_fails(vc_agent_exec_decode(copy, n, &out, &storage, &err),
			 &err, VC_E_PEER);
		free(copy);
	}
	buf[len] = 0;
	ck_fails(vc_agent_exec_decode(buf, len + 1, &out, &storage, &err), &err,
		 VC_E_PEER);
}
END_TEST

static void put(size_t *at, uint32_t v)
{
	le32_t le = le32_put(v);

	memcpy(buf + *at, &le, sizeof(le));
	*at += sizeof(le);
}

START_TEST(decode_refuses_bad_values)
{
	/* flags, cwd, user, argv, env: the counts */
	static const uint32_t t[][5] = {
		{ 1, 0, 0, 1, 0 },	    /* a flag */
		{ 0, 2, 0, 1, 0 },	    /* two folders */
		{ 0, 0, 2, 1, 0 },	    /* two users */
		{ 0, 0, 0, 0, 0 },	    /* no argv[0] */
		{ 0, 0, 0, 1025, 0 },	    /* one too many */
		{ 0, 0, 0, 1, 0xffffffff }, /* far too many */
	};
	struct vc_agent_exec out;
	void *storage;
	size_t at = 0, i, j;

	for (i = 0; i < 5; i++) {
		put(&at, t[_i][i]);
		for (j = 0; i && j < t[_i][i] && j < 2000; j++)
			put(&at, 0); /* an empty string */
	}
	ck_fails(vc_agent_exec_decode(buf, at, &out, &storage, &err), &err,
		 VC_E_PEER);
}
END_TEST

START_TEST(decode_refuses_bad_strings)
{
	struct vc_agent_exec out;
	void *storage;
	size_t at = 0;

	put(&at, 0);
	put(&at, 0);
	put(&at, 0);
	put(&at, 1);
	put(&at, _i ? 0xfffffff0 : 4); /* a length that wraps; a NUL inside */
	memcpy(buf + at, "a\0b", 4);
	at += 4;
	put(&at, 0);
	ck_fails(vc_agent_exec_decode(buf, at, &out, &storage, &err), &err,
		 VC_E_PEER);
}
END_TEST

TEST_SUITE(suite_exec)
{
	Suite *s = suite_create("agent/exec");
	TCase *tc = test_case(s, "exec");

	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, absent_members_stay_absent);
	tcase_add_test(tc, encode_refuses_what_does_not_fit);
	tcase_add_test(tc, decode_refuses_every_truncation);
	tcase_add_loop_test(tc, decode_refuses_bad_values, 0, 6);
	tcase_add_loop_test(tc, decode_refuses_bad_strings, 0, 2);
	return s;
}
