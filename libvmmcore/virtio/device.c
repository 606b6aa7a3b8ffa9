/* SPDX-License-Identifier: BSD-3-Clause */
/* What every virtio device has: its queues, its name and its patience. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include "virtio/device.h"

void virtio_dev_init(struct vc_virtio_dev *dev, const struct vc_virtio_ops *ops,
		     struct vc_loop *loop, unsigned nr_queues,
		     uint16_t queue_size_max)
{
	unsigned i;

	assert(nr_queues && nr_queues <= VC_VIRTIO_MAX_QUEUES);
	dev->ops = ops;
	dev->loop = loop;
	dev->nr_queues = nr_queues;
	dev->queue_size_max = queue_size_max;
	snprintf(dev->name, sizeof(dev->name), "virtio-%s", ops->name);
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++)
		vc_vq_init(&dev->vq[i]);
}

struct vc_virtio_dev *vc_virtio_free(struct vc_virtio_dev *dev)
{
	if (dev)
		dev->ops->free(dev);
	return NULL;
}

void vc_virtio_guest_error(struct vc_virtio_dev *dev, unsigned qi,
			   const char *why)
{
	assert(qi < dev->nr_queues);
	dev->nr_guest_errors++;
	if (vc_ratelimit_ok(&dev->warn_rl, VIRTIO_WARN_BURST))
		vc_log(VC_LOG_WARN, dev->name, "queue %u: driver error: %s", qi,
		       why);
	vc_vq_mark_broken(&dev->vq[qi], why);
	if (dev->on_broken)
		dev->on_broken(dev, qi);
}

bool virtio_dev_pop(struct vc_virtio_dev *dev, unsigned qi,
		    struct vc_vq_chain *chain)
{
	struct vc_vq *vq = &dev->vq[qi];
	bool was_broken = vq->is_broken;

	switch (vc_vq_pop(vq, chain)) {
	case VC_VQ_OK:
		return true;
	case VC_VQ_EMPTY:
		break;
	case VC_VQ_BROKEN:
		/* told once; a driver may go on kicking it */
		if (!was_broken)
			vc_virtio_guest_error(dev, qi, vq->broken_why);
		break;
	}
	return false;
}

void virtio_dev_reject(struct vc_virtio_dev *dev, unsigned qi, const char *why)
{
	vc_vq_unpop(&dev->vq[qi]);
	vc_virtio_guest_error(dev, qi, why);
}

void virtio_dev_warn(struct vc_virtio_dev *dev, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	if (!vc_ratelimit_ok(&dev->warn_rl, VIRTIO_WARN_BURST))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vc_log(VC_LOG_WARN, dev->name, "%s", text);
}
