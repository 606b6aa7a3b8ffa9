/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gzip, zstd and the three formats of LZMA are decoded by their own libraries:
 * libarchive's filters check neither checksum nor length of gzip, and give no
 * say in how much memory a window may take. bzip2, lz4 and compress go through
 * libarchive's filters (those that are built in; it never runs a program) with
 * its "raw" format, which gives the bytes as they are.
 *
 * Several streams one after the other are one input, as their programs have it.
 * What follows the last is read to its end, and told if it is not zeroes. xz
 * and zstd refuse it, as their programs do.
 */
#include <archive.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/bytes.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#include "mkimage/source/decode.h"

#define FILTER_AHEAD 32 /* a filter looks less far for another stream */
#define LZMA_OVERHEAD (4 * 1024 * 1024) /* of a decoder beside its window */

struct kind;

struct decoder {
	const struct kind *kind;
	decode_feed *feed;
	void *opaque;
	const uint8_t *in; /* not yet used */
	size_t in_len;
	bool in_end;	 /* nothing comes after that */
	bool is_between; /* a stream has ended, another may follow */
	bool is_done, has_rest;
	uint64_t idle; /* bytes read since the last that held something */

	/* of the kind */
	z_stream z;
	lzma_stream lzma;
	ZSTD_DStream *zstd;
	struct archive *a;
	const uint8_t *piece; /* what libarchive got last */
	size_t piece_len;
	uint8_t tail[FILTER_AHEAD]; /* what it got before that, the end of it */
	size_t tail_len;
	uint64_t fed;
	struct vc_error feed_err;
};

struct kind {
	bool (*is)(const uint8_t *p, size_t len);
	int (*start)(struct decoder *d, struct vc_error *err);
	/* Go on with what there is of the input; sets is_done at the end. */
	int (*step)(struct decoder *d, uint8_t *out, size_t len,
		    size_t *ret_len, struct vc_error *err);
	void (*stop)(struct decoder *d);
	int (*filter)(struct archive *a); /* libarchive's */
};

static int fetch(struct decoder *d, struct vc_error *err)
{
	if (d->in_len || d->in_end)
		return 0;
	if (d->feed(d->opaque, &d->in, &d->in_len, err))
		return -1;
	d->in_end = !d->in_len;
	return 0;
}

static void use(struct decoder *d, size_t n)
{
	if (!n)
		return; /* there is no piece at the end */
	d->in += n;
	d->in_len -= n;
}

static int fail(struct vc_error *err, const char *text)
{
	char shown[200];

	return vc_fail(err, VC_E_CORRUPT, 0, "decompress: %s",
		       vc_printable(text ? text : "unknown error", shown,
				    sizeof(shown)));
}

static int fail_cut(struct vc_error *err)
{
	return fail(err, "it is cut off");
}

static int fail_window(struct vc_error *err)
{
	return vc_fail(err, VC_E_LIMIT, 0,
		       "decompress: it takes a window of more than %llu MiB",
		       (unsigned long long)DECODE_MAX_WINDOW >> 20);
}

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "decompress");
}

/* --- gzip ----------------------------------------------------------------- */

static bool is_gzip(const uint8_t *p, size_t len)
{
	return len >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static int gzip_start(struct decoder *d, struct vc_error *err)
{
	/* 16: with gzip's header and trailer, which it checks */
	return inflateInit2(&d->z, 15 + 16) == Z_OK ? 0 : no_memory(err);
}

/* Behind a member: zeroes, another member, or what does not belong to it. */
static void gzip_between(struct decoder *d)
{
	while (d->in_len && !*d->in)
		use(d, 1);
	if (!d->in_len) {
		d->is_done = d->in_end;
	} else if (*d->in == 0x1f) {
		inflateReset(&d->z);
		d->is_between = false;
	} else {
		d->is_done = true;
	}
}

static int gzip_step(struct decoder *d, uint8_t *out, size_t len,
		     size_t *ret_len, struct vc_error *err)
{
	const uInt given = (uInt)vc_min_u64(d->in_len, UINT32_MAX);
	const uInt room = (uInt)vc_min_u64(len, UINT32_MAX);
	int rc;

	*ret_len = 0;
	if (d->is_between) {
		gzip_between(d);
		return 0;
	}
	d->z.next_in = (uint8_t *)(uintptr_t)d->in; /* not written to */
	d->z.avail_in = given;
	d->z.next_out = out;
	d->z.avail_out = room;
	rc = inflate(&d->z, Z_NO_FLUSH);
	if (rc == Z_MEM_ERROR)
		return no_memory(err);
	if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return fail(err, d->z.msg);
	use(d, given - d->z.avail_in);
	*ret_len = room - d->z.avail_out;
	d->is_between = rc == Z_STREAM_END;
	return 0;
}

static void gzip_stop(struct decoder *d)
{
	inflateEnd(&d->z);
}

/* --- xz, lzma, lzip ------------------------------------------------------- */

static bool is_xz(const uint8_t *p, size_t len)
{
	return len >= 6 && !memcmp(p, "\3757zXZ\0", 6);
}

static bool is_lzip(const uint8_t *p, size_t len)
{
	return len >= 5 && !memcmp(p, "LZIP", 4) && p[4] <= 1;
}

/* It has no mark: properties that every program writes, a window as they make
 * it (a power of two or half of one more), and a size that can be or none. */
static bool is_lzma(const uint8_t *p, size_t len)
{
	struct vc_bytes c = vc_bytes_init(p, len);
	uint64_t size = 0;
	uint32_t window = 0, low;
	uint8_t props = 0;

	vc_bytes_get_u8(&c, &props);
	vc_bytes_get_le32(&c, &window);
	vc_bytes_get_le64(&c, &size);
	low = window & (~window + 1);
	return !c.bad && props == 0x5d && window >= 4096 &&
	       (window == low || window == low * 3) &&
	       (size == UINT64_MAX || size < UINT64_C(1) << 38);
}

static int start_lzma(lzma_ret rc, struct vc_error *err)
{
	return rc == LZMA_OK ? 0 : no_memory(err);
}

static int xz_start(struct decoder *d, struct vc_error *err)
{
	return start_lzma(lzma_stream_decoder(&d->lzma,
					      DECODE_MAX_WINDOW + LZMA_OVERHEAD,
					      LZMA_CONCATENATED),
			  err);
}

static int lzip_start(struct decoder *d, struct vc_error *err)
{
	return start_lzma(lzma_lzip_decoder(&d->lzma,
					    DECODE_MAX_WINDOW + LZMA_OVERHEAD,
					    LZMA_CONCATENATED),
			  err);
}

static int lzma_start(struct decoder *d, struct vc_error *err)
{
	return start_lzma(lzma_alone_decoder(&d->lzma,
					     DECODE_MAX_WINDOW + LZMA_OVERHEAD),
			  err);
}

static int lzma_step(struct decoder *d, uint8_t *out, size_t len,
		     size_t *ret_len, struct vc_error *err)
{
	lzma_ret rc;

	d->lzma.next_in = d->in;
	d->lzma.avail_in = d->in_len;
	d->lzma.next_out = out;
	d->lzma.avail_out = len;
	rc = lzma_code(&d->lzma, d->in_end ? LZMA_FINISH : LZMA_RUN);
	use(d, d->in_len - d->lzma.avail_in);
	*ret_len = len - d->lzma.avail_out;
	switch ((int)rc) {
	case LZMA_OK:
		return 0;
	case LZMA_STREAM_END:
		d->is_done = true;
		return 0;
	case LZMA_MEM_ERROR:
		return no_memory(err);
	case LZMA_MEMLIMIT_ERROR:
		return fail_window(err);
	case LZMA_BUF_ERROR:
		return fail_cut(err);
	case LZMA_OPTIONS_ERROR:
		return fail(err, "it uses what liblzma does not know");
	default:
		return fail(err, "it is corrupt");
	}
}

static void lzma_stop(struct decoder *d)
{
	lzma_end(&d->lzma);
}

/* --- zstd ----------------------------------------------------------------- */

/* Frames to be passed over, which zstd and lz4 share, come first or not at
 * all: where the rest begins. */
static size_t skip_frames(const uint8_t *p, size_t len)
{
	struct vc_bytes c = vc_bytes_init(p, len);
	uint32_t magic, size;
	size_t at = 0;

	for (;;) {
		vc_bytes_get_le32(&c, &magic);
		vc_bytes_get_le32(&c, &size);
		if (c.bad || (magic & ~0xfu) != 0x184d2a50)
			return at;
		if (size > vc_bytes_left(&c))
			return len;
		at = len - vc_bytes_left(&c) + size;
		c = vc_bytes_init(p + at, len - at);
	}
}

static bool is_magic(const uint8_t *p, size_t len, uint32_t want)
{
	struct vc_bytes c = vc_bytes_init(p, len);
	uint32_t magic = 0;

	vc_bytes_get_le32(&c, &magic);
	return !c.bad && magic == want;
}

static bool is_zstd(const uint8_t *p, size_t len)
{
	const size_t at = skip_frames(p, len);

	/* nothing but such frames in sight: zstd's decoder will see */
	return at && at == len ? true
			       : is_magic(p + at, len - at, ZSTD_MAGICNUMBER);
}

static int zstd_start(struct decoder *d, struct vc_error *err)
{
	d->zstd = ZSTD_createDStream();
	if (!d->zstd ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
						DECODE_MAX_WINDOW_LOG)))
		return no_memory(err);
	return 0;
}

static int zstd_step(struct decoder *d, uint8_t *out, size_t len,
		     size_t *ret_len, struct vc_error *err)
{
	ZSTD_inBuffer from = { d->in, d->in_len, 0 };
	ZSTD_outBuffer to = { out, len, 0 };
	size_t rc;

	*ret_len = 0;
	if (d->is_between && d->in_end && !d->in_len) {
		d->is_done = true;
		return 0;
	}
	rc = ZSTD_decompressStream(d->zstd, &to, &from);
	if (ZSTD_isError(rc))
		return ZSTD_getErrorCode(rc) ==
				       ZSTD_error_frameParameter_windowTooLarge
			       ? fail_window(err)
			       : fail(err, ZSTD_getErrorName(rc));
	use(d, from.pos);
	*ret_len = to.pos;
	d->is_between = !rc;
	return 0;
}

static void zstd_stop(struct decoder *d)
{
	ZSTD_freeDStream(d->zstd);
}

/* --- bzip2, lz4, compress ------------------------------------------------- */

static bool is_bzip2(const uint8_t *p, size_t len)
{
	return len >= 10 && !memcmp(p, "BZh", 3) && p[3] >= '1' &&
	       p[3] <= '9' &&
	       (!memcmp(p + 4, "1AY&SY", 6) ||
		!memcmp(p + 4, "\x17rE8P\x90", 6));
}

static bool is_lz4(const uint8_t *p, size_t len)
{
	const size_t at = skip_frames(p, len);

	return is_magic(p + at, len - at, 0x184d2204) ||
	       is_magic(p + at, len - at, 0x184c2102);
}

static bool is_compress(const uint8_t *p, size_t len)
{
	return len >= 3 && p[0] == 0x1f && p[1] == 0x9d;
}

static void add_to_tail(struct decoder *d, const uint8_t *p, size_t len)
{
	const size_t kept = vc_min_u64(d->tail_len, FILTER_AHEAD - len);

	memmove(d->tail, d->tail + d->tail_len - kept, kept);
	memcpy(d->tail + kept, p, len);
	d->tail_len = kept + len;
}

static ssize_t filter_feed(struct archive *a, void *opaque, const void **ret)
{
	struct decoder *d = opaque;
	const size_t len = vc_min_u64(d->piece_len, FILTER_AHEAD);
	uint8_t end[FILTER_AHEAD];

	/* the piece goes when there is another */
	if (len)
		memcpy(end, d->piece + d->piece_len - len, len);
	if (fetch(d, &d->feed_err)) {
		archive_set_error(a, EIO, "read failed");
		return -1;
	}
	*ret = d->in;
	if (!d->in_len)
		return 0;
	add_to_tail(d, end, len);
	d->piece = d->in;
	d->piece_len = d->in_len;
	d->fed += d->in_len;
	use(d, d->in_len);
	return (ssize_t)d->piece_len;
}

static int filter_fail(struct decoder *d, struct vc_error *err)
{
	if (!d->feed_err.code)
		return fail(err, archive_error_string(d->a));
	*err = d->feed_err;
	return -1;
}

/* What the filter had no use for goes back; it may begin before the last piece. */
static int filter_end(struct decoder *d, struct vc_error *err)
{
	const uint64_t used = (uint64_t)archive_filter_bytes(d->a, -1);
	uint8_t head[FILTER_AHEAD + 3] = { 0 };
	uint64_t left;
	size_t before, i;

	d->is_done = true;
	/* compress has no end but that of the input */
	if (used >= d->fed || d->kind->is == is_compress)
		return 0;
	left = d->fed - used;
	d->in_len = vc_min_u64(left, d->piece_len);
	d->in = d->piece + d->piece_len - d->in_len;
	before = vc_min_u64(left - d->in_len, d->tail_len);
	memcpy(head, d->tail + d->tail_len - before, before);
	for (i = 0; i < before; i++)
		d->has_rest |= head[i] != 0;
	memcpy(head + before, d->in, vc_min_u64(d->in_len, 3));
	/* so short that the filter has not seen another stream in it */
	return d->kind->is == is_bzip2 && !memcmp(head, "BZh", 3)
		       ? fail_cut(err)
		       : 0;
}

static int filter_start(struct decoder *d, struct vc_error *err)
{
	struct archive_entry *entry;
	int rc;

	d->a = archive_read_new();
	if (!d->a)
		return no_memory(err);
	archive_read_support_format_raw(d->a);
	archive_read_support_format_empty(d->a);
	if (d->kind->filter(d->a) != ARCHIVE_OK ||
	    archive_read_open(d->a, d, NULL, filter_feed, NULL) != ARCHIVE_OK)
		return filter_fail(d, err);
	rc = archive_read_next_header(d->a, &entry);
	if (rc == ARCHIVE_EOF) /* nothing comes of it */
		return filter_end(d, err);
	return rc == ARCHIVE_OK ? 0 : filter_fail(d, err);
}

static int filter_step(struct decoder *d, uint8_t *out, size_t len,
		       size_t *ret_len, struct vc_error *err)
{
	la_ssize_t n = archive_read_data(d->a, out, len);

	*ret_len = 0;
	if (n < 0)
		return filter_fail(d, err);
	*ret_len = (size_t)n;
	return n ? 0 : filter_end(d, err);
}

static void filter_stop(struct decoder *d)
{
	archive_read_free(d->a);
}

/* --- any ------------------------------------------------------------------ */

static const struct kind kinds[] = {
	{ is_gzip, gzip_start, gzip_step, gzip_stop, NULL },
	{ is_xz, xz_start, lzma_step, lzma_stop, NULL },
	{ is_zstd, zstd_start, zstd_step, zstd_stop, NULL },
	{ is_lzip, lzip_start, lzma_step, lzma_stop, NULL },
	{ is_bzip2, filter_start, filter_step, filter_stop,
	  archive_read_support_filter_bzip2 },
	{ is_lz4, filter_start, filter_step, filter_stop,
	  archive_read_support_filter_lz4 },
	{ is_compress, filter_start, filter_step, filter_stop,
	  archive_read_support_filter_compress },
	{ is_lzma, lzma_start, lzma_step, lzma_stop, NULL },
};

static const struct kind *find_kind(const uint8_t *head, size_t len)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(kinds); i++)
		if (kinds[i].is(head, len))
			return &kinds[i];
	return NULL;
}

bool decode_is_compressed(const uint8_t *head, size_t len)
{
	return find_kind(head, len) != NULL;
}

bool decode_has_end(const uint8_t *head, size_t len)
{
	const struct kind *kind = find_kind(head, len);

	return kind && kind->is != is_compress;
}

int decoder_open(const uint8_t *head, size_t len, decode_feed *feed,
		 void *opaque, struct decoder **ret, struct vc_error *err)
{
	vc_auto(decoder) struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return no_memory(err);
	d->feed = feed;
	d->opaque = opaque;
	d->kind = find_kind(head, len);
	if (!d->kind)
		return fail(err, "it is not compressed");
	if (d->kind->start(d, err))
		return -1;
	*ret = vc_steal_ptr(&d);
	return 0;
}

/* Input of `len` bytes held nothing: that must have an end. */
static int count_idle(struct decoder *d, size_t len, struct vc_error *err)
{
	d->idle += len;
	if (d->idle <= DECODE_MAX_IDLE)
		return 0;
	return vc_fail(err, VC_E_LIMIT, 0,
		       "decompress: more than %llu MiB with nothing in them",
		       (unsigned long long)DECODE_MAX_IDLE >> 20);
}

/* The writer to a pipe is not to die of what nobody wants. */
static int read_rest(struct decoder *d, struct vc_error *err)
{
	for (;;) {
		if (count_idle(d, d->in_len, err))
			return -1;
		for (; d->in_len; use(d, 1))
			d->has_rest |= *d->in != 0;
		if (d->in_end)
			return 0;
		if (fetch(d, err))
			return -1;
	}
}

int decoder_read(struct decoder *d, uint8_t *buf, size_t len, size_t *ret_len,
		 struct vc_error *err)
{
	size_t at = 0, n, given;

	while (at < len && !d->is_done) {
		/* libarchive asks for itself */
		if (!d->a && fetch(d, err))
			return -1;
		given = d->in_len;
		if (d->kind->step(d, buf + at, len - at, &n, err))
			return -1;
		if (!n && !d->is_done && d->in_end && !d->in_len)
			return fail_cut(err);
		if (n)
			d->idle = 0;
		else if (!d->a && count_idle(d, given - d->in_len, err))
			return -1;
		at += n;
	}
	*ret_len = at;
	return d->is_done ? read_rest(d, err) : 0;
}

bool decoder_has_rest(const struct decoder *d)
{
	return d->has_rest;
}

struct decoder *decoder_close(struct decoder *d)
{
	if (!d)
		return NULL;
	if (d->kind)
		d->kind->stop(d);
	free(d);
	return NULL;
}
