/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread reads and decompresses into a few buffers while the caller parses
 * what came before, so that on two processors an archive takes as long as the
 * slower of the two. Plain input is read straight into them, compressed input
 * through a decoder.
 *
 * A plain file that is in memory already takes less time to copy than to hand
 * over: the caller reads it itself, into one buffer that stays in its
 * processor's cache. (Not mapped: somebody may cut it off or change it at any
 * time, and a parser must not see its bytes change.) What is not in memory is
 * asked for some way ahead.
 *
 * The decoder is nearly always the slower of the two, so nothing is to keep it:
 *
 *  - There are buffers for what it makes while the caller waits for the disk,
 *    in few large pages: faults of small ones are a part of its time.
 *  - It wakes the caller for several pieces at a time, up to the end of the
 *    input: to wake up a thread takes long, in a virtual machine above all.
 *  - Before the caller waits, it reads compressed input ahead, for which there is
 *    a small ring. The decoder reads for itself only when that is empty. One of
 *    them reads at a time: who has set is_reading.
 *  - The caller, and what writes in the background for it, wait for a processor
 *    rather than take the decoder's when they wake up.
 *
 * Buffers are idle, being filled, or pieces: numbers `taken` to `made`, of which
 * the caller looks at the first. All of it, is_end and is_stopped are under
 * `lock`. stop_fd becomes readable to get the thread out of a wait for a pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "mkimage/pages.h"
#include "mkimage/source/decode.h"
#include "mkimage/source/stream.h"

#define NR_BUFS 16
#define NR_BATCH 8 /* pieces that the caller is woken up for */
#define BUF_BYTES (256 * 1024)
#define NR_PACKED 16
#define PACKED_BYTES (128 * 1024)
#define ALL_BYTES \
	((size_t)NR_BUFS * BUF_BYTES + (size_t)NR_PACKED * PACKED_BYTES)
#define LARGE_BYTES (8 * 1024 * 1024) /* of input, to take large pages for */
#define DIRECT_BYTES (256 * 1024)     /* at a time, without the thread */
#define AHEAD_BYTES (8 * 1024 * 1024)
#define PROBE_BYTES (64 * 1024)

struct piece {
	uint8_t *buf;
	size_t len;
};

struct stream {
	int fd, stop_fd;
	uint64_t input_size;
	atomic_uint_fast64_t input_pos;
	bool has_thread, can_wait, is_compressed, is_named;
	bool has_rest;	/* behind compressed data; valid once is_end */
	bool is_direct; /* no thread: the caller reads */
	bool has_range; /* of `fd`, which is borrowed then */
	uint64_t offset, left;
	uint64_t start;	       /* of the input in a file */
	struct digest *digest; /* borrowed; of the input */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned made, taken;
	bool is_end, is_stopped;
	struct vc_error err; /* of the thread; valid once is_end */

	struct piece piece[NR_BUFS]; /* number i in piece[i % NR_BUFS] */
	uint8_t *idle[NR_BUFS];	     /* not among them; the last is next */
	unsigned nr_idle;
	uint8_t *memory; /* of all of them, and `packed` */

	/* the head of the input, looked at to tell whether it is compressed */
	uint8_t *head;
	size_t head_len;
	bool head_used;
	bool is_looking; /* the caller has number `taken` */

	/* what the decoder reads; all but has_piece under `lock` */
	uint8_t *packed;
	size_t packed_len[NR_PACKED];
	unsigned packed_read, packed_used;
	bool is_reading, is_all_read;
	bool has_piece; /* the decoder has number packed_used */
	struct vc_error read_err;

	bool has_stepped_back; /* the caller has another policy, to be reset */
};

/* --- the input ------------------------------------------------------------ */

/* Read what is in memory; -1 if there is nothing or it cannot be told. */
static ssize_t read_at_hand(struct stream *s, uint8_t *buf, size_t len)
{
	const struct iovec iov = { buf, len };

	return preadv2(s->fd, &iov, 1, s->has_range ? (off_t)s->offset : -1,
		       RWF_NOWAIT);
}

static void ask_ahead(struct stream *s)
{
	const uint64_t at =
		s->has_range ? s->offset : s->start + stream_get_input_pos(s);

	(void)posix_fadvise(s->fd, (off_t)at, AHEAD_BYTES, POSIX_FADV_WILLNEED);
}

/* Like read(2), but ends when the stream is being closed. */
static ssize_t read_input(struct stream *s, uint8_t *buf, size_t len)
{
	struct pollfd p[2] = { { .fd = s->fd, .events = POLLIN },
			       { .fd = s->stop_fd, .events = POLLIN } };
	ssize_t n;

	if (s->has_range && len > s->left)
		len = (size_t)s->left;
	for (;;) {
		if (s->can_wait && poll(p, 2, -1) < 0 && errno != EINTR)
			return -1;
		if (s->can_wait && p[1].revents) {
			errno = ECANCELED;
			return -1;
		}
		if (s->is_direct) {
			n = read_at_hand(s, buf, len);
			if (n > 0)
				break;
			if (n < 0 && errno == EAGAIN)
				ask_ahead(s);
		}
		n = s->has_range ? pread(s->fd, buf, len, (off_t)s->offset)
				 : read(s->fd, buf, len);
		if (n >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	if (n > 0 && s->has_range) {
		s->offset += (uint64_t)n;
		s->left -= (uint64_t)n;
	}
	if (n > 0 && s->digest)
		digest_update(s->digest, buf, (size_t)n);
	if (n > 0)
		atomic_fetch_add_explicit(&s->input_pos, (uint64_t)n,
					  memory_order_relaxed);
	return n;
}

static int fail_read(struct stream *s, struct vc_error *err)
{
	(void)s;
	return vc_fail(err, VC_E_SYS, errno, "read");
}

/* All of `max` bytes, if there are so many. */
static int fill_plain(struct stream *s, uint8_t *buf, size_t max,
		      size_t *ret_len, struct vc_error *err)
{
	size_t len = 0;
	ssize_t n;

	if (!s->head_used) {
		memcpy(buf, s->head, s->head_len);
		len = s->head_len;
		s->head_used = true;
	}
	do {
		n = read_input(s, buf + len, max - len);
		if (n < 0)
			return fail_read(s, err);
		len += (size_t)n;
	} while (n && len < max);
	*ret_len = len;
	return 0;
}

/* --- the thread ---------------------------------------------------------- */

/* A buffer to fill; NULL when the caller does not want any more. */
static uint8_t *get_idle(struct stream *s)
{
	uint8_t *ret = NULL;

	pthread_mutex_lock(&s->lock);
	while (!s->nr_idle && !s->is_stopped)
		pthread_cond_wait(&s->changed, &s->lock);
	if (!s->is_stopped)
		ret = s->idle[--s->nr_idle];
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* Is there so much that the caller is to go on? Not less than that of a file,
 * but at its end nothing is kept back. Under `lock`. */
static bool is_batch(const struct stream *s)
{
	return s->is_end || s->made - s->taken >= NR_BATCH ||
	       (s->made != s->taken && (s->can_wait || s->is_all_read));
}

static void put_piece(struct stream *s, uint8_t *buf, size_t len)
{
	bool wake;

	pthread_mutex_lock(&s->lock);
	s->piece[s->made % NR_BUFS] = (struct piece){ buf, len };
	s->made++;
	wake = is_batch(s);
	pthread_mutex_unlock(&s->lock);
	/* not before: it would wake up to wait for the lock */
	if (wake)
		pthread_cond_signal(&s->changed);
}

static int copy_plain(struct stream *s, struct vc_error *err)
{
	size_t len = BUF_BYTES;
	uint8_t *buf;

	while (len == BUF_BYTES && (buf = get_idle(s))) {
		if (fill_plain(s, buf, BUF_BYTES, &len, err))
			return -1;
		if (len)
			put_piece(s, buf, len);
	}
	return 0;
}

/* Is there input to be read and room for it? Under `lock`. */
static bool can_read(const struct stream *s)
{
	return !s->is_reading && !s->is_all_read &&
	       s->packed_read - s->packed_used < NR_PACKED;
}

/* Under `lock`, which is let go of meanwhile. */
static void read_packed(struct stream *s)
{
	const unsigned i = s->packed_read % NR_PACKED;
	struct vc_error err = { 0 };
	ssize_t n;

	s->is_reading = true;
	pthread_mutex_unlock(&s->lock);
	n = read_input(s, s->packed + (size_t)i * PACKED_BYTES, PACKED_BYTES);
	if (n < 0)
		fail_read(s, &err);
	pthread_mutex_lock(&s->lock);
	s->is_reading = false;
	if (n > 0) {
		s->packed_len[i] = (size_t)n;
		s->packed_read++;
	} else {
		s->is_all_read = true;
		s->read_err = err;
	}
	pthread_cond_signal(&s->changed);
}

static int next_packed(struct stream *s, const uint8_t **ret, size_t *ret_len,
		       struct vc_error *err)
{
	unsigned i;

	s->packed_used += s->has_piece;
	s->has_piece = false;
	while (s->packed_used == s->packed_read && !s->is_all_read) {
		if (s->is_reading)
			pthread_cond_wait(&s->changed, &s->lock);
		else
			read_packed(s);
	}
	*ret = NULL;
	*ret_len = 0;
	if (s->packed_used != s->packed_read) {
		i = s->packed_used % NR_PACKED;
		*ret = s->packed + (size_t)i * PACKED_BYTES;
		*ret_len = s->packed_len[i];
		s->has_piece = true;
	} else if (s->read_err.code) {
		*err = s->read_err;
		return -1;
	}
	return 0;
}

static int feed(void *opaque, const uint8_t **ret, size_t *ret_len,
		struct vc_error *err)
{
	struct stream *s = opaque;
	int rc;

	if (!s->head_used) {
		s->head_used = true;
		*ret = s->head;
		*ret_len = s->head_len;
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	rc = next_packed(s, ret, ret_len, err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int decompress(struct stream *s, struct vc_error *err)
{
	vc_auto(decoder) struct decoder *d = NULL;
	size_t len = BUF_BYTES;
	uint8_t *buf;

	if (decoder_open(s->head, s->head_len, feed, s, &d, err))
		return -1;
	while (len == BUF_BYTES && (buf = get_idle(s))) {
		if (decoder_read(d, buf, BUF_BYTES, &len, err))
			return -1;
		if (len)
			put_piece(s, buf, len);
	}
	s->has_rest = decoder_has_rest(d);
	return 0;
}

static int read_head(struct stream *s, struct vc_error *err)
{
	ssize_t n;

	while (s->head_len < PROBE_BYTES) {
		n = read_input(s, s->head + s->head_len,
			       PROBE_BYTES - s->head_len);
		if (n < 0)
			return fail_read(s, err);
		if (!n)
			break;
		s->head_len += (size_t)n;
	}
	if (!s->head_len)
		return vc_fail(err, VC_E_CORRUPT, 0, "it is empty");
	return 0;
}

/* What is behind the end belongs to the digest too. */
static void read_rest(struct stream *s, struct vc_error *err)
{
	const uint8_t *p;
	size_t n;

	while (!feed(s, &p, &n, err) && n)
		;
}

/* What kind of input is it? */
static int look(struct stream *s, struct vc_error *err)
{
	if (read_head(s, err))
		return -1;
	s->is_compressed = decode_is_compressed(s->head, s->head_len);
	return 0;
}

static void *run(void *arg)
{
	struct stream *s = arg;
	struct vc_error err = { 0 };

	if (s->head_len || !look(s, &err)) {
		if (s->is_compressed)
			decompress(s, &err);
		else
			copy_plain(s, &err);
	}
	if (!err.code && s->digest)
		read_rest(s, &err);
	pthread_mutex_lock(&s->lock);
	s->err = err;
	s->is_end = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- the caller ---------------------------------------------------------- */

static int open_input(struct stream *s, const char *path, struct vc_error *err)
{
	struct stat st;
	off_t at;

	if (!strcmp(path, "-"))
		s->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st))
		return vc_fail(err, VC_E_SYS, errno, "open");
	if (S_ISDIR(st.st_mode))
		return vc_fail(err, VC_E_SYS, EISDIR, "open");
	s->can_wait = !S_ISREG(st.st_mode);
	s->is_named = !s->can_wait && strcmp(path, "-") != 0;
	if (S_ISREG(st.st_mode)) {
		at = lseek(s->fd, 0, SEEK_CUR); /* standard input's */
		s->start = at > 0 ? (uint64_t)at : 0;
		s->input_size = (uint64_t)st.st_size;
		(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "eventfd");
	return 0;
}

static struct stream *stream_new(void)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = s->stop_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	return s;
}

/* The decoder keeps its processor when the caller, or who writes for it, wakes
 * up beside it. */
static void step_back(struct stream *s)
{
	const struct sched_param none = { 0 };

	s->has_stepped_back = sched_getscheduler(0) == SCHED_OTHER &&
			      !sched_setscheduler(0, SCHED_BATCH, &none);
}

static void step_forward(struct stream *s)
{
	const struct sched_param none = { 0 };

	/* what anybody may do, and nothing is lost if not */
	if (s->has_stepped_back)
		(void)sched_setscheduler(0, SCHED_OTHER, &none);
}

static int alloc_buffers(struct stream *s)
{
	int i;

	if (s->is_direct)
		s->memory = malloc(DIRECT_BYTES);
	else if (s->input_size < LARGE_BYTES)
		s->memory = malloc(ALL_BYTES);
	else
		s->memory = pages_alloc(ALL_BYTES);
	if (!s->memory)
		return -1;
	if (s->is_direct)
		return 0;
	for (i = NR_BUFS - 1; i >= 0; i--)
		s->idle[s->nr_idle++] = s->memory + (size_t)i * BUF_BYTES;
	s->packed = s->memory + (size_t)NR_BUFS * BUF_BYTES;
	return 0;
}

static int stream_start(struct stream *s, struct vc_error *err)
{
	int rc;

	s->head = malloc(PROBE_BYTES);
	if (!s->head)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	/* an error here is told where the thread's would be */
	if (!s->can_wait && look(s, &s->err)) {
		s->is_end = true;
		return 0;
	}
	s->is_direct = !s->can_wait && !s->is_compressed && !s->digest;
	if (alloc_buffers(s))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	if (s->is_direct)
		return 0;
	rc = pthread_create(&s->thread, NULL, run, s);
	if (rc)
		return vc_fail(err, VC_E_SYS, rc, "start a thread");
	s->has_thread = true;
	if (!s->can_wait && s->is_compressed)
		step_back(s);
	return 0;
}

int stream_open(const char *path, struct stream **ret, struct vc_error *err)
{
	vc_auto(stream) struct stream *s = stream_new();

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	if (open_input(s, path, err) || stream_start(s, err))
		return -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

int stream_open_range(const struct stream_range *range, struct digest *digest,
		      struct stream **ret, struct vc_error *err)
{
	vc_auto(stream) struct stream *s = stream_new();

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	s->has_range = true;
	s->fd = range->fd;
	s->offset = range->offset;
	s->left = s->input_size = range->size;
	s->digest = digest;
	if (stream_start(s, err))
		return -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

int stream_get_plain(const struct stream *s, uint64_t *ret_start)
{
	*ret_start = s->start;
	return s->can_wait || s->has_range || s->is_compressed ? -1 : s->fd;
}

bool stream_is_file(const struct stream *s)
{
	return s->is_named;
}

bool stream_is_compressed(const struct stream *s)
{
	return s->is_compressed;
}

static int next_direct(struct stream *s, const uint8_t **ret_data,
		       size_t *ret_len, struct vc_error *err)
{
	*ret_data = NULL;
	*ret_len = 0;
	if (fill_plain(s, s->memory, DIRECT_BYTES, ret_len, err))
		return -1;
	if (*ret_len)
		*ret_data = s->memory;
	return 0;
}

bool stream_has_rest(const struct stream *s)
{
	return s->has_rest;
}

/* Under `lock`. */
static void wait_for_batch(struct stream *s)
{
	while (!is_batch(s)) {
		if (!s->can_wait && s->is_compressed && can_read(s))
			read_packed(s);
		else
			pthread_cond_wait(&s->changed, &s->lock);
	}
}

int stream_next(struct stream *s, const uint8_t **ret_data, size_t *ret_len,
		struct vc_error *err)
{
	int rc = 0;

	if (s->is_direct)
		return next_direct(s, ret_data, ret_len, err);
	pthread_mutex_lock(&s->lock);
	if (s->is_looking) {
		s->is_looking = false;
		s->idle[s->nr_idle++] = s->piece[s->taken % NR_BUFS].buf;
		s->taken++;
		pthread_cond_signal(&s->changed);
	}
	if (s->made == s->taken)
		wait_for_batch(s);
	*ret_data = NULL;
	*ret_len = 0;
	if (s->made != s->taken) {
		*ret_data = s->piece[s->taken % NR_BUFS].buf;
		*ret_len = s->piece[s->taken % NR_BUFS].len;
		s->is_looking = true;
	} else if (s->err.code) {
		*err = s->err;
		rc = -1;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

uint64_t stream_get_input_pos(const struct stream *s)
{
	return atomic_load_explicit(&s->input_pos, memory_order_relaxed);
}

uint64_t stream_get_input_size(const struct stream *s)
{
	return s->input_size;
}

struct stream *stream_close(struct stream *s)
{
	const uint64_t one = 1;

	if (!s)
		return NULL;
	if (s->has_thread) {
		pthread_mutex_lock(&s->lock);
		s->is_stopped = true;
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->lock);
		if (s->stop_fd >= 0 &&
		    vc_write_full(s->stop_fd, &one, sizeof(one)))
			abort(); /* an eventfd of ours takes a one */
		pthread_join(s->thread, NULL);
		step_forward(s);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	if (!s->has_range)
		vc_close(&s->fd);
	vc_close(&s->stop_fd);
	free(s->memory);
	free(s->head);
	free(s);
	return NULL;
}
