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

/* --- clients of the host ------------------------------------------------------ */

START_TEST(tells_what_it_is)
{
	struct vc_error err;
	struct vc_virtio_dev *dev;
	struct vc_virtio_vsock_opts o = { .listen_fd = -1, .dial_fd = -1 };
	static const uint64_t bad[] = { 0, 1, 2, UINT32_MAX, UINT64_MAX };
	le64_t cid;
	size_t i;

	vg_start(4, NULL);
	fg_config(vg_fg, 0, &cid, sizeof(cid));
	ck_assert_uint_eq(le64_get(cid), VG_CID);
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		o.guest_cid = bad[i];
		ck_fails(vc_virtio_vsock_new(fg_loop(vg_fg), &o, &dev, &err),
			 &err, VC_E_ARG);
	}
	vg_stop();
}
END_TEST

START_TEST(joins_a_client)
{
	char buf[16];
	int fd;

	vg_start(8, NULL);
	fd = vg_client();
	/* data right behind the line belongs to the stream */
	vg_write(fd, "CONNECT 1234\nhello", 18);
	vg_expect(&pkt, OP_REQUEST, FIRST_PORT, 1234);
	vg_expect_nothing();
	vg_send(OP_RESPONSE, FIRST_PORT, 1234, 0, NULL, 0);
	vg_expect(&pkt, OP_RW, FIRST_PORT, 1234);
	ck_assert_uint_eq(pkt.len, 5);
	ck_assert_mem_eq(pkt.data, "hello", 5);
	vg_read(fd, buf, 14);
	ck_assert_mem_eq(buf, "OK 1073741824\n", 14);
	vg_send(OP_RW, FIRST_PORT, 1234, 0, "world", 5);
	vg_read(fd, buf, 5);
	ck_assert_mem_eq(buf, "world", 5);
	close(fd);
	/* the next one has another port */
	fd = vg_connect(1234, &hport);
	ck_assert_uint_eq(hport, FIRST_PORT + 1);
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(takes_lines_in_pieces)
{
	static const char *const pieces[] = { "c",	  "onn", "ECT 4",
					      "29496729", "5",	 "\n" };
	int fd, other;
	size_t i;

	vg_start(8, NULL);
	fd = vg_client();
	for (i = 0; i < VC_ARRAY_SIZE(pieces); i++) {
		vg_write(fd, pieces[i], strlen(pieces[i]));
		usleep(5000);
	}
	vg_expect(&pkt, OP_REQUEST, FIRST_PORT, UINT32_MAX);
	/* one that says nothing holds up nobody */
	other = vg_client();
	close(fd);
	vg_expect(&pkt, OP_RST, FIRST_PORT, UINT32_MAX);
	fd = vg_connect(9, &hport);
	close(fd);
	close(other);
	vg_stop();
}
END_TEST

START_TEST(refuses_lines)
{
	static const char *const bad[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 0x10\n",
		"CONNECT 12 \n",
		"CONNECT  12\n",
		"CONNECT 12\r\n",
		"CONNECT 4294967296\n",
		"CONNECT 99999999999999999\n",
		"CONNECT 000000000000000000000012\n",
		"GET / HTTP/1.1\n",
		"CONNECT 111111111111111111111111111111111111111",
	};
	size_t i;

	vg_start(8, NULL);
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		int fd = vg_client();

		vg_write(fd, bad[i], strlen(bad[i]));
		vg_expect_eof(fd);
		close(fd);
	}
	vg_expect_nothing();
	vg_stop();
}
END_TEST

START_TEST(closes_when_the_guest_refuses)
{
	int fd;

	vg_start(8, NULL);
	fd = vg_client();
	vg_write(fd, "CONNECT 5\n", 10);
	vg_expect(&pkt, OP_REQUEST, FIRST_PORT, 5);
	vg_send(OP_RST, FIRST_PORT, 5, 0, NULL, 0);
	vg_expect_eof(fd);
	close(fd);
	/* and there is no answer to an answer */
	vg_expect_nothing();
	vg_stop();
}
END_TEST

/* A client that was there before the guest is served when it comes. */
START_TEST(waits_for_the_guest)
{
	int fd;

	vg_start(0, NULL);
	fd = vg_client();
	vg_write(fd, "CONNECT 5\n", 10);
	usleep(50000);
	fg_reset(vg_fg);
	vg_queues(4);
	vg_expect(&pkt, OP_REQUEST, FIRST_PORT, 5);
	vg_send(OP_RESPONSE, FIRST_PORT, 5, 0, NULL, 0);
	vg_write(fd, "x", 1);
	vg_expect(&pkt, OP_RW, FIRST_PORT, 5);
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(forgets_connections_on_reset)
{
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	fg_reset(vg_fg);
	vg_expect_eof(fd);
	close(fd);
	vg_queues(8);
	vg_send(OP_RW, hport, GPORT, 0, "x", 1);
	vg_expect(&pkt, OP_RST, hport, GPORT);
	vg_stop();
}
END_TEST

/* 5 s: in real time, as there is no other. */
START_TEST(gives_up_on_silent_clients)
{
	uint64_t before = vc_now_ns();
	int fd;

	vg_start(8, NULL);
	fd = vg_client();
	vg_write(fd, "CONN", 4);
	vg_expect_eof(fd);
	ck_assert_uint_ge(vc_now_ns() - before, UINT64_C(4900000000));
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(limits_clients)
{
	enum { LIMIT = 1024 };
	struct rlimit rl = { 8192, 8192 };
	static int fds[LIMIT];
	int extra, i;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	vg_start(8, NULL);
	for (i = 0; i < LIMIT; i++)
		fds[i] = vg_connect(GPORT, &hport);
	extra = vg_client();
	vg_write(extra, "CONNECT 5\n", 10);
	vg_expect_nothing();
	/* it waits until there is room */
	close(fds[7]);
	vg_expect(&pkt, OP_SHUTDOWN, FIRST_PORT + 7, GPORT);
	if (pkt.flags != 3)
		vg_expect(&pkt, OP_SHUTDOWN, FIRST_PORT + 7, GPORT);
	vg_send(OP_RST, FIRST_PORT + 7, GPORT, 0, NULL, 0);
	vg_expect(&pkt, OP_REQUEST, hport + 1, 5);
	fds[7] = extra;
	for (i = 0; i < LIMIT; i++)
		close(fds[i]);
	vg_stop();
}
END_TEST

/* --- data ---------------------------------------------------------------------- */

#define BULK (1u << 20)

START_TEST(carries_bulk_to_the_guest)
{
	static uint8_t out[BULK], in[BULK];
	size_t sent = 0, got = 0;
	int fd;

	vg_start(16, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_fill(out, BULK, 0);
	while (got < BULK) {
		ssize_t n = send(fd, out + sent, BULK - sent, MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		vg_expect(&pkt, OP_RW, hport, GPORT);
		memcpy(in + got, pkt.data, pkt.len);
		got += pkt.len;
		vg_fwd = (uint32_t)got;
		if (got % 65536 < pkt.len)
			vg_send(OP_CREDIT_UPDATE, hport, GPORT, 0, NULL, 0);
	}
	ck_assert_uint_eq(got, BULK);
	ck_assert(!memcmp(in, out, BULK));
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(carries_bulk_to_the_host)
{
	static uint8_t out[BULK], in[BULK];
	uint32_t sent = 0, alloc, fwd = 0;
	int fd;

	vg_start(16, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_send(OP_CREDIT_REQUEST, hport, GPORT, 0, NULL, 0);
	vg_expect(&pkt, OP_CREDIT_UPDATE, hport, GPORT);
	alloc = pkt.buf_alloc;
	vg_fill(out, BULK, 0);
	while (sent < BULK) {
		uint32_t n = alloc - (sent - fwd);

		if (n > 30000)
			n = 30000;
		if (n > BULK - sent)
			n = BULK - sent;
		if (n) {
			vg_send(OP_RW, hport, GPORT, 0, out + sent, n);
			vg_read(fd, in + sent, n);
			sent += n;
		}
		/* credit comes by itself, before there is none */
		while (vg_recv_within(&pkt, n ? 0 : FG_TIMEOUT_MS)) {
			ck_assert_uint_eq(pkt.op, OP_CREDIT_UPDATE);
			fwd = pkt.fwd_cnt;
			ck_assert_uint_le(sent - fwd, alloc);
			if (alloc - (sent - fwd))
				n = 1;
		}
	}
	ck_assert(!memcmp(in, out, BULK));
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(respects_the_guests_credit)
{
	uint8_t out[500], got[500];
	uint32_t n = 0;
	int fd;

	vg_start(8, NULL);
	vg_alloc = 100;
	fd = vg_connect(GPORT, &hport);
	vg_fill(out, sizeof(out), 0);
	vg_write(fd, out, sizeof(out));
	while (n < sizeof(out)) {
		uint32_t window = 0;

		while (window < 100) {
			vg_expect(&pkt, OP_RW, hport, GPORT);
			ck_assert_uint_le(window + pkt.len, 100);
			memcpy(got + n, pkt.data, pkt.len);
			n += pkt.len;
			window += pkt.len;
		}
		if (n == sizeof(out))
			break;
		/* it asks once and waits */
		vg_expect(&pkt, OP_CREDIT_REQUEST, hport, GPORT);
		vg_expect_nothing();
		vg_fwd = n;
		vg_send(OP_CREDIT_UPDATE, hport, GPORT, 0, NULL, 0);
	}
	ck_assert_mem_eq(got, out, sizeof(out));
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(holds_what_a_slow_client_leaves)
{
	uint8_t in[1000], want[1000];
	uint32_t sent, got = 0, n;
	int fd, other;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_send(OP_CREDIT_REQUEST, hport, GPORT, 0, NULL, 0);
	vg_expect(&pkt, OP_CREDIT_UPDATE, hport, GPORT);
	sent = vg_fill_credit(hport, GPORT, pkt.buf_alloc);
	ck_assert_uint_gt(sent, pkt.buf_alloc);
	/* others go on */
	other = vg_connect(99, &n);
	vg_send(OP_RW, n, 99, 0, "x", 1);
	vg_read(other, in, 1);
	/* the guest is done and closes: it gets its answer at once */
	if (_i) {
		vg_send(OP_SHUTDOWN, hport, GPORT, 3, NULL, 0);
		vg_expect(&pkt, OP_RST, hport, GPORT);
	}
	while (got < sent) {
		n = sent - got < sizeof(in) ? sent - got : sizeof(in);
		vg_read(fd, in, n);
		vg_fill(want, n, got);
		ck_assert_mem_eq(in, want, n);
		got += n;
	}
	if (_i)
		vg_expect_eof(fd);
	else
		vg_expect(&pkt, OP_CREDIT_UPDATE, hport, GPORT);
	close(fd);
	close(other);
	vg_stop();
}
END_TEST

/* --- ends ---------------------------------------------------------------------- */

START_TEST(half_closes_both_ways)
{
	char buf[8];
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_write(fd, "last", 4);
	shutdown(fd, SHUT_WR);
	vg_expect(&pkt, OP_RW, hport, GPORT);
	vg_expect(&pkt, OP_SHUTDOWN, hport, GPORT);
	ck_assert_uint_eq(pkt.flags, 2);
	/* the other direction still works */
	vg_send(OP_RW, hport, GPORT, 0, "reply", 5);
	vg_read(fd, buf, 5);
	vg_send(OP_SHUTDOWN, hport, GPORT, 2, NULL, 0);
	vg_expect_eof(fd);
	/* now nothing is left of it */
	vg_expect(&pkt, OP_SHUTDOWN, hport, GPORT);
	ck_assert_uint_eq(pkt.flags, 3);
	vg_send(OP_RST, hport, GPORT, 0, NULL, 0);
	vg_send(OP_RW, hport, GPORT, 0, "x", 1);
	vg_expect(&pkt, OP_RST, hport, GPORT);
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(client_closes)
{
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_write(fd, "last", 4);
	close(fd);
	vg_expect(&pkt, OP_RW, hport, GPORT);
	do
		vg_expect(&pkt, OP_SHUTDOWN, hport, GPORT);
	while (pkt.flags != 3);
	/* data that was on its way does no harm */
	vg_send(OP_RW, hport, GPORT, 0, "x", 1);
	vg_expect_nothing();
	vg_send(OP_SHUTDOWN, hport, GPORT, 3, NULL, 0);
	vg_expect(&pkt, OP_RST, hport, GPORT);
	vg_expect_nothing();
	vg_stop();
}
END_TEST

START_TEST(guest_closes)
{
	char buf[8];
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_send(OP_RW, hport, GPORT, 0, "last", 4);
	if (_i) {
		vg_send(OP_RST, hport, GPORT, 0, NULL, 0);
	} else {
		vg_send(OP_SHUTDOWN, hport, GPORT, 3, NULL, 0);
		vg_expect(&pkt, OP_RST, hport, GPORT);
	}
	vg_read(fd, buf, 4);
	vg_expect_eof(fd);
	vg_expect_nothing();
	close(fd);
	vg_stop();
}
END_TEST

START_TEST(guest_takes_no_more)
{
	char buf[8];
	int fd;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	vg_send(OP_SHUTDOWN, hport, GPORT, 1, NULL, 0);
	ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	vg_send(OP_RW, hport, GPORT, 0, "last", 4);
	vg_read(fd, buf, 4);
	vg_expect_nothing();
	close(fd);
	vg_stop();
}
END_TEST

/* The client is gone in the middle of what the guest sends. */
START_TEST(client_stops_reading)
{
	int fd, i;

	vg_start(8, NULL);
	fd = vg_connect(GPORT, &hport);
	shutdown(fd, SHUT_RD);
	for (i = 0; i < 3; i++)
		vg_send(OP_RW, hport, GPORT, 0, "into the void", 13);
	vg_expect(&pkt, OP_SHUTDOWN, hport, GPORT);
	ck_assert_uint_eq(pkt.flags, 1);
	vg_write(fd, "hello", 5);
	vg_expect(&pkt, OP_RW, hport, GPORT);
	close(fd);
	vg_stop();
}
END_TEST

/* --- the guest connects --------------------------------------------------------- */

static void expect_dial(int dial, uint32_t port)
{
	le32_t got;

	vg_read(dial, &got, sizeof(got));
	ck_assert_uint_eq(le32_get(got), port);
}

static void answer_dial(int dial, uint32_t status, int fd)
{
	le32_t st = le32_put(status);

	ck_assert_int_eq(vc_send_fds(dial, &st, sizeof(st), &fd, fd >= 0),
			 sizeof(st));
}

START_TEST(dials_out)
{
	char buf[8];
	int dial, pair[2];

	vg_start(8, &dial);
	vg_send(OP_REQUEST, 5000, 40000, 0, NULL, 0);
	expect_dial(dial, 5000);
	vg_expect_nothing();
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	answer_dial(dial, 0, pair[0]);
	close(pair[0]);
	vg_expect(&pkt, OP_RESPONSE, 5000, 40000);
	vg_send(OP_RW, 5000, 40000, 0, "hello", 5);
	vg_read(pair[1], buf, 5);
	vg_write(pair[1], "world", 5);
	vg_expect(&pkt, OP_RW, 5000, 40000);
	ck_assert_mem_eq(pkt.data, "world", 5);
	close(pair[1]);
	close(dial);
	vg_stop();
}
END_TEST

START_TEST(is_refused_outside)
{
	int dial, pair[2];

	vg_start(8, &dial);
	vg_send(OP_REQUEST, 1, 10, 0, NULL, 0);
	vg_send(OP_REQUEST, 2, 20, 0, NULL, 0);
	vg_send(OP_REQUEST, 3, 30, 0, NULL, 0);
	expect_dial(dial, 1);
	expect_dial(dial, 2);
	expect_dial(dial, 3);
	/* the second gives up before it is answered */
	vg_send(OP_RST, 2, 20, 0, NULL, 0);
	answer_dial(dial, ECONNREFUSED, -1);
	vg_expect(&pkt, OP_RST, 1, 10);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	answer_dial(dial, 0, pair[0]);
	close(pair[0]);
	vg_expect_eof(pair[1]);
	close(pair[1]);
	vg_expect_nothing();
	/* the way out is gone: whoever waits is told */
	close(dial);
	vg_expect(&pkt, OP_RST, 3, 30);
	vg_send(OP_REQUEST, 4, 40, 0, NULL, 0);
	vg_expect(&pkt, OP_RST, 4, 40);
	vg_stop();
}
END_TEST

START_TEST(bounds_dials)
{
	unsigned i, nr_rst = 0;
	int dial;

	vg_start(32, &dial);
	for (i = 0; i < 100; i++)
		vg_send(OP_REQUEST, 1, i, 0, NULL, 0);
	while (vg_recv_within(&pkt, 100)) {
		ck_assert_uint_eq(pkt.op, OP_RST);
		nr_rst++;
	}
	ck_assert_uint_eq(nr_rst, 100 - 64);
	close(dial);
	for (i = 0; i < 64; i++)
		vg_expect(&pkt, OP_RST, 1, i);
	vg_stop();
}
END_TEST

/* An answer that breaks the protocol ends dialling and nothing else. */
START_TEST(survives_bad_answers)
{
	int dial, fd;

	vg_start(8, &dial);
	vg_send(OP_REQUEST, 1, 10, 0, NULL, 0);
	expect_dial(dial, 1);
	if (_i == 0)
		answer_dial(dial, 0, -1); /* no descriptor */
	else if (_i == 1)
		answer_dial(dial, ECONNREFUSED, dial); /* with one */
	else
		vg_write(dial, "x", 1);
	vg_expect(&pkt, OP_RST, 1, 10);
	fd = vg_connect(GPORT, &hport);
	close(fd);
	close(dial);
	vg_stop();
}
END_TEST

/* --- the rest of the contract ---------------------------------------------------- */

/* The timers of this process that are armed. */
static unsigned nr_timers(void)
{
	unsigned nr = 0, s, ns;
	struct dirent *e;
	DIR *d = opendir("/proc/self/fdinfo");

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		char path[300], line[200];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "it_value: (%u, %u)", &s, &ns) == 2)
				nr += s || ns;
		if (f)
			fclose(f);
	}
	closedir(d);
	return nr;
}

START_TEST(has_no_timer_when_idle)
{
	int fd, client;

	vg_start(8, NULL);
	ck_assert_uint_eq(nr_timers(), 0);
	fd = vg_connect(GPORT, &hport);
	vg_send(OP_RW, hport, GPORT, 0, "x", 1);
	ck_assert_uint_eq(nr_timers(), 0);
	client = vg_client();
	vg_write(client, "CONNECT 7\n", 10);
	vg_expect(&pkt, OP_REQUEST, hport + 1, 7);
	ck_assert_uint_eq(nr_timers(), 1);
	vg_send(OP_RST, hport + 1, 7, 0, NULL, 0);
	vg_expect_eof(client);
	ck_assert_uint_eq(nr_timers(), 0);
	close(client);
	close(fd);
	vg_stop();
}
END_TEST

static double cpu_ms(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e3 +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e3;
}

/* Clients that hung up in every state, a guest that takes nothing: no state is
 * looked at again and again. */
START_TEST(does_not_spin)
{
	int a, b, c, d, dial;
	uint32_t n;
	double before;

	vg_start(8, &dial);
	a = vg_connect(1, &n);
	vg_alloc = 0; /* no credit */
	b = vg_connect(2, &n);
	vg_write(b, "hello", 5);
	close(b);
	vg_expect(&pkt, OP_CREDIT_REQUEST, n, 2);
	vg_alloc = 1000;
	c = vg_connect(3, &n); /* half-closed */
	shutdown(c, SHUT_WR);
	vg_expect(&pkt, OP_SHUTDOWN, n, 3);
	d = vg_connect(4, &n);
	vg_send(OP_SHUTDOWN, n, 4, 1, NULL, 0);
	/* no more buffers */
	fg_queue_stop(vg_fg, VG_RX);
	vg_write(a, "hello", 5);
	close(a);
	before = cpu_ms();
	usleep(200000);
	ck_assert_double_lt(cpu_ms() - before, 8);
	close(c);
	close(d);
	close(dial);
	before = cpu_ms();
	usleep(200000);
	ck_assert_double_lt(cpu_ms() - before, 8);
	vg_stop();
}
END_TEST

/* A process that was started anew says so to a guest that was there before. */
START_TEST(tells_of_a_transport_reset)
{
	struct vc_virtio_vsock_opts o = { .guest_cid = VG_CID,
					  .listen_fd = -1,
					  .dial_fd = -1 };
	struct vc_virtio_dev *dev;
	struct vc_loop *loop;
	struct vc_error err;
	struct vc_mem *mem;
	struct {
		le64_t addr;
		le32_t len;
		le16_t flags, next;
	} desc = { le64_put(0x3000), le32_put(4), le16_put(2), le16_put(0) };
	uint8_t *ram = aligned_alloc(4096, 0x4000);
	unsigned qi;

	memset(ram, 0, 0x4000);
	memset(ram + 0x3000, 0xee, 4);
	ck_ok(vc_loop_new(&loop, &err), &err);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_plain(mem, ram, 0, 0x4000, &err), &err);
	ck_ok(vc_virtio_vsock_new(loop, &o, &dev, &err), &err);
	memcpy(ram + 0x2000, &desc, sizeof(desc));
	ram[0x2402] = 1; /* one buffer for events */
	for (qi = 0; qi < 3; qi++) {
		uint16_t base = qi == VG_EVENT ? 0 : _i ? 9 : 0;
		gpa_t at = 0x1000 * qi;

		ram[at + 0x402] = (uint8_t)(qi == VG_EVENT ? 1 : base);
		ck_ok(vc_vq_start(&dev->vq[qi], mem, 8, at, at + 0x400,
				  at + 0x800, 0, base, &err),
		      &err);
		dev->ops->start_queue(dev, qi);
	}
	ck_assert_uint_eq(ram[0x2802], _i ? 1 : 0); /* used */
	ck_assert_uint_eq(ram[0x3000], _i ? 0 : 0xee);
	for (qi = 0; qi < 3; qi++) {
		dev->ops->stop_queue(dev, qi);
		vc_vq_stop(&dev->vq[qi]);
	}
	vc_virtio_free(dev);
	vc_mem_free(mem);
	vc_loop_free(loop);
	free(ram);
}
END_TEST

TEST_SUITE(suite_vsock)
{
	Suite *s = suite_create("virtio/vsock");
	TCase *tc = test_case(s, "vsock");

	tcase_add_test(tc, tells_what_it_is);
	tcase_add_test(tc, joins_a_client);
	tcase_add_test(tc, takes_lines_in_pieces);
	tcase_add_test(tc, refuses_lines);
	tcase_add_test(tc, closes_when_the_guest_refuses);
	tcase_add_test(tc, waits_for_the_guest);
	tcase_add_test(tc, forgets_connections_on_reset);
	tcase_add_test(tc, gives_up_on_silent_clients);
	tcase_add_test(tc, limits_clients);
	tcase_add_test(tc, carries_bulk_to_the_guest);
	tcase_add_test(tc, carries_bulk_to_the_host);
	tcase_add_test(tc, respects_the_guests_credit);
	tcase_add_loop_test(tc, holds_what_a_slow_client_leaves, 0, 2);
	tcase_add_test(tc, half_closes_both_ways);
	tcase_add_test(tc, client_closes);
	tcase_add_loop_test(tc, guest_closes, 0, 2);
	tcase_add_test(tc, guest_takes_no_more);
	tcase_add_test(tc, client_stops_reading);
	tcase_add_test(tc, dials_out);
	tcase_add_test(tc, is_refused_outside);
	tcase_add_test(tc, bounds_dials);
	tcase_add_loop_test(tc, survives_bad_answers, 0, 3);
	tcase_add_test(tc, has_no_timer_when_idle);
	tcase_add_test(tc, does_not_spin);
	tcase_add_loop_test(tc, tells_of_a_transport_reset, 0, 2);
	return s;
}
