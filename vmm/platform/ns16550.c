/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TI PC16550D data sheet. The transmitter sends in no time into a ring, so
 * THRE is set again as soon as a byte was written, unless the ring is full:
 * then it stays clear, and the guest's driver waits as it would for a slow
 * line.
 *
 * Bytes are received only while the guest takes receive interrupts. A driver
 * clears the FIFOs when it opens the port: what was typed, or piped in, before
 * that stays in the host's hands until somebody listens.
 *
 * The interrupt is a level here and an edge at the interrupt controller. A
 * driver that follows the data sheet leaves its handler only when IIR says
 * "none", which is when the level falls.
 */
#include <assert.h>
#include <string.h>
#include "vmm/platform/ns16550.h"

/* Register offsets; some mean two things. */
#define REG_DATA 0 /* RBR, THR; DLL when DLAB */
#define REG_IER 1  /* DLM when DLAB */
#define REG_IIR 2  /* reads; FCR on writes */
#define REG_LCR 3
#define REG_MCR 4
#define REG_LSR 5
#define REG_MSR 6
#define REG_SCR 7

#define IER_RDI 0x01
#define IER_THRI 0x02
#define IER_RLSI 0x04
#define IER_MASK 0x0f
#define IIR_NONE 0x01
#define IIR_THRI 0x02
#define IIR_RDI 0x04
#define IIR_RLSI 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO_ON 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_KEEP 0xc9 /* trigger level, DMA mode, enable */
#define LCR_DLAB 0x80
#define MCR_OUT2 0x08 /* gates the interrupt in a PC */
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f
#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

static bool tx_is_full(const struct ns16550 *u)
{
	return u->tx_len == NS16550_TX_BYTES;
}

static unsigned rx_capacity(const struct ns16550 *u)
{
	return u->fcr & FCR_ENABLE ? NS16550_FIFO : 1;
}

static unsigned rx_trigger(const struct ns16550 *u)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

/* The interrupt of the highest priority, without the FIFO bits. */
static uint8_t iir(const struct ns16550 *u)
{
	if ((u->ier & IER_RLSI) && u->is_overrun)
		return IIR_RLSI;
	/* below the trigger level the time-out is due at once: nobody gains
	 * from waiting four characters' time */
	if ((u->ier & IER_RDI) && u->rx_len)
		return u->rx_len >= rx_trigger(u) ? IIR_RDI : IIR_TIMEOUT;
	if ((u->ier & IER_THRI) && u->thre_pending)
		return IIR_THRI;
	return IIR_NONE;
}

static void irq_update(struct ns16550 *u)
{
	bool level = iir(u) != IIR_NONE && (u->mcr & MCR_OUT2);
	struct vc_error err;

	/* a failure leaves irq_level behind, so the next change tries again */
	if (level != u->irq_level &&
	    u->hv->ops->set_irq(u->hv, u->irq, level, &err) == 0)
		u->irq_level = level;
}

static void rx_push(struct ns16550 *u, uint8_t byte)
{
	if (u->rx_len >= rx_capacity(u)) {
		u->is_overrun = true;
		return;
	}
	u->rx[(u->rx_start + u->rx_len++) % NS16550_FIFO] = byte;
}

static void tell_rx_room(struct ns16550 *u)
{
	if (ns16550_rx_room(u))
		u->ops->on_rx_room(u);
}

static uint8_t rbr_read(struct ns16550 *u)
{
	uint8_t byte;

	if (!u->rx_len)
		return 0;
	byte = u->rx[u->rx_start];
	u->rx_start = (u->rx_start + 1) % NS16550_FIFO;
	if (!--u->rx_len)
		tell_rx_room(u);
	return byte;
}

static void thr_write(struct ns16550 *u, uint8_t byte)
{
	if (u->mcr & MCR_LOOP) {
		rx_push(u, byte);
		u->thre_pending = true;
		return;
	}
	if (tx_is_full(u))
		u->ops->on_tx_full(u);
	if (tx_is_full(u)) {
		u->nr_lost++;
		return;
	}
	u->tx[(u->tx_start + u->tx_len++) % NS16550_TX_BYTES] = byte;
	u->ops->on_tx(u, byte);
	u->thre_pending = !tx_is_full(u);
}

static void ier_write(struct ns16550 *u, uint8_t value)
{
	uint8_t added = (uint8_t)(value & ~u->ier);

	u->ier = value & IER_MASK;
	if ((added & IER_THRI) && !tx_is_full(u))
		u->thre_pending = true;
	if (added & IER_RDI)
		tell_rx_room(u);
}

static void fcr_write(struct ns16550 *u, uint8_t value)
{
	/* what was sent is on the line already, so only the receiver's FIFO
	 * is cleared */
	if ((value & FCR_CLEAR_RX) || ((value ^ u->fcr) & FCR_ENABLE))
		u->rx_len = 0;
	u->fcr = value & FCR_ENABLE ? value & FCR_KEEP : 0;
	tell_rx_room(u);
}

static uint8_t lsr_read(struct ns16550 *u)
{
	uint8_t v = (uint8_t)((u->rx_len ? LSR_DR : 0) |
			      (u->is_overrun ? LSR_OE : 0) |
			      (tx_is_full(u) ? 0 : LSR_THRE | LSR_TEMT));

	u->is_overrun = false;
	return v;
}

static uint8_t msr_read(const struct ns16550 *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (uint8_t)((u->mcr & 0x02 ? MSR_CTS : 0) |
			 (u->mcr & 0x01 ? MSR_DSR : 0) |
			 (u->mcr & 0x04 ? MSR_RI : 0) |
			 (u->mcr & 0x08 ? MSR_DCD : 0));
}

static uint8_t iir_read(struct ns16550 *u)
{
	uint8_t v = iir(u);

	if (v == IIR_THRI)
		u->thre_pending = false;
	return u->fcr & FCR_ENABLE ? v | IIR_FIFO_ON : v;
}

static uint8_t reg_read(struct ns16550 *u, uint64_t reg)
{
	switch (reg) {
	case REG_DATA:
		return u->lcr & LCR_DLAB ? u->dll : rbr_read(u);
	case REG_IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR:
		return iir_read(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return lsr_read(u);
	case REG_MSR:
		return msr_read(u);
	default:
		return u->scr;
	}
}

static void reg_write(struct ns16550 *u, uint64_t reg, uint8_t value)
{
	switch (reg) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = value;
		else
			thr_write(u, value);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = value;
		else
			ier_write(u, value);
		break;
	case REG_IIR:
		fcr_write(u, value);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & MCR_MASK;
		tell_rx_room(u);
		break;
	case REG_SCR:
		u->scr = value;
		break;
	default: /* LSR, MSR: read-only */
		break;
	}
}

/* A wider access is one of bytes, in order, as on the ISA bus. */
static void uart_read(struct bus_range *r, uint64_t off, uint8_t *data,
		      unsigned len)
{
	struct ns16550 *u = vc_container_of(r, struct ns16550, range);

	while (len--)
		*data++ = reg_read(u, off++);
	irq_update(u);
}

static void uart_write(struct bus_range *r, uint64_t off, const uint8_t *data,
		       unsigned len)
{
	struct ns16550 *u = vc_container_of(r, struct ns16550, range);

	while (len--)
		reg_write(u, off++, *data++);
	irq_update(u);
}

static const struct bus_range_ops uart_ops = { uart_read, uart_write };

void ns16550_init(struct ns16550 *u, const struct ns16550_ops *ops,
		  struct bus_hv *hv, unsigned irq, uint16_t port)
{
	memset(u, 0, sizeof(*u));
	u->range = (struct bus_range){ "ns16550", &uart_ops, port,
				       NS16550_PORTS, false };
	u->ops = ops;
	u->hv = hv;
	u->irq = irq;
	u->dll = 0x0c; /* 9600 baud */
}

size_t ns16550_tx_peek(const struct ns16550 *u, const uint8_t **ret_data)
{
	size_t to_end = NS16550_TX_BYTES - u->tx_start;

	*ret_data = u->tx + u->tx_start;
	return u->tx_len < to_end ? u->tx_len : to_end;
}

void ns16550_tx_taken(struct ns16550 *u, size_t n)
{
	assert(n <= u->tx_len);
	if (n && tx_is_full(u))
		u->thre_pending = true;
	u->tx_start = (u->tx_start + n) % NS16550_TX_BYTES;
	u->tx_len -= n;
	irq_update(u);
}

size_t ns16550_rx_room(const struct ns16550 *u)
{
	if (!(u->ier & IER_RDI) || (u->mcr & MCR_LOOP) ||
	    u->rx_len >= rx_capacity(u))
		return 0;
	return rx_capacity(u) - u->rx_len;
}

void ns16550_receive(struct ns16550 *u, const uint8_t *data, size_t n)
{
	assert(n <= ns16550_rx_room(u));
	while (n--)
		rx_push(u, *data++);
	irq_update(u);
}
