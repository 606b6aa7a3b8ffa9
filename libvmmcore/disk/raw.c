/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw images: the file is the disk. Holes are kept: a discard punches one. A
 * file whose length is not a multiple of 512 reads as if zeroes followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>
#include "disk/disk.h"

#define RAW_DISCARD_GRANULARITY 4096

struct raw_disk {
	struct vc_disk base;
	struct raw_job *free_jobs;
};

/* One request under way. */
struct raw_job {
	struct eng_io io;
	struct raw_disk *disk;
	struct vc_disk_req *req;
	uint64_t zero_pos; /* of WRITE_ZEROES done by writing */
	struct raw_job *next;
};

static struct raw_disk *to_raw(struct vc_disk *d)
{
	return vc_container_of(d, struct raw_disk, base);
}

/* Jobs are kept for reuse: no allocation once the depth was reached. */
static struct raw_job *job_get(struct raw_disk *raw, struct vc_disk_req *req)
{
	struct raw_job *job = raw->free_jobs;

	if (job)
		raw->free_jobs = job->next;
	else
		job = malloc(sizeof(*job));
	if (job) {
		job->disk = raw;
		job->req = req;
	}
	return job;
}

static void job_finish(struct raw_job *job, int res)
{
	struct raw_disk *raw = job->disk;

	disk_complete(&raw->base, job->req, disk_status_of(res));
	job->next = raw->free_jobs;
	raw->free_jobs = job;
}

static void io_done(struct eng_io *io, int res)
{
	struct raw_job *job = vc_container_of(io, struct raw_job, io);

	if (io->op == ENG_SHARE && io->mode == ENG_SHARE_COPIED)
		job->req->flags |= VC_DISK_REQ_COPIED;
	if (io->op == ENG_SYNC)
		res = disk_synced(&job->disk->base, res);
	job_finish(job, res);
}

static void start_io(struct raw_job *job)
{
	struct vc_disk *d = &job->disk->base;

	job->io.fd = disk_fd_for(d, &job->io);
	engine_submit(d->engine, &job->io);
}

/* --- zeroes ---------------------------------------------------------------*/

static void write_zeroes_done(struct eng_io *io, int res);

static void write_zeroes_step(struct raw_job *job)
{
	uint64_t left = job->req->length_bytes - job->zero_pos;

	job->io.op = ENG_WRITE;
	job->io.offset = job->req->offset_bytes + job->zero_pos;
	job->io.done = write_zeroes_done;
	left = vc_min_u64(left, DISK_ZEROES_MAX);
	if (!disk_io_set_zeroes(&job->io, left)) {
		job_finish(job, -ENOMEM);
		return;
	}
	job->zero_pos += left;
	start_io(job);
}

static void write_zeroes_done(struct eng_io *io, int res)
{
	struct raw_job *job = vc_container_of(io, struct raw_job, io);

	if (res == 0 && job->zero_pos < job->req->length_bytes)
		write_zeroes_step(job);
	else
		job_finish(job, res);
}

static void fallocate_done(struct eng_io *io, int res)
{
	struct raw_job *job = vc_container_of(io, struct raw_job, io);
	bool no_way = res == -EOPNOTSUPP || res == -ENOSYS || res == -EINVAL;

	if (no_way && job->req->op == VC_DISK_DISCARD) {
		job_finish(job, 0); /* a discard may do nothing */
	} else if (no_way) {
		job->zero_pos = 0;
		write_zeroes_step(job);
	} else {
		job_finish(job, res);
	}
}

/* --- operations ---------------------------------------------------------- */

static void prepare_fallocate(struct raw_job *job)
{
	const struct vc_disk_req *req = job->req;
	bool punch =
		req->op == VC_DISK_DISCARD || (req->flags & VC_DISK_REQ_UNMAP);

	job->io.op = ENG_FALLOCATE;
	job->io.mode = FALLOC_FL_KEEP_SIZE |
		       (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	job->io.len = req->length_bytes;
	job->io.nr_iov = 0;
	job->io.heap = NULL;
	job->io.done = fallocate_done;
}

static void raw_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	struct raw_job *job = job_get(to_raw(d), req);

	if (!job) {
		disk_complete(d, req, VC_DISK_EIO);
		return;
	}
	job->io.offset = req->offset_bytes;
	job->io.done = io_done;
	if (req->op == VC_DISK_READ || req->op == VC_DISK_WRITE) {
		job->io.op = req->op == VC_DISK_READ ? ENG_READ : ENG_WRITE;
		if (!eng_io_set_iov(&job->io, req->iov, req->nr_iov, 0,
				    req->length_bytes)) {
			job_finish(job, -ENOMEM);
			return;
		}
	} else if (req->op == VC_DISK_SHARE) {
		job->io.op = ENG_SHARE;
		job->io.mode = req->flags & VC_DISK_REQ_COPY ? ENG_SHARE_OR_COPY
							     : ENG_SHARE_ONLY;
		job->io.src_fd = req->share_fd;
		job->io.src_offset = req->share_offset;
		job->io.len = req->length_bytes;
		job->io.nr_iov = 0;
		job->io.heap = NULL;
	} else {
		prepare_fallocate(job);
	}
	start_io(job);
}

static void raw_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	struct raw_job *job;

	if (d->no_sync || d->sync_error) {
		disk_complete(d, req, disk_status_of(d->sync_error));
		return;
	}
	job = job_get(to_raw(d), req);
	if (!job) {
		disk_complete(d, req, VC_DISK_EIO);
		return;
	}
	job->io.op = ENG_SYNC;
	job->io.fd = d->fd;
	job->io.nr_iov = 0;
	job->io.heap = NULL;
	job->io.done = io_done;
	engine_submit(d->engine, &job->io);
}

static struct vc_disk *raw_alloc(void)
{
	struct raw_disk *raw = calloc(1, sizeof(*raw));

	return raw ? &raw->base : NULL;
}

static int raw_open(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		    struct vc_error *err)
{
	uint64_t size;

	(void)opts;
	if (d->backing)
		return vc_fail(err, VC_E_ARG, 0, "a raw image has no backing");
	if (disk_file_size(d->fd, &size, err) < 0)
		return -1;
	if (size > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "size %llu",
			       (unsigned long long)size);
	d->size = vc_align_up(size, VC_DISK_SECTOR);
	return 0;
}

static void raw_free(struct vc_disk *d)
{
	struct raw_disk *raw = to_raw(d);
	struct raw_job *job;

	while ((job = raw->free_jobs)) {
		raw->free_jobs = job->next;
		free(job);
	}
	free(raw);
}

static int raw_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		   struct vc_disk_extent *ret, struct vc_error *err)
{
	off_t data = lseek(d->fd, (off_t)offset, SEEK_DATA), hole;
	uint64_t end = offset + max_len;

	*ret = (struct vc_disk_extent){ .kind = VC_DISK_DATA,
					.offset_bytes = offset,
					.length_bytes = max_len,
					.host_offset = offset };
	if (data < 0 && errno != ENXIO) {
		if (errno == EINVAL || errno == EOPNOTSUPP)
			return 0; /* knows no holes: all is data */
		return vc_fail(err, VC_E_SYS, errno, "find data");
	}
	if (data < 0 || (uint64_t)data > offset) {
		ret->kind = VC_DISK_ZERO;
		if (data >= 0)
			ret->length_bytes =
				vc_min_u64((uint64_t)data, end) - offset;
		return 0;
	}
	hole = lseek(d->fd, (off_t)offset, SEEK_HOLE);
	if (hole < 0)
		return vc_fail(err, VC_E_SYS, errno, "find hole");
	/* a file that shrinks meanwhile must not give an empty extent */
	if ((uint64_t)hole > offset)
		ret->length_bytes = vc_min_u64((uint64_t)hole, end) - offset;
	/* the last sector is data as a whole */
	ret->length_bytes = vc_min_u64(
		vc_align_up(ret->length_bytes, VC_DISK_SECTOR), max_len);
	return 0;
}

static int raw_info(int fd, struct vc_disk_info *ret, struct vc_error *err)
{
	uint64_t size;

	if (disk_file_size(fd, &size, err) < 0)
		return -1;
	ret->virtual_bytes = vc_align_up(size, VC_DISK_SECTOR);
	return 0;
}

static int raw_create(int fd, const struct vc_disk_create_opts *opts,
		      struct vc_error *err)
{
	if (opts->backing_file || opts->cluster_bytes || opts->refcount_bits ||
	    opts->version || opts->extended_l2 || opts->lazy_refcounts ||
	    opts->data_file || opts->compression)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a raw image has no such options");
	if (opts->preallocation == VC_DISK_PREALLOC_METADATA)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a raw image has no metadata to preallocate");
	if (disk_set_file_size(fd, opts->size_bytes, 0, err) < 0)
		return -1;
	return disk_allocate(fd, 0, opts->size_bytes, opts->preallocation, err);
}

static uint32_t raw_discard_granularity(const struct vc_disk *d)
{
	(void)d;
	return RAW_DISCARD_GRANULARITY;
}

static int raw_set_size(struct vc_disk *d, uint64_t size, struct vc_error *err)
{
	if (ftruncate(d->fd, (off_t)size) < 0)
		return vc_fail(err, VC_E_SYS, errno, "truncate");
	return 0;
}

const struct disk_ops raw_ops = {
	.name = "raw",
	.can_share = true,
	.format = VC_DISK_FORMAT_RAW,
	.alloc = raw_alloc,
	.open = raw_open,
	.submit = raw_submit,
	.flush = raw_flush,
	.free = raw_free,
	.map = raw_map,
	.info = raw_info,
	.create = raw_create,
	.discard_granularity = raw_discard_granularity,
	.set_size = raw_set_size,
};
