/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What to copy: one walk over the block status of the sources.
 *
 * Pieces begin and end at multiples of the destination's cluster, so that each
 * of its clusters is written once and as a whole: a cluster with a byte of data
 * in it is data. What is between is skipped or becomes one long piece.
 */
#include "disk/copy/copy.h"

#define SHARE_MAX (UINT64_C(1) << 30) /* at a time, for the sake of progress */

size_t plan_source_at(const struct plan *p, uint64_t offset)
{
	size_t low = 0, high = p->nr_sources;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (p->sources[mid].start <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

struct vc_disk *copy_layer_of(struct vc_disk *d, const struct vc_disk_extent *e)
{
	unsigned depth;

	for (depth = e->depth; depth && d; depth--)
		d = d->backing;
	if (!d || e->host_offset == UINT64_MAX || !d->is_regular)
		return NULL;
	return d->ops == &raw_ops || d->ops == &qcow2_ops ? d : NULL;
}

static int file_of(struct vc_disk *d, const struct vc_disk_extent *e)
{
	const struct vc_disk *layer = copy_layer_of(d, e);

	return layer ? layer->fd : -1;
}

/* A raw image can be shared over its holes: extents end where a unit does, and
 * a unit with data in it is data. */
static void round_raw(struct plan *p, const struct source *s)
{
	uint64_t end = s->start + s->size;

	if (p->ext_kind == EXT_DATA)
		p->ext_end =
			vc_min_u64(vc_align_up(p->ext_end, p->share_unit), end);
	else if (p->ext_end < end)
		p->ext_end = vc_align_down(p->ext_end, p->share_unit);
	if (p->ext_end > p->ext_start)
		return;
	p->ext_kind = EXT_DATA;
	p->ext_end = vc_min_u64(p->ext_start + p->share_unit, end);
	p->ext_fd = s->disk->is_regular ? s->disk->fd : -1;
	p->ext_host = p->ext_start - s->start + s->offset;
}

static int load_extent(struct plan *p, uint64_t offset, struct vc_error *err)
{
	const struct source *s = &p->sources[plan_source_at(p, offset)];
	uint64_t in = offset - s->start;
	struct vc_disk_extent e;

	if (vc_disk_map(s->disk, s->offset + in, s->size - in, &e, err) < 0)
		return -1;
	p->ext_start = offset;
	p->ext_end = offset + e.length_bytes;
	p->ext_fd = -1;
	p->ext_host = e.host_offset;
	if (p->opts->over_backing && (e.kind == VC_DISK_HOLE || e.depth)) {
		p->ext_kind = EXT_SKIP;
	} else if (!copy_is_zero_extent(&e)) {
		p->ext_kind = EXT_DATA;
		p->ext_fd = p->share != SHARE_NO ? file_of(s->disk, &e) : -1;
	} else if (p->opts->fill) {
		p->ext_kind = EXT_DATA;
	} else {
		p->ext_kind = p->opts->dst_is_zero && !p->opts->over_backing
				      ? EXT_SKIP
				      : EXT_ZERO;
	}
	if (p->share != SHARE_NO && s->disk->ops == &raw_ops)
		round_raw(p, s);
	return 0;
}

static int find_extent(struct plan *p, uint64_t offset, struct vc_error *err)
{
	if (offset >= p->ext_start && offset < p->ext_end)
		return 0;
	return load_extent(p, offset, err);
}

/* The part of the extent at p->pos that can be shared: aligned here and in its
 * file. Returns 0 if there is none at p->pos. */
static uint64_t shareable(const struct plan *p)
{
	uint64_t host = p->ext_host + (p->pos - p->ext_start);

	if (p->share == SHARE_NO || p->ext_kind != EXT_DATA || p->ext_fd < 0 ||
	    host % p->share_unit || p->pos % p->share_unit)
		return 0;
	return vc_align_down(vc_min_u64(p->ext_end - p->pos, SHARE_MAX),
			     p->share_unit);
}

/* A piece of data from p->pos on, up to where a chunk ends or a whole unit is
 * not data. */
static int data_piece(struct plan *p, struct piece *ret, struct vc_error *err)
{
	uint64_t limit = vc_align_down(p->pos + p->chunk, p->chunk);
	uint64_t end = p->pos;

	limit = vc_min_u64(limit, p->size);
	do {
		uint64_t to;

		if (find_extent(p, end, err) < 0)
			return -1;
		if (end > p->pos && p->ext_kind != EXT_DATA)
			break;
		to = p->ext_kind == EXT_DATA ? p->ext_end : end + 1;
		end = vc_min_u64(vc_align_up(to, p->unit), limit);
	} while (end < limit);
	*ret = (struct piece){ PIECE_DATA, p->pos, end - p->pos, -1, 0 };
	p->pos = end;
	return 0;
}

int plan_next(struct plan *p, struct piece *ret, bool *ret_end,
	      struct vc_error *err)
{
	*ret_end = false;
	while (p->pos < p->size) {
		uint64_t end, start = p->pos, len;

		if (find_extent(p, p->pos, err) < 0)
			return -1;
		len = shareable(p);
		if (len && p->share == SHARE_UNKNOWN &&
		    p->opts->share != VC_CONVERT_SHARE_OFFLOAD &&
		    eng_cannot_share(p->dst_fd, p->ext_fd)) {
			/* from the first byte on, data is looked at for
			 * zeroes */
			p->share = SHARE_NO;
			p->ext_end = p->ext_start; /* was rounded for it */
			continue;
		}
		if (len) {
			if (p->share == SHARE_UNKNOWN) {
				p->share = SHARE_TRYING;
				len = p->share_unit;
			}
			*ret = (struct piece){
				PIECE_SHARE, p->pos, len, p->ext_fd,
				p->ext_host + (p->pos - p->ext_start)
			};
			p->pos += len;
			return 0;
		}
		end = p->ext_end == p->size
			      ? p->size
			      : vc_align_down(p->ext_end, p->unit);
		if (p->ext_kind == EXT_DATA || end <= p->pos)
			return data_piece(p, ret, err);
		p->pos = end;
		if (p->ext_kind == EXT_ZERO) {
			*ret = (struct piece){ PIECE_ZERO, start, end - start,
					       -1, 0 };
			return 0;
		}
		p->nr_skipped += end - start;
	}
	*ret_end = true;
	return 0;
}
