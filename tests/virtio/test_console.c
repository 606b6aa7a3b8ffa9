/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-console between the fake guest and pipes, sockets and files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/hostile.h"

#define RX 0
#define TX 1

static struct vc_error err;
static struct fg *fg;
static int to_in = -1, from_out = -1; /* our ends */

static void start(int in_fd, int out_fd)
{
	struct vc_virtio_dev *dev;

	signal(SIGPIPE, SIG_IGN);
	fg = fg_new(FG_RAM_DEFAULT);
	ck_ok(vc_virtio_console_new(fg_loop(fg), in_fd, out_fd, &dev, &err),
	      &err);
	fg_attach(fg, dev, 0);
	fg_queue(fg, RX, 16);
	fg_queue(fg, TX, 16);
}

static void start_pipes(void)
{
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	to_in = in[1];
	from_out = out[0];
	start(in[0], out[1]);
}

static void stop(void)
{
	fg_free(fg);
	vc_close(&to_in);
	vc_close(&from_out);
}

/* Give the device a buffer for input. */
static void post(void *buf, uint32_t len)
{
	struct fg_seg seg = { FG_IN, buf, len };

	fg_chain(fg, RX, &seg, 1);
	fg_kick(fg, RX);
}

static void expect_input(const char *want)
{
	char buf[64] = "";
	uint32_t len;

	post(buf, sizeof(buf));
	fg_used(fg, RX, &len);
	ck_assert_uint_eq(len, strlen(want));
	ck_assert_mem_eq(buf, want, len);
}

static void put(const char *text)
{
	ck_ok(vc_write_full(to_in, text, strlen(text)), &err);
}

static void expect_output(const char *want)
{
	char buf[64];

	ck_ok(vc_read_full(from_out, buf, strlen(want)), &err);
	ck_assert_mem_eq(buf, want, strlen(want));
}

static void output(const char *text)
{
	char buf[64];
	struct fg_seg seg = { FG_OUT, buf, (uint32_t)strlen(text) };

	memcpy(buf, text, seg.len);
	ck_assert_uint_eq(fg_do(fg, TX, &seg, 1), 0);
}

/* Processor time of this process, which is mostly the device's thread. */
static double cpu_ms(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e3 +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e3;
}

static void expect_idle(void)
{
	double before = cpu_ms();

	usleep(200000);
	ck_assert_double_lt(cpu_ms() - before, 8);
}

/* --- bytes ------------------------------------------------------------------ */

START_TEST(carries_bytes)
{
	char a[] = "one ", b[] = "two";
	struct fg_seg segs[] = { { FG_OUT, a, 4 }, { FG_OUT, b, 3 } };
	int i;

	start_pipes();
	for (i = 0; i < 50; i++) {
		put("hello");
		expect_input("hello");
		output("world");
		expect_output("world");
	}
	fg_do(fg, TX, segs, 2);
	expect_output("one two");
	stop();
}
END_TEST

START_TEST(carries_bytes_over_one_socket)
{
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	to_in = pair[0];
	from_out = dup(pair[0]);
	start(pair[1], pair[1]);
	put("hello");
	expect_input("hello");
	output("world");
	expect_output("world");
	stop();
}
END_TEST

START_TEST(keeps_input_until_there_is_room)
{
	char buf[3][4];
	uint32_t len;
	int i;

	start_pipes();
	put("abcdefghij");
	expect_idle();
	for (i = 0; i < 3; i++)
		post(buf[i], 4);
	for (i = 0; i < 3; i++)
		fg_used(fg, RX, &len);
	ck_assert_uint_eq(len, 2);
	ck_assert_mem_eq(buf[0], "abcd", 4);
	ck_assert_mem_eq(buf[1], "efgh", 4);
	ck_assert_mem_eq(buf[2], "ij", 2);
	/* and the other way round: room first */
	post(buf[0], 4);
	ck_assert_int_eq(fg_used_within(fg, RX, NULL, 50), -1);
	put("xyz");
	fg_used(fg, RX, &len);
	ck_assert_uint_eq(len, 3);
	stop();
}
END_TEST

START_TEST(carries_a_lot_of_input)
{
	static char buf[16][100];
	unsigned sent = 0, got = 0, i;
	uint16_t heads[16];
	uint32_t len;

	start_pipes();
	ck_assert_int_eq(fcntl(to_in, F_SETFL, O_NONBLOCK), 0);
	for (i = 0; i < 16; i++) {
		struct fg_seg seg = { FG_IN, buf[i], 100 };

		heads[i] = fg_chain(fg, RX, &seg, 1);
	}
	fg_kick(fg, RX);
	while (got < 200000) {
		char c[997];
		uint16_t head;
		ssize_t n;

		for (i = 0; i < sizeof(c); i++)
			c[i] = (char)(sent + i);
		n = write(to_in, c, sizeof(c));
		if (n > 0)
			sent += (unsigned)n;
		head = fg_used(fg, RX, &len);
		for (i = 0; i < 15 && heads[i] != head; i++)
			;
		ck_assert_uint_ge(len, 1);
		ck_assert_uint_le(len, 100);
		for (n = 0; n < (ssize_t)len; n++)
			ck_assert_int_eq(buf[i][n], (char)(got + (unsigned)n));
		got += len;
		heads[i] = fg_chain(fg, RX,
				    &(struct fg_seg){ FG_IN, buf[i], 100 }, 1);
		fg_kick(fg, RX);
	}
	stop();
}
END_TEST

/* --- pressure --------------------------------------------------------------- */

#define BLOCK 5000 /* no divisor of a pipe's size: the last is cut */
#define NR_BLOCKS 64

/* Write until the device stops taking; returns how many blocks were offered,
 * *ret_used of which came back. */
static unsigned fill_output(unsigned *ret_used)
{
	static char block[BLOCK];
	unsigned offered, used = 0;

	for (offered = 0; offered < NR_BLOCKS; offered++) {
		struct fg_seg seg = { FG_OUT, block, BLOCK };

		memset(block, (int)offered, BLOCK);
		fg_chain(fg, TX, &seg, 1);
		fg_kick(fg, TX);
		if (fg_used_within(fg, TX, NULL, 300) < 0) {
			offered++;
			break;
		}
		used++;
	}
	*ret_used = used;
	return offered;
}

static void expect_blocks(unsigned nr)
{
	unsigned i, k;

	for (i = 0; i < nr; i++) {
		char buf[BLOCK];

		ck_ok(vc_read_full(from_out, buf, BLOCK), &err);
		for (k = 0; k < BLOCK; k++)
			ck_assert_int_eq(buf[k], (char)i);
	}
}

START_TEST(waits_for_a_slow_reader)
{
	unsigned offered, used;

	start_pipes();
	offered = fill_output(&used);
	ck_assert_uint_lt(used, offered);
	ck_assert_uint_lt(offered, NR_BLOCKS);
	expect_idle();
	/* input goes on meanwhile */
	put("hello");
	expect_input("hello");
	expect_blocks(offered);
	fg_used(fg, TX, NULL); /* the one it held back */
	output("world");
	expect_output("world");
	stop();
}
END_TEST

/* Nothing is lost or written twice when the queue stops while output waits. */
START_TEST(stops_while_output_waits)
{
	unsigned offered, used;

	start_pipes();
	offered = fill_output(&used);
	ck_assert_uint_lt(used, offered);
	fg_queue_stop(fg, TX);
	expect_blocks(used);
	fg_queue_resume(fg, TX);
	/* the last block, which was cut, goes on where it was */
	ck_assert_int_ge(fg_used_within(fg, TX, NULL, FG_TIMEOUT_MS), 0);
	output("#");
	{
		char buf[BLOCK + 1];
		unsigned k;

		ck_ok(vc_read_full(from_out, buf, sizeof(buf)), &err);
		for (k = 0; k < BLOCK; k++)
			ck_assert_int_eq(buf[k], (char)used);
		ck_assert_int_eq(buf[BLOCK], '#');
	}
	stop();
}
END_TEST

/* A driver that begins anew has nothing to do with what was cut before. */
START_TEST(forgets_cut_output_at_a_reset)
{
	static char block[BLOCK];
	struct fg_seg seg = { FG_OUT, block, BLOCK };
	unsigned used;
	char c;

	start_pipes();
	fill_output(&used);
	fg_reset(fg);
	fg_queue(fg, RX, 16);
	fg_queue(fg, TX, 16);
	memset(block, 'z', sizeof(block));
	fg_chain(fg, TX, &seg, 1);
	fg_kick(fg, TX);
	expect_blocks(used);
	do
		ck_ok(vc_read_full(from_out, &c, 1), &err);
	while (c != 'z');
	ck_ok(vc_read_full(from_out, block, BLOCK - 1), &err);
	fg_used(fg, TX, NULL);
	output("#");
	expect_output("#");
	stop();
}
END_TEST

START_TEST(drops_output_nobody_reads)
{
	unsigned used;
	int i;

	start_pipes();
	if (_i) /* while output waits */
		ck_assert_uint_gt(fill_output(&used), used);
	vc_close(&from_out);
	if (_i)
		fg_used(fg, TX, NULL);
	for (i = 0; i < 100; i++)
		output("into the void");
	put("hello");
	expect_input("hello");
	expect_idle();
	stop();
}
END_TEST

START_TEST(ends_input_quietly)
{
	char buf[8];

	start_pipes();
	put("last");
	vc_close(&to_in);
	if (_i == 0) /* no room: the hang-up must not be looked at again */
		expect_idle();
	expect_input("last");
	post(buf, sizeof(buf));
	ck_assert_int_eq(fg_used_within(fg, RX, NULL, 50), -1);
	expect_idle();
	output("still here");
	expect_output("still here");
	stop();
}
END_TEST

START_TEST(hangs_up_a_socket)
{
	int pair[2];
	char buf[8];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start(pair[1], pair[1]);
	post(buf, sizeof(buf));
	close(pair[0]);
	expect_idle();
	output("into the void");
	expect_idle();
	stop();
}
END_TEST

/* --- what cannot be watched -------------------------------------------------- */

START_TEST(reads_and_writes_files)
{
	int in = memfd_create("in", MFD_CLOEXEC);
	int out = memfd_create("out", MFD_CLOEXEC);
	char buf[8] = "";

	ck_ok(vc_pwrite_full(in, "from a file", 11, 0), &err);
	from_out = dup(out);
	start(in, out);
	expect_input("from a file");
	post(buf, sizeof(buf));
	ck_assert_int_eq(fg_used_within(fg, RX, NULL, 50), -1);
	output("to a file");
	ck_ok(vc_pread_full(from_out, buf, 8, 0), &err);
	ck_assert_mem_eq(buf, "to a fil", 8);
	stop();
}
END_TEST

START_TEST(works_without_descriptors)
{
	char buf[8];

	if (_i)
		start(-1, -1);
	else
		start(open("/dev/null", O_RDONLY | O_CLOEXEC),
		      open("/dev/null", O_WRONLY | O_CLOEXEC));
	post(buf, sizeof(buf));
	output("hello");
	ck_assert_int_eq(fg_used_within(fg, RX, NULL, 50), -1);
	expect_idle();
	stop();
}
END_TEST

START_TEST(goes_on_after_a_reset)
{
	start_pipes();
	put("one");
	expect_input("one");
	put("two");
	fg_reset(fg);
	expect_idle();
	fg_queue(fg, RX, 8);
	fg_queue(fg, TX, 8);
	expect_input("two");
	output("three");
	expect_output("three");
	stop();
}
END_TEST

/* --- hostile ----------------------------------------------------------------- */

START_TEST(breaks_the_input_queue)
{
	start_pipes();
	hostile_chain(fg, RX, true, _i);
	fg_kick(fg, RX);
	put("hello"); /* now it takes the buffer */
	ck_assert(fg_broken(fg, FG_TIMEOUT_MS));
	expect_idle();
	output("still here");
	expect_output("still here");
	fg_reset(fg);
	fg_queue(fg, RX, 8);
	expect_input("hello"); /* nothing was lost */
	stop();
}
END_TEST

START_TEST(breaks_the_output_queue)
{
	start_pipes();
	hostile_chain(fg, TX, false, _i);
	fg_expect_broken(fg, TX);
	expect_idle();
	put("hello");
	expect_input("hello");
	stop();
}
END_TEST

START_TEST(refuses_wrong_directions)
{
	char buf[8] = "";
	struct fg_seg segs[] = { { FG_OUT, buf, 4 }, { FG_IN, buf + 4, 4 } };

	start_pipes();
	fg_chain(fg, TX, segs, 2);
	fg_expect_broken(fg, TX);
	fg_chain(fg, RX, segs, 2);
	fg_kick(fg, RX);
	put("x");
	ck_assert(fg_broken(fg, FG_TIMEOUT_MS));
	stop();
}
END_TEST

/* A buffer of no bytes is given back, and is not the end of input. */
START_TEST(takes_empty_buffers)
{
	struct fg_ring *r;
	uint32_t len;

	start_pipes();
	r = fg_ring(fg, RX);
	fg_desc(fg, r->desc, 0, UINT64_MAX, 0, FG_DESC_WRITE, 0);
	fg_avail(fg, RX, 0);
	fg_kick(fg, RX);
	put("hello");
	ck_assert_uint_eq(fg_used(fg, RX, &len), 0);
	ck_assert_uint_eq(len, 0);
	expect_input("hello");
	r = fg_ring(fg, TX);
	fg_desc(fg, r->desc, 0, UINT64_MAX, 0, 0, 0);
	fg_avail(fg, TX, 0);
	fg_kick(fg, TX);
	ck_assert_uint_eq(fg_used(fg, TX, &len), 0);
	output("world");
	expect_output("world");
	stop();
}
END_TEST

TEST_SUITE(suite_console)
{
	Suite *s = suite_create("virtio/console");
	TCase *tc = test_case(s, "console");

	tcase_add_test(tc, carries_bytes);
	tcase_add_test(tc, carries_bytes_over_one_socket);
	tcase_add_test(tc, keeps_input_until_there_is_room);
	tcase_add_test(tc, carries_a_lot_of_input);
	tcase_add_test(tc, waits_for_a_slow_reader);
	tcase_add_test(tc, stops_while_output_waits);
	tcase_add_test(tc, forgets_cut_output_at_a_reset);
	tcase_add_loop_test(tc, drops_output_nobody_reads, 0, 2);
	tcase_add_loop_test(tc, ends_input_quietly, 0, 2);
	tcase_add_test(tc, hangs_up_a_socket);
	tcase_add_test(tc, reads_and_writes_files);
	tcase_add_loop_test(tc, works_without_descriptors, 0, 2);
	tcase_add_test(tc, goes_on_after_a_reset);
	tc = test_case(s, "hostile");
	tcase_add_loop_test(tc, breaks_the_input_queue, 0, HOSTILE_NR);
	tcase_add_loop_test(tc, breaks_the_output_queue, 0, HOSTILE_NR);
	tcase_add_test(tc, refuses_wrong_directions);
	tcase_add_test(tc, takes_empty_buffers);
	return s;
}
