/* SPDX-License-Identifier: BSD-3-Clause */
/* Images that are read: opened, and opened again for threads. */
#ifndef QCOW_TOOL_IMAGE_H
#define QCOW_TOOL_IMAGE_H

#include <vmmcore/convert.h>
#include <vmmcore/outfile.h>

/* The internal snapshot that a -l names. */
struct snapshot_name {
	char *text; /* owned; the others are in it */
	const char *any, *id, *name;
};
/* ID, NAME or snapshot.id=ID,snapshot.name=NAME */
int parse_snapshot(const char *value, struct snapshot_name *ret,
		   struct vc_error *err) VC_MUST_CHECK;
void snapshot_name_fini(struct snapshot_name *s);
void snapshot_name_use(const struct snapshot_name *s,
		       struct vc_disk_open_opts *opts);

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

bool is_device(const char *path);
/* Start a file that replaces what is there, unless `keep`; what is in use as an
 * image is not replaced. A block device is written in place. */
int open_output(const char *path, bool keep, struct vc_outfile **ret,
		struct vc_error *err) VC_MUST_CHECK;

/* The engine for a handle that is copied from or to. */
enum vc_disk_io image_io(bool direct);

#endif
