/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A copy under way.
 *
 *	plan.c     walks the block status of the sources once: the next piece
 *	worker.c   threads that read a piece, look for zeroes, compress it
 *	write.c    writes a piece
 *	convert.c  the calling thread, which has the pieces written in their
 *	           order
 *
 * Pieces are handed out and written in the order of the disk, through a ring of
 * slots: a slot is FREE, then READING (a worker's), READY, then WRITING (the
 * writer's), then FREE again. Whoever changes a state holds the lock. The disks
 * the caller gave are used under the lock only, to map; workers read through
 * handles of their own. Where there are none, the only worker is also the only
 * one to map, so that it may read through the caller's.
 *
 * A raw destination through the page cache takes its pieces in any order from
 * any thread: each worker writes what it has read, while it is in the cache of
 * its CPU, through a handle of its own. The calling thread is one of them; there
 * is no writer, and a slot is FREE again after READING. To hand each piece over
 * and sleep until the next one cost a third of the time of such a copy.
 */
#ifndef DISK_COPY_COPY_H
#define DISK_COPY_COPY_H

#include <pthread.h>
#include <vmmcore/convert.h>
#include "disk/disk.h"

#define COPY_ALIGN 4096
#define COPY_MAX_SLOTS 16
/* Small enough to be in a CPU's cache still when it is written. */
#define COPY_MIN_CHUNK (512u << 10)
/* Pieces that one worker reads at a time. */
#define COPY_DEPTH 3
/* Of buffers, open images and compressors, as far as there is a choice: there
 * are fewer threads when they take more than that. */
#define COPY_MEMORY (UINT64_C(52) << 20)
/* Writes in flight of one slot. */
#define COPY_REQS 32
#define COPY_MAX_RUNS (COPY_MIN_CHUNK / VC_DISK_SECTOR)

/* --- what to copy (plan.c) ----------------------------------------------- */

enum piece_kind {
	PIECE_DATA,
	PIECE_ZERO,  /* to be written as such; may be long */
	PIECE_SHARE, /* is in `fd` at `host`; may be long */
};

struct piece {
	enum piece_kind kind;
	uint64_t offset, len;
	int fd; /* borrowed from the source */
	uint64_t host;
};

struct source {
	struct vc_disk *disk;
	uint64_t start;	 /* in the whole */
	uint64_t offset; /* what is copied of it begins here */
	uint64_t size;
};

struct plan {
	const struct source *sources;
	size_t nr_sources;
	const struct vc_convert_opts *opts;
	uint64_t size;	/* of all sources */
	uint32_t unit;	/* pieces begin and end at multiples, or at the end */
	uint32_t chunk; /* the longest PIECE_DATA, ends at a multiple */
	int dst_fd;	/* borrowed; what PIECE_SHARE would go to */
	/* alignment that PIECE_SHARE has, in the file too */
	uint32_t share_unit;
	enum {
		SHARE_NO,
		SHARE_UNKNOWN, /* the next one is small, and then: */
		SHARE_TRYING,  /* hand out nothing until it is known */
		SHARE_YES,
		SHARE_COPY, /* cannot, but the kernel is to copy */
	} share;
	uint64_t pos;
	uint64_t nr_skipped; /* bytes that need no piece */
	/* of what is at ext_start and reaches to ext_end */
	uint64_t ext_start, ext_end;
	enum { EXT_DATA, EXT_ZERO, EXT_SKIP } ext_kind;
	int ext_fd; /* -1: its bytes are in no file as they are */
	uint64_t ext_host;
};

/* The next piece. *ret_end: there is none. */
int plan_next(struct plan *p, struct piece *ret, bool *ret_end,
	      struct vc_error *err) VC_MUST_CHECK;
/* Is there nothing to read? */
static inline bool copy_is_zero_extent(const struct vc_disk_extent *e)
{
	return e->kind != VC_DISK_DATA || e->reads_zero;
}
/* The disk of the chain whose file has the bytes of an extent as they are, at
 * its host_offset; or NULL. */
struct vc_disk *copy_layer_of(struct vc_disk *d,
			      const struct vc_disk_extent *e);
/* The source that has the byte at `offset`. */
size_t plan_source_at(const struct plan *p, uint64_t offset);

/* --- the copy ------------------------------------------------------------- */

enum slot_state { SLOT_FREE, SLOT_READING, SLOT_READY, SLOT_WRITING };

struct copy;
struct worker;

struct write_req {
	struct vc_disk_req req;
	struct iovec iov;
	struct slot *slot;
	struct write_req *next; /* free ones */
};

struct slot {
	enum slot_state state;
	struct piece piece;
	uint8_t *data;
	/* reading */
	struct worker *worker;
	struct vc_disk_req req;
	struct iovec iov;
	uint64_t read_pos;
	enum vc_disk_status status;
	struct slot *next_done;
	/* A bit per granule that reads zero, if zeroes are looked for. */
	uint64_t zero[COPY_MAX_RUNS / 64 + 1];
	/* Length of each cluster when compressed, 0 if it is written as it is;
	 * it lies where the cluster did. */
	uint32_t packed[COPY_MAX_RUNS];
	/* writing */
	uint64_t write_pos;
	unsigned nr_writing;
	struct write_req reqs[COPY_REQS], *free_reqs;
	struct vc_disk *dst; /* borrowed: the writer's, or a worker's own */
	struct copy *copy;
};

struct worker {
	struct copy *copy;
	pthread_t thread;
	struct vc_disk **disks; /* of the sources; NULL: not opened yet */
	struct vc_disk *dst;	/* owned, if copy.workers_write */
	bool is_caller;		/* has no thread of its own */
	struct slot *done;	/* read, to be looked at */
	unsigned nr_reading;
	struct vc_disk_compressor *compressor;
	uint8_t *scratch; /* a compressed cluster */
};

struct copy {
	const struct vc_convert_opts *opts;
	const struct vc_convert_source *given;
	struct source *sources;
	struct vc_disk *dst;
	bool workers_write; /* what they have read, at once */
	/* Each write gets its blocks first: see write.c. */
	bool allocates;
	uint64_t granule; /* of looking for zeroes; 0: do not */
	/* Of dst, when clusters are compressed here; else 0. */
	uint32_t cluster;
	enum vc_disk_compression compression;
	/* Nothing is written, dst is NULL: the bytes of compressed clusters
	 * are counted. */
	bool only_counts;
	uint64_t nr_packed_bytes;
	unsigned nr_slots, nr_workers;
	struct worker workers[VC_CONVERT_MAX_THREADS];
	struct slot *slots;
	int event_fd; /* something became READY, ended or failed */

	pthread_mutex_t lock; /* of all below and the slots' states */
	pthread_cond_t slot_free;
	struct plan plan;
	unsigned head, tail; /* next to be written; next to be handed out */
	bool is_ended;	     /* the plan is */
	bool has_failed;
	struct vc_error err;
	struct vc_convert_result result;
};

/* From byte `pos` of the piece to where its granule or the piece ends. */
static inline uint64_t copy_granule_len(const struct copy *c,
					const struct slot *s, uint64_t pos)
{
	uint64_t at = s->piece.offset + pos;

	return vc_min_u64(c->granule - (at & (c->granule - 1)),
			  s->piece.len - pos);
}

/* Does the granule with byte `pos` of the piece read zero? */
static inline bool copy_is_zero_at(const struct slot *s, uint64_t pos)
{
	uint64_t granule = s->copy->granule;
	size_t i = (size_t)((s->piece.offset + pos) / granule -
			    s->piece.offset / granule);

	return s->zero[i / 64] >> i % 64 & 1;
}

/* Bytes of the clusters that all data of `src` needs when compressed. */
int copy_measure(const struct vc_convert_source *src,
		 enum vc_disk_compression type, uint32_t cluster, uint64_t *ret,
		 struct vc_error *err) VC_MUST_CHECK;
/* How many to start when so many are wanted; 0: one per CPU. Each takes `each`
 * bytes, and what there is but once `once`. */
unsigned copy_nr_threads(unsigned wanted, uint64_t once, uint64_t each);
/* The first failure stays; everything comes to an end. */
void copy_fail(struct copy *c, const struct vc_error *err);
/* Of the calling thread. */
void copy_report_progress(struct copy *c);
/* worker.c */
void *copy_worker(void *worker);
/* write.c: start writes of `s` to s->dst. Returns true when all of it is under
 * way, and the slot is FREE when that has ended. */
bool copy_write_slot(struct slot *s);
void copy_set_free(struct slot *s);
/* The length of what is at s->write_pos and is zero, or is not; one cluster if
 * they are compressed. */
uint64_t copy_next_run(const struct slot *s, bool *ret_zero);

#endif
