/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a new image, in one pass from its beginning to its end.
 *
 * vc_disk_create() leaves a skippable frame that says how large the disk will
 * be; the first output overwrites it. Requests are taken one after the other.
 * Their bytes gather in `frame`; a full one is compressed into the current of
 * a few output buffers, and those are written while the next is filled. When
 * none is free the request at the head of the queue waits. The sizes of the
 * frames are kept, equal ones in a row as one, until they become the table.
 *
 * What nobody wrote is zeroes. A frame of zeroes is compressed once and then
 * copied.
 *
 * A write that fails leaves a gap in the file that nothing can close: all
 * later requests fail in the same way, and so does close.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "disk/zstd/zstd.h"

#define NR_OUTS 4
#define OUT_BYTES (1u << 20)
#define ZERO_FRAME_MAX 64
#define DEFAULT_LEVEL 3

/* What vc_disk_create() writes. */
struct zs_stub {
	le32_t magic, len;
	uint8_t text[16];
	le64_t size;
	uint8_t level;
	uint8_t has_checksums;
	uint8_t reserved[6];
};
_Static_assert(sizeof(struct zs_stub) == 40, "as on disk");

#define STUB_MAGIC (ZS_MAGIC_SKIPPABLE | 0xd)
static const char stub_text[16] = "new disk image";

/* An output buffer. */
struct zs_out {
	struct eng_io io;
	struct zs_writer *writer;
	uint8_t *data;
	size_t len;
	bool is_busy; /* being written */
};

/* Frames in a row with the same entry. */
struct zs_run {
	uint32_t compressed, checksum;
	uint32_t nr;
};

struct zs_writer {
	struct zs_disk *disk; /* borrowed */
	ZSTD_CCtx *cctx;
	bool has_checksums;
	enum vc_disk_status failed;
	struct req_queue waiting;
	uint64_t req_pos; /* in the first of them */
	uint8_t *frame;
	size_t frame_len;
	uint64_t pos; /* in the disk, of the end of `frame` */
	uint8_t zero_frame[ZERO_FRAME_MAX];
	size_t zero_len;
	uint32_t zero_checksum;
	struct zs_out outs[NR_OUTS];
	struct zs_out *out;  /* the one being filled; NULL: all are busy */
	uint64_t out_offset; /* where it goes */
	struct zs_run *runs;
	size_t nr_runs, max_runs;
	uint32_t nr_frames;
};

static void pump(struct zs_writer *w);

/* --- output --------------------------------------------------------------*/

static void take_free_out(struct zs_writer *w)
{
	unsigned i;

	for (i = 0; i < NR_OUTS && !w->out; i++)
		if (!w->outs[i].is_busy) {
			w->out = &w->outs[i];
			w->out->len = 0;
		}
}

static void out_written(struct eng_io *io, int res)
{
	struct zs_out *out = vc_container_of(io, struct zs_out, io);
	struct zs_writer *w = out->writer;

	if (res && w->failed == VC_DISK_OK)
		w->failed = disk_status_of(res);
	out->is_busy = false;
	if (!w->out)
		take_free_out(w);
	pump(w);
}

static void write_out(struct zs_writer *w)
{
	struct zs_out *out = vc_steal_ptr(&w->out);
	struct vc_disk *d = &w->disk->base;

	out->is_busy = true;
	out->io.op = ENG_WRITE;
	out->io.offset = w->out_offset;
	out->io.done = out_written;
	eng_io_set_buf(&out->io, out->data, out->len);
	out->io.fd = disk_fd_for(d, &out->io);
	w->out_offset += out->len;
	engine_submit(d->engine, &out->io);
	take_free_out(w);
}

/* A place for `len` bytes of output; NULL: wait. */
static uint8_t *get_room(struct zs_writer *w, size_t len)
{
	if (w->out && OUT_BYTES - w->out->len < len)
		write_out(w);
	return w->out ? w->out->data + w->out->len : NULL;
}

static bool add_entry(struct zs_writer *w, uint32_t compressed,
		      uint32_t checksum)
{
	struct zs_run *last = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;

	if (w->nr_frames >= ZS_MAX_FRAMES)
		return false;
	if (!last || last->compressed != compressed ||
	    last->checksum != checksum) {
		if (w->nr_runs == w->max_runs) {
			size_t max = w->max_runs ? w->max_runs * 2 : 1024;
			void *p = reallocarray(w->runs, max, sizeof(*w->runs));

			if (!p)
				return false;
			w->runs = p;
			w->max_runs = max;
		}
		last = &w->runs[w->nr_runs++];
		*last = (struct zs_run){ compressed, checksum, 0 };
	}
	last->nr++;
	w->nr_frames++;
	return true;
}

/* Output of `len` bytes is where get_room() said. */
static void add_frame(struct zs_writer *w, size_t len, uint32_t checksum)
{
	if (add_entry(w, (uint32_t)len, checksum))
		w->out->len += len;
	else
		w->failed = VC_DISK_ENOSPC;
}

/* --- frames --------------------------------------------------------------*/

static uint32_t checksum_of(const struct zs_writer *w, const void *data,
			    size_t len)
{
	return w->has_checksums ? (uint32_t)XXH64(data, len, 0) : 0;
}

/* Compress what `frame` has. False: wait. */
static bool emit_frame(struct zs_writer *w)
{
	size_t max = ZSTD_compressBound(w->frame_len), n;
	uint8_t *to = get_room(w, max);

	if (!to)
		return false;
	n = ZSTD_compress2(w->cctx, to, max, w->frame, w->frame_len);
	if (ZSTD_isError(n))
		w->failed = VC_DISK_EIO; /* out of memory */
	else
		add_frame(w, n, checksum_of(w, w->frame, w->frame_len));
	w->frame_len = 0;
	return true;
}

/* Zeroes up to `end`, or as far as there is room for. False: wait. */
static bool emit_zeroes(struct zs_writer *w, uint64_t end)
{
	while (w->pos < end && w->failed == VC_DISK_OK) {
		uint64_t gap = end - w->pos, n;

		if (!w->frame_len && gap >= ZS_WRITE_FRAME) {
			uint8_t *to = get_room(w, w->zero_len);

			if (!to)
				return false;
			memcpy(to, w->zero_frame, w->zero_len);
			add_frame(w, w->zero_len, w->zero_checksum);
			w->pos += ZS_WRITE_FRAME;
			continue;
		}
		n = vc_min_u64(gap, ZS_WRITE_FRAME - w->frame_len);
		memset(w->frame + w->frame_len, 0, (size_t)n);
		w->frame_len += (size_t)n;
		w->pos += n;
		if (w->frame_len == ZS_WRITE_FRAME && !emit_frame(w))
			return false;
	}
	return true;
}

/* A full frame that found no room before comes first. */
static bool emit_full(struct zs_writer *w)
{
	return w->frame_len < ZS_WRITE_FRAME || emit_frame(w);
}

/* --- requests -------------------------------------------------------------*/

/* Take what `req` still has. False: wait. */
static bool write_data(struct zs_writer *w, const struct vc_disk_req *req)
{
	while (w->req_pos < req->length_bytes && w->failed == VC_DISK_OK) {
		uint64_t n;

		if (!emit_full(w) ||
		    !emit_zeroes(w, req->offset_bytes + w->req_pos))
			return false;
		if (!emit_full(w))
			return false;
		n = vc_min_u64(req->length_bytes - w->req_pos,
			       ZS_WRITE_FRAME - w->frame_len);
		disk_iov_get(req->iov, w->req_pos, w->frame + w->frame_len, n);
		w->frame_len += (size_t)n;
		w->pos += n;
		w->req_pos += n;
	}
	return true;
}

static bool is_idle(const struct zs_writer *w)
{
	unsigned i;

	for (i = 0; i < NR_OUTS; i++)
		if (w->outs[i].is_busy)
			return false;
	return true;
}

/* False: wait. */
static bool advance(struct zs_writer *w, const struct vc_disk_req *req,
		    enum vc_disk_status *ret)
{
	*ret = VC_DISK_OK;
	switch (req->op) {
	case VC_DISK_WRITE:
	case VC_DISK_WRITE_ZEROES:
		if (!w->req_pos && req->offset_bytes < w->pos)
			*ret = VC_DISK_ENOTSUP;
		else if (req->op == VC_DISK_WRITE && !write_data(w, req))
			return false;
		break;
	case VC_DISK_FLUSH:
		if (!is_idle(w))
			return false;
		break;
	case VC_DISK_DISCARD:
		break;
	case VC_DISK_READ:
	case VC_DISK_SHARE:
	case VC_DISK_WRITE_COMPRESSED:
	default:
		*ret = VC_DISK_ENOTSUP;
	}
	return true;
}

static void pump(struct zs_writer *w)
{
	struct vc_disk_req *req;

	while ((req = w->waiting.head)) {
		enum vc_disk_status status = w->failed;

		if (status == VC_DISK_OK && !advance(w, req, &status))
			return;
		if (w->failed != VC_DISK_OK)
			status = w->failed;
		disk_queue_get(&w->waiting);
		w->req_pos = 0;
		disk_complete(&w->disk->base, req, status);
	}
}

void zs_writer_submit(struct zs_disk *z, struct vc_disk_req *req)
{
	bool is_first = !z->writer->waiting.head;

	disk_queue_put(&z->writer->waiting, req);
	if (is_first)
		pump(z->writer);
}

void zs_writer_flush(struct zs_disk *z, struct vc_disk_req *req)
{
	zs_writer_submit(z, req);
}

/* --- the end --------------------------------------------------------------*/

/* Wait until output is written. */
static void settle(struct zs_writer *w)
{
	while (!is_idle(w))
		engine_reap(w->disk->base.engine, true);
}

static int check_failed(const struct zs_writer *w, struct vc_error *err)
{
	if (w->failed == VC_DISK_OK)
		return 0;
	return vc_fail(err, VC_E_SYS, vc_disk_status_errno(w->failed),
		       "write at %llu", (unsigned long long)w->pos);
}

/* Append bytes of the table. */
static void put(struct zs_writer *w, const void *data, size_t len)
{
	uint8_t *to;

	while (!(to = get_room(w, len)))
		settle(w);
	memcpy(to, data, len);
	w->out->len += len;
}

static void put_table(struct zs_writer *w)
{
	uint32_t entry_bytes = w->has_checksums ? 12 : 8, j;
	le32_t header[2] = {
		le32_put(ZS_MAGIC_TABLE),
		le32_put(w->nr_frames * entry_bytes +
			 (uint32_t)sizeof(struct zs_footer)),
	};
	struct zs_footer footer = {
		.nr_frames = le32_put(w->nr_frames),
		.descriptor = w->has_checksums ? ZS_DESC_CHECKSUMS : 0,
		.magic = le32_put(ZS_MAGIC_FOOTER),
	};
	uint64_t left = w->disk->base.size;
	size_t i;

	put(w, header, sizeof(header));
	for (i = 0; i < w->nr_runs; i++) {
		const struct zs_run *run = &w->runs[i];

		for (j = 0; j < run->nr; j++) {
			uint64_t size = vc_min_u64(left, ZS_WRITE_FRAME);
			le32_t entry[3] = { le32_put(run->compressed),
					    le32_put((uint32_t)size),
					    le32_put(run->checksum) };

			put(w, entry, entry_bytes);
			left -= size;
		}
	}
	put(w, &footer, sizeof(footer));
}

int zs_writer_close(struct zs_disk *z, struct vc_error *err)
{
	struct zs_writer *w = z->writer;

	while (!emit_full(w) || !emit_zeroes(w, z->base.size) ||
	       (w->frame_len && !emit_frame(w)))
		settle(w);
	if (check_failed(w, err) < 0)
		return -1;
	put_table(w);
	if (w->out->len)
		write_out(w);
	settle(w);
	if (check_failed(w, err) < 0)
		return -1;
	/* what create made may have been longer */
	if (ftruncate(z->base.fd, (off_t)w->out_offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "truncate");
	if (!z->base.no_sync && fdatasync(z->base.fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sync");
	return 0;
}

int zs_writer_set_size(struct zs_disk *z, uint64_t size, struct vc_error *err)
{
	if (size < z->writer->pos)
		return vc_fail(err, VC_E_ARG, 0, "%llu were written already",
			       (unsigned long long)z->writer->pos);
	return 0;
}

/* --- the beginning --------------------------------------------------------*/

int zs_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err)
{
	struct zs_stub stub = {
		.magic = le32_put(STUB_MAGIC),
		.len = le32_put(sizeof(stub) - ZS_SKIPPABLE_HEADER),
		.size = le64_put(opts->size_bytes),
		.has_checksums = !opts->no_checksums,
	};

	if (opts->backing_file || opts->cluster_bytes || opts->refcount_bits ||
	    opts->version)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a zstd image has no such options");
	if (opts->compression_level > (unsigned)ZSTD_maxCLevel())
		return vc_fail(err, VC_E_ARG, 0, "compression level %u",
			       opts->compression_level);
	if (opts->size_bytes / ZS_WRITE_FRAME >= ZS_MAX_FRAMES)
		return vc_fail(err, VC_E_LIMIT, 0, "size: more than %u frames",
			       ZS_MAX_FRAMES);
	stub.level = (uint8_t)opts->compression_level;
	memcpy(stub.text, stub_text, sizeof(stub.text));
	if (vc_pwrite_full(fd, &stub, sizeof(stub), 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write");
	return 0;
}

static bool read_stub(int fd, struct zs_stub *ret)
{
	return vc_pread_full(fd, ret, sizeof(*ret), 0) == 0 &&
	       le32_get(ret->magic) == STUB_MAGIC &&
	       !memcmp(ret->text, stub_text, sizeof(ret->text));
}

bool zs_is_new(int fd, uint64_t file_bytes)
{
	struct zs_stub stub;

	return file_bytes == sizeof(stub) && read_stub(fd, &stub);
}

static bool set_up_cctx(struct zs_writer *w, unsigned level)
{
	w->cctx = ZSTD_createCCtx();
	return w->cctx &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       w->cctx, ZSTD_c_compressionLevel,
		       level ? (int)level : DEFAULT_LEVEL)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       w->cctx, ZSTD_c_contentSizeFlag, 1)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       w->cctx, ZSTD_c_checksumFlag, w->has_checksums));
}

static bool make_zero_frame(struct zs_writer *w)
{
	memset(w->frame, 0, ZS_WRITE_FRAME);
	w->zero_len = ZSTD_compress2(w->cctx, w->zero_frame, ZERO_FRAME_MAX,
				     w->frame, ZS_WRITE_FRAME);
	w->zero_checksum = checksum_of(w, w->frame, ZS_WRITE_FRAME);
	return !ZSTD_isError(w->zero_len);
}

int zs_writer_new(struct zs_disk *z, struct vc_error *err)
{
	struct zs_writer *w = calloc(1, sizeof(*w));
	struct zs_stub stub;
	bool ok = w;
	unsigned i;

	z->writer = w; /* freed with the disk */
	if (w && !read_stub(z->base.fd, &stub))
		return vc_fail(err, VC_E_CORRUPT, 0, "read header");
	if (w && (le64_get(stub.size) > VC_DISK_MAX_BYTES ||
		  le64_get(stub.size) % VC_DISK_SECTOR))
		return vc_fail(err, VC_E_CORRUPT, 0, "header: size");
	for (i = 0; ok && i < NR_OUTS; i++) {
		w->outs[i].writer = w;
		w->outs[i].data = malloc(OUT_BYTES);
		ok = w->outs[i].data;
	}
	if (ok) {
		w->disk = z;
		w->has_checksums = stub.has_checksums;
		w->frame = malloc(ZS_WRITE_FRAME);
		ok = w->frame && set_up_cctx(w, stub.level) &&
		     make_zero_frame(w);
	}
	if (!ok)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	take_free_out(w);
	z->base.size = le64_get(stub.size);
	return 0;
}

void zs_writer_free(struct zs_writer *w)
{
	unsigned i;

	if (!w)
		return;
	for (i = 0; i < NR_OUTS; i++)
		free(w->outs[i].data);
	free(w->frame);
	free(w->runs);
	ZSTD_freeCCtx(w->cctx);
	free(w);
}
