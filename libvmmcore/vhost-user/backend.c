/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend: requests of a frontend drive a virtio device.
 *
 * A ring is configured piece by piece, in any order, and runs while it has
 * everything it needs (size, addresses, kick descriptor) and is enabled:
 * ring_update() is called after each piece and starts it. What a running ring
 * stands on cannot be changed under it: its size, addresses and base are
 * refused; a new kick descriptor or memory table stops it, which finishes every
 * chain in flight, and starts it again where it was.
 *
 * GET_VRING_BASE and a reset stop a ring and take its kick descriptor away, so
 * that it starts again only when the frontend gives it a new one. Call and
 * error descriptors stay until replaced: frontends set them once.
 *
 * The frontend may be hostile. The codec has checked the form of a message;
 * the handlers check its meaning. A request that is well-formed but cannot be
 * granted is answered with a failure where the frontend asked for an answer;
 * anything else ends the connection. Nothing here waits for the frontend: its
 * socket, and the eventfds it passes, are non-blocking.
 *
 * Memory the frontend shrinks after it was mapped costs this process a SIGBUS:
 * that is a frontend killing its own device. Ours seals its memfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "vhost-user/channel.h"

#define MESSAGES_PER_WAKEUP 16 /* then the rings get their turn */
#define WARNINGS_PER_SECOND 5

struct ring {
	struct vc_vhu_backend *be; /* borrowed */
	unsigned index;
	bool is_enabled, has_addr;
	uint16_t size; /* 0: not set */
	uint16_t base;
	uint64_t desc, avail, used; /* addresses of the frontend */
	int kick_fd, call_fd, err_fd;
	struct vc_watch watch; /* of kick_fd while running */
};

struct vc_vhu_backend {
	struct vc_virtio_dev *dev; /* borrowed */
	struct vc_mem *mem;	   /* NULL before SET_MEM_TABLE */
	struct vhu_chan chan;
	struct vhu_chan requests; /* ours to the frontend; sock -1: none */
	struct vc_watch watch;
	uint64_t protocol_features;
	uint8_t status;
	struct vc_ratelimit warn_rl;
	void (*on_end)(void *opaque, const struct vc_error *err);
	void *opaque;
	struct ring rings[VC_VIRTIO_MAX_QUEUES];
};

/* --- rings ---------------------------------------------------------------- */

static struct vc_vq *ring_vq(const struct ring *r)
{
	return &r->be->dev->vq[r->index];
}

/* Empty an eventfd. False if it is of no use any more. */
static bool drain_eventfd(int fd)
{
	uint64_t n;
	ssize_t got = read(fd, &n, sizeof(n));

	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_kick(struct vc_watch *w, uint32_t events)
{
	struct ring *r = vc_container_of(w, struct ring, watch);
	struct vc_virtio_dev *dev = r->be->dev;

	/* not an eventfd, or hung up: never ready again in a useful way */
	if (!(events & EPOLLIN) || !drain_eventfd(r->kick_fd))
		vc_watch_remove(w);
	dev->ops->kick(dev, r->index);
}

struct ring_gpas {
	gpa_t desc, avail, used;
};

/* Where the ring is in `mem`: virtio 1.2, 2.7, each part with its event index. */
static bool ring_translate(const struct ring *r, const struct vc_mem *mem,
			   struct ring_gpas *ret)
{
	uint64_t size = r->size;

	return vc_mem_user_to_gpa(mem, r->desc, 16 * size, &ret->desc) &&
	       vc_mem_user_to_gpa(mem, r->avail, 6 + 2 * size, &ret->avail) &&
	       vc_mem_user_to_gpa(mem, r->used, 6 + 8 * size, &ret->used);
}

static int ring_start(struct ring *r, struct vc_error *err)
{
	struct vc_virtio_dev *dev = r->be->dev;
	struct vc_mem *mem = r->be->mem;
	struct ring_gpas at;

	if (!mem || !ring_translate(r, mem, &at))
		return vc_fail(err, VC_E_PEER, 0,
			       "queue %u: ring is outside of memory", r->index);
	if (vc_vq_start(ring_vq(r), mem, r->size, at.desc, at.avail, at.used,
			dev->features, r->base, err) < 0)
		return vc_prefix(err, "queue %u", r->index);
	ring_vq(r)->call_fd = r->call_fd;
	if (vc_watch_add(dev->loop, &r->watch, r->kick_fd, EPOLLIN, on_kick,
			 err) < 0) {
		vc_vq_stop(ring_vq(r));
		return vc_prefix(err, "queue %u: kick descriptor", r->index);
	}
	if (dev->ops->start_queue)
		dev->ops->start_queue(dev, r->index);
	/* what was made available before the ring ran */
	dev->ops->kick(dev, r->index);
	return 0;
}

static void ring_stop(struct ring *r)
{
	struct vc_virtio_dev *dev = r->be->dev;

	vc_watch_remove(&r->watch);
	if (!ring_vq(r)->is_running)
		return;
	dev->ops->stop_queue(dev, r->index);
	r->base = vc_vq_stop(ring_vq(r));
}

/* Start or stop the ring if its state says so. */
static int ring_update(struct ring *r, struct vc_error *err)
{
	bool should_run =
		r->is_enabled && r->has_addr && r->size && r->kick_fd >= 0;

	if (should_run == ring_vq(r)->is_running)
		return 0;
	if (should_run)
		return ring_start(r, err);
	ring_stop(r);
	return 0;
}

static void stop_all(struct vc_vhu_backend *be)
{
	unsigned i;

	for (i = 0; i < be->dev->nr_queues; i++)
		ring_stop(&be->rings[i]);
}

/* As after power on; the memory table, the negotiated protocol, the call and
 * the error descriptors stay. */
static void reset_device(struct vc_vhu_backend *be)
{
	unsigned i;

	stop_all(be);
	for (i = 0; i < be->dev->nr_queues; i++) {
		struct ring *r = &be->rings[i];

		vc_close(&r->kick_fd);
		r->is_enabled = r->has_addr = false;
		r->size = r->base = 0;
	}
	be->dev->features = 0;
	be->status = 0;
	if (be->dev->ops->reset)
		be->dev->ops->reset(be->dev);
}

/* --- the device's own news ------------------------------------------------ */

static void on_broken(struct vc_virtio_dev *dev, unsigned qi)
{
	struct vc_vhu_backend *be = dev->owner;
	uint64_t one = 1;

	/* a full eventfd is signalled already */
	if (be->rings[qi].err_fd >= 0 &&
	    write(be->rings[qi].err_fd, &one, sizeof(one)) < 0)
		return;
}

static void on_config_change(struct vc_virtio_dev *dev)
{
	struct vc_vhu_backend *be = dev->owner;
	const struct vhu_msg msg = { .request = VHU_BACKEND_CONFIG_CHANGE,
				     .kind = VHU_P_NONE };
	struct vc_error err;

	if (be->requests.sock < 0)
		return;
	/* a socket full of the same message says it all */
	if (vhu_chan_send(&be->requests, &msg, NULL, 0, &err) < 0 &&
	    err.sys != EAGAIN)
		vhu_chan_fini(&be->requests);
}

/* --- requests ------------------------------------------------------------- */

static uint64_t offered_features(const struct vc_virtio_dev *dev)
{
	return dev->ops->features(dev) |
	       UINT64_C(1) << VC_VIRTIO_F_INDIRECT_DESC |
	       UINT64_C(1) << VC_VIRTIO_F_EVENT_IDX |
	       UINT64_C(1) << VC_VIRTIO_F_VERSION_1 |
	       UINT64_C(1) << VHU_F_PROTOCOL_FEATURES;
}

static int set_features(struct vc_vhu_backend *be, uint64_t features,
			struct vc_error *err)
{
	const uint64_t protocol = UINT64_C(1) << VHU_F_PROTOCOL_FEATURES;
	unsigned i;

	if (features & ~offered_features(be->dev))
		return vc_fail(
			err, VC_E_PEER, 0, "bits not offered: 0x%llx",
			(unsigned long long)(features &
					     ~offered_features(be->dev)));
	for (i = 0; i < be->dev->nr_queues; i++)
		if (be->dev->vq[i].is_running &&
		    (features & ~protocol) != be->dev->features)
			return vc_fail(err, VC_E_PEER, 0,
				       "changed while queue %u runs", i);
	be->dev->features = features & ~protocol;
	if (features & protocol)
		return 0;
	/* without the protocol bit no SET_VRING_ENABLE will come */
	for (i = 0; i < be->dev->nr_queues; i++) {
		be->rings[i].is_enabled = true;
		if (ring_update(&be->rings[i], err) < 0)
			return -1;
	}
	return 0;
}

/* A table of the message's regions, mapped. */
static int map_regions(struct vc_vhu_backend *be, struct vc_mem **ret,
		       struct vc_error *err)
{
	const struct vhu_msg *msg = &be->chan.msg;
	struct vc_mem *mem;
	uint32_t i;

	if (vc_mem_new(&mem, err) < 0)
		return -1;
	for (i = 0; i < msg->mem.nr; i++) {
		const struct vhu_region *r = &msg->mem.regions[i];
		vc_auto_fd int fd = vhu_chan_take_fd(&be->chan, i);

		if (vc_mem_add_fd(mem, fd, r->fd_offset, r->gpa, r->size_bytes,
				  r->user_addr, err) < 0) {
			vc_mem_free(mem);
			return -1;
		}
		vc_steal_fd(&fd);
	}
	*ret = mem;
	return 0;
}

/* Every ring that runs must be in the new table, or the old one stays. */
static int check_rings(struct vc_vhu_backend *be, const struct vc_mem *mem,
		       struct vc_error *err)
{
	struct ring_gpas at;
	unsigned i;

	for (i = 0; i < be->dev->nr_queues; i++)
		if (be->dev->vq[i].is_running &&
		    !ring_translate(&be->rings[i], mem, &at))
			return vc_fail(err, VC_E_PEER, 0,
				       "queue %u runs outside of it", i);
	return 0;
}

static int set_mem_table(struct vc_vhu_backend *be, struct vc_error *err)
{
	struct vc_mem *mem;
	unsigned i;
	int rc = 0;

	if (map_regions(be, &mem, err) < 0)
		return -1;
	if (check_rings(be, mem, err) < 0) {
		vc_mem_free(mem);
		return -1;
	}
	stop_all(be); /* nothing holds an address of the old table now */
	vc_mem_free(be->mem);
	be->mem = mem;
	for (i = 0; i < be->dev->nr_queues && rc == 0; i++)
		rc = ring_update(&be->rings[i], err);
	return rc;
}

static struct ring *find_ring(struct vc_vhu_backend *be, uint64_t index,
			      struct vc_error *err)
{
	if (index < be->dev->nr_queues)
		return &be->rings[index];
	vc_fail(err, VC_E_PEER, 0, "no queue %llu", (unsigned long long)index);
	return NULL;
}

/* The ring, if it may be set up: running ones may not. */
static struct ring *find_stopped(struct vc_vhu_backend *be, uint32_t index,
				 struct vc_error *err)
{
	struct ring *r = find_ring(be, index, err);

	if (!r || !ring_vq(r)->is_running)
		return r;
	vc_fail(err, VC_E_PEER, 0, "queue %u runs", index);
	return NULL;
}

static int set_vring_num(struct vc_vhu_backend *be, const struct vhu_msg *msg,
			 struct vc_error *err)
{
	uint32_t max = be->dev->queue_size_max, num = msg->state.num;
	struct ring *r = find_stopped(be, msg->state.index, err);

	if (!r)
		return -1;
	if (!vc_is_pow2(num) || num > max || num > VC_VQ_MAX_SIZE)
		return vc_fail(err, VC_E_PEER, 0, "queue %u: size %u",
			       msg->state.index, num);
	r->size = (uint16_t)num;
	return ring_update(r, err);
}

static int set_vring_addr(struct vc_vhu_backend *be, const struct vhu_msg *msg,
			  struct vc_error *err)
{
	struct ring *r = find_stopped(be, msg->addr.index, err);

	if (!r)
		return -1;
	if (msg->addr.flags)
		return vc_fail(err, VC_E_PEER, 0, "queue %u: flags 0x%x",
			       msg->addr.index, msg->addr.flags);
	r->desc = msg->addr.desc;
	r->avail = msg->addr.avail;
	r->used = msg->addr.used;
	r->has_addr = true;
	return ring_update(r, err);
}

static int set_vring_base(struct vc_vhu_backend *be, const struct vhu_msg *msg,
			  struct vc_error *err)
{
	struct ring *r = find_stopped(be, msg->state.index, err);

	if (!r)
		return -1;
	if (msg->state.num > UINT16_MAX)
		return vc_fail(err, VC_E_PEER, 0, "queue %u: base %u",
			       msg->state.index, msg->state.num);
	r->base = (uint16_t)msg->state.num;
	return 0;
}

static int set_vring_enable(struct vc_vhu_backend *be,
			    const struct vhu_msg *msg, struct vc_error *err)
{
	struct ring *r = find_ring(be, msg->state.index, err);

	if (!r)
		return -1;
	if (msg->state.num > 1)
		return vc_fail(err, VC_E_PEER, 0, "queue %u: state %u",
			       msg->state.index, msg->state.num);
	r->is_enabled = msg->state.num;
	return ring_update(r, err);
}

/* KICK, CALL and ERR. */
static int set_vring_fd(struct vc_vhu_backend *be, const struct vhu_msg *msg,
			struct vc_error *err)
{
	vc_auto_fd int fd = vhu_chan_take_fd(&be->chan, 0);
	struct ring *r = find_ring(be, msg->u64 & VHU_MAX_QUEUE_INDEX, err);

	if (!r)
		return -1;
	if (fd >= 0 && vc_set_nonblock(fd, err) < 0)
		return -1;
	if (msg->request == VHU_SET_VRING_CALL) {
		ring_vq(r)->call_fd = fd;
		vc_close(&r->call_fd);
		r->call_fd = vc_steal_fd(&fd);
		return 0;
	}
	if (msg->request == VHU_SET_VRING_ERR) {
		vc_close(&r->err_fd);
		r->err_fd = vc_steal_fd(&fd);
		return 0;
	}
	if (fd < 0)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "queue %u: without a descriptor (polling)",
			       r->index);
	ring_stop(r);
	vc_close(&r->kick_fd);
	r->kick_fd = vc_steal_fd(&fd);
	return ring_update(r, err);
}

static int get_vring_base(struct vc_vhu_backend *be, struct vhu_msg *reply,
			  struct vc_error *err)
{
	struct ring *r = find_ring(be, reply->state.index, err);

	if (!r)
		return -1;
	ring_stop(r);
	vc_close(&r->kick_fd);
	reply->state.num = r->base;
	return 0;
}

/* What lies beyond the device's configuration reads as zero: frontends ask for
 * the size of their own, maybe newer, structure. A refusal has no payload. */
static void get_config(struct vc_vhu_backend *be, struct vhu_msg *reply)
{
	uint8_t all[VC_VIRTIO_MAX_CONFIG] = { 0 };

	_Static_assert(VC_VIRTIO_MAX_CONFIG == VHU_MAX_CONFIG, "whole config");
	if (!vc_range_ok(reply->config.offset, reply->config.size,
			 sizeof(all))) {
		reply->kind = VHU_P_NONE;
		return;
	}
	be->dev->ops->get_config(be->dev, all);
	reply->config.flags = 0;
	reply->config.len = reply->config.size;
	memcpy(reply->config.data, all + reply->config.offset,
	       reply->config.len);
}

static int set_config(struct vc_vhu_backend *be, const struct vhu_msg *msg,
		      struct vc_error *err)
{
	uint8_t all[VC_VIRTIO_MAX_CONFIG];

	if (!be->dev->ops->set_config)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "the device has nothing to set");
	if (!vc_range_ok(msg->config.offset, msg->config.len,
			 be->dev->ops->get_config(be->dev, all)))
		return vc_fail(err, VC_E_PEER, 0,
			       "%u bytes at %u: outside of the configuration",
			       msg->config.len, msg->config.offset);
	be->dev->ops->set_config(be->dev, msg->config.offset, msg->config.data,
				 msg->config.len);
	return 0;
}

static int set_status(struct vc_vhu_backend *be, uint64_t status,
		      struct vc_error *err)
{
	if (status > UINT8_MAX)
		return vc_fail(err, VC_E_PEER, 0, "0x%llx",
			       (unsigned long long)status);
	if (!status)
		reset_device(be);
	be->status = (uint8_t)status;
	return 0;
}

static int set_protocol_features(struct vc_vhu_backend *be, uint64_t features,
				 struct vc_error *err)
{
	if (features & ~VHU_PROTOCOL_FEATURES)
		return vc_fail(err, VC_E_PEER, 0, "bits not offered: 0x%llx",
			       (unsigned long long)(features &
						    ~VHU_PROTOCOL_FEATURES));
	be->protocol_features = features;
	return 0;
}

static int set_request_fd(struct vc_vhu_backend *be, struct vc_error *err)
{
	vc_auto_fd int fd = vhu_chan_take_fd(&be->chan, 0);

	vhu_chan_fini(&be->requests);
	if (vhu_chan_init(&be->requests, fd, VHU_REPLY_OF_FRONTEND, err) < 0)
		return -1;
	be->requests.sock = vc_steal_fd(&fd);
	return 0;
}

/* Requests with a reply of their own; `reply` starts as a copy of the request. */
static int answer(struct vc_vhu_backend *be, struct vhu_msg *reply,
		  struct vc_error *err)
{
	reply->flags = VHU_FLAG_REPLY;
	switch (reply->request) {
	case VHU_GET_FEATURES:
		reply->u64 = offered_features(be->dev);
		break;
	case VHU_GET_PROTOCOL_FEATURES:
		reply->u64 = VHU_PROTOCOL_FEATURES;
		break;
	case VHU_GET_QUEUE_NUM:
		reply->u64 = be->dev->nr_queues;
		break;
	case VHU_GET_STATUS:
		reply->u64 = be->status;
		break;
	case VHU_GET_CONFIG:
		get_config(be, reply);
		return vhu_chan_send(&be->chan, reply, NULL, 0, err);
	default: /* VHU_GET_VRING_BASE */
		if (get_vring_base(be, reply, err) < 0)
			return -1;
		return vhu_chan_send(&be->chan, reply, NULL, 0, err);
	}
	reply->kind = VHU_P_U64;
	return vhu_chan_send(&be->chan, reply, NULL, 0, err);
}

static bool has_own_reply(uint32_t request)
{
	return request == VHU_GET_FEATURES ||
	       request == VHU_GET_PROTOCOL_FEATURES ||
	       request == VHU_GET_QUEUE_NUM || request == VHU_GET_STATUS ||
	       request == VHU_GET_CONFIG || request == VHU_GET_VRING_BASE;
}

/* Requests without. */
static int obey(struct vc_vhu_backend *be, struct vc_error *err)
{
	const struct vhu_msg *msg = &be->chan.msg;

	switch (msg->request) {
	case VHU_SET_FEATURES:
		return set_features(be, msg->u64, err);
	case VHU_SET_PROTOCOL_FEATURES:
		return set_protocol_features(be, msg->u64, err);
	case VHU_SET_OWNER:
		return 0; /* one socket, one owner */
	case VHU_SET_MEM_TABLE:
		return set_mem_table(be, err);
	case VHU_SET_VRING_NUM:
		return set_vring_num(be, msg, err);
	case VHU_SET_VRING_ADDR:
		return set_vring_addr(be, msg, err);
	case VHU_SET_VRING_BASE:
		return set_vring_base(be, msg, err);
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
		return set_vring_fd(be, msg, err);
	case VHU_SET_VRING_ENABLE:
		return set_vring_enable(be, msg, err);
	case VHU_SET_BACKEND_REQ_FD:
		return set_request_fd(be, err);
	case VHU_SET_CONFIG:
		return set_config(be, msg, err);
	case VHU_SET_STATUS:
		return set_status(be, msg->u64, err);
	case VHU_RESET_DEVICE:
		reset_device(be);
		return 0;
	default:
		return vc_fail(err, VC_E_INTERNAL, 0, "not handled");
	}
}

/* -1 ends the connection. */
static int handle(struct vc_vhu_backend *be, struct vc_error *err)
{
	struct vhu_msg reply = be->chan.msg;
	const char *name = vhu_request_name(VHU_TO_BACKEND, reply.request);
	bool wants_ack = (reply.flags & VHU_FLAG_NEED_REPLY) &&
			 (be->protocol_features >> VHU_PF_REPLY_ACK & 1);
	char text[512];

	if (has_own_reply(reply.request))
		return answer(be, &reply, err) < 0 ? vc_prefix(err, "%s", name)
						   : 0;
	reply.u64 = obey(be, err) < 0;
	if (reply.u64) {
		vc_prefix(err, "%s", name);
		if (!wants_ack)
			return -1;
		if (vc_ratelimit_ok(&be->warn_rl, WARNINGS_PER_SECOND))
			vc_log(VC_LOG_WARN, be->dev->name,
			       "vhost-user: refused: %s",
			       vc_error_str(err, text, sizeof(text)));
	}
	if (!wants_ack)
		return 0;
	reply.flags = VHU_FLAG_REPLY;
	reply.kind = VHU_P_U64;
	return vhu_chan_send(&be->chan, &reply, NULL, 0, err);
}

/* --- the connection ------------------------------------------------------- */

/* Nothing of `be` may be touched after this: its owner may have freed it. */
static void end(struct vc_vhu_backend *be, struct vc_error *err)
{
	vc_watch_remove(&be->watch);
	stop_all(be);
	if (err)
		vc_prefix(err, "vhost-user");
	be->on_end(be->opaque, err);
}

static void on_socket(struct vc_watch *w, uint32_t events)
{
	struct vc_vhu_backend *be =
		vc_container_of(w, struct vc_vhu_backend, watch);
	struct vc_error err;
	int i;

	(void)events; /* a hang-up is what the read says */
	for (i = 0; i < MESSAGES_PER_WAKEUP; i++) {
		switch (vhu_chan_recv(&be->chan, &err)) {
		case VHU_RECV_AGAIN:
			return;
		case VHU_RECV_EOF:
			end(be, NULL);
			return;
		case VHU_RECV_ERROR:
			end(be, &err);
			return;
		case VHU_RECV_MSG:
			if (handle(be, &err) < 0) {
				end(be, &err);
				return;
			}
		}
	}
}

int vc_vhu_backend_new(struct vc_virtio_dev *dev, int sock,
		       void (*on_end)(void *opaque, const struct vc_error *err),
		       void *opaque, struct vc_vhu_backend **ret,
		       struct vc_error *err)
{
	struct vc_vhu_backend *be = calloc(1, sizeof(*be));
	unsigned i;

	if (!be)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vhost-user backend");
	be->dev = dev;
	be->on_end = on_end;
	be->opaque = opaque;
	be->watch.fd = -1;
	be->requests.sock = -1;
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++) {
		struct ring *r = &be->rings[i];

		*r = (struct ring){ .be = be,
				    .index = i,
				    .kick_fd = -1,
				    .call_fd = -1,
				    .err_fd = -1,
				    .watch = { .fd = -1 } };
		vc_vq_init(&dev->vq[i]);
	}
	if (vhu_chan_init(&be->chan, sock, VHU_TO_BACKEND, err) < 0 ||
	    vc_watch_add(dev->loop, &be->watch, sock, EPOLLIN, on_socket, err) <
		    0) {
		vc_vhu_backend_free(be);
		return vc_prefix(err, "vhost-user");
	}
	be->chan.sock = sock;
	dev->owner = be;
	dev->on_broken = on_broken;
	dev->on_config_change = on_config_change;
	*ret = be;
	return 0;
}

struct vc_vhu_backend *vc_vhu_backend_free(struct vc_vhu_backend *be)
{
	unsigned i;

	if (!be)
		return NULL;
	vc_watch_remove(&be->watch);
	if (be->dev->owner == be) {
		/* the next frontend finds it as after power on */
		reset_device(be);
		be->dev->owner = NULL;
		be->dev->on_broken = NULL;
		be->dev->on_config_change = NULL;
	}
	for (i = 0; i < VC_VIRTIO_MAX_QUEUES; i++) {
		vc_close(&be->rings[i].kick_fd);
		vc_close(&be->rings[i].call_fd);
		vc_close(&be->rings[i].err_fd);
		vc_vq_init(&be->dev->vq[i]);
	}
	vhu_chan_fini(&be->chan);
	vhu_chan_fini(&be->requests);
	vc_mem_free(be->mem);
	free(be);
	return NULL;
}
