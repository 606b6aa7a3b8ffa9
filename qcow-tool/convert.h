/* SPDX-License-Identifier: BSD-3-Clause */
/* convert: convert.c reads the command line, convert-run.c does it. */
#ifndef QCOW_TOOL_CONVERT_H
#define QCOW_TOOL_CONVERT_H

#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

struct convert_opts {
	struct common_opts c;	/* its format is that of the sources */
	enum vc_disk_format to; /* PROBE: not given */
	struct image_options image;
	uint64_t granule, rate;
	unsigned threads;
	int level;
	struct snapshot_name snapshot;
	bool has_granule, sync, keep, target_image_opts;
	bool compress, no_create, target_is_zero, offload, salvage, bitmaps,
		skip_broken_bitmaps;
};

int convert_run(char **from, int nr, char *to, struct convert_opts *o,
		struct vc_error *err) VC_MUST_CHECK;

#endif
