/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying disks: all of one (or of several, one after the other) to another,
 * whatever their formats. Several threads read, look for zeroes and compress;
 * the calling thread writes. Memory is bounded whatever the size: see
 * VC_CONVERT_MAX_BUFFERS.
 */
#ifndef VMMCORE_CONVERT_H
#define VMMCORE_CONVERT_H

#include <vmmcore/disk.h>

VC_BEGIN_DECLS

#define VC_CONVERT_MAX_THREADS 16
#define VC_CONVERT_MAX_SOURCES 256
#define VC_CONVERT_MAX_BUFFERS (16u << 20) /* bytes */
/* For the metadata cache of handles that are made for a copy. */
#define VC_CONVERT_CACHE (1u << 20)

/* What is copied. */
struct vc_convert_source {
	/* Borrowed; nobody else may use it during the call. */
	struct vc_disk *disk;
	/* Open the same disk once more, read-only, for one of the threads,
	 * which calls it. NULL: only one thread reads. */
	int (*reopen)(void *opaque, struct vc_disk **ret, struct vc_error *err);
	void *opaque;
	/* The part of it that is copied (by vc_disk_convert(), which alone
	 * looks here), any bytes inside it; length 0: up to the end. */
	uint64_t offset, length;
};

enum vc_convert_share {
	VC_CONVERT_SHARE_NEVER,
	/* Where source and destination are files of one file system that can:
	 * share data clusters. Written zeroes are not looked for then. */
	VC_CONVERT_SHARE_AUTO,
	/* And elsewhere let the kernel copy, not this process. */
	VC_CONVERT_SHARE_OFFLOAD,
};

struct vc_convert_opts {
	/* Runs of written zeroes of this length, a power of two from 512 on,
	 * at multiples of it, become holes: 4096 is a good value. 0: are not
	 * looked for. A cluster of dst is written as a whole or not at all. */
	uint64_t granule;
	unsigned nr_threads; /* 0: one per CPU */
	/* All of dst reads zero before (a new image does): what is zero needs
	 * not be written. */
	bool dst_is_zero;
	bool fill; /* write what is zero as data too, to allocate all of dst */
	bool compress; /* VC_E_UNSUPPORTED if dst cannot */
	int level;     /* of compression; 0: the usual one */
	/* dst has a backing file with what the backing file of the source has:
	 * copy what is in the (only) source itself. */
	bool over_backing;
	bool salvage; /* what cannot be read is zero; see vc_convert_result */
	enum vc_convert_share share;
	/* Called by the calling thread now and then; may be NULL. */
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
};

struct vc_convert_result {
	uint64_t nr_read_bytes, nr_shared_bytes;
	uint64_t nr_lost_bytes; /* could not be read, with `salvage` */
};

/* Copy the sources, one after the other, to the beginning of `dst`, which is
 * as large or larger and is not closed, nor flushed. *ret may be NULL. After a
 * failure what dst has is undefined. Nothing is in flight afterwards. */
int vc_disk_convert(const struct vc_convert_source *sources, size_t nr_sources,
		    struct vc_disk *dst, const struct vc_convert_opts *opts,
		    struct vc_convert_result *ret,
		    struct vc_error *err) VC_MUST_CHECK;

/* --- comparing ------------------------------------------------------------- */

struct vc_compare_opts {
	/* What is allocated in one and not in the other, data here and zero
	 * there, or compressed in one of them differs, too, as do sizes.
	 * Otherwise the smaller disk ends in zeroes. */
	bool strict;
	unsigned nr_threads; /* 0: one per CPU */
	void (*progress)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
};
struct vc_compare_result {
	enum {
		VC_COMPARE_SAME,
		VC_COMPARE_CONTENT,
		VC_COMPARE_ALLOCATION, /* strict */
		VC_COMPARE_SIZE,       /* strict */
	} result;
	uint64_t offset; /* the first byte or extent that differs */
	bool sizes_differ;
	/* What went wrong when the comparison fails. */
	bool is_read_error; /* else the block status cannot be had */
};
/* Compare two disks. What is zero in both, or the same place of the same file,
 * is not read. *ret is valid, too, after a failure. */
int vc_disk_compare(const struct vc_convert_source *a,
		    const struct vc_convert_source *b,
		    const struct vc_compare_opts *opts,
		    struct vc_compare_result *ret,
		    struct vc_error *err) VC_MUST_CHECK;

/* --- measuring ------------------------------------------------------------- */

struct vc_disk_measure {
	uint64_t required_bytes; /* for what is copied now */
	uint64_t full_bytes;	 /* when all of the disk is written later */
};
/* How large an image made with `create` (whose size counts) of the contents of
 * `src` would be; NULL: of nothing. With `compress`, all of it is read and
 * compressed to see. */
int vc_disk_measure(const struct vc_convert_source *src,
		    const struct vc_disk_create_opts *create, bool compress,
		    struct vc_disk_measure *ret,
		    struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
