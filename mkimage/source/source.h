/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a tree comes from. Each source adds to the tree of a build; a later one
 * goes over what earlier ones brought. */
#ifndef MKIMAGE_SOURCE_H
#define MKIMAGE_SOURCE_H

#include "mkimage/build.h"

struct archive;
struct archive_entry;

enum source_kind { SOURCE_AUTO, SOURCE_TAR, SOURCE_DIR, SOURCE_OCI };

/* Ids from `host` on are those from `guest` on in the image. */
struct id_range {
	uint32_t host, guest, count;
};

/* The largest of an owner: the one after it stands for "no change". */
#define SOURCE_MAX_ID (UINT32_MAX - 1)
#define SOURCE_MAX_ID_RANGES 340 /* as a user namespace */

struct id_map {
	struct id_range ranges[SOURCE_MAX_ID_RANGES];
	size_t nr; /* 0: as they are */
};

/* All texts are borrowed. */
struct source_opts {
	enum source_kind kind; /* SOURCE_AUTO: by the content */
	/* directories */
	bool has_owner; /* of what the maps do not name */
	uint32_t uid, gid;
	struct id_map uids, gids;
	bool one_file_system;
	/* container images */
	const char *platform; /* "os/architecture[/variant]" or NULL */
	const char *image;    /* of several, by name, or NULL */
};

/* What a source is by its content, and into the tree with it: a folder, a tar
 * archive of any dialect, compressed or not, or a container image in either
 * form. "-" is standard input. A layer of its own over the sources before. */
int source_add(struct build *b, const char *path,
	       const struct source_opts *opts,
	       struct vc_error *err) VC_MUST_CHECK;
/* All of them are in: warn of options for another kind of source, which have done
 * nothing. */
int source_check_used(struct build *b, const struct source_opts *opts,
		      struct vc_error *err) VC_MUST_CHECK;
/* A folder, or a single file, as `guest` ("" is the root) in the image. */
int source_dir(struct build *b, const char *path, const char *guest,
	       const struct source_opts *opts,
	       struct vc_error *err) VC_MUST_CHECK;

/* The checksum of an entry's contents that its header tells: their bytes, added
 * up. */
struct archive_sum {
	bool is_wanted; /* else there is none to compare with */
	uint32_t want;
};

struct archive_opts {
	/* the archive is a layer of a container image: whiteouts are obeyed,
	 * and links on the way to an entry are followed as in a chroot */
	bool is_layer;
	/* Looks at the header just read, and may correct the entry; may be
	 * NULL. */
	int (*check)(void *opaque, struct archive *a, struct archive_entry *e,
		     struct vc_error *err);
	void *opaque;
	/* What check() knows of the entry's contents; may be NULL. */
	const struct archive_sum *sum;
};

/* What libarchive says of its last failure, as VC_E_CORRUPT with `what` it was
 * about to do in front; -1. */
int source_fail_archive(struct archive *a, const char *what,
			struct vc_error *err);
/* Every entry of an archive that libarchive has opened. */
int source_archive(struct build *b, struct archive *a,
		   const struct archive_opts *opts,
		   struct vc_error *err) VC_MUST_CHECK;

#endif
