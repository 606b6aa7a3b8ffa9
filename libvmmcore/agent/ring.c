/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow control of one stream, receiving side. The invariant that bounds it:
 *
 *	sender's credit + bytes on the way + used + owed = VC_AGENT_WINDOW
 *
 * so what arrives always fits, and a frame that does not fit is a sender that
 * broke the protocol. Credit goes back in steps, not once a write.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <vmmcore/agent.h>
#include <vmmcore/checked.h>

#define GRANT_STEP (VC_AGENT_WINDOW / 4)

int vc_agent_ring_init(struct vc_agent_ring *r, struct vc_error *err)
{
	*r = (struct vc_agent_ring){ .buf = malloc(VC_AGENT_WINDOW) };
	if (!r->buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "agent: stream buffer");
	return 0;
}

void vc_agent_ring_fini(struct vc_agent_ring *r)
{
	free(r->buf);
	*r = (struct vc_agent_ring){ .buf = NULL };
}

enum vc_agent_status vc_agent_ring_put(struct vc_agent_ring *r,
				       const uint8_t *data, size_t len)
{
	size_t end, first;

	if (r->is_eof || len > VC_AGENT_WINDOW - r->used - r->owed)
		return VC_AGENT_BROKEN;
	if (!len) {
		r->is_eof = true;
		return VC_AGENT_OK;
	}
	end = (r->start + r->used) % VC_AGENT_WINDOW;
	first = (size_t)vc_min_u64(len, VC_AGENT_WINDOW - end);
	memcpy(r->buf + end, data, first);
	memcpy(r->buf, data + first, len - first);
	r->used += len;
	return VC_AGENT_OK;
}

ssize_t vc_agent_ring_write(struct vc_agent_ring *r, int fd, size_t max)
{
	size_t len = (size_t)vc_min_u64(r->used, VC_AGENT_WINDOW - r->start);
	ssize_t n;

	len = (size_t)vc_min_u64(len, max);
	if (!len)
		return 0;
	do
		n = write(fd, r->buf + r->start, len);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		r->used -= (size_t)n;
		r->start =
			r->used ? (r->start + (size_t)n) % VC_AGENT_WINDOW : 0;
		r->owed += (uint32_t)n;
	}
	return n;
}

void vc_agent_ring_grant(struct vc_agent_ring *r, struct vc_agent_writer *w,
			 enum vc_agent_type stream)
{
	if (!r->is_eof && r->owed >= GRANT_STEP &&
	    vc_agent_writer_put_2u32(w, VC_AGENT_CREDIT, stream, r->owed))
		r->owed = 0;
}

enum vc_agent_status vc_agent_credit_add(uint32_t *credit, uint32_t more)
{
	if (more > VC_AGENT_WINDOW - *credit)
		return VC_AGENT_BROKEN;
	*credit += more;
	return VC_AGENT_OK;
}
