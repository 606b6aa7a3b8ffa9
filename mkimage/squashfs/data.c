/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contents go through libsquashfs' block processor: cut in blocks, compressed
 * by its threads, what is there already found again, ends of files gathered in
 * fragments. It keeps the order in which they came, so the image does not
 * depend on the threads.
 *
 * To find the end of a file again, it has some 80 bytes of memory for each. From
 * time to time it forgets them, by being made anew: of a small file among very
 * many a copy is packed twice if they are far from each other. What whole blocks
 * have is found whatever comes between.
 *
 * What a later entry replaced is in the image by then, and parts of it may be
 * in one fragment with what stays. An image must not carry what is not in its
 * tree; so if there was any such thing, the contents that stay are read back
 * and packed once more, into a temporary file that takes the place of the
 * first attempt.
 */
#include <errno.h>
#include <sqfs/block.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/squashfs/fs.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define BACKLOG 10	  /* blocks in flight for each thread */
#define SETTLE_EVERY 2048 /* files */
#define MAX_KNOWN 262144  /* ends of files that can be found again */

int sq_fail(const struct sq_fs *fs, int code, const char *what,
	    struct vc_error *err)
{
	const struct sq_file *f = fs->data.file;

	if (f && f->err.code) {
		*err = f->err;
		return -1;
	}
	switch (code) {
	case SQFS_ERROR_ALLOC:
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs: %s", what);
	case SQFS_ERROR_OVERFLOW:
		return vc_fail(err, VC_E_LIMIT, 0,
			       "squashfs: %s: more than the format can have",
			       what);
	case SQFS_ERROR_UNSUPPORTED:
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "squashfs: %s: not supported", what);
	default:
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "squashfs: %s: error %d of libsquashfs", what,
			       code);
	}
}

int sq_check(const struct sq_fs *fs, int code, const char *what,
	     struct vc_error *err)
{
	return code || fs->data.file->err.code ? sq_fail(fs, code, what, err)
					       : 0;
}

static unsigned nr_threads(const struct sq_fs *fs)
{
	long n = fs->opts.nr_threads ? (long)fs->opts.nr_threads
				     : sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	return n > SQUASHFS_MAX_THREADS ? SQUASHFS_MAX_THREADS : (unsigned)n;
}

static int start_processor(struct sq_fs *fs, struct vc_error *err)
{
	struct sq_data *d = &fs->data;
	const sqfs_block_processor_desc_t desc = {
		.size = sizeof(desc),
		.max_block_size = fs->opts.block_bytes,
		.num_workers = nr_threads(fs),
		.max_backlog = nr_threads(fs) * BACKLOG,
		.cmp = fs->cmp,
		.wr = d->writer,
		.tbl = d->frags,
		.file = &d->file->base,
		.uncmp = fs->uncmp,
	};
	int rc = sqfs_block_processor_create_ex(&desc, &d->proc);

	return rc ? sq_fail(fs, rc, "start", err) : 0;
}

int sq_data_open(struct sq_fs *fs, struct sq_file *file, struct vc_error *err)
{
	struct sq_data *d = &fs->data;

	*d = (struct sq_data){ .file = file };
	d->writer = sqfs_block_writer_create(&file->base, SQFS_DEVBLK_SIZE, 0);
	d->frags = sqfs_frag_table_create(0);
	if (!d->writer || !d->frags)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	return start_processor(fs, err);
}

/* The library would not free blocks that are on their way, should this be an
 * early end: let them arrive, without writing them. */
static void drain(struct sq_data *d)
{
	int rc;

	if (d->file && !d->file->err.code)
		d->file->err.code = VC_E_INTERNAL;
	rc = sqfs_block_processor_end_file(d->proc);
	if (!rc || rc == SQFS_ERROR_SEQUENCE)
		rc = sqfs_block_processor_finish(d->proc);
	(void)rc; /* it is over anyway */
}

void sq_data_close(struct sq_data *d)
{
	if (d->proc)
		drain(d);
	sqfs_destroy(d->proc);
	sqfs_destroy(d->frags);
	sqfs_destroy(d->writer);
	sqfs_destroy(d->file);
	*d = (struct sq_data){ 0 };
}

/* --- as they come --------------------------------------------------------- */

static struct sq_slot *new_slot(struct sq_fs *fs)
{
	struct sq_slot **more, *slot;
	uint32_t max;

	if (fs->nr_slots == fs->max_slots) {
		max = fs->max_slots ? fs->max_slots * 2 : 1024;
		more = realloc(fs->slots, max * sizeof(struct sq_slot *));
		if (!more)
			return NULL;
		fs->slots = more;
		fs->max_slots = max;
	}
	slot = calloc(1, sizeof(*slot));
	if (slot)
		fs->slots[fs->nr_slots++] = slot;
	return slot;
}

static int begin(struct sq_fs *fs, struct sq_slot *slot, struct vc_error *err)
{
	uint32_t flags = 0;
	int rc;

	if (fs->opts.no_duplicates)
		flags |= SQFS_BLK_DONT_DEDUPLICATE;
	if (fs->opts.no_fragments)
		flags |= SQFS_BLK_DONT_FRAGMENT;
	rc = sqfs_block_processor_begin_file(fs->data.proc, &slot->inode, NULL,
					     flags);
	return rc ? sq_fail(fs, rc, "contents", err) : 0;
}

int sq_file_begin(struct writer *w, struct node *n, struct vc_error *err)
{
	struct sq_fs *fs = to_sq(w);
	struct sq_slot *slot = new_slot(fs);

	if (!slot)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	slot->node = n;
	n->ino = fs->nr_slots;
	fs->file = n;
	fs->file_pos = 0;
	return begin(fs, slot, err);
}

static int append(struct sq_fs *fs, const void *data, size_t len,
		  struct vc_error *err)
{
	int rc = sqfs_block_processor_append(fs->data.proc, data, len);

	fs->file_pos += len;
	return sq_check(fs, rc, "contents", err);
}

/* A hole: the processor knows zeroes when it sees them. */
static int append_zeroes(struct sq_fs *fs, uint64_t to, struct vc_error *err)
{
	static const uint8_t zeroes[SQUASHFS_MAX_BLOCK];
	uint64_t n;

	while (fs->file_pos < to) {
		n = vc_min_u64(to - fs->file_pos, sizeof(zeroes));
		if (append(fs, zeroes, (size_t)n, err))
			return -1;
	}
	return 0;
}

int sq_file_data(struct writer *w, uint64_t offset, const void *data,
		 size_t len, struct vc_error *err)
{
	struct sq_fs *fs = to_sq(w);

	if (append_zeroes(fs, offset, err))
		return -1;
	return append(fs, data, len, err);
}

/* Does all that is to be known of the contents fit in the node? */
static bool settle_slot(const struct sq_slot *slot)
{
	const sqfs_inode_generic_t *in = slot->inode;
	struct extent *e = &slot->node->ext.first;

	if (in->base.type != SQFS_INODE_FILE || in->payload_bytes_used ||
	    sqfs_inode_get_file_block_start(in, &e->physical) ||
	    sqfs_inode_get_frag_location(in, &e->logical, &e->len))
		return false;
	slot->node->ino = SQ_SETTLED;
	return true;
}

/* The ends of files that are known by now are known no more. */
static int forget(struct sq_fs *fs, struct vc_error *err)
{
	int rc = sqfs_block_processor_finish(fs->data.proc);

	if (sq_check(fs, rc, "contents", err))
		return -1;
	sqfs_destroy(vc_steal_ptr(&fs->data.proc));
	return start_processor(fs, err);
}

/* Of most files a few bytes are all that has to be kept. What is on its way is
 * waited for: the library writes to their inodes until then. */
static int settle(struct sq_fs *fs, struct vc_error *err)
{
	int rc = sqfs_block_processor_sync(fs->data.proc);
	uint32_t i, to = fs->nr_settled;
	struct sq_slot *slot;

	if (sq_check(fs, rc, "contents", err))
		return -1;
	for (i = to; i < fs->nr_slots; i++) {
		slot = fs->slots[i];
		if (!slot->node || settle_slot(slot)) {
			sqfs_free(slot->inode);
			free(slot);
		} else {
			fs->slots[to++] = slot;
			slot->node->ino = to;
		}
	}
	fs->nr_slots = fs->nr_settled = to;
	if (sqfs_block_processor_get_stats(fs->data.proc)->actual_frag_count <
	    MAX_KNOWN)
		return 0;
	return forget(fs, err);
}

sqfs_inode_generic_t *sq_get_inode(struct sq_slot **slots, uint32_t slot,
				   const struct node *n,
				   sqfs_inode_generic_t *room)
{
	const struct extent *e = &n->ext.first;

	if (slot != SQ_SETTLED)
		return slots[slot - 1]->inode;
	*room = (sqfs_inode_generic_t){ .base.type = SQFS_INODE_FILE };
	/* they fit: they come from such an inode */
	room->data.file.file_size = (uint32_t)n->size_bytes;
	room->data.file.blocks_start = (uint32_t)e->physical;
	room->data.file.fragment_index = e->logical;
	room->data.file.fragment_offset = e->len;
	return room;
}

void sq_free_slots(struct sq_slot **slots, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		sqfs_free(slots[i]->inode);
		free(slots[i]);
	}
	free(slots);
}

int sq_file_end(struct writer *w, struct vc_error *err)
{
	struct sq_fs *fs = to_sq(w);
	int rc;

	if (append_zeroes(fs, fs->file->size_bytes, err))
		return -1;
	rc = sqfs_block_processor_end_file(fs->data.proc);
	fs->file = NULL;
	if (rc)
		return sq_fail(fs, rc, "contents", err);
	return fs->nr_slots - fs->nr_settled < SETTLE_EVERY ? 0
							    : settle(fs, err);
}

void sq_file_drop(struct writer *w, struct node *n)
{
	struct sq_fs *fs = to_sq(w);

	if (!n->ino)
		return;
	if (n->ino != SQ_SETTLED)
		fs->slots[n->ino - 1]->node = NULL;
	fs->has_dropped |= n->size_bytes > 0;
	n->ino = 0;
}

/* --- when all are there --------------------------------------------------- */

static int open_reader(struct sq_fs *fs, const sqfs_super_t *super,
		       sqfs_data_reader_t **ret, struct vc_error *err)
{
	sqfs_data_reader_t *r;
	int rc;

	r = sqfs_data_reader_create(&fs->data.file->base, fs->opts.block_bytes,
				    fs->uncmp, 0);
	if (!r)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	rc = sqfs_data_reader_load_fragment_table(r, super);
	if (rc) {
		sqfs_destroy(r);
		return sq_fail(fs, rc, "read back", err);
	}
	*ret = r;
	return 0;
}

/* A reader of what is not yet a file system: behind the contents goes a table
 * of their fragments, for the time being. */
static int open_early_reader(struct sq_fs *fs, sqfs_data_reader_t **ret,
			     struct vc_error *err)
{
	struct sq_file *f = fs->data.file;
	sqfs_super_t super = fs->super;
	int rc;

	super.directory_table_start = f->size;
	rc = sqfs_frag_table_write(fs->data.frags, &f->base, &super, fs->cmp);
	if (rc)
		return sq_fail(fs, rc, "fragments", err);
	super.id_table_start = super.bytes_used = f->size;
	return open_reader(fs, &super, ret, err);
}

static int repack_file(struct sq_fs *fs, sqfs_data_reader_t *from,
		       struct sq_slot **old, struct node *n, uint8_t *buf,
		       struct vc_error *err)
{
	sqfs_inode_generic_t room, *in = sq_get_inode(old, n->ino, n, &room);
	uint64_t pos, len;

	if (sq_file_begin(&fs->base, n, err))
		return -1;
	for (pos = 0; pos < n->size_bytes; pos += len) {
		len = vc_min_u64(n->size_bytes - pos, COPY_BYTES);
		if (sqfs_data_reader_read(from, in, pos, buf, (uint32_t)len) !=
		    (sqfs_s32)len)
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "squashfs: contents do not read back");
		if (append(fs, buf, (size_t)len, err))
			return -1;
	}
	return sq_file_end(&fs->base, err);
}

static int repack_from(struct sq_fs *fs, sqfs_data_reader_t *from,
		       struct sq_slot **old, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	struct node *n;
	int rc;

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	for (n = fs->tree->root; n; n = n->next)
		if (n->type == NODE_FILE && n->nr_links && n->ino &&
		    repack_file(fs, from, old, n, buf, err))
			return -1;
	rc = sqfs_block_processor_finish(fs->data.proc);
	return sq_check(fs, rc, "contents", err);
}

static int repack_all(struct sq_fs *fs, sqfs_data_reader_t *from,
		      struct vc_error *err)
{
	struct sq_slot **old = vc_steal_ptr(&fs->slots);
	const uint32_t nr_old = fs->nr_slots;
	int rc;

	fs->nr_slots = fs->max_slots = fs->nr_settled = 0;
	rc = repack_from(fs, from, old, err);
	sq_free_slots(old, nr_old);
	return rc;
}

/* `from` becomes the contents of `to` from byte `start` on. */
static int copy_back(struct sq_fs *fs, struct sq_file *from, struct sq_file *to,
		     uint64_t start, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	uint64_t pos, n;

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "squashfs");
	if (to->base.truncate(&to->base, start))
		return sq_fail(fs, SQFS_ERROR_INTERNAL, "copy", err);
	for (pos = start; pos < from->size; pos += n) {
		n = vc_min_u64(from->size - pos, COPY_BYTES);
		if (from->base.read_at(&from->base, pos, buf, (size_t)n)) {
			*err = from->err;
			return -1;
		}
		if (to->base.write_at(&to->base, pos, buf, (size_t)n)) {
			*err = to->err;
			return -1;
		}
	}
	return 0;
}

static int repack(struct sq_fs *fs, struct vc_error *err)
{
	const uint64_t start = fs->data_start;
	struct sq_data first = { 0 };
	sqfs_data_reader_t *from = NULL;
	struct vc_outfile *temp = NULL;
	struct sq_file *file = NULL;
	uint8_t pad[4096] = { 0 };
	int rc;

	if (open_early_reader(fs, &from, err))
		return -1;
	first = fs->data;
	fs->data = (struct sq_data){ 0 };
	if (out_temp(fs->out, &temp, err) ||
	    sq_file_new(NULL, temp, &file, err)) {
		vc_outfile_abort(file ? NULL : temp);
		rc = -1;
	} else {
		/* the same places as in the file that is to be */
		rc = file->base.write_at(&file->base, 0, pad, (size_t)start)
			     ? sq_fail(fs, SQFS_ERROR_IO, "copy", err)
			     : 0;
		rc = rc || sq_data_open(fs, file, err) ||
				     repack_all(fs, from, err) ||
				     copy_back(fs, file, first.file, start, err)
			     ? -1
			     : 0;
		/* what is known of the new contents is true of the old file */
		if (rc && fs->data.proc)
			drain(&fs->data);
		sqfs_destroy(vc_steal_ptr(&fs->data.proc));
		sqfs_destroy(file);
		fs->data.file = vc_steal_ptr(&first.file);
	}
	sqfs_destroy(from);
	if (first.proc)
		sq_data_close(&first);
	return rc;
}

/* Files of nothing but holes, which nobody has begun. */
static int begin_holes(struct sq_fs *fs, struct vc_error *err)
{
	struct node *n;

	for (n = fs->tree->root; n; n = n->next)
		if (n->type == NODE_FILE && n->nr_links && !n->ino &&
		    (sq_file_begin(&fs->base, n, err) ||
		     sq_file_end(&fs->base, err)))
			return -1;
	return 0;
}

int sq_data_finish(struct sq_fs *fs, struct vc_error *err)
{
	int rc;

	if (begin_holes(fs, err))
		return -1;
	rc = sqfs_block_processor_finish(fs->data.proc);
	if (sq_check(fs, rc, "contents", err) ||
	    (fs->has_dropped && repack(fs, err)))
		return -1;
	/* what finds contents again is not needed any more, and takes 80 bytes
	 * for each that has no twin */
	sqfs_destroy(vc_steal_ptr(&fs->data.proc));
	sqfs_destroy(vc_steal_ptr(&fs->data.writer));
	return 0;
}

int sq_file_read(struct writer *w, const struct node *n, uint64_t offset,
		 void *data, size_t len, struct vc_error *err)
{
	struct sq_fs *fs = to_sq(w);
	uint8_t *to = data;
	sqfs_inode_generic_t room, *inode;
	uint32_t want;

	inode = sq_get_inode(fs->slots, n->ext.nr, n, &room);
	if (!fs->reader && open_reader(fs, &fs->super, &fs->reader, err))
		return -1;
	for (; len; len -= want, to += want, offset += want) {
		want = len > COPY_BYTES ? (uint32_t)COPY_BYTES : (uint32_t)len;
		if (sqfs_data_reader_read(fs->reader, inode, offset, to,
					  want) != (sqfs_s32)want)
			return sq_fail(fs, SQFS_ERROR_IO, "read back", err);
	}
	return 0;
}
