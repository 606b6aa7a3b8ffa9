/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new image: header, refcount table, refcount blocks, L1 table, in this
 * order, each from a cluster boundary on. What is zero is not written: the
 * file is extended over it.
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
	uint64_t total; /* clusters of metadata */
};

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
	if (l->version == 2 && bits != 16)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "refcount bits other than 16 need version 3");
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
	return 0;
}

static int plan(const struct vc_disk_create_opts *o, struct layout *l,
		struct vc_error *err)
{
	uint64_t per_block =
		((uint64_t)l->cluster_bytes * 8) >> l->refcount_order;
	uint64_t max = FIRST_REFTABLE_MAX >> l->cluster_bits, full;

	l->l1_entries = qc_l1_entries(o->size_bytes, l->cluster_bits, false);
	if (l->l1_entries * 8 > QC_MAX_L1_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: too large for clusters of %u bytes",
			       l->cluster_bytes);
	l->l1_clusters = vc_div_round_up(l->l1_entries * 8, l->cluster_bytes);
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
			   l->l1_clusters;
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
	uint64_t per_block =
		((uint64_t)l->cluster_bytes * 8) >> l->refcount_order;
	uint64_t first = 1 + l->reftable_clusters, b, i;

	if (!block)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	for (b = 0; b < l->nr_blocks; b++) {
		uint64_t offset = (first + b) << l->cluster_bits;
		be64_t entry = be64_put(offset);

		memset(block, 0, l->cluster_bytes);
		for (i = 0; i < per_block && b * per_block + i < l->total; i++)
			qc_refcount_put(block, l->refcount_order, i, 1);
		if (vc_pwrite_full(fd, block, l->cluster_bytes, offset) < 0 ||
		    vc_pwrite_full(fd, &entry, sizeof(entry),
				   l->cluster_bytes + b * 8) < 0)
			return vc_fail(err, VC_E_SYS, errno, "write refcounts");
	}
	return 0;
}

int qc_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err)
{
	struct layout l;

	memset(&l, 0, sizeof(l));
	if (check_options(opts, &l, err) < 0 || plan(opts, &l, err) < 0)
		return -1;
	if (ftruncate(fd, (off_t)(l.total << l.cluster_bits)) < 0)
		return vc_fail(err, VC_E_SYS, errno, "set size of file");
	if (write_refcounts(fd, &l, err) < 0)
		return -1;
	return write_header(fd, opts, &l, err);
}
