/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "disk/zstd/zstd.h"

static bool zs_probe(const uint8_t *head, size_t len)
{
	le32_t magic;

	if (len < sizeof(magic))
		return false;
	memcpy(&magic, head, sizeof(magic));
	return le32_get(magic) == ZS_MAGIC_FRAME ||
	       (le32_get(magic) & ~0xfu) == ZS_MAGIC_SKIPPABLE;
}

static struct vc_disk *zs_alloc(void)
{
	struct zs_disk *z = calloc(1, sizeof(*z));

	return z ? &z->base : NULL;
}

static int zs_open(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		   struct vc_error *err)
{
	struct zs_disk *z = to_zs(d);
	uint64_t file_bytes;

	if (d->backing)
		return vc_fail(err, VC_E_ARG, 0,
			       "a zstd image has no backing file");
	if (disk_file_size(d->fd, &file_bytes, err) < 0)
		return -1;
	if (!opts->writable)
		return zs_reader_new(z, err);
	if (!zs_is_new(d->fd, file_bytes))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "a zstd image is read-only once it is written");
	return zs_writer_new(z, err);
}

static void zs_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	struct zs_disk *z = to_zs(d);

	if (z->writer)
		zs_writer_submit(z, req);
	else
		zs_reader_submit(z, req);
}

static void zs_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	zs_writer_submit(to_zs(d), req);
}

static int zs_close(struct vc_disk *d, struct vc_error *err)
{
	return zs_writer_close(to_zs(d), err);
}

static void zs_free(struct vc_disk *d)
{
	struct zs_disk *z = to_zs(d);

	zs_reader_free(z->reader);
	zs_writer_free(z->writer);
	free(z);
}

static int zs_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	if (to_zs(d)->writer)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "a zstd image that is being written");
	return zs_reader_map(to_zs(d), offset, max_len, ret, err);
}

static int zs_set_size(struct vc_disk *d, uint64_t size, struct vc_error *err)
{
	return zs_writer_set_size(to_zs(d), size, err);
}

static uint32_t zs_discard_granularity(const struct vc_disk *d)
{
	(void)d;
	return ZS_WRITE_FRAME;
}

static enum vc_disk_compression zs_compression(const struct vc_disk *d,
					       uint32_t *ret_cluster_bytes)
{
	/* to_zs() of what is const */
	const struct zs_disk *z = (const struct zs_disk *)d;

	if (!z->writer)
		return VC_DISK_COMPRESSION_NONE;
	*ret_cluster_bytes = ZS_WRITE_FRAME;
	return zs_writer_compression(z);
}

static int zs_info(int fd, struct vc_disk_info *ret, struct vc_error *err)
{
	struct zs_table t;

	if (zs_table_load(fd, ret->file_bytes, &t, err) < 0)
		return -1;
	ret->virtual_bytes = vc_align_up(zs_table_total(&t), VC_DISK_SECTOR);
	ret->cluster_bytes = t.max_size;
	ret->compression = "zstd";
	ret->has_checksums = t.has_checksums;
	ret->nr_parts = t.nr_frames;
	zs_table_free(&t);
	return 0;
}

/* --- check ----------------------------------------------------------------*/

struct checker {
	int fd;
	struct zs_table table;
	struct vc_disk_check *chk;
	ZSTD_DCtx *dctx;
	uint8_t *in, *out;
};

static int check_frame(struct checker *c, const struct zs_frame *f, uint32_t nr,
		       struct vc_error *err)
{
	char text[160];

	if (!f->size)
		return 0;
	if (vc_pread_full(c->fd, c->in, f->compressed, f->file_offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "frame %u: read", nr);
	c->chk->nr_allocated_clusters++;
	c->chk->nr_compressed_clusters++;
	if (zs_frame_decode(c->dctx, &c->table, f, c->in, c->out))
		return 0;
	c->chk->nr_corruptions++;
	snprintf(text, sizeof(text),
		 "ERROR frame %u at 0x%llx: does not decompress to %u bytes "
		 "with the checksum of the seek table",
		 nr, (unsigned long long)f->file_offset, f->size);
	if (c->chk->report)
		c->chk->report(c->chk, false, text);
	return 0;
}

static int check_all(struct checker *c, struct vc_error *err)
{
	struct zs_frame frames[ZS_MAX_GROUP];
	uint32_t group, i;

	for (group = 0; group < c->table.nr_groups; group++) {
		if (zs_group_read(c->fd, &c->table, group, frames, err) < 0)
			return -1;
		for (i = 0; i < zs_group_len(&c->table, group); i++)
			if (check_frame(c, &frames[i],
					group * c->table.group + i, err) < 0)
				return -1;
	}
	return 0;
}

static int zs_check(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	struct checker c = { .fd = fd, .chk = chk };
	uint64_t file_bytes;
	int ret = -1;

	if (disk_file_size(fd, &file_bytes, err) < 0 ||
	    zs_table_load(fd, file_bytes, &c.table, err) < 0)
		return -1;
	chk->nr_total_clusters = c.table.nr_frames;
	chk->image_end_bytes = file_bytes;
	c.in = malloc(c.table.max_compressed + 1u);
	c.out = malloc(c.table.max_size + 1u);
	c.dctx = ZSTD_createDCtx();
	if (c.in && c.out && c.dctx)
		ret = check_all(&c, err);
	else
		vc_fail(err, VC_E_SYS, ENOMEM, "check");
	ZSTD_freeDCtx(c.dctx);
	free(c.in);
	free(c.out);
	zs_table_free(&c.table);
	return ret;
}

static uint64_t zs_memory(const struct vc_disk *d)
{
	/* to_zs() of what is const */
	const struct zs_disk *z = (const struct zs_disk *)d;

	return z->reader ? zs_reader_memory(z->reader) : 0;
}

const struct disk_ops zstd_ops = {
	.memory = zs_memory,
	.name = "zstd",
	.format = VC_DISK_FORMAT_ZSTD,
	.is_sequential = true,
	.probe = zs_probe,
	.alloc = zs_alloc,
	.open = zs_open,
	.submit = zs_submit,
	.flush = zs_flush,
	.close = zs_close,
	.free = zs_free,
	.map = zs_map,
	.info = zs_info,
	.create = zs_create,
	.check = zs_check,
	.discard_granularity = zs_discard_granularity,
	.set_size = zs_set_size,
	.compression = zs_compression,
};
