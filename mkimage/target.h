/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The output as a whole: a file system, in a disk or a file of its own, in a
 * container. What comes between the options and the writers.
 */
#ifndef MKIMAGE_TARGET_H
#define MKIMAGE_TARGET_H

#include "mkimage/boot.h"
#include "mkimage/cpio/cpio.h"
#include "mkimage/digest.h"
#include "mkimage/disk/part.h"
#include "mkimage/ext4/ext4.h"
#include "mkimage/squashfs/squashfs.h"

enum target_fs { TARGET_EXT4, TARGET_SQUASHFS, TARGET_CPIO };
extern const char *const target_fs_names[]; /* NULL-terminated */

/* Borrowed, with all that is in it, until the image is gone. */
struct target_opts {
	const char *path;
	enum target_fs fs;
	struct out_opts out;	      /* but for what target_open() sets */
	const struct ext4_opts *ext4; /* these three: of the one that counts */
	const struct squashfs_opts *squashfs;
	const struct cpio_opts *cpio;
	struct part_opts *parts;
	/* Of the whole disk; 0: what the file system needs. */
	uint64_t disk_bytes;
	const char *boot_dir; /* where to copy a kernel to, or NULL */
	bool has_digest;
	/* While it is made; or NULL. Bytes of the file. */
	void (*digest_progress)(uint64_t done, uint64_t total);
};

struct target_report {
	struct writer_report writer;
	uint64_t disk_bytes; /* virtual size; of a plain file, its own */
	uint64_t file_bytes;
	struct digest_id digest; /* with has_digest */
	struct boot_found boot;	 /* with boot_dir */
};

struct target;

/* Open the output, which has no name until target_commit(). *ret_writer is
 * borrowed and lives as long as *ret. */
int target_open(const struct target_opts *opts, struct warnings *warn,
		struct target **ret, struct writer **ret_writer,
		struct vc_error *err) VC_MUST_CHECK;
/* Lay out `tree`, whose programs are for `machine`, and write all that is left.
 * The file is complete then, and has no name yet. `time`: when the file system
 * was made, in seconds since 1970. */
int target_finish(struct target *t, struct tree *tree, int64_t time,
		  enum machine machine, struct target_report *ret,
		  struct vc_error *err) VC_MUST_CHECK;
/* Give a finished file its name, and those that were copied out. The image is to
 * be closed all the same. */
int target_commit(struct target *t, struct vc_error *err) VC_MUST_CHECK;
/* What is not committed leaves nothing behind. */
struct target *target_close(struct target *t);

VC_DEFINE_CLEANUP(target, struct target *, target_close)

#endif
