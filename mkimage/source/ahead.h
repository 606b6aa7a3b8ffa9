/* SPDX-License-Identifier: BSD-3-Clause */
/* Input in pieces, in their order: read by who uses them, and ahead of that by
 * another thread whenever that has time. */
#ifndef MKIMAGE_SOURCE_AHEAD_H
#define MKIMAGE_SOURCE_AHEAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <vmmcore/util.h>
#include "mkimage/digest.h"

#define AHEAD_NR_PIECES 16
#define AHEAD_PIECE_BYTES ((size_t)128 * 1024)
#define AHEAD_BYTES (AHEAD_NR_PIECES * AHEAD_PIECE_BYTES)

struct ahead_input {
	int fd;	     /* borrowed */
	int stop_fd; /* readable: do not wait for `fd` any more; borrowed */
	bool is_sequential;    /* a pipe or the like: no place but the next */
	uint64_t offset, size; /* in the file; UINT64_MAX: to its end */
	struct digest *digest; /* of all that is read; borrowed, or NULL */
	uint8_t *memory;       /* AHEAD_BYTES; borrowed */
};

struct ahead_piece {
	size_t len;
	bool is_ready;
};

struct ahead {
	struct ahead_input in;
	atomic_uint_fast64_t pos; /* how much has been read */
	bool is_in_order;	  /* one thread at a time may read */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* all below under `lock`. Number i is in piece[i % AHEAD_NR_PIECES] */
	struct ahead_piece piece[AHEAD_NR_PIECES];
	uint64_t used, claimed;
	uint64_t end; /* there is no piece of that number and above */
	unsigned nr_reading;
	bool is_held; /* number `used` is with the user */
	bool is_stopped, is_helper_waiting;
	struct vc_error
		err; /* what piece `end` has in place of bytes, or none */
};

void ahead_init(struct ahead *a, const struct ahead_input *in);
void ahead_fini(struct ahead *a);

/* For the thread that uses the pieces. */

/* The first piece, to be looked at before ahead_next() gives it. */
int ahead_peek(struct ahead *a, const uint8_t **ret, size_t *ret_len,
	       struct vc_error *err) VC_MUST_CHECK;
/* The next piece, which ends the life of the one before; *ret_len is 0 at the
 * end, and the last piece stays. */
int ahead_next(struct ahead *a, const uint8_t **ret, size_t *ret_len,
	       struct vc_error *err) VC_MUST_CHECK;

/* For another. */

/* Read a piece that nobody has yet; false if there is none, or no room. */
bool ahead_help(struct ahead *a);
/* The same until the end of the input, or ahead_stop(). */
void ahead_help_on(struct ahead *a);

/* For any thread. */

void ahead_stop(struct ahead *a);
/* Is it known where the input ends? */
bool ahead_is_at_end(struct ahead *a);
uint64_t ahead_get_pos(const struct ahead *a);

#endif
