/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest without a VM: a driver in plain memory that drives a real device
 * over the real vhost-user backend and frontend.
 *
 *	struct fg *fg = fg_new(FG_RAM_DEFAULT);
 *	vc_virtio_rng_new(fg_loop(fg), &dev, &err);
 *	fg_attach(fg, dev, 0);
 *	fg_queue(fg, 0, 64);
 *	fg_chain(fg, 0, (struct fg_seg[]){ { FG_IN, buf, 512 } }, 1);
 *	fg_kick(fg, 0);
 *	head = fg_used(fg, 0, &len);
 *	fg_free(fg);
 *
 * The device's loop runs in a thread of its own from fg_attach() to fg_free();
 * make the device before, and touch it after fg_detach() only. Whatever goes
 * wrong that a test did not ask for fails the test (ck_abort).
 */
#ifndef TESTS_VIRTIO_FAKE_GUEST_H
#define TESTS_VIRTIO_FAKE_GUEST_H

#include <vmmcore/vhost-user.h>
#include <vmmcore/virtio.h>

#define FG_RAM_DEFAULT ((size_t)4 << 20)
#define FG_RAM_GPA UINT64_C(0x100000) /* below it there is no RAM */
#define FG_TIMEOUT_MS 20000
#define FG_MAX_QUEUE_SIZE 1024

struct fg;

struct fg *fg_new(size_t ram_bytes);
void fg_free(struct fg *fg); /* detaches; frees the device */
struct vc_loop *fg_loop(struct fg *fg);

/* Connect to `dev` (owned from here on), start its thread, and acknowledge all
 * the features it offers but those in `but_not` (bits as UINT64_C(1) << n). */
void fg_attach(struct fg *fg, struct vc_virtio_dev *dev, uint64_t but_not);
/* The same with a device in another process, behind the socket `sock` (owned).
 * Its end is that process's affair. */
void fg_connect(struct fg *fg, int sock, uint64_t but_not);
/* Hang up and stop the thread; the device lives on until fg_free(). */
void fg_detach(struct fg *fg);
uint64_t fg_features(const struct fg *fg); /* acknowledged */
struct vc_vhu_frontend *fg_frontend(struct fg *fg);
void fg_config(struct fg *fg, uint32_t off, void *buf, uint32_t len);
/* Wait for the device to say that its configuration changed; false if it does
 * not within `timeout_ms`. */
bool fg_config_changed(struct fg *fg, int timeout_ms);
/* Device reset: every queue is gone. */
void fg_reset(struct fg *fg);

/* --- memory ------------------------------------------------------------- */

/* `size` zeroed bytes of guest RAM, until fg_free(). */
gpa_t fg_alloc(struct fg *fg, size_t size, size_t align);
/* The host's view of [gpa, gpa + len), which must be RAM. */
void *fg_ptr(struct fg *fg, gpa_t gpa, size_t len);
gpa_t fg_ram_end(const struct fg *fg);
/* One more region, after fg_attach(): the device gets a new memory table. */
void fg_add_ram(struct fg *fg, gpa_t gpa, size_t size);

/* --- well-behaved driver -------------------------------------------------- */

/* Make queue `qi` of `size` descriptors and start it. */
void fg_queue(struct fg *fg, unsigned qi, uint16_t size);
void fg_queue_stop(struct fg *fg, unsigned qi);
/* Start it again where it stopped. */
void fg_queue_resume(struct fg *fg, unsigned qi);

enum fg_dir { FG_OUT, FG_IN }; /* the device reads; the device writes */
struct fg_seg {
	enum fg_dir dir;
	void *buf; /* OUT: copied now; IN: filled by fg_used() */
	uint32_t len;
};
/* Make a chain of `n` segments available: returns its head. The IN buffers are
 * borrowed until fg_used() returns this head. */
uint16_t fg_chain(struct fg *fg, unsigned qi, const struct fg_seg *segs,
		  size_t n);
/* The same in an indirect table. */
uint16_t fg_chain_indirect(struct fg *fg, unsigned qi,
			   const struct fg_seg *segs, size_t n);
/* Kick, whether the device wants it or not. */
void fg_kick(struct fg *fg, unsigned qi);
/* Does the device want a kick for what became available since the last one? */
bool fg_wants_kick(struct fg *fg, unsigned qi);
/* Take the next used chain: its head, and in *ret_len what the device says it
 * wrote; waits for an interrupt. Fails the test after FG_TIMEOUT_MS. */
uint16_t fg_used(struct fg *fg, unsigned qi, uint32_t *ret_len);
/* The same, but -1 if nothing comes within `timeout_ms`. */
int fg_used_within(struct fg *fg, unsigned qi, uint32_t *ret_len,
		   int timeout_ms);
/* Chain, kick and used in one: the length written. */
uint32_t fg_do(struct fg *fg, unsigned qi, const struct fg_seg *segs, size_t n);
/* Interrupts of queue `qi` so far. */
uint64_t fg_irqs(struct fg *fg, unsigned qi);
/* Ask for no interrupts (a hint), or for them again. Without the event index. */
void fg_irq_enable(struct fg *fg, unsigned qi, bool enable);

/* --- hostile driver: the rings as they are --------------------------------- */

#define FG_DESC_NEXT 1u
#define FG_DESC_WRITE 2u
#define FG_DESC_INDIRECT 4u

struct fg_ring {
	gpa_t desc, avail, used;
	uint16_t size;
	uint16_t avail_idx; /* the driver's own count */
};
struct fg_ring *fg_ring(struct fg *fg, unsigned qi);
/* Entry `i` of the table at `table` (a ring's desc, or an indirect one). */
void fg_desc(struct fg *fg, gpa_t table, unsigned i, uint64_t addr,
	     uint32_t len, uint16_t flags, uint16_t next);
/* Make `head` available, whatever it is. Nothing of it is remembered: fg_used()
 * gives it back without copying. */
void fg_avail(struct fg *fg, unsigned qi, uint16_t head);
/* Store the index of the avail ring alone. */
void fg_avail_idx(struct fg *fg, unsigned qi, uint16_t idx);

/* Wait until the device has called a queue broken (SET_VRING_ERR): false if it
 * does not within `timeout_ms`. */
bool fg_broken(struct fg *fg, int timeout_ms);
/* Kick queue `qi` and expect it to break. */
void fg_expect_broken(struct fg *fg, unsigned qi);

#endif
