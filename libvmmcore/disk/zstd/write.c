/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a new image, in one pass from its beginning to its end.
 *
 * vc_disk_create() leaves a skippable frame that says how large the disk will
 * be; the first output overwrites it. What is written gathers in `frame`; a
 * full one is compressed and appended. The sizes of the frames are kept, equal
 * ones in a row as one, until they become the table: ZS_MAX_RUNS of them in
 * memory, those before in a file without a name, beside the output.
 *
 * What nobody wrote is zeroes. A frame of zeroes is compressed once and then
 * copied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "disk/append.h"
#include "disk/zstd/zstd.h"

#define ZERO_FRAME_MAX 64
#define DEFAULT_LEVEL 3

/* Where a frame's header says whether a checksum ends it. */
#define FRAME_DESCRIPTOR 4
#define FRAME_HAS_CHECKSUM 0x04

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

/* 768 KiB: 8 GiB of a disk without two frames alike. */
#define ZS_MAX_RUNS (64u << 10)

/* Frames in a row with the same entry. */
struct zs_run {
	uint32_t compressed, checksum;
	uint32_t nr;
};

struct zs_writer {
	struct appender out;
	ZSTD_CCtx *cctx;
	bool has_checksums;
	uint8_t *frame; /* ends at out.pos */
	size_t frame_len;
	uint8_t zero_frame[ZERO_FRAME_MAX];
	size_t zero_len;
	uint32_t zero_checksum;
	struct zs_run *runs; /* ZS_MAX_RUNS */
	size_t nr_runs;
	int spill_fd;	     /* owned; -1: there is none */
	uint64_t nr_spilled; /* runs */
	uint32_t nr_frames;
};

static struct zs_writer *to_writer(struct appender *a)
{
	return vc_container_of(a, struct zs_writer, out);
}

/* --- frames --------------------------------------------------------------*/

/* Make room for runs. Happens once in many megabytes of output, and waits. */
static enum vc_disk_status spill(struct zs_writer *w)
{
	struct vc_error err;

	if (w->spill_fd < 0)
		w->spill_fd = disk_scratch_open(w->out.disk->fd, &err);
	if (w->spill_fd < 0)
		return disk_status_of(-err.sys);
	if (vc_pwrite_full(w->spill_fd, w->runs, w->nr_runs * sizeof(*w->runs),
			   w->nr_spilled * sizeof(*w->runs)) < 0)
		return disk_status_of(-errno);
	w->nr_spilled += w->nr_runs;
	w->nr_runs = 0;
	return VC_DISK_OK;
}

static enum vc_disk_status add_entry(struct zs_writer *w, uint32_t compressed,
				     uint32_t checksum)
{
	struct zs_run *last = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;
	enum vc_disk_status status = VC_DISK_OK;

	if (w->nr_frames >= ZS_MAX_FRAMES)
		return VC_DISK_ENOSPC;
	if (!last || last->compressed != compressed ||
	    last->checksum != checksum) {
		if (w->nr_runs == ZS_MAX_RUNS)
			status = spill(w);
		if (status != VC_DISK_OK)
			return status;
		last = &w->runs[w->nr_runs++];
		*last = (struct zs_run){ compressed, checksum, 0 };
	}
	last->nr++;
	w->nr_frames++;
	return VC_DISK_OK;
}

/* A frame of `len` bytes is where append_room() said. */
static void add_frame(struct zs_writer *w, size_t len, uint32_t checksum)
{
	enum vc_disk_status status = add_entry(w, (uint32_t)len, checksum);

	if (status == VC_DISK_OK)
		append_add(&w->out, len);
	else
		w->out.failed = status;
}

static uint32_t checksum_of(const struct zs_writer *w, const void *data,
			    size_t len)
{
	return w->has_checksums ? (uint32_t)XXH64(data, len, 0) : 0;
}

/* Compress what `frame` has. False: wait. */
static bool emit_frame(struct zs_writer *w)
{
	size_t max = ZSTD_compressBound(w->frame_len), n;
	uint8_t *to = append_room(&w->out, max);

	if (!to)
		return false;
	n = ZSTD_compress2(w->cctx, to, max, w->frame, w->frame_len);
	if (ZSTD_isError(n))
		w->out.failed = VC_DISK_EIO; /* out of memory */
	else
		add_frame(w, n, checksum_of(w, w->frame, w->frame_len));
	w->frame_len = 0;
	return true;
}

/* A full frame that found no room before comes first. */
static bool emit_full(struct zs_writer *w)
{
	return w->frame_len < ZS_WRITE_FRAME || emit_frame(w);
}

/* Zeroes up to `end`. False: wait. */
static bool emit_zeroes(struct zs_writer *w, uint64_t end)
{
	while (w->out.pos < end && w->out.failed == VC_DISK_OK) {
		uint64_t gap = end - w->out.pos, n;

		if (!w->frame_len && gap >= ZS_WRITE_FRAME) {
			uint8_t *to = append_room(&w->out, w->zero_len);

			if (!to)
				return false;
			memcpy(to, w->zero_frame, w->zero_len);
			add_frame(w, w->zero_len, w->zero_checksum);
			w->out.pos += ZS_WRITE_FRAME;
			continue;
		}
		n = vc_min_u64(gap, ZS_WRITE_FRAME - w->frame_len);
		memset(w->frame + w->frame_len, 0, (size_t)n);
		w->frame_len += (size_t)n;
		w->out.pos += n;
		if (!emit_full(w))
			return false;
	}
	return true;
}

static bool zs_write(struct appender *a, const struct vc_disk_req *req)
{
	struct zs_writer *w = to_writer(a);

	while (a->req_pos < req->length_bytes && a->failed == VC_DISK_OK) {
		uint64_t n;

		if (!emit_full(w) ||
		    !emit_zeroes(w, req->offset_bytes + a->req_pos))
			return false;
		n = vc_min_u64(req->length_bytes - a->req_pos,
			       ZS_WRITE_FRAME - w->frame_len);
		disk_iov_get(req->iov, a->req_pos, w->frame + w->frame_len, n);
		w->frame_len += (size_t)n;
		a->pos += n;
		a->req_pos += n;
	}
	return true;
}

/* They come with the next write, or with close. */
static bool zs_write_zeroes(struct appender *a, const struct vc_disk_req *req)
{
	(void)a;
	(void)req;
	return true;
}

/* A frame that somebody else made: take it if it is what we would have made,
 * as far as can be seen without decompressing it. */
static bool is_good_frame(const struct zs_writer *w, const uint8_t *in,
			  size_t len, uint64_t want)
{
	bool has_checksum = len > FRAME_DESCRIPTOR &&
			    (in[FRAME_DESCRIPTOR] & FRAME_HAS_CHECKSUM);

	return ZSTD_findFrameCompressedSize(in, len) == len &&
	       ZSTD_getFrameContentSize(in, len) == want &&
	       (has_checksum || !w->has_checksums);
}

/* The last cluster may have been compressed as a whole one. */
static bool unpack_frame(struct zs_writer *w, const uint8_t *in, size_t len,
			 uint64_t want)
{
	size_t n = ZSTD_decompress(w->frame, ZS_WRITE_FRAME, in, len);

	if (ZSTD_isError(n) || n < want)
		return false;
	w->frame_len = (size_t)want;
	w->out.pos += want;
	return true;
}

static bool zs_write_compressed(struct appender *a,
				const struct vc_disk_req *req,
				enum vc_disk_status *ret)
{
	uint64_t want =
		vc_min_u64(ZS_WRITE_FRAME, a->disk->size - req->offset_bytes);
	struct zs_writer *w = to_writer(a);
	size_t len = (size_t)req->length_bytes;
	le32_t checksum;
	uint8_t *to;

	if (!emit_full(w) || !emit_zeroes(w, req->offset_bytes))
		return false;
	to = append_room(a, len);
	if (!to)
		return false;
	disk_iov_get(req->iov, 0, to, len);
	if (is_good_frame(w, to, len, want)) {
		memcpy(&checksum, to + len - sizeof(checksum),
		       sizeof(checksum));
		add_frame(w, len, w->has_checksums ? le32_get(checksum) : 0);
		a->pos += want;
	} else if (want == ZS_WRITE_FRAME || !unpack_frame(w, to, len, want)) {
		*ret = VC_DISK_ENOTSUP;
	}
	return true;
}

static const struct append_ops append_ops = {
	.write = zs_write,
	.write_zeroes = zs_write_zeroes,
	.write_compressed = zs_write_compressed,
};

enum vc_disk_compression zs_writer_compression(const struct zs_disk *z)
{
	return z->writer->has_checksums ? VC_DISK_ZSTD_CHECKED : VC_DISK_ZSTD;
}

void zs_writer_submit(struct zs_disk *z, struct vc_disk_req *req)
{
	append_submit(&z->writer->out, req);
}

/* --- the end --------------------------------------------------------------*/

/* The entries of w->runs; *left bytes of the disk come from there on. */
static void put_runs(struct zs_writer *w, uint64_t *left)
{
	uint32_t entry_bytes = w->has_checksums ? 12 : 8, j;
	size_t i;

	for (i = 0; i < w->nr_runs; i++) {
		const struct zs_run *run = &w->runs[i];

		for (j = 0; j < run->nr; j++) {
			uint64_t size = vc_min_u64(*left, ZS_WRITE_FRAME);
			le32_t entry[3] = { le32_put(run->compressed),
					    le32_put((uint32_t)size),
					    le32_put(run->checksum) };

			append_put(&w->out, entry, entry_bytes);
			*left -= size;
		}
	}
}

/* Those that were spilled, after which nobody needs those in memory. */
static int put_spilled(struct zs_writer *w, uint64_t *left,
		       struct vc_error *err)
{
	enum vc_disk_status status = spill(w);
	uint64_t pos;

	if (status != VC_DISK_OK)
		return vc_fail(err, VC_E_SYS, vc_disk_status_errno(status),
			       "write seek table aside");
	for (pos = 0; pos < w->nr_spilled; pos += w->nr_runs) {
		w->nr_runs =
			(size_t)vc_min_u64(w->nr_spilled - pos, ZS_MAX_RUNS);
		if (vc_pread_full(w->spill_fd, w->runs,
				  w->nr_runs * sizeof(*w->runs),
				  pos * sizeof(*w->runs)) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "read seek table back");
		put_runs(w, left);
	}
	return 0;
}

static int put_table(struct zs_writer *w, struct vc_error *err)
{
	uint32_t entry_bytes = w->has_checksums ? 12 : 8;
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
	uint64_t left = w->out.disk->size;

	append_put(&w->out, header, sizeof(header));
	if (!w->nr_spilled)
		put_runs(w, &left);
	else if (put_spilled(w, &left, err) < 0)
		return -1;
	append_put(&w->out, &footer, sizeof(footer));
	return 0;
}

int zs_writer_close(struct zs_disk *z, struct vc_error *err)
{
	struct zs_writer *w = z->writer;

	while (!emit_full(w) || !emit_zeroes(w, z->base.size) ||
	       (w->frame_len && !emit_frame(w)))
		append_settle(&w->out);
	if (append_check(&w->out, err) < 0)
		return -1;
	if (put_table(w, err) < 0 || append_finish(&w->out, err) < 0)
		return -1;
	return append_end_file(&w->out, err);
}

int zs_writer_set_size(struct zs_disk *z, uint64_t size, struct vc_error *err)
{
	if (size < z->writer->out.pos)
		return vc_fail(err, VC_E_ARG, 0, "%llu were written already",
			       (unsigned long long)z->writer->out.pos);
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
		.has_checksums = opts->checksums != VC_DISK_CHECKSUMS_OFF,
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
	struct zs_stub stub;
	struct zs_writer *w;

	if (!read_stub(z->base.fd, &stub))
		return vc_fail(err, VC_E_CORRUPT, 0, "read header");
	if (le64_get(stub.size) > VC_DISK_MAX_BYTES ||
	    le64_get(stub.size) % VC_DISK_SECTOR)
		return vc_fail(err, VC_E_CORRUPT, 0, "header: size");
	z->writer = w = calloc(1, sizeof(*w)); /* freed with the disk */
	if (!w)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	w->spill_fd = -1;
	w->runs = malloc(ZS_MAX_RUNS * sizeof(*w->runs));
	if (!w->runs || !append_init(&w->out, &z->base, &append_ops, 0))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	w->has_checksums = stub.has_checksums;
	w->frame = malloc(ZS_WRITE_FRAME);
	if (!w->frame || !set_up_cctx(w, stub.level) || !make_zero_frame(w))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	z->base.size = le64_get(stub.size);
	return 0;
}

void zs_writer_free(struct zs_writer *w)
{
	if (!w)
		return;
	append_fini(&w->out);
	free(w->frame);
	free(w->runs);
	vc_close(&w->spill_fd);
	ZSTD_freeCCtx(w->cctx);
	free(w);
}
