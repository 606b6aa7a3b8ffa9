/* SPDX-License-Identifier: BSD-3-Clause */
/* Power: the ACPI PM1 block and the two reset ports. */
#include <string.h>
#include "tests/lib/test.h"
#include "tests/unit/vmm/fake_hv.h"
#include "vmm/platform/acpi_pm.h"
#include "vmm/platform/reset.h"

#define SCI 9

static struct fake_hv hv;
static struct bus pio;
static struct acpi_pm pm;
static struct reset rst;
static unsigned nr_poweroffs, nr_resets;
static struct vc_error err;

static void on_poweroff(void *opaque)
{
	ck_assert_ptr_eq(opaque, &pm);
	nr_poweroffs++;
}

static void on_reset(void *opaque)
{
	ck_assert_ptr_eq(opaque, &rst);
	nr_resets++;
}

static void setup(void)
{
	struct acpi_pm_config c = { 0x600, 0x604, SCI, 5, on_poweroff, &pm };
	struct reset_ports ports = { 0x60, 0x64, 0xcf9 };

	fake_hv_init(&hv);
	pio.nr_ranges = 0;
	nr_poweroffs = nr_resets = 0;
	acpi_pm_init(&pm, &c, &hv.base);
	reset_init(&rst, &ports, on_reset, &rst);
	ck_ok(bus_attach(&pio, &pm.event_range, &err), &err);
	ck_ok(bus_attach(&pio, &pm.control_range, &err), &err);
	ck_ok(bus_attach(&pio, &rst.i8042_data, &err), &err);
	ck_ok(bus_attach(&pio, &rst.i8042_command, &err), &err);
	ck_ok(bus_attach(&pio, &rst.reset_control, &err), &err);
}

static uint64_t rd(uint16_t port, unsigned len)
{
	uint8_t data[8] = { 0 };

	bus_read(&pio, port, data, len);
	return bus_get_le(data, len);
}

static void wr(uint16_t port, unsigned len, uint64_t v)
{
	uint8_t data[8];

	bus_put_le(data, len, v);
	bus_write(&pio, port, data, len);
}

START_TEST(power_button_raises_the_sci)
{
	acpi_pm_press_power_button(&pm);
	ck_assert(!hv.level[SCI]); /* not enabled */
	wr(0x602, 2, 0x100);
	ck_assert(hv.level[SCI]);
	ck_assert_uint_eq(rd(0x600, 2), 0x100);
	wr(0x600, 2, 0x001); /* clears another bit */
	ck_assert(hv.level[SCI]);
	wr(0x600, 2, 0x100);
	ck_assert(!hv.level[SCI]);
	ck_assert_uint_eq(rd(0x600, 4), 0x1000000);
	acpi_pm_press_power_button(&pm);
	ck_assert(hv.level[SCI]);
	wr(0x601, 1, 0x01); /* byte-wise */
	ck_assert(!hv.level[SCI]);
}
END_TEST

START_TEST(sleep_type_five_powers_off)
{
	ck_assert_uint_eq(rd(0x604, 2), 1); /* SCI_EN */
	wr(0x604, 2, 5 << 10);		    /* without SLP_EN */
	ck_assert_uint_eq(nr_poweroffs, 0);
	ck_assert_uint_eq(rd(0x604, 2), 5 << 10 | 1);
	wr(0x604, 2, 3 << 10 | 1 << 13);
	ck_assert_uint_eq(nr_poweroffs, 0);
	wr(0x604, 2, 5 << 10 | 1 << 13);
	ck_assert_uint_eq(nr_poweroffs, 1);
	ck_assert_uint_eq(rd(0x604, 2) & 1 << 13, 0);
}
END_TEST

START_TEST(sleep_can_be_written_by_bytes)
{
	wr(0x605, 1, (5 << 10 | 1 << 13) >> 8);
	ck_assert_uint_eq(nr_poweroffs, 1);
}
END_TEST

START_TEST(resets)
{
	ck_assert_uint_eq(rd(0x64, 1), 0);
	ck_assert_uint_eq(rd(0x60, 1), 0);
	wr(0x64, 1, 0xaa); /* self-test: nobody there */
	wr(0x64, 1, 0xff);
	wr(0x60, 1, 0xfe);
	ck_assert_uint_eq(nr_resets, 0);
	wr(0x64, 1, 0xfe);
	ck_assert_uint_eq(nr_resets, 1);
	wr(0xcf9, 1, 0x02);
	ck_assert_uint_eq(nr_resets, 1);
	ck_assert_uint_eq(rd(0xcf9, 1), 0x02);
	wr(0xcf9, 1, 0x06);
	ck_assert_uint_eq(nr_resets, 2);
}
END_TEST

START_TEST(any_access_is_harmless)
{
	static const struct {
		uint16_t port;
		unsigned size;
	} ranges[] = { { 0x600, 4 }, { 0x604, 2 }, { 0x60, 1 }, { 0x64, 1 } };
	unsigned i, off, len;

	for (i = 0; i < VC_ARRAY_SIZE(ranges); i++)
		for (off = 0; off < ranges[i].size; off++)
			for (len = 1; len <= 8; len++) {
				wr((uint16_t)(ranges[i].port + off), len,
				   UINT64_C(0x0101010101010101));
				rd((uint16_t)(ranges[i].port + off), len);
			}
	ck_assert_uint_eq(nr_poweroffs + nr_resets, 0);
}
END_TEST

TEST_SUITE(suite_pm)
{
	Suite *s = suite_create("pm");
	TCase *tc = test_case(s, "power");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, power_button_raises_the_sci);
	tcase_add_test(tc, sleep_type_five_powers_off);
	tcase_add_test(tc, sleep_can_be_written_by_bytes);
	tcase_add_test(tc, resets);
	tcase_add_test(tc, any_access_is_harmless);
	return s;
}
