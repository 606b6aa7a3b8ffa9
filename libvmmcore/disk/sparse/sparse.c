/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "disk/sparse/sparse.h"

static bool sp_probe(const uint8_t *head, size_t len)
{
	le32_t magic;

	if (len < sizeof(magic))
		return false;
	memcpy(&magic, head, sizeof(magic));
	return le32_get(magic) == SP_MAGIC;
}

static struct vc_disk *sp_alloc(void)
{
	struct sp_disk *s = calloc(1, sizeof(*s));

	return s ? &s->base : NULL;
}

static int sp_open(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		   struct vc_error *err)
{
	struct sp_disk *s = to_sp(d);
	uint64_t file_bytes;

	if (d->backing)
		return vc_fail(err, VC_E_ARG, 0,
			       "an Android sparse image has no backing file");
	if (disk_file_size(d->fd, &file_bytes, err) < 0)
		return -1;
	if (!opts->writable)
		return sp_reader_new(s, !opts->no_verify, err);
	if (!sp_is_new(d->fd, file_bytes))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "an Android sparse image is read-only once it "
			       "is written");
	return sp_writer_new(s, err);
}

static void sp_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	struct sp_disk *s = to_sp(d);

	if (s->writer)
		sp_writer_submit(s, req);
	else
		sp_reader_submit(s, req);
}

static void sp_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	sp_writer_submit(to_sp(d), req);
}

static int sp_close(struct vc_disk *d, struct vc_error *err)
{
	return sp_writer_close(to_sp(d), err);
}

static void sp_free(struct vc_disk *d)
{
	struct sp_disk *s = to_sp(d);

	sp_reader_free(s->reader);
	sp_writer_free(s->writer);
	free(s);
}

static int sp_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	if (to_sp(d)->writer)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "an Android sparse image that is being "
			       "written");
	return sp_reader_map(to_sp(d), offset, max_len, ret, err);
}

static int sp_set_size(struct vc_disk *d, uint64_t size, struct vc_error *err)
{
	return sp_writer_set_size(to_sp(d), size, err);
}

static uint32_t sp_discard_granularity(const struct vc_disk *d)
{
	/* to_sp() of what is const */
	const struct sp_disk *s = (const struct sp_disk *)d;

	return s->writer ? sp_writer_block(s) : SP_DEFAULT_BLOCK;
}

static int sp_info(int fd, struct vc_disk_info *ret, struct vc_error *err)
{
	struct sp_index x;

	if (sp_index_load(fd, ret->file_bytes, false, &x, err) < 0)
		return -1;
	ret->virtual_bytes = vc_align_up(sp_index_total(&x), VC_DISK_SECTOR);
	ret->cluster_bytes = x.block_bytes;
	ret->has_checksums = x.has_checksums;
	ret->nr_parts = x.nr_in_file;
	sp_index_free(&x);
	return 0;
}

static int sp_check(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	struct vc_error found;
	uint64_t file_bytes;
	struct sp_index x;

	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	chk->image_end_bytes = file_bytes;
	if (sp_index_load(fd, file_bytes, true, &x, &found) < 0) {
		if (found.code != VC_E_CORRUPT) {
			*err = found;
			return -1;
		}
		chk->nr_corruptions++;
		if (chk->report)
			chk->report(chk, false, found.msg);
		return 0;
	}
	chk->nr_total_clusters = x.nr_blocks;
	chk->nr_allocated_clusters = x.nr_allocated;
	sp_index_free(&x);
	return 0;
}

static uint64_t sp_memory(const struct vc_disk *d)
{
	/* to_sp() of what is const */
	const struct sp_disk *s = (const struct sp_disk *)d;

	return s->reader ? sp_reader_memory(s->reader) : 0;
}

const struct disk_ops sparse_ops = {
	.memory = sp_memory,
	.name = "android-sparse",
	.format = VC_DISK_FORMAT_ANDROID_SPARSE,
	.is_sequential = true,
	.probe = sp_probe,
	.alloc = sp_alloc,
	.open = sp_open,
	.submit = sp_submit,
	.flush = sp_flush,
	.close = sp_close,
	.free = sp_free,
	.map = sp_map,
	.info = sp_info,
	.create = sp_create,
	.check = sp_check,
	.discard_granularity = sp_discard_granularity,
	.set_size = sp_set_size,
};
