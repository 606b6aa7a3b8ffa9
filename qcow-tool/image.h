/* SPDX-License-Identifier: BSD-3-Clause */
/* Images that are read: opened, and opened again for threads. */
#ifndef QCOW_TOOL_IMAGE_H
#define QCOW_TOOL_IMAGE_H

#include <vmmcore/convert.h>

struct image {
	const char *path; /* borrowed */
	struct vc_disk_open_opts opts;
	struct vc_disk *disk; /* owned */
};

/* Open it as its opts say; from then on its format is what it was found to be.
 */
int image_open(struct image *im, const char *path,
	       const struct vc_disk_open_opts *opts,
	       struct vc_error *err) VC_MUST_CHECK;
void image_fini(struct image *im);
/* What vc_disk_convert() takes; borrows `im`. */
struct vc_convert_source image_source(struct image *im);

/* The engine for a handle that is copied from or to. */
enum vc_disk_io image_io(bool direct);

/* qemu's cache modes. */
struct cache_mode {
	bool direct; /* past the page cache */
	bool sync;   /* wait for the medium at the end */
};
int parse_cache(const char *value, struct cache_mode *ret,
		struct vc_error *err) VC_MUST_CHECK;

/* "(12.34/100%)" on standard output, if `shown`. */
struct progress {
	bool is_shown;
	int last;
};
void progress_show(void *progress, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

#endif
