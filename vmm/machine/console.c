/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The serial port between the guest and two descriptors of the host.
 *
 * Output goes out in the vCPU thread that sent it, a line at a time; what is not
 * ended by a newline goes out FLUSH_NS later at the latest, by the main thread.
 * A byte at a time would wake the reader, and cost two system calls, for each.
 * The descriptor is often the user's
 * terminal, shared with other programs, so it is not made non-blocking: it is
 * polled first and then given no more than it takes without blocking (a byte
 * for a terminal, PIPE_BUF otherwise). What it does not take waits in the
 * UART's ring, 64 KiB, and the main thread writes when it can. A full ring
 * shows as a busy transmitter; a guest that sends nevertheless waits, at most
 * OUT_WAIT_MS: so a slow reader loses nothing, and one that has stopped reading
 * cannot hold the guest. Then bytes are dropped, and counted, until it reads.
 *
 * Input is read only when the guest has room for it, never more: what it does
 * not take stays in the pipe or the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include "vmm/machine/internal.h"

#define FLUSH_NS 4000000   /* a prompt should not lag */
#define FLUSH_BYTES 512	   /* a long line */
#define OUT_WAIT_MS 1000   /* for a reader that does not read */
#define DRAIN_WAIT_MS 2000 /* the same, at the end of the VM */

/* --- output --------------------------------------------------------------- */

/* Any thread: a watch, which only the main thread may remove, goes when it next
 * fires. */
static void out_end(struct console *c, int sys)
{
	if (c->out_fd >= 0 && sys)
		vc_log(VC_LOG_WARN, "serial", "output ends: errno %d", sys);
	c->out_fd = -1;
}

static bool out_is_ready(struct console *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Write what can be written without blocking. */
static void out_flush(struct console *c)
{
	size_t max = c->out_is_tty ? 1 : PIPE_BUF, n;
	const uint8_t *data;
	ssize_t done;

	while ((n = ns16550_tx_peek(&c->uart, &data))) {
		if (c->out_fd < 0) {
			ns16550_tx_taken(&c->uart, n);
			continue;
		}
		if (c->out_needs_poll && !out_is_ready(c, 0))
			return;
		done = write(c->out_fd, data, n < max ? n : max);
		if (done > 0) {
			ns16550_tx_taken(&c->uart, (size_t)done);
			c->out_is_stalled = false;
		} else if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		} else {
			out_end(c, done < 0 ? errno : 0);
		}
	}
}

static void on_tx(struct ns16550 *u, uint8_t byte)
{
	struct console *c = vc_container_of(u, struct console, uart);

	if (c->out_watch.loop)
		return; /* the main thread is waiting for the descriptor */
	if (byte == '\n' || u->tx_len >= FLUSH_BYTES) {
		out_flush(c);
		if (u->tx_len)
			machine_wake(c->m);
	} else if (!c->is_flush_due) {
		c->is_flush_due = true;
		vc_timer_start(&c->flush_timer, FLUSH_NS);
	}
}

static void on_tx_full(struct ns16550 *u)
{
	struct console *c = vc_container_of(u, struct console, uart);

	out_flush(c);
	if (u->tx_len < NS16550_TX_BYTES || c->out_is_stalled)
		return;
	if (out_is_ready(c, OUT_WAIT_MS))
		out_flush(c);
	c->out_is_stalled = u->tx_len == NS16550_TX_BYTES;
}

static void on_out_ready(struct vc_watch *w, uint32_t events)
{
	struct console *c = vc_container_of(w, struct console, out_watch);

	(void)events;
	pthread_mutex_lock(&c->m->lock);
	out_flush(c);
	if (!c->uart.tx_len)
		vc_watch_remove(w);
	pthread_mutex_unlock(&c->m->lock);
}

static void on_flush_timer(struct vc_timer *t)
{
	struct console *c = vc_container_of(t, struct console, flush_timer);

	pthread_mutex_lock(&c->m->lock);
	c->is_flush_due = false;
	if (!c->out_watch.loop)
		out_flush(c);
	if (c->uart.tx_len && !c->out_watch.loop)
		machine_wake(c->m);
	pthread_mutex_unlock(&c->m->lock);
}

void console_drain(struct console *c)
{
	size_t left;

	out_flush(c);
	while ((left = c->uart.tx_len)) {
		if (out_is_ready(c, DRAIN_WAIT_MS))
			out_flush(c);
		if (c->uart.tx_len == left)
			break;
	}
	if (c->uart.tx_len || c->uart.nr_lost)
		vc_log(VC_LOG_WARN, "serial",
		       "%llu bytes that nobody read are lost",
		       (unsigned long long)(c->uart.tx_len + c->uart.nr_lost));
}

/* --- input ---------------------------------------------------------------- */

static void in_read(struct console *c)
{
	size_t room = ns16550_rx_room(&c->uart);
	uint8_t buf[NS16550_FIFO];
	ssize_t n;

	if (!room || c->in_fd < 0) {
		vc_watch_remove(&c->in_watch);
		return;
	}
	n = read(c->in_fd, buf, room);
	if (n > 0) {
		ns16550_receive(&c->uart, buf, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		vc_watch_remove(&c->in_watch);
		c->in_fd = -1;
	}
}

static void on_in_ready(struct vc_watch *w, uint32_t events)
{
	struct console *c = vc_container_of(w, struct console, in_watch);

	(void)events;
	pthread_mutex_lock(&c->m->lock);
	in_read(c);
	pthread_mutex_unlock(&c->m->lock);
}

static void on_rx_room(struct ns16550 *u)
{
	struct console *c = vc_container_of(u, struct console, uart);

	if (c->in_fd >= 0 && !c->in_watch.loop)
		machine_wake(c->m);
}

/* --- both ----------------------------------------------------------------- */

static int attend_input(struct console *c, struct vc_error *err)
{
	if (c->in_fd < 0 || c->in_watch.loop || !ns16550_rx_room(&c->uart))
		return 0;
	if (!c->in_is_polled) {
		if (vc_watch_add(c->m->loop, &c->in_watch, c->in_fd, EPOLLIN,
				 on_in_ready, err) == 0)
			return 0;
		if (err->sys != EPERM)
			return vc_prefix(err, "serial input");
		c->in_is_polled = true; /* a regular file is always ready */
	}
	in_read(c);
	return 0;
}

int console_attend(struct console *c, struct vc_error *err)
{
	if (attend_input(c, err) < 0)
		return -1;
	if (c->uart.tx_len)
		out_flush(c);
	if (!c->uart.tx_len || c->out_watch.loop)
		return 0;
	if (vc_watch_add(c->m->loop, &c->out_watch, c->out_fd, EPOLLOUT,
			 on_out_ready, err) < 0)
		return vc_prefix(err, "serial output");
	return 0;
}

static const struct ns16550_ops uart_ops = { on_tx, on_tx_full, on_rx_room };

int console_init(struct console *c, struct machine *m, int in_fd, int out_fd,
		 struct vc_error *err)
{
	struct stat st;

	ns16550_init(&c->uart, &uart_ops, &m->bus_hv.base, ARCH_IRQ_COM1,
		     ARCH_PORT_COM1);
	c->m = m;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	if (vc_timer_init(&c->flush_timer, m->loop, on_flush_timer, err) < 0)
		return -1;
	if (out_fd < 0)
		return 0;
	c->out_is_tty = isatty(out_fd);
	c->out_needs_poll = !(fcntl(out_fd, F_GETFL) & O_NONBLOCK) &&
			    !(fstat(out_fd, &st) == 0 && S_ISREG(st.st_mode));
	return 0;
}

void console_fini(struct console *c)
{
	vc_watch_remove(&c->in_watch);
	vc_watch_remove(&c->out_watch);
	if (c->flush_timer.watch.loop)
		vc_timer_fini(&c->flush_timer);
}
