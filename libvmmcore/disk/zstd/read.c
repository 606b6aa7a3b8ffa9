/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading: two caches of the same make, of groups of table entries and of
 * decompressed frames. A slot of a cache is empty, being loaded, or ready.
 *
 * A request goes through its frames in order. For each it needs the group that
 * says where the frame is, then the frame. What is not there is loaded, into
 * the slot that was unused longest, and the request waits at that slot; when
 * all slots are being loaded it waits for any of them. A loaded slot serves
 * its waiters at once, before anything can push it out again, so each load
 * brings somebody forward. The frames behind the one that is missing are
 * loaded with it, as far as the request goes.
 *
 * A slot that could not be loaded fails its waiters and is empty again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "disk/zstd/zstd.h"

#define GROUP_SLOTS 8
#define MIN_FRAME_SLOTS 2
#define MAX_FRAME_SLOTS 64
/* Loads that one request may start ahead of what it waits for. */
#define READ_AHEAD 8

enum slot_state { SLOT_EMPTY, SLOT_LOADING, SLOT_READY };

struct zs_job {
	struct zs_reader *reader;
	struct vc_disk_req *req;
	uint64_t pos; /* in the request */
	struct zs_job *next;
};

struct zs_slot {
	struct eng_io io;
	struct zs_cache *cache;
	enum slot_state state;
	uint32_t key; /* the number of the group or frame */
	uint64_t last_use;
	struct zs_job *waiting;
	uint8_t *in;	       /* as it is in the file */
	struct zs_frame frame; /* of a frame slot, while loading */
	union {
		struct zs_frame *frames; /* of a group slot */
		uint8_t *data;		 /* of a frame slot */
	};
};

struct zs_cache {
	struct zs_reader *reader;
	struct zs_slot *slots;
	unsigned nr_slots;
	struct zs_job *starving; /* wait until any slot is loaded */
};

struct zs_reader {
	struct zs_disk *disk; /* borrowed */
	struct zs_table table;
	struct zs_cache groups, frames;
	ZSTD_DCtx *dctx;
	struct zs_job *free_jobs;
	uint64_t clock;
	/* For map: a frame of zeroes, as it was last seen. */
	uint8_t zero_frame[64];
	uint32_t zero_len, zero_size;
	/* For map: short frames that were read together. */
	uint8_t peek[4096];
	uint64_t peek_offset;
	size_t peek_len;
};

static void job_step(struct zs_job *job);

/* --- decoding --------------------------------------------------------------*/

bool zs_frame_decode(ZSTD_DCtx *dctx, const struct zs_table *t,
		     const struct zs_frame *f, const void *in, void *out)
{
	size_t n = ZSTD_decompressDCtx(dctx, out, f->size, in, f->compressed);

	if (ZSTD_isError(n) || n != f->size)
		return false;
	return !t->has_checksums ||
	       (uint32_t)XXH64(out, f->size, 0) == f->checksum;
}

/* --- caches --------------------------------------------------------------*/

static struct zs_slot *find_slot(struct zs_cache *c, uint32_t key)
{
	unsigned i;

	for (i = 0; i < c->nr_slots; i++)
		if (c->slots[i].state != SLOT_EMPTY && c->slots[i].key == key)
			return &c->slots[i];
	return NULL;
}

/* The slot to load something to; NULL: all are being loaded. */
static struct zs_slot *oldest_slot(struct zs_cache *c)
{
	struct zs_slot *best = NULL;
	unsigned i;

	for (i = 0; i < c->nr_slots; i++) {
		struct zs_slot *s = &c->slots[i];

		if (s->state != SLOT_LOADING &&
		    (!best || s->last_use < best->last_use))
			best = s;
	}
	return best;
}

static void wait_at(struct zs_job **list, struct zs_job *job)
{
	job->next = *list;
	*list = job;
}

static void job_finish(struct zs_job *job, enum vc_disk_status status)
{
	struct zs_reader *r = job->reader;

	disk_complete(&r->disk->base, job->req, status);
	job->next = r->free_jobs;
	r->free_jobs = job;
}

static bool decode_slot(struct zs_slot *s)
{
	struct zs_reader *r = s->cache->reader;

	if (s->cache == &r->groups)
		return zs_group_decode(&r->table, s->key, s->in, s->frames);
	return zs_frame_decode(r->dctx, &r->table, &s->frame, s->in, s->data);
}

static void slot_loaded(struct eng_io *io, int res)
{
	struct zs_slot *s = vc_container_of(io, struct zs_slot, io);
	struct zs_cache *c = s->cache;
	struct zs_job *waiting = vc_steal_ptr(&s->waiting), *job;

	s->state = res == 0 && decode_slot(s) ? SLOT_READY : SLOT_EMPTY;
	s->last_use = ++c->reader->clock;
	if (s->state == SLOT_EMPTY) {
		while ((job = waiting)) {
			waiting = job->next;
			job_finish(job, VC_DISK_EIO);
		}
	}
	/* a job that waits again goes to another slot's list, or to the
	 * starving ones, which are taken only then */
	while ((job = waiting)) {
		waiting = job->next;
		job_step(job);
	}
	waiting = vc_steal_ptr(&c->starving);
	while ((job = waiting)) {
		waiting = job->next;
		job_step(job);
	}
}

static void load(struct zs_slot *s, uint32_t key, uint64_t offset, size_t len)
{
	struct vc_disk *d = &s->cache->reader->disk->base;

	s->state = SLOT_LOADING;
	s->key = key;
	s->last_use = ++s->cache->reader->clock;
	s->io.op = ENG_READ;
	s->io.offset = offset;
	s->io.done = slot_loaded;
	eng_io_set_buf(&s->io, s->in, len);
	s->io.fd = disk_fd_for(d, &s->io);
	engine_submit(d->engine, &s->io);
}

/* The slot of `key` if it is ready; else `job` waits, and *ret_slot is the one
 * to load it to if there is one and it is not on its way. */
static struct zs_slot *get_slot(struct zs_cache *c, uint32_t key,
				struct zs_job *job, struct zs_slot **ret_slot)
{
	struct zs_slot *s = find_slot(c, key);

	*ret_slot = NULL;
	if (s && s->state == SLOT_READY) {
		s->last_use = ++c->reader->clock;
		return s;
	}
	if (!s)
		*ret_slot = s = oldest_slot(c);
	wait_at(s ? &s->waiting : &c->starving, job);
	return NULL;
}

/* --- requests -------------------------------------------------------------*/

static const struct zs_frame *get_group(struct zs_job *job, uint64_t offset,
					uint32_t *ret_group)
{
	struct zs_reader *r = job->reader;
	const struct zs_table *t = &r->table;
	struct zs_slot *s, *empty;

	*ret_group = zs_table_find(t, offset);
	s = get_slot(&r->groups, *ret_group, job, &empty);
	if (empty)
		load(empty, *ret_group, zs_group_offset(t, *ret_group),
		     (size_t)zs_group_len(t, *ret_group) * t->entry_bytes);
	return s ? s->frames : NULL;
}

static void load_frame(struct zs_slot *s, uint32_t key,
		       const struct zs_frame *f)
{
	s->frame = *f;
	load(s, key, f->file_offset, f->compressed);
}

/* Start to load what the request needs after the frame at `i` of its group. */
static void read_ahead(struct zs_job *job, const struct zs_frame *frames,
		       uint32_t group, uint32_t i)
{
	struct zs_cache *c = &job->reader->frames;
	uint32_t nr = zs_group_len(&job->reader->table, group), n = 0;
	uint64_t end = job->req->offset_bytes + job->req->length_bytes;

	/* leave slots that others wait for, or have just been given */
	while (++i < nr && n < READ_AHEAD && n + 1 < c->nr_slots / 2 &&
	       frames[i].disk_offset < end) {
		uint32_t key = group * job->reader->table.group + i;
		struct zs_slot *s;

		if (!frames[i].size || find_slot(c, key))
			continue;
		s = oldest_slot(c);
		if (!s)
			return;
		load_frame(s, key, &frames[i]);
		n++;
	}
}

/* The frame of a group that has the byte at `offset`. */
static uint32_t frame_in_group(const struct zs_frame *frames, uint32_t nr,
			       uint64_t offset)
{
	uint32_t i = 0;

	/* the last one is not compared: the table was found to have it */
	while (i + 1 < nr && offset - frames[i].disk_offset >= frames[i].size)
		i++;
	return i;
}

/* Copy what one frame has. False: the job waits. */
static bool copy_frame(struct zs_job *job, uint64_t offset, uint64_t len)
{
	struct zs_reader *r = job->reader;
	const struct zs_frame *frames, *f;
	struct zs_slot *s, *empty;
	uint32_t group, i, key;
	uint64_t skip;

	frames = get_group(job, offset, &group);
	if (!frames)
		return false;
	i = frame_in_group(frames, zs_group_len(&r->table, group), offset);
	f = &frames[i];
	key = group * r->table.group + i;
	s = get_slot(&r->frames, key, job, &empty);
	if (empty) {
		load_frame(empty, key, f);
		read_ahead(job, frames, group, i);
	}
	if (!s)
		return false;
	skip = offset - f->disk_offset;
	len = vc_min_u64(len, f->size - skip);
	disk_iov_put(job->req->iov, job->pos, s->data + skip, len);
	job->pos += len;
	return true;
}

static void job_step(struct zs_job *job)
{
	const struct vc_disk_req *req = job->req;
	uint64_t total = zs_table_total(&job->reader->table);

	while (job->pos < req->length_bytes) {
		uint64_t offset = req->offset_bytes + job->pos;
		uint64_t left = req->length_bytes - job->pos;

		if (offset >= total) {
			/* the rest of the last sector */
			disk_iov_zero(req->iov, job->pos, left);
			break;
		}
		if (!copy_frame(job, offset, left))
			return;
	}
	job_finish(job, VC_DISK_OK);
}

void zs_reader_submit(struct zs_disk *z, struct vc_disk_req *req)
{
	struct zs_reader *r = z->reader;
	struct zs_job *job = r->free_jobs;

	if (job)
		r->free_jobs = job->next;
	else
		job = malloc(sizeof(*job));
	if (!job) {
		disk_complete(&z->base, req, VC_DISK_EIO);
		return;
	}
	*job = (struct zs_job){ .reader = r, .req = req };
	job_step(job);
}

/* --- map ------------------------------------------------------------------*/

/* Read a short frame, together with those behind it: they come in crowds. */
static int peek_frame(struct zs_reader *r, const struct zs_frame *f,
		      const uint8_t **ret, struct vc_error *err)
{
	uint64_t end = f->file_offset + f->compressed;

	if (f->file_offset < r->peek_offset ||
	    end > r->peek_offset + r->peek_len) {
		/* frames end where the table begins */
		uint64_t left = r->table.entries_offset - f->file_offset;

		left = vc_min_u64(left, sizeof(r->peek));
		r->peek_len = 0;
		if (vc_pread_full(r->disk->base.fd, r->peek, (size_t)left,
				  f->file_offset) < 0)
			return vc_fail(err, VC_E_SYS, errno, "read frame");
		r->peek_offset = f->file_offset;
		r->peek_len = (size_t)left;
	}
	*ret = r->peek + (f->file_offset - r->peek_offset);
	return 0;
}

/* A frame this short may be nothing but zeroes: look. */
static int is_zero_frame(struct zs_reader *r, const struct zs_frame *f,
			 bool *ret, struct vc_error *err)
{
	vc_auto_free uint8_t *out = NULL;
	const uint8_t *in = NULL;

	*ret = false;
	if (f->compressed > sizeof(r->zero_frame))
		return 0;
	if (peek_frame(r, f, &in, err) < 0)
		return -1;
	/* they are all alike: decompress one */
	if (f->size == r->zero_size && f->compressed == r->zero_len &&
	    !memcmp(in, r->zero_frame, f->compressed)) {
		*ret = true;
		return 0;
	}
	out = malloc(f->size);
	if (!out)
		return vc_fail(err, VC_E_SYS, ENOMEM, "map");
	/* a broken one is data, which fails when it is read */
	if (!zs_frame_decode(r->dctx, &r->table, f, in, out) || out[0] ||
	    memcmp(out, out + 1, f->size - 1))
		return 0;
	memcpy(r->zero_frame, in, f->compressed);
	r->zero_len = f->compressed;
	r->zero_size = f->size;
	*ret = true;
	return 0;
}

/* Add the frames of a group from `offset` on. Sets *ret_more to false where
 * the extent ends. */
static int map_group(struct zs_reader *r, uint32_t group, uint64_t offset,
		     uint64_t end, struct vc_disk_extent *ext, bool *ret_more,
		     struct vc_error *err)
{
	uint32_t i, nr = zs_group_len(&r->table, group);
	struct zs_frame frames[ZS_MAX_GROUP];

	if (zs_group_read(r->disk->base.fd, &r->table, group, frames, err) < 0)
		return -1;
	for (i = frame_in_group(frames, nr, offset); i < nr; i++) {
		const struct zs_frame *f = &frames[i];
		enum vc_disk_extent_kind kind;
		bool is_zero;

		if (!f->size)
			continue;
		*ret_more = f->disk_offset < end;
		if (!*ret_more)
			return 0;
		if (is_zero_frame(r, f, &is_zero, err) < 0)
			return -1;
		kind = is_zero ? VC_DISK_ZERO : VC_DISK_DATA;
		if (ext->length_bytes && ext->kind != kind) {
			*ret_more = false;
			return 0;
		}
		ext->kind = kind;
		ext->length_bytes = vc_min_u64(f->disk_offset + f->size, end) -
				    ext->offset_bytes;
	}
	return 0;
}

int zs_reader_map(struct zs_disk *z, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	struct zs_reader *r = z->reader;
	uint64_t total = zs_table_total(&r->table), end = offset + max_len;
	bool more = true;

	*ret = (struct vc_disk_extent){ .kind = VC_DISK_ZERO,
					.offset_bytes = offset,
					.host_offset = UINT64_MAX };
	while (more && offset < vc_min_u64(end, total)) {
		uint32_t group = zs_table_find(&r->table, offset);

		if (map_group(r, group, offset, end, ret, &more, err) < 0)
			return -1;
		offset = r->table.marks[group + 1].disk_offset;
	}
	/* the rest of the last sector goes with what is in front of it */
	if (offset >= total && more)
		ret->length_bytes = max_len;
	ret->is_compressed = ret->kind == VC_DISK_DATA;
	return 0;
}

/* --- setting up -----------------------------------------------------------*/

static bool cache_init(struct zs_cache *c, struct zs_reader *r,
		       unsigned nr_slots, size_t in_bytes, size_t data_bytes)
{
	unsigned i;

	c->reader = r;
	c->slots = calloc(nr_slots, sizeof(*c->slots));
	if (!c->slots)
		return false;
	c->nr_slots = nr_slots;
	for (i = 0; i < nr_slots; i++) {
		struct zs_slot *s = &c->slots[i];

		s->cache = c;
		s->in = malloc(in_bytes);
		s->data = malloc(data_bytes);
		if (!s->in || !s->data)
			return false;
	}
	return true;
}

static void cache_fini(struct zs_cache *c)
{
	unsigned i;

	for (i = 0; i < c->nr_slots; i++) {
		free(c->slots[i].in);
		free(c->slots[i].data);
	}
	free(c->slots);
}

static unsigned nr_frame_slots(const struct zs_disk *z,
			       const struct zs_table *t)
{
	uint32_t bytes =
		z->base.cache_bytes ? z->base.cache_bytes : ZS_CACHE_BYTES;
	uint32_t nr = bytes / (t->max_size ? t->max_size : 1);

	if (nr < MIN_FRAME_SLOTS)
		return MIN_FRAME_SLOTS;
	return nr > MAX_FRAME_SLOTS ? MAX_FRAME_SLOTS : nr;
}

int zs_reader_new(struct zs_disk *z, struct vc_error *err)
{
	struct zs_reader *r = calloc(1, sizeof(*r));
	uint64_t file_bytes;

	z->reader = r; /* freed with the disk */
	if (!r)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	r->disk = z;
	if (disk_file_size(z->base.fd, &file_bytes, err) < 0 ||
	    zs_table_load(z->base.fd, file_bytes, &r->table, err) < 0)
		return -1;
	if (zs_table_total(&r->table) > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "size");
	z->base.size = vc_align_up(zs_table_total(&r->table), VC_DISK_SECTOR);
	r->dctx = ZSTD_createDCtx();
	if (!r->dctx ||
	    !cache_init(&r->groups, r, GROUP_SLOTS,
			r->table.group * ZS_ENTRY_MAX,
			r->table.group * sizeof(struct zs_frame)) ||
	    !cache_init(&r->frames, r, nr_frame_slots(z, &r->table),
			r->table.max_compressed + 1u, r->table.max_size + 1u))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	return 0;
}

uint64_t zs_reader_memory(const struct zs_reader *r)
{
	return (uint64_t)r->table.nr_groups * sizeof(*r->table.marks) +
	       r->frames.nr_slots *
		       ((uint64_t)r->table.max_size + r->table.max_compressed);
}

void zs_reader_free(struct zs_reader *r)
{
	struct zs_job *job;

	if (!r)
		return;
	while ((job = r->free_jobs)) {
		r->free_jobs = job->next;
		free(job);
	}
	cache_fini(&r->groups);
	cache_fini(&r->frames);
	ZSTD_freeDCtx(r->dctx);
	zs_table_free(&r->table);
	free(r);
}
