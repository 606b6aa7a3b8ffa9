/* SPDX-License-Identifier: BSD-3-Clause */
/* -o and its kin: what a new image is to be like. */
#ifndef QCOW_TOOL_IMAGE_OPTIONS_H
#define QCOW_TOOL_IMAGE_OPTIONS_H

#include <vmmcore/kv.h>
#include <vmmcore/outfile.h>
#include "qcow-tool/options.h"

struct image_options {
	int compat; /* index of names: see image-options.c; -1: not given */
	uint64_t cluster_bytes, refcount_bits, size_bytes;
	int checksums; /* on_off_names; -1: not given */
	uint64_t compression_level, block_bytes;
	bool has_size;
	char *backing_file, *backing_format; /* owned */
	char *data_file;		     /* owned */
	int preallocation;
	int lazy_refcounts, extended_l2, data_file_raw; /* on_off_names */
	int compression; /* index of names; -1: not given */
};

/* What a switch may be: odd is on. */
extern const char *const on_off_names[];
/* One -o in qemu's grammar, into the struct that `keys` describes; what it has
 * already is replaced. *ret_seen gets the keys, *show is set for "help". */
int parse_keys(const char *text, const struct vc_kv_key *keys, size_t nr_keys,
	       void *out, uint64_t *ret_seen, bool *show,
	       struct vc_error *err) VC_MUST_CHECK;

void image_options_init(struct image_options *o);
void image_options_fini(struct image_options *o);
/* The text of one -o; a later one adds to and overrides an earlier one. */
int image_options_parse(struct image_options *o, const char *text, bool *show,
			struct vc_error *err) VC_MUST_CHECK;
/* What vc_disk_create() takes; borrows the strings. */
int image_options_get(const struct image_options *o, enum vc_disk_format format,
		      struct vc_disk_create_opts *ret,
		      struct vc_error *err) VC_MUST_CHECK;
/* --compat */
int image_options_set_compat(struct image_options *o, const char *value,
			     struct vc_error *err) VC_MUST_CHECK;
/* -b and -F */
int image_options_set_backing(struct image_options *o, const char *value,
			      struct vc_error *err) VC_MUST_CHECK;
int image_options_set_backing_format(struct image_options *o, const char *value,
				     struct vc_error *err) VC_MUST_CHECK;
/* Start the external data file of a new image at `path`, if it is to have one:
 * *ret stays NULL if not. Sets co->data_fd, borrowed from *ret. */
int image_options_open_data(const struct image_options *o, const char *path,
			    bool keep, struct vc_outfile **ret,
			    struct vc_disk_create_opts *co,
			    struct vc_error *err) VC_MUST_CHECK;
/* -o help: print what there is for the format. */
int image_options_show(enum vc_disk_format format,
		       struct vc_error *err) VC_MUST_CHECK;
extern const char image_options_help[];

#endif
