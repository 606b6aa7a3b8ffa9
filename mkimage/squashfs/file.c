/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file object libsquashfs writes through: the blocks of the output, or a
 * temporary file. Most writes are at the end and are gathered; a read of what
 * is not written yet writes it first. Only the calling thread comes here: the
 * library's own threads compress, nothing else.
 *
 * A write that fails is not told to the library, which would not free all it
 * has after that: the error stays here, and is asked for (sq_check()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/squashfs/fs.h"

#define BUF_BYTES ((size_t)1024 * 1024)

static struct sq_file *to_file(sqfs_file_t *base)
{
	return vc_container_of(base, struct sq_file, base);
}

/* Keep the first error: the library tells only that there was one. */
static int failed(struct sq_file *f, const struct vc_error *err)
{
	if (!f->err.code)
		f->err = *err;
	return SQFS_ERROR_IO;
}

static int put(struct sq_file *f, uint64_t offset, const void *data, size_t len)
{
	struct vc_error err = { 0 };
	int rc;

	if (f->err.code)
		return 0;

	xxh64_update_u64(&f->sum, offset);
	xxh64_update(&f->sum, data, len);
	if (f->temp) {
		rc = vc_pwrite_full(vc_outfile_get_fd(f->temp), data, len,
				    offset);
		if (rc)
			vc_fail(&err, VC_E_SYS, errno, "temporary file: write");
	} else if (offset + len > SQUASHFS_MAX_BYTES) {
		rc = vc_fail(&err, VC_E_LIMIT, 0,
			     "squashfs: larger than 2 TiB");
	} else {
		rc = out_pwrite(f->out, offset, data, len, &err);
	}
	if (rc)
		failed(f, &err);
	return 0;
}

static int get(struct sq_file *f, uint64_t offset, void *data, size_t len)
{
	struct vc_error err = { 0 };
	int rc;

	if (f->temp) {
		rc = vc_pread_full(vc_outfile_get_fd(f->temp), data, len,
				   offset);
		if (rc)
			vc_fail(&err, VC_E_SYS, errno, "temporary file: read");
	} else {
		rc = out_pread(f->out, offset, data, len, &err);
	}
	return rc ? failed(f, &err) : 0;
}

int sq_file_flush(struct sq_file *f)
{
	size_t len = (size_t)(f->size - f->start);
	uint64_t start = f->start;

	f->start = f->size;
	return len ? put(f, start, f->buf, len) : 0;
}

static int read_at(sqfs_file_t *base, sqfs_u64 offset, void *data, size_t len)
{
	struct sq_file *f = to_file(base);

	if (offset > f->size || len > f->size - offset)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	if (offset >= f->start) {
		memcpy(data, f->buf + (offset - f->start), len);
		return 0;
	}
	if (offset + len > f->start && sq_file_flush(f))
		return SQFS_ERROR_IO;
	return get(f, offset, data, len);
}

static int append(struct sq_file *f, const uint8_t *data, size_t len)
{
	size_t has, n;

	while (len) {
		has = (size_t)(f->size - f->start);
		/* pieces end at multiples of the buffer's size */
		n = BUF_BYTES - (size_t)(f->size % BUF_BYTES);
		if (n > BUF_BYTES - has)
			n = BUF_BYTES - has;
		if (n > len)
			n = len;
		memcpy(f->buf + has, data, n);
		f->size += n;
		data += n;
		len -= n;
		if (f->size % BUF_BYTES == 0 && sq_file_flush(f))
			return SQFS_ERROR_IO;
	}
	if (f->size > f->high)
		f->high = f->size;
	return 0;
}

static int write_at(sqfs_file_t *base, sqfs_u64 offset, const void *data,
		    size_t len)
{
	struct sq_file *f = to_file(base);
	static const uint8_t zeroes[4096];
	size_t n;
	int rc;

	for (; offset > f->size;) {
		n = sizeof(zeroes);
		if (n > offset - f->size)
			n = (size_t)(offset - f->size);
		rc = append(f, zeroes, n);
		if (rc)
			return rc;
	}
	if (offset == f->size)
		return append(f, data, len);
	if (offset + len > f->size || sq_file_flush(f))
		return SQFS_ERROR_IO;
	return put(f, offset, data, len);
}

static sqfs_u64 get_size(const sqfs_file_t *base)
{
	/* the base is the first member */
	return ((const struct sq_file *)(const void *)base)->size;
}

static int cut(sqfs_file_t *base, sqfs_u64 size)
{
	struct sq_file *f = to_file(base);

	if (size > f->size)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	f->size = size;
	if (f->start > size)
		f->start = size;
	return 0;
}

static void destroy(sqfs_object_t *obj)
{
	struct sq_file *f = (struct sq_file *)(void *)obj;

	vc_outfile_abort(f->temp);
	free(f->buf);
	free(f);
}

int sq_file_new(struct out *out, struct vc_outfile *temp, struct sq_file **ret,
		struct vc_error *err)
{
	struct sq_file *f = calloc(1, sizeof(*f));

	if (f)
		f->buf = malloc(BUF_BYTES);
	if (!f || !f->buf) {
		free(f);
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	}
	f->base.base.destroy = destroy;
	f->base.read_at = read_at;
	f->base.write_at = write_at;
	f->base.get_size = get_size;
	f->base.truncate = cut;
	f->out = out;
	xxh64_init(&f->sum, 0);
	f->temp = temp;
	*ret = f;
	return 0;
}
