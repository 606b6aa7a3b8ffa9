/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transport's life: reset -> FEATURES_OK (the features go to the backend)
 * -> DRIVER_OK (every enabled queue starts in the backend) -> status 0 (queues
 * stop, the backend is reset).
 *
 * The structures of virtio 1.2, 4.1.4 lie in one BAR. The driver may access the
 * common configuration with any width at any address: the registers a write
 * touches are patched byte-wise and then stored one by one, so that no access
 * is special and none can do more than a well-formed one.
 *
 * The data path: the queue's notification address is an ioeventfd, the eventfd
 * of the queue's MSI-X source goes to the backend as its call descriptor. While
 * a queue has no ioeventfd (its BAR is off, or it has not started), a write to
 * the address ends here and is passed on by hand if the queue runs.
 *
 * A backend that fails is reported once; from then on the device is dead: it
 * needs a reset and nothing more is asked of it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>
#include "vmm/bus/virtio_pci.h"

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_DEVICE 0x1040 /* + virtio id */
#define VIRTIO_SUBSYS 0x40   /* + virtio id; 4.1.2.1: 0x40 or higher */

/* Device status (2.1). */
#define STATUS_ACKNOWLEDGE 0x01
#define STATUS_DRIVER 0x02
#define STATUS_DRIVER_OK 0x04
#define STATUS_FEATURES_OK 0x08
#define STATUS_NEEDS_RESET 0x40
#define STATUS_FAILED 0x80

#define ISR_QUEUE 0x1
#define ISR_CONFIG 0x2

/* Feature bits that a backend may offer: the device's own (0..23, 50..63) and
 * those of the ring that need nothing of the transport. */
#define FEATURES_DEVICE (((UINT64_C(1) << 24) - 1) | ~((UINT64_C(1) << 50) - 1))
#define FEATURES_RING                               \
	(UINT64_C(1) << VC_VIRTIO_F_INDIRECT_DESC | \
	 UINT64_C(1) << VC_VIRTIO_F_EVENT_IDX)
#define FEATURE_VERSION_1 (UINT64_C(1) << VC_VIRTIO_F_VERSION_1)

/* The BAR. Each structure has a page of its own. */
#define THE_BAR 0
#define BAR_BYTES 0x8000
#define COMMON_OFF 0x0000
#define ISR_OFF 0x1000
#define DEVICE_OFF 0x2000
#define NOTIFY_OFF 0x3000
#define MSIX_OFF 0x4000
#define PBA_OFF 0x6000
#define AREA_BYTES 0x1000
#define NOTIFY_MULTIPLIER 4

/* virtio capabilities (4.1.4). */
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR 3
#define CAP_DEVICE 4
#define CAP_PCI_CFG 5
#define CAP_BYTES 16
#define CAP_LONG_BYTES 20 /* with the multiplier or the data window */

/* --- the backend ---------------------------------------------------------- */

void vpci_needs_reset(struct vpci *v)
{
	if (v->status & STATUS_NEEDS_RESET)
		return;
	v->status |= STATUS_NEEDS_RESET;
	if (v->status & STATUS_DRIVER_OK) {
		v->isr |= ISR_CONFIG;
		msix_signal(&v->msix, 0);
	}
}

void vpci_config_changed(struct vpci *v)
{
	v->config_generation++;
	if (v->status & STATUS_DRIVER_OK) {
		v->isr |= ISR_CONFIG;
		msix_signal(&v->msix, 0);
	}
}

static void backend_failed(struct vpci *v, struct vc_error *err)
{
	v->has_failed = true;
	vpci_needs_reset(v);
	v->on_failure(v->opaque, err);
}

static void backend_status(struct vpci *v)
{
	struct vc_error err;

	if (!v->has_failed &&
	    v->backend->ops->set_status(v->backend, v->status, &err) < 0)
		backend_failed(v, &err);
}

/* --- queues --------------------------------------------------------------- */

static void kick(const struct vpci_queue *q)
{
	uint64_t one = 1;

	/* cannot block: a count that is full is a kick already */
	if (write(q->kick_fd, &one, sizeof(one)) < 0)
		return;
}

static void ioeventfd_remove(struct vpci *v, struct vpci_queue *q)
{
	struct vc_error err;

	if (q->has_ioeventfd &&
	    v->hv->ops->remove_ioeventfd(v->hv, q->kick_fd, q->ioeventfd_gpa, 0,
					 &err) < 0)
		vc_log(VC_LOG_WARN, v->name, "%s", err.msg);
	q->has_ioeventfd = false;
}

static void ioeventfd_update(struct vpci *v, unsigned qi)
{
	const struct bus_range *r = &v->pci.bar[THE_BAR].range;
	struct vpci_queue *q = &v->queues[qi];
	bool want = q->is_running && r->is_attached;
	gpa_t gpa = r->base + NOTIFY_OFF + NOTIFY_MULTIPLIER * qi;
	struct vc_error err;

	if (want && q->has_ioeventfd && q->ioeventfd_gpa == gpa)
		return;
	ioeventfd_remove(v, q);
	if (!want)
		return;
	q->ioeventfd_gpa = gpa;
	if (v->hv->ops->add_ioeventfd(v->hv, q->kick_fd, gpa, 0, &err) < 0)
		vc_log(VC_LOG_WARN, v->name, "slow notifications: %s", err.msg);
	else
		q->has_ioeventfd = true;
}

/* 2.7: alignment and size of the three parts; all of it RAM. */
static bool queue_is_valid(const struct vpci *v, const struct vpci_queue *q)
{
	return vc_is_pow2(q->size) && q->size <= VPCI_QUEUE_SIZE &&
	       !(q->desc % 16) && !(q->driver % 2) && !(q->device % 4) &&
	       vc_mem_contains(v->mem, q->desc, 16 * (uint64_t)q->size) &&
	       vc_mem_contains(v->mem, q->driver, 6 + 2 * (uint64_t)q->size) &&
	       vc_mem_contains(v->mem, q->device, 6 + 8 * (uint64_t)q->size);
}

static void queue_start(struct vpci *v, unsigned qi)
{
	struct vpci_queue *q = &v->queues[qi];
	struct vc_vhu_queue vq = {
		.size = q->size,
		.desc = q->desc,
		.avail = q->driver,
		.used = q->device,
		.kick_fd = q->kick_fd,
		.call_fd = msix_get_fd(&v->msix, 1 + qi),
	};
	struct vc_error err;

	if (v->has_failed || q->is_running)
		return;
	if (!queue_is_valid(v, q)) {
		vpci_needs_reset(v);
		return;
	}
	if (v->backend->ops->start_queue(v->backend, qi, &vq, &err) < 0) {
		backend_failed(v, &err);
		return;
	}
	q->is_running = true;
	ioeventfd_update(v, qi);
}

static void queue_stop(struct vpci *v, unsigned qi)
{
	struct vpci_queue *q = &v->queues[qi];
	struct vc_error err;
	uint16_t base;

	if (!q->is_running)
		return;
	q->is_running = false;
	ioeventfd_remove(v, q);
	if (!v->has_failed &&
	    v->backend->ops->stop_queue(v->backend, qi, &base, &err) < 0)
		backend_failed(v, &err);
}

static void queue_forget(struct vpci *v, unsigned qi)
{
	struct vpci_queue *q = &v->queues[qi];
	uint64_t count;

	q->size = VPCI_QUEUE_SIZE;
	q->is_enabled = false;
	q->desc = q->driver = q->device = 0;
	msix_set_vector(&v->msix, 1 + qi, MSIX_NO_VECTOR);
	msix_take_pending(&v->msix, 1 + qi);
	/* a kick nobody waits for any more */
	if (read(q->kick_fd, &count, sizeof(count)) < 0)
		return;
}

/* --- device status -------------------------------------------------------- */

static void device_reset(struct vpci *v)
{
	bool was_used = v->status != 0;
	struct vc_error err;
	unsigned i;

	for (i = 0; i < v->nr_queues; i++)
		queue_stop(v, i);
	v->status = 0;
	if (was_used && !v->has_failed &&
	    v->backend->ops->reset(v->backend, &err) < 0)
		backend_failed(v, &err);
	for (i = 0; i < v->nr_queues; i++)
		queue_forget(v, i);
	msix_set_vector(&v->msix, 0, MSIX_NO_VECTOR);
	msix_take_pending(&v->msix, 0);
	v->features = 0;
	v->device_feature_select = v->driver_feature_select = 0;
	v->queue_select = 0;
	v->isr = 0;
	v->status =
		0; /* drivers wait for it, so also when the backend failed */
	backend_status(v);
}

static bool features_accept(struct vpci *v)
{
	struct vc_error err;

	if ((v->features & ~v->offered) || !(v->features & FEATURE_VERSION_1) ||
	    v->has_failed)
		return false;
	if (v->backend->ops->set_features(v->backend, v->features, &err) < 0) {
		backend_failed(v, &err);
		return false;
	}
	return true;
}

static void status_write(struct vpci *v, uint8_t value)
{
	uint8_t added = (uint8_t)(value & ~v->status);
	unsigned i;

	if (!value) {
		device_reset(v);
		return;
	}
	/* the driver takes no bit back but by a reset, and NEEDS_RESET is the
	 * device's (2.1) */
	v->status |=
		added & (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
	if ((added & STATUS_FEATURES_OK) && features_accept(v))
		v->status |= STATUS_FEATURES_OK;
	if ((added & STATUS_DRIVER_OK) && (v->status & STATUS_FEATURES_OK)) {
		v->status |= STATUS_DRIVER_OK;
		for (i = 0; i < v->nr_queues; i++)
			if (v->queues[i].is_enabled)
				queue_start(v, i);
	}
	backend_status(v);
}

/* --- common configuration (4.1.4.3) --------------------------------------- */

enum common_reg {
	R_DEVICE_FEATURE_SELECT,
	R_DEVICE_FEATURE,
	R_DRIVER_FEATURE_SELECT,
	R_DRIVER_FEATURE,
	R_CONFIG_VECTOR,
	R_NUM_QUEUES,
	R_STATUS,
	R_GENERATION,
	R_QUEUE_SELECT,
	R_QUEUE_SIZE,
	R_QUEUE_VECTOR,
	R_QUEUE_ENABLE,
	R_QUEUE_NOTIFY_OFF,
	R_QUEUE_DESC,
	R_QUEUE_DRIVER,
	R_QUEUE_DEVICE,
};
static const struct {
	uint8_t off, len;
} common_regs[] = {
	[R_DEVICE_FEATURE_SELECT] = { 0, 4 },
	[R_DEVICE_FEATURE] = { 4, 4 },
	[R_DRIVER_FEATURE_SELECT] = { 8, 4 },
	[R_DRIVER_FEATURE] = { 12, 4 },
	[R_CONFIG_VECTOR] = { 16, 2 },
	[R_NUM_QUEUES] = { 18, 2 },
	[R_STATUS] = { 20, 1 },
	[R_GENERATION] = { 21, 1 },
	[R_QUEUE_SELECT] = { 22, 2 },
	[R_QUEUE_SIZE] = { 24, 2 },
	[R_QUEUE_VECTOR] = { 26, 2 },
	[R_QUEUE_ENABLE] = { 28, 2 },
	[R_QUEUE_NOTIFY_OFF] = { 30, 2 },
	[R_QUEUE_DESC] = { 32, 8 },
	[R_QUEUE_DRIVER] = { 40, 8 },
	[R_QUEUE_DEVICE] = { 48, 8 },
};
#define COMMON_BYTES 56

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static uint64_t queue_reg_get(const struct vpci *v, enum common_reg reg)
{
	unsigned qi = v->queue_select;
	const struct vpci_queue *q;

	/* a queue that is not there has size 0 (4.1.4.3.1) */
	if (qi >= v->nr_queues)
		return reg == R_QUEUE_VECTOR ? MSIX_NO_VECTOR : 0;
	q = &v->queues[qi];
	switch ((int)reg) {
	case R_QUEUE_SIZE:
		return q->size;
	case R_QUEUE_VECTOR:
		return msix_get_vector(&v->msix, 1 + qi);
	case R_QUEUE_ENABLE:
		return q->is_enabled;
	case R_QUEUE_NOTIFY_OFF:
		return qi;
	case R_QUEUE_DESC:
		return q->desc;
	case R_QUEUE_DRIVER:
		return q->driver;
	default:
		return q->device;
	}
}

static uint64_t common_get(const struct vpci *v, enum common_reg reg)
{
	switch ((int)reg) {
	case R_DEVICE_FEATURE_SELECT:
		return v->device_feature_select;
	case R_DEVICE_FEATURE:
		return feature_word(v->offered, v->device_feature_select);
	case R_DRIVER_FEATURE_SELECT:
		return v->driver_feature_select;
	case R_DRIVER_FEATURE:
		return feature_word(v->features, v->driver_feature_select);
	case R_CONFIG_VECTOR:
		return msix_get_vector(&v->msix, 0);
	case R_NUM_QUEUES:
		return v->nr_queues;
	case R_STATUS:
		return v->status;
	case R_GENERATION:
		return v->config_generation;
	case R_QUEUE_SELECT:
		return v->queue_select;
	default:
		return queue_reg_get(v, reg);
	}
}

static void driver_feature_set(struct vpci *v, uint32_t word)
{
	uint32_t select = v->driver_feature_select;

	/* settled once FEATURES_OK is (3.1.1) */
	if (select >= 2 || (v->status & STATUS_FEATURES_OK))
		return;
	v->features &= ~(UINT64_C(0xffffffff) << 32 * select);
	v->features |= (uint64_t)word << 32 * select;
}

static void queue_reg_set(struct vpci *v, enum common_reg reg, uint64_t value)
{
	unsigned qi = v->queue_select;
	struct vpci_queue *q;

	if (qi >= v->nr_queues)
		return;
	q = &v->queues[qi];
	if (reg == R_QUEUE_VECTOR) {
		msix_set_vector(&v->msix, 1 + qi, (uint16_t)value);
		return;
	}
	/* an enabled queue stays as it is until the reset (4.1.4.3.2) */
	if (q->is_enabled)
		return;
	switch ((int)reg) {
	case R_QUEUE_SIZE:
		q->size = (uint16_t)value;
		break;
	case R_QUEUE_ENABLE:
		q->is_enabled = value == 1;
		if (q->is_enabled && (v->status & STATUS_DRIVER_OK))
			queue_start(v, qi);
		break;
	case R_QUEUE_DESC:
		q->desc = value;
		break;
	case R_QUEUE_DRIVER:
		q->driver = value;
		break;
	case R_QUEUE_DEVICE:
		q->device = value;
		break;
	default: /* read-only */
		break;
	}
}

static void common_set(struct vpci *v, enum common_reg reg, uint64_t value)
{
	switch ((int)reg) {
	case R_DEVICE_FEATURE_SELECT:
		v->device_feature_select = (uint32_t)value;
		break;
	case R_DRIVER_FEATURE_SELECT:
		v->driver_feature_select = (uint32_t)value;
		break;
	case R_DRIVER_FEATURE:
		driver_feature_set(v, (uint32_t)value);
		break;
	case R_CONFIG_VECTOR:
		msix_set_vector(&v->msix, 0, (uint16_t)value);
		break;
	case R_STATUS:
		status_write(v, (uint8_t)value);
		break;
	case R_QUEUE_SELECT:
		v->queue_select = (uint16_t)value;
		break;
	case R_DEVICE_FEATURE:
	case R_NUM_QUEUES:
	case R_GENERATION: /* read-only */
		break;
	default:
		queue_reg_set(v, reg, value);
	}
}

static void common_read(struct vpci *v, uint64_t off, uint8_t *data,
			unsigned len)
{
	uint8_t image[COMMON_BYTES];
	unsigned i;

	for (i = 0; i < VC_ARRAY_SIZE(common_regs); i++)
		bus_put_le(image + common_regs[i].off, common_regs[i].len,
			   common_get(v, (enum common_reg)i));
	memset(data, 0, len);
	if (off < COMMON_BYTES)
		memcpy(data, image + off, vc_min_u64(len, COMMON_BYTES - off));
}

static void common_write(struct vpci *v, uint64_t off, const uint8_t *data,
			 unsigned len)
{
	unsigned i, j;

	for (i = 0; i < VC_ARRAY_SIZE(common_regs); i++) {
		unsigned reg_off = common_regs[i].off;
		unsigned reg_len = common_regs[i].len;
		uint8_t bytes[8];

		if (off + len <= reg_off || off >= reg_off + reg_len)
			continue;
		bus_put_le(bytes, reg_len, common_get(v, (enum common_reg)i));
		for (j = 0; j < reg_len; j++)
			if (reg_off + j >= off && reg_off + j < off + len)
				bytes[j] = data[reg_off + j - off];
		common_set(v, (enum common_reg)i, bus_get_le(bytes, reg_len));
	}
}

/* --- the other structures ------------------------------------------------- */

static void isr_read(struct vpci *v, uint64_t off, uint8_t *data, unsigned len)
{
	unsigned i;

	memset(data, 0, len);
	if (off)
		return;
	/* Without MSI-X nobody listens to the queues' eventfds: what they hold
	 * is what happened since the last look. */
	for (i = 0; i < v->nr_queues; i++)
		if (!msix_is_enabled(&v->msix) &&
		    msix_take_pending(&v->msix, 1 + i))
			v->isr |= ISR_QUEUE;
	data[0] = v->isr;
	v->isr = 0;
}

/* A backend may refuse what a driver asks of its configuration; a backend that
 * died says so by hanging up. So neither ends anything here. */
static void device_read(struct vpci *v, uint64_t off, uint8_t *data,
			unsigned len)
{
	struct vc_error err;

	memset(data, 0, len);
	if (v->has_failed || !vc_range_ok(off, len, VC_VIRTIO_MAX_CONFIG))
		return;
	if (v->backend->ops->get_config(v->backend, (uint32_t)off, data, len,
					&err) < 0) {
		memset(data, 0, len);
		vc_log(VC_LOG_DEBUG, v->name, "%s", err.msg);
	}
}

static void device_write(struct vpci *v, uint64_t off, const uint8_t *data,
			 unsigned len)
{
	struct vc_error err;

	if (v->has_failed || !vc_range_ok(off, len, VC_VIRTIO_MAX_CONFIG))
		return;
	if (v->backend->ops->set_config(v->backend, (uint32_t)off, data, len,
					&err) < 0)
		vc_log(VC_LOG_DEBUG, v->name, "%s", err.msg);
}

static void notify_write(struct vpci *v, uint64_t off)
{
	uint64_t qi = off / NOTIFY_MULTIPLIER;

	if (qi < v->nr_queues && v->queues[qi].is_running)
		kick(&v->queues[qi]);
}

/* --- the BAR -------------------------------------------------------------- */

static void vpci_bar_read(struct pci_dev *d, unsigned bar, uint64_t off,
			  uint8_t *data, unsigned len)
{
	struct vpci *v = vc_container_of(d, struct vpci, pci);
	uint64_t in_area = off % AREA_BYTES;

	assert(bar == THE_BAR);
	memset(data, 0, len);
	switch (off - in_area) {
	case COMMON_OFF:
		common_read(v, in_area, data, len);
		break;
	case ISR_OFF:
		isr_read(v, in_area, data, len);
		break;
	case DEVICE_OFF:
		device_read(v, in_area, data, len);
		break;
	case MSIX_OFF:
		msix_table_read(&v->msix, in_area, data, len);
		break;
	case PBA_OFF:
		msix_pba_read(&v->msix, in_area, data, len);
		break;
	default: /* the notification area is write-only */
		break;
	}
}

static void vpci_bar_write(struct pci_dev *d, unsigned bar, uint64_t off,
			   const uint8_t *data, unsigned len)
{
	struct vpci *v = vc_container_of(d, struct vpci, pci);
	uint64_t in_area = off % AREA_BYTES;

	assert(bar == THE_BAR);
	switch (off - in_area) {
	case COMMON_OFF:
		common_write(v, in_area, data, len);
		break;
	case DEVICE_OFF:
		device_write(v, in_area, data, len);
		break;
	case NOTIFY_OFF:
		notify_write(v, in_area);
		break;
	case MSIX_OFF:
		msix_table_write(&v->msix, in_area, data, len);
		break;
	default:
		break;
	}
}

static void vpci_bar_moved(struct pci_dev *d, unsigned bar)
{
	struct vpci *v = vc_container_of(d, struct vpci, pci);
	unsigned i;

	(void)bar;
	for (i = 0; i < v->nr_queues; i++)
		ioeventfd_update(v, i);
}

/* --- the window into the BAR (4.1.4.9) ------------------------------------ */

/* Does a configuration access touch the window's data, and does the window lie
 * in the BAR? */
static bool window_hit(const struct vpci *v, unsigned off, unsigned len,
		       uint32_t *ret_off, uint32_t *ret_len)
{
	unsigned data = v->pci_cfg_cap + CAP_BYTES;
	const struct pci_dev *d = &v->pci;

	*ret_off = (uint32_t)pci_dev_get(d, v->pci_cfg_cap + 8, 4);
	*ret_len = (uint32_t)pci_dev_get(d, v->pci_cfg_cap + 12, 4);
	return off < data + 4 && off + len > data &&
	       d->cfg[v->pci_cfg_cap + 4] == THE_BAR &&
	       (*ret_len == 1 || *ret_len == 2 || *ret_len == 4) &&
	       vc_range_ok(*ret_off, *ret_len, BAR_BYTES);
}

static void vpci_cfg_reading(struct pci_dev *d, unsigned off, unsigned len)
{
	struct vpci *v = vc_container_of(d, struct vpci, pci);
	uint32_t bar_off, bar_len;

	if (window_hit(v, off, len, &bar_off, &bar_len))
		vpci_bar_read(d, THE_BAR, bar_off,
			      d->cfg + v->pci_cfg_cap + CAP_BYTES, bar_len);
}

static void vpci_cfg_written(struct pci_dev *d, unsigned off, unsigned len)
{
	struct vpci *v = vc_container_of(d, struct vpci, pci);
	uint32_t bar_off, bar_len;

	msix_cfg_written(&v->msix, off, len);
	if (window_hit(v, off, len, &bar_off, &bar_len))
		vpci_bar_write(d, THE_BAR, bar_off,
			       d->cfg + v->pci_cfg_cap + CAP_BYTES, bar_len);
}

static const struct pci_dev_ops vpci_ops = {
	.bar_read = vpci_bar_read,
	.bar_write = vpci_bar_write,
	.cfg_reading = vpci_cfg_reading,
	.cfg_written = vpci_cfg_written,
	.bar_moved = vpci_bar_moved,
};

/* --- creation ------------------------------------------------------------- */

static const struct {
	unsigned virtio_id, class_code;
	unsigned min_queues; /* that a driver of the class counts on */
} classes[] = {
	{ VC_VIRTIO_ID_NET, 0x020000, 2 },
	{ VC_VIRTIO_ID_BLK, 0x018000, 1 },
	{ VC_VIRTIO_ID_CONSOLE, 0x078000, 2 },
	{ VC_VIRTIO_ID_RNG, 0xff0000, 1 },
	{ VC_VIRTIO_ID_VSOCK, 0x028000, 3 },
};
#define CLASS_OTHER 0xff0000

static unsigned add_cap(struct vpci *v, uint8_t type, uint32_t off,
			uint32_t bytes, unsigned cap_len)
{
	uint8_t cap[CAP_LONG_BYTES] = { 0 };

	cap[2] = (uint8_t)cap_len;
	cap[3] = type;
	cap[4] = THE_BAR;
	bus_put_le(cap + 8, 4, off);
	bus_put_le(cap + 12, 4, bytes);
	if (type == CAP_NOTIFY)
		bus_put_le(cap + 16, 4, NOTIFY_MULTIPLIER);
	return pci_dev_add_cap(&v->pci, PCI_CAP_ID_VENDOR, cap, cap_len);
}

static void add_caps(struct vpci *v)
{
	uint8_t *wmask;

	add_cap(v, CAP_COMMON, COMMON_OFF, COMMON_BYTES, CAP_BYTES);
	add_cap(v, CAP_ISR, ISR_OFF, 1, CAP_BYTES);
	add_cap(v, CAP_DEVICE, DEVICE_OFF, VC_VIRTIO_MAX_CONFIG, CAP_BYTES);
	add_cap(v, CAP_NOTIFY, NOTIFY_OFF, NOTIFY_MULTIPLIER * v->nr_queues,
		CAP_LONG_BYTES);
	v->pci_cfg_cap = add_cap(v, CAP_PCI_CFG, 0, 0, CAP_LONG_BYTES);
	wmask = v->pci.wmask + v->pci_cfg_cap;
	wmask[4] = 0xff;	     /* BAR */
	memset(wmask + 8, 0xff, 12); /* offset, length, data */
}

static int queues_init(struct vpci *v, unsigned min_queues,
		       struct vc_error *err)
{
	unsigned nr = v->backend->ops->max_queues(v->backend), i;

	if (nr < min_queues)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s: the device has %u of the %u queues that "
			       "its class needs",
			       v->name, nr, min_queues);
	if (nr > VPCI_MAX_QUEUES)
		nr = VPCI_MAX_QUEUES;
	for (i = 0; i < nr; i++) {
		struct vpci_queue *q = &v->queues[i];

		q->size = VPCI_QUEUE_SIZE;
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->kick_fd < 0)
			return vc_fail(err, VC_E_SYS, errno, "%s: eventfd",
				       v->name);
		v->nr_queues++;
	}
	return 0;
}

VC_DEFINE_CLEANUP(vpci, struct vpci *, vpci_free)

int vpci_new(const struct vpci_opts *o, struct vpci **ret, struct vc_error *err)
{
	vc_auto(vpci) struct vpci *v = calloc(1, sizeof(*v));
	struct pci_ids ids = {
		.vendor = VIRTIO_VENDOR,
		.device = (uint16_t)(VIRTIO_DEVICE + o->virtio_id),
		.subsys_vendor = VIRTIO_VENDOR,
		.subsys = (uint16_t)(VIRTIO_SUBSYS + o->virtio_id),
		.class_code = CLASS_OTHER,
		.revision = 1,
	};
	unsigned min_queues = 1;
	size_t i;

	if (!v)
		return vc_fail(err, VC_E_SYS, ENOMEM, "%s", o->name);
	assert(o->virtio_id >= 1 && o->virtio_id <= 63);
	snprintf(v->name, sizeof(v->name), "%s", o->name);
	v->hv = o->hv;
	v->mem = o->mem;
	v->backend = o->backend;
	v->on_failure = o->on_failure;
	v->opaque = o->opaque;
	for (i = 0; i < VC_ARRAY_SIZE(classes); i++)
		if (classes[i].virtio_id == o->virtio_id) {
			ids.class_code = classes[i].class_code;
			min_queues = classes[i].min_queues;
		}
	v->offered = v->backend->ops->features(v->backend) &
		     (FEATURES_DEVICE | FEATURES_RING | FEATURE_VERSION_1);
	if (!(v->offered & FEATURE_VERSION_1))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s: the device is not a virtio 1 device",
			       v->name);
	pci_dev_init(&v->pci, &vpci_ops, v->name, &ids);
	pci_dev_set_bar(&v->pci, THE_BAR, BAR_BYTES, false);
	if (queues_init(v, min_queues, err) < 0)
		return -1;
	add_caps(v);
	if (msix_init(&v->msix, v->hv, &v->pci, v->nr_queues + 1,
		      v->nr_queues + 1, THE_BAR, MSIX_OFF, PBA_OFF, err) < 0)
		return -1;
	*ret = vc_steal_ptr(&v);
	return 0;
}

struct vpci *vpci_free(struct vpci *v)
{
	unsigned i;

	if (!v)
		return NULL;
	for (i = 0; i < v->nr_queues; i++) {
		ioeventfd_remove(v, &v->queues[i]);
		vc_close(&v->queues[i].kick_fd);
	}
	msix_fini(&v->msix);
	pci_host_detach(&v->pci);
	free(v);
	return NULL;
}
