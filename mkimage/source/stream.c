/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second thread takes half of the work. It decompresses into a few buffers while
 * the caller parses what came before, so that on two processors an archive takes
 * as long as the slower of the two; what is not compressed it reads, as the caller
 * does too (ahead.c).
 *
 * The decoder is nearly always the slower of the two, so nothing is to keep it:
 *
 *  - There are buffers for what it makes while the caller waits for the disk,
 *    in few large pages: faults of small ones are a part of its time.
 *  - It wakes the caller for several pieces at a time, up to the end of the
 *    input: to wake up a thread takes long, in a virtual machine above all.
 *  - Before the caller waits, it reads compressed input ahead. The decoder reads
 *    for itself only when there is none.
 *  - The caller, and what writes in the background for it, wait for a processor
 *    rather than take the decoder's when they wake up.
 *
 * Buffers are idle, being filled, or pieces: numbers `taken` to `made`, of which
 * the caller looks at the first. All of it, is_end and is_stopped are under
 * `lock`. stop_fd becomes readable to get a thread out of a wait for a pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mkimage/pages.h"
#include "mkimage/source/ahead.h"
#include "mkimage/source/decode.h"
#include "mkimage/source/stream.h"

#define NR_BUFS 16
#define NR_BATCH 8 /* pieces that the caller is woken up for */
#define BUF_BYTES ((size_t)256 * 1024)
#define LARGE_BYTES (8 * 1024 * 1024) /* of input, to take large pages for */

struct piece {
	uint8_t *buf;
	size_t len;
};

struct stream {
	int fd, stop_fd;
	bool is_sequential, is_compressed, has_end, is_named;
	bool has_thread, has_rest; /* behind compressed data; once is_end */
	bool has_range;		   /* of `fd`, which is borrowed then */
	uint64_t start;		   /* of the input in a file */
	uint64_t size;		   /* of the input; 0: not known */
	struct digest *digest;	   /* borrowed; of the input */
	struct ahead in;
	uint8_t *in_memory;
	pthread_t thread;
	struct vc_error head_err; /* of the first piece of the input */

	/* what the thread decodes */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned made, taken;
	bool is_end, is_stopped;
	struct vc_error err; /* of the thread; valid once is_end */

	struct piece piece[NR_BUFS]; /* number i in piece[i % NR_BUFS] */
	uint8_t *idle[NR_BUFS];	     /* not among them; the last is next */
	unsigned nr_idle;
	uint8_t *memory; /* of all of them */
	bool is_looking; /* the caller has number `taken` */

	bool has_stepped_back; /* the caller has another policy, to be reset */
};

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
static bool is_batch(struct stream *s)
{
	return s->is_end || s->made - s->taken >= NR_BATCH ||
	       (s->made != s->taken &&
		(s->is_sequential || ahead_is_at_end(&s->in)));
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

static int feed(void *opaque, const uint8_t **ret, size_t *ret_len,
		struct vc_error *err)
{
	struct stream *s = opaque;

	return ahead_next(&s->in, ret, ret_len, err);
}

/* All of the input, which a decoder reads to its end; `err` has a code if that
 * fails. */
static void decompress(struct stream *s, struct vc_error *err)
{
	vc_auto(decoder) struct decoder *d = NULL;
	const uint8_t *head;
	size_t len;
	uint8_t *buf;

	if (ahead_peek(&s->in, &head, &len, err) ||
	    decoder_open(head, len, feed, s, &d, err))
		return;
	len = BUF_BYTES;
	while (len == BUF_BYTES && (buf = get_idle(s))) {
		if (decoder_read(d, buf, BUF_BYTES, &len, err))
			return;
		if (len)
			put_piece(s, buf, len);
	}
	s->has_rest = decoder_has_rest(d);
}

static void *decode(void *arg)
{
	struct stream *s = arg;
	struct vc_error err = { 0 };

	decompress(s, &err);
	pthread_mutex_lock(&s->lock);
	s->err = err;
	s->is_end = true;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_signal(&s->changed);
	return NULL;
}

static void *read_on(void *arg)
{
	struct stream *s = arg;

	ahead_help_on(&s->in);
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
	s->is_sequential = !S_ISREG(st.st_mode);
	s->is_named = !s->is_sequential && strcmp(path, "-") != 0;
	if (S_ISREG(st.st_mode)) {
		at = lseek(s->fd, 0, SEEK_CUR); /* standard input's */
		s->start = at > 0 ? (uint64_t)at : 0;
		s->size = (uint64_t)st.st_size;
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

static void *alloc_memory(const struct stream *s, size_t len)
{
	return s->size < LARGE_BYTES ? malloc(len) : pages_alloc(len);
}

/* What kind of input is it? */
static int look(struct stream *s, struct vc_error *err)
{
	const uint8_t *head;
	size_t len;

	if (ahead_peek(&s->in, &head, &len, err))
		return -1;
	if (!len)
		return vc_fail(err, VC_E_CORRUPT, 0, "it is empty");
	s->is_compressed = decode_is_compressed(head, len);
	s->has_end = decode_has_end(head, len);
	return 0;
}

static int start_input(struct stream *s, struct vc_error *err)
{
	struct ahead_input in = {
		.fd = s->fd,
		.stop_fd = s->stop_fd,
		.is_sequential = s->is_sequential,
		.offset = s->start,
		.size = s->has_range ? s->size : UINT64_MAX,
		.digest = s->digest,
	};

	in.memory = s->in_memory = alloc_memory(s, AHEAD_BYTES);
	if (!in.memory)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	ahead_init(&s->in, &in);
	return 0;
}

static int alloc_buffers(struct stream *s, struct vc_error *err)
{
	int i;

	s->memory = alloc_memory(s, NR_BUFS * BUF_BYTES);
	if (!s->memory)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	for (i = NR_BUFS - 1; i >= 0; i--)
		s->idle[s->nr_idle++] = s->memory + (size_t)i * BUF_BYTES;
	return 0;
}

static int stream_start(struct stream *s, struct vc_error *err)
{
	int rc;

	if (start_input(s, err))
		return -1;
	/* for who asks for the first piece */
	if (look(s, &s->head_err))
		return 0;
	if (!s->is_compressed && ahead_is_at_end(&s->in))
		return 0; /* there is nothing to be read ahead */
	if (s->is_compressed && alloc_buffers(s, err))
		return -1;
	rc = pthread_create(&s->thread, NULL,
			    s->is_compressed ? decode : read_on, s);
	s->has_thread = !rc;
	/* what is not compressed the caller can read alone */
	if (rc && s->is_compressed)
		return vc_fail(err, VC_E_SYS, rc, "start a thread");
	if (!s->is_sequential && s->is_compressed)
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
	s->start = range->offset;
	s->size = range->size;
	s->digest = digest;
	if (stream_start(s, err))
		return -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

int stream_get_plain(const struct stream *s, uint64_t *ret_start)
{
	*ret_start = s->start;
	return s->is_sequential || s->has_range || s->is_compressed ? -1
								    : s->fd;
}

bool stream_is_file(const struct stream *s)
{
	return s->is_named;
}

bool stream_is_compressed(const struct stream *s)
{
	return s->is_compressed;
}

bool stream_has_end(const struct stream *s)
{
	return s->has_end || s->digest;
}

bool stream_has_rest(const struct stream *s)
{
	return s->has_rest;
}

/* Under `lock`, which is let go of meanwhile. */
static void wait_for_batch(struct stream *s)
{
	bool has_read;

	while (!is_batch(s)) {
		pthread_mutex_unlock(&s->lock);
		has_read = !s->is_sequential && ahead_help(&s->in);
		pthread_mutex_lock(&s->lock);
		if (!has_read && !is_batch(s))
			pthread_cond_wait(&s->changed, &s->lock);
	}
}

static int next_decoded(struct stream *s, const uint8_t **ret_data,
			size_t *ret_len, struct vc_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (s->is_looking) {
		s->is_looking = false;
		if (!s->nr_idle)
			pthread_cond_signal(&s->changed);
		s->idle[s->nr_idle++] = s->piece[s->taken % NR_BUFS].buf;
		s->taken++;
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

int stream_next(struct stream *s, const uint8_t **ret_data, size_t *ret_len,
		struct vc_error *err)
{
	if (s->head_err.code) {
		*err = s->head_err;
		return -1;
	}
	return s->is_compressed ? next_decoded(s, ret_data, ret_len, err)
				: ahead_next(&s->in, ret_data, ret_len, err);
}

uint64_t stream_get_input_pos(const struct stream *s)
{
	return ahead_get_pos(&s->in);
}

uint64_t stream_get_input_size(const struct stream *s)
{
	return s->size;
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
		ahead_stop(&s->in);
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
	if (s->in_memory)
		ahead_fini(&s->in);
	free(s->in_memory);
	free(s->memory);
	free(s);
	return NULL;
}
