/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include "disk/qcow2/check.h"
#include "disk/qcow2/qcow2.h"

/* --- waiting ------------------------------------------------------------------ */

void qc_wait_on(struct qc_waitlist *list, struct qc_waiter *w)
{
	w->next = NULL;
	if (list->tail)
		list->tail->next = w;
	else
		list->head = w;
	list->tail = w;
}

static struct qc_waiter *first_waiter(struct qc_waitlist *list)
{
	struct qc_waiter *w = list->head;

	if (w) {
		list->head = w->next;
		if (!list->head)
			list->tail = NULL;
	}
	return w;
}

void qc_make_runnable(struct qc_disk *q, struct qc_waiter *w,
		      enum qc_result res)
{
	w->res = res;
	qc_wait_on(&q->runnable, w);
}

void qc_wake(struct qc_disk *q, struct qc_waitlist *list, enum qc_result res)
{
	struct qc_waiter *w;

	while ((w = first_waiter(list)))
		qc_make_runnable(q, w, res);
}

void qc_run_queue(struct qc_disk *q)
{
	struct qc_waiter *w;

	if (q->is_running)
		return; /* the one that runs takes ours, too */
	q->is_running = true;
	while ((w = first_waiter(&q->runnable))) {
		w->run(w, w->res);
		if (q->cache.nr_pages > q->cache.max_pages)
			qc_cache_trim(q);
	}
	q->is_running = false;
}

enum vc_disk_status qc_status(enum qc_result res)
{
	switch (res) {
	case QC_OK:
		return VC_DISK_OK;
	case QC_ENOSPC:
		return VC_DISK_ENOSPC;
	case QC_ENOTSUP:
		return VC_DISK_ENOTSUP;
	case QC_WAIT:
	case QC_EIO:
	case QC_ENOMEM:
	case QC_CORRUPT:
		break;
	}
	return VC_DISK_EIO;
}

enum qc_result qc_result_of(int res)
{
	enum vc_disk_status status = disk_status_of(res);

	if (status == VC_DISK_OK)
		return QC_OK;
	return status == VC_DISK_ENOSPC ? QC_ENOSPC : QC_EIO;
}

static int write_be64(int fd, uint64_t v, uint64_t offset)
{
	be64_t be = be64_put(v);

	return vc_pwrite_full(fd, &be, sizeof(be), offset);
}

enum qc_result qc_corrupt(struct qc_disk *q, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	if (q->is_broken)
		return QC_CORRUPT;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vc_log(VC_LOG_ERROR, q->base.name, "image is corrupt: %s", text);
	q->is_broken = true;
	if (q->base.writable && q->h.version > 2) {
		q->h.incompatible |= QC_INCOMPAT_CORRUPT;
		if (write_be64(q->base.fd, q->h.incompatible,
			       QC_OFFSET_INCOMPATIBLE) < 0)
			vc_log(VC_LOG_ERROR, q->base.name,
			       "mark as corrupt: %s", strerror(errno));
	}
	return QC_CORRUPT;
}

/* --- open --------------------------------------------------------------------- */

static bool qc_probe(const uint8_t *head, size_t len)
{
	be32_t magic;

	if (len < sizeof(magic))
		return false;
	memcpy(&magic, head, sizeof(magic));
	return be32_get(magic) == QC_MAGIC;
}

static struct vc_disk *qc_new(void)
{
	struct qc_disk *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->locks.prev = q->locks.next = &q->locks;
	return &q->base;
}

static int check_backing(const struct qc_disk *q, struct vc_error *err)
{
	char shown[120];

	if (q->h.backing_file[0] && !q->base.backing && !q->base.ignore_backing)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: has a backing file '%s', which is not "
			       "allowed here",
			       vc_printable(q->h.backing_file, shown,
					    sizeof(shown)));
	if (!q->h.backing_file[0] && q->base.backing)
		return vc_fail(err, VC_E_ARG, 0, "qcow2: has no backing file");
	return 0;
}

/* Tables that allocation must not touch: see is_metadata(). */
static int load_snapshot_tables(struct qc_disk *q, struct vc_error *err)
{
	uint64_t offset = q->h.snapshots_offset;
	uint32_t i;

	q->fixed = calloc(q->h.nr_snapshots + 2u, sizeof(*q->fixed));
	if (!q->fixed)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read snapshots");
	for (i = 0; i < q->h.nr_snapshots; i++) {
		struct qc_snapshot snap;

		if (qc_snapshot_read(q->base.fd, &q->h, &offset, &snap, err) <
		    0)
			return -1;
		q->fixed[q->nr_fixed++] = (struct qc_run){
			snap.l1_offset >> q->h.cluster_bits,
			qc_clusters(q, (uint64_t)snap.l1_size * 8)
		};
	}
	if (q->h.nr_snapshots)
		q->fixed[q->nr_fixed++] = (struct qc_run){
			q->h.snapshots_offset >> q->h.cluster_bits,
			qc_clusters(q, offset - q->h.snapshots_offset)
		};
	return 0;
}

/* Refcounts that may be wrong are made anew; what is called corrupt is believed
 * only if the caller asks for that and a check finds nothing. */
static int verify(struct qc_disk *q, bool repair, struct vc_error *err)
{
	uint64_t bits =
		q->h.incompatible & (QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT);
	struct vc_disk_check chk = { 0 };

	if (!bits)
		return 0;
	if (bits == QC_INCOMPAT_DIRTY) {
		if (qc_repair_dirty(q->base.fd, err) < 0)
			return vc_prefix(err, "qcow2: not closed properly");
		return qc_header_read(q->base.fd, &q->h, err);
	}
	if (!repair)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: marked as corrupt");
	if (qc_check(q->base.fd, &chk, err) < 0)
		return -1;
	if (chk.nr_corruptions)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: %llu errors in the metadata",
			       (unsigned long long)chk.nr_corruptions);
	q->h.incompatible &= ~bits;
	if (write_be64(q->base.fd, q->h.incompatible, QC_OFFSET_INCOMPATIBLE) <
	    0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}

static int open_writable(struct qc_disk *q, struct vc_error *err)
{
	uint32_t nr = q->h.reftable_clusters *
		      (q->h.cluster_bytes / (uint32_t)sizeof(be64_t));

	if (qc_table_load(&q->reftable, q->base.fd, q->h.reftable_offset, nr,
			  "refcount table", err) < 0 ||
	    load_snapshot_tables(q, err) < 0)
		return -1;
	q->is_lazy = q->h.version > 2 &&
		     (q->h.compatible & QC_COMPAT_LAZY_REFCOUNTS);
	return 0;
}

/* Bits of features that a writer who does not keep them must clear. */
static uint64_t kept_autoclear(const struct qc_disk *q)
{
	return qc_is_data_file_raw(&q->h) ? QC_AUTOCLEAR_RAW_DATA_FILE : 0;
}

/* Before the first change: say in the header what will not be true any more,
 * and see it on the medium. Happens once, and waits. */
static bool begin_writing(struct qc_disk *q)
{
	struct qc_header *h = &q->h;
	uint64_t dirty = q->is_lazy ? QC_INCOMPAT_DIRTY : 0;
	be64_t bits[3];

	if (q->is_begun || h->version == 2)
		return true;
	if (h->autoclear != kept_autoclear(q) || dirty) {
		bits[0] = be64_put(h->incompatible | dirty);
		bits[1] = be64_put(h->compatible);
		bits[2] = be64_put(kept_autoclear(q));
		if (vc_pwrite_full(q->base.fd, bits, sizeof(bits),
				   QC_OFFSET_INCOMPATIBLE) < 0 ||
		    (!q->base.no_sync && disk_sync_now(&q->base) < 0))
			return false;
		h->incompatible |= dirty;
		h->autoclear = kept_autoclear(q);
	}
	q->is_begun = true;
	return true;
}

/* --- the external data file -------------------------------------------------- */

static int check_data_file(const struct qc_disk *q, const struct vc_disk *data,
			   struct vc_error *err)
{
	char shown[120];

	if (qc_has_data_file(&q->h) && !data &&
	    (!q->base.ignore_backing || q->base.writable))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: has an external data file '%s', which "
			       "is not allowed here",
			       vc_printable(q->h.data_file, shown,
					    sizeof(shown)));
	if (!data)
		return 0;
	if (!qc_has_data_file(&q->h))
		return vc_fail(err, VC_E_ARG, 0,
			       "qcow2: has no external data file");
	if (vc_disk_get_format(data) != VC_DISK_FORMAT_RAW ||
	    (q->base.writable && !data->writable) ||
	    data->engine != q->base.engine)
		return vc_fail(err, VC_E_ARG, 0,
			       "qcow2: external data file: not a raw disk that "
			       "may be used as this one");
	if (data->dev == q->base.dev && data->ino == q->base.ino)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: external data file: is the image "
			       "itself");
	return 0;
}

/* The last thing that can fail: it is ours from now on. */
static int take_data_file(struct qc_disk *q, struct vc_disk *data,
			  struct vc_error *err)
{
	if (!data)
		return 0;
	q->base.parts = calloc(1, sizeof(struct vc_disk *));
	if (!q->base.parts)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	q->base.parts[0] = q->data = data;
	q->base.nr_parts = 1;
	return 0;
}

static int load_l1(struct qc_disk *q, uint64_t file_bytes, struct vc_error *err)
{
	uint64_t len = (uint64_t)q->h.l1_size * 8;

	if (q->base.writable || len <= QC_MAX_RESIDENT_L1)
		return qc_table_load(&q->l1, q->base.fd, q->h.l1_offset,
				     q->h.l1_size, "L1 table", err);
	if (!vc_range_ok(q->h.l1_offset, len, file_bytes))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: L1 table cut short");
	q->l1.nr = q->h.l1_size;
	q->l1.offset = q->h.l1_offset;
	return 0;
}

static int qc_open(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		   struct vc_error *err)
{
	struct qc_disk *q = to_qc(d);
	uint64_t file_bytes;

	if (qc_header_read(d->fd, &q->h, err) < 0 ||
	    qc_header_supported(&q->h, err) < 0 || check_backing(q, err) < 0 ||
	    check_data_file(q, opts->data_file, err) < 0 ||
	    (d->writable && verify(q, opts->repair, err) < 0) ||
	    disk_file_size(d->fd, &file_bytes, err) < 0)
		return -1;
	if (qc_use_snapshot(q, opts, err) < 0)
		return -1;
	q->l2_entry_bits = qc_l2_entry_bits(qc_has_subclusters(&q->h));
	q->l2_reach_bits =
		qc_l2_reach_bits(q->h.cluster_bits, qc_has_subclusters(&q->h));
	q->unit_bits = q->h.cluster_bits -
		       (qc_has_subclusters(&q->h) ? QC_SUB_BITS : 0);
	d->size = vc_align_down(q->h.size, VC_DISK_SECTOR);
	q->file_clusters = q->fresh_from = qc_clusters(q, file_bytes);
	if (load_l1(q, file_bytes, err) < 0)
		return -1;
	if (!qc_cache_init(q))
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	if (d->writable && open_writable(q, err) < 0)
		return -1;
	return take_data_file(q, opts->data_file, err);
}

/* Until nothing is in flight, or dirty. */
static enum qc_result settle(struct qc_disk *q)
{
	enum qc_result res = QC_OK;

	while (q->wb.is_active ||
	       (res == QC_OK && !q->is_broken && qc_writeback_needed(q))) {
		if (!q->wb.is_active)
			qc_writeback_start(q);
		qc_run_queue(q);
		engine_kick(q->base.engine);
		if (q->wb.is_active)
			engine_reap(q->base.engine, true);
		else
			res = q->wb.res;
	}
	return q->is_broken ? QC_CORRUPT : res;
}

static int qc_close(struct vc_disk *d, struct vc_error *err)
{
	struct qc_disk *q = to_qc(d);
	enum qc_result res;

	q->is_closing = true;
	res = settle(q);
	if (res != QC_OK)
		return vc_fail(err, VC_E_SYS,
			       vc_disk_status_errno(qc_status(res)),
			       "write metadata");
	if (!(q->h.incompatible & QC_INCOMPAT_DIRTY))
		return 0;
	/* the refcounts are right, and on the medium first */
	q->h.incompatible &= ~(uint64_t)QC_INCOMPAT_DIRTY;
	if ((!d->no_sync && disk_sync_now(d) < 0) ||
	    write_be64(d->fd, q->h.incompatible, QC_OFFSET_INCOMPATIBLE) < 0)
		return vc_fail(err, VC_E_SYS, errno, "mark as clean");
	return 0;
}

static void qc_free(struct vc_disk *d)
{
	struct qc_disk *q = to_qc(d);
	struct qc_job *job;

	q->is_broken = true; /* ends a round that is under way */
	while (d->engine && (q->wb.is_active || d->engine->nr_in_flight))
		engine_reap(d->engine, true);
	while ((job = q->free_jobs)) {
		q->free_jobs = job->next_free;
		free(job);
	}
	qc_cache_fini(q);
	qc_packing_fini(q);
	qc_writeback_fini(q);
	qc_table_fini(&q->l1);
	qc_table_fini(&q->reftable);
	free(q->fixed);
	free(q->seen);
	free(q);
}

/* --- operations ----------------------------------------------------------------- */

static void qc_submit(struct vc_disk *d, struct vc_disk_req *req)
{
	static const qc_step_fn steps[] = {
		[VC_DISK_READ] = qc_read_step,
		[VC_DISK_WRITE] = qc_write_step,
		[VC_DISK_DISCARD] = qc_zero_step,
		[VC_DISK_WRITE_ZEROES] = qc_zero_step,
		[VC_DISK_SHARE] = qc_write_step,
		[VC_DISK_WRITE_COMPRESSED] = qc_pack_step,
	};
	struct qc_disk *q = to_qc(d);
	struct qc_job *job = NULL;

	if (req->op == VC_DISK_READ || begin_writing(q))
		job = qc_job_new(q, req);
	if (!job) {
		disk_complete(d, req, VC_DISK_EIO);
		return;
	}
	job->step = steps[req->op];
	qc_make_runnable(q, &job->waiter, QC_OK);
	qc_run_queue(q);
}

static void qc_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	struct qc_disk *q = to_qc(d);

	if (q->is_broken) {
		disk_complete(d, req, VC_DISK_EIO);
		return;
	}
	qc_writeback_flush(q, req);
	qc_run_queue(q);
}

struct map_waiter {
	struct qc_waiter w;
	bool is_woken;
	enum qc_result res;
};

static void map_woken(struct qc_waiter *w, enum qc_result res)
{
	struct map_waiter *m = vc_container_of(w, struct map_waiter, w);

	m->is_woken = true;
	m->res = res;
}

static enum qc_result lookup_wait(struct qc_disk *q, uint64_t offset,
				  uint64_t max_len, struct qc_extent *ret)
{
	enum qc_result res;

	for (;;) {
		struct map_waiter m = { .w.run = map_woken };

		q->is_mapping = true;
		res = qc_lookup(q, offset, max_len, &m.w, ret);
		q->is_mapping = false;
		if (res != QC_WAIT)
			break;
		while (!m.is_woken)
			engine_reap(q->base.engine, true);
		if (m.res != QC_OK)
			return m.res;
	}
	qc_cache_trim(q);
	return res;
}

/* A hole of this image is what its backing file has there. */
static int map_hole(struct vc_disk *d, struct vc_disk_extent *ret,
		    struct vc_error *err)
{
	uint64_t size = d->backing ? d->backing->size : 0;
	uint64_t end = ret->offset_bytes + ret->length_bytes;

	ret->kind = VC_DISK_HOLE;
	if (ret->offset_bytes >= size)
		return 0;
	end = vc_min_u64(end, size);
	if (vc_disk_map(d->backing, ret->offset_bytes, end - ret->offset_bytes,
			ret, err) < 0)
		return -1;
	ret->depth++;
	return 0;
}

/* Of an image that is only read, the last run of what it has not got is kept: a
 * chain is mapped piece by piece, as the images below say, and each of the upper
 * ones would look through the rest of its tables for each piece. */
static enum qc_result lookup_for_map(struct qc_disk *q, uint64_t offset,
				     uint64_t max_len, struct qc_extent *ret)
{
	if (q->hole_start > offset || q->hole_end <= offset)
		return lookup_wait(q, offset, max_len, ret);
	*ret = (struct qc_extent){
		.kind = QC_UNALLOCATED,
		.len = vc_min_u64(q->hole_end - offset, max_len),
	};
	return QC_OK;
}

static void keep_hole(struct qc_disk *q, uint64_t offset, uint64_t len)
{
	if (q->base.writable)
		return;
	if (offset < q->hole_start || offset > q->hole_end) {
		q->hole_start = offset;
		q->hole_end = offset;
	}
	if (q->hole_end < offset + len)
		q->hole_end = offset + len;
}

static int qc_map(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err)
{
	struct qc_disk *q = to_qc(d);
	uint64_t len = 0;
	struct qc_extent ext;

	/* one page of entries ends an extent for the lookup, not for us */
	do {
		struct qc_extent e;

		if (lookup_for_map(q, offset + len, max_len - len, &e) != QC_OK)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "L2 table at offset %llu",
				       (unsigned long long)(offset + len));
		if (!len)
			ext = e;
		else if (e.kind != ext.kind ||
			 (ext.kind == QC_NORMAL && e.host != ext.host + len))
			break;
		len += e.len;
	} while (len < max_len);
	if (ext.kind == QC_UNALLOCATED)
		keep_hole(q, offset, len);
	*ret = (struct vc_disk_extent){ .kind = VC_DISK_DATA,
					.offset_bytes = offset,
					.length_bytes = len,
					.host_offset = UINT64_MAX };
	ret->is_compressed = ext.kind == QC_COMPRESSED_CLUSTER;
	ret->reads_zero = ext.kind == QC_NORMAL &&
			  qc_is_hole(q, ext.host, &ret->length_bytes);
	if (ext.kind == QC_NORMAL && qc_has_data_file(&q->h)) {
		ret->is_in_data_file = true;
		ret->data_file_offset = ext.host;
	} else if (ext.kind == QC_NORMAL)
		ret->host_offset = ext.host;
	else if (ext.kind == QC_UNALLOCATED)
		return map_hole(d, ret, err);
	else if (ext.kind != QC_COMPRESSED_CLUSTER)
		ret->kind = VC_DISK_ZERO;
	return 0;
}

static uint32_t qc_discard_granularity(const struct vc_disk *d)
{
	/* the base is the first member */
	return UINT32_C(1) << ((const struct qc_disk *)d)->unit_bits;
}

static enum vc_disk_compression qc_compression(const struct vc_disk *d,
					       uint32_t *ret_cluster_bytes)
{
	const struct qc_disk *q = (const struct qc_disk *)d;

	if (q->data || q->h.is_for_crosvm)
		return VC_DISK_COMPRESSION_NONE;
	*ret_cluster_bytes = q->h.cluster_bytes;
	return q->h.compression_type ? VC_DISK_ZSTD : VC_DISK_ZLIB;
}

/* Within what the L1 table reaches: for a new image made too large. */
static int qc_set_size(struct vc_disk *d, uint64_t size, struct vc_error *err)
{
	struct qc_disk *q = to_qc(d);
	struct vc_disk_extent cut;
	uint64_t at;

	if (q->h.nr_snapshots || d->backing)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "the image has snapshots or a backing file");
	if (!begin_writing(q))
		return vc_fail(err, VC_E_SYS, errno, "write header");
	if (qc_l1_entries(size, q->h.cluster_bits, qc_has_subclusters(&q->h)) >
	    q->l1.nr)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "more than the L1 table reaches");
	/* the cluster that the new end is in stays */
	for (at = vc_align_up(size, q->h.cluster_bytes); at < d->size;
	     at += cut.length_bytes) {
		if (qc_map(d, at, d->size - at, &cut, err) < 0)
			return -1;
		if (cut.kind == VC_DISK_DATA)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "there is data behind the new end");
	}
	if (write_be64(d->fd, size, QC_OFFSET_SIZE) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	q->h.size = size;
	return 0;
}

static uint64_t qc_memory(const struct vc_disk *d)
{
	/* to_qc() of what is const */
	const struct qc_disk *q = (const struct qc_disk *)d;
	uint64_t entries = q->l1.entries ? q->l1.nr : 0;

	/* any cluster may be a compressed one */
	return (uint64_t)q->cache.max_pages * q->cache.page_bytes +
	       (entries + q->reftable.nr) * sizeof(be64_t) +
	       QC_NR_UNPACKED * (uint64_t)q->h.cluster_bytes;
}

const struct disk_ops qcow2_ops = {
	.memory = qc_memory,
	.name = "qcow2",
	.can_share = true,
	.format = VC_DISK_FORMAT_QCOW2,
	.probe = qc_probe,
	.alloc = qc_new,
	.open = qc_open,
	.submit = qc_submit,
	.flush = qc_flush,
	.close = qc_close,
	.free = qc_free,
	.map = qc_map,
	.info = qc_info,
	.create = qc_create,
	.check = qc_check,
	.discard_granularity = qc_discard_granularity,
	.compression = qc_compression,
	.set_size = qc_set_size,
};
