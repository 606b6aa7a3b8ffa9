/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef QCOW_TOOL_COPY_H
#define QCOW_TOOL_COPY_H

#include <vmmcore/disk.h>

struct copy_opts {
	/* Runs of zeroes this long and aligned to it are not written; 0: what
	 * is allocated is written. A power of two. */
	uint64_t granule;
	void (*progress)(uint64_t done, uint64_t total); /* may be NULL */
};

/* Copy what `src` has to `dst`, which is at least as large and reads zero. */
int copy_disk(struct vc_disk *src, struct vc_disk *dst,
	      const struct copy_opts *opts, struct vc_error *err) VC_MUST_CHECK;

#endif
