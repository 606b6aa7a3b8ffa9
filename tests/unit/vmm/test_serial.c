/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "tests/lib/test.h"
#include "tests/unit/vmm/fake_hv.h"
#include "vmm/platform/ns16550.h"

#define IRQ 4
#define PORT 0x3f8

static struct fake_hv hv;
static struct bus pio;
static struct ns16550 uart;
static char out[4096];
static size_t out_len;
static bool is_taking;
static unsigned nr_room, nr_full;
static uint8_t last_byte;
static struct vc_error err;

static void take_all(void)
{
	const uint8_t *data;
	size_t n;

	while ((n = ns16550_tx_peek(&uart, &data))) {
		if (n > sizeof(out) - out_len)
			n = sizeof(out) - out_len;
		if (!n)
			out_len = 0;
		memcpy(out + out_len, data, n);
		out_len += n;
		ns16550_tx_taken(&uart, n);
	}
}

static void on_tx(struct ns16550 *u, uint8_t byte)
{
	ck_assert_uint_gt(u->tx_len, 0);
	last_byte = byte;
	if (is_taking)
		take_all();
}

static void on_room(struct ns16550 *u)
{
	(void)u;
	nr_room++;
}

static void on_full(struct ns16550 *u)
{
	ck_assert_uint_eq(u->tx_len, NS16550_TX_BYTES);
	nr_full++;
}

static const struct ns16550_ops ops = { on_tx, on_full, on_room };

static void setup(void)
{
	fake_hv_init(&hv);
	pio.nr_ranges = 0;
	out_len = nr_room = nr_full = 0;
	is_taking = true;
	ns16550_init(&uart, &ops, &hv.base, IRQ, PORT);
	ck_ok(bus_attach(&pio, &uart.range, &err), &err);
}

static uint8_t in(unsigned reg)
{
	uint8_t v;

	bus_read(&pio, PORT + reg, &v, 1);
	return v;
}

static void outb(unsigned reg, uint8_t v)
{
	bus_write(&pio, PORT + reg, &v, 1);
}

/* As Linux opens the port. */
static void open_port(uint8_t ier)
{
	outb(2, 0x01);
	outb(2, 0x07);
	outb(2, 0x00);
	outb(3, 0x03);
	outb(4, 0x0b);
	outb(2, 0x81);
	outb(1, ier);
}

START_TEST(sends_bytes)
{
	const char *p;

	for (p = "hello"; *p; p++) {
		ck_assert_uint_eq(in(5) & 0x60, 0x60);
		outb(0, (uint8_t)*p);
	}
	ck_assert_uint_eq(last_byte, 'o');
	ck_assert_uint_eq(out_len, 5);
	ck_assert_mem_eq(out, "hello", 5);
}
END_TEST

START_TEST(divisor_and_scratch_are_kept)
{
	outb(3, 0x83);
	outb(0, 0x01);
	outb(1, 0x02);
	ck_assert_uint_eq(in(0), 1);
	ck_assert_uint_eq(in(1), 2);
	outb(3, 0x03);
	ck_assert_uint_eq(in(1), 0);
	outb(7, 0xa5);
	ck_assert_uint_eq(in(7), 0xa5);
	ck_assert_uint_eq(out_len, 0);
}
END_TEST

START_TEST(transmit_interrupt_comes_and_goes)
{
	open_port(0);
	ck_assert(!hv.level[IRQ]);
	outb(1, 0x02);
	ck_assert(hv.level[IRQ]);
	ck_assert_uint_eq(in(2), 0xc2);
	ck_assert(!hv.level[IRQ]); /* reading IIR takes it */
	ck_assert_uint_eq(in(2), 0xc1);
	outb(0, 'x');
	ck_assert(hv.level[IRQ]);
	ck_assert_uint_eq(hv.nr_raised[IRQ], 2);
	outb(1, 0x00);
	ck_assert(!hv.level[IRQ]);
	/* enabling again asks again: Linux tests for this */
	outb(1, 0x02);
	ck_assert_uint_eq(in(2) & 0xf, 0x02);
}
END_TEST

START_TEST(receives_with_interrupt)
{
	open_port(0x01);
	ck_assert_uint_gt(nr_room, 0);
	ck_assert_uint_eq(ns16550_rx_room(&uart), 16);
	ns16550_receive(&uart, (const uint8_t *)"ab", 2);
	ck_assert(hv.level[IRQ]);
	ck_assert_uint_eq(in(2), 0xcc); /* below the trigger: time-out */
	ck_assert_uint_eq(in(5) & 1, 1);
	ck_assert_uint_eq(in(0), 'a');
	ck_assert(hv.level[IRQ]);
	nr_room = 0;
	ck_assert_uint_eq(in(0), 'b');
	ck_assert_uint_eq(nr_room, 1);
	ck_assert(!hv.level[IRQ]);
	ck_assert_uint_eq(in(5) & 1, 0);
	ck_assert_uint_eq(in(0), 0);
	ns16550_receive(&uart, (const uint8_t *)"0123456789abcdef", 16);
	ck_assert_uint_eq(in(2), 0xc4);
	ck_assert_uint_eq(ns16550_rx_room(&uart), 0);
}
END_TEST

START_TEST(no_input_before_a_driver_listens)
{
	ck_assert_uint_eq(ns16550_rx_room(&uart), 0);
	open_port(0);
	ck_assert_uint_eq(ns16550_rx_room(&uart), 0);
	outb(1, 0x01);
	ck_assert_uint_eq(ns16550_rx_room(&uart), 16);
	outb(2, 0x00); /* no FIFO */
	ck_assert_uint_eq(ns16550_rx_room(&uart), 1);
	outb(4, 0x1b); /* loopback */
	ck_assert_uint_eq(ns16550_rx_room(&uart), 0);
}
END_TEST

START_TEST(interrupt_is_gated_by_out2)
{
	open_port(0x01);
	ns16550_receive(&uart, (const uint8_t *)"a", 1);
	outb(4, 0x03);
	ck_assert(!hv.level[IRQ]);
	outb(4, 0x0b);
	ck_assert(hv.level[IRQ]);
}
END_TEST

START_TEST(loops_back)
{
	outb(4, 0x1a); /* LOOP, OUT2, RTS: what Linux probes with */
	ck_assert_uint_eq(in(6) & 0xf0, 0x90);
	outb(0, 'z');
	ck_assert_uint_eq(out_len, 0);
	ck_assert_uint_eq(in(0), 'z');
	/* one byte too many */
	outb(0, '1');
	outb(0, '2');
	ck_assert_uint_eq(in(5) & 0x03, 0x03);
	ck_assert_uint_eq(in(5) & 0x03, 0x01);
	outb(4, 0x0b);
	ck_assert_uint_eq(in(6) & 0xf0, 0xb0);
}
END_TEST

START_TEST(full_ring_looks_busy_and_loses_only_then)
{
	size_t i;

	open_port(0x02);
	is_taking = false;
	for (i = 0; i < NS16550_TX_BYTES; i++)
		outb(0, (uint8_t)i);
	in(2);
	ck_assert_uint_eq(in(5) & 0x60, 0);
	ck_assert_uint_eq(uart.nr_lost, 0);
	ck_assert(!hv.level[IRQ]);
	outb(0, 'x');
	ck_assert_uint_eq(uart.nr_lost, 1);
	ck_assert_uint_eq(nr_full, 1);
	take_all();
	ck_assert_uint_eq(in(5) & 0x60, 0x60);
	ck_assert(hv.level[IRQ]);
}
END_TEST

START_TEST(any_access_is_harmless)
{
	uint8_t data[8];
	unsigned reg, len, v;

	for (v = 0; v < 256; v++)
		for (reg = 0; reg < 8; reg++)
			for (len = 1; reg + len <= 8; len++) {
				memset(data, (int)v, sizeof(data));
				bus_write(&pio, PORT + reg, data, len);
				bus_read(&pio, PORT + reg, data, len);
			}
	ck_assert_uint_eq(uart.nr_lost, 0);
}
END_TEST

TEST_SUITE(suite_serial)
{
	Suite *s = suite_create("serial");
	TCase *tc = test_case(s, "ns16550");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, sends_bytes);
	tcase_add_test(tc, divisor_and_scratch_are_kept);
	tcase_add_test(tc, transmit_interrupt_comes_and_goes);
	tcase_add_test(tc, receives_with_interrupt);
	tcase_add_test(tc, no_input_before_a_driver_listens);
	tcase_add_test(tc, interrupt_is_gated_by_out2);
	tcase_add_test(tc, loops_back);
	tcase_add_test(tc, full_ring_looks_busy_and_loses_only_then);
	tcase_add_test(tc, any_access_is_harmless);
	return s;
}
