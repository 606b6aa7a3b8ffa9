/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading: a request is cut at the chunks' ends. What is in the file is read
 * from there, all parts at the same time; the rest is made at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/sparse/sparse.h"

#define FILL_WORDS 1024

/* A read of the file. */
struct sp_part {
	struct eng_io io;
	struct sp_job *job;
	struct sp_part *next;
};

struct sp_job {
	struct sp_reader *reader;
	struct vc_disk_req *req;
	unsigned nr_pending;
	enum vc_disk_status status;
	struct sp_job *next;
};

struct sp_reader {
	struct sp_disk *disk; /* borrowed */
	struct sp_index index;
	struct sp_job *free_jobs;
	struct sp_part *free_parts;
};

static void job_put(struct sp_job *job)
{
	struct sp_reader *r = job->reader;

	if (--job->nr_pending)
		return;
	disk_complete(&r->disk->base, job->req, job->status);
	job->next = r->free_jobs;
	r->free_jobs = job;
}

static void part_read(struct eng_io *io, int res)
{
	struct sp_part *part = vc_container_of(io, struct sp_part, io);
	struct sp_job *job = part->job;

	if (res)
		job->status = disk_status_of(res);
	part->next = job->reader->free_parts;
	job->reader->free_parts = part;
	job_put(job);
}

static void read_part(struct sp_job *job, uint64_t pos, uint64_t file_offset,
		      uint64_t len)
{
	struct sp_reader *r = job->reader;
	struct sp_part *part = r->free_parts;

	if (part)
		r->free_parts = part->next;
	else
		part = malloc(sizeof(*part));
	if (!part || !eng_io_set_iov(&part->io, job->req->iov, job->req->nr_iov,
				     pos, len)) {
		free(part);
		job->status = VC_DISK_EIO;
		return;
	}
	part->job = job;
	part->io.op = ENG_READ;
	part->io.offset = file_offset;
	part->io.done = part_read;
	part->io.fd = disk_fd_for(&r->disk->base, &part->io);
	job->nr_pending++;
	engine_submit(r->disk->base.engine, &part->io);
}

/* `skip` bytes into a word that repeats. */
static void fill_part(struct sp_job *job, uint64_t pos, uint32_t fill,
		      uint64_t skip, uint64_t len)
{
	le32_t words[FILL_WORDS];
	size_t i;

	if (!fill) {
		disk_iov_zero(job->req->iov, pos, len);
		return;
	}
	for (i = 0; i < FILL_WORDS; i++)
		words[i] = le32_put(fill);
	skip %= sizeof(words[0]);
	while (len) {
		uint64_t n = vc_min_u64(len, sizeof(words) - skip);

		disk_iov_put(job->req->iov, pos, (uint8_t *)words + skip, n);
		pos += n;
		len -= n;
		skip = 0;
	}
}

static void run(struct sp_job *job)
{
	struct sp_index *x = &job->reader->index;
	const struct vc_disk_req *req = job->req;
	uint64_t total = sp_index_total(x), pos = 0;

	while (pos < req->length_bytes && req->offset_bytes + pos < total) {
		uint64_t skip, len, at = req->offset_bytes + pos;
		struct sp_chunk c;

		if (!sp_index_get(x, at, &c)) {
			job->status = VC_DISK_EIO;
			return;
		}
		skip = at - c.first * x->block_bytes;
		len = vc_min_u64(req->length_bytes - pos,
				 c.nr_blocks * x->block_bytes - skip);
		if (c.type == SP_RAW)
			read_part(job, pos, c.file_offset + skip, len);
		else
			fill_part(job, pos, c.fill, skip, len);
		pos += len;
	}
	/* the rest of the last sector */
	disk_iov_zero(req->iov, pos, req->length_bytes - pos);
}

void sp_reader_submit(struct sp_disk *s, struct vc_disk_req *req)
{
	struct sp_reader *r = s->reader;
	struct sp_job *job = r->free_jobs;

	if (job)
		r->free_jobs = job->next;
	else
		job = malloc(sizeof(*job));
	if (!job) {
		disk_complete(&s->base, req, VC_DISK_EIO);
		return;
	}
	*job = (struct sp_job){ .reader = r, .req = req, .nr_pending = 1 };
	run(job);
	job_put(job);
}

uint64_t sp_reader_memory(const struct sp_reader *r)
{
	return (uint64_t)r->index.nr_marks *
	       (sizeof(*r->index.first) + sizeof(*r->index.what));
}

/* --- map ------------------------------------------------------------------*/

static int extent_at(struct sp_index *x, uint64_t offset, uint64_t end,
		     struct vc_disk_extent *ret, struct vc_error *err)
{
	struct sp_chunk c;
	uint64_t start;

	if (!sp_index_get(x, offset, &c))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "chunks at offset %llu: changed, or cannot be "
			       "read",
			       (unsigned long long)offset);
	start = c.first * x->block_bytes;
	*ret = (struct vc_disk_extent){
		.kind = c.type == SP_DONT_CARE	       ? VC_DISK_HOLE
			: c.type == SP_FILL && !c.fill ? VC_DISK_ZERO
						       : VC_DISK_DATA,
		.offset_bytes = offset,
		.length_bytes =
			vc_min_u64(start + c.nr_blocks * x->block_bytes, end) -
			offset,
		.host_offset = c.type == SP_RAW
				       ? c.file_offset + (offset - start)
				       : UINT64_MAX,
	};
	return 0;
}

int sp_reader_map(struct sp_disk *s, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	struct sp_index *x = &s->reader->index;
	uint64_t total = sp_index_total(x), end = offset + max_len, stop;

	*ret = (struct vc_disk_extent){ .kind = VC_DISK_HOLE,
					.offset_bytes = offset,
					.length_bytes = max_len,
					.host_offset = UINT64_MAX };
	if (offset >= total)
		return 0;
	if (extent_at(x, offset, end, ret, err) < 0)
		return -1;
	stop = vc_min_u64(end, total);
	/* words that differ are all data without a place */
	while (ret->host_offset == UINT64_MAX) {
		uint64_t next = ret->offset_bytes + ret->length_bytes;
		struct vc_disk_extent e;

		if (next >= stop)
			break;
		if (extent_at(x, next, end, &e, err) < 0)
			return -1;
		if (e.kind != ret->kind || e.host_offset != UINT64_MAX)
			break;
		ret->length_bytes += e.length_bytes;
	}
	/* the rest of the last sector goes with what is in front of it, but is
	 * not behind it in the file */
	if (total < end && ret->offset_bytes + ret->length_bytes == total) {
		ret->length_bytes = max_len;
		ret->host_offset = UINT64_MAX;
	}
	return 0;
}

/* --- setting up -----------------------------------------------------------*/

int sp_reader_new(struct sp_disk *s, bool verify, struct vc_error *err)
{
	uint64_t file_bytes;
	struct sp_reader *r;

	s->reader = r = calloc(1, sizeof(*r)); /* freed with the disk */
	if (!r)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	r->disk = s;
	if (disk_file_size(s->base.fd, &file_bytes, err) < 0 ||
	    sp_index_load(s->base.fd, file_bytes, verify, &r->index, err) < 0)
		return -1;
	s->base.size = vc_align_up(sp_index_total(&r->index), VC_DISK_SECTOR);
	return 0;
}

void sp_reader_free(struct sp_reader *r)
{
	struct sp_part *part;
	struct sp_job *job;

	if (!r)
		return;
	while ((job = r->free_jobs)) {
		r->free_jobs = job->next;
		free(job);
	}
	while ((part = r->free_parts)) {
		r->free_parts = part->next;
		free(part);
	}
	sp_index_free(&r->index);
	free(r);
}
