/* SPDX-License-Identifier: BSD-3-Clause */
/* A byte stream as agent or host reads it: frames, the request, the rings. The
 * first byte says in which pieces the rest arrives. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/agent.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vc_agent_ring rings[2];
static struct vc_agent_writer writer;
static uint32_t credit;
static int null_fd;

/* What decodes must encode to the same bytes. */
static void request(const uint8_t *payload, size_t len)
{
	static uint8_t again[VC_AGENT_MAX_PAYLOAD];
	struct vc_agent_exec exec;
	struct vc_error err;
	void *storage;
	size_t again_len;

	if (vc_agent_exec_decode(payload, len, &exec, &storage, &err) < 0)
		return;
	if (vc_agent_exec_encode(&exec, again, sizeof(again), &again_len,
				 &err) < 0 ||
	    again_len != len || memcmp(again, payload, len))
		abort();
	free(storage);
}

static bool frame(enum vc_agent_type type, const uint8_t *payload, size_t len)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	struct vc_agent_ring *ring = &rings[type == VC_AGENT_STDERR];
	uint32_t stream, more;

	switch (type) {
	case VC_AGENT_EXEC:
		request(payload, len);
		break;
	case VC_AGENT_STDIN:
	case VC_AGENT_STDOUT:
	case VC_AGENT_STDERR:
		if (vc_agent_ring_put(ring, payload, len) != VC_AGENT_OK)
			return false;
		if (ring->used > VC_AGENT_WINDOW)
			abort();
		if (len & 1) /* a reader that is slower than the writer */
			vc_agent_ring_write(ring, null_fd, len);
		vc_agent_ring_grant(ring, &writer, type);
		writer.used = 0;
		break;
	case VC_AGENT_CREDIT:
		if (vc_bytes_get_le32(&c, &stream) &&
		    vc_bytes_get_le32(&c, &more) &&
		    vc_agent_credit_add(&credit, more) != VC_AGENT_OK)
			return false;
		if (credit > VC_AGENT_WINDOW)
			abort();
		break;
	case VC_AGENT_HELLO:
	case VC_AGENT_EXIT:
	case VC_AGENT_ERROR:
	case VC_AGENT_SIGNAL:
	case VC_AGENT_SHUTDOWN:
		break;
	}
	return true;
}

static void feed(struct vc_agent_reader *r, const uint8_t *data, size_t size,
		 size_t step)
{
	while (size) {
		enum vc_agent_status st;
		enum vc_agent_type type;
		const uint8_t *payload;
		size_t room, len;
		uint8_t *to = vc_agent_reader_space(r, &room);

		/* a full buffer would be a reader that is stuck */
		if (!room)
			abort();
		len = room < step ? room : step;
		len = len < size ? len : size;
		memcpy(to, data, len);
		vc_agent_reader_add(r, len);
		data += len;
		size -= len;
		while ((st = vc_agent_reader_get(r, &type, &payload, &len)) ==
		       VC_AGENT_OK) {
			if (!frame(type, payload, len))
				return;
			vc_agent_reader_drop(r);
		}
		if (st == VC_AGENT_BROKEN)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vc_agent_reader r;
	struct vc_error err;

	if (!size)
		return 0;
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	credit = 0;
	if (vc_agent_reader_init(&r, &err) == 0 &&
	    vc_agent_writer_init(&writer, &err) == 0 &&
	    vc_agent_ring_init(&rings[0], &err) == 0 &&
	    vc_agent_ring_init(&rings[1], &err) == 0)
		feed(&r, data + 1, size - 1, 1 + (size_t)data[0] * 97);
	vc_agent_reader_fini(&r);
	vc_agent_writer_fini(&writer);
	vc_agent_ring_fini(&rings[0]);
	vc_agent_ring_fini(&rings[1]);
	close(null_fd);
	return 0;
}
