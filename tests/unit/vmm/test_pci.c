/* SPDX-License-Identifier: BSD-3-Clause */
/* Buses and PCI as a guest reaches them: ports and memory accesses. */
#include <string.h>
#include "tests/lib/test.h"
#include "vmm/bus/pci.h"

#define ECAM UINT64_C(0xe0000000)
#define MEM32 UINT64_C(0xc0000000)
#define MEM64 UINT64_C(0x100000000)

static struct bus pio, mmio;
static struct pci_host host;
static struct pci_dev dev;
static uint64_t last_off;
static unsigned last_bar, nr_moves;
static struct vc_error err;

static void on_bar_read(struct pci_dev *d, unsigned bar, uint64_t off,
			uint8_t *data, unsigned len)
{
	(void)d;
	last_bar = bar;
	last_off = off;
	memset(data, 0x5a, len);
}

static void on_bar_write(struct pci_dev *d, unsigned bar, uint64_t off,
			 const uint8_t *data, unsigned len)
{
	(void)d;
	(void)data;
	(void)len;
	last_bar = bar;
	last_off = off;
}

static void on_bar_moved(struct pci_dev *d, unsigned bar)
{
	(void)d;
	(void)bar;
	nr_moves++;
}

static const struct pci_dev_ops dev_ops = {
	.bar_read = on_bar_read,
	.bar_write = on_bar_write,
	.bar_moved = on_bar_moved,
};

static uint64_t rd(struct bus *bus, uint64_t addr, unsigned len)
{
	uint8_t data[8] = { 0 };

	bus_read(bus, addr, data, len);
	return bus_get_le(data, len);
}

static void wr(struct bus *bus, uint64_t addr, unsigned len, uint64_t v)
{
	uint8_t data[8];

	bus_put_le(data, len, v);
	bus_write(bus, addr, data, len);
}

static uint64_t ecam(unsigned slot, unsigned reg)
{
	return ECAM + (slot << 15) + reg;
}

static void setup(void)
{
	struct pci_host_config c = {
		.pio = &pio,
		.mmio = &mmio,
		.address_port = 0xcf8,
		.data_port = 0xcfc,
		.ecam_base = ECAM,
		.ecam_size = UINT64_C(256) << 20,
		.mem32_base = MEM32,
		.mem32_size = UINT64_C(0x20000000),
		.mem64_base = MEM64,
		.mem64_size = UINT64_C(1) << 36,
	};
	struct pci_ids ids = { .vendor = 0x1af4,
			       .device = 0x1042,
			       .class_code = 0x018000,
			       .revision = 1 };

	pio.nr_ranges = mmio.nr_ranges = 0;
	nr_moves = 0;
	ck_ok(pci_host_init(&host, &c, &err), &err);
	pci_dev_init(&dev, &dev_ops, "test-dev", &ids);
	pci_dev_set_bar(&dev, 0, 0x8000, false);
	pci_dev_set_bar(&dev, 2, 0x100000, true);
	ck_ok(pci_host_attach(&host, &dev, 3, &err), &err);
}

static void teardown(void)
{
	pci_host_fini(&host);
	ck_assert_uint_eq(pio.nr_ranges, 0);
	ck_assert_uint_eq(mmio.nr_ranges, 0);
}

START_TEST(reads_ids_both_ways)
{
	wr(&pio, 0xcf8, 4, 0x80000000 | 3 << 11);
	ck_assert_uint_eq(rd(&pio, 0xcfc, 4), 0x10421af4);
	ck_assert_uint_eq(rd(&pio, 0xcfe, 2), 0x1042);
	ck_assert_uint_eq(rd(&pio, 0xcff, 1), 0x10);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0), 4), 0x10421af4);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 8), 4), 0x01800001);
	/* the host bridge */
	ck_assert_uint_eq(rd(&mmio, ecam(0, 0xa), 2), 0x0600);
}
END_TEST

START_TEST(absent_functions_read_as_ones)
{
	ck_assert_uint_eq(rd(&mmio, ecam(4, 0), 4), 0xffffffff);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0) + (1 << 12), 4), 0xffffffff);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0) + (1 << 20), 4), 0xffffffff);
	wr(&pio, 0xcf8, 4, 3 << 11); /* not enabled */
	ck_assert_uint_eq(rd(&pio, 0xcfc, 4), 0xffffffff);
	wr(&pio, 0xcf8, 4, 0x80000000 | 1 << 16 | 3 << 11);
	ck_assert_uint_eq(rd(&pio, 0xcfc, 4), 0xffffffff);
	/* an access that leaves the function */
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0xffe), 4), 0xffffffff);
	/* no extended capabilities */
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0x100), 4), 0);
}
END_TEST

START_TEST(address_register_takes_only_dwords)
{
	wr(&pio, 0xcf8, 4, 0x80001800);
	wr(&pio, 0xcf9, 1, 0x06);
	wr(&pio, 0xcf8, 2, 0xffff);
	ck_assert_uint_eq(rd(&pio, 0xcf8, 4), 0x80001800);
	ck_assert_uint_eq(rd(&pio, 0xcfb, 1), 0x80);
}
END_TEST

START_TEST(ids_are_read_only)
{
	wr(&mmio, ecam(3, 0), 4, 0);
	wr(&mmio, ecam(3, 8), 8, 0);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0), 4), 0x10421af4);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 8), 4), 0x01800001);
}
END_TEST

START_TEST(bars_are_sized_and_placed)
{
	uint64_t bar0 = rd(&mmio, ecam(3, 0x10), 4);
	uint64_t bar2 = rd(&mmio, ecam(3, 0x18), 8);

	ck_assert_uint_eq(bar0, MEM32);
	ck_assert_uint_eq(bar2, MEM64 | 4);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0x14), 4), 0);
	wr(&mmio, ecam(3, 0x10), 4, 0xffffffff);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0x10), 4), 0xffff8000);
	wr(&mmio, ecam(3, 0x18), 4, 0xffffffff);
	wr(&mmio, ecam(3, 0x1c), 4, 0xffffffff);
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0x18), 8),
			  UINT64_C(0xfffffffffff00004));
}
END_TEST

START_TEST(bar_decodes_only_while_enabled)
{
	ck_assert_uint_eq(rd(&mmio, MEM32 + 8, 4), 0xffffffff);
	wr(&mmio, ecam(3, 4), 2, 2);
	ck_assert_uint_eq(rd(&mmio, MEM32 + 8, 4), 0x5a5a5a5a);
	ck_assert_uint_eq(last_off, 8);
	ck_assert_uint_eq(rd(&mmio, MEM64 + 0x42, 1), 0x5a);
	ck_assert_uint_eq(last_bar, 2);
	ck_assert_uint_eq(last_off, 0x42);
	/* across its end */
	ck_assert_uint_eq(rd(&mmio, MEM32 + 0x7ffe, 4), 0xffffffff);
	wr(&mmio, ecam(3, 4), 2, 0);
	ck_assert_uint_eq(rd(&mmio, MEM32 + 8, 4), 0xffffffff);
	ck_assert_uint_eq(nr_moves, 4);
}
END_TEST

START_TEST(bar_moves)
{
	wr(&mmio, ecam(3, 4), 2, 2);
	wr(&mmio, ecam(3, 0x10), 4, MEM32 + 0x100000);
	ck_assert_uint_eq(rd(&mmio, MEM32, 1), 0xff);
	ck_assert_uint_eq(rd(&mmio, MEM32 + 0x100000, 1), 0x5a);
}
END_TEST

START_TEST(bar_outside_the_windows_is_lost)
{
	static const uint32_t bad[] = { 0,	    0x1000000,	(uint32_t)ECAM,
					0xfee00000, 0xffff8000, 0xdfffc000 };
	size_t i;

	wr(&mmio, ecam(3, 4), 2, 2);
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		wr(&mmio, ecam(3, 0x10), 4, bad[i]);
		ck_assert(bad[i] == 0xdfffc000 ||
			  !dev.bar[0].range.is_attached);
	}
	wr(&mmio, ecam(3, 0x10), 4, MEM32);
	ck_assert_uint_eq(rd(&mmio, MEM32, 1), 0x5a);
}
END_TEST

START_TEST(colliding_bars_stay_apart)
{
	static struct pci_dev other;
	struct pci_ids ids = { .vendor = 1, .device = 2 };

	pci_dev_init(&other, &dev_ops, "other", &ids);
	pci_dev_set_bar(&other, 0, 0x8000, false);
	ck_ok(pci_host_attach(&host, &other, 4, &err), &err);
	wr(&mmio, ecam(3, 4), 2, 2);
	wr(&mmio, ecam(4, 4), 2, 2);
	ck_assert(other.bar[0].range.is_attached);
	wr(&mmio, ecam(4, 0x10), 4, MEM32);
	ck_assert(!other.bar[0].range.is_attached);
	ck_assert(dev.bar[0].range.is_attached);
	/* the first one makes room */
	wr(&mmio, ecam(3, 0x10), 4, MEM32 + 0x200000);
	wr(&mmio, ecam(4, 4), 2, 2);
	ck_assert(other.bar[0].range.is_attached);
	pci_host_detach(&other);
}
END_TEST

START_TEST(any_access_is_harmless)
{
	unsigned off, len;

	for (len = 1; len <= 8; len++)
		for (off = 0; off < 4096; off++) {
			rd(&mmio, ecam(3, off), len);
			wr(&mmio, ecam(3, off), len, UINT64_MAX);
			wr(&mmio, ecam(0, off), len, UINT64_MAX);
		}
	ck_assert_uint_eq(rd(&mmio, ecam(3, 0), 4), 0x10421af4);
}
END_TEST

START_TEST(capabilities_are_chained)
{
	static struct pci_dev d;
	struct pci_ids ids = { .vendor = 1 };
	uint8_t cap[6] = { 0, 0, 1, 2, 3, 4 };
	unsigned a, b;

	pci_dev_init(&d, &dev_ops, "caps", &ids);
	a = pci_dev_add_cap(&d, PCI_CAP_ID_VENDOR, cap, 6);
	b = pci_dev_add_cap(&d, PCI_CAP_ID_MSIX, cap, 4);
	ck_assert_uint_eq(a, 0x40);
	ck_assert_uint_eq(b, 0x48);
	ck_assert_uint_eq(d.cfg[PCI_CAP_PTR], a);
	ck_assert_uint_eq(d.cfg[a], PCI_CAP_ID_VENDOR);
	ck_assert_uint_eq(d.cfg[a + 1], b);
	ck_assert_uint_eq(d.cfg[b + 1], 0);
	ck_assert(d.cfg[PCI_STATUS] & PCI_STATUS_CAPS);
}
END_TEST

START_TEST(slots_are_checked)
{
	static struct pci_dev d;
	struct pci_ids ids = { .vendor = 1 };

	pci_dev_init(&d, &dev_ops, "slots", &ids);
	ck_fails(pci_host_attach(&host, &d, 3, &err), &err, VC_E_LIMIT);
	ck_fails(pci_host_attach(&host, &d, 0, &err), &err, VC_E_LIMIT);
	ck_fails(pci_host_attach(&host, &d, 32, &err), &err, VC_E_LIMIT);
}
END_TEST

static struct bus_range range(uint64_t base, uint64_t size)
{
	static const struct bus_range_ops none;

	return (struct bus_range){ "range", &none, base, size, false };
}

START_TEST(bus_refuses_overlaps)
{
	struct bus_range a = range(0x100, 0x10), b = range(0x108, 0x10),
			 inside = range(0x104, 1), same = range(0x100, 0x10),
			 touching = range(0x110, 0x10),
			 wraps = range(UINT64_MAX, 2);
	static struct bus bus;

	ck_ok(bus_attach(&bus, &a, &err), &err);
	ck_fails(bus_attach(&bus, &b, &err), &err, VC_E_CONFIG);
	ck_fails(bus_attach(&bus, &same, &err), &err, VC_E_CONFIG);
	ck_fails(bus_attach(&bus, &wraps, &err), &err, VC_E_CONFIG);
	ck_ok(bus_attach(&bus, &inside, &err), &err);
	ck_ok(bus_attach(&bus, &touching, &err), &err);
	bus_detach(&bus, &a);
	bus_detach(&bus, &a);
	bus_detach(&bus, &touching);
	bus_detach(&bus, &inside);
	ck_assert_uint_eq(bus.nr_ranges, 0);
}
END_TEST

TEST_SUITE(suite_pci)
{
	Suite *s = suite_create("pci");
	TCase *tc = test_case(s, "host");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_ids_both_ways);
	tcase_add_test(tc, absent_functions_read_as_ones);
	tcase_add_test(tc, address_register_takes_only_dwords);
	tcase_add_test(tc, ids_are_read_only);
	tcase_add_test(tc, bars_are_sized_and_placed);
	tcase_add_test(tc, bar_decodes_only_while_enabled);
	tcase_add_test(tc, bar_moves);
	tcase_add_test(tc, bar_outside_the_windows_is_lost);
	tcase_add_test(tc, colliding_bars_stay_apart);
	tcase_add_test(tc, any_access_is_harmless);
	tcase_add_test(tc, slots_are_checked);
	tc = test_case(s, "parts");
	tcase_add_test(tc, capabilities_are_chained);
	tcase_add_test(tc, bus_refuses_overlaps);
	return s;
}
