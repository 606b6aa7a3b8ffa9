/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a disk format implements and what it may use. The functions of the
 * public header check ranges, alignment and permission once, then call here.
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <pthread.h>
#include <vmmcore/checked.h>
#include <vmmcore/disk.h>
#include "disk/engine.h"

/* The most of a file's head a probe may look at. */
#define DISK_PROBE_BYTES 4096

struct disk_ops;

/* A request that is with its format may wait in one of these. */
struct req_queue {
	struct vc_disk_req *head, *tail;
};
void disk_queue_put(struct req_queue *q, struct vc_disk_req *req);
struct vc_disk_req *disk_queue_get(struct req_queue *q); /* NULL: empty */

/* Base of every open image; the formats embed it as first member. */
struct vc_disk {
	const struct disk_ops *ops;
	struct engine *engine;	 /* a reference */
	struct vc_disk *backing; /* owned; NULL if none */
	/* Other disks below this one, on the same engine; owned. */
	struct vc_disk **parts;
	unsigned nr_parts;
	int fd;	       /* owned */
	int direct_fd; /* the same file with O_DIRECT, or -1 */
	uint32_t direct_align;
	uint64_t size; /* virtual, bytes, a multiple of 512 */
	bool writable;
	bool no_sync;
	bool ignore_backing;
	/* Another backing file is about to be below it, as nothing may be now:
	 * what is zeroed has to say so in this image. */
	bool is_rebased;
	uint32_t cache_bytes; /* 0: the format's default */
	bool is_regular;      /* a file, not a block device */
	/* Of the first sync of the file that failed, -errno: see
	 * disk_synced(). */
	int sync_error;
	unsigned nr_in_flight;
	struct req_queue finished; /* done() is due in vc_disk_poll() */
	char *name;		   /* printable, for messages */
	dev_t dev;		   /* which file it is, to see loops */
	ino_t ino;
	/* Who uses the disk through a queue holds this while it uses anything
	 * of it, or of the disks below. Nothing but an engine's own lock is
	 * taken while it is held. */
	pthread_mutex_t lock;
	struct vc_disk_queue *queues;
	bool has_driver; /* one of those who wait looks after the engine */
};

struct disk_ops {
	const char *name;
	enum vc_disk_format format;
	/* New images take writes in ascending order only, others none. */
	bool is_sequential;
	bool can_share; /* VC_DISK_SHARE, for files */
	/* Looks at the first bytes only. NULL: matches anything. */
	bool (*probe)(const uint8_t *head, size_t len);
	/* A zeroed object, its base filled in by the caller. */
	struct vc_disk *(*alloc)(void);
	/* d->fd, name, writable are set. Sets size. If the image has a backing
	 * file and d->backing is NULL, fails unless the caller looks it up
	 * first through info(). */
	int (*open)(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		    struct vc_error *err);
	/* A request that was checked; ends in disk_complete(), in any order,
	 * also before returning. */
	void (*submit)(struct vc_disk *d, struct vc_disk_req *req);
	/* Make all completed writes durable, for `req`. */
	void (*flush)(struct vc_disk *d, struct vc_disk_req *req);
	/* Nothing is in flight; after the last flush of a writable disk. May
	 * be NULL. */
	int (*close)(struct vc_disk *d, struct vc_error *err);
	/* Also for half-opened objects; frees `d` but nothing of the base. */
	void (*free)(struct vc_disk *d);
	/* Within the disk, max_len > 0; nothing is in flight. */
	int (*map)(struct vc_disk *d, uint64_t offset, uint64_t max_len,
		   struct vc_disk_extent *ret, struct vc_error *err);
	/* file_bytes and allocated_bytes are filled in by the caller. */
	int (*info)(int fd, struct vc_disk_info *ret, struct vc_error *err);
	int (*create)(int fd, const struct vc_disk_create_opts *opts,
		      struct vc_error *err);
	/* May be NULL: nothing to check. */
	int (*check)(int fd, struct vc_disk_check *chk, struct vc_error *err);
	uint32_t (*discard_granularity)(const struct vc_disk *d);
	/* May be NULL: no compressed clusters. */
	enum vc_disk_compression (*compression)(const struct vc_disk *d,
						uint32_t *ret_cluster_bytes);
	/* Bytes of memory that the open disk may come to take, about: what
	 * depends on the image. May be NULL: next to nothing. */
	uint64_t (*memory)(const struct vc_disk *d);
	/* Of a writable disk; d->size is the old one and set by the caller
	 * afterwards. May be NULL: cannot. */
	int (*set_size)(struct vc_disk *d, uint64_t size, struct vc_error *err);
};

extern const struct disk_ops raw_ops;
extern const struct disk_ops qcow2_ops;
extern const struct disk_ops zstd_ops;
extern const struct disk_ops sparse_ops;
extern const struct disk_ops composite_ops;

/* Open this one image: vc_disk_open_fd() without an opener. */
int disk_open_image(int fd, const struct vc_disk_open_opts *opts,
		    struct vc_disk *backing, struct vc_disk **ret,
		    struct vc_error *err) VC_MUST_CHECK;
/* What the first bytes of a file look like. */
enum vc_disk_format disk_probe_head(const uint8_t *head, size_t len);
/* The same of `fd`. */
int disk_probe(int fd, enum vc_disk_format *ret,
	       struct vc_error *err) VC_MUST_CHECK;
/* The length of a file or block device. */
int disk_file_size(int fd, uint64_t *ret, struct vc_error *err) VC_MUST_CHECK;

/* vc_disk_submit(); if `queue` is set, done() is not called but the request
 * given to disk_queue_finish(). */
void disk_submit(struct vc_disk *d, struct vc_disk_req *req,
		 struct vc_disk_queue *queue);
void disk_queue_finish(struct vc_disk_queue *queue, struct vc_disk_req *req);
void disk_call_done(struct vc_disk_req *req);

/* Of the disk and all below it. */
uint64_t disk_get_memory(const struct vc_disk *d);

/* Finish a request: done() is called from the next vc_disk_poll(). */
void disk_complete(struct vc_disk *d, struct vc_disk_req *req,
		   enum vc_disk_status status);
enum vc_disk_status disk_status_of(int res); /* of 0 or -errno */

/* A sync of the file of `d` ended with `res`, 0 or -errno. Returns what that
 * means, the same way: after one that failed, none succeeds. The kernel tells of
 * what it could not write once, and may then call it clean; which writes are
 * lost nobody knows. */
int disk_synced(struct vc_disk *d, int res);
/* Sync it here and now. Returns 0, or -1 with errno. */
int disk_sync_now(struct vc_disk *d) VC_MUST_CHECK;

/* The descriptor for an operation: the O_DIRECT one where its rules are kept.
 * The kernel keeps both ways coherent. */
int disk_fd_for(const struct vc_disk *d, const struct eng_io *io);

/* Copy to or from the `len` bytes at `skip` of an iovec that has as many. */
void disk_iov_put(const struct iovec *iov, uint64_t skip, const void *buf,
		  uint64_t len);
void disk_iov_get(const struct iovec *iov, uint64_t skip, void *buf,
		  uint64_t len);
void disk_iov_zero(const struct iovec *iov, uint64_t skip, uint64_t len);

/* A file without a name, for what does not fit in memory: in the folder of the
 * file `beside` if that can be, else in that for large temporary files. Returns
 * its fd, or -1. */
int disk_scratch_open(int beside, struct vc_error *err) VC_MUST_CHECK;

/* Give the file of a new image `size` bytes that read zero. A device must have
 * them; its first `nr_zero` are made so, a multiple of 512. */
int disk_set_file_size(int fd, uint64_t size, uint64_t nr_zero,
		       struct vc_error *err) VC_MUST_CHECK;
/* FALLOC and FULL: give the range of the file its space; else nothing. */
int disk_allocate(int fd, uint64_t offset, uint64_t len,
		  enum vc_disk_preallocation mode,
		  struct vc_error *err) VC_MUST_CHECK;

/* Are all bytes zero? */
bool disk_is_zero(const void *p, size_t len);

#define DISK_ZEROES_BYTES (64 * 1024)
extern const uint8_t disk_zeroes[DISK_ZEROES_BYTES];
/* Set `io` to write `len` zeroes, at most DISK_ZEROES_MAX; false: no memory. */
#define DISK_ZEROES_MAX ((uint64_t)DISK_ZEROES_BYTES * 256)
bool disk_io_set_zeroes(struct eng_io *io, uint64_t len);

#endif
