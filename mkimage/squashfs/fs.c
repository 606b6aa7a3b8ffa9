/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * squashfs from a stream, on libsquashfs.
 *
 *	| super | contents and fragments | inodes | directories | tables |
 *
 * Contents are compressed and written as they arrive (data.c); the rest follows
 * when the tree is complete (tree.c, xattr.c), and the superblock is written
 * once more at the end. Read-only and without free space: its size is what it
 * needs, and there is nothing to identify it by but its content.
 *
 * What the format cannot say is told: times are whole seconds from 1970 to
 * 2106, of three there is one, there are no ACLs, and inode flags (chattr) are
 * left out.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/kv.h>
#include "mkimage/squashfs/fs.h"

#define DEFAULT_BLOCK (128u << 10)
/* as good as no slower: 15, the library's own, takes five times as long */
#define DEFAULT_ZSTD_LEVEL 9

/* The last block in full, and nothing behind it of what was there before. */
static int pad(struct sq_fs *fs, uint64_t *ret_size, struct vc_error *err)
{
	static const uint8_t zeroes[OUT_BLOCK];
	struct sq_file *f = fs->data.file;
	uint64_t end = vc_align_up(f->size, OUT_BLOCK), high;
	int rc;

	rc = f->base.write_at(&f->base, f->size, zeroes,
			      (size_t)(end - f->size));
	if (!rc)
		rc = sq_file_flush(f);
	if (rc)
		return sq_fail(fs, rc, "write", err);
	/* whole clusters of any format */
	high = vc_align_up(f->high, OUT_ALIGN);
	*ret_size = end;
	return high > end ? out_zero(fs->out, end / OUT_BLOCK,
				     (high - end) / OUT_BLOCK, err)
			  : 0;
}

static int finish(struct writer *w, struct tree *t, int64_t time,
		  struct writer_report *ret, struct vc_error *err)
{
	struct sq_fs *fs = to_sq(w);
	uint64_t used, size = 0;
	int rc;

	fs->tree = t;
	if (sq_data_finish(fs, err) || sq_write_tree(fs, err) ||
	    time32_warn(&fs->times, "squashfs", fs->warn, err))
		return -1;
	used = fs->data.file->size;
	fs->super.modification_time = time32_clamp(&fs->times, time);
	fs->super.bytes_used = used;
	if (pad(fs, &size, err))
		return -1;
	rc = sqfs_super_write(&fs->super, &fs->data.file->base);
	if (!rc)
		rc = sq_file_flush(fs->data.file);
	if (sq_check(fs, rc, "superblock", err))
		return -1;
	*ret = (struct writer_report){
		.size = size,
		.used = used,
		.data = fs->nr_data,
		.nr_inodes = fs->nr_inodes,
		.identity = xxh64_final(&fs->data.file->sum),
	};
	return 0;
}

static void fs_free(struct writer *w)
{
	struct sq_fs *fs = to_sq(w);

	sqfs_destroy(fs->reader);
	sqfs_destroy(fs->xattrs);
	sqfs_destroy(fs->ids);
	sqfs_destroy(fs->dirs);
	sqfs_destroy(fs->inodes);
	sq_data_close(&fs->data);
	sqfs_destroy(fs->cmp);
	sqfs_destroy(fs->uncmp);
	sq_free_slots(fs->slots, fs->nr_slots);
	free(fs->xattr_ids);
	free(fs);
}

static const struct writer_ops ops = {
	.name = "squashfs",
	.file_begin = sq_file_begin,
	.file_data = sq_file_data,
	.file_end = sq_file_end,
	.file_drop = sq_file_drop,
	.finish = finish,
	.file_read = sq_file_read,
	.free = fs_free,
};

/* --- options -------------------------------------------------------------- */

struct given {
	uint64_t block_bytes;
	bool duplicates, fragments;
};

enum { KEY_BLOCK_SIZE, KEY_DEDUPLICATE, KEY_FRAGMENTS };

#define KEY(index, text, kind, field) \
	[index] = { .name = (text),   \
		    .type = (kind),   \
		    .offset = offsetof(struct given, field) }

static const struct vc_kv_key keys[] = {
	KEY(KEY_BLOCK_SIZE, "block-size", VC_KV_SIZE, block_bytes),
	KEY(KEY_DEDUPLICATE, "deduplicate", VC_KV_BOOL, duplicates),
	KEY(KEY_FRAGMENTS, "fragments", VC_KV_BOOL, fragments),
};

static int check_block(uint64_t bytes, struct vc_error *err)
{
	if (bytes >= SQUASHFS_MIN_BLOCK && bytes <= SQUASHFS_MAX_BLOCK &&
	    !(bytes & (bytes - 1)))
		return 0;
	return vc_fail(err, VC_E_ARG, 0,
		       "squashfs: blocks of %llu bytes: not a power of two "
		       "from 4K to 1M",
		       (unsigned long long)bytes);
}

int squashfs_set_option(struct squashfs_opts *opts, const char *text,
			struct vc_error *err)
{
	struct given g = { 0 };
	uint64_t seen = 0;

	if (vc_kv_parse_named(text, keys, VC_ARRAY_SIZE(keys), &g, &seen, err))
		return -1;
	if (seen >> KEY_BLOCK_SIZE & 1) {
		if (check_block(g.block_bytes, err))
			return -1;
		opts->block_bytes = (uint32_t)g.block_bytes;
	}
	if (seen >> KEY_DEDUPLICATE & 1)
		opts->no_duplicates = !g.duplicates;
	if (seen >> KEY_FRAGMENTS & 1)
		opts->no_fragments = !g.fragments;
	return 0;
}

struct compressor {
	const char *name;
	SQFS_COMPRESSOR id;
	unsigned min_level, max_level;
};

static const struct compressor compressors[] = {
	{ "zstd", SQFS_COMP_ZSTD, SQFS_ZSTD_MIN_LEVEL, SQFS_ZSTD_MAX_LEVEL },
	{ "gzip", SQFS_COMP_GZIP, SQFS_GZIP_MIN_LEVEL, SQFS_GZIP_MAX_LEVEL },
	{ "xz", SQFS_COMP_XZ, SQFS_XZ_MIN_LEVEL, SQFS_XZ_MAX_LEVEL },
	{ "lz4", SQFS_COMP_LZ4, 0, 0 },
};

static int check_opts(struct sq_fs *fs, const struct compressor **ret,
		      struct vc_error *err)
{
	struct squashfs_opts *o = &fs->opts;
	size_t i;

	if (!o->compress)
		o->compress = "zstd";
	if (!o->block_bytes)
		o->block_bytes = DEFAULT_BLOCK;
	if (check_block(o->block_bytes, err))
		return -1;
	for (i = 0; i < VC_ARRAY_SIZE(compressors); i++)
		if (!strcmp(compressors[i].name, o->compress))
			break;
	if (i == VC_ARRAY_SIZE(compressors))
		return vc_fail(err, VC_E_ARG, 0,
			       "squashfs: compression by '%s': none of zstd, "
			       "gzip, xz, lz4",
			       tree_show(o->compress).s);
	*ret = &compressors[i];
	if (o->level &&
	    (o->level < (*ret)->min_level || o->level > (*ret)->max_level))
		return vc_fail(err, VC_E_ARG, 0,
			       "squashfs: level %u of %s: not from %u to %u",
			       o->level, (*ret)->name, (*ret)->min_level,
			       (*ret)->max_level);
	if (!o->level && (*ret)->id == SQFS_COMP_ZSTD)
		o->level = DEFAULT_ZSTD_LEVEL;
	return 0;
}

static int open_compressors(struct sq_fs *fs, const struct compressor *c,
			    struct vc_error *err)
{
	sqfs_compressor_config_t cfg;
	int rc;

	rc = sqfs_compressor_config_init(&cfg, c->id, fs->opts.block_bytes, 0);
	if (!rc) {
		if (fs->opts.level)
			cfg.level = fs->opts.level;
		rc = sq_compressor_new(&cfg, &fs->cmp);
	}
	if (!rc) {
		cfg.flags |= SQFS_COMP_FLAG_UNCOMPRESS;
		rc = sqfs_compressor_create(&cfg, &fs->uncmp);
	}
	return rc ? sq_fail(fs, rc, c->name, err) : 0;
}

/* The superblock, for the time being, and the options of the compressor. */
static int start(struct sq_fs *fs, const struct compressor *c,
		 struct sq_file *file, struct vc_error *err)
{
	int rc;

	rc = sqfs_super_init(&fs->super, fs->opts.block_bytes, 0, c->id);
	if (fs->opts.no_duplicates)
		fs->super.flags |= SQFS_FLAG_NO_DUPLICATES;
	else
		fs->super.flags &= (uint16_t)~SQFS_FLAG_NO_DUPLICATES;
	if (!rc)
		rc = sqfs_super_write(&fs->super, &file->base);
	if (!rc) {
		rc = fs->cmp->write_options(fs->cmp, &file->base);
		if (rc > 0)
			fs->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
		rc = rc > 0 ? 0 : rc;
	}
	fs->data_start = file->size;
	return rc ? sq_fail(fs, rc, "start", err) : 0;
}

int squashfs_new(struct out *out, const struct squashfs_opts *opts,
		 struct warnings *warn, struct writer **ret,
		 struct vc_error *err)
{
	struct sq_fs *fs = calloc(1, sizeof(*fs));
	const struct compressor *c = NULL;

	if (!fs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	fs->base.ops = &ops;
	fs->out = out;
	fs->warn = warn;
	fs->opts = *opts;
	if (check_opts(fs, &c, err) || open_compressors(fs, c, err) ||
	    sq_file_new(out, NULL, &fs->data.file, err) ||
	    start(fs, c, fs->data.file, err) ||
	    sq_data_open(fs, fs->data.file, err)) {
		fs_free(&fs->base);
		return -1;
	}
	*ret = &fs->base;
	return 0;
}
