/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio device classes. A device sees its queues, guest memory, its loop and
 * its configuration; it knows neither KVM nor PCI nor the process it is in.
 * The vhost-user backend (vhost-user.h) drives it through vc_virtio_ops.
 */
#ifndef VMMCORE_VIRTIO_H
#define VMMCORE_VIRTIO_H

#include <vmmcore/disk.h>
#include <vmmcore/log.h>
#include <vmmcore/loop.h>
#include <vmmcore/virtqueue.h>

VC_BEGIN_DECLS

#define VC_VIRTIO_MAX_QUEUES 64
#define VC_VIRTIO_MAX_CONFIG 256 /* bytes of device configuration */

/* Device IDs (virtio 1.2, 5). */
enum vc_virtio_id {
	VC_VIRTIO_ID_NET = 1,
	VC_VIRTIO_ID_BLK = 2,
	VC_VIRTIO_ID_CONSOLE = 3,
	VC_VIRTIO_ID_RNG = 4,
	VC_VIRTIO_ID_VSOCK = 19,
};

struct vc_virtio_dev;

struct vc_virtio_ops {
	const char *name; /* "blk": also the word of `vmm device` */
	enum vc_virtio_id id;
	/* Device-specific feature bits offered (0..23, 50..63). The ring's and
	 * VERSION_1 are added by the backend. */
	uint64_t (*features)(const struct vc_virtio_dev *dev);
	/* Configuration space: the whole of it, little-endian; returns its
	 * length, <= VC_VIRTIO_MAX_CONFIG. */
	size_t (*get_config)(const struct vc_virtio_dev *dev, uint8_t *buf);
	/* Queue `qi` runs now: dev->vq[qi]. May be NULL. */
	void (*start_queue)(struct vc_virtio_dev *dev, unsigned qi);
	/* The driver kicked queue `qi`; pop all there is. */
	void (*kick)(struct vc_virtio_dev *dev, unsigned qi);
	/* Finish or take back every chain of queue `qi`, so that none is in
	 * flight on return. */
	void (*stop_queue)(struct vc_virtio_dev *dev, unsigned qi);
	/* Free the device. All queues are stopped. */
	void (*free)(struct vc_virtio_dev *dev);
	/* optional, may be NULL: */
	void (*set_config)(struct vc_virtio_dev *dev, size_t off,
			   const uint8_t *buf, size_t len);
	/* All queues stopped, features forgotten: as after power on. */
	void (*reset)(struct vc_virtio_dev *dev);
};

/* Base of every device; the concrete type has it as its first member. */
struct vc_virtio_dev {
	const struct vc_virtio_ops *ops;
	unsigned nr_queues;
	uint16_t queue_size_max;
	uint64_t features;    /* acknowledged by the driver */
	struct vc_loop *loop; /* borrowed */
	struct vc_vq vq[VC_VIRTIO_MAX_QUEUES];
	char name[32]; /* "virtio-blk0", for the log */
	uint64_t nr_guest_errors;
	struct vc_ratelimit warn_rl;
	/* Set by whoever drives the device; called when a queue broke or the
	 * configuration changed. May be NULL. */
	void (*on_broken)(struct vc_virtio_dev *dev, unsigned qi);
	void (*on_config_change)(struct vc_virtio_dev *dev);
	void *owner; /* of the driver of the device */
};

static inline bool vc_virtio_has(const struct vc_virtio_dev *dev, unsigned bit)
{
	return dev->features >> bit & 1;
}

struct vc_virtio_dev *vc_virtio_free(struct vc_virtio_dev *dev); /* NULL ok */
VC_DEFINE_CLEANUP(vc_virtio, struct vc_virtio_dev *, vc_virtio_free)

/* For devices: count a driver's mistake, warn at a limited rate, mark queue
 * `qi` broken and tell the owner. `why` is a constant text. */
void vc_virtio_guest_error(struct vc_virtio_dev *dev, unsigned qi,
			   const char *why);

/* --- the classes. `loop` is borrowed; fds are owned on success ----------- */

/* virtio-blk, virtio 1.2 5.2. The disk is owned on success. */
struct vc_virtio_blk_opts {
	struct vc_disk *disk;
	const char *serial;  /* <= 20 bytes, GET_ID; NULL: empty */
	unsigned nr_queues;  /* 1..VC_VIRTIO_MAX_QUEUES; 0 = 1 */
	uint32_t block_size; /* 512..4096, power of two; 0 = 512 */
	bool guard_probe; /* raw found by probing: refuse guest writes that would
			   * make the first sector look like another format */
};
int vc_virtio_blk_new(struct vc_loop *loop, const struct vc_virtio_blk_opts *o,
		      struct vc_virtio_dev **ret,
		      struct vc_error *err) VC_MUST_CHECK;

/* virtio-console, 5.3, one port: bytes of in_fd to the guest, of the guest to
 * out_fd. Either may be -1; both may be the same. They are made non-blocking.
 * The process must ignore SIGPIPE: out_fd may be a pipe nobody reads. */
int vc_virtio_console_new(struct vc_loop *loop, int in_fd, int out_fd,
			  struct vc_virtio_dev **ret,
			  struct vc_error *err) VC_MUST_CHECK;

/* virtio-rng, 5.4: getrandom(2). */
int vc_virtio_rng_new(struct vc_loop *loop, struct vc_virtio_dev **ret,
		      struct vc_error *err) VC_MUST_CHECK;

/* virtio-vsock, 5.10, over Unix sockets: a client of `listen_fd` says
 * "CONNECT <port>\n", gets "OK <host port>\n" and then the stream to the guest.
 * A guest that connects to host port P is joined to what `dial_fd` gives:
 * a SOCK_SEQPACKET on which the device sends le32 P and gets back le32 status
 * (0 or an errno) with, for 0, a connected stream socket. -1: all such are
 * refused. */
struct vc_virtio_vsock_opts {
	uint64_t guest_cid; /* >= 3, < 2^32 - 1 */
	int listen_fd;	    /* listening stream socket, or -1 */
	int dial_fd;	    /* or -1 */
};
int vc_virtio_vsock_new(struct vc_loop *loop,
			const struct vc_virtio_vsock_opts *o,
			struct vc_virtio_dev **ret,
			struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
