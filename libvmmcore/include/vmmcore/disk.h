/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disk images behind one asynchronous block interface: what a virtio-blk
 * device, qcow-tool and mkimage all stand on. See vmmcore-disk(7).
 *
 * A disk belongs to one thread at a time, the one that submits and polls; if
 * several are to use it, each opens a vc_disk_queue.
 * Requests complete in any order and only inside vc_disk_poll() (never inside
 * vc_disk_submit()).
 */
#ifndef VMMCORE_DISK_H
#define VMMCORE_DISK_H

#include <sys/uio.h>
#include <vmmcore/util.h>

VC_BEGIN_DECLS

#define VC_DISK_SECTOR 512
#define VC_DISK_MAX_BYTES (INT64_MAX & ~UINT64_C(511))
#define VC_DISK_MAX_DEPTH 64 /* of a backing chain */
#define VC_DISK_MAX_IOV 1024

struct vc_disk;

enum vc_disk_format {
	VC_DISK_FORMAT_PROBE, /* look at the header once, at open */
	VC_DISK_FORMAT_RAW,
	VC_DISK_FORMAT_QCOW2,
	VC_DISK_FORMAT_ZSTD,	       /* zstd-seekable; sequential */
	VC_DISK_FORMAT_ANDROID_SPARSE, /* sequential */
	VC_DISK_FORMAT_COMPOSITE,      /* see vmmcore/composite.h */
};
/* "raw", "qcow2", "zstd", "android-sparse", "composite"; NULL-terminated, indexed by vc_disk_format - 1. */
extern const char *const vc_disk_format_names[];

/* How file I/O is done. */
enum vc_disk_io {
	VC_DISK_IO_AUTO,  /* io_uring where the host has it, else POOL, else
			   * SYNC */
	VC_DISK_IO_URING, /* or fail */
	VC_DISK_IO_POOL,  /* a few threads, made at open, with no signal */
	VC_DISK_IO_SYNC,  /* plain system calls in vc_disk_kick(), which waits
			   * for them */
};

/* Opens files for a process that cannot do so itself, being in a jail. */
struct vc_disk_opener {
	/* The file that an image names. `path` is relative to the folder of the
	 * image that vc_disk_open_fd() was called for, `what` is the file's
	 * part ("backing file"). Returns an fd, the caller's, or -1. */
	int (*open)(struct vc_disk_opener *o, const char *what,
		    const char *path, bool writable, struct vc_error *err);
	/* The file of `fd` once more, with O_DIRECT. */
	int (*reopen_direct)(struct vc_disk_opener *o, int fd, bool writable,
			     struct vc_error *err);
};

struct vc_disk_open_opts {
	enum vc_disk_format format;
	bool writable;
	bool direct;	    /* O_DIRECT */
	bool lock;	    /* OFD lock (shared for readers) and flock */
	bool allow_backing; /* open the backing chain and external data files
			     * the header names; otherwise they are refused */
	/* To map it only: what a backing file would have is a hole; reads of
	 * it see zeroes, and what a data file would have cannot be read.
	 * Nothing else is opened. */
	bool ignore_backing;
	bool repair;  /* open in spite of the dirty/corrupt bits */
	bool no_sync; /* never wait for the medium: for an image that is worth
		       * nothing unless its writer finishes */
	uint32_t cache_bytes; /* of metadata, half as much for each next image
			       * of the chain; 0: a default that suits guests,
			       * for all of them */
	/* Composite: its components, open, in the order of
	 * vc_composite_list(), each with the first one as io_with, and
	 * writable if the list and `writable` say so. Owned on success. */
	struct vc_disk *const *components;
	unsigned nr_components;
	/* Android sparse: do not read all of an image that has a checksum
	 * to compare it: somebody did. */
	bool no_verify;
	enum vc_disk_io io; /* ignored where `backing` or io_with has its own */
	/* Share the I/O engine and poll fd of this disk, which must belong to
	 * the same thread; borrowed during the call. */
	struct vc_disk *io_with;
	/* qcow2 with an external data file: that file, open as a raw disk,
	 * writable if this one is to be, on the engine of io_with or `backing`
	 * if they are given, else its engine is used; owned on success. Without
	 * it vc_disk_open() opens the file the image names if allow_backing
	 * says so; vc_disk_open_fd() fails. */
	struct vc_disk *data_file;
	/* qcow2, read-only: what an internal snapshot has, named by id or, if
	 * no id matches, by name; or the one with that id, that name or both.
	 * Borrowed during the call. */
	const char *snapshot, *snapshot_id, *snapshot_name;
	/* Used instead of open(2) for all but the image itself; borrowed during
	 * the call. */
	struct vc_disk_opener *opener;
	const char *name; /* for messages; borrowed during the call */
};

/* Open the image at `path`. VC_E_CORRUPT, VC_E_UNSUPPORTED, VC_E_LIMIT name the
 * header field. */
int vc_disk_open(const char *path, const struct vc_disk_open_opts *opts,
		 struct vc_disk **ret, struct vc_error *err) VC_MUST_CHECK;
/* The same of an open descriptor, owned only on success. Opens nothing else:
 * an image with a backing or data file is refused unless `backing` (owned on
 * success, may be NULL) or a data_file is given for it, or allow_backing and an
 * opener. */
int vc_disk_open_fd(int fd, const struct vc_disk_open_opts *opts,
		    struct vc_disk *backing, struct vc_disk **ret,
		    struct vc_error *err) VC_MUST_CHECK;
/* Open a file that an image names, as vc_disk_open() does: only regular files
 * and block devices, and nothing of the kernel's own file systems. `what` is for
 * messages. Returns an fd or -1. */
int vc_disk_open_named(const char *what, const char *path, bool writable,
		       struct vc_error *err) VC_MUST_CHECK;
/* The path of a file that the image at `path` names: `name` is relative to the
 * folder of the image. VC_E_UNSUPPORTED if it is not the name of a file ("json:",
 * "nbd://"), of which `what` ("backing file") speaks. *ret is malloc'ed. */
int vc_disk_resolve_name(const char *what, const char *path, const char *name,
			 char **ret, struct vc_error *err) VC_MUST_CHECK;
/* The file of `fd` once more, with O_DIRECT. Returns an fd or -1. */
int vc_disk_reopen_direct(int fd, bool writable,
			  struct vc_error *err) VC_MUST_CHECK;
/* Lock an image file for as long as `fd` (and its duplicates) are open, the way
 * vc_disk_open_opts.lock does. VC_E_BUSY when it is in use. */
int vc_disk_lock_fd(int fd, bool writable, struct vc_error *err) VC_MUST_CHECK;
/* Flush, mark clean, close. The object is gone even on failure: an error
 * means that what was written last may not be on the medium. */
int vc_disk_close(struct vc_disk *disk, struct vc_error *err) VC_MUST_CHECK;
/* Without flushing, for clean-up after a failure; NULL is fine; returns NULL. */
struct vc_disk *vc_disk_drop(struct vc_disk *disk);

VC_DEFINE_CLEANUP(vc_disk, struct vc_disk *, vc_disk_drop)

enum vc_disk_format vc_disk_get_format(const struct vc_disk *disk);
/* Is this a new image of a format that takes each byte once, in ascending
 * order? Then what a write or a write of zeroes skips reads zero, one at an
 * earlier offset fails with VC_DISK_ENOTSUP, as reads do, a discard does
 * nothing, and the image exists when vc_disk_close() has succeeded. */
bool vc_disk_is_sequential(const struct vc_disk *disk);
/* Such a format: only new images of it can be written. */
bool vc_disk_format_is_sequential(enum vc_disk_format format);
uint64_t vc_disk_get_size(const struct vc_disk *disk); /* virtual, bytes */
/* Change the virtual size, a multiple of 512, when nothing is in flight. What is
 * cut off must not have been written, or discarded since; what is added reads
 * zero. For writers that learn late how large a disk they make: start large. */
int vc_disk_set_size(struct vc_disk *disk, uint64_t size_bytes,
		     struct vc_error *err) VC_MUST_CHECK;
bool vc_disk_is_writable(const struct vc_disk *disk);
/* What a guest should be told: the granularity of a discard, in bytes. */
uint32_t vc_disk_get_discard_granularity(const struct vc_disk *disk);

/* --- requests ---------------------------------------------------------- */

enum vc_disk_op {
	VC_DISK_READ,
	VC_DISK_WRITE,
	/* Completed writes are durable when it is done. Once one has failed
	 * because the medium did, all later ones fail, and FUA, and
	 * vc_disk_close(): what was lost cannot be known. */
	VC_DISK_FLUSH,
	VC_DISK_DISCARD, /* contents undefined-but-stable; may do nothing */
	VC_DISK_WRITE_ZEROES, /* reads back zero */
	/* Make the range share its place in the file system with a range of
	 * another file. Both are multiples of what that demands (4096 at least)
	 * and of vc_disk_get_discard_granularity(). VC_DISK_ENOTSUP where it
	 * cannot be done. Blocks. */
	VC_DISK_SHARE,
	/* iov is one cluster, compressed as vc_disk_get_compression() says:
	 * offset_bytes is a multiple of the cluster, length_bytes the bytes of
	 * the iov, less than a cluster. They are stored as they are. */
	VC_DISK_WRITE_COMPRESSED,
};

enum vc_disk_status {
	VC_DISK_OK = 0,
	VC_DISK_EIO,
	VC_DISK_ENOSPC,
	VC_DISK_ERANGE, /* outside the disk, or iov and length disagree */
	VC_DISK_EROFS,
	VC_DISK_ENOTSUP,
};
const char *vc_disk_status_str(enum vc_disk_status status);
int vc_disk_status_errno(enum vc_disk_status status); /* 0 for OK */

#define VC_DISK_REQ_FUA 1u    /* WRITE: durable when done */
#define VC_DISK_REQ_UNMAP 2u  /* WRITE_ZEROES: may deallocate */
#define VC_DISK_REQ_COPY 4u   /* SHARE: what cannot be shared is copied */
#define VC_DISK_REQ_COPIED 8u /* set when that has happened */

struct vc_disk_req {
	enum vc_disk_op op;
	unsigned flags;
	uint64_t offset_bytes; /* any alignment */
	uint64_t length_bytes; /* iov's total for READ and WRITE; 0 for FLUSH */
	const struct iovec *iov; /* borrowed until done */
	int nr_iov;
	int share_fd; /* SHARE: of the other file; borrowed until done */
	uint64_t share_offset;
	/* Called exactly once, from vc_disk_poll(); may submit. */
	void (*done)(struct vc_disk_req *req, enum vc_disk_status status);
	void *priv[8]; /* the disk layer's while in flight */
};

/* Start `req`, which stays with the disk until done. A bad request fails
 * through done as well. */
void vc_disk_submit(struct vc_disk *disk, struct vc_disk_req *req);
/* Push what was submitted to the kernel: call once after a batch. */
void vc_disk_kick(struct vc_disk *disk);
/* An fd that is readable when vc_disk_poll() has work, for a vc_loop. */
int vc_disk_get_poll_fd(const struct vc_disk *disk);
/* Complete what is ready; with `wait`, block until at least one is, if any is
 * in flight. Returns how many completed. */
int vc_disk_poll(struct vc_disk *disk, bool wait);
/* Complete everything in flight. */
void vc_disk_drain(struct vc_disk *disk);

/* --- several threads on one disk ----------------------------------------
 *
 * Each thread opens a queue, which takes requests and calls their done() as a
 * disk does, and shares nothing that can be seen with the other queues. Requests
 * of several queues are under way at the same time, in any order: one that is
 * to come after another is submitted when that one is done, by whatever queue.
 * A flush makes durable what was completed in all of them.
 *
 * There is no thread behind a queue: who polls one serves all of them, and a
 * request makes progress only while somebody polls any queue of the disk.
 *
 * As long as a disk has queues, nothing else may be done with it than opening
 * queues, from any thread; nor with a disk that shares its engine (io_with). A
 * queue is used by one thread at a time. All of them are closed before the disk
 * is.
 */
struct vc_disk_queue;
/* Makes two descriptors; the disk is borrowed. */
int vc_disk_queue_open(struct vc_disk *disk, struct vc_disk_queue **ret,
		       struct vc_error *err) VC_MUST_CHECK;
/* Complete what is in flight in this queue, calling done(). NULL is fine;
 * returns NULL. Others go on. */
struct vc_disk_queue *vc_disk_queue_close(struct vc_disk_queue *queue);
VC_DEFINE_CLEANUP(vc_disk_queue, struct vc_disk_queue *, vc_disk_queue_close)
/* The same as the functions of a disk. A request begins with the next kick or
 * poll of its queue. */
void vc_disk_queue_submit(struct vc_disk_queue *queue, struct vc_disk_req *req);
void vc_disk_queue_kick(struct vc_disk_queue *queue);
/* May be readable for what turns out to be another queue's. */
int vc_disk_queue_get_poll_fd(const struct vc_disk_queue *queue);
int vc_disk_queue_poll(struct vc_disk_queue *queue, bool wait);

/* --- the same, waiting: for tools -------------------------------------- */

int vc_disk_read(struct vc_disk *disk, uint64_t offset, void *buf, size_t len,
		 struct vc_error *err) VC_MUST_CHECK;
int vc_disk_write(struct vc_disk *disk, uint64_t offset, const void *buf,
		  size_t len, struct vc_error *err) VC_MUST_CHECK;
int vc_disk_zero(struct vc_disk *disk, uint64_t offset, uint64_t len,
		 struct vc_error *err) VC_MUST_CHECK;
int vc_disk_flush(struct vc_disk *disk, struct vc_error *err) VC_MUST_CHECK;
/* `len` bytes of compressed data, see VC_DISK_WRITE_COMPRESSED. */
int vc_disk_write_compressed(struct vc_disk *disk, uint64_t offset,
			     const void *buf, size_t len,
			     struct vc_error *err) VC_MUST_CHECK;

/* --- compressed clusters ------------------------------------------------- */

enum vc_disk_compression {
	VC_DISK_COMPRESSION_NONE, /* in options: the format's default */
	VC_DISK_ZLIB,		  /* raw deflate, window of 12 bits */
	VC_DISK_ZSTD,		  /* a frame with the size of its contents */
	VC_DISK_ZSTD_CHECKED,	  /* and their checksum */
};
/* "zlib", "zstd"; NULL-terminated, indexed by vc_disk_compression - 1: what a
 * qcow2 image may have. */
extern const char *const vc_disk_compression_names[];

/* How clusters for VC_DISK_WRITE_COMPRESSED are compressed, and how large one
 * is before; NONE if this disk takes none. */
enum vc_disk_compression vc_disk_get_compression(const struct vc_disk *disk,
						 uint32_t *ret_cluster_bytes);

/* A context that is used for cluster after cluster, by one thread at a time. */
struct vc_disk_compressor;
/* `level` 0: the usual one. VC_E_ARG: no such level. */
int vc_disk_compressor_new(enum vc_disk_compression type, int level,
			   struct vc_disk_compressor **ret,
			   struct vc_error *err) VC_MUST_CHECK;
struct vc_disk_compressor *
vc_disk_compressor_free(struct vc_disk_compressor *compressor);
VC_DEFINE_CLEANUP(vc_disk_compressor, struct vc_disk_compressor *,
		  vc_disk_compressor_free)
/* Compress the `len` bytes of a cluster. Returns how many bytes of `out` were
 * used, or 0 if `max` are too few: give less than a cluster, and write the
 * cluster as it is then. */
size_t vc_disk_compress(struct vc_disk_compressor *compressor, const void *in,
			size_t len, void *out, size_t max);

/* --- making, looking, checking ------------------------------------------ */

#define VC_QCOW2_MIN_CLUSTER 512
#define VC_QCOW2_MAX_CLUSTER (2 * 1024 * 1024)

enum vc_disk_preallocation {
	VC_DISK_PREALLOC_OFF,
	VC_DISK_PREALLOC_METADATA, /* qcow2: tables, for all of the disk */
	VC_DISK_PREALLOC_FALLOC,   /* and space is reserved */
	VC_DISK_PREALLOC_FULL,	   /* and written */
};
/* NULL-terminated, indexed by vc_disk_preallocation. */
extern const char *const vc_disk_preallocation_names[];

/* zstd: of each frame, by default; Android sparse: of the image, only if asked
 * for. */
enum vc_disk_checksums {
	VC_DISK_CHECKSUMS_DEFAULT,
	VC_DISK_CHECKSUMS_OFF,
	VC_DISK_CHECKSUMS_ON,
};

struct vc_disk_create_opts {
	enum vc_disk_format format; /* not PROBE */
	uint64_t size_bytes;	    /* multiple of 512 */
	uint32_t cluster_bytes;	    /* qcow2: power of two; 0 = 65536 */
	unsigned refcount_bits;	    /* qcow2: 1..64, power of two; 0 = 16 */
	unsigned version;	    /* qcow2: 2 or 3; 0 = 3 */
	const char *backing_file;   /* qcow2: stored name, or NULL */
	const char *backing_format; /* qcow2: stored beside it */
	unsigned compression_level; /* zstd: 1..22; 0 = 3 */
	enum vc_disk_checksums checksums;
	enum vc_disk_preallocation preallocation;
	/* the rest: qcow2 */
	enum vc_disk_compression compression;
	bool extended_l2;    /* 32 subclusters each; clusters of 16 KiB on */
	bool lazy_refcounts; /* see vmmcore-disk(7) */
	/* For crosvm: without zero flags, compression and whatever else it
	 * does not know; writers of this library keep to that later, too. */
	bool for_crosvm;
	/* The guest's data is in another file: the name that is stored, and
	 * the file, open, empty and writable (borrowed). */
	const char *data_file;
	int data_fd;	    /* only looked at with data_file */
	bool data_file_raw; /* and is a raw image by itself */
};
/* Write an empty image to the open, empty, writable regular file `fd`
 * (borrowed), or size it for raw. A block device takes raw, where nothing is
 * written, and qcow2; it must be large enough for what is. */
int vc_disk_create(int fd, const struct vc_disk_create_opts *opts,
		   struct vc_error *err) VC_MUST_CHECK;

enum vc_disk_extent_kind {
	VC_DISK_DATA, /* has bytes */
	VC_DISK_ZERO, /* reads zero, known without reading */
	VC_DISK_HOLE, /* not in this image: zero, or the backing file's */
};
struct vc_disk_extent {
	enum vc_disk_extent_kind kind;
	uint64_t offset_bytes, length_bytes; /* in the virtual disk */
	uint64_t host_offset; /* DATA: in the image file; UINT64_MAX if none */
	unsigned depth;	      /* 0: this image, 1: its backing file, ... */
	bool is_compressed;   /* DATA: then it has no host_offset */
	bool is_in_data_file; /* DATA: at data_file_offset of the external data
			       * file, and it has no host_offset */
	uint64_t data_file_offset;
	bool reads_zero; /* DATA: has its place in the file, which is a hole */
};
/* The extent at `offset`, at most `max_len` long, as long as possible. */
int vc_disk_map(struct vc_disk *disk, uint64_t offset, uint64_t max_len,
		struct vc_disk_extent *ret, struct vc_error *err) VC_MUST_CHECK;

struct vc_disk_info {
	enum vc_disk_format format;
	uint64_t virtual_bytes;
	uint64_t file_bytes;	  /* length of the file */
	uint64_t allocated_bytes; /* st_blocks * 512 */
	uint32_t cluster_bytes;	  /* 0 when the format has none */
	unsigned version;	  /* qcow2: 2 or 3 */
	unsigned refcount_bits;
	unsigned nr_snapshots;
	/* zstd: frames; Android sparse: chunks; composite: components */
	uint64_t nr_parts;
	bool has_checksums; /* zstd: of each frame; Android sparse */
	bool is_dirty, is_corrupt, has_data_file, has_lazy_refcounts,
		has_extended_l2;
	bool is_data_file_raw, is_for_crosvm;
	uint64_t unknown_features; /* incompatible ones: cannot be opened */
	const char *compression;   /* "zlib", "zstd"; NULL if none */
	const char *encryption;	   /* "aes", "luks"; NULL if none */
	char backing_file[1024];   /* "" if none */
	char backing_format[16];   /* "" if not said */
	char data_file[1024];	   /* "" if not said */
};
/* Reads headers only and opens nothing else. */
int vc_disk_info_fd(int fd, enum vc_disk_format format,
		    struct vc_disk_info *ret,
		    struct vc_error *err) VC_MUST_CHECK;

enum vc_disk_repair {
	VC_DISK_REPAIR_NONE,
	VC_DISK_REPAIR_LEAKS, /* release what nothing refers to */
	VC_DISK_REPAIR_ALL,   /* and drop entries that point nowhere, make the
			       * refcounts and flags what they should be */
};

struct vc_disk_check {
	enum vc_disk_format format; /* set: what it was checked as */
	enum vc_disk_repair repair; /* set by the caller, as the last two */
	uint64_t nr_corruptions, nr_leaks; /* what is left of them */
	uint64_t nr_corruptions_fixed, nr_leaks_fixed;
	uint64_t nr_allocated_clusters, nr_total_clusters;
	uint64_t nr_fragmented_clusters, nr_compressed_clusters;
	uint64_t image_end_bytes; /* where the last used cluster ends */
	/* Called per finding; may be NULL. */
	void (*report)(struct vc_disk_check *chk, bool is_leak,
		       const char *text);
	void *opaque;
};
/* Verify every reference of the metadata. The image is changed only to repair
 * it: `fd` is open for writing then. */
int vc_disk_check_fd(int fd, enum vc_disk_format format,
		     struct vc_disk_check *chk,
		     struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
