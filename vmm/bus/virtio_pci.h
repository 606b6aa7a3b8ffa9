/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio over PCI, modern only (virtio 1.2, 4.1): one PCI function in front of
 * one virtio device somewhere else. The device is reached through a small
 * table of functions: a vhost-user frontend in the machine process, a fake in
 * the unit tests.
 *
 * All calls under the machine's device lock.
 */
#ifndef VMM_BUS_VIRTIO_PCI_H
#define VMM_BUS_VIRTIO_PCI_H

#include <vmmcore/vhost-user.h>
#include "vmm/bus/msix.h"

#define VPCI_MAX_QUEUES VC_VIRTIO_MAX_QUEUES
#define VPCI_QUEUE_SIZE 256 /* offered; the driver may choose less */

/* The device behind it. A function that fails means that the device is gone or
 * broke its protocol, except get_config and set_config: it may refuse those. */
struct vpci_backend;
struct vpci_backend_ops {
	uint64_t (*features)(struct vpci_backend *be);
	unsigned (*max_queues)(struct vpci_backend *be);
	int (*get_config)(struct vpci_backend *be, uint32_t off, uint8_t *buf,
			  uint32_t len, struct vc_error *err);
	int (*set_config)(struct vpci_backend *be, uint32_t off,
			  const uint8_t *buf, uint32_t len,
			  struct vc_error *err);
	int (*set_features)(struct vpci_backend *be, uint64_t features,
			    struct vc_error *err);
	int (*set_status)(struct vpci_backend *be, uint8_t status,
			  struct vc_error *err);
	int (*start_queue)(struct vpci_backend *be, unsigned qi,
			   const struct vc_vhu_queue *q, struct vc_error *err);
	int (*stop_queue)(struct vpci_backend *be, unsigned qi,
			  uint16_t *ret_base, struct vc_error *err);
	int (*reset)(struct vpci_backend *be, struct vc_error *err);
};
struct vpci_backend {
	const struct vpci_backend_ops *ops;
};

/* A vhost-user frontend as the device behind. */
struct vpci_vhost_user {
	struct vpci_backend base;
	struct vc_vhu_frontend *fe; /* borrowed */
};
void vpci_vhost_user_init(struct vpci_vhost_user *v,
			  struct vc_vhu_frontend *fe);

struct vpci_queue {
	uint16_t size;
	bool is_enabled; /* by the driver */
	bool is_running; /* in the backend */
	bool has_ioeventfd;
	gpa_t ioeventfd_gpa;
	uint64_t desc, driver, device;
	int kick_fd; /* owned */
};

struct vpci {
	struct pci_dev pci;
	struct msix msix;  /* source 0: configuration; 1 + qi: queue qi */
	struct bus_hv *hv; /* borrowed */
	const struct vc_mem *mem; /* borrowed */
	struct vpci_backend *backend;
	char name[32];
	/* called at most once, when the device behind fails */
	void (*on_failure)(void *opaque, const struct vc_error *err);
	void *opaque;
	bool has_failed;

	uint64_t offered;  /* feature bits */
	uint64_t features; /* the driver's */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint8_t status, isr, config_generation;
	unsigned pci_cfg_cap; /* offset of the window capability */
	unsigned nr_queues;
	struct vpci_queue queues[VPCI_MAX_QUEUES];
};

struct vpci_opts {
	const char *name;	      /* "virtio-blk0"; copied */
	unsigned virtio_id;	      /* enum vc_virtio_id */
	struct bus_hv *hv;	      /* borrowed, outlives the device */
	const struct vc_mem *mem;     /* borrowed, as hv */
	struct vpci_backend *backend; /* borrowed, as hv */
	void (*on_failure)(void *opaque, const struct vc_error *err);
	void *opaque;
};
/* Not yet on a bus: pci_host_attach(host, &ret->pci, slot). Before sealing. */
int vpci_new(const struct vpci_opts *o, struct vpci **ret,
	     struct vc_error *err) VC_MUST_CHECK;
/* Takes it off the bus; does not talk to the backend. NULL is fine. */
struct vpci *vpci_free(struct vpci *v);

/* The device's configuration changed: tell the driver. */
void vpci_config_changed(struct vpci *v);
/* A queue broke: DEVICE_NEEDS_RESET (2.1.2). */
void vpci_needs_reset(struct vpci *v);

#endif
