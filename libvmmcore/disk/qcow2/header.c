/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The header of a qcow2 file and its extensions. Nothing in it is believed:
 * every field is checked here against the format, the named limits and the
 * length of the file, so that the rest of the code can use them as they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/bytes.h>
#include <vmmcore/checked.h>
#include "disk/disk.h"
#include "disk/qcow2/format.h"

uint64_t qc_l1_entries(uint64_t size, unsigned cluster_bits,
		       bool has_subclusters)
{
	unsigned bits = qc_l2_reach_bits(cluster_bits, has_subclusters);

	return (size >> bits) + !!(size & ((UINT64_C(1) << bits) - 1));
}

static int bad(struct vc_error *err, const char *field, uint64_t value)
{
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "qcow2 header: %s %#llx: bad value", field,
		       (unsigned long long)value);
}

static int over_limit(struct vc_error *err, const char *field, uint64_t value,
		      uint64_t limit)
{
	return vc_fail(err, VC_E_LIMIT, 0,
		       "qcow2 header: %s %llu: more than %llu", field,
		       (unsigned long long)value, (unsigned long long)limit);
}

static void take_v2(const struct qc_header_v2 *d, struct qc_header *h)
{
	h->version = be32_get(d->version);
	h->cluster_bits = be32_get(d->cluster_bits);
	h->size = be64_get(d->size);
	h->crypt_method = be32_get(d->crypt_method);
	h->l1_size = be32_get(d->l1_size);
	h->l1_offset = be64_get(d->l1_offset);
	h->reftable_offset = be64_get(d->reftable_offset);
	h->reftable_clusters = be32_get(d->reftable_clusters);
	h->nr_snapshots = be32_get(d->nr_snapshots);
	h->snapshots_offset = be64_get(d->snapshots_offset);
	h->refcount_order = 4;
	h->header_length = sizeof(*d);
}

static void take_v3(const struct qc_header_v3 *d, struct qc_header *h)
{
	h->incompatible = be64_get(d->incompatible);
	h->compatible = be64_get(d->compatible);
	h->autoclear = be64_get(d->autoclear);
	h->refcount_order = be32_get(d->refcount_order);
	h->header_length = be32_get(d->header_length);
	if (h->header_length > QC_V3_MIN_HEADER)
		h->compression_type = d->compression_type;
}

static int check_fields(const struct qc_header *h, struct vc_error *err)
{
	if (h->cluster_bits < QC_MIN_CLUSTER_BITS ||
	    h->cluster_bits > QC_MAX_CLUSTER_BITS)
		return bad(err, "cluster_bits", h->cluster_bits);
	if (h->size > VC_DISK_MAX_BYTES)
		return over_limit(err, "size", h->size, VC_DISK_MAX_BYTES);
	if (h->crypt_method > 2)
		return bad(err, "crypt_method", h->crypt_method);
	if (h->version == 2)
		return 0;
	if (h->header_length < QC_V3_MIN_HEADER || h->header_length % 8 ||
	    h->header_length > UINT32_C(1) << h->cluster_bits)
		return bad(err, "header_length", h->header_length);
	if (h->refcount_order > QC_MAX_REFCOUNT_ORDER)
		return bad(err, "refcount_order", h->refcount_order);
	if (h->compression_type > 1)
		return bad(err, "compression_type", h->compression_type);
	/* the bit says that the type is not the default, and only then */
	if (!!(h->incompatible & QC_INCOMPAT_COMPRESSION) !=
	    !!h->compression_type)
		return bad(err, "compression_type", h->compression_type);
	if ((h->incompatible & QC_INCOMPAT_EXTENDED_L2) &&
	    h->cluster_bits < QC_MIN_EXTENDED_L2_CLUSTER_BITS)
		return bad(err, "cluster_bits", h->cluster_bits);
	/* neither can be said of a data file */
	if (qc_has_data_file(h) && h->nr_snapshots)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: snapshots of an external data "
			       "file");
	return 0;
}

/* A table lies on a cluster boundary, after the header, inside the file. */
static int check_table(const struct qc_header *h, const char *field,
		       uint64_t offset, uint64_t bytes, uint64_t file_bytes,
		       struct vc_error *err)
{
	uint64_t end = vc_align_up(file_bytes, h->cluster_bytes);

	if (!bytes)
		return 0;
	if (offset < h->cluster_bytes || offset % h->cluster_bytes)
		return bad(err, field, offset);
	if (!vc_range_ok(offset, bytes, end))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: %s %#llx: beyond the end of the "
			       "file",
			       field, (unsigned long long)offset);
	return 0;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && a < b + b_len && b < a + a_len;
}

static int check_tables(const struct qc_header *h, uint64_t file_bytes,
			struct vc_error *err)
{
	uint64_t l1_bytes = (uint64_t)h->l1_size * 8;
	uint64_t rt_bytes = (uint64_t)h->reftable_clusters << h->cluster_bits;

	if (l1_bytes > QC_MAX_L1_BYTES)
		return over_limit(err, "l1_size", h->l1_size,
				  QC_MAX_L1_BYTES / 8);
	if (h->l1_size <
	    qc_l1_entries(h->size, h->cluster_bits, qc_has_subclusters(h)))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: l1_size %u: too small for the "
			       "size of the disk",
			       h->l1_size);
	if (rt_bytes > QC_MAX_REFTABLE_BYTES)
		return over_limit(err, "refcount_table_clusters",
				  h->reftable_clusters,
				  QC_MAX_REFTABLE_BYTES >> h->cluster_bits);
	if (!h->reftable_clusters)
		return bad(err, "refcount_table_clusters", 0);
	if (h->nr_snapshots > QC_MAX_SNAPSHOTS)
		return over_limit(err, "nb_snapshots", h->nr_snapshots,
				  QC_MAX_SNAPSHOTS);
	if (check_table(h, "l1_table_offset", h->l1_offset, l1_bytes,
			file_bytes, err) < 0 ||
	    check_table(h, "refcount_table_offset", h->reftable_offset,
			rt_bytes, file_bytes, err) < 0 ||
	    check_table(h, "snapshots_offset", h->snapshots_offset,
			h->nr_snapshots * sizeof(struct qc_snapshot_entry),
			file_bytes, err) < 0)
		return -1;
	if (overlap(h->l1_offset, l1_bytes, h->reftable_offset, rt_bytes))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: l1_table_offset %#llx: inside "
			       "the refcount table",
			       (unsigned long long)h->l1_offset);
	return 0;
}

static void take_string(char *ret, size_t size, const uint8_t *data, size_t len)
{
	if (len > size - 1)
		len = size - 1;
	memcpy(ret, data, len);
	ret[len] = '\0';
}

/* The name the image itself gives to a feature, if it gives one. */
static void take_feature_names(struct qc_header *h, const uint8_t *data,
			       size_t len)
{
	uint64_t unknown = h->incompatible & ~(uint64_t)QC_INCOMPAT_KNOWN;
	struct qc_feature_name f;
	char name[sizeof(f.name) + 1];

	for (; len >= sizeof(f); data += sizeof(f), len -= sizeof(f)) {
		memcpy(&f, data, sizeof(f));
		if (f.type != 0 || f.bit > 63 || !(unknown >> f.bit & 1))
			continue;
		take_string(name, sizeof(name), (const uint8_t *)f.name,
			    sizeof(f.name));
		vc_printable(name, h->unknown_feature,
			     sizeof(h->unknown_feature));
		return;
	}
}

static int take_bitmaps(struct qc_header *h, const uint8_t *data, size_t len,
			struct vc_error *err)
{
	struct qc_bitmaps_ext e;

	if (len != sizeof(e))
		return bad(err, "bitmaps extension length", len);
	memcpy(&e, data, sizeof(e));
	h->nr_bitmaps = be32_get(e.nr_bitmaps);
	h->bitmap_dir_bytes = be64_get(e.dir_bytes);
	h->bitmap_dir_offset = be64_get(e.dir_offset);
	if (h->nr_bitmaps > QC_MAX_BITMAPS)
		return over_limit(err, "nb_bitmaps", h->nr_bitmaps,
				  QC_MAX_BITMAPS);
	if (h->bitmap_dir_bytes > QC_MAX_BITMAP_DIR_BYTES)
		return over_limit(err, "bitmap_directory_size",
				  h->bitmap_dir_bytes, QC_MAX_BITMAP_DIR_BYTES);
	return 0;
}

static int take_extension(struct qc_header *h, uint32_t type,
			  const uint8_t *data, size_t len, struct vc_error *err)
{
	be64_t pair[2];

	switch (type) {
	case QC_EXT_CROSVM_BACKING_FORMAT:
		if (h->backing_format[0])
			return 0;
		__attribute__((fallthrough));
	case QC_EXT_BACKING_FORMAT:
		if (len >= sizeof(h->backing_format))
			return bad(err, "backing format length", len);
		take_string(h->backing_format, sizeof(h->backing_format), data,
			    len);
		return 0;
	case QC_EXT_FEATURE_NAMES:
		take_feature_names(h, data, len);
		return 0;
	case QC_EXT_BITMAPS:
		return take_bitmaps(h, data, len, err);
	case QC_EXT_LUKS:
		if (len != sizeof(pair))
			return bad(err, "encryption extension length", len);
		memcpy(pair, data, sizeof(pair));
		h->luks_offset = be64_get(pair[0]);
		h->luks_bytes = be64_get(pair[1]);
		return 0;
	case QC_EXT_DATA_FILE:
		if (!len || len >= sizeof(h->data_file) ||
		    memchr(data, '\0', len))
			return bad(err, "data file name length", len);
		take_string(h->data_file, sizeof(h->data_file), data, len);
		return 0;
	case QC_EXT_FOR_CROSVM:
		h->is_for_crosvm = true;
		return 0;
	default:
		return 0; /* unknown ones are to be ignored */
	}
}

static int take_extensions(struct vc_bytes *c, struct qc_header *h,
			   struct vc_error *err)
{
	unsigned i;

	if (!vc_bytes_seek(c, h->header_length))
		return vc_fail(err, VC_E_CORRUPT, 0, "qcow2 header: cut short");
	for (i = 0; i < QC_MAX_EXTENSIONS; i++) {
		uint32_t type, len;
		const uint8_t *data;

		/* v2 files made by old programs just end here */
		if (!vc_bytes_get_be32(c, &type) || type == QC_EXT_END)
			return 0;
		if (!vc_bytes_get_be32(c, &len) ||
		    !(data = vc_bytes_view(c, len)))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2 header: extension %#x: beyond "
				       "its cluster",
				       type);
		if (take_extension(h, type, data, len, err) < 0)
			return -1;
		vc_bytes_skip(c, -len & 7u);
	}
	return over_limit(err, "number of extensions", i + 1,
			  QC_MAX_EXTENSIONS);
}

static int take_backing_file(struct vc_bytes *c, const struct qc_header_v2 *d,
			     struct qc_header *h, struct vc_error *err)
{
	uint64_t offset = be64_get(d->backing_offset);
	uint32_t len = be32_get(d->backing_size);
	const uint8_t *data;

	if (!offset)
		return 0;
	if (!len || len > QC_MAX_BACKING_NAME)
		return bad(err, "backing_file_size", len);
	if (offset < h->header_length || offset > c->size ||
	    !vc_bytes_seek(c, (size_t)offset) ||
	    !(data = vc_bytes_view(c, len)))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: backing_file_offset %#llx: not "
			       "in the first cluster",
			       (unsigned long long)offset);
	if (memchr(data, '\0', len))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: backing file name has a zero "
			       "byte");
	take_string(h->backing_file, sizeof(h->backing_file), data, len);
	return 0;
}

int qc_header_parse(const uint8_t *head, size_t len, uint64_t file_bytes,
		    struct qc_header *h, struct vc_error *err)
{
	struct qc_header_v3 d;
	struct vc_bytes c;

	memset(h, 0, sizeof(*h));
	memset(&d, 0, sizeof(d));
	c = vc_bytes_init(head, len);
	if (!vc_bytes_get(&c, &d.v2, sizeof(d.v2)))
		return vc_fail(err, VC_E_CORRUPT, 0, "qcow2 header: cut short");
	if (be32_get(d.v2.magic) != QC_MAGIC)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 header: not a qcow2 image");
	take_v2(&d.v2, h);
	if (h->version != 2 && h->version != 3)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2 header: version %u", h->version);
	if (h->version == 3) {
		size_t n = len < sizeof(d) ? len : sizeof(d);

		if (n < QC_V3_MIN_HEADER)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2 header: cut short");
		memcpy(&d, head, n);
		take_v3(&d, h);
	}
	if (check_fields(h, err) < 0)
		return -1;
	h->cluster_bytes = UINT32_C(1) << h->cluster_bits;
	if (file_bytes > QC_MAX_HOST_OFFSET)
		return over_limit(err, "length of the file", file_bytes,
				  QC_MAX_HOST_OFFSET);
	if (check_tables(h, file_bytes, err) < 0)
		return -1;
	/* what follows must be in the first cluster */
	c = vc_bytes_init(head,
			  len < h->cluster_bytes ? len : h->cluster_bytes);
	if (take_extensions(&c, h, err) < 0 ||
	    take_backing_file(&c, &d.v2, h, err) < 0)
		return -1;
	return 0;
}

int qc_read_padded(int fd, void *buf, size_t len, uint64_t offset,
		   struct vc_error *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (char *)buf + got, len - got,
				  (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "read at %llu",
				       (unsigned long long)offset);
		if (!n)
			break;
		got += (size_t)n;
	}
	memset((char *)buf + got, 0, len - got);
	return 0;
}

int qc_header_read(int fd, struct qc_header *ret, struct vc_error *err)
{
	vc_auto_free uint8_t *head = malloc(QC_MAX_HEADER_BYTES);
	uint64_t file_bytes;
	ssize_t n;

	if (!head)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read header");
	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	do
		n = pread(fd, head, QC_MAX_HEADER_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "read header");
	return qc_header_parse(head, (size_t)n, file_bytes, ret, err);
}

int qc_header_supported(const struct qc_header *h, struct vc_error *err)
{
	static const char *const methods[] = { "", "AES", "LUKS" };
	uint64_t unknown = h->incompatible & ~(uint64_t)QC_INCOMPAT_KNOWN;

	if (h->crypt_method)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: encrypted with %s",
			       methods[h->crypt_method]);
	if (unknown)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "qcow2: unknown incompatible feature '%s' (bit "
			       "%d)",
			       h->unknown_feature, __builtin_ctzll(unknown));
	return 0;
}
