/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-vsock between the fake guest and Unix sockets. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/hostile.h"
#include "tests/virtio/vsock_guest.h"

#define FIRST_PORT 1073741824u
#define GPORT 1234

static struct vg_pkt pkt;
static uint32_t hport;

START_TEST(answers_nonsense_with_reset)
{
	struct vg_hdr h;
	unsigned op;
	int fd;

	vg_start(8, NULL);
	for (op = 0; op < 12; op++) { /* of no connection */
		vg_send(op, 5, 6, 0, NULL, 0);
		if (op == OP_RST)
			vg_expect_nothing();
		else
			vg_expect(&pkt, OP_RST, 5, 6);
	}
	vg_send(0xffff, 5, 6, 0, NULL, 0);
	vg_expect(&pkt, OP_RST, 5, 6);
	/* from somebody else: there is no one to answer */
	h = vg_hdr(OP_REQUEST, 5, 6, 0, 0);
	h.src_cid = le64_put(VG_CID + 1);
	vg_send_raw(&h, NULL, 0);
	vg_expect_nothing();
	/* to somebody else */
	h = vg_hdr(OP_REQUEST, 5, 6, 0, 0);
	h.dst_cid = le64_put(VG_CID + 1);
	vg_send_raw(&h, NULL, 0);
	ck_assert(vg_recv_within(&pkt, FG_TIMEOUT_MS));
	ck_assert_uint_eq(pkt.op, OP_RST);
	ck_assert_uint_eq(pkt.src_cid, VG_CID + 1);
	/* of another type */
	h = vg_hdr(OP_REQUEST, 5, 6, 0, 0);
	h.type = le16_put(2);
	vg_send_raw(&h, NULL, 0);
	ck_assert(vg_recv_within(&pkt, FG_TIMEOUT_MS));
	ck_assert_uint_eq(pkt.op, OP_RST);
	ck_assert_uint_eq(pkt.type, 2);
	/* none of which hurt anybody */
	fd = vg_connect(GPORT, &hport);
	close(fd);
	vg_stop();
}
END_TEST

/* Each of these ends the connection it names, and only that. */
START_TEST(resets_on_violation)
{
	struct vg_hdr h;
	uint32_t other_port, n;
	uint8_t *big;
	char c;
	int fd, other;

	vg_start(8, NULL);
	other = vg_connect(99, &other_port);
	fd = vg_connect(GPORT, &hport);
	switch (_i) {
	case 0: /* more data than there is */
	case 1:
		h = vg_hdr(OP_RW, hport, GPORT, 0, _i ? UINT32_MAX : 5);
		vg_send_raw(&h, "1234", 4);
		break;
	case 2: /* connected already */
		vg_send(OP_REQUEST, hport, GPORT, 0, NULL, 0);
		break;
	case 3:
		vg_send(OP_RESPONSE, hport, GPORT, 0, NULL, 0);
		break;
	case 4: /* no such op */
		vg_send(99, hport, GPORT, 0, NULL, 0);
		break;
	case 5: /* data after it said there would be none */
		vg_send(OP_SHUTDOWN, hport, GPORT, 2, NULL, 0);
		vg_expect_eof(fd);
		vg_send(OP_RW, hport, GPORT, 0, "x", 1);
		break;
	default: /* more than it has credit for */
		vg_send(OP_CREDIT_REQUEST, hport, GPORT, 0, NULL, 0);
		vg_expect(&pkt, OP_CREDIT_UPDATE, hport, GPORT);
		n = pkt.buf_alloc;
		vg_fill_credit(hport, GPORT, n);
		/* it may have room for more than it has yet told, but not for
		 * all of this */
		big = calloc(1, n);
		vg_send(OP_RW, hport, GPORT, 0, big, n);
		free(big);
		break;
	}
	vg_expect(&pkt, OP_RST, hport, GPORT);
	if (_i < 5)
		vg_expect_eof(fd);
	vg_send(OP_RW, other_port, 99, 0, "x", 1);
	vg_read(other, &c, 1);
	close(fd);
	close(other);
	vg_stop();
}
END_TEST

/* Counters that make no sense give no credit, or too much: then the guest's own
 * buffers bound what it gets. */
START_TEST(survives_mad_credit)
{
	static const struct {
		uint32_t alloc, fwd;
	} mad[] = { { UINT32_MAX, 0 }, { UINT32_MAX, UINT32_MAX }, { 0, 0 },
		    { 0, UINT32_MAX }, { 1, 0x80000000 },	   { 100, 5 } };
	static uint8_t buf[40000];
	uint32_t got = 0;
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_alloc = mad[_i].alloc;
	vg_fwd = mad[_i].fwd;
	vg_send(OP_CREDIT_UPDATE, hport, GPORT, 0, NULL, 0);
	vg_write(fd, buf, sizeof(buf));
	while (vg_recv_within(&pkt, 50))
		got += pkt.len;
	ck_assert_uint_le(got, sizeof(buf));
	close(fd);
	vg_stop();
}
END_TEST

/* It provokes resets and takes none: it only holds up itself. */
START_TEST(stalls_who_takes_nothing)
{
	struct vg_hdr h = vg_hdr(OP_RW, 1, 2, 0, 0);
	struct fg_seg seg = { FG_OUT, &h, sizeof(h) };
	unsigned sent = 0, answered = 0, i;

	vg_start(0, NULL);
	for (;;) {
		fg_chain(vg_fg, VG_TX, &seg, 1);
		fg_kick(vg_fg, VG_TX);
		sent++;
		if (fg_used_within(vg_fg, VG_TX, NULL, 300) < 0)
			break;
		ck_assert_uint_lt(sent, 2000);
	}
	ck_assert_uint_ge(sent, 100);
	/* when it takes them, everything goes on and nothing was lost */
	while (answered < sent) {
		struct vg_hdr in[8];
		struct fg_seg segs[8];

		for (i = 0; i < 8 && answered + i < sent; i++) {
			uint8_t *p = (uint8_t *)&in[i];

			segs[0] = (struct fg_seg){ FG_IN, p, sizeof(in[i]) };
			segs[1] = (struct fg_seg){ FG_IN, &segs[7], 4 };
			fg_chain(vg_fg, VG_RX, segs, 2);
		}
		fg_kick(vg_fg, VG_RX);
		for (; i; i--, answered++)
			fg_used(vg_fg, VG_RX, NULL);
	}
	fg_used(vg_fg, VG_TX, NULL);
	vg_stop();
}
END_TEST

START_TEST(breaks_the_output_queue)
{
	vg_start(8, NULL);
	hostile_chain(vg_fg, VG_TX, false, _i);
	fg_expect_broken(vg_fg, VG_TX);
	fg_reset(vg_fg);
	vg_queues(8);
	close(vg_connect(GPORT, &hport));
	vg_stop();
}
END_TEST

START_TEST(breaks_the_input_queue)
{
	int fd;

	vg_start(0, NULL);
	hostile_chain(vg_fg, VG_RX, true, _i);
	fg_kick(vg_fg, VG_RX);
	fd = vg_client();
	vg_write(fd, "CONNECT 5\n", 10);
	ck_assert(fg_broken(vg_fg, FG_TIMEOUT_MS));
	/* the client sees none of it: the driver starts again */
	fg_reset(vg_fg);
	vg_queues(8);
	vg_expect(&pkt, OP_REQUEST, FIRST_PORT, 5);
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(refuses_short_buffers)
{
	uint8_t buf[64] = { 0 };
	struct fg_seg shrt = { FG_OUT, buf, 43 };
	struct fg_seg both[] = { { FG_OUT, buf, 44 }, { FG_IN, buf, 4 } };
	struct fg_seg no_data = { FG_IN, buf, 44 };
	int fd;

	vg_start(0, NULL);
	if (_i == 0)
		fg_chain(vg_fg, VG_TX, &shrt, 1);
	else if (_i == 1)
		fg_chain(vg_fg, VG_TX, both, 2);
	if (_i < 2) {
		fg_expect_broken(vg_fg, VG_TX);
		vg_stop();
		return;
	}
	fg_chain(vg_fg, VG_RX, _i == 2 ? &no_data : both, _i == 2 ? 1 : 2);
	fd = vg_client();
	vg_write(fd, "CONNECT 5\n", 10);
	ck_assert(fg_broken(vg_fg, FG_TIMEOUT_MS));
	close(fd);
	vg_stop();
}
END_TEST

TEST_SUITE(suite_vsock_hostile)
{
	Suite *s = suite_create("virtio/vsock hostile");
	TCase *tc = test_case(s, "hostile");

	tcase_add_test(tc, answers_nonsense_with_reset);
	tcase_add_loop_test(tc, resets_on_violation, 0, 7);
	tcase_add_loop_test(tc, survives_mad_credit, 0, 6);
	tcase_add_test(tc, stalls_who_takes_nothing);
	tcase_add_loop_test(tc, breaks_the_output_queue, 0, HOSTILE_NR);
	tcase_add_loop_test(tc, breaks_the_input_queue, 0, HOSTILE_NR);
	tcase_add_loop_test(tc, refuses_short_buffers, 0, 4);
	return s;
}
