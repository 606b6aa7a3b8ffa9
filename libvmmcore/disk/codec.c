/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two codecs of compressed clusters: raw deflate, whose encoder is limited
 * to a window of 12 bits because that is what other readers have, and zstd,
 * a frame per cluster.
 *
 * A decoder is given the size of what it makes, so a small input cannot make it
 * work or allocate more than for one cluster.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <vmmcore/checked.h>
#include <zlib.h>
#include <zstd.h>
#include "disk/codec.h"

#define DEFLATE_WINDOW_BITS 12
#define DEFLATE_MEM_LEVEL 9

const char *const vc_disk_compression_names[] = { "zlib", "zstd", NULL };

struct vc_disk_compressor {
	enum vc_disk_compression type;
	z_stream z;
	bool has_z;
	ZSTD_CCtx *zstd;
};

struct codec_decoder {
	enum vc_disk_compression type;
	z_stream z;
	bool has_z;
	ZSTD_DCtx *zstd;
};

/* --- compressing --------------------------------------------------------- */

static int set_zstd(struct vc_disk_compressor *c, int level,
		    struct vc_error *err)
{
	c->zstd = ZSTD_createCCtx();
	if (!c->zstd)
		return vc_fail(err, VC_E_SYS, ENOMEM, "compressor");
	if (level && ZSTD_isError(ZSTD_CCtx_setParameter(
			     c->zstd, ZSTD_c_compressionLevel, level)))
		return vc_fail(err, VC_E_ARG, 0, "zstd level %d", level);
	if (ZSTD_isError(
		    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag,
					   c->type == VC_DISK_ZSTD_CHECKED)))
		return vc_fail(err, VC_E_INTERNAL, 0, "zstd: checksums");
	return 0;
}

static int set_zlib(struct vc_disk_compressor *c, int level,
		    struct vc_error *err)
{
	int ret;

	if (level < 0 || level > 9)
		return vc_fail(err, VC_E_ARG, 0, "zlib level %d", level);
	ret = deflateInit2(&c->z, level ? level : Z_DEFAULT_COMPRESSION,
			   Z_DEFLATED, -DEFLATE_WINDOW_BITS, DEFLATE_MEM_LEVEL,
			   Z_DEFAULT_STRATEGY);
	if (ret != Z_OK)
		return vc_fail(err, VC_E_SYS, ENOMEM, "compressor");
	c->has_z = true;
	return 0;
}

int vc_disk_compressor_new(enum vc_disk_compression type, int level,
			   struct vc_disk_compressor **ret,
			   struct vc_error *err)
{
	vc_auto(vc_disk_compressor) struct vc_disk_compressor *c =
		calloc(1, sizeof(*c));

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "compressor");
	c->type = type;
	if (type != VC_DISK_ZLIB && type != VC_DISK_ZSTD &&
	    type != VC_DISK_ZSTD_CHECKED)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "the format has no compressed clusters");
	if ((type == VC_DISK_ZLIB ? set_zlib(c, level, err)
				  : set_zstd(c, level, err)) < 0)
		return -1;
	*ret = vc_steal_ptr(&c);
	return 0;
}

struct vc_disk_compressor *vc_disk_compressor_free(struct vc_disk_compressor *c)
{
	if (!c)
		return NULL;
	if (c->has_z)
		deflateEnd(&c->z);
	ZSTD_freeCCtx(c->zstd);
	free(c);
	return NULL;
}

static size_t compress_zlib(struct vc_disk_compressor *c, const void *in,
			    size_t len, void *out, size_t max)
{
	if (len > UINT_MAX || deflateReset(&c->z) != Z_OK)
		return 0;
	/* zlib does not write to it */
	c->z.next_in = (Bytef *)(uintptr_t)in;
	c->z.avail_in = (uInt)len;
	c->z.next_out = out;
	c->z.avail_out = (uInt)vc_min_u64(max, UINT_MAX);
	if (deflate(&c->z, Z_FINISH) != Z_STREAM_END)
		return 0;
	return c->z.total_out;
}

size_t vc_disk_compress(struct vc_disk_compressor *c, const void *in,
			size_t len, void *out, size_t max)
{
	size_t n;

	if (c->type == VC_DISK_ZLIB)
		return compress_zlib(c, in, len, out, max);
	n = ZSTD_compress2(c->zstd, out, max, in, len);
	return ZSTD_isError(n) ? 0 : n;
}

/* --- decompressing ------------------------------------------------------- */

struct codec_decoder *codec_decoder_new(enum vc_disk_compression type)
{
	struct codec_decoder *d = calloc(1, sizeof(*d));
	bool ok = false;

	if (!d)
		return NULL;
	d->type = type;
	if (type == VC_DISK_ZSTD) {
		d->zstd = ZSTD_createDCtx();
		ok = d->zstd != NULL;
	} else if (type == VC_DISK_ZLIB) {
		/* whatever window the writer had */
		ok = d->has_z = inflateInit2(&d->z, -MAX_WBITS) == Z_OK;
	}
	return ok ? d : codec_decoder_free(d);
}

struct codec_decoder *codec_decoder_free(struct codec_decoder *d)
{
	if (!d)
		return NULL;
	if (d->has_z)
		inflateEnd(&d->z);
	ZSTD_freeDCtx(d->zstd);
	free(d);
	return NULL;
}

static bool decode_zlib(struct codec_decoder *d, const void *in, size_t in_len,
			void *out, size_t out_len)
{
	int ret;

	if (in_len > UINT_MAX || out_len > UINT_MAX ||
	    inflateReset(&d->z) != Z_OK)
		return false;
	/* zlib does not write to it */
	d->z.next_in = (Bytef *)(uintptr_t)in;
	d->z.avail_in = (uInt)in_len;
	d->z.next_out = out;
	d->z.avail_out = (uInt)out_len;
	ret = inflate(&d->z, Z_FINISH);
	/* a stream that would go on is one that was cut off on purpose */
	return (ret == Z_STREAM_END || ret == Z_BUF_ERROR) && !d->z.avail_out;
}

/* Some writers use more than one frame. */
static bool decode_zstd(struct codec_decoder *d, const void *in, size_t in_len,
			void *out, size_t out_len)
{
	const uint8_t *from = in;
	uint8_t *to = out;

	while (out_len) {
		size_t frame = ZSTD_findFrameCompressedSize(from, in_len), n;

		if (ZSTD_isError(frame))
			return false;
		n = ZSTD_decompressDCtx(d->zstd, to, out_len, from, frame);
		if (ZSTD_isError(n))
			return false;
		from += frame;
		in_len -= frame;
		to += n;
		out_len -= n;
	}
	return true;
}

bool codec_decode(struct codec_decoder *d, const void *in, size_t in_len,
		  void *out, size_t out_len)
{
	if (d->type == VC_DISK_ZSTD)
		return decode_zstd(d, in, in_len, out, out_len);
	return decode_zlib(d, in, in_len, out, out_len);
}
