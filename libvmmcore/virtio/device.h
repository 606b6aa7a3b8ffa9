/* SPDX-License-Identifier: BSD-3-Clause */
/* What the device classes share with each other and nobody else. */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <vmmcore/virtio.h>

/* Warnings a second that a guest can make one device write. */
#define VIRTIO_WARN_BURST 5

/* Fill the base of a device: `nr_queues` stopped queues. `dev` is zeroed. */
void virtio_dev_init(struct vc_virtio_dev *dev, const struct vc_virtio_ops *ops,
		     struct vc_loop *loop, unsigned nr_queues,
		     uint16_t queue_size_max);

/* Take the next chain of queue `qi`; false if there is none or the queue broke,
 * which has then been dealt with. */
bool virtio_dev_pop(struct vc_virtio_dev *dev, unsigned qi,
		    struct vc_vq_chain *chain);

/* The chain just popped breaks the rules of the device: guest error. */
void virtio_dev_reject(struct vc_virtio_dev *dev, unsigned qi, const char *why);

/* Warn, at a limited rate, about the host's side of things. */
void virtio_dev_warn(struct vc_virtio_dev *dev, const char *fmt, ...)
	VC_PRINTF(2, 3);

#endif
