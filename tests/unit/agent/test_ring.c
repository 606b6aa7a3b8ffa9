/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/agent.h>
#include "tests/lib/test.h"

static struct vc_error err;
static struct vc_agent_ring r;
static struct vc_agent_writer w;
static uint8_t chunk[VC_AGENT_MAX_PAYLOAD];

static void setup(void)
{
	ck_ok(vc_agent_ring_init(&r, &err), &err);
	ck_ok(vc_agent_writer_init(&w, &err), &err);
}

static void teardown(void)
{
	vc_agent_ring_fini(&r);
	vc_agent_writer_fini(&w);
}

START_TEST(a_window_fits_and_no_byte_more)
{
	size_t n;

	for (n = 0; n < VC_AGENT_WINDOW; n += sizeof(chunk))
		ck_assert_int_eq(vc_agent_ring_put(&r, chunk, sizeof(chunk)),
				 VC_AGENT_OK);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 1), VC_AGENT_BROKEN);
}
END_TEST

START_TEST(what_was_passed_on_is_no_credit_until_granted)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t n;

	for (n = 0; n < VC_AGENT_WINDOW; n += sizeof(chunk))
		ck_assert_int_eq(vc_agent_ring_put(&r, chunk, sizeof(chunk)),
				 VC_AGENT_OK);
	while (r.used)
		ck_assert_int_gt(vc_agent_ring_write(&r, fd, 4096), 0);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 1), VC_AGENT_BROKEN);
	vc_agent_ring_grant(&r, &w, VC_AGENT_STDIN);
	ck_assert_uint_eq(w.used, 8 + 8);
	ck_assert_uint_eq(r.owed, 0);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 1), VC_AGENT_OK);
	/* not once a byte */
	ck_assert_int_eq(vc_agent_ring_write(&r, fd, 4096), 1);
	vc_agent_ring_grant(&r, &w, VC_AGENT_STDIN);
	ck_assert_uint_eq(w.used, 8 + 8);
	close(fd);
}
END_TEST

START_TEST(nothing_comes_after_the_end)
{
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 3), VC_AGENT_OK);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 0), VC_AGENT_OK);
	ck_assert(r.is_eof);
	ck_assert_uint_eq(r.used, 3);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 0), VC_AGENT_BROKEN);
	ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 1), VC_AGENT_BROKEN);
}
END_TEST

START_TEST(bytes_keep_their_order_over_the_edge)
{
	uint8_t in = 0, out = 0, buf[1000];
	size_t total = 0, i;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (total < 3 * VC_AGENT_WINDOW) {
		ssize_t n;

		for (i = 0; i < 777; i++)
			chunk[i] = in++;
		ck_assert_int_eq(vc_agent_ring_put(&r, chunk, 777),
				 VC_AGENT_OK);
		while (r.used)
			ck_assert_int_gt(vc_agent_ring_write(&r, fds[1], 500),
					 0);
		vc_agent_ring_grant(&r, &w, VC_AGENT_STDIN);
		w.used = 0;
		while ((n = read(fds[0], buf, sizeof(buf))) > 0)
			for (i = 0; i < (size_t)n; i++, total++)
				ck_assert_uint_eq(buf[i], out++);
	}
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(credit_is_at_most_a_window)
{
	uint32_t credit = VC_AGENT_WINDOW - 10;

	ck_assert_int_eq(vc_agent_credit_add(&credit, 11), VC_AGENT_BROKEN);
	ck_assert_int_eq(vc_agent_credit_add(&credit, UINT32_MAX),
			 VC_AGENT_BROKEN);
	ck_assert_int_eq(vc_agent_credit_add(&credit, 10), VC_AGENT_OK);
	ck_assert_uint_eq(credit, VC_AGENT_WINDOW);
}
END_TEST

TEST_SUITE(suite_ring)
{
	Suite *s = suite_create("agent/ring");
	TCase *tc = test_case(s, "ring");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_window_fits_and_no_byte_more);
	tcase_add_test(tc, what_was_passed_on_is_no_credit_until_granted);
	tcase_add_test(tc, nothing_comes_after_the_end);
	tcase_add_test(tc, bytes_keep_their_order_over_the_edge);
	tcase_add_test(tc, credit_is_at_most_a_window);
	return s;
}
