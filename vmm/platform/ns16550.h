/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The 16550A UART, registers only: where bytes come from and go to is its
 * owner's business. All calls under the machine's device lock.
 */
#ifndef VMM_PLATFORM_NS16550_H
#define VMM_PLATFORM_NS16550_H

#include "vmm/bus/hv.h"
#include "vmm/bus/bus.h"

#define NS16550_PORTS 8
#define NS16550_FIFO 16
#define NS16550_TX_BYTES 65536 /* written by the guest, not yet taken */

struct ns16550;
struct ns16550_ops {
	/* `byte` was sent: it and what was before can be taken, by
	 * ns16550_tx_peek(). */
	void (*on_tx)(struct ns16550 *u, uint8_t byte);
	/* No room for another byte: it is lost if none is taken now. */
	void (*on_tx_full)(struct ns16550 *u);
	/* ns16550_rx_room() is no longer 0. */
	void (*on_rx_room)(struct ns16550 *u);
};

struct ns16550 {
	struct bus_range range;
	const struct ns16550_ops *ops;
	struct bus_hv *hv; /* borrowed */
	unsigned irq;
	bool irq_level;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	bool thre_pending, is_overrun;
	uint8_t rx[NS16550_FIFO];
	unsigned rx_start, rx_len;
	uint8_t tx[NS16550_TX_BYTES];
	size_t tx_start, tx_len;
	uint64_t nr_lost; /* bytes the owner did not take in time */
};

/* The caller attaches u->range. */
void ns16550_init(struct ns16550 *u, const struct ns16550_ops *ops,
		  struct bus_hv *hv, unsigned irq, uint16_t port);

/* The oldest bytes sent: their number (0: none), *ret_data borrowed. */
size_t ns16550_tx_peek(const struct ns16550 *u, const uint8_t **ret_data);
void ns16550_tx_taken(struct ns16550 *u, size_t n);

/* How many bytes the guest can receive: 0 while its driver does not listen. */
size_t ns16550_rx_room(const struct ns16550 *u);
/* At most as many as there is room for. */
void ns16550_receive(struct ns16550 *u, const uint8_t *data, size_t n);

#endif
