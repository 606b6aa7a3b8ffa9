/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another size for a disk. A qcow2 image becomes larger in three steps, each of
 * which leaves it consistent and of its old size but for the last:
 *
 *	1. an L1 table that reaches the new end (an edit, see edit.c);
 *	2. what will be seen and must not be is zeroed through the disk layer: the
 *	   rest of the last cluster, which may be left from a larger disk, and
 *	   what a longer backing file has there;
 *	3. the new size, with preallocated clusters (an edit).
 *
 * It becomes smaller in one edit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

struct resize {
	struct qc_edit e;
	struct qe_tree active;
	uint64_t size; /* the new one */
	enum vc_disk_preallocation preallocation;
	int data_fd; /* or -1 */
};

static int start(struct resize *r, int fd, struct vc_error *err)
{
	const struct qc_header *h = &r->e.head.h;

	if (qe_open(&r->e, fd, err) < 0)
		return -1;
	if (h->version == 2 && h->nr_snapshots)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: version 2 with snapshots, which do not "
			       "know their size");
	return qe_tree_load(&r->e, h->l1_offset, h->l1_size, &r->active, err);
}

static void finish(struct resize *r)
{
	qe_tree_fini(&r->active);
	qe_fini(&r->e);
}

static uint64_t l1_need(const struct qc_header *h, uint64_t size)
{
	return qc_l1_entries(size, h->cluster_bits, qc_has_subclusters(h));
}

/* --- smaller ------------------------------------------------------------------ */

/* Release what the entries from `first` on of one table refer to. */
static int cut_table(struct resize *r, be64_t *l2, uint64_t first,
		     struct vc_error *err)
{
	size_t step = qe_entry_words(&r->e), k;
	uint64_t cluster, nr;

	for (k = (size_t)first * step; k < r->e.cluster_bytes / 8; k++) {
		/* the second words of extended entries are no entries */
		if (k % step == 0 &&
		    (qe_entry_clusters(&r->e, be64_get(l2[k]), &cluster, &nr,
				       err) < 0 ||
		     (nr && qe_unref(&r->e, cluster, nr, err) < 0)))
			return -1;
		l2[k] = be64_put(0);
	}
	return 0;
}

struct cut {
	struct resize *r;
	uint32_t index; /* of the table the new end is in */
	uint64_t first; /* entry behind it */
};

static int cut_one(void *ctx, uint32_t i, be64_t *l2, struct vc_error *err)
{
	struct cut *c = ctx;

	if (i != c->index)
		return 0;
	return cut_table(c->r, l2, c->first, err) < 0 ? -1 : 1;
}

static int shrink(struct resize *r, struct vc_error *err)
{
	struct qc_header *h = &r->e.head.h;
	unsigned reach = qc_l2_reach_bits(r->e.bits, qc_has_subclusters(h));
	uint64_t in_table = r->size & ((UINT64_C(1) << reach) - 1);
	struct qe_tree rest = r->active, kept = r->active;

	kept.nr = (uint32_t)vc_min_u64(l1_need(h, r->size), r->active.nr);
	rest.l1 += kept.nr;
	rest.nr -= kept.nr;
	if (qe_tree_unref(&r->e, &rest, err) < 0)
		return -1;
	if (in_table) {
		struct cut c = { r, (uint32_t)(r->size >> reach),
				 vc_div_round_up(in_table,
						 r->e.cluster_bytes) };

		if (qe_tree_edit(&r->e, &kept, cut_one, &c, err) < 0)
			return -1;
	}
	/* a table of no entries would have no place */
	r->active.nr = kept.nr ? kept.nr : 1;
	if (!kept.nr)
		r->active.l1[0] = be64_put(0);
	if (qc_bitmaps_resize(&r->e, r->size, err) < 0 ||
	    qe_tree_activate(&r->e, &r->active, err) < 0)
		return -1;
	h->size = r->size;
	return qe_commit(&r->e, err);
}

/* --- larger -------------------------------------------------------------------- */

static int grow_l1(struct resize *r, struct vc_error *err)
{
	uint64_t need = l1_need(&r->e.head.h, r->size);
	be64_t *l1;

	if (need * 8 > QC_MAX_L1_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: too large for clusters of %u bytes",
			       r->e.cluster_bytes);
	if (need <= r->active.nr)
		return 0;
	l1 = realloc(r->active.l1, need * sizeof(*l1));
	if (!l1)
		return vc_fail(err, VC_E_SYS, ENOMEM, "resize");
	memset(l1 + r->active.nr, 0, (need - r->active.nr) * sizeof(*l1));
	r->active.l1 = l1;
	r->active.nr = (uint32_t)need;
	if (qe_tree_activate(&r->e, &r->active, err) < 0)
		return -1;
	return qe_commit(&r->e, err);
}

static int reserve(struct resize *r, uint64_t host, uint64_t len,
		   struct vc_error *err)
{
	int fd = r->data_fd >= 0 ? r->data_fd : r->e.fd, ret;
	static const uint8_t zeroes[65536];

	if (r->preallocation == VC_DISK_PREALLOC_FALLOC) {
		ret = fallocate(fd, 0, (off_t)host, (off_t)len);
		if (ret < 0)
			return vc_fail(err, VC_E_SYS, errno, "reserve space");
	}
	while (r->preallocation == VC_DISK_PREALLOC_FULL && len) {
		size_t n = (size_t)vc_min_u64(len, sizeof(zeroes));

		if (vc_pwrite_full(fd, zeroes, n, host) < 0)
			return vc_fail(err, VC_E_SYS, errno, "reserve space");
		host += n;
		len -= n;
	}
	return 0;
}

/* Clusters for the entries [first, end) of one table, none of which has one
 * (but a zero one, which is given up). */
static int fill_table(struct resize *r, uint32_t i, be64_t *l2, uint64_t first,
		      uint64_t end, struct vc_error *err)
{
	struct qc_edit *e = &r->e;
	size_t step = qe_entry_words(e), k;
	uint64_t per = e->cluster_bytes / 8 / step, cluster, nr = end - first;
	uint64_t bytes = nr << e->bits;

	if (cut_table(r, l2, first, err) < 0)
		return -1;
	cluster = i * per + first;
	if (r->data_fd < 0 && qe_alloc(e, nr, &cluster, err) < 0)
		return -1;
	/* a data file ends where the disk does, as it may be one by itself */
	if (r->data_fd >= 0)
		bytes = vc_min_u64(bytes, r->size - (cluster << e->bits));
	if (reserve(r, cluster << e->bits, bytes, err) < 0)
		return -1;
	for (k = first * step; k < end * step; k += step) {
		l2[k] = be64_put(cluster++ << e->bits | QC_COPIED);
		if (step == 2)
			l2[k + 1] = be64_put(UINT32_MAX);
	}
	return 0;
}

static int fill_one(struct resize *r, uint32_t i, uint64_t first, uint64_t end,
		    struct vc_error *err)
{
	struct qc_edit *e = &r->e;
	vc_auto_free be64_t *l2 = calloc(1, e->cluster_bytes);
	uint64_t old = be64_get(r->active.l1[i]) & QC_OFFSET_MASK, place;

	if (!l2)
		return vc_fail(err, VC_E_SYS, ENOMEM, "resize");
	/* a table that a snapshot has, too, is left to it */
	if (old && qe_read(e, l2, e->cluster_bytes, old, err) < 0)
		return -1;
	if (fill_table(r, i, l2, first, end, err) < 0 ||
	    qe_store(e, l2, e->cluster_bytes, &place, err) < 0 ||
	    (old && qe_unref(e, old >> e->bits, 1, err) < 0))
		return -1;
	r->active.l1[i] = be64_put(place | QC_COPIED);
	return 0;
}

static int preallocate(struct resize *r, struct vc_error *err)
{
	struct qc_edit *e = &r->e;
	uint64_t per = e->cluster_bytes / 8 / qe_entry_words(e);
	uint64_t c = vc_div_round_up(e->head.h.size, e->cluster_bytes);
	uint64_t end = vc_div_round_up(r->size, e->cluster_bytes);

	if (r->preallocation == VC_DISK_PREALLOC_OFF)
		return 0;
	/* where the file has never been written it reads zero */
	e->append_only = true;
	while (c < end) {
		uint64_t n = vc_min_u64(end - c, per - c % per);

		if (fill_one(r, (uint32_t)(c / per), c % per, c % per + n,
			     err) < 0)
			return -1;
		c += n;
	}
	return qe_tree_activate(e, &r->active, err);
}

static int set_larger(struct resize *r, struct vc_error *err)
{
	if (preallocate(r, err) < 0 ||
	    qc_bitmaps_resize(&r->e, r->size, err) < 0)
		return -1;
	r->e.head.h.size = r->size;
	return qe_commit(&r->e, err);
}

/* --- through the disk layer -------------------------------------------------- */

/* Is there anything but zeroes? */
static int has_data(struct vc_disk *d, uint64_t at, uint64_t len, bool *ret,
		    struct vc_error *err)
{
	uint8_t buf[4096];

	for (*ret = false; len && !*ret;) {
		struct vc_disk_extent x;
		uint64_t n;

		if (vc_disk_map(d, at, len, &x, err) < 0)
			return -1;
		n = x.length_bytes;
		if (x.kind == VC_DISK_DATA) {
			n = vc_min_u64(n, sizeof(buf));
			if (vc_disk_read(d, at, buf, n, err) < 0)
				return -1;
			*ret = buf[0] || memcmp(buf, buf + 1, n - 1) != 0;
		}
		at += n;
		len -= n;
	}
	return 0;
}

/* Bytes behind the old end that must be zeroed through the disk. */
static uint64_t exposed_end(const struct resize *r, const struct vc_disk *d,
			    uint64_t old)
{
	uint64_t end = vc_align_up(
		old, to_qc((struct vc_disk *)(uintptr_t)d)->h.cluster_bytes);

	if (d->backing && d->backing->size > end &&
	    r->preallocation == VC_DISK_PREALLOC_OFF)
		end = d->backing->size;
	return vc_min_u64(end, r->size);
}

static int zero_exposed(struct resize *r, struct vc_disk *d,
			struct vc_error *err)
{
	uint64_t old = d->size, end = exposed_end(r, d, old);
	bool is_needed;

	d->size = r->size; /* for us alone: the header has the old one */
	if (has_data(d, old, end - old, &is_needed, err) < 0)
		return -1;
	if (!is_needed)
		return 0;
	if (to_qc(d)->h.nr_bitmaps &&
	    (to_qc(d)->h.autoclear & QC_AUTOCLEAR_BITMAPS))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "there is old data behind its end, and it has "
			       "bitmaps");
	if (vc_disk_zero(d, old, end - old, err) < 0)
		return -1;
	return vc_disk_flush(d, err);
}

static int resize_data_file(struct resize *r, struct vc_error *err)
{
	struct stat st;

	if (r->data_fd >= 0 && fstat(r->data_fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && ftruncate(r->data_fd, (off_t)r->size) < 0)
		return vc_fail(err, VC_E_SYS, errno, "size of data file");
	return 0;
}

/* The disk as it is, for the files beside it. */
static int open_beside(const char *path, struct vc_disk **ret,
		       struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2,
					.writable = true,
					.allow_backing = true,
					.cache_bytes = 1 << 20 };

	return vc_disk_open(path, &oo, ret, err);
}

static int take_data_file(struct resize *r, const struct vc_disk *d,
			  struct vc_error *err)
{
	if (!d->nr_parts)
		return 0;
	r->data_fd = fcntl(d->parts[0]->fd, F_DUPFD_CLOEXEC, 0);
	if (r->data_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "data file");
	return 0;
}

static int open_data_file(struct resize *r, int fd, const char *path,
			  struct vc_error *err)
{
	vc_auto(vc_disk) struct vc_disk *d = NULL;
	struct qc_header h;

	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	if (!qc_has_data_file(&h))
		return 0;
	if (open_beside(path, &d, err) < 0)
		return -1;
	return take_data_file(r, d, err);
}

/* Zero what must be; the disk is closed again, as its metadata is to change. */
static int prepare(struct resize *r, const char *path, struct vc_error *err)
{
	vc_auto(vc_disk) struct vc_disk *d = NULL;

	if (open_beside(path, &d, err) < 0 || zero_exposed(r, d, err) < 0 ||
	    take_data_file(r, d, err) < 0)
		return -1;
	return vc_disk_close(vc_steal_ptr(&d), err);
}

static int grow(struct resize *r, int fd, const char *path,
		struct vc_error *err)
{
	int ret;

	ret = start(r, fd, err);
	if (ret == 0)
		ret = grow_l1(r, err);
	finish(r);
	memset(&r->e, 0, sizeof(r->e));
	if (ret < 0 || prepare(r, path, err) < 0 ||
	    resize_data_file(r, err) < 0 || start(r, fd, err) < 0)
		return -1;
	return set_larger(r, err);
}

static int qc_resize(int fd, const char *path, uint64_t old, uint64_t size,
		     const struct vc_disk_resize_opts *o, struct vc_error *err)
{
	struct resize r;
	int ret;

	memset(&r, 0, sizeof(r));
	r.size = size;
	r.data_fd = -1;
	r.preallocation = o->preallocation;
	if (size >= old) {
		ret = grow(&r, fd, path, err);
	} else {
		ret = open_data_file(&r, fd, path, err);
		if (ret == 0)
			ret = start(&r, fd, err);
		if (ret == 0)
			ret = shrink(&r, err);
		if (ret == 0)
			ret = resize_data_file(&r, err);
	}
	finish(&r);
	vc_close(&r.data_fd);
	return ret;
}

/* --- raw, and the choice -------------------------------------------------------- */

static int raw_resize(int fd, uint64_t old, uint64_t size,
		      const struct vc_disk_resize_opts *o, struct vc_error *err)
{
	struct resize r = { .e.fd = fd,
			    .data_fd = -1,
			    .preallocation = o->preallocation };
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "a block device keeps its size");
	if (o->preallocation == VC_DISK_PREALLOC_METADATA)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "a raw image has no metadata to preallocate");
	if (ftruncate(fd, (off_t)size) < 0)
		return vc_fail(err, VC_E_SYS, errno, "set size of file");
	if (size > old && reserve(&r, old, size - old, err) < 0) {
		if (ftruncate(fd, (off_t)old) < 0)
			return vc_prefix(err, "not undone");
		return -1;
	}
	if (fdatasync(fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sync");
	return 0;
}

static int new_size(uint64_t old, const struct vc_disk_resize_opts *o,
		    uint64_t *ret, struct vc_error *err)
{
	*ret = o->size_bytes;
	if (o->is_relative && o->is_minus) {
		if (vc_ckd_sub(ret, old, o->size_bytes))
			return vc_fail(err, VC_E_ARG, 0,
				       "size: less than nothing would be left");
	} else if (o->is_relative && vc_ckd_add(ret, old, o->size_bytes)) {
		*ret = UINT64_MAX;
	}
	if (*ret > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "size: too large");
	*ret = vc_align_up(*ret, VC_DISK_SECTOR);
	if (*ret < old && !o->shrink)
		return vc_fail(err, VC_E_ARG, 0,
			       "smaller than it is (%llu bytes): data would be "
			       "lost, which resize --shrink allows",
			       (unsigned long long)old);
	if (*ret < old && o->preallocation != VC_DISK_PREALLOC_OFF)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "preallocation of a disk that becomes smaller");
	return 0;
}

/* May it open what the image names, if it has to? */
static int check_beside(const struct vc_disk_info *info, uint64_t size,
			const struct vc_disk_resize_opts *o,
			struct vc_error *err)
{
	bool needs_backing =
		info->backing_file[0] && size > info->virtual_bytes;

	if (o->allow_backing || (!info->has_data_file && !needs_backing))
		return 0;
	return vc_fail(err, VC_E_UNSUPPORTED, 0,
		       "names %s, which is not allowed here",
		       info->has_data_file ? "an external data file"
					   : "a backing file");
}

int vc_disk_resize(const char *path, const struct vc_disk_resize_opts *o,
		   uint64_t *ret_size, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_fd int fd = -1;
	uint64_t size, old;
	int ret;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "resize");
	fd = vc_open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, err);
	if (fd < 0 || (!o->no_lock && vc_disk_lock_fd(fd, true, err) < 0) ||
	    vc_disk_info_fd(fd, o->format, info, err) < 0)
		return -1;
	old = info->virtual_bytes;
	if (new_size(old, o, &size, err) < 0)
		return -1;
	if (ret_size)
		*ret_size = size;
	if (info->format == VC_DISK_FORMAT_QCOW2) {
		if (check_beside(info, size, o, err) < 0)
			return -1;
		ret = qc_resize(fd, path, old, size, o, err);
	} else if (o->format == VC_DISK_FORMAT_PROBE ||
		   info->format != VC_DISK_FORMAT_RAW) {
		/* what looks raw may be what a guest wrote */
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "not qcow2: a raw image is resized only if its "
			       "format is given");
	} else {
		ret = raw_resize(fd, old, size, o, err);
	}
	return ret;
}
