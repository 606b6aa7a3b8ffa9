/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MC146818 real-time clock with its CMOS memory, in UTC. Update-ended and
 * alarm interrupts work; the periodic one is not offered: systems have better
 * timers, and it would wake the host up to 8192 times a second. All calls under
 * the machine's device lock.
 */
#ifndef VMM_PLATFORM_MC146818_H
#define VMM_PLATFORM_MC146818_H

#include "vmm/bus/hv.h"
#include "vmm/bus/bus.h"

#define MC146818_PORTS 2
#define MC146818_BYTES 128
#define MC146818_CENTURY 0x32

struct mc146818;
struct mc146818_ops {
	uint64_t (*now_ns)(void); /* since 1970, UTC */
	/* mc146818_next_ns() may have changed. */
	void (*on_rearm)(struct mc146818 *rtc);
};

struct mc146818 {
	struct bus_range range;
	const struct mc146818_ops *ops;
	struct bus_hv *hv; /* borrowed */
	unsigned irq;
	bool irq_level;
	uint8_t index;
	uint8_t cmos[MC146818_BYTES]; /* time, alarm and the rest */
	int64_t offset_s;	      /* guest's time less the host's */
	int64_t seen_s;		      /* the second up to which flags are set */
};

/* The caller attaches rtc->range. */
void mc146818_init(struct mc146818 *rtc, const struct mc146818_ops *ops,
		   struct bus_hv *hv, unsigned irq, uint16_t port);

/* How long until mc146818_tick() has to be called; 0: need not be. */
uint64_t mc146818_next_ns(struct mc146818 *rtc);
void mc146818_tick(struct mc146818 *rtc);

uint64_t mc146818_host_now_ns(void); /* CLOCK_REALTIME */

#endif
