/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames in both directions. Reader and writer are a fixed buffer each, with
 * what is in use at [pos, pos + used): taking from the front moves `pos`, and
 * the bytes move to the start only when there is no room behind them, so that a
 * peer that sends tiny frames cannot make us copy the buffer once a frame.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <vmmcore/agent.h>
#include <vmmcore/checked.h>

#define HEADER_SIZE sizeof(struct vc_agent_header)
#define READER_SIZE (HEADER_SIZE + VC_AGENT_MAX_PAYLOAD)
/* two full data frames, so that one is filled while one is written */
#define WRITER_SIZE (2 * (HEADER_SIZE + VC_AGENT_MAX_PAYLOAD) + CONTROL_ROOM)
/* what a data frame leaves for control frames */
#define CONTROL_ROOM 4096
/* Data waits for at least this much room, so that a socket that drains in small
 * steps does not make us move the buffer for each of them. */
#define MIN_DATA (VC_AGENT_MAX_PAYLOAD / 2)

int vc_agent_reader_init(struct vc_agent_reader *r, struct vc_error *err)
{
	*r = (struct vc_agent_reader){ .buf = malloc(READER_SIZE) };
	if (!r->buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "agent: frame buffer");
	return 0;
}

void vc_agent_reader_fini(struct vc_agent_reader *r)
{
	free(r->buf);
	*r = (struct vc_agent_reader){ .buf = NULL };
}

uint8_t *vc_agent_reader_space(struct vc_agent_reader *r, size_t *ret_len)
{
	if (r->pos && r->pos + r->used == READER_SIZE) {
		memmove(r->buf, r->buf + r->pos, r->used);
		r->pos = 0;
	}
	*ret_len = READER_SIZE - r->pos - r->used;
	return r->buf + r->pos + r->used;
}

void vc_agent_reader_add(struct vc_agent_reader *r, size_t len)
{
	assert(len <= READER_SIZE - r->pos - r->used);
	r->used += len;
}

enum vc_agent_status vc_agent_reader_get(struct vc_agent_reader *r,
					 enum vc_agent_type *ret_type,
					 const uint8_t **ret_payload,
					 size_t *ret_len)
{
	struct vc_agent_header h;
	uint32_t len;
	uint16_t type;

	if (r->used < HEADER_SIZE)
		return VC_AGENT_MORE;
	memcpy(&h, r->buf + r->pos, sizeof(h));
	len = le32_get(h.length);
	type = le16_get(h.type);
	if (len > VC_AGENT_MAX_PAYLOAD || le16_get(h.flags) ||
	    type < VC_AGENT_HELLO || type > VC_AGENT_CREDIT)
		return VC_AGENT_BROKEN;
	if (r->used - HEADER_SIZE < len)
		return VC_AGENT_MORE;
	*ret_type = (enum vc_agent_type)type;
	*ret_payload = r->buf + r->pos + HEADER_SIZE;
	*ret_len = len;
	return VC_AGENT_OK;
}

void vc_agent_reader_drop(struct vc_agent_reader *r)
{
	struct vc_agent_header h;
	size_t size;

	assert(r->used >= HEADER_SIZE);
	memcpy(&h, r->buf + r->pos, sizeof(h));
	size = HEADER_SIZE + le32_get(h.length);
	assert(size <= r->used);
	r->used -= size;
	r->pos = r->used ? r->pos + size : 0;
}

int vc_agent_writer_init(struct vc_agent_writer *w, struct vc_error *err)
{
	*w = (struct vc_agent_writer){ .buf = malloc(WRITER_SIZE) };
	if (!w->buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "agent: frame buffer");
	return 0;
}

void vc_agent_writer_fini(struct vc_agent_writer *w)
{
	free(w->buf);
	*w = (struct vc_agent_writer){ .buf = NULL };
}

static uint8_t *writer_end(const struct vc_agent_writer *w)
{
	return w->buf + w->pos + w->used;
}

/* Bytes behind what is queued, after moving that to the front if fewer than
 * `want` are there. */
static size_t writer_room(struct vc_agent_writer *w, size_t want)
{
	if (w->pos && WRITER_SIZE - w->pos - w->used < want) {
		memmove(w->buf, w->buf + w->pos, w->used);
		w->pos = 0;
	}
	return WRITER_SIZE - w->pos - w->used;
}

static void writer_header(struct vc_agent_writer *w, enum vc_agent_type type,
			  size_t len)
{
	struct vc_agent_header h = {
		.length = le32_put((uint32_t)len),
		.type = le16_put((uint16_t)type),
	};

	memcpy(writer_end(w), &h, sizeof(h));
	w->used += sizeof(h) + len;
}

uint8_t *vc_agent_writer_space(struct vc_agent_writer *w, size_t *ret_len)
{
	const size_t overhead = HEADER_SIZE + CONTROL_ROOM;
	size_t room = writer_room(w, overhead + MIN_DATA);

	*ret_len = 0;
	if (room >= overhead + MIN_DATA)
		*ret_len = (size_t)vc_min_u64(room - overhead,
					      VC_AGENT_MAX_PAYLOAD);
	return writer_end(w) + HEADER_SIZE;
}

void vc_agent_writer_add(struct vc_agent_writer *w, enum vc_agent_type type,
			 size_t len)
{
	assert(len <= VC_AGENT_MAX_PAYLOAD &&
	       WRITER_SIZE - w->pos - w->used >= HEADER_SIZE + len);
	writer_header(w, type, len);
}

bool vc_agent_writer_put(struct vc_agent_writer *w, enum vc_agent_type type,
			 const void *payload, size_t len)
{
	assert(len <= VC_AGENT_MAX_PAYLOAD);
	if (writer_room(w, HEADER_SIZE + len) < HEADER_SIZE + len)
		return false;
	if (len)
		memcpy(writer_end(w) + HEADER_SIZE, payload, len);
	writer_header(w, type, len);
	return true;
}

bool vc_agent_writer_put_u32(struct vc_agent_writer *w, enum vc_agent_type type,
			     uint32_t value)
{
	le32_t v = le32_put(value);

	return vc_agent_writer_put(w, type, &v, sizeof(v));
}

bool vc_agent_writer_put_2u32(struct vc_agent_writer *w,
			      enum vc_agent_type type, uint32_t first,
			      uint32_t second)
{
	le32_t v[2] = { le32_put(first), le32_put(second) };

	return vc_agent_writer_put(w, type, v, sizeof(v));
}

bool vc_agent_writer_put_text(struct vc_agent_writer *w,
			      enum vc_agent_type type, uint32_t value,
			      const char *text)
{
	struct {
		le32_t value;
		char text[VC_AGENT_MAX_TEXT];
	} v = { .value = le32_put(value) };
	size_t len = strnlen(text, sizeof(v.text));

	memcpy(v.text, text, len);
	return vc_agent_writer_put(w, type, &v, sizeof(v.value) + len);
}

enum vc_agent_status vc_agent_writer_flush(struct vc_agent_writer *w, int sock)
{
	while (w->used) {
		ssize_t n = send(sock, w->buf + w->pos, w->used,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return VC_AGENT_MORE;
		if (n < 0)
			return VC_AGENT_BROKEN;
		w->pos += (size_t)n;
		w->used -= (size_t)n;
	}
	w->pos = 0;
	return VC_AGENT_OK;
}
