/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"
#include "tests/unit/vmm/fake_hv.h"
#include "vmm/platform/mc146818.h"

#define IRQ 8
#define NS UINT64_C(1000000000)
/* 2024-02-29 23:59:58 UTC, a Thursday */
#define LEAP_DAY UINT64_C(1709251198)

static struct fake_hv hv;
static struct bus pio;
static struct mc146818 rtc;
static uint64_t now_ns;
static unsigned nr_rearms;
static struct vc_error err;

static uint64_t fake_now(void)
{
	return now_ns;
}

static void on_rearm(struct mc146818 *r)
{
	(void)r;
	nr_rearms++;
}

static const struct mc146818_ops ops = { fake_now, on_rearm };

static void setup(void)
{
	fake_hv_init(&hv);
	pio.nr_ranges = 0;
	nr_rearms = 0;
	now_ns = LEAP_DAY * NS;
	mc146818_init(&rtc, &ops, &hv.base, IRQ, 0x70);
	ck_ok(bus_attach(&pio, &rtc.range, &err), &err);
}

static uint8_t get(uint8_t reg)
{
	uint8_t v;

	bus_write(&pio, 0x70, &reg, 1);
	bus_read(&pio, 0x71, &v, 1);
	return v;
}

static void set(uint8_t reg, uint8_t v)
{
	bus_write(&pio, 0x70, &reg, 1);
	bus_write(&pio, 0x71, &v, 1);
}

static void assert_time(unsigned century, unsigned year, unsigned month,
			unsigned day, unsigned hour, unsigned min, unsigned sec)
{
	ck_assert_uint_eq(get(0x32), century);
	ck_assert_uint_eq(get(9), year);
	ck_assert_uint_eq(get(8), month);
	ck_assert_uint_eq(get(7), day);
	ck_assert_uint_eq(get(4), hour);
	ck_assert_uint_eq(get(2), min);
	ck_assert_uint_eq(get(0), sec);
}

START_TEST(tells_the_time_in_bcd)
{
	assert_time(0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58);
	ck_assert_uint_eq(get(6), 5);
	ck_assert_uint_eq(get(0xd), 0x80);
	now_ns += 2 * NS;
	assert_time(0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00);
	ck_assert_uint_eq(get(6), 6);
}
END_TEST

START_TEST(tells_the_time_in_binary_and_12_hours)
{
	set(0xb, 0x04);
	assert_time(20, 24, 2, 29, 11 | 0x80, 59, 58);
	now_ns += 2 * NS;
	ck_assert_uint_eq(get(4), 12); /* midnight */
	now_ns += 12 * 3600 * NS;
	ck_assert_uint_eq(get(4), 12 | 0x80);
}
END_TEST

START_TEST(update_in_progress_shows)
{
	ck_assert_uint_eq(get(0xa) & 0x80, 0);
	now_ns += NS - 100000;
	ck_assert_uint_eq(get(0xa) & 0x80, 0x80);
}
END_TEST

START_TEST(guest_sets_the_time)
{
	set(0xb, 0x82); /* SET */
	set(0x32, 0x19);
	set(9, 0x99);
	set(8, 0x12);
	set(7, 0x31);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x59);
	now_ns += 5 * NS; /* stopped */
	ck_assert_uint_eq(get(0), 0x59);
	set(0xb, 0x02);
	assert_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
	now_ns += NS;
	assert_time(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
}
END_TEST

START_TEST(nonsense_is_no_time)
{
	unsigned reg, v;

	for (reg = 0; reg < 128; reg++)
		for (v = 0; v < 256; v++) {
			set((uint8_t)reg, (uint8_t)v);
			get((uint8_t)reg);
			mc146818_next_ns(&rtc);
		}
	set(0xb, 0x02);
	set(8, 0x13);
	ck_assert_uint_ge(get(8), 1);
	ck_assert_uint_le(get(8), 0x12);
}
END_TEST

START_TEST(alarm_interrupts)
{
	set(1, 0x00);
	set(3, 0x00);
	set(5, 0x00);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 0);
	nr_rearms = 0;
	set(0xb, 0x22); /* AIE */
	ck_assert_uint_eq(nr_rearms, 1);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 2 * NS);
	now_ns += NS;
	mc146818_tick(&rtc);
	ck_assert(!hv.level[IRQ]);
	now_ns += NS;
	mc146818_tick(&rtc);
	ck_assert(hv.level[IRQ]);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 0);
	ck_assert_uint_eq(get(0xc) & 0xa0, 0xa0);
	ck_assert(!hv.level[IRQ]);
	ck_assert_uint_eq(get(0xc), 0);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 24 * 3600 * NS);
	/* any hour, any minute, second 30 */
	set(5, 0xc0);
	set(3, 0xff);
	set(1, 0x30);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 30 * NS);
}
END_TEST

START_TEST(alarm_that_never_matches_needs_no_timer)
{
	set(1, 0x61);
	set(3, 0xff);
	set(5, 0xff);
	set(0xb, 0x22);
	ck_assert_uint_eq(mc146818_next_ns(&rtc), 0);
}
END_TEST

START_TEST(update_interrupts_each_second)
{
	now_ns += NS / 4;
	set(0xb, 0x12); /* UIE */
	ck_assert_uint_eq(mc146818_next_ns(&rtc), NS * 3 / 4);
	now_ns += NS;
	mc146818_tick(&rtc);
	ck_assert(hv.level[IRQ]);
	ck_assert_uint_eq(get(0xc), 0x90);
	ck_assert(!hv.level[IRQ]);
}
END_TEST

TEST_SUITE(suite_rtc)
{
	Suite *s = suite_create("rtc");
	TCase *tc = test_case(s, "mc146818");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, tells_the_time_in_bcd);
	tcase_add_test(tc, tells_the_time_in_binary_and_12_hours);
	tcase_add_test(tc, update_in_progress_shows);
	tcase_add_test(tc, guest_sets_the_time);
	tcase_add_test(tc, nonsense_is_no_time);
	tcase_add_test(tc, alarm_interrupts);
	tcase_add_test(tc, alarm_that_never_matches_needs_no_timer);
	tcase_add_test(tc, update_interrupts_each_second);
	return s;
}
