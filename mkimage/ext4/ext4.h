/* SPDX-License-Identifier: BSD-3-Clause */
/* The ext4 writer. */
#ifndef MKIMAGE_EXT4_H
#define MKIMAGE_EXT4_H

#include "mkimage/out.h"
#include "mkimage/writer.h"

#define EXT4_MAX_LABEL 16
#define EXT4_MAX_BYTES (UINT64_C(1) << 44) /* 16 TiB: 32 bits of blocks */
#define EXT4_JOURNAL_AUTO UINT64_MAX

struct ext4_opts {
	/* of the file system; 0: what it needs and `room_bytes` */
	uint64_t size_bytes;
	/* free space to leave when size_bytes is 0; UINT64_MAX: enough to live
	 * in (a GiB, or half of what is used if that is more) */
	uint64_t room_bytes;
	bool is_exact; /* when size_bytes is 0: not a block more than needed */
	const char *seed;	/* identity is made from this alone; borrowed */
	uint64_t journal_bytes; /* 0: none; or EXT4_JOURNAL_AUTO */
	const char *label;	/* at most 16 bytes, or NULL; borrowed */
	bool has_uuid;
	uint8_t uuid[16]; /* else made from the content */
};

/* The most the disk can become. */
uint64_t ext4_max_bytes(const struct ext4_opts *opts);
/* `out` is borrowed and outlives the writer. */
int ext4_new(struct out *out, const struct ext4_opts *opts, struct writer **ret,
	     struct vc_error *err) VC_MUST_CHECK;

#endif
