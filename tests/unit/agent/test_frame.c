/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/agent.h>
#include "tests/lib/test.h"

static struct vc_error err;
static struct vc_agent_reader r;
static struct vc_agent_writer w;

static void setup(void)
{
	ck_ok(vc_agent_reader_init(&r, &err), &err);
	ck_ok(vc_agent_writer_init(&w, &err), &err);
}

static void teardown(void)
{
	vc_agent_reader_fini(&r);
	vc_agent_writer_fini(&w);
}

static void feed(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t room;
		uint8_t *to = vc_agent_reader_space(&r, &room);

		ck_assert_uint_gt(room, 0);
		room = room < len ? room : len;
		memcpy(to, p, room);
		vc_agent_reader_add(&r, room);
		p += room;
		len -= room;
	}
}

static enum vc_agent_status get(enum vc_agent_type *type, const uint8_t **p,
				size_t *len)
{
	return vc_agent_reader_get(&r, type, p, len);
}

START_TEST(frames_come_whole)
{
	static const uint8_t frame[] = {
		3, 0, 0, 0, 4, 0, 0, 0, 'a', 'b', 'c'
	};
	enum vc_agent_type type;
	const uint8_t *p;
	size_t len, i;

	for (i = 0; i < sizeof(frame); i++) {
		ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_MORE);
		feed(frame + i, 1);
	}
	ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_OK);
	ck_assert_int_eq(type, VC_AGENT_STDOUT);
	ck_assert_mem_eq(p, "abc", 3);
	vc_agent_reader_drop(&r);
	ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_MORE);
}
END_TEST

START_TEST(bad_headers_break)
{
	static const uint8_t t[][8] = {
		{ 1, 0, 1, 0, 4, 0, 0, 0 },	    /* 65537 bytes */
		{ 255, 255, 255, 255, 4, 0, 0, 0 }, /* 4 GiB */
		{ 0, 0, 0, 0, 0, 0, 0, 0 },	    /* type 0 */
		{ 0, 0, 0, 0, 11, 0, 0, 0 },	    /* unknown type */
		{ 0, 0, 0, 0, 1, 1, 0, 0 },	    /* same, high byte */
		{ 0, 0, 0, 0, 4, 0, 1, 0 },	    /* a flag */
	};
	enum vc_agent_type type;
	const uint8_t *p;
	size_t len;

	feed(t[_i], 8);
	ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_BROKEN);
	ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_BROKEN);
}
END_TEST

START_TEST(largest_frame_at_any_offset)
{
	static uint8_t payload[VC_AGENT_MAX_PAYLOAD];
	static const uint8_t head[] = { 0, 0, 1, 0, 4, 0, 0, 0 };
	static const uint8_t empty[] = { 0, 0, 0, 0, 4, 0, 0, 0 };
	enum vc_agent_type type;
	const uint8_t *p;
	size_t len;
	int i;

	memset(payload, 7, sizeof(payload));
	for (i = 0; i < 20; i++) {
		feed(empty, sizeof(empty));
		feed(head, 5);
		ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_OK);
		ck_assert_uint_eq(len, 0);
		vc_agent_reader_drop(&r);
		feed(head + 5, 3);
		feed(payload, sizeof(payload));
		ck_assert_int_eq(get(&type, &p, &len), VC_AGENT_OK);
		ck_assert_uint_eq(len, sizeof(payload));
		ck_assert_mem_eq(p, payload, sizeof(payload));
		vc_agent_reader_drop(&r);
	}
}
END_TEST

/* Everything the writer sends, back through the reader. */
static void pump(int out, int in, bool *ret_is_all)
{
	enum vc_agent_status st = vc_agent_writer_flush(&w, out);
	size_t room;
	uint8_t *to = vc_agent_reader_space(&r, &room);
	ssize_t n;

	ck_assert_int_ne(st, VC_AGENT_BROKEN);
	*ret_is_all = st == VC_AGENT_OK;
	n = recv(in, to, room, MSG_DONTWAIT);
	if (n > 0)
		vc_agent_reader_add(&r, (size_t)n);
}

START_TEST(writer_bounds_data_and_keeps_room_for_control)
{
	int nr_data = 0, nr_control = 0, sv[2], i;
	enum vc_agent_type type;
	const uint8_t *p;
	bool is_all = false;
	size_t len;
	uint8_t *to;

	while ((to = vc_agent_writer_space(&w, &len)), len) {
		memset(to, nr_data, len);
		vc_agent_writer_add(&w, VC_AGENT_STDIN, len);
		nr_data++;
		ck_assert_int_lt(nr_data, 10);
	}
	for (i = 0; i < 100; i++)
		ck_assert(vc_agent_writer_put_2u32(&w, VC_AGENT_CREDIT, 3,
						   (uint32_t)i));
	/* it is bounded: control frames too stop somewhere */
	while (vc_agent_writer_put_u32(&w, VC_AGENT_SIGNAL, 15))
		ck_assert_int_lt(i++, 100000);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	while (!is_all || nr_data || nr_control < 100) {
		pump(sv[0], sv[1], &is_all);
		while (get(&type, &p, &len) == VC_AGENT_OK) {
			nr_data -= type == VC_AGENT_STDIN;
			if (type == VC_AGENT_CREDIT) {
				ck_assert_uint_eq(len, 8);
				ck_assert_int_eq(p[4], nr_control++);
			}
			vc_agent_reader_drop(&r);
		}
	}
	vc_agent_writer_space(&w, &len);
	ck_assert_uint_eq(len, VC_AGENT_MAX_PAYLOAD);
	close(sv[0]);
	close(sv[1]);
}
END_TEST

START_TEST(writer_cuts_text_and_sees_a_closed_peer)
{
	char text[2 * VC_AGENT_MAX_TEXT];
	int sv[2];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert(vc_agent_writer_put_text(&w, VC_AGENT_ERROR, 2, text));
	ck_assert_uint_eq(w.used, 8 + 4 + VC_AGENT_MAX_TEXT);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	close(sv[1]);
	ck_assert_int_eq(vc_agent_writer_flush(&w, sv[0]), VC_AGENT_BROKEN);
	close(sv[0]);
}
END_TEST

TEST_SUITE(suite_frame)
{
	Suite *s = suite_create("agent/frame");
	TCase *tc = test_case(s, "frame");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, frames_come_whole);
	tcase_add_loop_test(tc, bad_headers_break, 0, 6);
	tcase_add_test(tc, largest_frame_at_any_offset);
	tcase_add_test(tc, writer_bounds_data_and_keeps_room_for_control);
	tcase_add_test(tc, writer_cuts_text_and_sees_a_closed_peer);
	return s;
}
