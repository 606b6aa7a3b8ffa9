/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user protocol (QEMU docs/interop/vhost-user.rst): the backend that
 * drives a vc_virtio_dev, and the frontend a VMM drives a backend with.
 */
#ifndef VMMCORE_VHOST_USER_H
#define VMMCORE_VHOST_USER_H

#include <vmmcore/virtio.h>

VC_BEGIN_DECLS

#define VC_VHU_MAX_PAYLOAD 4096 /* bytes of one message after its header */
#define VC_VHU_MAX_FDS 8	/* of one message: memory regions */
#define VC_VHU_REPLY_TIMEOUT_MS 10000

/* --- backend ------------------------------------------------------------- */

struct vc_vhu_backend;

/* Serve `sock` (a connected stream socket, owned on success, made non-blocking)
 * for `dev` (borrowed, outlives the backend) on the device's loop. `on_end` is
 * called once, when the frontend has hung up (`err` NULL) or broke the
 * protocol; all queues are stopped by then, and it may free the backend. */
int vc_vhu_backend_new(struct vc_virtio_dev *dev, int sock,
		       void (*on_end)(void *opaque, const struct vc_error *err),
		       void *opaque, struct vc_vhu_backend **ret,
		       struct vc_error *err) VC_MUST_CHECK;
/* Stops all queues and resets the device. */
struct vc_vhu_backend *vc_vhu_backend_free(struct vc_vhu_backend *be);

/* --- frontend ------------------------------------------------------------ */

struct vc_vhu_frontend;

/* Take over `sock` (owned on success): negotiate features and protocol
 * features, learn the number of queues. Waits for replies, each at most
 * VC_VHU_REPLY_TIMEOUT_MS. VC_E_PEER for anything the backend does wrong. One
 * thread at a time for all calls. */
int vc_vhu_frontend_new(int sock, struct vc_vhu_frontend **ret,
			struct vc_error *err) VC_MUST_CHECK;
struct vc_vhu_frontend *vc_vhu_frontend_free(struct vc_vhu_frontend *fe);

/* virtio feature bits the backend offers (protocol bit 30 removed). */
uint64_t vc_vhu_frontend_features(const struct vc_vhu_frontend *fe);
/* 1 if the backend does not say (VHOST_USER_PROTOCOL_F_MQ). */
unsigned vc_vhu_frontend_max_queues(const struct vc_vhu_frontend *fe);
/* The socket: readable or hung up means the backend died or talks out of turn. */
int vc_vhu_frontend_get_fd(const struct vc_vhu_frontend *fe);

/* Share RAM with the backend: up to 8 regions, each of a file. It is told
 * guest-physical addresses plus a constant for ours, never where we mapped
 * them. */
int vc_vhu_frontend_set_mem(struct vc_vhu_frontend *fe,
			    const struct vc_mem *mem,
			    struct vc_error *err) VC_MUST_CHECK;
/* `len` bytes at `off` of the configuration space. */
int vc_vhu_frontend_get_config(struct vc_vhu_frontend *fe, uint32_t off,
			       uint8_t *buf, uint32_t len,
			       struct vc_error *err) VC_MUST_CHECK;
int vc_vhu_frontend_set_config(struct vc_vhu_frontend *fe, uint32_t off,
			       const uint8_t *buf, uint32_t len,
			       struct vc_error *err) VC_MUST_CHECK;
int vc_vhu_frontend_set_features(struct vc_vhu_frontend *fe, uint64_t features,
				 struct vc_error *err) VC_MUST_CHECK;

struct vc_vhu_queue {
	uint16_t size;
	uint16_t base;		 /* first ring index */
	gpa_t desc, avail, used; /* must be in RAM: checked by the caller */
	int kick_fd, call_fd;	 /* eventfds, borrowed */
};
int vc_vhu_frontend_start_queue(struct vc_vhu_frontend *fe, unsigned qi,
				const struct vc_vhu_queue *q,
				struct vc_error *err) VC_MUST_CHECK;
/* Returns in *ret_base where to go on. */
int vc_vhu_frontend_stop_queue(struct vc_vhu_frontend *fe, unsigned qi,
			       uint16_t *ret_base,
			       struct vc_error *err) VC_MUST_CHECK;
/* The virtio status byte, where the backend has SET_STATUS; else nothing. */
int vc_vhu_frontend_set_status(struct vc_vhu_frontend *fe, uint8_t status,
			       struct vc_error *err) VC_MUST_CHECK;
/* Reset the device by RESET_DEVICE where offered. All queues are stopped. */
int vc_vhu_frontend_reset(struct vc_vhu_frontend *fe,
			  struct vc_error *err) VC_MUST_CHECK;
/* An eventfd that a backend signals when a queue broke (SET_VRING_ERR): given
 * to every queue that starts later; borrowed. */
void vc_vhu_frontend_set_err_fd(struct vc_vhu_frontend *fe, int err_fd);
/* Called, from vc_vhu_frontend_handle_requests(), when the backend says its
 * configuration changed. */
void vc_vhu_frontend_on_config_change(struct vc_vhu_frontend *fe,
				      void (*fn)(void *opaque), void *opaque);
/* The backend's own requests arrive on this fd (-1: not negotiated). Watch it
 * and call handle_requests() when readable. */
int vc_vhu_frontend_get_request_fd(const struct vc_vhu_frontend *fe);
int vc_vhu_frontend_handle_requests(struct vc_vhu_frontend *fe,
				    struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
