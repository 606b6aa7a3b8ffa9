/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Composite disks, as crosvm and cuttlefish have them: a file that lists other
 * images, which appear one behind the other in one disk. See vmmcore-disk(7).
 *
 * vc_disk_open() opens one with all its components if opts.allow_backing is
 * set. A process that may open nothing is given their descriptors: whoever
 * opens for it reads the list with vc_composite_list(), and it hands the open
 * disks over in vc_disk_open_opts.components.
 */
#ifndef VMMCORE_COMPOSITE_H
#define VMMCORE_COMPOSITE_H

#include <vmmcore/gpt.h>
#include <vmmcore/util.h>

VC_BEGIN_DECLS

#define VC_COMPOSITE_MAX_COMPONENTS 1024
#define VC_COMPOSITE_MAX_DEPTH 10 /* of composites in composites */
#define VC_COMPOSITE_MAX_PATH 4096
#define VC_COMPOSITE_MAX_FILE (512 * 1024)

struct vc_composite_component {
	char *path; /* as stored: beside the composite's file unless absolute */
	uint64_t offset_bytes, length_bytes; /* in the disk */
	/* Where it begins in what the component's image holds. */
	uint64_t file_offset_bytes;
	bool is_writable;
};

struct vc_composite {
	unsigned version; /* 1 or 2 */
	uint64_t length_bytes;
	/* By offset; the first one has 0, each ends where the next begins. */
	struct vc_composite_component *components;
	unsigned nr_components;
};

/* Read the list in the file `fd` (borrowed); opens nothing. VC_E_CORRUPT,
 * VC_E_UNSUPPORTED, VC_E_LIMIT say what is wrong with it. */
int vc_composite_list(int fd, struct vc_composite **ret,
		      struct vc_error *err) VC_MUST_CHECK;
struct vc_composite *vc_composite_free(struct vc_composite *composite);
VC_DEFINE_CLEANUP(vc_composite, struct vc_composite *, vc_composite_free)

/* A partition of a new composite disk. Strings are borrowed. */
struct vc_composite_partition {
	const char *label; /* of the partition; unique */
	const char *path;  /* of its image, as the user typed it */
	bool is_writable;
	struct vc_guid guid; /* nil: a new one */
	struct vc_guid type; /* nil: Linux file system */
};

struct vc_composite_create_opts {
	const struct vc_composite_partition *partitions;
	unsigned nr_partitions;
	struct vc_guid disk_guid; /* nil: a new one */
	/* New GUIDs are derived from the rest, so that the same partitions
	 * always give the same files. */
	bool is_deterministic;
	bool force; /* replace files that exist */
	bool no_sync;
};

/* Make `path`, and beside it PATH.header and PATH.footer with a partition
 * table and, if a partition needs it, PATH.filler. Images inside the folder of
 * `path` are stored relative to it. A partition that is writable must be a
 * multiple of 4096 bytes. */
int vc_composite_create(const char *path,
			const struct vc_composite_create_opts *opts,
			struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
