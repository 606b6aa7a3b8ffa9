/* SPDX-License-Identifier: BSD-3-Clause */
/* The ext4 writer. */
#ifndef MKIMAGE_EXT4_H
#define MKIMAGE_EXT4_H

#include <vmmcore/gpt.h>
#include "mkimage/out.h"
#include "mkimage/writer.h"

#define EXT4_MAX_LABEL 16
#define EXT4_MAX_BYTES (UINT64_C(1) << 44) /* 16 TiB: 32 bits of blocks */
#define EXT4_JOURNAL_AUTO UINT64_MAX
#define EXT4_INODE_RATIO 16384 /* as mke2fs */

/* What is not there unless asked for. */
struct ext4_features {
	bool casefold; /* directories may ignore case (chattr +F) */
	bool verity;   /* files may be sealed with fs-verity */
	bool project;  /* files have a project id */
	bool quota;    /* usage by user, group and project is kept */
	bool ea_inode; /* attributes may be larger than a block */
};

struct ext4_opts {
	/* of the file system; 0: what it needs and `room_bytes` */
	uint64_t size_bytes;
	/* free space to leave when size_bytes is 0; UINT64_MAX: enough to live
	 * in (a GiB, or half of what is used if that is more) */
	uint64_t room_bytes;
	bool is_exact; /* when size_bytes is 0: not a block more than needed */
	/* for the message that size_bytes is too small: the size of the disk
	 * around it, and what that takes beside it; 0: there is none */
	uint64_t disk_bytes, around_bytes;
	const char *seed;	/* identity is made from this alone; borrowed */
	uint64_t journal_bytes; /* 0: none; or EXT4_JOURNAL_AUTO */
	char label[EXT4_MAX_LABEL]; /* not terminated when it is that long */
	bool has_uuid;
	struct vc_guid uuid;  /* else made from the content */
	uint32_t inode_ratio; /* bytes to an inode; 0: EXT4_INODE_RATIO */
	/* kept for root: the larger of both, at most half of the whole */
	uint32_t reserved_percent;
	uint64_t reserved_bytes;
	struct ext4_features features;
	uint32_t project_id; /* of every file */
};

/* One option by its name (mkimage(1) lists them): `key=value,...`. */
int ext4_set_option(struct ext4_opts *opts, const char *text,
		    struct vc_error *err) VC_MUST_CHECK;
int ext4_set_label(struct ext4_opts *opts, const char *text,
		   struct vc_error *err) VC_MUST_CHECK;
int ext4_set_uuid(struct ext4_opts *opts, const char *text,
		  struct vc_error *err) VC_MUST_CHECK;
int ext4_set_journal(struct ext4_opts *opts, uint64_t bytes,
		     struct vc_error *err) VC_MUST_CHECK;

/* The most the disk can become. */
uint64_t ext4_max_bytes(const struct ext4_opts *opts);
/* `out` is borrowed and outlives the writer. */
int ext4_new(struct out *out, const struct ext4_opts *opts, struct writer **ret,
	     struct vc_error *err) VC_MUST_CHECK;

#endif
