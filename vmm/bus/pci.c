/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space is two arrays per device, so a guest's write is one
 * masked copy whatever its width or alignment; what depends on the bytes (where
 * BARs decode, the MSI-X enable bit) is worked out again after each write. A
 * BAR is on the memory bus only while memory decoding is on and its address
 * lies in a PCI window and collides with nothing: a guest that puts it anywhere
 * else has lost it until it writes a better address, and nothing more.
 */
#include <assert.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/log.h>
#include "vmm/bus/pci.h"

/* The generic host bridge that Red Hat gave a number to: no guest has quirks
 * for it. */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.subsys_vendor = 0x1af4,
	.subsys = 0x1100,
	.class_code = 0x060000,
};

#define ADDRESS_ENABLE (UINT32_C(1) << 31)
#define ECAM_FUNCTION_BYTES 4096
#define BAR_TYPE_64 0x4

/* --- devices -------------------------------------------------------------- */

void pci_dev_init(struct pci_dev *d, const struct pci_dev_ops *ops,
		  const char *name, const struct pci_ids *ids)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->name = name;
	bus_put_le(d->cfg + PCI_VENDOR, 2, ids->vendor);
	bus_put_le(d->cfg + PCI_DEVICE, 2, ids->device);
	d->cfg[PCI_REVISION] = ids->revision;
	bus_put_le(d->cfg + PCI_CLASS, 3, ids->class_code);
	bus_put_le(d->cfg + PCI_SUBSYS_VENDOR, 2, ids->subsys_vendor);
	bus_put_le(d->cfg + PCI_SUBSYS, 2, ids->subsys);
	bus_put_le(d->wmask + PCI_COMMAND, 2,
		   PCI_COMMAND_MEM | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	d->wmask[0x0c] = 0xff; /* cache line size, */
	d->wmask[0x3c] = 0xff; /* interrupt line: scratch */
	d->cap_end = PCI_FIRST_CAP;
}

static void bar_read(struct bus_range *r, uint64_t off, uint8_t *data,
		     unsigned len)
{
	struct pci_bar *b = vc_container_of(r, struct pci_bar, range);

	b->dev->ops->bar_read(b->dev, b->index, off, data, len);
}

static void bar_write(struct bus_range *r, uint64_t off, const uint8_t *data,
		      unsigned len)
{
	struct pci_bar *b = vc_container_of(r, struct pci_bar, range);

	b->dev->ops->bar_write(b->dev, b->index, off, data, len);
}

static const struct bus_range_ops bar_ops = { bar_read, bar_write };

void pci_dev_set_bar(struct pci_dev *d, unsigned bar, uint64_t size, bool is_64)
{
	unsigned off = PCI_BAR(bar), len = is_64 ? 8 : 4;

	assert(!d->host && vc_is_pow2(size) && size >= 16 &&
	       size <= PCI_MAX_BAR_BYTES);
	assert(bar + is_64 < PCI_NR_BARS &&
	       (is_64 || size <= UINT32_C(1) << 31));
	d->bar[bar] = (struct pci_bar){
		.range = { d->name, &bar_ops, 0, size, false },
		.dev = d,
		.index = bar,
		.size = size,
		.is_64 = is_64,
	};
	bus_put_le(d->cfg + off, len, is_64 ? BAR_TYPE_64 : 0);
	bus_put_le(d->wmask + off, len, ~(size - 1));
}

unsigned pci_dev_add_cap(struct pci_dev *d, uint8_t id, const uint8_t *bytes,
			 unsigned len)
{
	unsigned off = d->cap_end;

	assert(len >= 2 && off + len <= PCI_CFG_SIZE);
	memcpy(d->cfg + off, bytes, len);
	d->cfg[off] = id;
	d->cfg[off + 1] = 0;
	d->cfg[d->last_cap ? d->last_cap + 1 : PCI_CAP_PTR] = (uint8_t)off;
	d->cfg[PCI_STATUS] |= PCI_STATUS_CAPS;
	d->last_cap = off;
	d->cap_end = (unsigned)vc_align_up(off + len, 4);
	return off;
}

/* --- BARs ----------------------------------------------------------------- */

static uint64_t bar_address(const struct pci_bar *b)
{
	uint64_t v = pci_dev_get(b->dev, PCI_BAR(b->index), b->is_64 ? 8 : 4);

	return v & ~UINT64_C(0xf);
}

static bool in_windows(const struct pci_host_config *c, uint64_t addr,
		       uint64_t size)
{
	return (addr >= c->mem32_base &&
		vc_range_ok(addr - c->mem32_base, size, c->mem32_size)) ||
	       (addr >= c->mem64_base &&
		vc_range_ok(addr - c->mem64_base, size, c->mem64_size));
}

static void bar_update(struct pci_bar *b)
{
	struct pci_host *h = b->dev->host;
	bool is_on = pci_dev_get(b->dev, PCI_COMMAND, 2) & PCI_COMMAND_MEM;
	uint64_t addr = bar_address(b);
	struct vc_error err;

	is_on = is_on && in_windows(&h->config, addr, b->size);
	if (is_on == b->range.is_attached && (!is_on || addr == b->range.base))
		return;
	bus_detach(h->config.mmio, &b->range);
	b->range.base = addr;
	if (is_on && bus_attach(h->config.mmio, &b->range, &err) < 0)
		vc_log(VC_LOG_DEBUG, b->dev->name, "BAR %u: %s", b->index,
		       err.msg);
	if (b->dev->ops->bar_moved)
		b->dev->ops->bar_moved(b->dev, b->index);
}

static void bars_update(struct pci_dev *d)
{
	unsigned i;

	for (i = 0; i < PCI_NR_BARS; i++)
		if (d->bar[i].size)
			bar_update(&d->bar[i]);
}

/* --- configuration space -------------------------------------------------- */

void pci_dev_cfg_read(struct pci_dev *d, unsigned off, uint8_t *data,
		      unsigned len)
{
	unsigned i;

	if (d->ops->cfg_reading)
		d->ops->cfg_reading(d, off, len);
	/* past 256 bytes: no extended capabilities, which reads as zero */
	for (i = 0; i < len; i++)
		data[i] = off + i < PCI_CFG_SIZE ? d->cfg[off + i] : 0;
}

void pci_dev_cfg_write(struct pci_dev *d, unsigned off, const uint8_t *data,
		       unsigned len)
{
	unsigned i;

	for (i = 0; i < len && off + i < PCI_CFG_SIZE; i++) {
		uint8_t mask = d->wmask[off + i];

		d->cfg[off + i] =
			(uint8_t)((d->cfg[off + i] & ~mask) | (data[i] & mask));
	}
	if (off < PCI_BAR(PCI_NR_BARS) && off + len > PCI_COMMAND)
		bars_update(d);
	if (d->ops->cfg_written && i)
		d->ops->cfg_written(d, off, i);
}

static struct pci_dev *find_dev(struct pci_host *h, unsigned bus, unsigned slot,
				unsigned function)
{
	return bus || function ? NULL : h->slots[slot];
}

static void address_read(struct bus_range *r, uint64_t off, uint8_t *data,
			 unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, address_range);

	bus_put_le(data, len, h->address >> 8 * off);
}

static void address_write(struct bus_range *r, uint64_t off,
			  const uint8_t *data, unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, address_range);

	/* narrower ones are other devices' or mistakes (3.2.2.3.2) */
	if (off == 0 && len == 4)
		h->address = (uint32_t)bus_get_le(data, 4) & ~UINT32_C(3);
}

static struct pci_dev *addressed_dev(struct pci_host *h)
{
	uint32_t a = h->address;

	if (!(a & ADDRESS_ENABLE))
		return NULL;
	return find_dev(h, a >> 16 & 0xff, a >> 11 & 0x1f, a >> 8 & 7);
}

static void data_read(struct bus_range *r, uint64_t off, uint8_t *data,
		      unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, data_range);
	struct pci_dev *d = addressed_dev(h);

	memset(data, 0xff, len);
	if (d)
		pci_dev_cfg_read(d, (h->address & 0xfc) + (unsigned)off, data,
				 len);
}

static void data_write(struct bus_range *r, uint64_t off, const uint8_t *data,
		       unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, data_range);
	struct pci_dev *d = addressed_dev(h);

	if (d)
		pci_dev_cfg_write(d, (h->address & 0xfc) + (unsigned)off, data,
				  len);
}

static struct pci_dev *ecam_dev(struct pci_host *h, uint64_t off, unsigned len)
{
	if (off % ECAM_FUNCTION_BYTES + len > ECAM_FUNCTION_BYTES)
		return NULL;
	return find_dev(h, off >> 20 & 0xff, off >> 15 & 0x1f, off >> 12 & 7);
}

static void ecam_read(struct bus_range *r, uint64_t off, uint8_t *data,
		      unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, ecam_range);
	struct pci_dev *d = ecam_dev(h, off, len);

	memset(data, 0xff, len);
	if (d)
		pci_dev_cfg_read(d, off % ECAM_FUNCTION_BYTES, data, len);
}

static void ecam_write(struct bus_range *r, uint64_t off, const uint8_t *data,
		       unsigned len)
{
	struct pci_host *h = vc_container_of(r, struct pci_host, ecam_range);
	struct pci_dev *d = ecam_dev(h, off, len);

	if (d)
		pci_dev_cfg_write(d, off % ECAM_FUNCTION_BYTES, data, len);
}

static const struct bus_range_ops address_ops = { address_read, address_write };
static const struct bus_range_ops data_ops = { data_read, data_write };
static const struct bus_range_ops ecam_ops = { ecam_read, ecam_write };
static const struct pci_dev_ops bridge_ops = { .bar_read = NULL };

/* --- the host ------------------------------------------------------------- */

int pci_host_init(struct pci_host *h, const struct pci_host_config *config,
		  struct vc_error *err)
{
	const struct pci_host_config *c = &h->config;

	memset(h, 0, sizeof(*h));
	h->config = *config;
	h->mem32_next = c->mem32_base;
	h->mem64_next = c->mem64_base;
	pci_dev_init(&h->bridge, &bridge_ops, "pci-host", &bridge_ids);
	h->bridge.host = h;
	h->slots[0] = &h->bridge;
	h->address_range = (struct bus_range){ "pci-address", &address_ops,
					       c->address_port, 4, false };
	h->data_range = (struct bus_range){ "pci-data", &data_ops, c->data_port,
					    4, false };
	h->ecam_range = (struct bus_range){ "pci-ecam", &ecam_ops, c->ecam_base,
					    c->ecam_size, false };
	if (bus_attach(c->pio, &h->address_range, err) < 0 ||
	    bus_attach(c->pio, &h->data_range, err) < 0 ||
	    bus_attach(c->mmio, &h->ecam_range, err) < 0) {
		pci_host_fini(h);
		return -1;
	}
	return 0;
}

void pci_host_fini(struct pci_host *h)
{
	unsigned i;

	for (i = 1; i < PCI_MAX_SLOTS; i++)
		if (h->slots[i])
			pci_host_detach(h->slots[i]);
	if (h->config.pio) {
		bus_detach(h->config.pio, &h->address_range);
		bus_detach(h->config.pio, &h->data_range);
		bus_detach(h->config.mmio, &h->ecam_range);
	}
}

static bool window_take(uint64_t *next, uint64_t end, uint64_t size,
			uint64_t *ret_addr)
{
	uint64_t addr = vc_align_up(*next, size);

	if (addr < *next || addr > end || size > end - addr)
		return false;
	*next = addr + size;
	*ret_addr = addr;
	return true;
}

static int bar_place(struct pci_host *h, struct pci_bar *b,
		     struct vc_error *err)
{
	const struct pci_host_config *c = &h->config;
	uint64_t addr;

	if (!(b->is_64 &&
	      window_take(&h->mem64_next, c->mem64_base + c->mem64_size,
			  b->size, &addr)) &&
	    !window_take(&h->mem32_next, c->mem32_base + c->mem32_size, b->size,
			 &addr))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "%s: no room in the PCI memory window",
			       b->dev->name);
	bus_put_le(b->dev->cfg + PCI_BAR(b->index), b->is_64 ? 8 : 4,
		   addr | (b->is_64 ? BAR_TYPE_64 : 0));
	return 0;
}

int pci_host_attach(struct pci_host *h, struct pci_dev *d, unsigned slot,
		    struct vc_error *err)
{
	unsigned i;

	assert(!d->host);
	if (slot == 0 || slot >= PCI_MAX_SLOTS || h->slots[slot])
		return vc_fail(err, VC_E_LIMIT, 0, "%s: no PCI slot %u",
			       d->name, slot);
	for (i = 0; i < PCI_NR_BARS; i++)
		if (d->bar[i].size && bar_place(h, &d->bar[i], err) < 0)
			return -1;
	h->slots[slot] = d;
	d->host = h;
	d->slot = slot;
	return 0;
}

void pci_host_detach(struct pci_dev *d)
{
	unsigned i;

	if (!d->host)
		return;
	for (i = 0; i < PCI_NR_BARS; i++)
		bus_detach(d->host->config.mmio, &d->bar[i].range);
	d->host->slots[d->slot] = NULL;
	d->host = NULL;
}
