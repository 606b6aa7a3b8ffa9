/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dispatch of port and memory-mapped accesses that left the guest: a table of
 * address ranges, each with the device behind it. One struct bus for ports, one
 * for memory.
 *
 * A bus has no lock of its own. Every access, attach and detach happens under
 * the machine's one device lock, which also serialises the devices' registers
 * with the main thread. Queues and interrupts do not come this way: KVM
 * signals eventfds, so the lock is off the data path.
 *
 * An access may have any address and be 1, 2, 4 or 8 bytes long; what no range
 * holds as a whole reads as ones and is dropped on writing.
 */
#ifndef VMM_BUS_BUS_H
#define VMM_BUS_BUS_H

#include <vmmcore/error.h>

#define BUS_MAX_RANGES 256
#define BUS_MAX_ACCESS 8

struct bus_range;

struct bus_range_ops {
	/* `len` is 1..BUS_MAX_ACCESS and off + len is within the range; `data`
	 * is little-endian, as the guest sees it. read() fills all of it. */
	void (*read)(struct bus_range *r, uint64_t off, uint8_t *data,
		     unsigned len);
	void (*write)(struct bus_range *r, uint64_t off, const uint8_t *data,
		      unsigned len);
};

/* Embedded in the device; outlives its being attached. */
struct bus_range {
	const char *name; /* borrowed, for messages */
	const struct bus_range_ops *ops;
	uint64_t base, size;
	bool is_attached;
};

struct bus {
	struct bus_range *ranges[BUS_MAX_RANGES]; /* borrowed */
	size_t nr_ranges;
};

/* Set name, ops, base and size first. Ranges may not overlap, except that one
 * may lie inside another: the smallest that holds an access gets it (the reset
 * register 0xcf9 lies in the PCI address register). VC_E_CONFIG for an overlap,
 * VC_E_LIMIT when the table is full. */
int bus_attach(struct bus *bus, struct bus_range *r,
	       struct vc_error *err) VC_MUST_CHECK;
void bus_detach(struct bus *bus, struct bus_range *r); /* no-op if it is not */

/* Return whether a device was there. */
bool bus_read(struct bus *bus, uint64_t addr, uint8_t *data, unsigned len);
bool bus_write(struct bus *bus, uint64_t addr, const uint8_t *data,
	       unsigned len);

/* Little-endian integers of any length up to 8 bytes. */
static inline uint64_t bus_get_le(const uint8_t *data, unsigned len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | data[len];
	return v;
}

static inline void bus_put_le(uint8_t *data, unsigned len, uint64_t v)
{
	for (; len--; v >>= 8)
		*data++ = (uint8_t)v;
}

#endif
