/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One buffer of output, filled by memcpy, zlib or zstd and written when it is
 * full. One thread, so that the bytes do not depend on how many there are.
 */
#define ZLIB_CONST /* its input is const */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <zlib.h>
#include <zstd.h>
#include "mkimage/cpio/pack.h"

#define BUF_BYTES ((size_t)256 * 1024)
#define GZIP_WINDOW (15 + 16) /* 32 KiB, with the header of gzip */
#define GZIP_MEMORY 8
#define DEFAULT_ZSTD 9

struct pack {
	int fd;
	bool is_gzip;
	z_stream z;
	ZSTD_CStream *zstd;
	uint8_t *buf;
	size_t len;
	uint64_t written;
};

static int flush(struct pack *p, struct vc_error *err)
{
	if (vc_pwrite_full(p->fd, p->buf, p->len, p->written))
		return vc_fail(err, VC_E_SYS, errno, "write");
	p->written += p->len;
	p->len = 0;
	return 0;
}

static int make_room(struct pack *p, struct vc_error *err)
{
	return p->len == BUF_BYTES ? flush(p, err) : 0;
}

static int write_plain(struct pack *p, const uint8_t *data, size_t len,
		       struct vc_error *err)
{
	size_t n;

	for (; len; len -= n, data += n) {
		n = BUF_BYTES - p->len < len ? BUF_BYTES - p->len : len;
		memcpy(p->buf + p->len, data, n);
		p->len += n;
		if (make_room(p, err))
			return -1;
	}
	return 0;
}

/* Until the input is used up or, at the end, the stream is complete. */
static int write_gzip(struct pack *p, const uint8_t *data, size_t len,
		      bool is_end, struct vc_error *err)
{
	size_t room;
	int rc;

	p->z.next_in = data;
	p->z.avail_in = (uInt)len;
	do {
		room = BUF_BYTES - p->len;
		p->z.next_out = p->buf + p->len;
		p->z.avail_out = (uInt)room;
		rc = deflate(&p->z, is_end ? Z_FINISH : Z_NO_FLUSH);
		if (rc == Z_STREAM_ERROR)
			return vc_fail(err, VC_E_INTERNAL, 0, "gzip: compress");
		p->len += room - p->z.avail_out;
		if (make_room(p, err))
			return -1;
	} while (is_end ? rc != Z_STREAM_END : p->z.avail_in > 0);
	return 0;
}

static int write_zstd(struct pack *p, const uint8_t *data, size_t len,
		      bool is_end, struct vc_error *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	ZSTD_outBuffer out;
	size_t left;

	do {
		out = (ZSTD_outBuffer){ p->buf, BUF_BYTES, p->len };
		left = ZSTD_compressStream2(p->zstd, &out, &in,
					    is_end ? ZSTD_e_end
						   : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "zstd: compress: %s",
				       ZSTD_getErrorName(left));
		p->len = out.pos;
		if (make_room(p, err))
			return -1;
	} while (is_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int put(struct pack *p, const void *data, size_t len, bool is_end,
	       struct vc_error *err)
{
	if (p->is_gzip)
		return write_gzip(p, data, len, is_end, err);
	if (p->zstd)
		return write_zstd(p, data, len, is_end, err);
	return write_plain(p, data, len, err);
}

int pack_write(struct pack *p, const void *data, size_t len,
	       struct vc_error *err)
{
	const uint8_t *from = data;
	size_t n;

	/* zlib counts in 32 bits */
	for (; len; len -= n, from += n) {
		n = (size_t)vc_min_u64(len, UINT32_MAX);
		if (put(p, from, n, false, err))
			return -1;
	}
	return 0;
}

int pack_finish(struct pack *p, uint64_t *ret_bytes, struct vc_error *err)
{
	if (put(p, NULL, 0, true, err) || flush(p, err))
		return -1;
	*ret_bytes = p->written;
	return 0;
}

struct pack *pack_free(struct pack *p)
{
	if (!p)
		return NULL;
	if (p->is_gzip)
		deflateEnd(&p->z);
	ZSTD_freeCStream(p->zstd);
	free(p->buf);
	free(p);
	return NULL;
}

static int start_gzip(struct pack *p, unsigned level, struct vc_error *err)
{
	if (level > PACK_MAX_GZIP)
		return vc_fail(err, VC_E_ARG, 0, "gzip: level %u: over %u",
			       level, PACK_MAX_GZIP);
	if (deflateInit2(&p->z, level ? (int)level : Z_DEFAULT_COMPRESSION,
			 Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return vc_fail(err, VC_E_SYS, ENOMEM, "gzip");
	p->is_gzip = true;
	return 0;
}

static int start_zstd(struct pack *p, unsigned level, struct vc_error *err)
{
	if (level > PACK_MAX_ZSTD)
		return vc_fail(err, VC_E_ARG, 0, "zstd: level %u: over %u",
			       level, PACK_MAX_ZSTD);
	p->zstd = ZSTD_createCStream();
	if (!p->zstd ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(
		    p->zstd, ZSTD_c_compressionLevel,
		    level ? (int)level : DEFAULT_ZSTD)) ||
	    ZSTD_isError(
		    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
		return vc_fail(err, VC_E_SYS, ENOMEM, "zstd");
	return 0;
}

int pack_new(int fd, const char *method, unsigned level, struct pack **ret,
	     struct vc_error *err)
{
	struct pack *p = calloc(1, sizeof(*p));
	int rc = 0;

	if (!p)
		return vc_fail(err, VC_E_SYS, ENOMEM, "compress");
	p->fd = fd;
	p->buf = malloc(BUF_BYTES);
	if (!p->buf)
		rc = vc_fail(err, VC_E_SYS, ENOMEM, "compress");
	else if (method && !strcmp(method, "gzip"))
		rc = start_gzip(p, level, err);
	else if (method && !strcmp(method, "zstd"))
		rc = start_zstd(p, level, err);
	else if (method)
		rc = vc_fail(err, VC_E_ARG, 0,
			     "compression by '%s': neither gzip nor zstd",
			     method);
	if (rc) {
		pack_free(p);
		return -1;
	}
	*ret = p;
	return 0;
}
