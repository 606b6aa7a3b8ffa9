/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk being written, in blocks of 4 KiB. Writes are gathered and go out in
 * large pieces while the caller goes on. */
#ifndef MKIMAGE_OUT_H
#define MKIMAGE_OUT_H

#include <vmmcore/disk.h>

#define OUT_BLOCK 4096

struct out;

struct out_opts {
	enum vc_disk_format format;
	uint64_t max_bytes; /* more than out_close() will say */
	bool force;	    /* replace what is there */
	bool sync;	    /* wait for the medium at the end */
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
/* Everything is written: the disk is `size_bytes` long. Closes it and gives it
 * its name. The object is gone either way. */
int out_commit(struct out *o, uint64_t size_bytes,
	       struct vc_error *err) VC_MUST_CHECK;
/* Leave nothing behind. */
struct out *out_abort(struct out *o);

VC_DEFINE_CLEANUP(out, struct out *, out_abort)

#endif
