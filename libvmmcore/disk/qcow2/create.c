/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new image: header, refcount table, refcount blocks, L1 table and, if it is
 * preallocated, L2 tables and data, in this order, each from a cluster boundary
 * on. What is zero is not written: the file is extended over it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/qcow2/qcow2.h"

/* The refcount table is made large enough for a full disk up to this; beyond
 * it grows when needed. */
#define FIRST_REFTABLE_MAX (1u << 20)

struct layout {
	unsigned cluster_bits, refcount_order, version;
	uint32_t cluster_bytes;
	uint64_t l1_entries, l1_clusters;
	uint64_t reftable_clusters, nr_blocks;
	uint64_t l2_clusters, data_clusters; /* preallocated */
	uint64_t total;			     /* clusters in use */
	enum vc_disk_preallocation preallocation;
};

/* crosvm's own limit. */
#define CROSVM_MAX_BYTES (UINT64_C(1) << 44)

static int needs(struct vc_error *err, const char *option, const char *what)
{
	return vc_fail(err, VC_E_CONFIG, 0, "%s: needs %s", option, what);
}

static int check_features(const struct vc_disk_create_opts *o,
			  const struct layout *l, struct vc_error *err)
{
	if (l->version == 2 && l->refcount_order != 4)
		return needs(err, "refcount bits other than 16", "version 3");
	if (l->version == 2 && o->lazy_refcounts)
		return needs(err, "lazy refcounts", "version 3");
	if (l->version == 2 && o->extended_l2)
		return needs(err, "extended L2 entries", "version 3");
	if (l->version == 2 && o->data_file)
		return needs(err, "external data file", "version 3");
	if (l->version == 2 && o->compression == VC_DISK_ZSTD)
		return needs(err, "compression type zstd", "version 3");
	if (o->extended_l2 && l->cluster_bits < QC_MIN_EXTENDED_L2_CLUSTER_BITS)
		return needs(err, "extended L2 entries",
			     "clusters of 16 KiB or more");
	if (o->compression > VC_DISK_ZSTD)
		return vc_fail(err, VC_E_ARG, 0, "compression type");
	if (o->data_file_raw && !o->data_file)
		return needs(err, "raw external data file",
			     "an external data file");
	if (o->data_file_raw && o->backing_file)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "backing file: not with a raw external data "
			       "file");
	if (o->data_file &&
	    (!o->data_file[0] || strlen(o->data_file) > QC_MAX_BACKING_NAME))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "external data file name: not 1 to %d bytes",
			       QC_MAX_BACKING_NAME);
	if (o->preallocation && o->backing_file && !o->extended_l2)
		return needs(err, "preallocation with a backing file",
			     "extended L2 entries");
	return 0;
}

static int check_crosvm(const struct vc_disk_create_opts *o,
			const struct layout *l, struct vc_error *err)
{
	static const char *const formats[] = { "raw", "qcow2", "composite" };
	size_t i;

	if (l->version == 2 || l->refcount_order != 4 || o->extended_l2 ||
	    o->data_file || o->compression == VC_DISK_ZSTD)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "for crosvm: needs version 3, refcount bits 16, "
			       "no extended L2 entries, no external data file, "
			       "no compression");
	if (o->size_bytes > CROSVM_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "for crosvm: size: more than 16 TiB");
	for (i = 0; o->backing_file && i < VC_ARRAY_SIZE(formats); i++)
		if (o->backing_format && !strcmp(o->backing_format, formats[i]))
			return 0;
	if (o->backing_file)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "for crosvm: backing format: not raw, qcow2 or "
			       "composite");
	return 0;
}

static int check_options(const struct vc_disk_create_opts *o, struct layout *l,
			 struct vc_error *err)
{
	uint32_t cluster = o->cluster_bytes ? o->cluster_bytes : 65536;
	unsigned bits = o->refcount_bits ? o->refcount_bits : 16;

	l->version = o->version ? o->version : 3;
	if (l->version != 2 && l->version != 3)
		return vc_fail(err, VC_E_ARG, 0, "qcow2 version %u: not 2 or 3",
			       l->version);
	if (!vc_is_pow2(cluster) || cluster < VC_QCOW2_MIN_CLUSTER ||
	    cluster > VC_QCOW2_MAX_CLUSTER)
		return vc_fail(err, VC_E_ARG, 0,
			       "cluster size %u: not a power of two from 512 "
			       "to 2M",
			       cluster);
	if (!vc_is_pow2(bits) || bits > 64)
		return vc_fail(err, VC_E_ARG, 0,
			       "refcount bits %u: not a power of two up to 64",
			       bits);
	if (o->backing_file && (!o->backing_file[0] ||
				strlen(o->backing_file) > QC_MAX_BACKING_NAME))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "backing file name: not 1 to %d bytes",
			       QC_MAX_BACKING_NAME);
	if (o->backing_format && strlen(o->backing_format) > 15)
		return vc_fail(err, VC_E_LIMIT, 0, "backing format name");
	l->cluster_bytes = cluster;
	l->cluster_bits = (unsigned)__builtin_ctz(cluster);
	l->refcount_order = (unsigned)__builtin_ctz(bits);
	l->preallocation = o->preallocation;
	/* such a file is read without the tables, which must agree with that */
	if (o->data_file_raw && !l->preallocation)
		l->preallocation = VC_DISK_PREALLOC_METADATA;
	if (check_features(o, l, err) < 0)
		return -1;
	return o->for_crosvm ? check_crosvm(o, l, err) : 0;
}

static int plan(const struct vc_disk_create_opts *o, struct layout *l,
		struct vc_error *err)
{
	uint64_t per_block =
		((uint64_t)l->cluster_bytes * 8) >> l->refcount_order;
	uint64_t max = FIRST_REFTABLE_MAX >> l->cluster_bits, full;

	l->l1_entries =
		qc_l1_entries(o->size_bytes, l->cluster_bits, o->extended_l2);
	if (l->l1_entries * 8 > QC_MAX_L1_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: too large for clusters of %u bytes",
			       l->cluster_bytes);
	l->l1_clusters = vc_div_round_up(l->l1_entries * 8, l->cluster_bytes);
	if (l->preallocation) {
		l->l2_clusters = l->l1_entries;
		l->data_clusters = o->data_file
					   ? 0
					   : vc_div_round_up(o->size_bytes,
							     l->cluster_bytes);
	}
	/* data, L2 tables, L1, and the blocks that count them */
	full = (o->size_bytes >> l->cluster_bits) + 2 + l->l1_entries +
	       l->l1_clusters;
	full += full / per_block + 1;
	l->reftable_clusters =
		vc_div_round_up(full / per_block + 1, l->cluster_bytes / 8);
	if (l->reftable_clusters > max)
		l->reftable_clusters = max ? max : 1;
	l->nr_blocks = 0;
	do {
		l->nr_blocks++;
		l->total = 1 + l->reftable_clusters + l->nr_blocks +
			   l->l1_clusters + l->l2_clusters + l->data_clusters;
	} while (l->nr_blocks * per_block < l->total);
	/* the first blocks have entries in the table, however small it is */
	while (l->reftable_clusters * (l->cluster_bytes / 8) < l->nr_blocks) {
		l->reftable_clusters++;
		l->total++;
		if (l->nr_blocks * per_block < l->total) {
			l->nr_blocks++;
			l->total++;
		}
	}
	if (l->reftable_clusters << l->cluster_bits > QC_MAX_REFTABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "preallocation: too much for clusters of %u "
			       "bytes",
			       l->cluster_bytes);
	return 0;
}

/* --- header ------------------------------------------------------------------- */

struct writer {
	uint8_t *buf;
	size_t size, pos;
	bool is_full;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (w->size - w->pos < len) {
		w->is_full = true;
		return;
	}
	if (len) /* else `data` may be NULL */
		memcpy(w->buf + w->pos, data, len);
	w->pos += len;
}

static void put_extension(struct writer *w, uint32_t type, const void *data,
			  size_t len)
{
	static const uint8_t zeroes[8];
	struct qc_extension e = { be32_put(type), be32_put((uint32_t)len) };

	put(w, &e, sizeof(e));
	put(w, data, len);
	put(w, zeroes, -len & 7u);
}

/* What other programs show when they do not know a feature. */
static void put_feature_names(struct writer *w)
{
	static const struct qc_feature_name names[] = {
		{ 0, 0, "dirty bit" },
		{ 0, 1, "corrupt bit" },
		{ 0, 2, "external data file" },
		{ 0, 3, "compression type" },
		{ 0, 4, "extended L2 entries" },
		{ 1, 0, "lazy refcounts" },
		{ 2, 0, "bitmaps" },
		{ 2, 1, "raw external data" },
	};

	put_extension(w, QC_EXT_FEATURE_NAMES, names, sizeof(names));
}

static void fill_header(struct qc_header_v3 *d,
			const struct vc_disk_create_opts *o,
			const struct layout *l)
{
	uint64_t l1 = 1 + l->reftable_clusters + l->nr_blocks;

	memset(d, 0, sizeof(*d));
	d->v2.magic = be32_put(QC_MAGIC);
	d->v2.version = be32_put(l->version);
	d->v2.cluster_bits = be32_put(l->cluster_bits);
	d->v2.size = be64_put(o->size_bytes);
	d->v2.l1_size = be32_put((uint32_t)l->l1_entries);
	d->v2.l1_offset = be64_put(l1 << l->cluster_bits);
	d->v2.reftable_offset = be64_put(l->cluster_bytes);
	d->v2.reftable_clusters = be32_put((uint32_t)l->reftable_clusters);
	d->refcount_order = be32_put(l->refcount_order);
	d->header_length = be32_put(sizeof(*d));
	d->incompatible = be64_put(
		(o->data_file ? QC_INCOMPAT_DATA_FILE : 0) |
		(o->compression == VC_DISK_ZSTD ? QC_INCOMPAT_COMPRESSION : 0) |
		(o->extended_l2 ? QC_INCOMPAT_EXTENDED_L2 : 0));
	d->compatible =
		be64_put(o->lazy_refcounts ? QC_COMPAT_LAZY_REFCOUNTS : 0);
	d->autoclear =
		be64_put(o->data_file_raw ? QC_AUTOCLEAR_RAW_DATA_FILE : 0);
	d->compression_type = o->compression == VC_DISK_ZSTD;
}

static int write_header(int fd, const struct vc_disk_create_opts *o,
			const struct layout *l, struct vc_error *err)
{
	uint8_t buf[4096] = { 0 };
	struct writer w = { buf, sizeof(buf), 0, false };
	const char *format = o->backing_format;
	struct qc_header_v3 d;
	size_t name = o->backing_file ? strlen(o->backing_file) : 0;
	size_t length = l->version == 2 ? sizeof(d.v2) : sizeof(d);

	if (w.size > l->cluster_bytes)
		w.size = l->cluster_bytes;
	fill_header(&d, o, l);
	w.pos = length;
	if (format) {
		/* two programs, two numbers for the same thing */
		put_extension(&w, QC_EXT_BACKING_FORMAT, format,
			      strlen(format));
		put_extension(&w, QC_EXT_CROSVM_BACKING_FORMAT, format,
			      strlen(format));
	}
	if (o->data_file)
		put_extension(&w, QC_EXT_DATA_FILE, o->data_file,
			      strlen(o->data_file));
	if (o->for_crosvm)
		put_extension(&w, QC_EXT_FOR_CROSVM, NULL, 0);
	if (l->version > 2 && w.size - w.pos > 512 + name)
		put_feature_names(&w);
	put_extension(&w, QC_EXT_END, NULL, 0);
	if (name) {
		d.v2.backing_offset = be64_put(w.pos);
		d.v2.backing_size = be32_put((uint32_t)name);
		put(&w, o->backing_file, name);
	}
	if (w.is_full)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "backing file name: too long for clusters of "
			       "%u bytes",
			       l->cluster_bytes);
	memcpy(buf, &d, length);
	if (vc_pwrite_full(fd, buf, w.size, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}

/* --- refcounts ---------------------------------------------------------------- */

static int write_refcounts(int fd, const struct layout *l, struct vc_error *err)
{
	vc_auto_free uint8_t *block = malloc(l->cluster_bytes);
	vc_auto_free be64_t *table =
		calloc(l->reftable_clusters, l->cluster_bytes);
	uint64_t per_block =
		((uint64_t)l->cluster_bytes * 8) >> l->refcount_order;
	uint64_t first = 1 + l->reftable_clusters, b, i;

	if (!block || !table)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	for (b = 0; b < l->nr_blocks; b++) {
		uint64_t offset = (first + b) << l->cluster_bits;

		table[b] = be64_put(offset);
		/* all but the last one are full */
		if (b == 0 || b + 1 == l->nr_blocks)
			memset(block, 0, l->cluster_bytes);
		for (i = 0; (b == 0 || b + 1 == l->nr_blocks) &&
			    i < per_block && b * per_block + i < l->total;
		     i++)
			qc_refcount_put(block, l->refcount_order, i, 1);
		if (vc_pwrite_full(fd, block, l->cluster_bytes, offset) < 0)
			return vc_fail(err, VC_E_SYS, errno, "write refcounts");
	}
	if (vc_pwrite_full(fd, table, l->nr_blocks * 8, l->cluster_bytes) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write refcounts");
	return 0;
}

/* --- preallocation ------------------------------------------------------------ */

/* The L2 table number `n`, for clusters that follow each other from `host` on.
 * Subclusters stay unallocated: they read as what is below. */
static void fill_l2(const struct layout *l, bool extended, be64_t *table,
		    uint64_t n, uint64_t host, uint64_t nr_guest)
{
	uint64_t words = l->cluster_bytes / 8, step = extended ? 2 : 1, i;
	uint64_t guest = n * (words / step);

	memset(table, 0, l->cluster_bytes);
	for (i = 0; i < words && guest < nr_guest; i += step, guest++)
		table[i] =
			be64_put((host + guest) << l->cluster_bits | QC_COPIED);
}

static int write_tables(int fd, const struct vc_disk_create_opts *o,
			const struct layout *l, struct vc_error *err)
{
	uint64_t l1_first = 1 + l->reftable_clusters + l->nr_blocks, i;
	uint64_t l2_first = l1_first + l->l1_clusters;
	uint64_t data = o->data_file ? 0 : l2_first + l->l2_clusters;
	uint64_t nr = vc_div_round_up(o->size_bytes, l->cluster_bytes);
	vc_auto_free be64_t *l1 = calloc(l->l1_entries + 1, sizeof(*l1));
	vc_auto_free be64_t *l2 = malloc(l->cluster_bytes);

	if (!l1 || !l2)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	for (i = 0; i < l->l2_clusters; i++) {
		uint64_t offset = (l2_first + i) << l->cluster_bits;

		fill_l2(l, o->extended_l2, l2, i, data, nr);
		l1[i] = be64_put(offset | QC_COPIED);
		if (vc_pwrite_full(fd, l2, l->cluster_bytes, offset) < 0)
			return vc_fail(err, VC_E_SYS, errno, "write L2 tables");
	}
	if (vc_pwrite_full(fd, l1, l->l1_entries * 8,
			   l1_first << l->cluster_bits) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write L1 table");
	return disk_allocate(fd,
			     (l->total - l->data_clusters) << l->cluster_bits,
			     l->data_clusters << l->cluster_bits,
			     l->preallocation, err);
}

static int size_data_file(const struct vc_disk_create_opts *o,
			  const struct layout *l, struct vc_error *err)
{
	if (disk_set_file_size(o->data_fd, o->size_bytes, o->size_bytes, err) <
		    0 ||
	    disk_allocate(o->data_fd, 0, o->size_bytes, l->preallocation, err) <
		    0)
		return vc_prefix(err, "data file");
	return 0;
}

int qc_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err)
{
	struct layout l;
	uint64_t nr_zero;

	memset(&l, 0, sizeof(l));
	if (check_options(opts, &l, err) < 0 || plan(opts, &l, err) < 0)
		return -1;
	/* on a device, nobody knows what is in clusters that have a place but
	 * were not written */
	nr_zero = l.preallocation ? l.total : l.total - l.data_clusters;
	if (disk_set_file_size(fd, l.total << l.cluster_bits,
			       nr_zero << l.cluster_bits, err) < 0 ||
	    write_refcounts(fd, &l, err) < 0 ||
	    (l.preallocation && write_tables(fd, opts, &l, err) < 0) ||
	    (opts->data_file && size_data_file(opts, &l, err) < 0))
		return -1;
	return write_header(fd, opts, &l, err);
}
