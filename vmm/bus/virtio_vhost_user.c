/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm/bus/virtio_pci.h"

static struct vc_vhu_frontend *to_fe(struct vpci_backend *be)
{
	return vc_container_of(be, struct vpci_vhost_user, base)->fe;
}

static uint64_t vhu_features(struct vpci_backend *be)
{
	return vc_vhu_frontend_features(to_fe(be));
}

static unsigned vhu_max_queues(struct vpci_backend *be)
{
	return vc_vhu_frontend_max_queues(to_fe(be));
}

static int vhu_get_config(struct vpci_backend *be, uint32_t off, uint8_t *buf,
			  uint32_t len, struct vc_error *err)
{
	return vc_vhu_frontend_get_config(to_fe(be), off, buf, len, err);
}

static int vhu_set_config(struct vpci_backend *be, uint32_t off,
			  const uint8_t *buf, uint32_t len,
			  struct vc_error *err)
{
	return vc_vhu_frontend_set_config(to_fe(be), off, buf, len, err);
}

static int vhu_set_features(struct vpci_backend *be, uint64_t features,
			    struct vc_error *err)
{
	return vc_vhu_frontend_set_features(to_fe(be), features, err);
}

static int vhu_set_status(struct vpci_backend *be, uint8_t status,
			  struct vc_error *err)
{
	return vc_vhu_frontend_set_status(to_fe(be), status, err);
}

static int vhu_start_queue(struct vpci_backend *be, unsigned qi,
			   const struct vc_vhu_queue *q, struct vc_error *err)
{
	return vc_vhu_frontend_start_queue(to_fe(be), qi, q, err);
}

static int vhu_stop_queue(struct vpci_backend *be, unsigned qi,
			  uint16_t *ret_base, struct vc_error *err)
{
	return vc_vhu_frontend_stop_queue(to_fe(be), qi, ret_base, err);
}

static int vhu_reset(struct vpci_backend *be, struct vc_error *err)
{
	return vc_vhu_frontend_reset(to_fe(be), err);
}

static const struct vpci_backend_ops vhu_ops = {
	.features = vhu_features,
	.max_queues = vhu_max_queues,
	.get_config = vhu_get_config,
	.set_config = vhu_set_config,
	.set_features = vhu_set_features,
	.set_status = vhu_set_status,
	.start_queue = vhu_start_queue,
	.stop_queue = vhu_stop_queue,
	.reset = vhu_reset,
};

void vpci_vhost_user_init(struct vpci_vhost_user *v, struct vc_vhu_frontend *fe)
{
	*v = (struct vpci_vhost_user){ { &vhu_ops }, fe };
}
