/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm/device/device.h"

static int rng_create(struct device *d, struct vc_loop *loop,
		      struct vc_virtio_dev **ret, struct vc_error *err)
{
	(void)d;
	return vc_virtio_rng_new(loop, ret, err);
}

const struct device_class device_rng = {
	.name = "rng",
	.help = "random numbers (virtio-rng)",
	.role = VC_ROLE_RNG,
	.create = rng_create,
};
