/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-console (virtio 1.2, 5.3), one port: two queues and two descriptors.
 *
 * Nothing is buffered here, so that pressure passes through in both directions.
 * Input stays in `in_fd` while the driver has no buffer for it; then the
 * descriptor is not even watched, for epoll reports a hang-up whether or not it
 * was asked to, and would do so for ever. Output that `out_fd` does not take
 * stays in the driver's buffer: its chain is kept, nothing further is popped,
 * and `out_fd` is watched until it takes more.
 *
 * The end of input (end of file, hang-up, any error) ends watching it. When
 * nobody reads the output any more, the guest's output is dropped: a guest must
 * not hang for want of a reader.
 *
 * Regular files and /dev/null cannot be watched and never block: they count as
 * always ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "virtio/device.h"

#define CON_QUEUE_SIZE 256
#define CON_QUEUE_RX 0 /* to the driver */
#define CON_QUEUE_TX 1 /* from the driver */
#define CON_NR_QUEUES 2

/* Reads for one event, so that input cannot starve output. */
#define CON_MAX_READS 16

/* 5.3.4 */
struct con_config {
	le16_t cols, rows;
	le32_t max_nr_ports, emerg_wr;
};
_Static_assert(sizeof(struct con_config) == 12, "virtio 1.2, 5.3.4");

struct con {
	struct vc_virtio_dev dev;
	int in_fd, out_fd; /* owned; -1: none, or ended */
	bool in_always;	   /* ready without being watched */
	struct vc_watch in_watch, out_watch;
	/* output that waits for out_fd */
	bool has_tx;
	uint64_t tx_done; /* bytes of it that were written */
	/* The queue stopped in the middle of a chain: the driver's buffer is
	 * still there when it runs again, and this much of it is out. */
	struct {
		uint64_t done; /* 0: there is none */
		uint64_t bytes;
		uint16_t head;
	} cut;
	struct vc_vq_chain tx, rx;
};

static struct con *to_con(struct vc_virtio_dev *dev)
{
	return vc_container_of(dev, struct con, dev);
}

static uint64_t con_features(const struct vc_virtio_dev *dev)
{
	(void)dev;
	return 0;
}

static size_t con_get_config(const struct vc_virtio_dev *dev, uint8_t *buf)
{
	struct con_config c = { .max_nr_ports = le32_put(1) };

	(void)dev;
	memcpy(buf, &c, sizeof(c));
	return sizeof(c);
}

/* --- to the driver --------------------------------------------------------- */

static void end_input(struct con *con)
{
	vc_watch_remove(&con->in_watch);
	vc_close(&con->in_fd);
}

enum rx_status {
	RX_MORE,      /* read something */
	RX_NO_INPUT,  /* nothing to read now, or ever again */
	RX_NO_BUFFER, /* the driver has no room, or broke the queue */
};

static enum rx_status receive(struct con *con)
{
	struct vc_vq *vq = &con->dev.vq[CON_QUEUE_RX];
	struct vc_vq_chain *c = &con->rx;
	ssize_t n;

	if (!virtio_dev_pop(&con->dev, CON_QUEUE_RX, c))
		return RX_NO_BUFFER;
	if (c->nr_out) {
		virtio_dev_reject(&con->dev, CON_QUEUE_RX,
				  "a readable buffer for input");
		return RX_NO_BUFFER;
	}
	if (!c->nr_in) {
		vc_vq_push(vq, c->head, 0);
		return RX_MORE;
	}
	do
		n = read(con->in_fd, c->in[0].iov_base, c->in[0].iov_len);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		vc_vq_push(vq, c->head, (uint32_t)n);
		return RX_MORE;
	}
	vc_vq_unpop(vq);
	if (n == 0 || errno != EAGAIN)
		end_input(con);
	return RX_NO_INPUT;
}

static void on_in(struct vc_watch *w, uint32_t events)
{
	struct con *con = vc_container_of(w, struct con, in_watch);
	enum rx_status st = RX_MORE;
	int i;

	(void)events;
	for (i = 0; i < CON_MAX_READS && st == RX_MORE; i++)
		st = receive(con);
	if (st == RX_NO_BUFFER)
		vc_watch_remove(&con->in_watch); /* until the next kick */
	vc_vq_notify(&con->dev.vq[CON_QUEUE_RX]);
}

/* The driver has room: look for input. */
static void kick_rx(struct con *con)
{
	struct vc_vq *vq = &con->dev.vq[CON_QUEUE_RX];
	struct vc_error err;

	if (con->in_fd < 0 || con->in_watch.loop)
		return;
	/* what is added while input is watched needs no word about it */
	vc_vq_disable_kicks(vq);
	if (con->in_always) {
		while (con->in_fd >= 0 && receive(con) == RX_MORE)
			;
		vc_vq_notify(vq);
		return;
	}
	if (vc_watch_add(con->dev.loop, &con->in_watch, con->in_fd, EPOLLIN,
			 on_in, &err) < 0) {
		virtio_dev_warn(&con->dev, "%s: input ends", err.msg);
		end_input(con);
	}
}

/* --- from the driver ------------------------------------------------------- */

static void end_output(struct con *con)
{
	vc_watch_remove(&con->out_watch);
	vc_close(&con->out_fd);
}

/* Write what is left of con->tx; false if out_fd takes no more now. */
static bool transmit(struct con *con)
{
	struct vc_vq_chain *c = &con->tx;

	while (con->out_fd >= 0 && c->nr_out) {
		ssize_t n = write(con->out_fd, c->out[0].iov_base,
				  c->out[0].iov_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			end_output(con);
			break;
		}
		con->tx_done += (uint64_t)n;
		vc_iov_skip(&c->out, &c->nr_out, (uint64_t)n);
	}
	vc_vq_push(&con->dev.vq[CON_QUEUE_TX], c->head, 0);
	con->has_tx = false;
	return true;
}

static void on_out(struct vc_watch *w, uint32_t events);

/* False: it cannot be waited for, so output has ended. */
static bool wait_for_out(struct con *con)
{
	struct vc_error err;

	if (con->out_watch.loop ||
	    vc_watch_add(con->dev.loop, &con->out_watch, con->out_fd, EPOLLOUT,
			 on_out, &err) == 0)
		return true;
	virtio_dev_warn(&con->dev, "%s: output ends", err.msg);
	end_output(con);
	return false;
}

/* con->tx is the first chain of a queue that may have been stopped. */
static void resume_cut(struct con *con)
{
	struct vc_vq_chain *c = &con->tx;

	con->tx_done = 0;
	if (con->cut.done && con->cut.head == c->head &&
	    con->cut.bytes == c->out_bytes) {
		con->tx_done = con->cut.done;
		vc_iov_skip(&c->out, &c->nr_out, con->cut.done);
	}
	con->cut.done = 0;
}

/* Write until the driver has no more or out_fd takes no more. */
static void transmit_all(struct con *con)
{
	struct vc_virtio_dev *dev = &con->dev;

	vc_vq_disable_kicks(&dev->vq[CON_QUEUE_TX]);
	while (!con->has_tx || transmit(con)) {
		if (!virtio_dev_pop(dev, CON_QUEUE_TX, &con->tx))
			break;
		if (con->tx.nr_in) {
			virtio_dev_reject(dev, CON_QUEUE_TX,
					  "a writable buffer for output");
			break;
		}
		con->has_tx = true;
		resume_cut(con);
	}
	if (!con->has_tx)
		vc_watch_remove(&con->out_watch);
	else if (!wait_for_out(con))
		transmit_all(con); /* drops it all */
	vc_vq_notify(&dev->vq[CON_QUEUE_TX]);
}

static void on_out(struct vc_watch *w, uint32_t events)
{
	(void)events;
	transmit_all(vc_container_of(w, struct con, out_watch));
}

/* --- the class ------------------------------------------------------------- */

static void con_kick(struct vc_virtio_dev *dev, unsigned qi)
{
	struct con *con = to_con(dev);

	if (qi == CON_QUEUE_RX)
		kick_rx(con);
	else if (!con->out_watch.loop)
		transmit_all(con);
}

static void con_stop_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	struct con *con = to_con(dev);

	if (qi == CON_QUEUE_RX) {
		vc_watch_remove(&con->in_watch);
		return;
	}
	vc_watch_remove(&con->out_watch);
	if (!con->has_tx)
		return;
	con->cut.done = con->tx_done;
	con->cut.bytes = con->tx.out_bytes;
	con->cut.head = con->tx.head;
	vc_vq_unpop(&dev->vq[qi]);
	con->has_tx = false;
}

static void con_reset(struct vc_virtio_dev *dev)
{
	to_con(dev)->cut.done = 0; /* the driver begins anew */
}

static void con_free(struct vc_virtio_dev *dev)
{
	struct con *con = to_con(dev);

	end_input(con);
	end_output(con);
	free(con);
}

static const struct vc_virtio_ops con_ops = {
	.name = "console",
	.id = VC_VIRTIO_ID_CONSOLE,
	.features = con_features,
	.get_config = con_get_config,
	.start_queue = con_kick, /* there may be buffers from before */
	.kick = con_kick,
	.stop_queue = con_stop_queue,
	.free = con_free,
	.reset = con_reset,
};

/* Make `fd` non-blocking and learn if it can be watched. */
static int prepare_fd(struct con *con, int fd, bool *ret_always,
		      struct vc_error *err)
{
	struct vc_watch probe = { .fd = -1 };

	*ret_always = false;
	if (fd < 0)
		return 0;
	if (vc_set_nonblock(fd, err) < 0)
		return -1;
	if (vc_watch_add(con->dev.loop, &probe, fd, 0, NULL, err) < 0) {
		if (err->code != VC_E_SYS || err->sys != EPERM)
			return -1;
		*ret_always = true;
	}
	vc_watch_remove(&probe);
	return 0;
}

int vc_virtio_console_new(struct vc_loop *loop, int in_fd, int out_fd,
			  struct vc_virtio_dev **ret, struct vc_error *err)
{
	vc_auto(vc_virtio) struct vc_virtio_dev *dev = NULL;
	vc_auto_fd int dup_fd = -1;
	bool out_always; /* then write() never says EAGAIN */
	struct vc_error own;
	struct con *con = calloc(1, sizeof(*con));

	if (!con)
		return vc_fail(err, VC_E_SYS, ENOMEM, "virtio-console");
	dev = &con->dev;
	con->in_fd = con->out_fd = -1;
	virtio_dev_init(dev, &con_ops, loop, CON_NR_QUEUES, CON_QUEUE_SIZE);
	/* one number cannot be watched twice */
	if (in_fd >= 0 && in_fd == out_fd) {
		dup_fd = fcntl(out_fd, F_DUPFD_CLOEXEC, 0);
		if (dup_fd < 0)
			return vc_fail(err, VC_E_SYS, errno, "virtio-console");
	}
	if (!err)
		err = &own;
	if (prepare_fd(con, in_fd, &con->in_always, err) < 0 ||
	    prepare_fd(con, out_fd, &out_always, err) < 0)
		return vc_prefix(err, "virtio-console");
	con->in_fd = in_fd;
	con->out_fd = out_fd;
	if (dup_fd >= 0)
		con->out_fd = vc_steal_fd(&dup_fd);
	*ret = vc_steal_ptr(&dev);
	return 0;
}
