/* SPDX-License-Identifier: BSD-3-Clause */
/* -o and its kin: what a new image is to be like. */
#ifndef QCOW_TOOL_IMAGE_OPTIONS_H
#define QCOW_TOOL_IMAGE_OPTIONS_H

#include <vmmcore/disk.h>
#include <vmmcore/outfile.h>

struct image_options {
	int compat; /* index of names: see image-options.c; -1: not given */
	uint64_t cluster_bytes, refcount_bits, size_bytes;
	int checksums; /* -1: not given */
	uint64_t compression_level, block_bytes;
	bool has_size;
	char *backing_file, *backing_format; /* owned */
	char *data_file;		     /* owned */
	int preallocation, lazy_refcounts, extended_l2, data_file_raw;
	int compression; /* index of names; -1: not given */
};

void image_options_init(struct image_options *o);
void image_options_fini(struct image_options *o);
/* The text of one -o; a later one adds to and overrides an earlier one. */
int image_options_parse(struct image_options *o, const char *text,
			struct vc_error *err) VC_MUST_CHECK;
/* What vc_disk_create() takes; borrows the strings. */
int image_options_get(const struct image_options *o, enum vc_disk_format format,
		      struct vc_disk_create_opts *ret,
		      struct vc_error *err) VC_MUST_CHECK;
/* --compat */
int image_options_set_compat(struct image_options *o, const char *value,
			     struct vc_error *err) VC_MUST_CHECK;
/* Start the external data file of a new image at `path`, if it is to have one:
 * *ret stays NULL if not. Sets co->data_fd, borrowed from *ret. */
int image_options_open_data(const struct image_options *o, const char *path,
			    bool force, struct vc_outfile **ret,
			    struct vc_disk_create_opts *co,
			    struct vc_error *err) VC_MUST_CHECK;
extern const char image_options_help[];

#endif
