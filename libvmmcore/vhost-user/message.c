/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The message codec. Two tables, one per direction of asking, say for each
 * request what its payload is, what its reply's is, and how many descriptors
 * come with it; parser and encoder follow them. What is not in the table does
 * not exist: a new request is a new row and a case in backend or frontend.
 *
 * The protocol is in the byte order of the host; every host we run on is
 * little-endian, and the fields are read as such.
 */
#include <assert.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "vhost-user/message.h"

struct row {
	const char *name;
	enum vhu_payload request, reply;
	uint8_t min_fds, max_fds;
};

static const struct row to_backend[VHU_NR_REQUESTS] = {
	[VHU_GET_FEATURES] = { "GET_FEATURES", VHU_P_NONE, VHU_P_U64, 0, 0 },
	[VHU_SET_FEATURES] = { "SET_FEATURES", VHU_P_U64, VHU_P_INVALID, 0, 0 },
	[VHU_SET_OWNER] = { "SET_OWNER", VHU_P_NONE, VHU_P_INVALID, 0, 0 },
	[VHU_SET_MEM_TABLE] = { "SET_MEM_TABLE", VHU_P_MEM, VHU_P_INVALID, 0,
				VHU_MAX_REGIONS },
	[VHU_SET_VRING_NUM] = { "SET_VRING_NUM", VHU_P_STATE, VHU_P_INVALID, 0,
				0 },
	[VHU_SET_VRING_ADDR] = { "SET_VRING_ADDR", VHU_P_ADDR, VHU_P_INVALID, 0,
				 0 },
	[VHU_SET_VRING_BASE] = { "SET_VRING_BASE", VHU_P_STATE, VHU_P_INVALID,
				 0, 0 },
	[VHU_GET_VRING_BASE] = { "GET_VRING_BASE", VHU_P_STATE, VHU_P_STATE, 0,
				 0 },
	[VHU_SET_VRING_KICK] = { "SET_VRING_KICK", VHU_P_U64, VHU_P_INVALID, 0,
				 1 },
	[VHU_SET_VRING_CALL] = { "SET_VRING_CALL", VHU_P_U64, VHU_P_INVALID, 0,
				 1 },
	[VHU_SET_VRING_ERR] = { "SET_VRING_ERR", VHU_P_U64, VHU_P_INVALID, 0,
				1 },
	[VHU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", VHU_P_NONE,
					VHU_P_U64, 0, 0 },
	[VHU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", VHU_P_U64,
					VHU_P_INVALID, 0, 0 },
	[VHU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", VHU_P_NONE, VHU_P_U64, 0, 0 },
	[VHU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", VHU_P_STATE,
				   VHU_P_INVALID, 0, 0 },
	[VHU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", VHU_P_NONE,
				     VHU_P_INVALID, 1, 1 },
	[VHU_GET_CONFIG] = { "GET_CONFIG", VHU_P_CONFIG, VHU_P_CONFIG, 0, 0 },
	[VHU_SET_CONFIG] = { "SET_CONFIG", VHU_P_CONFIG, VHU_P_INVALID, 0, 0 },
	[VHU_RESET_DEVICE] = { "RESET_DEVICE", VHU_P_NONE, VHU_P_INVALID, 0,
			       0 },
	[VHU_SET_STATUS] = { "SET_STATUS", VHU_P_U64, VHU_P_INVALID, 0, 0 },
	[VHU_GET_STATUS] = { "GET_STATUS", VHU_P_NONE, VHU_P_U64, 0, 0 },
};

static const struct row to_frontend[VHU_NR_BACKEND_REQUESTS] = {
	[VHU_BACKEND_CONFIG_CHANGE] = { "CONFIG_CHANGE", VHU_P_NONE,
					VHU_P_INVALID, 0, 0 },
};

#define STATE_BYTES 8
#define ADDR_BYTES 40
#define MEM_HEADER_BYTES 8
#define REGION_BYTES 32
#define CONFIG_HEADER_BYTES 12

static const struct row *find_row(enum vhu_side side, uint32_t request)
{
	const struct row *rows = to_backend;
	size_t nr = VHU_NR_REQUESTS;

	if (side == VHU_TO_FRONTEND || side == VHU_REPLY_OF_FRONTEND) {
		rows = to_frontend;
		nr = VHU_NR_BACKEND_REQUESTS;
	}
	return request < nr && rows[request].name ? &rows[request] : NULL;
}

const char *vhu_request_name(enum vhu_side side, uint32_t request)
{
	const struct row *row = find_row(side, request);

	return row ? row->name : "request";
}

static bool is_reply_side(enum vhu_side side)
{
	return side == VHU_REPLY_OF_BACKEND || side == VHU_REPLY_OF_FRONTEND;
}

/* Least and most bytes a payload of each kind has. */
static const struct {
	uint32_t min, max;
} bounds[] = {
	[VHU_P_INVALID] = { 0, 0 },
	[VHU_P_NONE] = { 0, 0 },
	[VHU_P_U64] = { 8, 8 },
	[VHU_P_STATE] = { STATE_BYTES, STATE_BYTES },
	[VHU_P_ADDR] = { ADDR_BYTES, ADDR_BYTES },
	[VHU_P_MEM] = { MEM_HEADER_BYTES,
			MEM_HEADER_BYTES + VHU_MAX_REGIONS *REGION_BYTES },
	/* a refused GET_CONFIG may have no payload at all */
	[VHU_P_CONFIG] = { 0, CONFIG_HEADER_BYTES + VHU_MAX_CONFIG },
};

int vhu_parse_header(enum vhu_side side, const uint8_t *buf,
		     struct vhu_msg *ret, struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(buf, VHU_HEADER_BYTES);
	uint32_t request = 0, flags = 0, size = 0;
	bool is_reply = is_reply_side(side);
	const struct row *row;
	enum vhu_payload kind;

	vc_bytes_get_le32(&c, &request);
	vc_bytes_get_le32(&c, &flags);
	vc_bytes_get_le32(&c, &size);
	row = find_row(side, request);
	if (!row)
		return vc_fail(err, VC_E_PEER, 0, "request %u: not known",
			       request);
	if ((flags & VHU_FLAG_VERSION_MASK) != VHU_FLAG_VERSION)
		return vc_fail(err, VC_E_PEER, 0, "%s: version %u", row->name,
			       flags & VHU_FLAG_VERSION_MASK);
	flags &= ~VHU_FLAG_VERSION_MASK;
	if (!!(flags & VHU_FLAG_REPLY) != is_reply)
		return vc_fail(err, VC_E_PEER, 0, "%s: %s", row->name,
			       is_reply ? "a request instead of a reply"
					: "a reply instead of a request");
	kind = is_reply ? row->reply : row->request;
	if (is_reply && kind == VHU_P_INVALID)
		kind = VHU_P_U64;
	if (size < bounds[kind].min || size > bounds[kind].max)
		return vc_fail(err, VC_E_PEER, 0, "%s: %u bytes of payload",
			       row->name, size);
	*ret = (struct vhu_msg){ .request = request,
				 .flags = flags,
				 .size_bytes = size,
				 .kind = kind };
	return 0;
}

static bool parse_mem(struct vc_bytes *c, size_t nr_fds, struct vhu_msg *msg)
{
	uint32_t nr = 0, padding, i;

	vc_bytes_get_le32(c, &nr);
	vc_bytes_get_le32(c, &padding);
	if (nr > VHU_MAX_REGIONS || nr != nr_fds)
		return false;
	for (i = 0; i < nr; i++) {
		struct vhu_region *r = &msg->mem.regions[i];

		vc_bytes_get_le64(c, &r->gpa);
		vc_bytes_get_le64(c, &r->size_bytes);
		vc_bytes_get_le64(c, &r->user_addr);
		vc_bytes_get_le64(c, &r->fd_offset);
	}
	msg->mem.nr = nr;
	return true;
}

static bool parse_config(struct vc_bytes *c, bool is_reply, struct vhu_msg *msg)
{
	uint32_t left;

	if (!msg->size_bytes)
		return is_reply; /* nothing: refused */
	vc_bytes_get_le32(c, &msg->config.offset);
	vc_bytes_get_le32(c, &msg->config.size);
	vc_bytes_get_le32(c, &msg->config.flags);
	left = (uint32_t)vc_bytes_left(c);
	if (left > VHU_MAX_CONFIG || (left && left != msg->config.size))
		return false;
	msg->config.len = left;
	return vc_bytes_get(c, msg->config.data, left);
}

static bool parse_kind(struct vc_bytes *c, bool is_reply, size_t nr_fds,
		       struct vhu_msg *msg)
{
	switch (msg->kind) {
	case VHU_P_INVALID:
		return false;
	case VHU_P_NONE:
		return true;
	case VHU_P_U64:
		return vc_bytes_get_le64(c, &msg->u64);
	case VHU_P_STATE:
		vc_bytes_get_le32(c, &msg->state.index);
		return vc_bytes_get_le32(c, &msg->state.num);
	case VHU_P_ADDR:
		vc_bytes_get_le32(c, &msg->addr.index);
		vc_bytes_get_le32(c, &msg->addr.flags);
		vc_bytes_get_le64(c, &msg->addr.desc);
		vc_bytes_get_le64(c, &msg->addr.used);
		vc_bytes_get_le64(c, &msg->addr.avail);
		return vc_bytes_get_le64(c, &msg->addr.log);
	case VHU_P_MEM:
		return parse_mem(c, nr_fds, msg);
	case VHU_P_CONFIG:
		return parse_config(c, is_reply, msg);
	}
	return false;
}

/* Of KICK, CALL and ERR: the flag in the payload says whether a descriptor
 * comes along. */
static bool vring_fd_agrees(const struct vhu_msg *msg, size_t nr_fds)
{
	return !(msg->u64 &
		 ~(uint64_t)(VHU_VRING_NO_FD | VHU_MAX_QUEUE_INDEX)) &&
	       nr_fds == (msg->u64 & VHU_VRING_NO_FD ? 0 : 1);
}

int vhu_parse_payload(enum vhu_side side, const uint8_t *buf, size_t nr_fds,
		      struct vhu_msg *msg, struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(buf, msg->size_bytes);
	const struct row *row = find_row(side, msg->request);
	bool is_reply = is_reply_side(side);
	size_t min_fds = 0, max_fds = 0;

	assert(row);
	if (!is_reply) {
		min_fds = row->min_fds;
		max_fds = row->max_fds;
	}
	if (nr_fds < min_fds || nr_fds > max_fds)
		return vc_fail(err, VC_E_PEER, 0, "%s: %zu descriptors",
			       row->name, nr_fds);
	if (!parse_kind(&c, is_reply, nr_fds, msg) || c.bad ||
	    vc_bytes_left(&c))
		return vc_fail(err, VC_E_PEER, 0, "%s: malformed payload",
			       row->name);
	if (side == VHU_TO_BACKEND && row->request == VHU_P_U64 &&
	    row->max_fds == 1 && !vring_fd_agrees(msg, nr_fds))
		return vc_fail(err, VC_E_PEER, 0,
			       "%s: payload and descriptor disagree",
			       row->name);
	return 0;
}

static void put32(uint8_t **p, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(*p, &x, sizeof(x));
	*p += sizeof(x);
}

static void put64(uint8_t **p, uint64_t v)
{
	le64_t x = le64_put(v);

	memcpy(*p, &x, sizeof(x));
	*p += sizeof(x);
}

static void encode_mem(const struct vhu_msg *msg, uint8_t **p)
{
	uint32_t i;

	assert(msg->mem.nr <= VHU_MAX_REGIONS);
	put32(p, msg->mem.nr);
	put32(p, 0);
	for (i = 0; i < msg->mem.nr; i++) {
		const struct vhu_region *r = &msg->mem.regions[i];

		put64(p, r->gpa);
		put64(p, r->size_bytes);
		put64(p, r->user_addr);
		put64(p, r->fd_offset);
	}
}

static void encode_config(const struct vhu_msg *msg, uint8_t **p)
{
	assert(msg->config.len <= VHU_MAX_CONFIG);
	put32(p, msg->config.offset);
	put32(p, msg->config.size);
	put32(p, msg->config.flags);
	memcpy(*p, msg->config.data, msg->config.len);
	*p += msg->config.len;
}

size_t vhu_encode(const struct vhu_msg *msg, uint8_t *buf)
{
	uint8_t *p = buf + VHU_HEADER_BYTES;
	uint8_t *head = buf;

	switch (msg->kind) {
	case VHU_P_INVALID:
	case VHU_P_NONE:
		break;
	case VHU_P_U64:
		put64(&p, msg->u64);
		break;
	case VHU_P_STATE:
		put32(&p, msg->state.index);
		put32(&p, msg->state.num);
		break;
	case VHU_P_ADDR:
		put32(&p, msg->addr.index);
		put32(&p, msg->addr.flags);
		put64(&p, msg->addr.desc);
		put64(&p, msg->addr.used);
		put64(&p, msg->addr.avail);
		put64(&p, msg->addr.log);
		break;
	case VHU_P_MEM:
		encode_mem(msg, &p);
		break;
	case VHU_P_CONFIG:
		encode_config(msg, &p);
		break;
	}
	put32(&head, msg->request);
	put32(&head, msg->flags | VHU_FLAG_VERSION);
	put32(&head, (uint32_t)(p - buf - VHU_HEADER_BYTES));
	return (size_t)(p - buf);
}
