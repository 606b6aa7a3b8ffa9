/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zstd-seekable images (zstd's contrib/seekable_format, version 0.1.0): frames
 * one after the other, then a skippable frame with the sizes of all of them.
 *
 * Reading is table.c (where is which byte) and read.c (a cache of decompressed
 * frames); writing is write.c; zstd.c is what they have in common with the
 * other formats.
 */
#ifndef DISK_ZSTD_ZSTD_H
#define DISK_ZSTD_ZSTD_H

#include <zstd.h>
#include <vmmcore/endian.h>
#include "disk/disk.h"

#define ZS_MAGIC_FRAME 0xfd2fb528u
#define ZS_MAGIC_SKIPPABLE 0x184d2a50u /* the low 4 bits are the user's */
#define ZS_MAGIC_TABLE 0x184d2a5eu
#define ZS_MAGIC_FOOTER 0x8f92eab1u
#define ZS_SKIPPABLE_HEADER 8
#define ZS_DESC_CHECKSUMS 0x80
#define ZS_DESC_RESERVED 0x7c

/* The format's own limit. */
#define ZS_MAX_FRAMES 0x8000000u
/* What one frame of an image that is read may hold: it is decompressed as a
 * whole. */
#define ZS_MAX_FRAME_BYTES (8u << 20)
/* The smallest thing that can be called a frame. */
#define ZS_MIN_FRAME_BYTES ZS_SKIPPABLE_HEADER
/* Of decompressed frames kept, unless the opener says how much; but two at
 * least. */
#define ZS_CACHE_BYTES (16u << 20)

/* What is written: other readers decompress a frame to a buffer of this size. */
#define ZS_WRITE_FRAME (128u << 10)

struct zs_footer {
	le32_t nr_frames;
	uint8_t descriptor;
	le32_t magic;
};
_Static_assert(sizeof(struct zs_footer) == 9, "as on disk");

/* The most a frame of `size` bytes may take compressed. */
static inline uint64_t zs_max_compressed(uint64_t size)
{
	return ZSTD_compressBound((size_t)size) + 64;
}

/* --- table.c ------------------------------------------------------------- */

/* Entries that are read and decoded together: the fewer the better, but there
 * is a mark in memory for each group. */
#define ZS_MIN_GROUP 64u
#define ZS_MAX_MARKS (128u << 10) /* 2 MiB */
#define ZS_MAX_GROUP (ZS_MAX_FRAMES / ZS_MAX_MARKS)
#define ZS_ENTRY_MAX 12

struct zs_frame {
	uint64_t disk_offset, file_offset;
	uint32_t size, compressed, checksum;
};

/* Where a group of entries begins. */
struct zs_mark {
	uint64_t disk_offset, file_offset;
};

struct zs_table {
	bool has_checksums;
	uint32_t entry_bytes;
	uint32_t nr_frames;
	uint64_t entries_offset; /* in the file */
	uint32_t max_size, max_compressed;
	uint32_t group; /* entries, a power of two */
	/* One for each group and one for the end. */
	struct zs_mark *marks;
	uint32_t nr_groups;
};

/* Read the whole table once and check that it fits the file. */
int zs_table_load(int fd, uint64_t file_bytes, struct zs_table *ret,
		  struct vc_error *err);
void zs_table_free(struct zs_table *t);
static inline uint64_t zs_table_total(const struct zs_table *t)
{
	return t->marks[t->nr_groups].disk_offset;
}
/* The group that has the byte at `offset`, which is below the total. */
uint32_t zs_table_find(const struct zs_table *t, uint64_t offset);
uint32_t zs_group_len(const struct zs_table *t, uint32_t group);
uint64_t zs_group_offset(const struct zs_table *t, uint32_t group);
/* Decode a group's entries. False: they are not those that were checked. */
bool zs_group_decode(const struct zs_table *t, uint32_t group,
		     const uint8_t *entries, struct zs_frame *ret);
/* Read and decode one, waiting. */
int zs_group_read(int fd, const struct zs_table *t, uint32_t group,
		  struct zs_frame *ret, struct vc_error *err);

/* --- the disk ------------------------------------------------------------ */

struct zs_reader;
struct zs_writer;

struct zs_disk {
	struct vc_disk base;
	struct zs_reader *reader; /* of a disk opened for reading */
	struct zs_writer *writer; /* or for writing */
};

static inline struct zs_disk *to_zs(struct vc_disk *d)
{
	return vc_container_of(d, struct zs_disk, base);
}

/* --- read.c -------------------------------------------------------------- */

int zs_reader_new(struct zs_disk *z, struct vc_error *err);
/* What it may take at most, about. */
uint64_t zs_reader_memory(const struct zs_reader *r);
void zs_reader_free(struct zs_reader *r); /* NULL is fine */
void zs_reader_submit(struct zs_disk *z, struct vc_disk_req *req);
int zs_reader_map(struct zs_disk *z, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err);
/* Decompress a frame that was read: false if it is not what the table says. */
bool zs_frame_decode(ZSTD_DCtx *dctx, const struct zs_table *t,
		     const struct zs_frame *f, const void *in, void *out);

/* --- write.c ------------------------------------------------------------- */

int zs_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err);
/* Of a new image that has nothing yet; sets the disk's size. */
int zs_writer_new(struct zs_disk *z, struct vc_error *err);
void zs_writer_free(struct zs_writer *w); /* NULL is fine */
void zs_writer_submit(struct zs_disk *z, struct vc_disk_req *req);
enum vc_disk_compression zs_writer_compression(const struct zs_disk *z);
int zs_writer_close(struct zs_disk *z, struct vc_error *err);
int zs_writer_set_size(struct zs_disk *z, uint64_t size, struct vc_error *err);
/* Does the file hold what zs_create() makes? */
bool zs_is_new(int fd, uint64_t file_bytes);

#endif
