/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Managing qcow2 images: snapshots, bitmaps, size, header.
 *
 * All functions work on the file of an image that nobody has open as a disk
 * (lock it: vc_disk_lock_fd()). `fd` is borrowed and open for reading and
 * writing, or for reading only where the function only looks.
 *
 * Each change is one step: the new metadata is written beside the old, and one
 * write to the header puts it into place. Whoever dies before leaves the old
 * image, whoever dies after it the new one. So an error leaves the image
 * as it was. VC_E_UNSUPPORTED, VC_E_CORRUPT and VC_E_LIMIT say what of the
 * image stands in the way; VC_E_ARG that a name is not (or already) there.
 */
#ifndef VMMCORE_QCOW2_H
#define VMMCORE_QCOW2_H

#include <vmmcore/disk.h>

VC_BEGIN_DECLS

/* Called now and then by what may take long; may be NULL. */
typedef void (*vc_qcow2_progress_fn)(void *opaque, uint64_t done,
				     uint64_t total);

/* --- snapshots ------------------------------------------------------------- */

struct vc_qcow2_snapshot {
	char *id, *name;	 /* owned */
	uint64_t vm_state_bytes; /* of a running guest, saved with it */
	uint64_t disk_bytes;	 /* size of the disk then */
	uint64_t date_sec;	 /* since 1970 */
	uint32_t date_nsec;
	uint64_t vm_clock_nsec; /* how long the guest had run */
	bool has_icount;
	uint64_t icount;
};
struct vc_qcow2_snapshots {
	struct vc_qcow2_snapshot *items; /* owned */
	unsigned nr;
};
/* In the order of the file. */
int vc_qcow2_snapshot_list(int fd, struct vc_qcow2_snapshots *ret,
			   struct vc_error *err) VC_MUST_CHECK;
void vc_qcow2_snapshots_fini(struct vc_qcow2_snapshots *s);
/* Keep the present contents under `name`, of 1 to 255 bytes. */
int vc_qcow2_snapshot_create(int fd, const char *name,
			     struct vc_error *err) VC_MUST_CHECK;
/* Go back to a snapshot, named by id or, if no id matches, by name: contents
 * and size. What the disk has now is lost. */
int vc_qcow2_snapshot_apply(int fd, const char *id_or_name,
			    struct vc_error *err) VC_MUST_CHECK;
/* Likewise named. */
int vc_qcow2_snapshot_delete(int fd, const char *id_or_name,
			     struct vc_error *err) VC_MUST_CHECK;

/* --- persistent bitmaps ---------------------------------------------------- */

#define VC_QCOW2_MIN_GRANULARITY 512u
#define VC_QCOW2_MAX_GRANULARITY (1u << 31)
#define VC_QCOW2_MAX_BITMAP_NAME 1023

struct vc_qcow2_bitmap {
	char *name; /* owned */
	uint32_t granularity_bytes;
	bool is_enabled; /* "auto": writers keep it */
	bool is_broken;	 /* "in use": its last writer did not finish */
};
struct vc_qcow2_bitmaps {
	struct vc_qcow2_bitmap *items; /* owned */
	unsigned nr;
};
int vc_qcow2_bitmap_list(int fd, struct vc_qcow2_bitmaps *ret,
			 struct vc_error *err) VC_MUST_CHECK;
void vc_qcow2_bitmaps_fini(struct vc_qcow2_bitmaps *b);
/* A new one, empty. `granularity_bytes` is a power of two; 0: a cluster, but at
 * least 4 KiB and at most 64 KiB. */
int vc_qcow2_bitmap_add(int fd, const char *name, uint32_t granularity_bytes,
			bool is_enabled, struct vc_error *err) VC_MUST_CHECK;
int vc_qcow2_bitmap_remove(int fd, const char *name,
			   struct vc_error *err) VC_MUST_CHECK;
int vc_qcow2_bitmap_clear(int fd, const char *name,
			  struct vc_error *err) VC_MUST_CHECK;
int vc_qcow2_bitmap_set_enabled(int fd, const char *name, bool is_enabled,
				struct vc_error *err) VC_MUST_CHECK;
/* Add the bits of `src` in the image `src_fd` (which may be `fd`) to `name`;
 * granularities may differ, sizes of the disks may not. */
int vc_qcow2_bitmap_merge(int fd, const char *name, int src_fd, const char *src,
			  struct vc_error *err) VC_MUST_CHECK;
/* Copy all bitmaps of `src_fd` that are not broken to `fd`, which has none of
 * their names. A broken one is an error unless `skip_broken`. */
int vc_qcow2_bitmap_copy_all(int fd, int src_fd, bool skip_broken,
			     struct vc_error *err) VC_MUST_CHECK;
/* What such a copy adds to an image of clusters of that size: for measure. */
int vc_qcow2_bitmap_measure(int src_fd, uint32_t cluster_bytes,
			    uint64_t *ret_bytes,
			    struct vc_error *err) VC_MUST_CHECK;

/* --- size ------------------------------------------------------------------ */

struct vc_disk_resize_opts {
	enum vc_disk_format format; /* PROBE: qcow2 or refused */
	uint64_t size_bytes;	    /* a multiple of 512 */
	bool is_relative;	    /* size_bytes is added, or ... */
	bool is_minus;		    /* ... taken away */
	bool shrink;		    /* making it smaller is meant */
	bool no_lock;
	/* Open what the image names: a backing file, to see what is there, an
	 * external data file, to give it the size; else such an image is
	 * refused (one that has a backing file only if it is to grow). */
	bool allow_backing;
	enum vc_disk_preallocation preallocation; /* of what is added */
};
/* Change the size of the disk in a file. What is added reads zero, whatever was
 * there before or is in a backing file. Bitmaps and, in version 3, snapshots stay what they are.
 * *ret_size may be NULL. */
int vc_disk_resize(const char *path, const struct vc_disk_resize_opts *opts,
		   uint64_t *ret_size, struct vc_error *err) VC_MUST_CHECK;

/* --- the header ------------------------------------------------------------ */

/* What is to be other than it is. */
struct vc_qcow2_amend_opts {
	unsigned version;	/* 2 or 3; 0: as it is */
	unsigned refcount_bits; /* 0: as it is */
	int lazy_refcounts;	/* -1: as it is */
	int data_file_raw;	/* -1: as it is; on is refused, as in qemu */
	/* NULL: as it is; "": none. Only the names change: the contents of the
	 * disk are other ones then unless the files are equal. */
	const char *backing_file, *backing_format;
	const char *data_file;
	vc_qcow2_progress_fn progress;
	void *opaque;
};
void vc_qcow2_amend_opts_init(struct vc_qcow2_amend_opts *o);
int vc_qcow2_amend(int fd, const struct vc_qcow2_amend_opts *opts,
		   struct vc_error *err) VC_MUST_CHECK;
/* Release every cluster of the active disk: it reads as its backing file. */
int vc_qcow2_make_empty(int fd, struct vc_error *err) VC_MUST_CHECK;

/* --- chains ---------------------------------------------------------------- */

struct vc_disk_copy_opts {
	uint64_t max_bytes_per_sec; /* 0: no limit */
	bool compress;		    /* rebase: what is written */
	vc_qcow2_progress_fn progress;
	void *opaque;
};
/* Write to `base`, open on its own, what the disks of `top`'s chain above
 * depth `depth` (that of `base` in it) have of their own. */
int vc_disk_commit(struct vc_disk *top, unsigned depth, struct vc_disk *base,
		   const struct vc_disk_copy_opts *opts,
		   struct vc_error *err) VC_MUST_CHECK;
/* Write to the top disk (of `top` itself) where it has nothing of its own and
 * `new_backing` (NULL: none, reads zero) reads otherwise than it does: then its
 * backing file may be changed to that. */
int vc_disk_rebase(struct vc_disk *top, struct vc_disk *new_backing,
		   const struct vc_disk_copy_opts *opts,
		   struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
