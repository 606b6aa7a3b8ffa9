/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/writers.h"

#define BLOCK WRITERS_BLOCK
#define NR_BLOCKS WRITERS_BLOCKS
#define NR_THREADS 4
#define DEPTH 4 /* of each */

struct client;

struct slot {
	struct vc_disk_req req;
	struct iovec iov;
	struct client *client;
	uint32_t buf[BLOCK / 4], packed[BLOCK / 4];
	uint32_t block, seq;
	bool is_busy;
};

struct client {
	pthread_t id;
	struct writers *w;
	struct vc_disk_queue *queue;
	struct vc_disk_compressor *compressor;
	uint32_t random;
	unsigned nr_started;
	struct slot slots[DEPTH];
	struct vc_disk_req flush;
	uint32_t before[NR_BLOCKS]; /* what was complete when it began */
	bool is_flushing;
};

static uint32_t last_seq; /* of all writers; under the lock, as the book */
static pthread_mutex_t book_lock = PTHREAD_MUTEX_INITIALIZER;

/* Of what was first for each writer. */
static uint32_t first_seq(const struct writers *w)
{
	return w->number * WRITERS_SEQS;
}

static uint32_t next_random(struct client *c)
{
	c->random = c->random * 1664525 + 1013904223;
	return c->random >> 8;
}

/* Returns whether the request is over. */
static bool is_over(struct client *c, struct vc_disk_req *req,
		    enum vc_disk_status status)
{
	if (status == VC_DISK_OK)
		return true;
	if ((!c->w->retries && !c->w->gives_up) ||
	    (status != VC_DISK_EIO && status != VC_DISK_ENOSPC))
		_exit(3);
	c->w->nr_failed++; /* under the lock */
	if (c->w->retries)
		vc_disk_queue_submit(c->queue, req);
	return !c->w->retries;
}

static void slot_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct slot *s = vc_container_of(req, struct slot, req);
	struct writers_book *book = s->client->w->book;

	pthread_mutex_lock(&book_lock);
	if (is_over(s->client, req, status)) {
		book->completed[s->block] = s->seq;
		s->is_busy = false;
	}
	pthread_mutex_unlock(&book_lock);
}

/* Returns false if the block is busy. */
static bool take_block(struct slot *s, bool is_zero)
{
	struct client *c = s->client;
	struct writers_book *book = c->w->book;
	bool is_free;

	s->block = next_random(c) % NR_BLOCKS;
	pthread_mutex_lock(&book_lock);
	is_free = book->submitted[s->block] == book->completed[s->block];
	if (is_free) {
		s->seq = ++last_seq;
		book->submitted[s->block] = s->seq;
		if (is_zero)
			book->zeroed[s->block] = s->seq;
	}
	pthread_mutex_unlock(&book_lock);
	return is_free;
}

static void start(struct slot *s)
{
	struct client *c = s->client;
	bool is_zero = next_random(c) % 3 == 0;
	uint32_t i;

	if (!take_block(s, is_zero))
		return;
	s->is_busy = true;
	c->nr_started++;
	s->iov = (struct iovec){ s->buf, BLOCK };
	s->req = (struct vc_disk_req){ .op = VC_DISK_WRITE,
				       .offset_bytes =
					       s->block * (uint64_t)BLOCK,
				       .length_bytes = BLOCK,
				       .iov = &s->iov,
				       .nr_iov = 1,
				       .done = slot_done };
	for (i = 0; i < BLOCK / 4; i += 2) {
		s->buf[i] = s->block;
		s->buf[i + 1] = s->seq;
	}
	if (is_zero) {
		s->req.op = VC_DISK_WRITE_ZEROES;
		s->req.flags = VC_DISK_REQ_UNMAP;
	} else if (c->compressor && next_random(c) % 2) {
		s->iov = (struct iovec){
			s->packed, vc_disk_compress(c->compressor, s->buf,
						    BLOCK, s->packed, BLOCK - 1)
		};
		s->req.op = VC_DISK_WRITE_COMPRESSED;
		s->req.length_bytes = s->iov.iov_len;
	}
	vc_disk_queue_submit(c->queue, &s->req);
}

/* With the lock held. What was there before these writers may be half of one
 * write and half of another. */
static void note_durable(struct writers *w, const uint32_t *before)
{
	struct writers_book *book = w->book;
	uint32_t i;

	for (i = 0; i < NR_BLOCKS; i++)
		if (before[i] > first_seq(w) && before[i] > book->durable[i])
			book->durable[i] = before[i];
}

static void flushed(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct client *c = vc_container_of(req, struct client, flush);

	pthread_mutex_lock(&book_lock);
	if (is_over(c, req, status)) {
		c->is_flushing = false;
		if (status == VC_DISK_OK)
			note_durable(c->w, c->before);
	}
	pthread_mutex_unlock(&book_lock);
}

static void start_flush(struct client *c)
{
	pthread_mutex_lock(&book_lock);
	memcpy(c->before, c->w->book->completed, sizeof(c->before));
	pthread_mutex_unlock(&book_lock);
	c->is_flushing = true;
	c->flush = (struct vc_disk_req){ .op = VC_DISK_FLUSH, .done = flushed };
	vc_disk_queue_submit(c->queue, &c->flush);
}

static void *write_blocks(void *opaque)
{
	struct client *c = opaque;
	unsigned nr = c->w->nr_requests, i;
	struct vc_error err;

	if (vc_disk_queue_open(c->w->disk, &c->queue, &err) < 0 ||
	    (c->w->compression &&
	     vc_disk_compressor_new(c->w->compression, 1, &c->compressor,
				    &err) < 0))
		_exit(4);
	while (!nr || c->nr_started < nr) {
		for (i = 0; i < DEPTH; i++)
			if (!c->slots[i].is_busy)
				start(&c->slots[i]);
		if (!c->is_flushing && next_random(c) % 16 == 0)
			start_flush(c);
		vc_disk_queue_poll(c->queue, true);
	}
	c->queue = vc_disk_queue_close(c->queue);
	c->compressor = vc_disk_compressor_free(c->compressor);
	return NULL;
}

void writers_run(struct writers *w)
{
	struct client *clients = calloc(NR_THREADS, sizeof(*clients));
	unsigned i, k;

	if (!clients)
		_exit(4);
	w->nr_failed = 0;
	last_seq = first_seq(w);
	for (i = 0; i < NR_THREADS; i++) {
		struct client *c = &clients[i];

		c->w = w;
		c->random = w->seed + i * 7919;
		for (k = 0; k < DEPTH; k++)
			c->slots[k].client = c;
		if (pthread_create(&c->id, NULL, write_blocks, c) != 0)
			_exit(4);
	}
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(clients[i].id, NULL);
	free(clients);
}

void writers_closed(struct writers *w)
{
	note_durable(w, w->book->completed);
}

/* --- the book ---------------------------------------------------------------- */

struct writers_book *writers_book_new(void)
{
	struct writers_book *book =
		mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(book, MAP_FAILED);
	return book;
}

void writers_book_free(struct writers_book *book)
{
	munmap(book, sizeof(*book));
}

static void verify_block(struct writers_book *book, const uint32_t *buf,
			 uint32_t b, uint32_t unit)
{
	uint32_t i, k, oldest = UINT32_MAX, newest = 0;

	/* no ck_assert() in the loop: it is slow */
	for (i = 0; i < BLOCK / 4; i += unit / 4) {
		uint32_t seq = buf[i + 1];

		for (k = i; k < i + unit / 4; k += 2)
			if (buf[k] != (seq ? b : 0) || buf[k + 1] != seq)
				ck_abort_msg("block %u is torn", b);
		if (!seq)
			seq = book->zeroed[b];
		oldest = seq < oldest ? seq : oldest;
		newest = seq > newest ? seq : newest;
	}
	if (oldest < book->durable[b] || newest > book->submitted[b])
		ck_abort_msg("block %u: %u to %u, not %u to %u (zeroed by %u)",
			     b, oldest, newest, book->durable[b],
			     book->submitted[b], book->zeroed[b]);
	book->durable[b] = oldest;
	book->submitted[b] = book->completed[b] = newest;
}

void writers_verify(struct writers_book *book, struct vc_disk *disk,
		    uint32_t unit)
{
	uint32_t *all = malloc(WRITERS_BYTES), b;
	struct vc_error err;

	ck_assert_ptr_nonnull(all);
	ck_ok(vc_disk_read(disk, 0, all, WRITERS_BYTES, &err), &err);
	for (b = 0; b < NR_BLOCKS; b++)
		verify_block(book, all + b * (BLOCK / 4), b,
			     unit < BLOCK ? unit : BLOCK);
	free(all);
}

/* --- how much ---------------------------------------------------------------- */

unsigned writers_rounds(unsigned nr)
{
	const char *times = getenv("VMMKIT_KILLS");
	int n = times ? atoi(times) : 1;

	return n > 1 ? nr * (unsigned)n : nr;
}

uint32_t writers_seed(const char *test)
{
	const char *given = getenv("VMMKIT_SEED");
	uint32_t seed;

	if (given)
		seed = (uint32_t)strtoul(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("%s: VMMKIT_SEED=%u\n", test, seed);
	fflush(stdout);
	return seed;
}
