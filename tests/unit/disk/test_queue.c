/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads on one disk, each with a queue of its own. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/engine.h"
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB (1024 * 1024)
#define BLOCK 4096u
#define NR_THREADS 4
#define DEPTH 8
#define DISK_BYTES (4u * MIB)
#define NR_BLOCKS (DISK_BYTES / BLOCK)
#define NR_REQUESTS 1500 /* of a thread */

static struct vc_error err;

static const struct {
	uint32_t cluster;
	unsigned refcount_bits;
} shapes[] = { { 65536, 16 }, { 512, 1 }, { 4096, 64 } };
#define NR_SHAPES ((int)VC_ARRAY_SIZE(shapes))

/* --- threads that mix everything -------------------------------------------- */

struct thread;

struct op {
	struct vc_disk_req req;
	struct iovec iov;
	struct thread *thread;
	uint32_t block;
	uint8_t buf[BLOCK];
	bool is_busy;
};

/* Blocks are dealt out like cards: those of one cluster have several owners. */
struct thread {
	pthread_t id, self;
	struct image *im;
	unsigned nr, seed, nr_done, nr_wrong;
	struct op ops[DEPTH];
	bool is_busy[NR_BLOCKS], is_unknown[NR_BLOCKS];
};

static unsigned next_random(struct thread *t)
{
	t->seed = t->seed * 1664525 + 1013904223;
	return t->seed >> 8;
}

/* Failures are counted: a test may only be ended by the thread that runs it. */
static void op_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct op *op = vc_container_of(req, struct op, req);
	struct thread *t = op->thread;
	uint8_t *model = t->im->model + req->offset_bytes;
	size_t len = (size_t)req->length_bytes;

	if (!pthread_equal(pthread_self(), t->self) || status != VC_DISK_OK)
		t->nr_wrong++;
	if (req->op == VC_DISK_WRITE)
		memcpy(model, op->buf, len);
	else if (req->op == VC_DISK_WRITE_ZEROES)
		memset(model, 0, len);
	else if (req->op == VC_DISK_READ && !t->is_unknown[op->block] &&
		 memcmp(model, op->buf, len))
		t->nr_wrong++;
	t->is_busy[op->block] = op->is_busy = false;
	t->nr_done++;
}

static enum vc_disk_op choose(struct thread *t, unsigned len)
{
	static const enum vc_disk_op ops[] = {
		VC_DISK_WRITE, VC_DISK_WRITE,  VC_DISK_WRITE,
		VC_DISK_READ,  VC_DISK_READ,   VC_DISK_WRITE_ZEROES,
		VC_DISK_FLUSH, VC_DISK_DISCARD
	};
	enum vc_disk_op op = ops[next_random(t) % VC_ARRAY_SIZE(ops)];

	/* what a discard leaves is not known until all of it is written */
	if (op == VC_DISK_DISCARD && len < BLOCK)
		return VC_DISK_READ;
	return op;
}

static void op_start(struct thread *t, struct op *op, struct vc_disk_queue *q)
{
	unsigned at = 0, len = BLOCK, i;
	uint32_t b;

	do
		b = next_random(t) % (NR_BLOCKS / NR_THREADS) * NR_THREADS +
		    t->nr;
	while (t->is_busy[b]);
	if (next_random(t) % 2 && !t->is_unknown[b]) {
		at = next_random(t) % 8 * 512;
		len = 512 * (1 + next_random(t) % ((BLOCK - at) / 512));
	}
	op->thread = t;
	op->block = b;
	op->is_busy = t->is_busy[b] = true;
	op->iov = (struct iovec){ op->buf, len };
	op->req =
		(struct vc_disk_req){ .op = choose(t, len),
				      .offset_bytes = (uint64_t)b * BLOCK + at,
				      .length_bytes = len,
				      .iov = &op->iov,
				      .nr_iov = 1,
				      .done = op_done };
	if (op->req.op == VC_DISK_FLUSH)
		op->req.offset_bytes = op->req.length_bytes = 0;
	if (op->req.op == VC_DISK_WRITE)
		for (i = 0; i < len; i++)
			op->buf[i] = (uint8_t)(t->seed + i);
	if (op->req.op == VC_DISK_WRITE || op->req.op == VC_DISK_WRITE_ZEROES)
		t->is_unknown[b] = t->is_unknown[b] && len < BLOCK;
	else if (op->req.op == VC_DISK_DISCARD)
		t->is_unknown[b] = true;
	if (op->req.op == VC_DISK_WRITE_ZEROES && t->seed % 2)
		op->req.flags = VC_DISK_REQ_UNMAP;
	if (op->req.op == VC_DISK_WRITE && t->seed % 64 == 0)
		op->req.flags = VC_DISK_REQ_FUA;
	vc_disk_queue_submit(q, &op->req);
}

/* In one of the ways there are. */
static void wait_for_some(struct thread *t, struct vc_disk_queue *q)
{
	struct pollfd p = { vc_disk_queue_get_poll_fd(q), POLLIN, 0 };

	vc_disk_queue_kick(q);
	switch (next_random(t) % 4) {
	case 0:
		/* lost wake-ups would end here */
		if (poll(&p, 1, 60000) != 1)
			t->nr_wrong++;
		vc_disk_queue_poll(q, false);
		break;
	case 1:
		vc_disk_queue_poll(q, false);
		break;
	default:
		vc_disk_queue_poll(q, true);
	}
}

/* Opens and closes its queue while others go on; ends while they do. */
static void *work(void *opaque)
{
	struct thread *t = opaque;
	unsigned left = NR_REQUESTS + 100 * t->nr, i, round;
	struct vc_error e;

	t->self = pthread_self();
	for (round = 0; round < 3; round++) {
		struct vc_disk_queue *q = NULL;
		unsigned nr = 0;

		if (vc_disk_queue_open(t->im->disk, &q, &e) < 0) {
			t->nr_wrong++;
			return NULL;
		}
		while (nr < left / 3) {
			for (i = 0; i < DEPTH; i++) {
				if (t->ops[i].is_busy)
					continue;
				op_start(t, &t->ops[i], q);
				nr++;
			}
			wait_for_some(t, q);
		}
		vc_disk_queue_close(q);
		for (i = 0; i < DEPTH; i++)
			t->nr_wrong += t->ops[i].is_busy;
	}
	return NULL;
}

static void run_threads(struct image *im)
{
	struct thread *threads = calloc(NR_THREADS, sizeof(*threads));
	unsigned i, b;

	ck_assert_ptr_nonnull(threads);
	for (i = 0; i < NR_THREADS; i++) {
		threads[i].im = im;
		threads[i].nr = i;
		threads[i].seed = 17 * i + 1;
		ck_assert_int_eq(pthread_create(&threads[i].id, NULL, work,
						&threads[i]),
				 0);
	}
	for (i = 0; i < NR_THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i].id, NULL), 0);
		ck_assert_uint_eq(threads[i].nr_wrong, 0);
		ck_assert_uint_ge(threads[i].nr_done, NR_REQUESTS / 2);
	}
	/* what is not known shall be */
	for (i = 0; i < NR_THREADS; i++)
		for (b = i; b < NR_BLOCKS; b += NR_THREADS) {
			uint64_t at = (uint64_t)b * BLOCK;

			if (threads[i].is_unknown[b])
				ck_ok(vc_disk_write(im->disk, at,
						    im->model + at, BLOCK,
						    &err),
				      &err);
		}
	free(threads);
}

static void create_raw(struct image *im, int engine)
{
	image_create(im, DISK_BYTES, 65536, 16, 3, engine);
	im->open.format = VC_DISK_FORMAT_RAW;
	ck_assert_int_eq(ftruncate(im->fd, 0), 0);
	ck_assert_int_eq(ftruncate(im->fd, DISK_BYTES), 0);
}

/* Each engine; a raw disk, then each shape. */
START_TEST(threads_share_a_disk)
{
	int engine = _i % NR_ENGINES, shape = _i / NR_ENGINES - 1;
	struct image im;

	if (shape < 0)
		create_raw(&im, engine);
	else
		image_create(&im, DISK_BYTES, shapes[shape].cluster,
			     shapes[shape].refcount_bits, 3, engine);
	image_open(&im, NULL);
	run_threads(&im);
	image_compare(&im);
	run_threads(&im);
	image_compare(&im);
	if (shape < 0)
		ck_ok(vc_disk_close(vc_steal_ptr(&im.disk), &err), &err);
	else
		image_close(&im);
	image_open(&im, NULL);
	image_compare(&im);
	image_fini(&im);
}
END_TEST

/* A disk of two files: what is below belongs to all as well. */
START_TEST(threads_share_a_chain)
{
	struct image base, top;

	image_create(&base, DISK_BYTES, 4096, 16, 3, _i);
	image_open(&base, NULL);
	memset(base.model, 0x11, DISK_BYTES);
	ck_ok(vc_disk_write(base.disk, 0, base.model, DISK_BYTES, &err), &err);
	image_close(&base);
	image_create(&top, DISK_BYTES, 65536, 16, 3, _i);
	image_lay_over(&top, &base);
	run_threads(&top);
	image_compare(&top);
	image_close(&top);
	image_fini(&top);
	image_fini(&base);
}
END_TEST

/* --- who is woken, and where done() is called ------------------------------- */

struct simple {
	struct vc_disk_req req;
	struct iovec iov;
	uint8_t buf[BLOCK];
	enum vc_disk_status status;
	unsigned nr_done;
};

static void simple_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct simple *s = vc_container_of(req, struct simple, req);

	s->status = status;
	s->nr_done++;
}

static void simple_init(struct simple *s, enum vc_disk_op op, uint64_t offset)
{
	memset(s, 0, sizeof(*s));
	s->iov = (struct iovec){ s->buf, BLOCK };
	s->req = (struct vc_disk_req){ .op = op,
				       .offset_bytes = offset,
				       .length_bytes = BLOCK,
				       .iov = &s->iov,
				       .nr_iov = 1,
				       .done = simple_done };
}

static bool is_readable(const struct vc_disk_queue *q, int timeout_ms)
{
	struct pollfd p = { vc_disk_queue_get_poll_fd(q), POLLIN, 0 };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Polling one queue completes what is in another, up to done(). */
START_TEST(done_is_called_by_its_own_queue)
{
	struct vc_disk_queue *a, *b;
	struct simple s, t;
	struct image im;

	image_create(&im, DISK_BYTES, 65536, 16, 3, _i);
	image_open(&im, NULL);
	ck_ok(vc_disk_queue_open(im.disk, &a, &err), &err);
	ck_ok(vc_disk_queue_open(im.disk, &b, &err), &err);
	ck_assert_int_eq(vc_disk_queue_poll(a, true), 0); /* does not wait */
	simple_init(&s, VC_DISK_WRITE, 0);
	memset(s.buf, 0x5a, BLOCK);
	memset(im.model, 0x5a, BLOCK);
	vc_disk_queue_submit(a, &s.req);
	vc_disk_queue_kick(a);
	/* as many reads as it takes */
	do {
		ck_assert_uint_eq(s.nr_done, 0);
		simple_init(&t, VC_DISK_READ, BLOCK);
		vc_disk_queue_submit(b, &t.req);
		ck_assert_int_eq(vc_disk_queue_poll(b, true), 1);
		ck_assert_int_eq(t.status, VC_DISK_OK);
	} while (!is_readable(a, 0));
	ck_assert_uint_eq(s.nr_done, 0);
	while (!s.nr_done) {
		ck_assert(is_readable(a, 60000));
		vc_disk_queue_poll(a, false);
	}
	ck_assert_int_eq(s.status, VC_DISK_OK);
	/* a request that is refused, and one that is left to close() */
	simple_init(&s, VC_DISK_READ, DISK_BYTES);
	vc_disk_queue_submit(a, &s.req);
	ck_assert_int_eq(vc_disk_queue_poll(a, true), 1);
	ck_assert_int_eq(s.status, VC_DISK_ERANGE);
	simple_init(&s, VC_DISK_READ, 0);
	vc_disk_queue_submit(a, &s.req);
	vc_disk_queue_close(a);
	ck_assert_uint_eq(s.nr_done, 1);
	ck_assert_int_eq(s.status, VC_DISK_OK);
	ck_assert_mem_eq(s.buf, im.model, BLOCK);
	vc_disk_queue_close(b);
	ck_assert_ptr_null(vc_disk_queue_close(NULL));
	image_close(&im);
	image_fini(&im);
}
END_TEST

/* Writes that stay on their way until they are let go. */
static sem_t has_begun[2], may_go[2];

static int hold(const struct eng_io *io)
{
	size_t i = io->offset / MIB;

	if (io->op != ENG_WRITE || i > 1)
		return 0;
	sem_post(&has_begun[i]);
	while (sem_wait(&may_go[i]) < 0)
		continue;
	return 0;
}

struct waiter {
	struct vc_disk_queue *q;
	struct simple s;
	sem_t is_done;
};

static void *wait_for_write(void *opaque)
{
	struct waiter *w = opaque;

	vc_disk_queue_submit(w->q, &w->s.req);
	while (!w->s.nr_done)
		vc_disk_queue_poll(w->q, true);
	sem_post(&w->is_done);
	return NULL;
}

/* Two wait. Whichever ends first, the other is served; and while both wait, a
 * third comes and goes. */
START_TEST(who_leaves_passes_the_work_on)
{
	struct waiter w[2];
	struct vc_disk_queue *q;
	struct simple s;
	pthread_t id[2];
	struct image im;
	int i, first = _i % 2;

	create_raw(&im, 2);
	im.open.io = VC_DISK_IO_POOL;
	image_open(&im, NULL);
	ck_ok(vc_disk_queue_open(im.disk, &q, &err), &err);
	engine_inject = hold;
	for (i = 0; i < 2; i++) {
		sem_init(&has_begun[i], 0, 0);
		sem_init(&may_go[i], 0, 0);
		sem_init(&w[i].is_done, 0, 0);
		ck_ok(vc_disk_queue_open(im.disk, &w[i].q, &err), &err);
		simple_init(&w[i].s, VC_DISK_WRITE, (uint64_t)i * MIB);
		ck_assert_int_eq(
			pthread_create(&id[i], NULL, wait_for_write, &w[i]), 0);
		sem_wait(&has_begun[i]);
	}
	usleep(20000); /* both are asleep by now, or the test shows less */
	for (i = 0; i < 10; i++) {
		simple_init(&s, VC_DISK_READ, 2 * MIB);
		vc_disk_queue_submit(q, &s.req);
		ck_assert_int_eq(vc_disk_queue_poll(q, true), 1);
	}
	for (i = 0; i < 2; i++) {
		int n = i ? !first : first;

		sem_post(&may_go[n]);
		sem_wait(&w[n].is_done); /* the timeout of the test is ours */
		ck_assert_int_eq(w[n].s.status, VC_DISK_OK);
		usleep(i ? 0 : 20000);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(id[i], NULL);
		vc_disk_queue_close(w[i].q);
	}
	engine_inject = NULL;
	vc_disk_queue_close(q);
	ck_ok(vc_disk_close(vc_steal_ptr(&im.disk), &err), &err);
	image_fini(&im);
}
END_TEST

#define NR_LEFT 200

struct starter {
	struct vc_disk_queue *q;
	struct simple s[NR_LEFT];
};

/* What the kernel does not do at once: it is still on its way at the end. */
static void *start_and_end(void *opaque)
{
	struct starter *st = opaque;
	unsigned i;

	for (i = 0; i < NR_LEFT; i++) {
		simple_init(&st->s[i], VC_DISK_WRITE_ZEROES, i * BLOCK);
		st->s[i].req.flags = VC_DISK_REQ_UNMAP;
		vc_disk_queue_submit(st->q, &st->s[i].req);
	}
	vc_disk_queue_kick(st->q);
	return NULL;
}

/* Another thread takes the queue over, and all is done: whatever a kernel makes
 * of the end of the thread that it worked for. */
START_TEST(work_outlives_who_gave_it_to_the_kernel)
{
	struct starter *st = calloc(1, sizeof(*st));
	struct image im;
	unsigned round, i;
	pthread_t id;

	ck_assert_ptr_nonnull(st);
	create_raw(&im, _i);
	image_open(&im, NULL);
	memset(im.model, 0x3c, NR_LEFT * BLOCK);
	for (round = 0; round < 8; round++) {
		ck_ok(vc_disk_write(im.disk, 0, im.model, NR_LEFT * BLOCK,
				    &err),
		      &err);
		ck_ok(vc_disk_queue_open(im.disk, &st->q, &err), &err);
		ck_assert_int_eq(pthread_create(&id, NULL, start_and_end, st),
				 0);
		pthread_join(id, NULL);
		vc_disk_queue_close(st->q);
		for (i = 0; i < NR_LEFT; i++) {
			ck_assert_uint_eq(st->s[i].nr_done, 1);
			ck_assert_int_eq(st->s[i].status, VC_DISK_OK);
		}
	}
	memset(im.model, 0, NR_LEFT * BLOCK);
	image_compare(&im);
	ck_ok(vc_disk_close(vc_steal_ptr(&im.disk), &err), &err);
	image_fini(&im);
	free(st);
}
END_TEST

TEST_SUITE(suite_queue)
{
	Suite *s = suite_create("disk/queue");
	TCase *tc = test_case(s, "queue");

	tcase_add_loop_test(tc, threads_share_a_disk, 0,
			    NR_ENGINES * (1 + NR_SHAPES));
	tcase_add_loop_test(tc, threads_share_a_chain, 0, NR_ENGINES);
	tcase_add_loop_test(tc, done_is_called_by_its_own_queue, 0, NR_ENGINES);
	tcase_add_loop_test(tc, work_outlives_who_gave_it_to_the_kernel, 0,
			    NR_ENGINES);
	tcase_add_loop_test(tc, who_leaves_passes_the_work_on, 0, 2);
	return s;
}
