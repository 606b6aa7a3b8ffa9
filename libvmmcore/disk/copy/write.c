/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a piece: what is data in it, what is zero, what can be shared. By the
 * thread that writes, or by a worker: whoever has the slot.
 *
 * ext4 delays the allocation of what is written to a hole, and keeps books
 * about that block by block, with the inode locked: more work than the copying.
 * A range that has its blocks is spared that, so it is given them by one call
 * first: that takes 0.6 of the time. Only what is written as data is allocated.
 * That this fails says nothing yet: the write will.
 */
#include <fcntl.h>
#include "disk/copy/copy.h"

static void write_failed(struct copy *c, enum vc_disk_status status,
			 uint64_t at)
{
	struct vc_error err;

	vc_fail(&err, VC_E_SYS, vc_disk_status_errno(status),
		"%s: write at %llu", c->dst->name, (unsigned long long)at);
	copy_fail(c, &err);
}

void copy_set_free(struct slot *s)
{
	struct copy *c = s->copy;

	pthread_mutex_lock(&c->lock);
	s->state = SLOT_FREE;
	pthread_cond_broadcast(&c->slot_free);
	pthread_mutex_unlock(&c->lock);
}

/* What came of a PIECE_SHARE. */
static void share_done(struct copy *c, const struct vc_disk_req *req)
{
	bool copied = req->flags & VC_DISK_REQ_COPIED;

	pthread_mutex_lock(&c->lock);
	if (c->plan.share == SHARE_TRYING) {
		if (!copied)
			c->plan.share = SHARE_YES;
		else if (c->opts->share == VC_CONVERT_SHARE_OFFLOAD)
			c->plan.share = SHARE_COPY;
		else
			c->plan.share = SHARE_NO;
		pthread_cond_broadcast(&c->slot_free);
	}
	if (!copied)
		c->result.nr_shared_bytes += req->length_bytes;
	pthread_mutex_unlock(&c->lock);
}

static void write_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct write_req *wr = vc_container_of(req, struct write_req, req);
	struct slot *s = wr->slot;

	if (req->op == VC_DISK_SHARE)
		share_done(s->copy, req);
	if (status != VC_DISK_OK)
		write_failed(s->copy, status, req->offset_bytes);
	wr->next = s->free_reqs;
	s->free_reqs = wr;
	if (!--s->nr_writing && s->write_pos >= s->piece.len)
		copy_set_free(s);
}

static void submit(struct slot *s, enum vc_disk_op op, uint64_t len)
{
	bool has_data = op == VC_DISK_WRITE || op == VC_DISK_WRITE_COMPRESSED;
	struct write_req *wr = s->free_reqs;

	s->free_reqs = wr->next;
	if (has_data)
		wr->iov = (struct iovec){ s->data + s->write_pos, (size_t)len };
	wr->req = (struct vc_disk_req){
		.op = op,
		.flags = op == VC_DISK_WRITE_ZEROES ? VC_DISK_REQ_UNMAP
			 : op == VC_DISK_SHARE	    ? VC_DISK_REQ_COPY
						    : 0,
		.offset_bytes = s->piece.offset + s->write_pos,
		.length_bytes = len,
		.iov = &wr->iov,
		.nr_iov = has_data ? 1 : 0,
		.share_fd = s->piece.fd,
		.share_offset = s->piece.host + s->write_pos,
		.done = write_done,
	};
	if (has_data && s->copy->allocates)
		(void)!fallocate(s->dst->fd, FALLOC_FL_KEEP_SIZE,
				 (off_t)wr->req.offset_bytes, (off_t)len);
	s->write_pos += len;
	s->nr_writing++;
	vc_disk_submit(s->dst, &wr->req);
}

uint64_t copy_next_run(const struct slot *s, bool *ret_zero)
{
	const struct copy *c = s->copy;
	uint64_t pos = s->write_pos;

	*ret_zero = s->piece.kind == PIECE_ZERO;
	if (s->piece.kind != PIECE_DATA || (!c->granule && !c->cluster))
		return s->piece.len - pos;
	if (c->cluster) {
		*ret_zero = c->granule && copy_is_zero_at(s, pos);
		return vc_min_u64(c->cluster, s->piece.len - pos);
	}
	*ret_zero = copy_is_zero_at(s, pos);
	while (pos < s->piece.len && copy_is_zero_at(s, pos) == *ret_zero)
		pos += copy_granule_len(c, s, pos);
	return pos - s->write_pos;
}

/* Submit a compressed cluster. Returns false if the one at s->write_pos is to
 * be written as it is. */
static bool submit_packed(struct slot *s, uint64_t len)
{
	const struct copy *c = s->copy;
	uint32_t n;

	if (!c->cluster)
		return false;
	n = s->packed[s->write_pos / c->cluster];
	if (!n)
		return false;
	submit(s, VC_DISK_WRITE_COMPRESSED, n);
	s->write_pos += len - n;
	return true;
}

bool copy_write_slot(struct slot *s)
{
	const struct vc_convert_opts *o = s->copy->opts;

	while (s->write_pos < s->piece.len) {
		bool zero;
		uint64_t len;

		if (!s->free_reqs)
			return false;
		len = copy_next_run(s, &zero);
		if (s->piece.kind == PIECE_SHARE)
			submit(s, VC_DISK_SHARE, len);
		else if (!zero && !submit_packed(s, len))
			submit(s, VC_DISK_WRITE, len);
		else if (!zero)
			continue;
		else if (!o->dst_is_zero || o->over_backing)
			submit(s, VC_DISK_WRITE_ZEROES, len);
		else
			s->write_pos += len;
	}
	if (!s->nr_writing)
		copy_set_free(s);
	return true;
}
