/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of pieces, numbered from 0: those from `used` to `claimed` are in it,
 * being read or ready. A piece belongs to the thread that has claimed it until it
 * is ready. A file is read by two threads at a time, each piece at its place;
 * other input, and what has a digest, in order: by one at a time, whichever.
 *
 * Even what is in memory takes a third of the time of an image of it to copy:
 * hence the second thread; and as that has to write the image as well, the first
 * does not wait for it but reads the piece after. It sleeps only when there is
 * nothing to be read either. (The input is not mapped: somebody may cut it off or
 * change it at any time, and a parser must not see its bytes change.) What is not
 * in memory is asked for some way ahead.
 *
 * Who waits for room is woken up when there is much of it: in a virtual machine
 * that takes longer than to read a piece.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/source/ahead.h"

#define WANT_BYTES ((off_t)8 * 1024 * 1024) /* of a file, from the medium */

/* --- the input ------------------------------------------------------------ */

/* Read what is in memory, and ask for more if it is not; -1 if it must be
 * waited for. */
static ssize_t read_at_hand(const struct ahead *a, uint8_t *buf, size_t len,
			    uint64_t at)
{
	const struct iovec iov = { buf, len };
	ssize_t n = preadv2(a->in.fd, &iov, 1, (off_t)at, RWF_NOWAIT);

	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN)
		(void)posix_fadvise(a->in.fd, (off_t)at, WANT_BYTES,
				    POSIX_FADV_WILLNEED);
	return -1; /* the end is for the other to tell */
}

static ssize_t read_file(const struct ahead *a, uint8_t *buf, size_t len,
			 uint64_t at)
{
	ssize_t n;

	if (at >= a->in.size)
		return 0;
	len = (size_t)vc_min_u64(len, a->in.size - at);
	at += a->in.offset;
	n = read_at_hand(a, buf, len, at);
	while (n < 0) {
		n = pread(a->in.fd, buf, len, (off_t)at);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			break;
	}
	return n;
}

/* Like read(2), but ends when the input is no longer wanted. */
static ssize_t read_next(const struct ahead *a, uint8_t *buf, size_t len)
{
	struct pollfd p[2] = { { .fd = a->in.fd, .events = POLLIN },
			       { .fd = a->in.stop_fd, .events = POLLIN } };
	ssize_t n;

	do {
		n = poll(p, 2, -1);
		if (n > 0 && p[1].revents) {
			errno = ECANCELED;
			return -1;
		}
		/* not without having waited: nothing ends a wait in read() */
		if (n > 0)
			n = read(a->in.fd, buf, len);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n;
}

/* All of piece `nr`, or up to the end of the input. */
static int fill(struct ahead *a, uint64_t nr, size_t *ret_len,
		struct vc_error *err)
{
	uint8_t *buf = a->in.memory + nr % AHEAD_NR_PIECES * AHEAD_PIECE_BYTES;
	size_t at, left;
	ssize_t n = 1;

	for (at = 0; n && at < AHEAD_PIECE_BYTES; at += (size_t)n) {
		left = AHEAD_PIECE_BYTES - at;
		n = a->in.is_sequential
			    ? read_next(a, buf + at, left)
			    : read_file(a, buf + at, left,
					nr * AHEAD_PIECE_BYTES + at);
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "read");
		if (a->in.digest)
			digest_update(a->in.digest, buf + at, (size_t)n);
		atomic_fetch_add_explicit(&a->pos, (uint64_t)n,
					  memory_order_relaxed);
	}
	*ret_len = at;
	return 0;
}

/* --- pieces: all under `lock` --------------------------------------------- */

static struct ahead_piece *piece(struct ahead *a, uint64_t nr)
{
	return &a->piece[nr % AHEAD_NR_PIECES];
}

static bool can_read(const struct ahead *a)
{
	return !a->is_stopped && a->claimed < a->end &&
	       a->claimed - a->used < AHEAD_NR_PIECES &&
	       !(a->is_in_order && a->nr_reading);
}

static void end_at(struct ahead *a, uint64_t nr, const struct vc_error *err)
{
	if (nr >= a->end)
		return;
	a->end = nr;
	a->err = *err;
}

/* Lets go of the lock meanwhile. */
static void read_piece(struct ahead *a)
{
	const uint64_t nr = a->claimed++;
	struct vc_error err = { 0 };
	size_t len = 0;
	int rc;

	a->nr_reading++;
	pthread_mutex_unlock(&a->lock);
	rc = fill(a, nr, &len, &err);
	pthread_mutex_lock(&a->lock);
	a->nr_reading--;
	if (rc || !len)
		end_at(a, nr, &err);
	else if (len < AHEAD_PIECE_BYTES)
		end_at(a, nr + 1, &err);
	*piece(a, nr) = (struct ahead_piece){ .len = len, .is_ready = true };
}

static bool wants_help(const struct ahead *a)
{
	return a->is_helper_waiting && can_read(a) &&
	       a->claimed - a->used <= AHEAD_NR_PIECES / 2;
}

static void unlock_and_wake(struct ahead *a, bool wake)
{
	pthread_mutex_unlock(&a->lock);
	/* not before: it would wake up to wait for the lock */
	if (wake)
		pthread_cond_signal(&a->changed);
}

/* Until the next piece is ready, or there is none. */
static void wait_for_piece(struct ahead *a)
{
	while (!a->is_stopped && a->used < a->end &&
	       (a->used == a->claimed || !piece(a, a->used)->is_ready)) {
		if (can_read(a))
			read_piece(a);
		else
			pthread_cond_wait(&a->changed, &a->lock);
	}
}

/* --- who uses them -------------------------------------------------------- */

/* The next piece, which stays where it is. */
static int get_piece(struct ahead *a, const uint8_t **ret, size_t *ret_len,
		     struct vc_error *err)
{
	*ret = NULL;
	*ret_len = 0;
	wait_for_piece(a);
	if (a->is_stopped)
		return vc_fail(err, VC_E_SYS, ECANCELED, "read");
	if (a->used < a->end) {
		*ret = a->in.memory +
		       a->used % AHEAD_NR_PIECES * AHEAD_PIECE_BYTES;
		*ret_len = piece(a, a->used)->len;
	} else if (a->err.code) {
		*err = a->err;
		return -1;
	}
	return 0;
}

int ahead_peek(struct ahead *a, const uint8_t **ret, size_t *ret_len,
	       struct vc_error *err)
{
	int rc;

	pthread_mutex_lock(&a->lock);
	rc = get_piece(a, ret, ret_len, err);
	pthread_mutex_unlock(&a->lock);
	return rc;
}

int ahead_next(struct ahead *a, const uint8_t **ret, size_t *ret_len,
	       struct vc_error *err)
{
	int rc;

	pthread_mutex_lock(&a->lock);
	if (a->is_held) {
		piece(a, a->used)->is_ready = false;
		a->used++;
	}
	rc = get_piece(a, ret, ret_len, err);
	a->is_held = !rc && *ret_len;
	unlock_and_wake(a, wants_help(a));
	return rc;
}

/* --- who helps ------------------------------------------------------------ */

bool ahead_help(struct ahead *a)
{
	bool ret;

	pthread_mutex_lock(&a->lock);
	ret = can_read(a);
	if (ret)
		read_piece(a);
	unlock_and_wake(a, ret);
	return ret;
}

void ahead_help_on(struct ahead *a)
{
	bool more = true;

	while (more) {
		while (ahead_help(a))
			;
		pthread_mutex_lock(&a->lock);
		a->is_helper_waiting = true;
		while (!a->is_stopped && a->claimed < a->end && !can_read(a))
			pthread_cond_wait(&a->changed, &a->lock);
		a->is_helper_waiting = false;
		more = !a->is_stopped && a->claimed < a->end;
		pthread_mutex_unlock(&a->lock);
	}
}

/* --- all ------------------------------------------------------------------ */

void ahead_stop(struct ahead *a)
{
	pthread_mutex_lock(&a->lock);
	a->is_stopped = true;
	pthread_mutex_unlock(&a->lock);
	pthread_cond_broadcast(&a->changed);
}

bool ahead_is_at_end(struct ahead *a)
{
	bool ret;

	pthread_mutex_lock(&a->lock);
	ret = a->end != UINT64_MAX;
	pthread_mutex_unlock(&a->lock);
	return ret;
}

uint64_t ahead_get_pos(const struct ahead *a)
{
	return atomic_load_explicit(&a->pos, memory_order_relaxed);
}

void ahead_init(struct ahead *a, const struct ahead_input *in)
{
	*a = (struct ahead){ .in = *in, .end = UINT64_MAX };
	a->is_in_order = in->is_sequential || in->digest;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
}

void ahead_fini(struct ahead *a)
{
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
}
