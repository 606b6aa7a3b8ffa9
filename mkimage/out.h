/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk being written, in blocks of 4 KiB. Writes are gathered and go out in
 * large pieces while the caller goes on. */
#ifndef MKIMAGE_OUT_H
#define MKIMAGE_OUT_H

#include <vmmcore/disk.h>
#include <vmmcore/outfile.h>

#define OUT_BLOCK 4096
#define OUT_ALIGN ((uint64_t)1024 * 1024) /* of the first block */

struct out;

struct out_opts {
	enum vc_disk_format format;
	/* of the clusters of a qcow2 image; NONE: as they are */
	enum vc_disk_compression compression;
	unsigned level; /* of it, or of the frames of zstd; 0: the default */
	bool is_plain;	/* no disk: a file for the caller to write */
	uint64_t base_bytes; /* where block 0 is: a multiple of OUT_ALIGN */
	uint64_t max_bytes;  /* of the disk: more than it will have */
	bool force;	     /* replace what is there */
	bool sync;	     /* wait for the medium at the end */
	/* of a conversion at the end; may be NULL */
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
};

int out_create(const char *path, const struct out_opts *opts, struct out **ret,
	       struct vc_error *err) VC_MUST_CHECK;
/* Where to put the contents of block `nr`: 4096 bytes the caller fills at once,
 * before the next call. NULL and `err` if an earlier write failed. */
uint8_t *out_block(struct out *o, uint64_t nr, struct vc_error *err);
/* Write `count` blocks from `data`; copies. */
int out_write(struct out *o, uint64_t nr, const void *data, size_t count,
	      struct vc_error *err) VC_MUST_CHECK;
/* Make blocks read as zero that may have been written. */
int out_zero(struct out *o, uint64_t nr, uint64_t count,
	     struct vc_error *err) VC_MUST_CHECK;

/* Any bytes, for what is not made of blocks; waits. Offsets from block 0. */
int out_pwrite(struct out *o, uint64_t offset, const void *data, size_t len,
	       struct vc_error *err) VC_MUST_CHECK;
int out_pread(struct out *o, uint64_t offset, void *data, size_t len,
	      struct vc_error *err) VC_MUST_CHECK;
/* The same from the beginning of the disk. */
int out_disk_pwrite(struct out *o, uint64_t offset, const void *data,
		    size_t len, struct vc_error *err) VC_MUST_CHECK;

/* A nameless file in the folder of the output, for what has to wait. */
int out_temp(const struct out *o, struct vc_outfile **ret,
	     struct vc_error *err) VC_MUST_CHECK;

/* Everything is written: the disk is `size_bytes` long (of no meaning for a
 * plain file). Closes it; the file is complete, and still without its name. */
int out_finish(struct out *o, uint64_t size_bytes,
	       struct vc_error *err) VC_MUST_CHECK;
/* The file: of a plain one to write it, else to read it after out_finish(). */
int out_get_fd(const struct out *o);
/* Wait for the medium, if that was asked for, after out_finish(). */
int out_sync(struct out *o, struct vc_error *err) VC_MUST_CHECK;
/* To be committed; of no use for anything else afterwards. */
struct vc_outfile *out_take_file(struct out *o);
/* Leave nothing behind. */
struct out *out_abort(struct out *o);

VC_DEFINE_CLEANUP(out, struct out *, out_abort)

#endif
