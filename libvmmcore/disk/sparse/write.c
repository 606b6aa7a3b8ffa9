/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a new image, in one pass from its beginning to its end.
 *
 * vc_disk_create() leaves a header that speaks of all blocks but of no chunks,
 * which makes it an error for every reader; close writes the true one. Bytes
 * gather in `part` until they are a block. A block that is one word all along
 * is a fill, what nobody wrote is don't-care, everything else is raw. Blocks of
 * one kind make one chunk. The header of a raw chunk comes before the number of
 * its blocks is known: such a chunk does not outlive the output buffer it
 * began in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/append.h"
#include "disk/sparse/sparse.h"

#define MIN_BLOCK 512
#define MAX_BLOCK (64 * 1024)

/* What vc_disk_create() writes. */
struct sp_stub {
	struct sp_header h;
	uint8_t text[15];
	uint8_t has_checksums;
};
_Static_assert(sizeof(struct sp_stub) == 44, "as on disk");

static const char stub_text[15] = "new disk image";

struct sp_writer {
	struct appender out;
	uint32_t block;
	bool has_checksums;
	uint32_t crc;
	uint8_t *part; /* ends at out.pos */
	size_t part_len;
	/* The chunk that is being made. */
	uint16_t type; /* 0: none */
	uint32_t fill; /* as in memory */
	uint64_t nr_blocks;
	uint8_t *raw_header; /* in the current buffer */
	uint32_t nr_chunks;
};

static struct sp_writer *to_writer(struct appender *a)
{
	return vc_container_of(a, struct sp_writer, out);
}

/* --- chunks --------------------------------------------------------------*/

static struct sp_chunk_header chunk_header(uint16_t type, uint64_t nr_blocks,
					   uint64_t data_bytes)
{
	return (struct sp_chunk_header){
		.type = le16_put(type),
		.nr_blocks = le32_put((uint32_t)nr_blocks),
		.total_bytes = le32_put((
			uint32_t)(sizeof(struct sp_chunk_header) + data_bytes)),
	};
}

static void count_chunk(struct sp_writer *w)
{
	w->type = 0;
	/* one is left for the checksum */
	if (++w->nr_chunks >= SP_MAX_CHUNKS)
		w->out.failed = VC_DISK_ENOSPC;
}

static void end_raw(struct sp_writer *w)
{
	struct sp_chunk_header h =
		chunk_header(SP_RAW, w->nr_blocks, w->nr_blocks * w->block);

	memcpy(w->raw_header, &h, sizeof(h));
	w->raw_header = NULL;
	count_chunk(w);
}

static void before_out(struct appender *a)
{
	if (to_writer(a)->raw_header)
		end_raw(to_writer(a));
}

static bool end_run(struct sp_writer *w)
{
	size_t len = w->type == SP_FILL ? sizeof(w->fill) : 0;
	struct sp_chunk_header h = chunk_header(w->type, w->nr_blocks, len);
	uint8_t *to = append_room(&w->out, sizeof(h) + len);

	if (!to)
		return false;
	memcpy(to, &h, sizeof(h));
	memcpy(to + sizeof(h), &w->fill, len);
	append_add(&w->out, sizeof(h) + len);
	if (w->has_checksums)
		w->crc = sp_crc_repeat(w->crc, &w->fill, sizeof(w->fill),
				       w->nr_blocks * w->block / 4);
	count_chunk(w);
	return true;
}

/* False: wait. */
static bool end_chunk(struct sp_writer *w)
{
	if (w->raw_header)
		end_raw(w);
	return !w->type || end_run(w);
}

/* `nr` blocks without bytes of their own. False: wait. */
static bool add_run(struct sp_writer *w, uint16_t type, uint32_t fill,
		    uint64_t nr)
{
	if (w->type != type || w->fill != fill) {
		if (!end_chunk(w))
			return false;
		w->type = type;
		w->fill = fill;
		w->nr_blocks = 0;
	}
	w->nr_blocks += nr;
	return true;
}

/* False: wait. */
static bool add_raw(struct sp_writer *w, const uint8_t *data)
{
	size_t head = sizeof(struct sp_chunk_header);
	uint8_t *to = NULL;

	if (w->raw_header) {
		/* ends the chunk where the buffer is full */
		to = append_room(&w->out, w->block);
		if (!to)
			return false;
	}
	if (!w->raw_header) {
		if (!end_chunk(w))
			return false;
		to = append_room(&w->out, head + w->block);
		if (!to)
			return false;
		w->type = SP_RAW;
		w->raw_header = to;
		w->nr_blocks = 0;
		append_add(&w->out, head);
		to += head;
	}
	memcpy(to, data, w->block);
	append_add(&w->out, w->block);
	w->nr_blocks++;
	if (w->has_checksums)
		w->crc = sp_crc(w->crc, data, w->block);
	return true;
}

/* --- blocks --------------------------------------------------------------*/

/* Put the block in `part` somewhere if it is full. False: wait. */
static bool emit_full(struct sp_writer *w)
{
	uint32_t word;

	if (w->part_len < w->block)
		return true;
	memcpy(&word, w->part, sizeof(word));
	if (memcmp(w->part, w->part + sizeof(word), w->block - sizeof(word))) {
		if (!add_raw(w, w->part))
			return false;
	} else if (!add_run(w, SP_FILL, word, 1)) {
		return false;
	}
	w->part_len = 0;
	return true;
}

/* Zeroes up to `end`; blocks of nothing else become `type`. False: wait. */
static bool emit_zeroes(struct sp_writer *w, uint64_t end, uint16_t type)
{
	while (w->out.pos < end && w->out.failed == VC_DISK_OK) {
		uint64_t gap = end - w->out.pos, n;

		if (!w->part_len && gap >= w->block) {
			if (!add_run(w, type, 0, gap / w->block))
				return false;
			w->out.pos += gap / w->block * w->block;
			continue;
		}
		n = vc_min_u64(gap, w->block - w->part_len);
		memset(w->part + w->part_len, 0, (size_t)n);
		w->part_len += (size_t)n;
		w->out.pos += n;
		if (!emit_full(w))
			return false;
	}
	return true;
}

static bool sp_write(struct appender *a, const struct vc_disk_req *req)
{
	struct sp_writer *w = to_writer(a);

	if (!emit_full(w) ||
	    !emit_zeroes(w, req->offset_bytes + a->req_pos, SP_DONT_CARE))
		return false;
	while (a->req_pos < req->length_bytes && a->failed == VC_DISK_OK) {
		uint64_t n = vc_min_u64(req->length_bytes - a->req_pos,
					w->block - w->part_len);

		disk_iov_get(req->iov, a->req_pos, w->part + w->part_len, n);
		w->part_len += (size_t)n;
		a->pos += n;
		a->req_pos += n;
		if (!emit_full(w))
			return false;
	}
	return true;
}

/* Zeroes that must be there are a fill; others come with the next write. */
static bool sp_write_zeroes(struct appender *a, const struct vc_disk_req *req)
{
	struct sp_writer *w = to_writer(a);

	if (req->flags & VC_DISK_REQ_UNMAP)
		return true;
	if (!emit_full(w) || !emit_zeroes(w, req->offset_bytes, SP_DONT_CARE))
		return false;
	a->req_pos = 1; /* may be called again, with a->pos inside */
	return emit_zeroes(w, req->offset_bytes + req->length_bytes, SP_FILL);
}

static const struct append_ops append_ops = {
	.write = sp_write,
	.write_zeroes = sp_write_zeroes,
	.before_out = before_out,
};

void sp_writer_submit(struct sp_disk *s, struct vc_disk_req *req)
{
	append_submit(&s->writer->out, req);
}

/* --- the end --------------------------------------------------------------*/

static struct sp_header header(uint32_t block, uint64_t size,
			       uint32_t nr_chunks, uint32_t crc)
{
	return (struct sp_header){
		.magic = le32_put(SP_MAGIC),
		.major = le16_put(SP_MAJOR),
		.header_bytes = le16_put(sizeof(struct sp_header)),
		.chunk_header_bytes = le16_put(sizeof(struct sp_chunk_header)),
		.block_bytes = le32_put(block),
		.nr_blocks = le32_put((uint32_t)(size / block)),
		.nr_chunks = le32_put(nr_chunks),
		.checksum = le32_put(crc),
	};
}

static void put_crc(struct sp_writer *w)
{
	struct sp_chunk_header h = chunk_header(SP_CRC, 0, sizeof(le32_t));
	le32_t crc = le32_put(w->crc);

	append_put(&w->out, &h, sizeof(h));
	append_put(&w->out, &crc, sizeof(crc));
	w->nr_chunks++;
}

int sp_writer_close(struct sp_disk *s, struct vc_error *err)
{
	struct sp_writer *w = s->writer;
	struct sp_header h;

	while (!emit_full(w) || !emit_zeroes(w, s->base.size, SP_DONT_CARE) ||
	       !end_chunk(w))
		append_settle(&w->out);
	if (append_check(&w->out, err) < 0)
		return -1;
	if (w->has_checksums)
		put_crc(w);
	if (append_finish(&w->out, err) < 0)
		return -1;
	h = header(w->block, s->base.size, w->nr_chunks, w->crc);
	if (vc_pwrite_full(s->base.fd, &h, sizeof(h), 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return append_end_file(&w->out, err);
}

static int check_size(uint64_t size, uint32_t block, struct vc_error *err)
{
	if (size % block)
		return vc_fail(err, VC_E_ARG, 0,
			       "size: no multiple of the block size %u", block);
	if (size / block > UINT32_MAX)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: more than 2^32 - 1 blocks of %u", block);
	return 0;
}

int sp_writer_set_size(struct sp_disk *s, uint64_t size, struct vc_error *err)
{
	if (size < s->writer->out.pos)
		return vc_fail(err, VC_E_ARG, 0, "%llu were written already",
			       (unsigned long long)s->writer->out.pos);
	return check_size(size, s->writer->block, err);
}

uint32_t sp_writer_block(const struct sp_disk *s)
{
	return s->writer->block;
}

/* --- the beginning --------------------------------------------------------*/

/* What is usual, if the size is made of such. */
static uint32_t default_block(uint64_t size)
{
	uint32_t block = SP_DEFAULT_BLOCK;

	while (block > MIN_BLOCK && size % block)
		block /= 2;
	while (block < MAX_BLOCK && size / block > UINT32_MAX &&
	       size % (block * 2) == 0)
		block *= 2;
	return block;
}

int sp_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err)
{
	uint32_t block = opts->cluster_bytes;
	struct sp_stub stub = {
		.has_checksums = opts->checksums == VC_DISK_CHECKSUMS_ON,
	};

	if (opts->backing_file || opts->refcount_bits || opts->version ||
	    opts->compression_level)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "an Android sparse image has no such options");
	if (!block)
		block = default_block(opts->size_bytes);
	if (block % 4 || block < MIN_BLOCK || block > MAX_BLOCK)
		return vc_fail(err, VC_E_ARG, 0,
			       "block size %u: not a multiple of 4 from %u to "
			       "%u",
			       block, MIN_BLOCK, MAX_BLOCK);
	if (check_size(opts->size_bytes, block, err) < 0)
		return -1;
	stub.h = header(block, opts->size_bytes, 0, 0);
	memcpy(stub.text, stub_text, sizeof(stub.text));
	if (vc_pwrite_full(fd, &stub, sizeof(stub), 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write");
	return 0;
}

static bool read_stub(int fd, struct sp_stub *ret)
{
	return vc_pread_full(fd, ret, sizeof(*ret), 0) == 0 &&
	       le32_get(ret->h.magic) == SP_MAGIC &&
	       !memcmp(ret->text, stub_text, sizeof(ret->text));
}

bool sp_is_new(int fd, uint64_t file_bytes)
{
	struct sp_stub stub;

	return file_bytes == sizeof(stub) && read_stub(fd, &stub);
}

int sp_writer_new(struct sp_disk *s, struct vc_error *err)
{
	struct sp_writer *w;
	struct sp_stub stub;
	uint32_t block;

	if (!read_stub(s->base.fd, &stub))
		return vc_fail(err, VC_E_CORRUPT, 0, "read header");
	block = le32_get(stub.h.block_bytes);
	if (block % 4 || block < MIN_BLOCK || block > MAX_BLOCK)
		return vc_fail(err, VC_E_CORRUPT, 0, "header: block size");
	s->writer = w = calloc(1, sizeof(*w)); /* freed with the disk */
	if (!w || !append_init(&w->out, &s->base, &append_ops,
			       sizeof(struct sp_header)))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	w->block = block;
	w->has_checksums = stub.has_checksums;
	w->part = malloc(block);
	if (!w->part)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	s->base.size = (uint64_t)le32_get(stub.h.nr_blocks) * block;
	return 0;
}

void sp_writer_free(struct sp_writer *w)
{
	if (!w)
		return;
	append_fini(&w->out);
	free(w->part);
	free(w);
}
