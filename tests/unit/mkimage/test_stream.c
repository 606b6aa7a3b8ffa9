/* SPDX-License-Identifier: BSD-3-Clause */
/* Lengths around those of a piece and of what the caller is woken up for, as they
 * are and compressed, from a file, a pipe, and a part of a file. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <zlib.h>
#include <zstd.h>
#include "mkimage/source/stream.h"
#include "tests/lib/test.h"

#define PIECE ((size_t)256 * 1024) /* of what is decoded */
#define MANY (33 * PIECE + 4321)   /* the buffers, twice */
#define BEFORE 777		   /* what a range begins behind */

enum kind { PLAIN, ZSTD, GZIP, NR_KINDS };
enum way { FILE_NAME, STDIN, PIPE, RANGE, DIGEST, NR_WAYS };

static struct vc_error err;
static uint8_t *data, *packed;
static size_t packed_len;

static struct stream *s;
static int fd = -1, pipe_fd[2] = { -1, -1 };
static pthread_t writer;
static bool has_writer;
static struct digest digest;

/* Half of it as it compresses, so that many bytes come of few and few of many. */
static void setup(void)
{
	uint64_t x = 1;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	data = malloc(MANY);
	packed = malloc(BEFORE + 2 * MANY);
	ck_assert(data && packed);
	for (i = 0; i < MANY; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		data[i] = i / (5 * PIECE) % 2 ? (uint8_t)(i >> 12)
					      : (uint8_t)(x >> 56);
	}
}

static void teardown(void)
{
	free(data);
	free(packed);
}

static size_t pack_gzip(size_t len)
{
	z_stream z = { .next_in = data,
		       .avail_in = (uInt)len,
		       .next_out = packed,
		       .avail_out = 2 * MANY };

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8,
				      Z_DEFAULT_STRATEGY),
			 Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

/* With a checksum behind it. */
static size_t pack_zstd(size_t len)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t ret;

	ck_assert(c);
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	ret = ZSTD_compress2(c, packed, 2 * MANY, data, len);
	ck_assert(!ZSTD_isError(ret));
	ZSTD_freeCCtx(c);
	return ret;
}

static void pack(enum kind kind, size_t len)
{
	switch (kind) {
	case GZIP:
		packed_len = pack_gzip(len);
		break;
	case ZSTD:
		packed_len = pack_zstd(len);
		break;
	case PLAIN:
	case NR_KINDS:
		memcpy(packed, data, len);
		packed_len = len;
		break;
	}
}

/* Which of them the loop of a test is at. */
static enum kind kind_of(int nr)
{
	return (enum kind)(nr / (int)NR_WAYS);
}

static enum way way_of(int nr)
{
	return (enum way)(nr % (int)NR_WAYS);
}

/* --- opening -------------------------------------------------------------- */

static void *feed_pipe(void *arg)
{
	size_t at, n;

	(void)arg;
	for (at = 0; at < packed_len; at += n) {
		n = vc_min_u64(packed_len - at, 1 + at % 70000);
		if (vc_write_full(pipe_fd[1], packed + at, n))
			break; /* nobody reads any more */
	}
	vc_close(&pipe_fd[1]);
	return NULL;
}

static void open_pipe(bool with_writer)
{
	ck_assert(!pipe2(pipe_fd, O_CLOEXEC));
	has_writer = with_writer;
	if (with_writer)
		ck_assert(!pthread_create(&writer, NULL, feed_pipe, NULL));
	ck_assert(dup2(pipe_fd[0], STDIN_FILENO) == STDIN_FILENO);
	vc_close(&pipe_fd[0]);
	ck_ok(stream_open("-", &s, &err), &err);
}

/* `len` bytes at `start` of a file which has more. */
static void open_range(size_t start, struct digest *d)
{
	const struct stream_range range = { fd, start, packed_len };

	ck_assert(vc_pwrite_full(fd, packed, packed_len, start) == 0);
	ck_assert(vc_pwrite_full(fd, "more", 4, start + packed_len) == 0);
	ck_ok(stream_open_range(&range, d, &s, &err), &err);
}

static void open_file(enum way way)
{
	char path[40];

	if (way == STDIN) {
		ck_assert(!vc_write_full(fd, data, BEFORE));
		ck_assert(!vc_pwrite_full(fd, packed, packed_len, BEFORE));
		ck_assert(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
		strcpy(path, "-");
	} else {
		ck_assert(!vc_write_full(fd, packed, packed_len));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	ck_ok(stream_open(path, &s, &err), &err);
}

/* What pack() has made. */
static void open_stream(enum way way)
{
	if (way != PIPE) {
		fd = memfd_create("input", MFD_CLOEXEC);
		ck_assert_int_ge(fd, 0);
	}
	digest_init(&digest, DIGEST_SHA256);
	switch (way) {
	case FILE_NAME:
	case STDIN:
		open_file(way);
		break;
	case PIPE:
		open_pipe(true);
		break;
	case RANGE:
	case DIGEST:
	case NR_WAYS:
		open_range(BEFORE, way == DIGEST ? &digest : NULL);
		break;
	}
}

static void close_stream(void)
{
	s = stream_close(s);
	ck_assert(fd < 0 || fcntl(fd, F_GETFD) >= 0); /* it is ours */
	vc_close(&fd);
	close(STDIN_FILENO);
	if (has_writer)
		pthread_join(writer, NULL);
	has_writer = false;
	vc_close(&pipe_fd[1]);
	ck_assert(open("/dev/null", O_RDONLY) == STDIN_FILENO);
}

/* --- what comes ------------------------------------------------------------- */

/* The next piece, which must be what is `at`; returns its length. */
static size_t take(size_t at, size_t len)
{
	const uint8_t *p;
	size_t n;

	ck_ok(stream_next(s, &p, &n, &err), &err);
	ck_assert_uint_le(n, len - at);
	ck_assert(!n || !memcmp(p, data + at, n));
	return n;
}

static void expect(size_t len)
{
	size_t at = 0, n;

	do {
		n = take(at, len);
		at += n;
	} while (n);
	ck_assert_uint_eq(at, len);
	ck_assert_uint_eq(take(at, len), 0);
}

static void check_told(enum kind kind, enum way way)
{
	const bool is_plain_file =
		kind == PLAIN && (way == FILE_NAME || way == STDIN);
	uint64_t start = 0;

	ck_assert_int_eq(stream_is_file(s), way == FILE_NAME);
	ck_assert_int_eq(stream_is_compressed(s), kind != PLAIN);
	ck_assert_int_eq(stream_has_end(s), kind != PLAIN || way == DIGEST);
	ck_assert(!stream_has_rest(s));
	ck_assert_int_eq(stream_get_plain(s, &start) >= 0, is_plain_file);
	ck_assert_uint_eq(start, way == FILE_NAME || way == PIPE ? 0 : BEFORE);
	ck_assert_uint_eq(stream_get_input_pos(s), packed_len);
	/* of standard input, all of the file's */
	ck_assert_uint_eq(stream_get_input_size(s),
			  way == PIPE	 ? 0
			  : way == STDIN ? packed_len + BEFORE
					 : packed_len);
}

static void check_digest(void)
{
	struct digest_id want, have;

	digest_final(&digest, &have);
	digest_init(&digest, DIGEST_SHA256);
	digest_update(&digest, packed, packed_len);
	digest_final(&digest, &want);
	ck_assert(digest_id_equal(&want, &have));
}

START_TEST(gives_all_of_any_length)
{
	const size_t lengths[] = { 1,	       PIECE / 2 - 1, PIECE / 2,
				   PIECE - 1,  PIECE,	      PIECE + 1,
				   7 * PIECE,  8 * PIECE,     9 * PIECE - 1,
				   16 * PIECE, 17 * PIECE,    MANY };
	const enum kind kind = kind_of(_i);
	const enum way way = way_of(_i);
	size_t i;

	/* deflate takes its time */
	for (i = 0; i < VC_ARRAY_SIZE(lengths) && (kind != GZIP || i < 8);
	     i++) {
		pack(kind, lengths[i]);
		open_stream(way);
		expect(lengths[i]);
		check_told(kind, way);
		close_stream();
		if (way == DIGEST)
			check_digest();
	}
}
END_TEST

/* A piece stays as it is until the next is asked for, and there are others
 * then. */
START_TEST(leaves_a_piece_alone)
{
	const uint8_t *p;
	size_t at, n;

	pack(kind_of(_i), MANY);
	open_stream(way_of(_i));
	for (at = 0; at < MANY; at += n) {
		ck_ok(stream_next(s, &p, &n, &err), &err);
		ck_assert_uint_gt(n, 0);
		if (at / PIECE % 16 == 0)
			usleep(20000);
		ck_assert(n <= MANY - at && !memcmp(p, data + at, n));
	}
	ck_assert_uint_eq(take(at, MANY), 0);
	close_stream();
}
END_TEST

START_TEST(can_be_closed_at_any_time)
{
	size_t nr, i, at;

	pack(kind_of(_i), MANY);
	for (nr = 0; nr < 24; nr += 1 + nr / 3) {
		open_stream(way_of(_i));
		for (at = i = 0; i < nr; i++)
			at += take(at, MANY);
		if (nr % 2)
			usleep(3000); /* all of them wait */
		close_stream();
	}
}
END_TEST

/* --- pipes ------------------------------------------------------------------ */

/* What has come is given, and not kept back until there is much of it. */
START_TEST(does_not_wait_for_more_of_a_pipe)
{
	const size_t len = 4 * PIECE;
	const size_t first = 3 * PIECE + 100;
	size_t at = 0;

	pack((enum kind)_i, len);
	ck_assert(!pipe2(pipe_fd, O_CLOEXEC));
	ck_assert_int_ge(fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20), 0);
	ck_assert(!vc_write_full(pipe_fd[1], packed, first));
	ck_assert(dup2(pipe_fd[0], STDIN_FILENO) == STDIN_FILENO);
	vc_close(&pipe_fd[0]);
	ck_ok(stream_open("/dev/stdin", &s, &err), &err);
	while (at < 2 * PIECE)
		at += take(at, len);
	/* it has a name, and is no file */
	ck_assert(!stream_is_file(s));
	ck_assert(
		!vc_write_full(pipe_fd[1], packed + first, packed_len - first));
	vc_close(&pipe_fd[1]);
	while (at < len)
		at += take(at, len);
	ck_assert_uint_eq(take(at, len), 0);
	close_stream();
}
END_TEST

/* Bytes that never come keep nobody. */
START_TEST(can_be_closed_before_a_pipe)
{
	size_t at = 0;
	int i;

	pack((enum kind)_i, 4 * PIECE);
	ck_assert(!pipe2(pipe_fd, O_CLOEXEC));
	ck_assert_int_ge(fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20), 0);
	ck_assert(!vc_write_full(pipe_fd[1], packed, 3 * PIECE));
	ck_assert(dup2(pipe_fd[0], STDIN_FILENO) == STDIN_FILENO);
	vc_close(&pipe_fd[0]);
	ck_ok(stream_open("-", &s, &err), &err);
	for (i = 0; i < 2; i++)
		at += take(at, 4 * PIECE);
	usleep(20000);
	close_stream();
}
END_TEST

/* --- errors ----------------------------------------------------------------- */

static void expect_error(enum vc_errc code, const char *text)
{
	const uint8_t *p;
	size_t n = 1;
	int i, rc = 0;

	while (!rc && n)
		rc = stream_next(s, &p, &n, &err);
	ck_assert_int_eq(rc, -1);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq((int)err.code, (int)code);
		ck_assert_msg(strstr(err.msg, text), "%s", err.msg);
		err = (struct vc_error){ 0 };
		ck_fails(stream_next(s, &p, &n, &err), &err, code);
	}
}

START_TEST(tells_that_it_is_empty)
{
	packed_len = 0;
	open_stream((enum way)_i);
	expect_error(VC_E_CORRUPT, "it is empty");
	close_stream();
}
END_TEST

/* All that is right comes before it. */
START_TEST(tells_a_wrong_sum_at_the_end)
{
	size_t i, at = 0;

	pack(kind_of(_i) ? GZIP : ZSTD, MANY);
	packed[packed_len - (kind_of(_i) ? 5 : 1)] ^= 1;
	open_stream(way_of(_i));
	for (i = 0; i < MANY / PIECE; i++)
		at += take(at, MANY);
	expect_error(VC_E_CORRUPT, "decompress: ");
	close_stream();
}
END_TEST

START_TEST(tells_that_it_is_cut_off)
{
	pack(kind_of(_i) ? GZIP : ZSTD, MANY);
	packed_len -= 20 * PIECE / 3;
	open_stream(way_of(_i));
	expect_error(VC_E_CORRUPT, "it is cut off");
	close_stream();
}
END_TEST

START_TEST(tells_what_follows)
{
	pack(GZIP, 6 * PIECE);
	memset(packed + packed_len, 0, 3 * PIECE);
	packed_len += 3 * PIECE;
	open_stream((enum way)_i);
	expect(6 * PIECE);
	ck_assert(!stream_has_rest(s));
	close_stream();
	if (_i == DIGEST)
		check_digest();
	packed[packed_len - 1] = 1;
	open_stream((enum way)_i);
	expect(6 * PIECE);
	ck_assert(stream_has_rest(s));
	close_stream();
	if (_i == DIGEST)
		check_digest();
}
END_TEST

START_TEST(refuses_what_it_cannot_open)
{
	ck_fails(stream_open("/", &s, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, EISDIR);
	ck_fails(stream_open("/nowhere", &s, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, ENOENT);
}
END_TEST

/* --- threads ---------------------------------------------------------------- */

START_TEST(steps_back_for_a_decoder)
{
	const struct sched_param none = { 0 };
	const enum way ways[] = { FILE_NAME, PIPE };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(ways); i++) {
		/* it is the caller's, who may have another */
		ck_assert(!sched_setscheduler(0, _i, &none));
		pack(ZSTD, MANY);
		open_stream(ways[i]);
		ck_assert_int_eq(sched_getscheduler(0),
				 _i == SCHED_OTHER && ways[i] == FILE_NAME
					 ? SCHED_BATCH
					 : _i);
		close_stream();
		ck_assert_int_eq(sched_getscheduler(0), _i);
		pack(PLAIN, MANY);
		open_stream(ways[i]);
		ck_assert_int_eq(sched_getscheduler(0), _i);
		close_stream();
	}
}
END_TEST

/* Where there is none to be had, what needs none is read all the same. */
START_TEST(does_without_a_thread)
{
	const char *path = "/proc/self/fd/0";
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	/* no thread has room for such a stack */
	ck_assert(!pthread_attr_setstacksize(&attr, (size_t)1 << 47));
	ck_assert(!pthread_setattr_default_np(&attr));
	pthread_attr_destroy(&attr);
	pack(PLAIN, MANY);
	open_stream((enum way)_i);
	expect(MANY);
	close_stream();
	pack(ZSTD, MANY);
	fd = memfd_create("input", MFD_CLOEXEC);
	ck_assert(fd >= 0 && !vc_write_full(fd, packed, packed_len));
	ck_assert(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	ck_fails(stream_open(path, &s, &err), &err, VC_E_SYS);
	ck_assert(strstr(err.msg, "start a thread"));
	close_stream();
}
END_TEST

TEST_SUITE(suite_stream)
{
	const int policies[] = { SCHED_OTHER, SCHED_BATCH, SCHED_IDLE };
	Suite *suite = suite_create("stream");
	TCase *tc = test_case(suite, "stream");
	size_t i;

	tcase_set_timeout(tc, 30);
	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, gives_all_of_any_length, 0,
			    (int)NR_KINDS * NR_WAYS);
	tcase_add_loop_test(tc, leaves_a_piece_alone, 0, (int)GZIP * NR_WAYS);
	tcase_add_loop_test(tc, can_be_closed_at_any_time, 0,
			    (int)GZIP * NR_WAYS);
	tcase_add_loop_test(tc, does_not_wait_for_more_of_a_pipe, 0, NR_KINDS);
	tcase_add_loop_test(tc, can_be_closed_before_a_pipe, 0, NR_KINDS);
	tcase_add_loop_test(tc, tells_that_it_is_empty, 0, NR_WAYS);
	tcase_add_loop_test(tc, tells_a_wrong_sum_at_the_end, 0, 2 * NR_WAYS);
	tcase_add_loop_test(tc, tells_that_it_is_cut_off, 0, 2 * NR_WAYS);
	tcase_add_loop_test(tc, tells_what_follows, 0, NR_WAYS);
	tcase_add_test(tc, refuses_what_it_cannot_open);
	tcase_add_loop_test(tc, does_without_a_thread, FILE_NAME, STDIN + 1);
	for (i = 0; i < VC_ARRAY_SIZE(policies); i++)
		tcase_add_loop_test(tc, steps_back_for_a_decoder, policies[i],
				    policies[i] + 1);
	return suite;
}
