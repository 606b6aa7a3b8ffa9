/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Motorola MC146818A data sheet. The clock is the host's plus an offset that
 * the guest sets; the time registers are computed when they are read, except
 * while the guest holds SET, when they are plain memory. Nothing runs in
 * between: a timer is wanted only while the guest has an interrupt enabled.
 *
 * The C library's calendar functions read the time zone's file on first use,
 * which a sealed process must not do: the calendar is worked out here.
 */
#include <string.h>
#include <time.h>
#include "vmm/platform/mc146818.h"

#define REG_SECONDS 0x00
#define REG_SECONDS_ALARM 0x01
#define REG_MINUTES 0x02
#define REG_MINUTES_ALARM 0x03
#define REG_HOURS 0x04
#define REG_HOURS_ALARM 0x05
#define REG_WEEKDAY 0x06
#define REG_DAY 0x07
#define REG_MONTH 0x08
#define REG_YEAR 0x09
#define REG_A 0x0a
#define REG_B 0x0b
#define REG_C 0x0c
#define REG_D 0x0d

#define A_UIP 0x80
#define A_DEFAULT 0x26 /* 32768 Hz, rate 1024 Hz */
#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_BINARY 0x04
#define B_24H 0x02
#define C_IRQF 0x80
#define C_AF 0x20
#define C_UF 0x10
#define D_VALID 0x80
#define HOUR_PM 0x80
#define ALARM_ANY 0xc0 /* and above: matches every value */

#define NS_PER_S UINT64_C(1000000000)
#define UIP_NS 244000 /* set so long before an update */
#define DAY_S 86400

struct moment {
	unsigned year, month, day, weekday, hour, minute, second;
};

/* --- calendar (proleptic Gregorian, from 1970 on) ------------------------- */

static bool is_leap(unsigned y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static unsigned month_days(unsigned y, unsigned m)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
					31, 31, 30, 31, 30, 31 };

	return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

static struct moment to_moment(int64_t t)
{
	uint64_t s = t < 0 ? 0 : (uint64_t)t, days = s / DAY_S;
	unsigned left = (unsigned)(s % DAY_S);
	struct moment m = { .year = 1970, .month = 1 };

	m.weekday = (unsigned)((days + 4) % 7) + 1; /* Sunday is 1 */
	m.hour = left / 3600;
	m.minute = left / 60 % 60;
	m.second = left % 60;
	for (; days >= (is_leap(m.year) ? 366U : 365U); m.year++)
		days -= is_leap(m.year) ? 366 : 365;
	for (; days >= month_days(m.year, m.month); m.month++)
		days -= month_days(m.year, m.month);
	m.day = (unsigned)days + 1;
	return m;
}

/* False if it is no date after 1970. */
static bool from_moment(const struct moment *m, int64_t *ret)
{
	uint64_t days = 0;
	unsigned y, mo;

	if (m->year < 1970 || m->year > 9999 || m->month < 1 || m->month > 12 ||
	    m->day < 1 || m->day > month_days(m->year, m->month) ||
	    m->hour > 23 || m->minute > 59 || m->second > 59)
		return false;
	for (y = 1970; y < m->year; y++)
		days += is_leap(y) ? 366 : 365;
	for (mo = 1; mo < m->month; mo++)
		days += month_days(m->year, mo);
	days += m->day - 1;
	*ret = (int64_t)(days * DAY_S + m->hour * 3600 + m->minute * 60 +
			 m->second);
	return true;
}

/* --- encoding ------------------------------------------------------------- */

static uint8_t encode(const struct mc146818 *rtc, unsigned v)
{
	return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? v
						     : v / 10 << 4 | v % 10);
}

/* 255 for what is no number. */
static unsigned decode(const struct mc146818 *rtc, uint8_t v)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return v;
	return (v & 0xf) > 9 || v >> 4 > 9 ? 255 : (v >> 4) * 10U + (v & 0xf);
}

static uint8_t encode_hour(const struct mc146818 *rtc, unsigned h)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, h);
	return (uint8_t)(encode(rtc, h % 12 ? h % 12 : 12) |
			 (h >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct mc146818 *rtc, uint8_t v)
{
	unsigned h;

	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, v);
	h = decode(rtc, v & (uint8_t)~HOUR_PM);
	if (h < 1 || h > 12)
		return 255;
	return h % 12 + (v & HOUR_PM ? 12 : 0);
}

static int64_t guest_now(const struct mc146818 *rtc)
{
	return (int64_t)(rtc->ops->now_ns() / NS_PER_S) + rtc->offset_s;
}

/* Bring the time registers up to date. */
static void time_load(struct mc146818 *rtc)
{
	struct moment m;

	if (rtc->cmos[REG_B] & B_SET)
		return;
	m = to_moment(guest_now(rtc));
	rtc->cmos[REG_SECONDS] = encode(rtc, m.second);
	rtc->cmos[REG_MINUTES] = encode(rtc, m.minute);
	rtc->cmos[REG_HOURS] = encode_hour(rtc, m.hour);
	rtc->cmos[REG_WEEKDAY] = encode(rtc, m.weekday);
	rtc->cmos[REG_DAY] = encode(rtc, m.day);
	rtc->cmos[REG_MONTH] = encode(rtc, m.month);
	rtc->cmos[REG_YEAR] = encode(rtc, m.year % 100);
	rtc->cmos[MC146818_CENTURY] = encode(rtc, m.year / 100);
}

/* Take the time registers as the time; nonsense is dropped. */
static void time_store(struct mc146818 *rtc)
{
	struct moment m = {
		.year = decode(rtc, rtc->cmos[MC146818_CENTURY]) * 100 +
			decode(rtc, rtc->cmos[REG_YEAR]),
		.month = decode(rtc, rtc->cmos[REG_MONTH]),
		.day = decode(rtc, rtc->cmos[REG_DAY]),
		.hour = decode_hour(rtc, rtc->cmos[REG_HOURS]),
		.minute = decode(rtc, rtc->cmos[REG_MINUTES]),
		.second = decode(rtc, rtc->cmos[REG_SECONDS]),
	};
	int64_t t;

	if (!from_moment(&m, &t))
		return;
	rtc->offset_s += t - guest_now(rtc);
	rtc->seen_s = t;
}

/* --- alarm ---------------------------------------------------------------- */

static bool alarm_field_is(const struct mc146818 *rtc, unsigned reg,
			   unsigned value)
{
	uint8_t v = rtc->cmos[reg];

	if (v >= ALARM_ANY)
		return true;
	return (reg == REG_HOURS_ALARM ? decode_hour(rtc, v)
				       : decode(rtc, v)) == value;
}

/* The first second after `from` at which the alarm goes off; false: never. Hours
 * and minutes that do not match are skipped whole. */
static bool alarm_after(const struct mc146818 *rtc, int64_t from, int64_t *ret)
{
	int64_t t = from + 1, end = from + 1 + DAY_S;

	while (t < end) {
		unsigned s = (unsigned)(t % DAY_S);

		if (!alarm_field_is(rtc, REG_HOURS_ALARM, s / 3600))
			t += 3600 - s % 3600;
		else if (!alarm_field_is(rtc, REG_MINUTES_ALARM, s / 60 % 60))
			t += 60 - s % 60;
		else if (!alarm_field_is(rtc, REG_SECONDS_ALARM, s % 60))
			t++;
		else {
			*ret = t;
			return true;
		}
	}
	return false;
}

/* Set the flags of what happened up to now. */
static void flags_update(struct mc146818 *rtc)
{
	int64_t now = guest_now(rtc), alarm;

	if ((rtc->cmos[REG_B] & B_SET) || now == rtc->seen_s)
		return;
	rtc->cmos[REG_C] |= C_UF;
	if (alarm_after(rtc, rtc->seen_s, &alarm) && alarm <= now)
		rtc->cmos[REG_C] |= C_AF;
	rtc->seen_s = now;
}

static void irq_update(struct mc146818 *rtc)
{
	uint8_t *c = &rtc->cmos[REG_C];
	bool level = *c & rtc->cmos[REG_B] & (C_AF | C_UF);
	struct vc_error err;

	*c = (uint8_t)((*c & ~C_IRQF) | (level ? C_IRQF : 0));
	if (level != rtc->irq_level &&
	    rtc->hv->ops->set_irq(rtc->hv, rtc->irq, level, &err) == 0)
		rtc->irq_level = level;
}

uint64_t mc146818_next_ns(struct mc146818 *rtc)
{
	uint8_t b = rtc->cmos[REG_B];
	uint64_t into = rtc->ops->now_ns() % NS_PER_S;
	int64_t now = guest_now(rtc), at = 0;

	/* one that is raised already waits for the guest */
	if ((b & B_SET) || (rtc->cmos[REG_C] & C_IRQF))
		return 0;
	if (b & B_UIE)
		at = now + 1;
	else if (!(b & B_AIE) || !alarm_after(rtc, now, &at))
		return 0;
	return (uint64_t)(at - now) * NS_PER_S - into;
}

void mc146818_tick(struct mc146818 *rtc)
{
	flags_update(rtc);
	irq_update(rtc);
}

/* --- registers ------------------------------------------------------------ */

static bool is_time_reg(unsigned reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR) ||
	       reg == MC146818_CENTURY;
}

static uint8_t cmos_read(struct mc146818 *rtc, unsigned reg)
{
	uint8_t v;

	if (is_time_reg(reg))
		time_load(rtc);
	if (reg == REG_A && !(rtc->cmos[REG_B] & B_SET) &&
	    rtc->ops->now_ns() % NS_PER_S >= NS_PER_S - UIP_NS)
		return rtc->cmos[REG_A] | A_UIP;
	if (reg != REG_C)
		return rtc->cmos[reg];
	mc146818_tick(rtc);
	v = rtc->cmos[REG_C];
	rtc->cmos[REG_C] = 0;
	irq_update(rtc);
	rtc->ops->on_rearm(rtc);
	return v;
}

static void b_write(struct mc146818 *rtc, uint8_t value)
{
	uint8_t old = rtc->cmos[REG_B];

	flags_update(rtc);
	/* the registers as they were when SET or the format changes */
	time_load(rtc);
	if (value & B_SET)
		value &= (uint8_t)~B_UIE;
	rtc->cmos[REG_B] = value & (uint8_t)~B_PIE;
	if ((old & B_SET) && !(value & B_SET))
		time_store(rtc);
	irq_update(rtc);
	rtc->ops->on_rearm(rtc);
}

static void cmos_write(struct mc146818 *rtc, unsigned reg, uint8_t value)
{
	if (reg == REG_B) {
		b_write(rtc, value);
	} else if (is_time_reg(reg)) {
		time_load(rtc);
		rtc->cmos[reg] = value;
		if (!(rtc->cmos[REG_B] & B_SET)) {
			time_store(rtc);
			rtc->ops->on_rearm(rtc);
		}
	} else if (reg == REG_A) {
		rtc->cmos[reg] = value & (uint8_t)~A_UIP;
	} else if (reg != REG_C && reg != REG_D) {
		flags_update(rtc);
		rtc->cmos[reg] = value;
		if (reg == REG_SECONDS_ALARM || reg == REG_MINUTES_ALARM ||
		    reg == REG_HOURS_ALARM)
			rtc->ops->on_rearm(rtc);
	}
}

static void rtc_read(struct bus_range *r, uint64_t off, uint8_t *data,
		     unsigned len)
{
	struct mc146818 *rtc = vc_container_of(r, struct mc146818, range);

	for (; len--; off++)
		*data++ = off == 0 ? 0xff : cmos_read(rtc, rtc->index);
}

static void rtc_write(struct bus_range *r, uint64_t off, const uint8_t *data,
		      unsigned len)
{
	struct mc146818 *rtc = vc_container_of(r, struct mc146818, range);

	for (; len--; off++, data++) {
		if (off == 0)
			rtc->index = *data & 0x7f; /* bit 7: NMI off */
		else
			cmos_write(rtc, rtc->index, *data);
	}
}

static const struct bus_range_ops rtc_ops = { rtc_read, rtc_write };

void mc146818_init(struct mc146818 *rtc, const struct mc146818_ops *ops,
		   struct bus_hv *hv, unsigned irq, uint16_t port)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->range = (struct bus_range){ "mc146818", &rtc_ops, port,
					 MC146818_PORTS, false };
	rtc->ops = ops;
	rtc->hv = hv;
	rtc->irq = irq;
	rtc->cmos[REG_A] = A_DEFAULT;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
	rtc->seen_s = guest_now(rtc);
}

uint64_t mc146818_host_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
