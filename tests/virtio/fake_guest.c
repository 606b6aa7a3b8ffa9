/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake guest. RAM is one memfd region, in three parts: what fg_alloc() gave
 * out grows from the bottom; bounce buffers of chains lie in the upper half and
 * are forgotten all at once when no chain is in flight any more.
 *
 * The driver is a correct one, down to the barriers: an interrupt that the
 * device does not send, or a kick it does not ask for, is a test that times
 * out. It is used from one thread, the test's; the device's loop runs in the
 * other one.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/fake_guest.h"

struct desc {
	le64_t addr;
	le32_t len;
	le16_t flags, next;
};

/* A chain in flight, by its head. */
struct chain {
	bool is_known;
	uint16_t nr_desc; /* taken of the free list */
	size_t nr_segs;
	struct fg_seg *segs;
	gpa_t *at; /* of each segment */
};

struct queue {
	struct fg_ring ring;
	bool is_running, is_irq_off;
	uint16_t base;
	uint16_t used_idx; /* next to take */
	uint16_t kicked_idx;
	uint16_t nr_free;
	uint16_t free[FG_MAX_QUEUE_SIZE];
	struct chain chains[FG_MAX_QUEUE_SIZE];
	int kick_fd, call_fd;
	uint64_t nr_irqs;
};

struct fg {
	struct vc_mem *mem;
	gpa_t end, next, bounce;
	unsigned nr_inflight;
	struct vc_loop *loop;
	struct vc_virtio_dev *dev;
	struct vc_vhu_backend *be;
	struct vc_vhu_frontend *fe;
	uint64_t features;
	int stop_fd, err_fd;
	struct vc_watch stop_watch;
	pthread_t thread;
	bool has_thread, is_config_changed;
	struct vc_error end_err; /* of the backend, by its thread */
	bool has_end_err;
	struct queue queues[VC_VIRTIO_MAX_QUEUES];
};

static struct vc_error err;

/* --- memory ----------------------------------------------------------------- */

void *fg_ptr(struct fg *fg, gpa_t gpa, size_t len)
{
	struct iovec iov;

	ck_assert_int_eq(vc_mem_iov(fg->mem, gpa, len, &iov, 1), 1);
	return iov.iov_base;
}

gpa_t fg_ram_end(const struct fg *fg)
{
	return fg->end;
}

static gpa_t bounce_start(const struct fg *fg)
{
	return vc_align_down(FG_RAM_GPA + (fg->end - FG_RAM_GPA) / 2, 4096);
}

gpa_t fg_alloc(struct fg *fg, size_t size, size_t align)
{
	gpa_t at = vc_align_up(fg->next, align);

	ck_assert_msg(at + size <= bounce_start(fg), "the fake guest is full");
	fg->next = at + size;
	memset(fg_ptr(fg, at, size ? size : 1), 0, size);
	return at;
}

/* Odd addresses on purpose: a buffer may lie anywhere. */
static gpa_t bounce_alloc(struct fg *fg, size_t size)
{
	gpa_t at = fg->bounce;

	ck_assert_msg(at + size < fg->end, "the fake guest is full");
	fg->bounce = at + size + 1;
	return at;
}

static void *word(struct fg *fg, gpa_t gpa)
{
	return fg_ptr(fg, gpa, 2);
}

static uint16_t get16(struct fg *fg, gpa_t gpa)
{
	return VC_LE(16, __atomic_load_n((uint16_t *)word(fg, gpa),
					 __ATOMIC_ACQUIRE));
}

static void put16(struct fg *fg, gpa_t gpa, uint16_t v)
{
	__atomic_store_n((uint16_t *)word(fg, gpa), VC_LE(16, v),
			 __ATOMIC_RELEASE);
}

/* --- life ------------------------------------------------------------------- */

struct fg *fg_new(size_t ram_bytes)
{
	struct fg *fg = calloc(1, sizeof(*fg));
	unsigned i;

	ck_assert_ptr_nonnull(fg);
	fg->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fg->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert(fg->stop_fd >= 0 && fg->err_fd >= 0);
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++)
		fg->queues[i].kick_fd = fg->queues[i].call_fd = -1;
	ck_ok(vc_loop_new(&fg->loop, &err), &err);
	ck_ok(vc_mem_new(&fg->mem, &err), &err);
	ck_ok(vc_mem_add_ram(fg->mem, "fake guest", FG_RAM_GPA, ram_bytes,
			     &err),
	      &err);
	fg->end = FG_RAM_GPA + ram_bytes;
	fg->next = FG_RAM_GPA;
	fg->bounce = bounce_start(fg) + 1;
	return fg;
}

struct vc_loop *fg_loop(struct fg *fg)
{
	return fg->loop;
}

struct vc_vhu_frontend *fg_frontend(struct fg *fg)
{
	return fg->fe;
}

uint64_t fg_features(const struct fg *fg)
{
	return fg->features;
}

static void on_stop(struct vc_watch *w, uint32_t events)
{
	struct fg *fg = vc_container_of(w, struct fg, stop_watch);

	(void)events;
	vc_loop_stop(fg->loop, 0);
}

static void on_end(void *opaque, const struct vc_error *e)
{
	struct fg *fg = opaque;

	fg->has_end_err = e;
	if (e)
		fg->end_err = *e;
}

static void *run(void *opaque)
{
	struct fg *fg = opaque;
	struct vc_error e;

	if (vc_loop_run(fg->loop, NULL, &e) < 0) {
		fg->has_end_err = true;
		fg->end_err = e;
	}
	return NULL;
}

static void on_config_change(void *opaque)
{
	struct fg *fg = opaque;

	fg->is_config_changed = true;
}

static void clear_eventfd(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) == sizeof(n))
		;
}

void fg_connect(struct fg *fg, int sock, uint64_t but_not)
{
	ck_ok(vc_vhu_frontend_new(sock, &fg->fe, &err), &err);
	vc_vhu_frontend_on_config_change(fg->fe, on_config_change, fg);
	vc_vhu_frontend_set_err_fd(fg->fe, fg->err_fd);
	ck_ok(vc_vhu_frontend_set_mem(fg->fe, fg->mem, &err), &err);
	fg->features = vc_vhu_frontend_features(fg->fe) & ~but_not;
	ck_ok(vc_vhu_frontend_set_features(fg->fe, fg->features, &err), &err);
}

void fg_attach(struct fg *fg, struct vc_virtio_dev *dev, uint64_t but_not)
{
	int pair[2];

	ck_assert(!fg->has_thread);
	fg->dev = dev;
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	clear_eventfd(fg->stop_fd);
	ck_ok(vc_watch_add(fg->loop, &fg->stop_watch, fg->stop_fd, EPOLLIN,
			   on_stop, &err),
	      &err);
	ck_ok(vc_vhu_backend_new(dev, pair[0], on_end, fg, &fg->be, &err),
	      &err);
	ck_assert_int_eq(pthread_create(&fg->thread, NULL, run, fg), 0);
	fg->has_thread = true;
	fg_connect(fg, pair[1], but_not);
}

void fg_add_ram(struct fg *fg, gpa_t gpa, size_t size)
{
	ck_ok(vc_mem_add_ram(fg->mem, "fake guest", gpa, size, &err), &err);
	ck_ok(vc_vhu_frontend_set_mem(fg->fe, fg->mem, &err), &err);
}

static void forget_chains(struct fg *fg, struct queue *q)
{
	unsigned i;

	for (i = 0; i < q->ring.size; i++) {
		struct chain *c = &q->chains[i];

		fg->nr_inflight -= c->is_known;
		free(c->segs);
		free(c->at);
		*c = (struct chain){ 0 };
	}
}

static void queue_drop(struct fg *fg, struct queue *q)
{
	forget_chains(fg, q);
	vc_close(&q->kick_fd);
	vc_close(&q->call_fd);
	memset(q, 0, sizeof(*q));
	q->kick_fd = q->call_fd = -1;
}

void fg_detach(struct fg *fg)
{
	uint64_t one = 1;

	fg->fe = vc_vhu_frontend_free(fg->fe);
	if (fg->has_thread) {
		ck_assert_int_eq(write(fg->stop_fd, &one, sizeof(one)),
				 sizeof(one));
		ck_assert_int_eq(pthread_join(fg->thread, NULL), 0);
		fg->has_thread = false;
		vc_watch_remove(&fg->stop_watch);
		ck_assert_msg(!fg->has_end_err, "backend: %s", fg->end_err.msg);
	}
	fg->be = vc_vhu_backend_free(fg->be);
}

void fg_free(struct fg *fg)
{
	unsigned i;

	fg_detach(fg);
	vc_virtio_free(fg->dev);
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++)
		queue_drop(fg, &fg->queues[i]);
	vc_loop_free(fg->loop);
	vc_mem_free(fg->mem);
	vc_close(&fg->stop_fd);
	vc_close(&fg->err_fd);
	free(fg);
}

/* Wait for `fd`; false after `timeout_ms`. */
static bool wait_fd(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);

	ck_assert_int_ge(n, 0);
	return n > 0;
}

void fg_config(struct fg *fg, uint32_t off, void *buf, uint32_t len)
{
	ck_ok(vc_vhu_frontend_get_config(fg->fe, off, buf, len, &err), &err);
}

bool fg_config_changed(struct fg *fg, int timeout_ms)
{
	bool ret;

	if (wait_fd(vc_vhu_frontend_get_request_fd(fg->fe), timeout_ms))
		ck_ok(vc_vhu_frontend_handle_requests(fg->fe, &err), &err);
	ret = fg->is_config_changed;
	fg->is_config_changed = false;
	return ret;
}

void fg_reset(struct fg *fg)
{
	unsigned i;

	ck_ok(vc_vhu_frontend_reset(fg->fe, &err), &err);
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++)
		queue_drop(fg, &fg->queues[i]);
	fg->next = FG_RAM_GPA;
	clear_eventfd(fg->err_fd);
	ck_ok(vc_vhu_frontend_set_features(fg->fe, fg->features, &err), &err);
}

/* --- queues ------------------------------------------------------------------ */

static struct queue *queue_of(struct fg *fg, unsigned qi)
{
	ck_assert_uint_lt(qi, VC_VIRTIO_MAX_QUEUES);
	ck_assert_msg(fg->queues[qi].ring.size, "queue %u was not made", qi);
	return &fg->queues[qi];
}

static bool has_event_idx(const struct fg *fg)
{
	return fg->features >> VC_VIRTIO_F_EVENT_IDX & 1;
}

static gpa_t used_event(const struct queue *q)
{
	return q->ring.avail + 4 + 2u * q->ring.size;
}

static gpa_t avail_event(const struct queue *q)
{
	return q->ring.used + 4 + 8u * q->ring.size;
}

void fg_queue_resume(struct fg *fg, unsigned qi)
{
	struct queue *q = queue_of(fg, qi);
	const struct vc_vhu_queue how = { .size = q->ring.size,
					  .base = q->base,
					  .desc = q->ring.desc,
					  .avail = q->ring.avail,
					  .used = q->ring.used,
					  .kick_fd = q->kick_fd,
					  .call_fd = q->call_fd };

	ck_assert(!q->is_running);
	ck_ok(vc_vhu_frontend_start_queue(fg->fe, qi, &how, &err), &err);
	q->is_running = true;
}

void fg_queue(struct fg *fg, unsigned qi, uint16_t size)
{
	struct queue *q = &fg->queues[qi];
	uint16_t i;

	ck_assert_uint_lt(qi, VC_VIRTIO_MAX_QUEUES);
	ck_assert(!q->ring.size && size && size <= FG_MAX_QUEUE_SIZE);
	q->ring.size = size;
	q->ring.desc = fg_alloc(fg, 16u * size, 16);
	q->ring.avail = fg_alloc(fg, 6 + 2u * size, 2);
	q->ring.used = fg_alloc(fg, 6 + 8u * size, 4);
	/* taken from the end: the last ones first, so heads are not in order */
	for (i = 0; i < size; i++)
		q->free[i] = i;
	q->nr_free = size;
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert(q->kick_fd >= 0 && q->call_fd >= 0);
	fg_queue_resume(fg, qi);
}

void fg_queue_stop(struct fg *fg, unsigned qi)
{
	struct queue *q = queue_of(fg, qi);

	ck_assert(q->is_running);
	ck_ok(vc_vhu_frontend_stop_queue(fg->fe, qi, &q->base, &err), &err);
	q->is_running = false;
}

struct fg_ring *fg_ring(struct fg *fg, unsigned qi)
{
	return &queue_of(fg, qi)->ring;
}

void fg_desc(struct fg *fg, gpa_t table, unsigned i, uint64_t addr,
	     uint32_t len, uint16_t flags, uint16_t next)
{
	struct desc d = { le64_put(addr), le32_put(len), le16_put(flags),
			  le16_put(next) };

	memcpy(fg_ptr(fg, table + i * sizeof(d), sizeof(d)), &d, sizeof(d));
}

void fg_avail_idx(struct fg *fg, unsigned qi, uint16_t idx)
{
	struct queue *q = queue_of(fg, qi);

	q->ring.avail_idx = idx;
	put16(fg, q->ring.avail + 2, idx);
}

void fg_avail(struct fg *fg, unsigned qi, uint16_t head)
{
	struct queue *q = queue_of(fg, qi);
	uint16_t idx = q->ring.avail_idx;

	put16(fg, q->ring.avail + 4 + 2u * (idx % q->ring.size), head);
	fg_avail_idx(fg, qi, (uint16_t)(idx + 1));
}

/* Remember the chain and give its segments addresses; OUT data is copied. */
static struct chain *chain_new(struct fg *fg, struct queue *q, uint16_t head,
			       const struct fg_seg *segs, size_t n)
{
	struct chain *c = &q->chains[head];
	size_t i;

	ck_assert(!c->is_known);
	c->is_known = true;
	c->nr_segs = n;
	c->segs = calloc(n, sizeof(*c->segs));
	c->at = calloc(n, sizeof(*c->at));
	ck_assert(c->segs && c->at);
	memcpy(c->segs, segs, n * sizeof(*segs));
	if (!fg->nr_inflight++)
		fg->bounce = bounce_start(fg) + 1;
	for (i = 0; i < n; i++) {
		c->at[i] = bounce_alloc(fg, segs[i].len);
		if (segs[i].len && segs[i].dir == FG_OUT)
			memcpy(fg_ptr(fg, c->at[i], segs[i].len), segs[i].buf,
			       segs[i].len);
		else if (segs[i].len)
			memset(fg_ptr(fg, c->at[i], segs[i].len), 0xee,
			       segs[i].len);
	}
	return c;
}

static uint16_t seg_flags(const struct fg_seg *seg)
{
	return seg->dir == FG_IN ? FG_DESC_WRITE : 0;
}

static uint16_t take_desc(struct queue *q)
{
	ck_assert_msg(q->nr_free, "no free descriptor");
	return q->free[--q->nr_free];
}

uint16_t fg_chain(struct fg *fg, unsigned qi, const struct fg_seg *segs,
		  size_t n)
{
	struct queue *q = queue_of(fg, qi);
	uint16_t head = take_desc(q), at = head, next;
	struct chain *c = chain_new(fg, q, head, segs, n);
	size_t i;

	ck_assert(n && n <= q->ring.size);
	for (i = 0; i < n; i++, at = next) {
		bool is_last = i + 1 == n;

		next = is_last ? 0 : take_desc(q);
		fg_desc(fg, q->ring.desc, at, c->at[i], segs[i].len,
			(uint16_t)(seg_flags(&segs[i]) |
				   (is_last ? 0 : FG_DESC_NEXT)),
			next);
	}
	c->nr_desc = (uint16_t)n;
	fg_avail(fg, qi, head);
	return head;
}

uint16_t fg_chain_indirect(struct fg *fg, unsigned qi,
			   const struct fg_seg *segs, size_t n)
{
	struct queue *q = queue_of(fg, qi);
	uint16_t head = take_desc(q);
	struct chain *c = chain_new(fg, q, head, segs, n);
	gpa_t table = bounce_alloc(fg, n * sizeof(struct desc));
	size_t i;

	ck_assert(n && n <= VC_VQ_MAX_CHAIN);
	for (i = 0; i < n; i++)
		fg_desc(fg, table, (unsigned)i, c->at[i], segs[i].len,
			(uint16_t)(seg_flags(&segs[i]) |
				   (i + 1 == n ? 0 : FG_DESC_NEXT)),
			(uint16_t)(i + 1));
	fg_desc(fg, q->ring.desc, head, table,
		(uint32_t)(n * sizeof(struct desc)), FG_DESC_INDIRECT, 0);
	c->nr_desc = 1;
	fg_avail(fg, qi, head);
	return head;
}

void fg_kick(struct fg *fg, unsigned qi)
{
	struct queue *q = queue_of(fg, qi);
	uint64_t one = 1;

	q->kicked_idx = q->ring.avail_idx;
	ck_assert_int_eq(write(q->kick_fd, &one, sizeof(one)), sizeof(one));
}

bool fg_wants_kick(struct fg *fg, unsigned qi)
{
	struct queue *q = queue_of(fg, qi);
	uint16_t event, new = q->ring.avail_idx;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!has_event_idx(fg))
		return !(get16(fg, q->ring.used) & 1);
	event = get16(fg, avail_event(q));
	return (uint16_t)(new - event - 1) < (uint16_t)(new - q->kicked_idx);
}

void fg_irq_enable(struct fg *fg, unsigned qi, bool enable)
{
	struct queue *q = queue_of(fg, qi);

	q->is_irq_off = !enable;
	put16(fg, q->ring.avail, !enable);
}

uint64_t fg_irqs(struct fg *fg, unsigned qi)
{
	struct queue *q = queue_of(fg, qi);
	uint64_t n;

	if (read(q->call_fd, &n, sizeof(n)) == sizeof(n))
		q->nr_irqs += n;
	return q->nr_irqs;
}

/* Copy IN data back and free the descriptors of a chain of ours. */
static void chain_done(struct fg *fg, struct queue *q, uint16_t head)
{
	struct chain *c = &q->chains[head];
	struct desc d;
	uint16_t at = head, i;
	size_t s;

	if (!c->is_known)
		return;
	for (s = 0; s < c->nr_segs; s++)
		if (c->segs[s].dir == FG_IN && c->segs[s].len)
			memcpy(c->segs[s].buf,
			       fg_ptr(fg, c->at[s], c->segs[s].len),
			       c->segs[s].len);
	for (i = 0; i < c->nr_desc; i++) {
		memcpy(&d, fg_ptr(fg, q->ring.desc + at * sizeof(d), sizeof(d)),
		       sizeof(d));
		q->free[q->nr_free++] = at;
		at = le16_get(d.next);
	}
	free(c->segs);
	free(c->at);
	*c = (struct chain){ 0 };
	fg->nr_inflight--;
}

static bool take_used(struct fg *fg, struct queue *q, uint16_t *ret_head,
		      uint32_t *ret_len)
{
	le32_t e[2];

	if (get16(fg, q->ring.used + 2) == q->used_idx)
		return false;
	memcpy(e,
	       fg_ptr(fg, q->ring.used + 4 + 8u * (q->used_idx % q->ring.size),
		      sizeof(e)),
	       sizeof(e));
	q->used_idx++;
	ck_assert_msg(le32_get(e[0]) < q->ring.size,
		      "the device used a chain there is not: %u",
		      le32_get(e[0]));
	*ret_head = (uint16_t)le32_get(e[0]);
	if (ret_len)
		*ret_len = le32_get(e[1]);
	chain_done(fg, q, *ret_head);
	return true;
}

int fg_used_within(struct fg *fg, unsigned qi, uint32_t *ret_len,
		   int timeout_ms)
{
	struct queue *q = queue_of(fg, qi);
	uint64_t until = vc_now_ns() + (uint64_t)timeout_ms * 1000000, now;
	uint16_t head;

	for (;;) {
		if (take_used(fg, q, &head, ret_len))
			return head;
		/* ask for an interrupt, then look once more */
		if (has_event_idx(fg))
			put16(fg, used_event(q), q->used_idx);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (take_used(fg, q, &head, ret_len))
			return head;
		now = vc_now_ns();
		if (now >= until)
			return -1;
		/* one who turned interrupts off has to look by himself */
		wait_fd(q->call_fd,
			q->is_irq_off ? 1 : (int)((until - now) / 1000000) + 1);
		fg_irqs(fg, qi);
	}
}

uint16_t fg_used(struct fg *fg, unsigned qi, uint32_t *ret_len)
{
	int head = fg_used_within(fg, qi, ret_len, FG_TIMEOUT_MS);

	ck_assert_msg(head >= 0, "queue %u: nothing used, or no interrupt", qi);
	return (uint16_t)head;
}

uint32_t fg_do(struct fg *fg, unsigned qi, const struct fg_seg *segs, size_t n)
{
	uint16_t head = fg_chain(fg, qi, segs, n);
	uint32_t len;

	fg_kick(fg, qi);
	ck_assert_uint_eq(fg_used(fg, qi, &len), head);
	return len;
}

bool fg_broken(struct fg *fg, int timeout_ms)
{
	bool ret = wait_fd(fg->err_fd, timeout_ms);

	clear_eventfd(fg->err_fd);
	return ret;
}

void fg_expect_broken(struct fg *fg, unsigned qi)
{
	fg_kick(fg, qi);
	ck_assert_msg(fg_broken(fg, FG_TIMEOUT_MS), "the queue did not break");
}
