/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Android sparse images (AOSP's libsparse): a header, then chunks, each of which
 * says how many blocks of the disk it makes: from bytes that follow, from one
 * word that repeats, or from nothing. A fourth kind makes none and has a CRC-32
 * of all that came before.
 *
 * chunks.c reads the chunks' headers, read.c reads through them, write.c writes
 * new images, crc.c is about checksums of much that is alike.
 */
#ifndef DISK_SPARSE_SPARSE_H
#define DISK_SPARSE_SPARSE_H

#include <vmmcore/endian.h>
#include "disk/disk.h"

#define SP_MAGIC 0xed26ff3au
#define SP_MAJOR 1

#define SP_RAW 0xcac1
#define SP_FILL 0xcac2
#define SP_DONT_CARE 0xcac3
#define SP_CRC 0xcac4

struct sp_header {
	le32_t magic;
	le16_t major, minor;
	le16_t header_bytes, chunk_header_bytes;
	le32_t block_bytes; /* a multiple of 4 */
	le32_t nr_blocks, nr_chunks;
	le32_t checksum; /* of the disk; 0: none */
};
_Static_assert(sizeof(struct sp_header) == 28, "as on disk");

struct sp_chunk_header {
	le16_t type, reserved;
	le32_t nr_blocks;
	le32_t total_bytes; /* with this header */
};
_Static_assert(sizeof(struct sp_chunk_header) == 12, "as on disk");

#define SP_MAX_CHUNKS (4u << 20)
/* Marks in memory, of 12 bytes each: one for every chunk, or where there are
 * more of these, for a few of them together. */
#define SP_MAX_MARKS (256u << 10)
#define SP_MAX_STRIDE (SP_MAX_CHUNKS / SP_MAX_MARKS)
#define SP_DEFAULT_BLOCK 4096

/* --- crc.c --------------------------------------------------------------- */

/* CRC-32 of what had `crc` and is followed by `unit` `nr` times. */
uint32_t sp_crc_repeat(uint32_t crc, const void *unit, size_t len, uint64_t nr);
/* By bytes that are there. */
uint32_t sp_crc(uint32_t crc, const void *data, size_t len);

/* --- chunks.c ------------------------------------------------------------ */

struct sp_chunk {
	uint16_t type;	      /* not SP_CRC */
	uint32_t fill;	      /* SP_FILL: in the order of the file */
	uint64_t file_offset; /* SP_RAW */
	uint64_t first, nr_blocks;
};

struct sp_index {
	int fd; /* borrowed */
	uint64_t file_bytes;
	uint32_t block_bytes;
	uint32_t nr_blocks;
	uint32_t nr_marks;
	uint32_t nr_in_file;   /* chunks */
	uint32_t nr_allocated; /* blocks of chunks that are not DONT_CARE */
	uint32_t stride;       /* chunks of the file that a mark stands for */
	uint32_t chunk_header_bytes;
	uint32_t *first; /* blocks; and one for the end */
	/* stride 1: type, and file offset or fill, and neighbours that are
	 * alike have one mark. Else where the header of its first chunk is. */
	uint64_t *what;
	bool has_checksums;
	/* The chunks of the mark that was asked for last. */
	uint32_t group_mark;
	unsigned nr_group; /* 0: none */
	struct sp_chunk group[SP_MAX_STRIDE];
};

/* Read and check all headers. With `verify` all the rest too, if there is a
 * checksum to compare it with. */
int sp_index_load(int fd, uint64_t file_bytes, bool verify,
		  struct sp_index *ret, struct vc_error *err);
void sp_index_free(struct sp_index *x);
static inline uint64_t sp_index_total(const struct sp_index *x)
{
	return (uint64_t)x->nr_blocks * x->block_bytes;
}
/* The chunk that has the byte at `offset`, below the total; it has one block at
 * least. False: its header cannot be read, or is not the one that was checked. */
bool sp_index_get(struct sp_index *x, uint64_t offset, struct sp_chunk *ret);

/* --- the disk ------------------------------------------------------------ */

struct sp_reader;
struct sp_writer;

struct sp_disk {
	struct vc_disk base;
	struct sp_reader *reader; /* of a disk opened for reading */
	struct sp_writer *writer; /* or for writing */
};

static inline struct sp_disk *to_sp(struct vc_disk *d)
{
	return vc_container_of(d, struct sp_disk, base);
}

/* --- read.c -------------------------------------------------------------- */

int sp_reader_new(struct sp_disk *s, bool verify, struct vc_error *err);
uint64_t sp_reader_memory(const struct sp_reader *r);
void sp_reader_free(struct sp_reader *r); /* NULL is fine */
void sp_reader_submit(struct sp_disk *s, struct vc_disk_req *req);
int sp_reader_map(struct sp_disk *s, uint64_t offset, uint64_t max_len,
		  struct vc_disk_extent *ret, struct vc_error *err);

/* --- write.c ------------------------------------------------------------- */

int sp_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err);
/* Of a new image that has nothing yet; sets the disk's size. */
int sp_writer_new(struct sp_disk *s, struct vc_error *err);
void sp_writer_free(struct sp_writer *w); /* NULL is fine */
void sp_writer_submit(struct sp_disk *s, struct vc_disk_req *req);
int sp_writer_close(struct sp_disk *s, struct vc_error *err);
int sp_writer_set_size(struct sp_disk *s, uint64_t size, struct vc_error *err);
uint32_t sp_writer_block(const struct sp_disk *s);
/* Does the file hold what sp_create() makes? */
bool sp_is_new(int fd, uint64_t file_bytes);

#endif
