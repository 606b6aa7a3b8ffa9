/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-rng, and with it the fake guest itself: every way of driving a queue. */
#include <string.h>
#include "tests/lib/test.h"
#include "tests/virtio/fake_guest.h"

static struct vc_error err;
static struct fg *fg;

static void start(uint64_t but_not, uint16_t size)
{
	struct vc_virtio_dev *dev;

	fg = fg_new(FG_RAM_DEFAULT);
	ck_ok(vc_virtio_rng_new(fg_loop(fg), &dev, &err), &err);
	fg_attach(fg, dev, but_not);
	fg_queue(fg, 0, size);
}

/* Is it random? All the same 64 bytes come once in 2^504 times. */
static void check_random(const uint8_t *buf, size_t len)
{
	ck_assert_uint_ge(len, 64);
	ck_assert(memcmp(buf, buf + 1, len - 1) != 0);
}

#define NO_EVENT (UINT64_C(1) << VC_VIRTIO_F_EVENT_IDX)
#define NO_INDIRECT (UINT64_C(1) << VC_VIRTIO_F_INDIRECT_DESC)
static const uint64_t variants[] = { 0, NO_EVENT, NO_INDIRECT,
				     NO_EVENT | NO_INDIRECT };

START_TEST(fills_buffers)
{
	uint8_t a[64], b[100];
	struct fg_seg segs[] = { { FG_IN, a, sizeof(a) },
				 { FG_IN, b, sizeof(b) } };
	unsigned i;

	start(variants[_i], 8);
	for (i = 0; i < 100; i++) {
		ck_assert_uint_eq(fg_do(fg, 0, segs, 2), 164);
		check_random(a, sizeof(a));
		check_random(b, sizeof(b));
	}
	fg_free(fg);
}
END_TEST

START_TEST(fills_indirect)
{
	uint8_t a[64];
	struct fg_seg segs[] = { { FG_IN, a, 32 }, { FG_IN, a + 32, 32 } };
	uint32_t len;
	uint16_t head;

	start(0, 2);
	head = fg_chain_indirect(fg, 0, segs, 2);
	fg_kick(fg, 0);
	ck_assert_uint_eq(fg_used(fg, 0, &len), head);
	ck_assert_uint_eq(len, 64);
	check_random(a, sizeof(a));
	fg_free(fg);
}
END_TEST

/* A whole ring at once, kicked only if the device asks: nothing gets stuck. */
START_TEST(batches)
{
	static uint8_t buf[256][64];
	unsigned round, i;

	start(variants[_i], 256);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 256; i++) {
			struct fg_seg seg = { FG_IN, buf[i], 64 };

			fg_chain(fg, 0, &seg, 1);
			if (fg_wants_kick(fg, 0))
				fg_kick(fg, 0);
		}
		for (i = 0; i < 256; i++) {
			uint32_t len;

			fg_used(fg, 0, &len);
			ck_assert_uint_eq(len, 64);
		}
		check_random(buf[round], 64);
	}
	fg_free(fg);
}
END_TEST

START_TEST(keeps_quiet_when_asked)
{
	uint8_t a[64];
	struct fg_seg seg = { FG_IN, a, sizeof(a) };
	uint64_t before;

	start(NO_EVENT, 8);
	fg_irq_enable(fg, 0, false);
	before = fg_irqs(fg, 0);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	ck_assert_uint_eq(fg_irqs(fg, 0), before);
	fg_irq_enable(fg, 0, true);
	fg_chain(fg, 0, &seg, 1);
	fg_kick(fg, 0);
	fg_used(fg, 0, NULL);
	fg_queue_stop(fg, 0); /* the interrupt has been sent by now */
	ck_assert_uint_eq(fg_irqs(fg, 0), before + 1);
	fg_free(fg);
}
END_TEST

START_TEST(goes_on_where_it_stopped)
{
	uint8_t a[64];
	struct fg_seg seg = { FG_IN, a, sizeof(a) };
	unsigned i;

	start(0, 4);
	for (i = 0; i < 10; i++) {
		ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
		fg_queue_stop(fg, 0);
		/* available while it is stopped: seen at the start */
		fg_chain(fg, 0, &seg, 1);
		fg_queue_resume(fg, 0);
		fg_used(fg, 0, NULL);
	}
	fg_free(fg);
}
END_TEST

START_TEST(resets)
{
	uint8_t a[64];
	struct fg_seg seg = { FG_IN, a, sizeof(a) };

	start(0, 4);
	fg_do(fg, 0, &seg, 1);
	fg_avail(fg, 0, 4);
	fg_expect_broken(fg, 0);
	fg_reset(fg);
	fg_queue(fg, 0, 8);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	fg_free(fg);
}
END_TEST

/* The memory table changes under a running queue. */
START_TEST(survives_a_new_memory_table)
{
	uint8_t a[64];
	struct fg_seg seg = { FG_IN, a, sizeof(a) };
	struct vc_mem *mem;

	start(0, 4);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	/* one without the ring is refused, the old one stays */
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "other", 0, 4096, &err), &err);
	ck_fails(vc_vhu_frontend_set_mem(fg_frontend(fg), mem, &err), &err,
		 VC_E_PEER);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	vc_mem_free(mem);
	/* mapped anew, with more: the queue moves over and goes on */
	fg_add_ram(fg, UINT64_C(1) << 32, 1 << 20);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	fg_desc(fg, fg_ring(fg, 0)->desc, 0, (UINT64_C(1) << 32) + 5, 64,
		FG_DESC_WRITE, 0);
	fg_avail(fg, 0, 0);
	fg_kick(fg, 0);
	fg_used(fg, 0, NULL);
	check_random(fg_ptr(fg, (UINT64_C(1) << 32) + 5, 64), 64);
	fg_free(fg);
}
END_TEST

/* --- hostile ------------------------------------------------------------- */

START_TEST(refuses_readable_buffers)
{
	uint8_t a[64] = { 0 };
	struct fg_seg segs[] = { { FG_OUT, a, 32 }, { FG_IN, a, 32 } };

	start(0, 4);
	fg_chain(fg, 0, segs, 2);
	fg_expect_broken(fg, 0);
	ck_assert_int_eq(fg_used_within(fg, 0, NULL, 0), -1);
	fg_free(fg);
}
END_TEST

static void hostile_head(void)
{
	fg_avail(fg, 0, 8);
}

static void hostile_loop(void)
{
	struct fg_ring *r = fg_ring(fg, 0);
	gpa_t at = fg_alloc(fg, 64, 1);

	fg_desc(fg, r->desc, 0, at, 4, FG_DESC_WRITE | FG_DESC_NEXT, 1);
	fg_desc(fg, r->desc, 1, at, 4, FG_DESC_WRITE | FG_DESC_NEXT, 0);
	fg_avail(fg, 0, 0);
}

static void hostile_wrap(void)
{
	fg_desc(fg, fg_ring(fg, 0)->desc, 0, UINT64_MAX - 3, 64, FG_DESC_WRITE,
		0);
	fg_avail(fg, 0, 0);
}

static void hostile_4g(void)
{
	fg_desc(fg, fg_ring(fg, 0)->desc, 0, FG_RAM_GPA, UINT32_MAX,
		FG_DESC_WRITE, 0);
	fg_avail(fg, 0, 0);
}

static void hostile_nested(void)
{
	gpa_t table = fg_alloc(fg, 64, 16);

	fg_desc(fg, fg_ring(fg, 0)->desc, 0, table, 32, FG_DESC_INDIRECT, 0);
	fg_desc(fg, table, 0, table, 32, FG_DESC_INDIRECT, 0);
	fg_avail(fg, 0, 0);
}

static void hostile_index(void)
{
	fg_avail_idx(fg, 0, 9);
}

static void hostile_outside(void)
{
	fg_desc(fg, fg_ring(fg, 0)->desc, 0, fg_ram_end(fg) - 1, 2,
		FG_DESC_WRITE, 0);
	fg_avail(fg, 0, 0);
}

static void (*const hostile[])(void) = {
	hostile_head,	hostile_loop,  hostile_wrap,	hostile_4g,
	hostile_nested, hostile_index, hostile_outside,
};

START_TEST(breaks_the_queue_and_no_more)
{
	uint8_t a[64];
	struct fg_seg seg = { FG_IN, a, sizeof(a) };

	start(0, 8);
	hostile[_i]();
	fg_expect_broken(fg, 0);
	ck_assert_int_eq(fg_used_within(fg, 0, NULL, 0), -1);
	/* told once; kicks change nothing */
	fg_kick(fg, 0);
	ck_assert(!fg_broken(fg, 50));
	fg_reset(fg);
	fg_queue(fg, 0, 8);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	fg_free(fg);
}
END_TEST

TEST_SUITE(suite_rng)
{
	Suite *s = suite_create("virtio/rng");
	TCase *tc = test_case(s, "rng");

	tcase_add_loop_test(tc, fills_buffers, 0, VC_ARRAY_SIZE(variants));
	tcase_add_test(tc, fills_indirect);
	tcase_add_loop_test(tc, batches, 0, VC_ARRAY_SIZE(variants));
	tcase_add_test(tc, keeps_quiet_when_asked);
	tcase_add_test(tc, goes_on_where_it_stopped);
	tcase_add_test(tc, resets);
	tcase_add_test(tc, survives_a_new_memory_table);
	tc = test_case(s, "hostile");
	tcase_add_test(tc, refuses_readable_buffers);
	tcase_add_loop_test(tc, breaks_the_queue_and_no_more, 0,
			    VC_ARRAY_SIZE(hostile));
	return s;
}
