/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving data between the disks of a backing chain: down, to commit; up, so
 * that another backing file does. One buffer, no more than a part of it zero.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vmmcore/checked.h>
#include <vmmcore/qcow2.h>
#include "disk/disk.h"

#define BUFFER_BYTES (2u << 20)

struct mover {
	const struct vc_disk_copy_opts *opts;
	uint8_t *buf, *other; /* BUFFER_BYTES each; owned */
	uint64_t started_ns, nr_moved;
	struct vc_disk_compressor *compressor; /* owned; NULL: none */
	uint8_t *packed;		       /* a cluster; owned */
	uint32_t cluster;
};

static int mover_init(struct mover *m, const struct vc_disk_copy_opts *opts,
		      struct vc_error *err)
{
	memset(m, 0, sizeof(*m));
	m->opts = opts;
	m->buf = malloc(BUFFER_BYTES);
	m->other = malloc(BUFFER_BYTES);
	m->started_ns = vc_now_ns();
	if (!m->buf || !m->other)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	return 0;
}

static void mover_fini(struct mover *m)
{
	free(m->buf);
	free(m->other);
	free(m->packed);
	vc_disk_compressor_free(m->compressor);
}

static int use_compression(struct mover *m, const struct vc_disk *top,
			   struct vc_error *err)
{
	enum vc_disk_compression type =
		vc_disk_get_compression(top, &m->cluster);

	if (type == VC_DISK_COMPRESSION_NONE)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "this image takes no compressed clusters");
	m->packed = malloc(m->cluster);
	if (!m->packed)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	return vc_disk_compressor_new(type, 0, &m->compressor, err);
}

/* Say how far it is; wait while it is further than the rate allows. */
static void moved(struct mover *m, uint64_t bytes, uint64_t done,
		  uint64_t total)
{
	uint64_t rate = m->opts->max_bytes_per_sec, passed, due;

	if (m->opts->progress)
		m->opts->progress(m->opts->opaque, done, total);
	m->nr_moved += bytes;
	if (!rate || !bytes)
		return;
	passed = vc_now_ns() - m->started_ns;
	due = (uint64_t)((double)m->nr_moved * 1e9 / (double)rate);
	if (due > passed) {
		struct timespec ts = {
			.tv_sec = (time_t)((due - passed) / 1000000000),
			.tv_nsec = (long)((due - passed) % 1000000000)
		};

		nanosleep(&ts, NULL);
	}
}

int vc_disk_commit(struct vc_disk *top, unsigned depth, struct vc_disk *base,
		   const struct vc_disk_copy_opts *opts, struct vc_error *err)
{
	uint64_t size = vc_disk_get_size(top), pos = 0;
	struct mover m;
	int ret;

	ret = mover_init(&m, opts, err);
	while (ret == 0 && pos < size) {
		struct vc_disk_extent e;
		uint64_t n, copied = 0;

		ret = vc_disk_map(top, pos, UINT64_MAX, &e, err);
		if (ret < 0)
			break;
		n = e.length_bytes;
		if (e.depth >= depth) {
			/* the base's own */
		} else if (e.kind != VC_DISK_DATA || e.reads_zero) {
			/* a hole, too: behind the end of a disk between */
			ret = vc_disk_zero(base, pos, n, err);
		} else {
			n = copied = vc_min_u64(n, BUFFER_BYTES);
			ret = vc_disk_read(top, pos, m.buf, n, err);
			if (ret == 0)
				ret = vc_disk_write(base, pos, m.buf, n, err);
		}
		pos += n;
		moved(&m, copied, pos, size);
	}
	if (ret == 0)
		ret = vc_disk_flush(base, err);
	mover_fini(&m);
	return ret;
}

/* What `d` (or nothing) reads at `pos`, zeroes behind its end. */
static int read_or_zero(struct vc_disk *d, uint64_t pos, uint8_t *buf,
			uint64_t len, struct vc_error *err)
{
	uint64_t size = d ? vc_disk_get_size(d) : 0, n = 0;

	if (pos < size)
		n = vc_min_u64(len, size - pos);
	memset(buf + n, 0, len - n);
	return n ? vc_disk_read(d, pos, buf, n, err) : 0;
}

/* Is [pos, pos + *len) known to be zero without reading? *len: how far the
 * answer goes. */
static int reads_zero(struct vc_disk *d, uint64_t pos, uint64_t *len, bool *ret,
		      struct vc_error *err)
{
	struct vc_disk_extent e;

	*ret = true;
	if (!d || pos >= vc_disk_get_size(d))
		return 0;
	if (vc_disk_map(d, pos, *len, &e, err) < 0)
		return -1;
	*len = e.length_bytes;
	*ret = e.kind != VC_DISK_DATA || e.reads_zero;
	return 0;
}

/* Write a cluster, compressed if that makes it smaller. */
static int write_packed(struct mover *m, struct vc_disk *top, uint64_t at,
			const uint8_t *data, uint32_t cluster,
			struct vc_error *err)
{
	size_t n = vc_disk_compress(m->compressor, data, cluster, m->packed,
				    cluster - 1);

	return n ? vc_disk_write_compressed(top, at, m->packed, n, err)
		 : vc_disk_write(top, at, data, cluster, err);
}

static bool is_zero(const uint8_t *buf, uint64_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

/* Write the parts of the buffers that differ. */
static int write_differences(struct mover *m, struct vc_disk *top, uint64_t pos,
			     uint64_t len, struct vc_error *err)
{
	/* a cluster of several units is compressed as a whole */
	uint32_t granule = m->compressor ? m->cluster
					 : vc_disk_get_discard_granularity(top);
	uint64_t at, n;
	int ret = 0;

	for (at = 0; ret == 0 && at < len; at += n) {
		n = vc_min_u64(len - at, granule - (pos + at) % granule);
		if (!memcmp(m->buf + at, m->other + at, n))
			continue;
		if (is_zero(m->buf + at, n))
			ret = vc_disk_zero(top, pos + at, n, err);
		else if (m->compressor && n == m->cluster)
			ret = write_packed(m, top, pos + at, m->buf + at,
					   m->cluster, err);
		else
			ret = vc_disk_write(top, pos + at, m->buf + at, n, err);
	}
	return ret;
}

/* One part of [pos, pos + *len), where the top disk has nothing; *len becomes
 * how much was done. */
static int rebase_part(struct mover *m, struct vc_disk *top,
		       struct vc_disk *new_backing, uint64_t pos, uint64_t *len,
		       struct vc_error *err)
{
	bool old_zero, new_zero;

	if (reads_zero(top->backing, pos, len, &old_zero, err) < 0 ||
	    reads_zero(new_backing, pos, len, &new_zero, err) < 0)
		return -1;
	if (old_zero && new_zero)
		return 0;
	/* the disks may end inside */
	if (top->backing && pos < top->backing->size)
		*len = vc_min_u64(*len, top->backing->size - pos);
	if (new_backing && pos < new_backing->size)
		*len = vc_min_u64(*len, new_backing->size - pos);
	if (old_zero)
		return vc_disk_zero(top, pos, *len, err);
	*len = vc_min_u64(*len, BUFFER_BYTES);
	if (read_or_zero(top->backing, pos, m->buf, *len, err) < 0 ||
	    read_or_zero(new_backing, pos, m->other, *len, err) < 0)
		return -1;
	return write_differences(m, top, pos, *len, err);
}

int vc_disk_rebase(struct vc_disk *top, struct vc_disk *new_backing,
		   const struct vc_disk_copy_opts *opts, struct vc_error *err)
{
	uint64_t size = vc_disk_get_size(top), pos = 0;
	struct mover m;
	int ret;

	ret = mover_init(&m, opts, err);
	top->is_rebased = new_backing != NULL;
	if (ret == 0 && opts->compress)
		ret = use_compression(&m, top, err);
	while (ret == 0 && pos < size) {
		struct vc_disk_extent e;
		uint64_t n;

		ret = vc_disk_map(top, pos, UINT64_MAX, &e, err);
		if (ret < 0)
			break;
		n = e.length_bytes;
		if (e.depth || e.kind == VC_DISK_HOLE)
			ret = rebase_part(&m, top, new_backing, pos, &n, err);
		pos += n;
		moved(&m, n, pos, size);
	}
	if (ret == 0)
		ret = vc_disk_flush(top, err);
	top->is_rebased = false;
	mover_fini(&m);
	return ret;
}
