/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtqueues, device side (virtio 1.2, 2.7 "Split Virtqueues", with indirect
 * descriptors 2.7.5.3 and event index 2.7.7/2.7.10). Everything a driver can
 * get wrong is caught here, so that a device cannot forget: chain length,
 * loops, indices, ranges, total size.
 *
 * One thread drives one queue.
 */
#ifndef VMMCORE_VIRTQUEUE_H
#define VMMCORE_VIRTQUEUE_H

#include <vmmcore/memory.h>

VC_BEGIN_DECLS

#define VC_VQ_MAX_SIZE 1024  /* descriptors in a ring */
#define VC_VQ_MAX_CHAIN 1024 /* descriptors in one chain, indirect too */
#define VC_VQ_MAX_IOV (VC_VQ_MAX_CHAIN + 2 * VC_MEM_MAX_REGIONS)
#define VC_VQ_MAX_BYTES (UINT64_C(1) << 31) /* in one chain, each direction */

/* Feature bits of the transport and the ring (virtio 1.2, 6). */
#define VC_VIRTIO_F_INDIRECT_DESC 28
#define VC_VIRTIO_F_EVENT_IDX 29
#define VC_VIRTIO_F_VERSION_1 32

enum vc_vq_status {
	VC_VQ_OK,
	VC_VQ_EMPTY,  /* nothing available; notifications are on again */
	VC_VQ_BROKEN, /* the driver broke the rules: the device needs a reset */
};

struct vc_vq {
	/* set by vc_vq_start() */
	struct vc_mem *mem; /* borrowed; its regions stay as they are while the
			     * queue runs */
	uint16_t size;	    /* power of two, <= VC_VQ_MAX_SIZE */
	gpa_t desc, avail, used;
	/* the same in host memory, resolved and checked once; private */
	uint8_t *desc_host, *avail_host, *used_host;
	bool has_event_idx, has_indirect;
	/* state */
	bool is_running, is_broken;
	bool kicks_off;	     /* NO_NOTIFY is set in the used ring */
	uint16_t next_avail; /* index of the next entry to take */
	uint16_t avail_seen; /* the driver's index when last read */
	uint16_t next_used;  /* index of the next entry to fill */
	uint16_t signalled_used;
	bool signalled_valid;
	unsigned nr_unsignalled; /* pushed since the last notify */
	unsigned nr_inflight;	 /* popped and not yet pushed */
	int call_fd; /* eventfd that interrupts the driver; borrowed; -1: none */
	void (*call)(struct vc_vq *vq); /* instead of call_fd, if not NULL */
	const char *broken_why;		/* a constant text, for the log */
};

/* One descriptor chain: what the driver lets the device read (`out`), then
 * write (`in`), as host memory already checked. Reused between pops. */
struct vc_vq_chain {
	uint16_t head;
	int nr_out, nr_in;
	uint64_t out_bytes, in_bytes;
	struct iovec *out; /* into iov[] */
	struct iovec *in;
	struct iovec iov[VC_VQ_MAX_IOV];
};

/* Reset to the stopped state. */
void vc_vq_init(struct vc_vq *vq);
/* Start at ring index `base` (what vc_vq_stop() or GET_VRING_BASE gave); the
 * used index goes on from what the ring in memory says. Checks size, alignment
 * and that all three parts are in RAM, each within one region. `call_fd` and
 * `call` are left as they are. */
int vc_vq_start(struct vc_vq *vq, struct vc_mem *mem, uint16_t size, gpa_t desc,
		gpa_t avail, gpa_t used, uint64_t features, uint16_t base,
		struct vc_error *err) VC_MUST_CHECK;
/* Stop; returns the next available index. Chains in flight must be done.
 * Stopping a stopped queue is fine. */
uint16_t vc_vq_stop(struct vc_vq *vq);

/* Take the next chain. VC_VQ_EMPTY re-enables notifications and has looked
 * again after doing so; a stopped queue is empty. VC_VQ_BROKEN is final until
 * the next start. A descriptor of length 0 is allowed and adds nothing to the
 * chain; its address is not looked at. */
enum vc_vq_status vc_vq_pop(struct vc_vq *vq, struct vc_vq_chain *chain);
/* Undo the last pop (the device cannot take it now). */
void vc_vq_unpop(struct vc_vq *vq);
/* While popping a batch: spare the driver its kicks. vc_vq_pop() undoes it when
 * it returns VC_VQ_EMPTY. */
void vc_vq_disable_kicks(struct vc_vq *vq);
/* Give chain `head` back with `len` bytes written. Does not interrupt. */
void vc_vq_push(struct vc_vq *vq, uint16_t head, uint32_t len);
/* Interrupt the driver if it wants to be for what was pushed since. */
void vc_vq_notify(struct vc_vq *vq);
/* No more pops until the next start. `why` is a constant text. */
void vc_vq_mark_broken(struct vc_vq *vq, const char *why);

/* Copy between a flat buffer and chain->out / chain->in, starting `skip` bytes
 * in; returns the bytes copied, less than `len` only at the chain's end. */
size_t vc_iov_read(const struct iovec *iov, int nr, size_t skip, void *buf,
		   size_t len);
size_t vc_iov_write(const struct iovec *iov, int nr, size_t skip,
		    const void *buf, size_t len);
/* Drop the first `n` bytes of *iov / *nr in place; false if it is shorter. */
bool vc_iov_skip(struct iovec **iov, int *nr, uint64_t n);

VC_END_DECLS

#endif
