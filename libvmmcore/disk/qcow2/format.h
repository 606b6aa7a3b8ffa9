/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The qcow2 format: what is in the file, and the limits this implementation
 * sets on what it takes from one. Section numbers in comments are those of
 * QEMU's docs/interop/qcow2.rst read top to bottom.
 */
#ifndef DISK_QCOW2_FORMAT_H
#define DISK_QCOW2_FORMAT_H

#include <vmmcore/disk.h>
#include <vmmcore/endian.h>

#define QC_MAGIC UINT32_C(0x514649fb)

#define QC_MIN_CLUSTER_BITS 9
#define QC_MAX_CLUSTER_BITS 21
#define QC_MAX_REFCOUNT_ORDER 6
#define QC_MAX_L1_BYTES (32u << 20)
#define QC_MAX_REFTABLE_BYTES (8u << 20)
#define QC_MAX_SNAPSHOTS 65536
#define QC_MAX_SNAPSHOT_TABLE_BYTES (64u << 20)
#define QC_MAX_SNAPSHOT_EXTRA 1024
#define QC_MAX_BITMAPS 65535
#define QC_MAX_BITMAP_DIR_BYTES (64u << 20)
#define QC_MAX_BACKING_NAME 1023
/* Extensions and the backing file's name are looked for in so much of the
 * first cluster. */
#define QC_MAX_HEADER_BYTES 65536
#define QC_MAX_EXTENSIONS 64
/* Offsets have 56 bits. */
#define QC_MAX_HOST_OFFSET (UINT64_C(1) << 56)

struct qc_header_v2 {
	be32_t magic;
	be32_t version;
	be64_t backing_offset;
	be32_t backing_size;
	be32_t cluster_bits;
	be64_t size;
	be32_t crypt_method;
	be32_t l1_size;
	be64_t l1_offset;
	be64_t reftable_offset;
	be32_t reftable_clusters;
	be32_t nr_snapshots;
	be64_t snapshots_offset;
};
_Static_assert(sizeof(struct qc_header_v2) == 72, "layout");

struct qc_header_v3 {
	struct qc_header_v2 v2;
	be64_t incompatible;
	be64_t compatible;
	be64_t autoclear;
	be32_t refcount_order;
	be32_t header_length;
	uint8_t compression_type; /* only if header_length > 104 */
	uint8_t padding[7];
};
_Static_assert(sizeof(struct qc_header_v3) == 112, "layout");
#define QC_V3_MIN_HEADER 104
#define QC_OFFSET_SIZE 24
/* reftable_offset and reftable_clusters, as they follow each other there */
#define QC_OFFSET_REFTABLE 48
struct qc_reftable_pointer {
	be64_t offset;
	be32_t clusters;
};
_Static_assert(sizeof(struct qc_reftable_pointer) == 12, "layout");
#define QC_OFFSET_NR_SNAPSHOTS 60
#define QC_OFFSET_INCOMPATIBLE 72
#define QC_OFFSET_AUTOCLEAR 88

enum {
	QC_INCOMPAT_DIRTY = 1 << 0,
	QC_INCOMPAT_CORRUPT = 1 << 1,
	QC_INCOMPAT_DATA_FILE = 1 << 2,
	QC_INCOMPAT_COMPRESSION = 1 << 3,
	QC_INCOMPAT_EXTENDED_L2 = 1 << 4,
	QC_INCOMPAT_KNOWN = 31,

	QC_COMPAT_LAZY_REFCOUNTS = 1 << 0,

	QC_AUTOCLEAR_BITMAPS = 1 << 0,
	QC_AUTOCLEAR_RAW_DATA_FILE = 1 << 1,
};

struct qc_extension {
	be32_t type;
	be32_t length; /* the data is padded to a multiple of 8 */
};
#define QC_EXT_END UINT32_C(0)
#define QC_EXT_BACKING_FORMAT UINT32_C(0xe2792aca)
#define QC_EXT_CROSVM_BACKING_FORMAT UINT32_C(0xe279268f)
#define QC_EXT_FEATURE_NAMES UINT32_C(0x6803f857)
#define QC_EXT_BITMAPS UINT32_C(0x23852875)
#define QC_EXT_LUKS UINT32_C(0x0537be77)
#define QC_EXT_DATA_FILE UINT32_C(0x44415441)
/* Ours, without data: the image is for crosvm, see qc_create(). Others ignore
 * it, as the format demands. */
#define QC_EXT_FOR_CROSVM UINT32_C(0x766d6b43)

struct qc_feature_name {
	uint8_t type; /* 0 incompatible, 1 compatible, 2 autoclear */
	uint8_t bit;
	char name[46]; /* zero-padded */
};
_Static_assert(sizeof(struct qc_feature_name) == 48, "layout");

struct qc_bitmaps_ext {
	be32_t nr_bitmaps;
	be32_t reserved;
	be64_t dir_bytes;
	be64_t dir_offset;
};
_Static_assert(sizeof(struct qc_bitmaps_ext) == 24, "layout");

struct qc_bitmap_entry {
	be64_t table_offset;
	be32_t table_size;
	be32_t flags;
	uint8_t type;
	uint8_t granularity_bits;
	be16_t name_size;
	be32_t extra_size;
};
_Static_assert(sizeof(struct qc_bitmap_entry) == 24, "layout");
#define QC_BITMAP_TABLE_OFFSET_MASK UINT64_C(0x00fffffffffffe00)

struct qc_snapshot_entry {
	be64_t l1_offset;
	be32_t l1_size;
	be16_t id_size;
	be16_t name_size;
	be32_t date_sec;
	be32_t date_nsec;
	be64_t vm_clock_nsec;
	be32_t vm_state_size;
	be32_t extra_size;
};
_Static_assert(sizeof(struct qc_snapshot_entry) == 40, "layout");

/* L1 and L2 entries */
#define QC_COPIED (UINT64_C(1) << 63)
#define QC_COMPRESSED (UINT64_C(1) << 62)
#define QC_ZERO UINT64_C(1)
#define QC_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define QC_L1_RESERVED UINT64_C(0x7f000000000001ff)
#define QC_L2_RESERVED UINT64_C(0x3f000000000001fe)
#define QC_REFTABLE_RESERVED UINT64_C(0x1ff)

/* Extended L2 entries have a second word: a bit per subcluster that is
 * allocated, and in the upper half one per subcluster that reads zero. */
#define QC_SUBCLUSTERS 32
#define QC_SUB_BITS 5
#define QC_SUB_ALLOC_ALL UINT64_C(0x00000000ffffffff)
#define QC_SUB_ZERO_ALL UINT64_C(0xffffffff00000000)
#define QC_MIN_EXTENDED_L2_CLUSTER_BITS 14

/* The bits of the subclusters from `first` up to, not including, `end`. */
static inline uint64_t qc_sub_mask(unsigned first, unsigned end)
{
	return ((UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << first) - 1);
}

/* Entry `i` of a refcount block with entries of 1 << order bits. */
static inline uint64_t qc_refcount_get(const uint8_t *block, unsigned order,
				       size_t i)
{
	switch (order) {
	case 0:
		return (unsigned)block[i / 8] >> (i % 8) & 1u;
	case 1:
		return (unsigned)block[i / 4] >> (2 * (i % 4)) & 3u;
	case 2:
		return (unsigned)block[i / 2] >> (4 * (i % 2)) & 15u;
	case 3:
		return block[i];
	case 4:
		return be16_get(((const be16_t *)block)[i]);
	case 5:
		return be32_get(((const be32_t *)block)[i]);
	default:
		return be64_get(((const be64_t *)block)[i]);
	}
}

static inline void qc_put_bits(uint8_t *byte, unsigned shift, unsigned mask,
			       uint64_t v)
{
	*byte = (uint8_t)((*byte & ~(mask << shift)) | (unsigned)v << shift);
}

/* `v` must fit: see qc_refcount_max(). */
static inline void qc_refcount_put(uint8_t *block, unsigned order, size_t i,
				   uint64_t v)
{
	switch (order) {
	case 0:
		qc_put_bits(&block[i / 8], i % 8, 1, v);
		break;
	case 1:
		qc_put_bits(&block[i / 4], 2 * (i % 4), 3, v);
		break;
	case 2:
		qc_put_bits(&block[i / 2], 4 * (i % 2), 15, v);
		break;
	case 3:
		block[i] = (uint8_t)v;
		break;
	case 4:
		((be16_t *)block)[i] = be16_put((uint16_t)v);
		break;
	case 5:
		((be32_t *)block)[i] = be32_put((uint32_t)v);
		break;
	default:
		((be64_t *)block)[i] = be64_put(v);
		break;
	}
}

static inline uint64_t qc_refcount_max(unsigned order)
{
	return order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
}

/* Where the data of a compressed cluster lies. */
static inline void qc_compressed_range(uint64_t entry, unsigned cluster_bits,
				       uint64_t *ret_offset,
				       uint64_t *ret_bytes)
{
	unsigned x = 62 - (cluster_bits - 8);
	uint64_t sectors = ((entry & ~(QC_COMPRESSED | QC_COPIED)) >> x) + 1;

	*ret_offset = entry & ((UINT64_C(1) << x) - 1);
	*ret_bytes = sectors * 512 - (*ret_offset & 511);
}

/* --- the header, parsed (header.c) --------------------------------------- */

struct qc_header {
	unsigned version;
	unsigned cluster_bits;
	uint32_t cluster_bytes;
	uint64_t size;
	uint32_t crypt_method;
	uint32_t l1_size; /* entries */
	uint64_t l1_offset;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint32_t nr_snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible;
	uint64_t compatible;
	uint64_t autoclear;
	unsigned refcount_order;
	uint32_t header_length;
	unsigned compression_type;
	uint32_t nr_bitmaps;
	uint64_t bitmap_dir_bytes;
	uint64_t bitmap_dir_offset;
	uint64_t luks_offset;
	uint64_t luks_bytes;
	bool is_for_crosvm;
	char data_file[QC_MAX_BACKING_NAME + 1];
	char backing_file[QC_MAX_BACKING_NAME + 1];
	char backing_format[16];
	char unknown_feature[64]; /* printable; "" if none is incompatible */
};

/* Parse and validate the `len` first bytes of a file of `file_bytes`: a
 * function of its arguments only. What it accepts is consistent; it may still
 * need a feature this build lacks, see qc_header_supported(). */
int qc_header_parse(const uint8_t *head, size_t len, uint64_t file_bytes,
		    struct qc_header *ret, struct vc_error *err) VC_MUST_CHECK;
/* Read it from a file. */
int qc_header_read(int fd, struct qc_header *ret,
		   struct vc_error *err) VC_MUST_CHECK;
/* Read `len` bytes at `offset`, zeroes where the file ends before. */
int qc_read_padded(int fd, void *buf, size_t len, uint64_t offset,
		   struct vc_error *err) VC_MUST_CHECK;
/* Refuse by name what cannot be read. */
int qc_header_supported(const struct qc_header *h,
			struct vc_error *err) VC_MUST_CHECK;

struct qc_snapshot {
	uint64_t l1_offset;
	uint32_t l1_size; /* entries */
	uint64_t size;	  /* of the disk then; 0 if not stored */
};

/* The snapshot at *offset of the file; *offset moves to the next one. Its table
 * is inside the file, its size within the limits. */
int qc_snapshot_read(int fd, const struct qc_header *h, uint64_t *offset,
		     struct qc_snapshot *ret,
		     struct vc_error *err) VC_MUST_CHECK;
/* The two halves of it: the entry, and whether its L1 table can be one. */
int qc_snapshot_parse(int fd, const struct qc_header *h, uint64_t *offset,
		      struct qc_snapshot *ret,
		      struct vc_error *err) VC_MUST_CHECK;
int qc_snapshot_check_l1(int fd, const struct qc_header *h,
			 const struct qc_snapshot *s,
			 struct vc_error *err) VC_MUST_CHECK;

static inline bool qc_has_subclusters(const struct qc_header *h)
{
	return h->incompatible & QC_INCOMPAT_EXTENDED_L2;
}
static inline bool qc_has_data_file(const struct qc_header *h)
{
	return h->incompatible & QC_INCOMPAT_DATA_FILE;
}
/* Is the data file an image by itself? */
static inline bool qc_is_data_file_raw(const struct qc_header *h)
{
	return qc_has_data_file(h) &&
	       (h->autoclear & QC_AUTOCLEAR_RAW_DATA_FILE);
}
/* log2 of the bytes that one L2 entry takes, and of those that one L2 table
 * maps */
static inline unsigned qc_l2_entry_bits(bool has_subclusters)
{
	return has_subclusters ? 4 : 3;
}
static inline unsigned qc_l2_reach_bits(unsigned cluster_bits,
					bool has_subclusters)
{
	return 2 * cluster_bits - qc_l2_entry_bits(has_subclusters);
}

/* How many entries an L1 table needs for `size` bytes. */
uint64_t qc_l1_entries(uint64_t size, unsigned cluster_bits,
		       bool has_subclusters);

#endif
