/* SPDX-License-Identifier: BSD-3-Clause */
/* The squashfs writer: read-only, compressed; on libsquashfs. */
#ifndef MKIMAGE_SQUASHFS_H
#define MKIMAGE_SQUASHFS_H

#include "mkimage/out.h"
#include "mkimage/warn.h"
#include "mkimage/writer.h"

#define SQUASHFS_MAX_BYTES (UINT64_C(1) << 41) /* 2 TiB */
#define SQUASHFS_MIN_BLOCK (4u << 10)
#define SQUASHFS_MAX_BLOCK (1u << 20)
#define SQUASHFS_MAX_THREADS 16

struct squashfs_opts {
	const char *compress; /* "zstd", "gzip", "xz", "lz4"; NULL: zstd */
	unsigned level;	      /* 0: the default of it */
	uint32_t block_bytes; /* a power of two; 0: 128 KiB */
	unsigned nr_threads;  /* 0: one per CPU */
	/* store what is the same more than once */
	bool no_duplicates;
	bool no_fragments; /* a block for the end of each file */
};

/* "KEY=VALUE,...", as for --fs-option. */
int squashfs_set_option(struct squashfs_opts *opts, const char *text,
			struct vc_error *err) VC_MUST_CHECK;

/* `out` and `warn` are borrowed and outlive the writer. VC_E_ARG when the
 * options are not to be had. */
int squashfs_new(struct out *out, const struct squashfs_opts *opts,
		 struct warnings *warn, struct writer **ret,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
