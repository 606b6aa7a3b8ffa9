/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ext4 from a stream, one pass.
 *
 * Blocks are handed out upwards by a single cursor: contents of files as they
 * arrive, then, when the tree is complete, what describes them:
 *
 *	| superblock, descriptors, | contents | long symlinks, attributes,  |
 *	| room for more of them    |          | extent maps, directories,   |
 *	|                          |          | quotas, journal, bitmaps,   |
 *	|                          |          | inodes                      | free
 *
 * That works because nothing in ext4 with flex_bg has a place of its own but
 * the superblock, its copies (groups 1 and the powers of 3, 5 and 7) and the
 * group descriptors behind each. The cursor jumps over those: how many blocks
 * descriptors take depends on the size, which is known last, but together with
 * the room that the resize inode reserves for them to grow into it is constant.
 * So the size can be computed at the end, from what is there.
 *
 * Bitmaps and inode tables of the groups that contents have reached follow the
 * contents; those of the groups after lie where mke2fs puts them, at the start
 * of each 16 groups, so that a file system of any size can be shrunk to what is
 * used. Nothing is left for the kernel to initialise: what is not written
 * reads as zero.
 *
 * Contents that a later entry replaced are holes in that, which are filled from
 * the end when all is there (compact.c).
 *
 * When a size was given and is too small, the writer goes on counting without
 * writing, to say at the end how large it would have to be.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

/* --- blocks -------------------------------------------------------------- */

bool e4_has_super(const struct e4 *fs, uint32_t group)
{
	uint32_t i;

	if (!group)
		return true;
	for (i = 0; i < fs->nr_backups; i++)
		if (fs->backup[i] == group)
			return true;
	return false;
}

uint32_t e4_count_supers(const struct e4 *fs, uint32_t nr_groups)
{
	uint32_t i, n = nr_groups > 0;

	for (i = 0; i < fs->nr_backups; i++)
		n += fs->backup[i] < nr_groups;
	return n;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void find_backups(struct e4 *fs)
{
	const uint32_t max = EXT4_MAX_BYTES / E4_BLOCK / E4_GROUP_BLOCKS;
	static const uint32_t bases[] = { 3, 5, 7 };
	uint32_t g;
	size_t i;

	fs->backup[fs->nr_backups++] = 1;
	for (i = 0; i < VC_ARRAY_SIZE(bases); i++)
		for (g = bases[i]; g < max; g *= bases[i])
			fs->backup[fs->nr_backups++] = g;
	qsort(fs->backup, fs->nr_backups, sizeof(fs->backup[0]), compare_u32);
}

uint64_t e4_skip_head(const struct e4 *fs, uint64_t at, uint64_t *ret_end)
{
	uint64_t start;
	uint32_t i;

	if (at < fs->head_blocks)
		at = fs->head_blocks;
	*ret_end = UINT64_MAX;
	for (i = 0; i < fs->nr_backups; i++) {
		start = (uint64_t)fs->backup[i] * E4_GROUP_BLOCKS;
		if (at < start) {
			*ret_end = start;
			break;
		}
		if (at < start + fs->head_blocks)
			at = start + fs->head_blocks;
	}
	return at;
}

uint64_t e4_advance(const struct e4 *fs, uint64_t at, uint64_t n)
{
	uint64_t end;

	for (;;) {
		at = e4_skip_head(fs, at, &end);
		if (n <= end - at)
			return at + n;
		n -= end - at;
		at = end;
	}
}

uint64_t e4_fit(const struct e4 *fs, uint64_t at, uint64_t n)
{
	uint64_t end;

	for (;;) {
		at = e4_skip_head(fs, at, &end);
		if (n <= end - at)
			return at;
		at = end;
	}
}

void e4_set_cursor(struct e4 *fs, uint64_t at)
{
	fs->next = e4_skip_head(fs, at, &fs->run_end);
}

uint32_t e4_alloc(struct e4 *fs, uint32_t want, uint64_t *ret_start)
{
	uint32_t got = want;

	if (fs->next == fs->run_end)
		fs->next = e4_skip_head(fs, fs->next, &fs->run_end);
	if (got > fs->run_end - fs->next)
		got = (uint32_t)(fs->run_end - fs->next);
	*ret_start = fs->next;
	fs->next += got;
	fs->nr_alloced += got;
	return got;
}

int e4_alloc_extents(struct e4 *fs, struct extents *ext, uint32_t logical,
		     uint32_t want, struct vc_error *err)
{
	uint64_t start;
	uint32_t got;

	for (; want; want -= got, logical += got) {
		got = e4_alloc(fs, want, &start);
		if (extents_append(ext, logical, start, got, err))
			return -1;
	}
	return 0;
}

uint8_t *e4_block(struct e4 *fs, uint64_t nr, struct vc_error *err)
{
	uint8_t *ret = fs->scratch;

	if (nr < fs->limit)
		ret = out_block(fs->out, nr, err);
	if (ret)
		memset(ret, 0, E4_BLOCK);
	return ret;
}

uint32_t e4_inode_seed(const struct e4 *fs, uint32_t ino)
{
	const le32_t in[2] = { le32_put(ino), le32_put(0) };

	return e4_crc32c(fs->csum_seed, in, sizeof(in));
}

/* --- contents ------------------------------------------------------------ */

static bool is_zero(const uint8_t *block)
{
	static const uint8_t zeroes[E4_BLOCK];

	return !memcmp(block, zeroes, E4_BLOCK);
}

static int put_block(struct e4 *fs, uint32_t logical, const uint8_t *data,
		     struct vc_error *err)
{
	uint64_t nr;
	uint8_t *to;

	if (is_zero(data))
		return 0;
	e4_alloc(fs, 1, &nr);
	if (nr < fs->limit) {
		to = out_block(fs->out, nr, err);
		if (!to)
			return -1;
		memcpy(to, data, E4_BLOCK);
	} else if (e4_spill(fs, nr, data, err)) {
		return -1;
	}
	fs->digest = xxh3(data, E4_BLOCK, fs->digest ^ logical);
	fs->nr_data++;
	return extents_append(&fs->file->ext, logical, nr, 1, err);
}

static int flush_part(struct e4 *fs, struct vc_error *err)
{
	if (!fs->has_part)
		return 0;
	fs->has_part = false;
	return put_block(fs, fs->part_logical, fs->part, err);
}

static int file_begin(struct writer *w, struct node *n, struct vc_error *err)
{
	struct e4 *fs = to_e4(w);

	if (n->size_bytes > EXT4_MAX_BYTES - E4_BLOCK)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its size, %llu bytes, is over the 16 TiB of "
			       "ext4",
			       (unsigned long long)n->size_bytes);
	fs->file = n;
	fs->has_part = false;
	fs->digest = 0;
	return 0;
}

/* Some bytes of one block. */
static int put_part(struct e4 *fs, uint32_t logical, uint32_t at,
		    const uint8_t *data, uint32_t len, struct vc_error *err)
{
	if (!fs->has_part || fs->part_logical != logical) {
		if (flush_part(fs, err))
			return -1;
		memset(fs->part, 0, E4_BLOCK);
		fs->part_logical = logical;
		fs->has_part = true;
	}
	memcpy(fs->part + at, data, len);
	return at + len == E4_BLOCK ? flush_part(fs, err) : 0;
}

static int file_data(struct writer *w, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err)
{
	struct e4 *fs = to_e4(w);
	const uint8_t *p = data;
	uint32_t logical, at, n;
	int rc;

	while (len) {
		logical = (uint32_t)(offset / E4_BLOCK);
		at = (uint32_t)(offset % E4_BLOCK);
		n = E4_BLOCK - at;
		if (n > len)
			n = (uint32_t)len;
		if (n == E4_BLOCK)
			rc = flush_part(fs, err) ||
			     put_block(fs, logical, p, err);
		else
			rc = put_part(fs, logical, at, p, n, err);
		if (rc)
			return -1;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static int file_end(struct writer *w, struct vc_error *err)
{
	struct e4 *fs = to_e4(w);

	if (flush_part(fs, err))
		return -1;
	fs->file->digest = fs->digest;
	fs->file = NULL;
	return 0;
}

static void file_drop(struct writer *w, struct node *n)
{
	struct e4 *fs = to_e4(w);
	struct extent *more;
	size_t max;
	uint32_t i;

	for (i = 0; i < n->ext.nr; i++) {
		if (fs->nr_dropped == fs->max_dropped) {
			max = fs->max_dropped ? fs->max_dropped * 2 : 64;
			more = realloc(fs->dropped, max * sizeof(*more));
			if (!more) {
				fs->is_out_of_memory = true;
				return;
			}
			fs->dropped = more;
			fs->max_dropped = max;
		}
		fs->dropped[fs->nr_dropped++] = *extents_get(&n->ext, i);
		fs->nr_alloced -= extents_get(&n->ext, i)->len;
		fs->nr_data -= extents_get(&n->ext, i)->len;
	}
	extents_fini(&n->ext);
	n->digest = 0;
}

/* --- the rest ------------------------------------------------------------ */

static int write_symlinks(struct e4 *fs, struct vc_error *err)
{
	struct node *n;
	uint8_t *to;

	for (n = fs->tree->root; n; n = n->next) {
		if (n->type != NODE_SYMLINK || !n->nr_links ||
		    n->size_bytes < E4_IBLOCK)
			continue;
		if (e4_alloc_extents(fs, &n->ext, 0, 1, err))
			return -1;
		to = e4_block(fs, n->ext.first.physical, err);
		if (!to)
			return -1;
		memcpy(to, n->target, (size_t)n->size_bytes);
	}
	return 0;
}

static int find_lost_found(struct e4 *fs, struct vc_error *err)
{
	const struct tree_meta meta = {
		.mode = 0700,
		.mtime.sec = fs->time,
		.atime.sec = fs->time,
		.ctime.sec = fs->time,
	};
	struct tree_place place;
	struct node *n;

	if (tree_walk(fs->tree, "lost+found", 0, &place, err))
		return -1;
	n = tree_child(fs->tree, place.dir, place.name, place.len);
	if (n && !node_is_dir(n))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "entry 'lost+found': it must be a directory");
	if (!n && tree_add(fs->tree, &place, NODE_DIR, &meta, &n, err))
		return -1;
	fs->lost_found = n;
	return 0;
}

/* All that is written before the size is known. */
static int lay_out(struct e4 *fs, struct vc_error *err)
{
	return write_symlinks(fs, err) || e4_write_xattrs(fs, err) ||
			       e4_write_dirs(fs, err) ||
			       e4_write_maps(fs, err) ||
			       e4_write_quotas(fs, err)
		       ? -1
		       : 0;
}

static void free_maps(struct e4 *fs)
{
	struct e4_map *m;

	while ((m = fs->maps)) {
		fs->maps = m->next;
		free(m);
	}
	fs->maps_end = &fs->maps;
}

/* To do it again. What it wrote is cleared when the contents have moved. */
static int take_back(struct e4 *fs, struct vc_error *err)
{
	struct node *n;

	for (n = fs->tree->root; n; n = n->next)
		if (n->type != NODE_FILE)
			extents_fini(&n->ext);
	e4_forget_xattrs(fs);
	e4_free_values(fs);
	e4_free_quotas(fs);
	free_maps(fs);
	return e4_number_inodes(fs, err);
}

static int lay_out_all(struct e4 *fs, struct vc_error *err)
{
	uint32_t head = e4_guess_head(fs);

	fs->data_end = fs->next;
	for (;;) {
		if (e4_compact(fs, head + 1, err) || lay_out(fs, err) ||
		    e4_choose_geometry(fs, &head, err))
			return -1;
		if (head + 1 <= fs->head_blocks)
			return 0;
		if (take_back(fs, err))
			return -1;
	}
}

static void fill_report(const struct e4 *fs, struct writer_report *r)
{
	r->size = fs->geo.nr_blocks * E4_BLOCK;
	r->free = e4_count_free(fs) * E4_BLOCK;
	r->used = r->size - r->free;
	r->data = fs->nr_data * E4_BLOCK;
	r->nr_inodes = (uint64_t)fs->geo.nr_groups * fs->geo.inodes_per_group;
	r->identity = xxh64(fs->uuid.b, sizeof(fs->uuid.b), 0);
	r->nr_free_inodes = r->nr_inodes - fs->nr_inodes;
	vc_guid_format(&fs->uuid, r->uuid);
}

static int finish(struct writer *w, struct tree *t, int64_t time,
		  struct writer_report *ret, struct vc_error *err)
{
	struct e4 *fs = to_e4(w);

	if (fs->is_out_of_memory)
		return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
	fs->tree = t;
	fs->time = time;
	if (find_lost_found(fs, err) || e4_number_inodes(fs, err))
		return -1;
	e4_make_ident(fs);
	if (lay_out_all(fs, err) || e4_write_journal(fs, err) ||
	    e4_write_resize(fs, err) || e4_place_tables(fs, err) ||
	    e4_write_inodes(fs, err) || e4_write_bitmaps(fs, err) ||
	    e4_write_supers(fs, err))
		return -1;
	fill_report(fs, ret);
	return 0;
}

static void fs_free(struct writer *w)
{
	struct e4 *fs = to_e4(w);

	free_maps(fs);
	free(fs->journal_map);
	extents_fini(&fs->journal);
	e4_free_values(fs);
	e4_free_quotas(fs);
	e4_free_groups(fs);
	free(fs->dropped);
	vc_outfile_abort(fs->spill);
	free(fs);
}

static const struct writer_ops ops = {
	.name = "ext4",
	.file_begin = file_begin,
	.file_data = file_data,
	.file_end = file_end,
	.file_drop = file_drop,
	.finish = finish,
	.file_read = e4_file_read,
	.free = fs_free,
};

uint64_t ext4_max_bytes(const struct ext4_opts *opts)
{
	return opts->size_bytes ? opts->size_bytes : EXT4_MAX_BYTES;
}

int ext4_new(struct out *out, const struct ext4_opts *opts, struct writer **ret,
	     struct vc_error *err)
{
	struct e4 *fs;

	if (opts->size_bytes > EXT4_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: more than 16 TiB is not supported");
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
	fs->base.ops = &ops;
	if (!opts->features.ea_inode)
		fs->base.max_values = E4_INODE + E4_BLOCK;
	fs->out = out;
	fs->opts = *opts;
	fs->maps_end = &fs->maps;
	find_backups(fs);
	/* the superblock is one more block */
	fs->head_blocks = e4_first_head(opts) + 1;
	e4_set_cursor(fs, 0);
	fs->limit = ext4_max_bytes(opts) / E4_BLOCK;
	*ret = &fs->base;
	return 0;
}
