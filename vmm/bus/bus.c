/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "vmm/bus/bus.h"

static bool holds(const struct bus_range *r, uint64_t addr, uint64_t len)
{
	return addr >= r->base && vc_range_ok(addr - r->base, len, r->size);
}

static bool conflicts(const struct bus_range *a, const struct bus_range *b)
{
	if (a->base == b->base && a->size == b->size)
		return true;
	if (holds(a, b->base, b->size) || holds(b, a->base, a->size))
		return false;
	return a->base <= b->base ? b->base - a->base < a->size
				  : a->base - b->base < b->size;
}

int bus_attach(struct bus *bus, struct bus_range *r, struct vc_error *err)
{
	uint64_t end;
	size_t i;

	assert(!r->is_attached && r->size);
	if (vc_ckd_add(&end, r->base, r->size - 1))
		return vc_fail(err, VC_E_CONFIG, 0, "%s: address wraps",
			       r->name);
	for (i = 0; i < bus->nr_ranges; i++)
		if (conflicts(bus->ranges[i], r))
			return vc_fail(err, VC_E_CONFIG, 0,
				       "%s: address 0x%llx overlaps %s",
				       r->name, (unsigned long long)r->base,
				       bus->ranges[i]->name);
	if (bus->nr_ranges == BUS_MAX_RANGES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "%s: more than %d address ranges", r->name,
			       BUS_MAX_RANGES);
	bus->ranges[bus->nr_ranges++] = r;
	r->is_attached = true;
	return 0;
}

void bus_detach(struct bus *bus, struct bus_range *r)
{
	size_t i;

	if (!r->is_attached)
		return;
	for (i = 0; bus->ranges[i] != r; i++)
		assert(i < bus->nr_ranges);
	bus->ranges[i] = bus->ranges[--bus->nr_ranges];
	r->is_attached = false;
}

static struct bus_range *find(struct bus *bus, uint64_t addr, unsigned len)
{
	struct bus_range *best = NULL;
	size_t i;

	assert(len >= 1 && len <= BUS_MAX_ACCESS);
	for (i = 0; i < bus->nr_ranges; i++) {
		struct bus_range *r = bus->ranges[i];

		if (holds(r, addr, len) && (!best || r->size < best->size))
			best = r;
	}
	return best;
}

bool bus_read(struct bus *bus, uint64_t addr, uint8_t *data, unsigned len)
{
	struct bus_range *r = find(bus, addr, len);

	if (!r) {
		memset(data, 0xff, len);
		return false;
	}
	r->ops->read(r, addr - r->base, data, len);
	return true;
}

bool bus_write(struct bus *bus, uint64_t addr, const uint8_t *data,
	       unsigned len)
{
	struct bus_range *r = find(bus, addr, len);

	if (r)
		r->ops->write(r, addr - r->base, data, len);
	return r;
}
