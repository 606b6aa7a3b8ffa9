/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user messages as bytes: the request tables, a parser and an encoder
 * that touch nothing but the buffers they are given.
 */
#ifndef VHOST_USER_MESSAGE_H
#define VHOST_USER_MESSAGE_H

#include <vmmcore/bytes.h>
#include <vmmcore/error.h>
#include <vmmcore/vhost-user.h>

#define VHU_HEADER_BYTES 12
#define VHU_MAX_REGIONS 8	 /* of one memory table: the protocol's limit */
#define VHU_MAX_CONFIG 256	 /* bytes of configuration in one message */
#define VHU_MAX_QUEUE_INDEX 0xff /* what KICK, CALL and ERR can name */

#define VHU_FLAG_VERSION 0x1u
#define VHU_FLAG_VERSION_MASK 0x3u
#define VHU_FLAG_REPLY 0x4u
#define VHU_FLAG_NEED_REPLY 0x8u

/* Of KICK, CALL and ERR: no descriptor comes with the message. */
#define VHU_VRING_NO_FD 0x100u

#define VHU_F_PROTOCOL_FEATURES 30

enum vhu_protocol_feature {
	VHU_PF_MQ = 0,
	VHU_PF_REPLY_ACK = 3,
	VHU_PF_BACKEND_REQ = 5,
	VHU_PF_CONFIG = 9,
	VHU_PF_RESET_DEVICE = 13,
	VHU_PF_STATUS = 16,
};
/* What both our ends know. */
#define VHU_PROTOCOL_FEATURES                                               \
	(UINT64_C(1) << VHU_PF_MQ | UINT64_C(1) << VHU_PF_REPLY_ACK |       \
	 UINT64_C(1) << VHU_PF_BACKEND_REQ | UINT64_C(1) << VHU_PF_CONFIG | \
	 UINT64_C(1) << VHU_PF_RESET_DEVICE | UINT64_C(1) << VHU_PF_STATUS)

enum vhu_request {
	VHU_GET_FEATURES = 1,
	VHU_SET_FEATURES = 2,
	VHU_SET_OWNER = 3,
	VHU_SET_MEM_TABLE = 5,
	VHU_SET_VRING_NUM = 8,
	VHU_SET_VRING_ADDR = 9,
	VHU_SET_VRING_BASE = 10,
	VHU_GET_VRING_BASE = 11,
	VHU_SET_VRING_KICK = 12,
	VHU_SET_VRING_CALL = 13,
	VHU_SET_VRING_ERR = 14,
	VHU_GET_PROTOCOL_FEATURES = 15,
	VHU_SET_PROTOCOL_FEATURES = 16,
	VHU_GET_QUEUE_NUM = 17,
	VHU_SET_VRING_ENABLE = 18,
	VHU_SET_BACKEND_REQ_FD = 21,
	VHU_GET_CONFIG = 24,
	VHU_SET_CONFIG = 25,
	VHU_RESET_DEVICE = 34,
	VHU_SET_STATUS = 39,
	VHU_GET_STATUS = 40,
};
#define VHU_NR_REQUESTS 41

/* What a backend asks of its frontend, on the channel of its own. */
enum vhu_backend_request {
	VHU_BACKEND_CONFIG_CHANGE = 2,
};
#define VHU_NR_BACKEND_REQUESTS 3

/* Who reads, and what: selects the table and the column of it. */
enum vhu_side {
	VHU_TO_BACKEND,	       /* requests of the frontend */
	VHU_REPLY_OF_BACKEND,  /* replies to them */
	VHU_TO_FRONTEND,       /* requests of the backend */
	VHU_REPLY_OF_FRONTEND, /* replies to them */
};

enum vhu_payload {
	VHU_P_INVALID, /* no such request, or it has no reply of its own */
	VHU_P_NONE,
	VHU_P_U64,
	VHU_P_STATE,  /* queue index and a number */
	VHU_P_ADDR,   /* where the three parts of a ring are */
	VHU_P_MEM,    /* memory table */
	VHU_P_CONFIG, /* a piece of the configuration space */
};

struct vhu_region {
	uint64_t gpa, size_bytes, user_addr, fd_offset;
};

struct vhu_msg {
	uint32_t request;
	uint32_t flags;	     /* without the version */
	uint32_t size_bytes; /* of the payload */
	enum vhu_payload kind;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t nr;
			struct vhu_region regions[VHU_MAX_REGIONS];
		} mem;
		struct {
			uint32_t offset, size, flags;
			/* bytes present: `size`, or 0 as a refusal */
			uint32_t len;
			uint8_t data[VHU_MAX_CONFIG];
		} config;
	};
};

/* "SET_MEM_TABLE", or "request" for one that is not known. */
const char *vhu_request_name(enum vhu_side side, uint32_t request);

/* Read a header of VHU_HEADER_BYTES; sets request, flags, size_bytes and kind.
 * VC_E_PEER for an unknown request, another version, a flag out of place, or
 * a size that cannot be right. A reply to a request without a reply of its own
 * is an acknowledgement (VHU_P_U64). */
int vhu_parse_header(enum vhu_side side, const uint8_t *buf,
		     struct vhu_msg *ret, struct vc_error *err) VC_MUST_CHECK;
/* Read `msg->size_bytes` of payload into `msg`, whose header is parsed and
 * which came with `nr_fds` descriptors. Every count is checked against its
 * limit, against the size, and against the number of descriptors. */
int vhu_parse_payload(enum vhu_side side, const uint8_t *buf, size_t nr_fds,
		      struct vhu_msg *msg, struct vc_error *err) VC_MUST_CHECK;

#define VHU_MAX_BYTES (VHU_HEADER_BYTES + VC_VHU_MAX_PAYLOAD)

/* Write `msg` (request, flags, kind and its member of the union) to `buf` of at
 * least VHU_MAX_BYTES; returns the length. */
size_t vhu_encode(const struct vhu_msg *msg, uint8_t *buf);

#endif
