/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/source/ahead.h"
#include "tests/lib/test.h"

#define MANY (5 * AHEAD_BYTES + 12345) /* the ring, several times */

static struct vc_error err;
static uint8_t *data;
static struct ahead a;
static pthread_t helper;
static bool has_helper;

static void setup(void)
{
	uint64_t x = 1;
	size_t i;

	data = malloc(MANY);
	ck_assert(data);
	for (i = 0; i < MANY; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		data[i] = (uint8_t)(x >> 56);
	}
}

static void teardown(void)
{
	free(data);
}

static int file_of(size_t len)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_ok(vc_write_full(fd, data, len), &err);
	return fd;
}

static void *help(void *arg)
{
	(void)arg;
	ahead_help_on(&a);
	return NULL;
}

static void start(struct ahead_input in, bool with_helper)
{
	in.memory = mmap(NULL, AHEAD_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(in.memory != MAP_FAILED);
	in.stop_fd = eventfd(0, EFD_CLOEXEC);
	ahead_init(&a, &in);
	has_helper = with_helper;
	if (with_helper)
		ck_assert(!pthread_create(&helper, NULL, help, NULL));
}

static void stop(void)
{
	const uint64_t one = 1;

	ahead_stop(&a);
	ck_assert_int_eq(write(a.in.stop_fd, &one, 8), 8);
	if (has_helper)
		pthread_join(helper, NULL);
	close(a.in.stop_fd);
	close(a.in.fd);
	munmap(a.in.memory, AHEAD_BYTES);
	ahead_fini(&a);
}

/* To its end, which must be where `want` ends. */
static void expect(const uint8_t *want, size_t len)
{
	const uint8_t *p, *last = NULL;
	size_t at = 0, n, last_len = 0;

	for (;;) {
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
		ck_assert_uint_le(n, len - at);
		ck_assert(!n || !memcmp(p, want + at, n));
		if (!n)
			break;
		at += n;
		last = p;
		last_len = n;
	}
	ck_assert_uint_eq(at, len);
	ck_assert(ahead_is_at_end(&a));
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert_uint_eq(n, 0);
	ck_assert(!ahead_help(&a));
	ck_assert(!last || !memcmp(last, want + at - last_len, last_len));
}

static const size_t lengths[] = { 0,
				  1,
				  AHEAD_PIECE_BYTES - 1,
				  AHEAD_PIECE_BYTES,
				  AHEAD_PIECE_BYTES + 1,
				  AHEAD_BYTES,
				  MANY };

START_TEST(gives_a_file_in_order)
{
	const size_t len = lengths[_i / 2];

	start((struct ahead_input){ .fd = file_of(len), .size = UINT64_MAX },
	      _i % 2);
	expect(data, len);
	ck_assert_uint_eq(ahead_get_pos(&a), len);
	stop();
}
END_TEST

START_TEST(gives_a_part_of_a_file)
{
	start((struct ahead_input){ .fd = file_of(MANY),
				    .offset = 777,
				    .size = 3 * AHEAD_PIECE_BYTES + 5 },
	      _i);
	expect(data + 777, 3 * AHEAD_PIECE_BYTES + 5);
	stop();
}
END_TEST

START_TEST(reads_for_its_digest_in_order)
{
	struct digest_id want, have;
	struct digest d;

	digest_init(&d, DIGEST_SHA256);
	digest_update(&d, data, MANY);
	digest_final(&d, &want);
	digest_init(&d, DIGEST_SHA256);
	start((struct ahead_input){ .fd = file_of(MANY),
				    .size = UINT64_MAX,
				    .digest = &d },
	      _i);
	expect(data, MANY);
	stop();
	digest_final(&d, &have);
	ck_assert(digest_id_equal(&want, &have));
}
END_TEST

static void *feed_pipe(void *arg)
{
	const int fd = *(const int *)arg;
	size_t at, n;

	for (at = 0; at < MANY; at += n) {
		n = vc_min_u64(MANY - at, 1 + at % 70000);
		if (vc_write_full(fd, data + at, n))
			abort();
	}
	close(fd);
	return NULL;
}

START_TEST(gives_a_pipe)
{
	pthread_t writer;
	int fd[2];

	ck_assert(!pipe2(fd, O_CLOEXEC));
	ck_assert(!pthread_create(&writer, NULL, feed_pipe, &fd[1]));
	start((struct ahead_input){ .fd = fd[0], .is_sequential = true }, _i);
	expect(data, MANY);
	pthread_join(writer, NULL);
	stop();
}
END_TEST

/* The helper is in a wait for bytes that never come. */
START_TEST(is_stopped_in_a_wait)
{
	int fd[2];

	ck_assert(!pipe2(fd, O_CLOEXEC));
	start((struct ahead_input){ .fd = fd[0], .is_sequential = true }, true);
	stop();
	close(fd[1]);
}
END_TEST

static void on_signal(int nr)
{
	(void)nr;
}

/* Signals end its wait, but it waits again and not for the bytes alone. */
START_TEST(goes_on_behind_a_signal)
{
	const struct sigaction sa = { .sa_handler = on_signal };
	int fd[2], i;

	ck_assert(!sigaction(SIGUSR1, &sa, NULL));
	ck_assert(!pipe2(fd, O_CLOEXEC));
	start((struct ahead_input){ .fd = fd[0], .is_sequential = true }, true);
	for (i = 0; i < 3; i++) {
		usleep(30000);
		pthread_kill(helper, SIGUSR1);
	}
	usleep(30000);
	if (_i) {
		ck_ok(vc_write_full(fd[1], data, 1000), &err);
		vc_close(&fd[1]);
		expect(data, 1000);
	}
	stop();
	vc_close(&fd[1]);
}
END_TEST

START_TEST(gives_nothing_once_stopped)
{
	const uint8_t *p;
	size_t n;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      false);
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ahead_stop(&a);
	ck_assert(!ahead_help(&a));
	ck_fails(ahead_next(&a, &p, &n, &err), &err, VC_E_SYS);
	stop();
}
END_TEST

START_TEST(shows_the_first_before_it_is_used)
{
	const uint8_t *p;
	size_t n;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      false);
	ck_ok(ahead_peek(&a, &p, &n, &err), &err);
	ck_assert_uint_eq(n, AHEAD_PIECE_BYTES);
	ck_assert(!ahead_is_at_end(&a));
	ck_assert(!memcmp(p, data, n));
	expect(data, MANY);
	stop();
}
END_TEST

/* It reads as far as the ring goes, and not over what is in use. */
START_TEST(helps_as_long_as_there_is_room)
{
	const uint8_t *first, *p;
	int i, nr = 0;
	size_t n;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      false);
	ck_ok(ahead_next(&a, &first, &n, &err), &err);
	while (ahead_help(&a))
		nr++;
	ck_assert_int_eq(nr, AHEAD_NR_PIECES - 1);
	ck_assert(!memcmp(first, data, n));
	for (i = 1; i < 3; i++)
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert(!memcmp(p, data + 2 * AHEAD_PIECE_BYTES, n));
	ck_assert(ahead_help(&a) && ahead_help(&a) && !ahead_help(&a));
	stop();
}
END_TEST

/* How many pieces are read or being read, and whether the helper waits. */
static unsigned nr_ahead(bool *ret_waiting)
{
	unsigned ret;

	pthread_mutex_lock(&a.lock);
	ret = (unsigned)(a.claimed - a.used);
	*ret_waiting = a.is_helper_waiting;
	pthread_mutex_unlock(&a.lock);
	return ret;
}

static void wait_for_full_ring(void)
{
	bool is_waiting = false;
	int i;

	for (i = 0; nr_ahead(&is_waiting) < AHEAD_NR_PIECES || !is_waiting;
	     i++) {
		ck_assert_int_lt(i, 2000);
		usleep(1000);
	}
}

/* Woken up when there is much room, and not for each piece. */
START_TEST(helps_again_when_there_is_room)
{
	const uint8_t *p;
	bool is_waiting;
	size_t n;
	int i;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      true);
	wait_for_full_ring();
	for (i = 0; i < 3; i++)
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
	usleep(20000);
	ck_assert_uint_eq(nr_ahead(&is_waiting), AHEAD_NR_PIECES - 2);
	ck_assert(is_waiting);
	for (; i <= AHEAD_NR_PIECES / 2; i++)
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
	wait_for_full_ring();
	stop();
}
END_TEST

START_TEST(helps_up_to_the_end)
{
	const size_t len = 3 * AHEAD_PIECE_BYTES;
	struct timespec t;

	start((struct ahead_input){ .fd = file_of(len), .size = UINT64_MAX },
	      true);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 20;
	ck_assert(!pthread_timedjoin_np(helper, NULL, &t));
	has_helper = false;
	expect(data, len);
	stop();
}
END_TEST

static void *take_first(void *arg)
{
	const uint8_t **ret = arg;
	size_t n;

	if (ahead_next(&a, ret, &n, &err) || n != AHEAD_PIECE_BYTES)
		*ret = NULL;
	return NULL;
}

/* Who waits for a piece that another reads reads those behind it. */
START_TEST(reads_on_while_it_waits)
{
	const uint8_t *first = NULL;
	pthread_t user;
	bool is_waiting;
	int i;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      false);
	a.claimed = a.nr_reading = 1; /* by us */
	ck_assert(!pthread_create(&user, NULL, take_first, &first));
	for (i = 0; nr_ahead(&is_waiting) < AHEAD_NR_PIECES; i++) {
		ck_assert_int_lt(i, 2000);
		usleep(1000);
	}
	memcpy(a.in.memory, data, AHEAD_PIECE_BYTES);
	pthread_mutex_lock(&a.lock);
	a.nr_reading--;
	a.piece[0] = (struct ahead_piece){ AHEAD_PIECE_BYTES, true };
	pthread_cond_signal(&a.changed);
	pthread_mutex_unlock(&a.lock);
	pthread_join(user, NULL);
	ck_assert_ptr_eq(first, a.in.memory);
	stop();
}
END_TEST

START_TEST(tells_an_error_where_it_is)
{
	const uint8_t *p;
	size_t n = 0;

	start((struct ahead_input){ .fd = open("/", O_RDONLY | O_CLOEXEC),
				    .size = UINT64_MAX },
	      _i);
	ck_fails(ahead_next(&a, &p, &n, &err), &err, VC_E_SYS);
	ck_fails(ahead_next(&a, &p, &n, &err), &err, VC_E_SYS);
	stop();
}
END_TEST

/* Of a piece in the middle, whatever was read of those behind it. */
START_TEST(tells_an_error_behind_what_is_right)
{
	const size_t bad = 3 * AHEAD_PIECE_BYTES;
	const uint8_t *p;
	size_t at, n;
	int i;

	start((struct ahead_input){ .fd = file_of(MANY), .size = UINT64_MAX },
	      false);
	/* where it cannot be read to */
	ck_assert(!mprotect(a.in.memory + bad, AHEAD_PIECE_BYTES, PROT_NONE));
	has_helper = _i;
	if (has_helper)
		ck_assert(!pthread_create(&helper, NULL, help, NULL));
	for (at = 0; at < bad; at += n) {
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
		ck_assert(n == AHEAD_PIECE_BYTES && !memcmp(p, data + at, n));
	}
	for (i = 0; i < 2; i++) {
		err = (struct vc_error){ 0 };
		ck_fails(ahead_next(&a, &p, &n, &err), &err, VC_E_SYS);
		ck_assert_int_eq(err.sys, EFAULT);
	}
	stop();
}
END_TEST

/* What is appended meanwhile does not follow what was there: some would be left
 * out in between. */
START_TEST(ends_where_the_file_ended)
{
	const size_t len = AHEAD_PIECE_BYTES + 1000;
	const uint8_t *p;
	size_t n;
	int fd = file_of(len);

	start((struct ahead_input){ .fd = fd, .size = UINT64_MAX }, false);
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert_uint_eq(n, AHEAD_PIECE_BYTES);
	ck_assert(ahead_help(&a));
	ck_assert(ahead_is_at_end(&a));
	ck_ok(vc_pwrite_full(fd, data, AHEAD_BYTES, len), &err);
	ck_assert(!ahead_help(&a));
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert_uint_eq(n, 1000);
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert_uint_eq(n, 0);
	stop();
}
END_TEST

/* A file that somebody cuts off meanwhile ends there, whatever was read of it
 * from behind that place. */
START_TEST(ends_where_the_file_was_cut)
{
	const size_t len = 2 * AHEAD_PIECE_BYTES + 10;
	const uint8_t *p;
	size_t n, sum = 0;
	int fd = file_of(MANY);

	start((struct ahead_input){ .fd = fd, .size = UINT64_MAX }, _i);
	ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert(!ftruncate(fd, (off_t)len));
	for (; n; sum += n)
		ck_ok(ahead_next(&a, &p, &n, &err), &err);
	ck_assert_uint_ge(sum, AHEAD_PIECE_BYTES);
	ck_assert_uint_le(sum, AHEAD_BYTES + 2 * AHEAD_PIECE_BYTES);
	stop();
}
END_TEST

TEST_SUITE(suite_ahead)
{
	Suite *s = suite_create("ahead");
	TCase *tc = test_case(s, "ahead");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, gives_a_file_in_order, 0,
			    2 * (int)VC_ARRAY_SIZE(lengths));
	tcase_add_loop_test(tc, gives_a_part_of_a_file, 0, 2);
	tcase_add_loop_test(tc, reads_for_its_digest_in_order, 0, 2);
	tcase_add_loop_test(tc, gives_a_pipe, 0, 2);
	tcase_add_test(tc, is_stopped_in_a_wait);
	tcase_add_loop_test(tc, goes_on_behind_a_signal, 0, 2);
	tcase_add_test(tc, gives_nothing_once_stopped);
	tcase_add_test(tc, shows_the_first_before_it_is_used);
	tcase_add_test(tc, helps_as_long_as_there_is_room);
	tcase_add_test(tc, helps_again_when_there_is_room);
	tcase_add_test(tc, helps_up_to_the_end);
	tcase_add_test(tc, reads_on_while_it_waits);
	tcase_add_loop_test(tc, tells_an_error_where_it_is, 0, 2);
	tcase_add_loop_test(tc, tells_an_error_behind_what_is_right, 0, 2);
	tcase_add_test(tc, ends_where_the_file_ended);
	tcase_add_loop_test(tc, ends_where_the_file_was_cut, 0, 2);
	return s;
}
