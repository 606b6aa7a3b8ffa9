/* SPDX-License-Identifier: BSD-3-Clause */
/* convert: convert.c reads the command line, convert-run.c does it. */
#ifndef QCOW_TOOL_CONVERT_H
#define QCOW_TOOL_CONVERT_H

#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

struct convert_opts {
	enum vc_disk_format from, to;
	struct image_options image;
	struct cache_mode src_cache, dst_cache;
	uint64_t granule, rate;
	unsigned threads;
	int level;
	const char *snapshot; /* borrowed from argv */
	bool has_granule, progress, quiet, sync, allow_backing, share, force;
	bool compress, no_create, target_is_zero, offload, salvage, bitmaps,
		skip_broken_bitmaps;
};

int convert_run(char **from, int nr, const char *to, struct convert_opts *o,
		struct vc_error *err) VC_MUST_CHECK;

#endif
