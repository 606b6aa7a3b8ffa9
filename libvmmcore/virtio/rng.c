/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-rng (virtio 1.2, 5.4): the driver queues buffers, the device fills
 * them with random bytes. It may fill less than it is offered, which bounds
 * what one request can make the host do.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include "virtio/device.h"

#define RNG_QUEUE_SIZE 256
#define RNG_MAX_BYTES 65536u /* filled in one request */

struct rng {
	struct vc_virtio_dev dev;
	struct vc_vq_chain chain;
};

static uint64_t rng_features(const struct vc_virtio_dev *dev)
{
	(void)dev;
	return 0;
}

static size_t rng_get_config(const struct vc_virtio_dev *dev, uint8_t *buf)
{
	(void)dev;
	(void)buf;
	return 0;
}

/* Fill up to `max` bytes of the chain; returns how many. Straight into the
 * guest's memory: nothing is read back from there. */
static uint32_t fill(struct rng *rng, size_t max)
{
	const struct vc_vq_chain *c = &rng->chain;
	size_t done = 0;
	int i;

	for (i = 0; i < c->nr_in && done < max; i++) {
		uint8_t *p = c->in[i].iov_base;
		size_t left = c->in[i].iov_len;

		if (left > max - done)
			left = max - done;
		while (left) {
			ssize_t n = getrandom(p, left, 0);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0) {
				virtio_dev_warn(&rng->dev,
						"getrandom failed, errno %d",
						errno);
				return (uint32_t)done;
			}
			p += n;
			left -= (size_t)n;
			done += (size_t)n;
		}
	}
	return (uint32_t)done;
}

static void rng_kick(struct vc_virtio_dev *dev, unsigned qi)
{
	struct rng *rng = vc_container_of(dev, struct rng, dev);
	struct vc_vq *vq = &dev->vq[qi];

	vc_vq_disable_kicks(vq);
	while (virtio_dev_pop(dev, qi, &rng->chain)) {
		if (rng->chain.nr_out) {
			virtio_dev_reject(dev, qi, "a readable buffer");
			break;
		}
		vc_vq_push(vq, rng->chain.head, fill(rng, RNG_MAX_BYTES));
	}
	vc_vq_notify(vq);
}

static void rng_stop_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	/* a kick leaves nothing in flight */
	(void)dev;
	(void)qi;
}

static void rng_free(struct vc_virtio_dev *dev)
{
	free(vc_container_of(dev, struct rng, dev));
}

static const struct vc_virtio_ops rng_ops = {
	.name = "rng",
	.id = VC_VIRTIO_ID_RNG,
	.features = rng_features,
	.get_config = rng_get_config,
	.kick = rng_kick,
	.stop_queue = rng_stop_queue,
	.free = rng_free,
};

int vc_virtio_rng_new(struct vc_loop *loop, struct vc_virtio_dev **ret,
		      struct vc_error *err)
{
	struct rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return vc_fail(err, VC_E_SYS, ENOMEM, "virtio-rng");
	virtio_dev_init(&rng->dev, &rng_ops, loop, 1, RNG_QUEUE_SIZE);
	*ret = &rng->dev;
	return 0;
}
