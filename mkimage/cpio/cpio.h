/* SPDX-License-Identifier: BSD-3-Clause */
/* The cpio writer ("newc"): an initramfs, compressed or not. */
#ifndef MKIMAGE_CPIO_H
#define MKIMAGE_CPIO_H

#include "mkimage/out.h"
#include "mkimage/warn.h"
#include "mkimage/writer.h"

struct cpio_opts {
	const char *compress; /* "gzip", "zstd"; NULL: not compressed */
	unsigned level;	      /* 0: the default of it */
};

/* `out`, a plain file, and `warn` are borrowed and outlive the writer. */
int cpio_new(struct out *out, const struct cpio_opts *opts,
	     struct warnings *warn, struct writer **ret,
	     struct vc_error *err) VC_MUST_CHECK;

#endif
