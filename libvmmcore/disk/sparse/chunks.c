/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The chunks' headers lie between the data, so all of them are read at open and
 * kept as two numbers each, a mark: the first block, and what is there: two bits
 * of type above the place in the file or the word that repeats. If there are
 * more chunks than is good for memory, a mark is made for every few of them
 * only, and says where in the file the first of these is; their headers are read
 * once more when one of them is wanted.
 *
 * The checksum of an image is one of all its bytes: if it has one, opening
 * reads it all, once, because nobody who reads here and there could compare it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "disk/sparse/sparse.h"

#define WINDOW_BYTES (64 * 1024)
#define VERIFY_BYTES (1024 * 1024)

#define WHAT_SHIFT 62
#define WHAT_MASK ((UINT64_C(1) << WHAT_SHIFT) - 1)
enum { WHAT_RAW, WHAT_FILL, WHAT_DONT_CARE };

/* Reading headers: most are near the one before. */
struct loader {
	int fd;
	uint64_t file_bytes;
	bool verify;
	struct sp_header h;
	uint64_t pos;	/* in the file */
	uint64_t block; /* of the disk */
	uint32_t nr_chunks;
	uint32_t crc;
	uint32_t max_kept;
	struct sp_index x;
	uint64_t window_offset;
	size_t window_len;
	uint8_t *window, *buf;
};

/* `len` bytes at `offset`, which are in the file, by way of the window. */
static int peek(struct loader *l, uint64_t offset, void *buf, size_t len,
		struct vc_error *err)
{
	if (offset < l->window_offset ||
	    offset + len > l->window_offset + l->window_len) {
		l->window_offset = offset;
		l->window_len = (size_t)vc_min_u64(WINDOW_BYTES,
						   l->file_bytes - offset);
		if (vc_pread_full(l->fd, l->window, l->window_len, offset) < 0)
			return vc_fail(err, VC_E_SYS, errno, "read header");
	}
	memcpy(buf, l->window + (offset - l->window_offset), len);
	return 0;
}

static int check_header(struct loader *l, struct vc_error *err)
{
	const struct sp_header *h = &l->h;
	uint32_t block = le32_get(h->block_bytes);
	uint32_t nr_chunks = le32_get(h->nr_chunks);

	if (le32_get(h->magic) != SP_MAGIC)
		return vc_fail(err, VC_E_CORRUPT, 0, "header: magic");
	if (le16_get(h->major) != SP_MAJOR)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "header: version %u.%u", le16_get(h->major),
			       le16_get(h->minor));
	/* others may have added to them */
	if (le16_get(h->header_bytes) < sizeof(*h) ||
	    le16_get(h->chunk_header_bytes) < sizeof(struct sp_chunk_header))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "header: headers of %u and %u bytes",
			       le16_get(h->header_bytes),
			       le16_get(h->chunk_header_bytes));
	if (!block || block % 4)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "header: block size %u: no multiple of 4",
			       block);
	if (nr_chunks > SP_MAX_CHUNKS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "header: %u chunks, more than %u", nr_chunks,
			       SP_MAX_CHUNKS);
	l->nr_chunks = nr_chunks;
	l->x.fd = l->fd;
	l->x.file_bytes = l->file_bytes;
	l->x.chunk_header_bytes = le16_get(h->chunk_header_bytes);
	l->x.stride = 1;
	while (nr_chunks / l->x.stride >= SP_MAX_MARKS &&
	       l->x.stride < SP_MAX_STRIDE)
		l->x.stride *= 2;
	l->pos = le16_get(h->header_bytes);
	l->x.block_bytes = block;
	l->x.nr_blocks = le32_get(h->nr_blocks);
	l->x.nr_in_file = nr_chunks;
	if (sp_index_total(&l->x) > VC_DISK_MAX_BYTES ||
	    l->file_bytes > WHAT_MASK)
		return vc_fail(err, VC_E_LIMIT, 0, "header: size");
	if (l->pos > l->file_bytes ||
	    nr_chunks > (l->file_bytes - l->pos) / l->x.chunk_header_bytes)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "header: %u chunks: longer than the file",
			       nr_chunks);
	return 0;
}

static int add_mark(struct loader *l, uint64_t what, struct vc_error *err)
{
	struct sp_index *x = &l->x;

	if (x->nr_marks == l->max_kept) {
		uint32_t max = l->max_kept ? l->max_kept * 2 : 256;
		void *p;

		p = reallocarray(x->first, (size_t)max + 1, sizeof(*x->first));
		if (p)
			x->first = p;
		else
			return vc_fail(err, VC_E_SYS, ENOMEM, "chunks");
		p = reallocarray(x->what, max, sizeof(*x->what));
		if (p)
			x->what = p;
		else
			return vc_fail(err, VC_E_SYS, ENOMEM, "chunks");
		l->max_kept = max;
	}
	x->first[x->nr_marks] = (uint32_t)l->block;
	x->what[x->nr_marks++] = what;
	return 0;
}

/* Add a chunk that begins at l->block, or make the last one longer. */
static int keep(struct loader *l, unsigned type, uint64_t value,
		struct vc_error *err)
{
	uint64_t what = value | (uint64_t)type << WHAT_SHIFT;
	struct sp_index *x = &l->x;

	/* the place in the file differs, of raw ones */
	if (x->stride > 1 || (x->nr_marks && x->what[x->nr_marks - 1] == what))
		return 0;
	return add_mark(l, what, err);
}

static int verify_raw(struct loader *l, uint64_t offset, uint64_t len,
		      struct vc_error *err)
{
	while (len) {
		size_t n = (size_t)vc_min_u64(len, VERIFY_BYTES);

		if (vc_pread_full(l->fd, l->buf, n, offset) < 0)
			return vc_fail(err, VC_E_SYS, errno, "read");
		l->crc = sp_crc(l->crc, l->buf, n);
		offset += n;
		len -= n;
	}
	return 0;
}

static int load_raw(struct loader *l, uint64_t offset, uint64_t nr_blocks,
		    struct vc_error *err)
{
	uint64_t len = nr_blocks * l->x.block_bytes;

	if (nr_blocks && keep(l, WHAT_RAW, offset, err) < 0)
		return -1;
	return l->verify ? verify_raw(l, offset, len, err) : 0;
}

static int load_fill(struct loader *l, uint64_t offset, uint64_t nr_blocks,
		     struct vc_error *err)
{
	le32_t fill;

	if (peek(l, offset, &fill, sizeof(fill), err) < 0)
		return -1;
	if (nr_blocks && keep(l, WHAT_FILL, le32_get(fill), err) < 0)
		return -1;
	if (l->verify)
		l->crc = sp_crc_repeat(l->crc, &fill, sizeof(fill),
				       nr_blocks * l->x.block_bytes / 4);
	return 0;
}

static int load_dont_care(struct loader *l, uint64_t nr_blocks,
			  struct vc_error *err)
{
	static const uint32_t zero;

	if (nr_blocks && keep(l, WHAT_DONT_CARE, 0, err) < 0)
		return -1;
	if (l->verify)
		l->crc = sp_crc_repeat(l->crc, &zero, sizeof(zero),
				       nr_blocks * l->x.block_bytes / 4);
	return 0;
}

static int load_crc(struct loader *l, uint64_t offset, uint32_t nr,
		    struct vc_error *err)
{
	le32_t crc;

	l->x.has_checksums = true;
	if (peek(l, offset, &crc, sizeof(crc), err) < 0)
		return -1;
	if (l->verify && le32_get(crc) != l->crc)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: checksum of what is in front of it: "
			       "0x%08x, not 0x%08x",
			       nr, l->crc, le32_get(crc));
	return 0;
}

/* How long the data of a chunk must be; UINT64_MAX: no such chunk. */
static uint64_t data_bytes(const struct sp_index *x, unsigned type,
			   uint64_t nr_blocks)
{
	switch (type) {
	case SP_RAW:
		return nr_blocks * x->block_bytes;
	case SP_FILL:
		return sizeof(le32_t);
	case SP_DONT_CARE:
		return 0;
	case SP_CRC:
		return nr_blocks ? UINT64_MAX : sizeof(le32_t);
	default:
		return UINT64_MAX;
	}
}

static int load_chunk(struct loader *l, uint32_t nr, struct vc_error *err)
{
	struct sp_chunk_header h;
	uint64_t nr_blocks, len, data = l->pos + l->x.chunk_header_bytes;
	unsigned type;

	if (!vc_range_ok(l->pos, l->x.chunk_header_bytes, l->file_bytes))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: beyond the end of the file", nr);
	if (peek(l, l->pos, &h, sizeof(h), err) < 0)
		return -1;
	type = le16_get(h.type);
	nr_blocks = le32_get(h.nr_blocks);
	len = data_bytes(&l->x, type, nr_blocks);
	if (len == UINT64_MAX)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: type 0x%04x of %llu blocks", nr, type,
			       (unsigned long long)nr_blocks);
	if (le32_get(h.total_bytes) != l->x.chunk_header_bytes + len)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: %u bytes for %llu blocks", nr,
			       le32_get(h.total_bytes),
			       (unsigned long long)nr_blocks);
	if (!vc_range_ok(data, len, l->file_bytes))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: beyond the end of the file", nr);
	if (nr_blocks > l->x.nr_blocks - l->block)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunk %u: more blocks than the header says",
			       nr);
	if (l->x.stride > 1 && nr % l->x.stride == 0 &&
	    add_mark(l, l->pos, err) < 0)
		return -1;
	if ((type == SP_RAW	    ? load_raw(l, data, nr_blocks, err)
	     : type == SP_FILL	    ? load_fill(l, data, nr_blocks, err)
	     : type == SP_DONT_CARE ? load_dont_care(l, nr_blocks, err)
				    : load_crc(l, data, nr, err)) < 0)
		return -1;
	l->block += nr_blocks;
	if (type != SP_DONT_CARE)
		l->x.nr_allocated += (uint32_t)nr_blocks;
	l->pos = data + len;
	return 0;
}

static int load_all(struct loader *l, struct vc_error *err)
{
	uint32_t i;

	for (i = 0; i < l->nr_chunks; i++)
		if (load_chunk(l, i, err) < 0)
			return -1;
	if (l->block != l->x.nr_blocks)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunks: %llu blocks, not %u: not written to "
			       "its end?",
			       (unsigned long long)l->block, l->x.nr_blocks);
	if (l->x.nr_marks)
		l->x.first[l->x.nr_marks] = l->x.nr_blocks;
	if (le32_get(l->h.checksum)) {
		l->x.has_checksums = true;
		if (l->verify && le32_get(l->h.checksum) != l->crc)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "header: checksum 0x%08x, not 0x%08x",
				       l->crc, le32_get(l->h.checksum));
	}
	return 0;
}

static int load(struct loader *l, struct vc_error *err)
{
	l->window = malloc(WINDOW_BYTES);
	if (!l->window)
		return vc_fail(err, VC_E_SYS, ENOMEM, "header");
	if (l->file_bytes < sizeof(l->h))
		return vc_fail(err, VC_E_CORRUPT, 0, "header: no room");
	if (peek(l, 0, &l->h, sizeof(l->h), err) < 0 ||
	    check_header(l, err) < 0)
		return -1;
	return load_all(l, err);
}

int sp_index_load(int fd, uint64_t file_bytes, bool verify,
		  struct sp_index *ret, struct vc_error *err)
{
	struct loader l = { .fd = fd, .file_bytes = file_bytes };
	int result = load(&l, err);

	/* once more, now that it is known whether there is anything to verify;
	 * it is all checked again, for nobody holds the file still */
	if (result == 0 && verify && l.x.has_checksums) {
		uint8_t *window = l.window;

		sp_index_free(&l.x);
		free(window);
		l = (struct loader){ .fd = fd,
				     .file_bytes = file_bytes,
				     .verify = true,
				     .buf = malloc(VERIFY_BYTES) };
		result = l.buf ? load(&l, err)
			       : vc_fail(err, VC_E_SYS, ENOMEM, "header");
	}
	free(l.window);
	free(l.buf);
	if (result < 0) {
		sp_index_free(&l.x);
		return -1;
	}
	*ret = l.x;
	return 0;
}

void sp_index_free(struct sp_index *x)
{
	free(x->first);
	free(x->what);
	x->first = NULL;
	x->what = NULL;
}

static uint32_t find_mark(const struct sp_index *x, uint64_t block)
{
	uint32_t low = 0, high = x->nr_marks;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (x->first[mid] <= block)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static struct sp_chunk chunk_of(const struct sp_index *x, uint32_t mark)
{
	static const uint16_t types[] = { SP_RAW, SP_FILL, SP_DONT_CARE };
	uint64_t what = x->what[mark];
	struct sp_chunk c = {
		.type = types[what >> WHAT_SHIFT],
		.first = x->first[mark],
		.nr_blocks = x->first[mark + 1] - x->first[mark],
	};

	if (c.type == SP_RAW)
		c.file_offset = what & WHAT_MASK;
	else
		c.fill = (uint32_t)what;
	return c;
}

/* Read and check a chunk's header at *pos, which is moved behind the chunk. */
static bool reload_chunk(const struct sp_index *x, uint64_t *pos,
			 uint64_t block, uint64_t end, struct sp_chunk *ret)
{
	uint64_t data = *pos + x->chunk_header_bytes, nr, len;
	struct sp_chunk_header h;
	le32_t fill;

	if (!vc_range_ok(*pos, x->chunk_header_bytes, x->file_bytes) ||
	    vc_pread_full(x->fd, &h, sizeof(h), *pos) < 0)
		return false;
	nr = le32_get(h.nr_blocks);
	*ret = (struct sp_chunk){ .type = le16_get(h.type),
				  .first = block,
				  .nr_blocks = nr };
	len = data_bytes(x, ret->type, nr);
	if (len == UINT64_MAX || nr > end - block ||
	    le32_get(h.total_bytes) != x->chunk_header_bytes + len ||
	    !vc_range_ok(data, len, x->file_bytes))
		return false;
	if (ret->type == SP_RAW)
		ret->file_offset = data;
	if (ret->type == SP_FILL) {
		if (vc_pread_full(x->fd, &fill, sizeof(fill), data) < 0)
			return false;
		ret->fill = le32_get(fill);
	}
	*pos = data + len;
	return true;
}

/* The chunks of a mark, which must end where the next one begins. */
static bool load_group(struct sp_index *x, uint32_t mark)
{
	uint64_t block = x->first[mark], end = x->first[mark + 1];
	uint64_t pos = x->what[mark];
	uint32_t i;

	x->nr_group = 0;
	for (i = 0; i < x->stride && block < end; i++) {
		struct sp_chunk *c = &x->group[x->nr_group];

		if (!reload_chunk(x, &pos, block, end, c))
			break;
		block += c->nr_blocks;
		if (c->nr_blocks)
			x->nr_group++;
	}
	if (block == end) {
		x->group_mark = mark;
		return true;
	}
	x->nr_group = 0;
	return false;
}

bool sp_index_get(struct sp_index *x, uint64_t offset, struct sp_chunk *ret)
{
	uint64_t block = offset / x->block_bytes;
	uint32_t mark = find_mark(x, block);
	unsigned i;

	if (x->stride == 1) {
		*ret = chunk_of(x, mark);
		return true;
	}
	if ((!x->nr_group || x->group_mark != mark) && !load_group(x, mark))
		return false;
	for (i = 0; i < x->nr_group; i++)
		if (block - x->group[i].first < x->group[i].nr_blocks) {
			*ret = x->group[i];
			return true;
		}
	return false;
}
