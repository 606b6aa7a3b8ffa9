/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An open qcow2 image. The files of this folder, from the bottom up:
 *
 *	header.c    the header, parsed; pure
 *	seen.c      tables that are named twice
 *	table.c     L1 and refcount table, whole in memory
 *	meta.c      cached pages of what is larger
 *	writeback.c writes the dirty ones in the order that keeps it consistent
 *	refcount.c  allocation and release of clusters
 *	map.c       guest offset -> extent, L2 entries
 *	io.c        the requests: read; write.c: write; zero.c: discard, zeroes;
 *	            compressed.c: clusters that are compressed
 *	holes.c     clusters in use without a byte in the file
 *	qcow2.c     open, close, and the table of operations
 *
 * and beside them, on files that are not open: create.c, info.c, check.c and
 * repair.c; edit.c changes metadata as one step, with head.c (the header) and
 * tree.c (L1 and L2 tables), for snapshot.c, bitmap.c, resize.c and amend.c.
 *
 * Everything happens on one thread. What cannot go on yet (a page is being
 * loaded, a range is locked, metadata is frozen) is a waiter in a list; when
 * the reason is gone it is put on the run queue and tries again from the last
 * safe point. A function that may have to wait returns an enum qc_result and
 * has, on QC_WAIT, put the waiter where it will be found. No pointer to a page
 * is held across a wait.
 */
#ifndef DISK_QCOW2_QCOW2_H
#define DISK_QCOW2_QCOW2_H

#include "disk/codec.h"
#include "disk/disk.h"
#include "disk/qcow2/format.h"

/* Pages of L2 tables and refcount blocks (and of a large L1 table that is only
 * read) kept in memory. 16 MiB of L2 entries
 * reach 128 GiB of a disk with 64 KiB clusters. */
#define QC_CACHE_BYTES (16u << 20)
#define QC_MIN_PAGES 16
#define QC_MAX_RESIDENT_L1 (256u << 10)
#define QC_PAGE_BYTES (16u << 10) /* or a cluster, if that is smaller */
/* Clusters that wait to be released, at most, before they are. */
#define QC_MAX_FREES 4096
/* Reads and writes of metadata in flight at a time in a writeback. */
#define QC_WB_SLOTS 16
#define QC_WB_IOV 64	     /* pages in one write, at most */
#define QC_TABLE_CHUNK 4096u /* of a table: what is written at a time */

enum qc_result {
	QC_OK,
	QC_WAIT, /* the waiter is queued */
	QC_EIO,	 /* and the rest are final */
	QC_ENOMEM,
	QC_ENOSPC,
	QC_CORRUPT, /* the image breaks its rules */
	QC_ENOTSUP,
};

struct qc_disk;

/* Something that can be told to try again. */
struct qc_waiter {
	/* `res` is QC_OK, or why what was waited for failed */
	void (*run)(struct qc_waiter *w, enum qc_result res);
	struct qc_waiter *next;
	enum qc_result res;
};

struct qc_waitlist {
	struct qc_waiter *head, *tail;
};

/* --- tables (table.c) ----------------------------------------------------- */

/* L1 or refcount table: whole in memory, written in chunks. Of an image that is
 * only read an L1 table that is larger than QC_MAX_RESIDENT_L1 is not loaded
 * (entries is NULL): its entries come by way of the cache. */
struct qc_table {
	be64_t *entries;
	uint32_t nr;
	uint64_t offset; /* in the file */
	uint8_t *dirty;	 /* a byte per chunk */
	bool is_dirty;
};

int qc_table_load(struct qc_table *t, int fd, uint64_t offset, uint32_t nr,
		  const char *what, struct vc_error *err) VC_MUST_CHECK;
void qc_table_fini(struct qc_table *t);
static inline uint64_t qc_table_get(const struct qc_table *t, uint64_t i)
{
	return be64_get(t->entries[i]);
}
void qc_table_set(struct qc_table *t, uint64_t i, uint64_t v);
/* More entries, zero, all to be written. */
bool qc_table_grow(struct qc_table *t, uint32_t nr);
/* The next dirty part from byte *pos on; cleared by qc_table_clean(). */
bool qc_table_next_dirty(const struct qc_table *t, size_t *pos, size_t *len);
void qc_table_clean(struct qc_table *t);

/* --- tables that are named twice (seen.c) --------------------------------- */

struct qc_seen;
struct qc_seen *qc_seen_new(void); /* freed by free(); NULL: no memory */
void qc_seen_clear(struct qc_seen *s);
/* Has another entry of `owner` than `index` named the table at `offset`, not 0?
 * *ret_index: which one. Remembers it, else. */
bool qc_seen_before(struct qc_seen *s, uint64_t offset, uint32_t owner,
		    uint32_t index, uint32_t *ret_index);

/* --- pages (meta.c) -------------------------------------------------------- */

enum qc_page_kind { QC_PAGE_REFCOUNT, QC_PAGE_L2, QC_PAGE_L1 };

struct qc_page {
	uint64_t offset; /* in the file; the key */
	enum qc_page_kind kind;
	bool is_loading;
	bool is_dirty;
	struct qc_page *hash_next;
	struct qc_page *lru_prev, *lru_next;
	struct qc_waitlist waiters; /* while loading */
	struct eng_io io;
	struct qc_disk *q;
	uint8_t *data;
};

struct qc_cache {
	struct qc_page **hash;
	size_t hash_size;
	struct qc_page lru; /* head of a ring: lru_next is the oldest */
	size_t nr_pages, nr_dirty, max_pages;
	uint32_t page_bytes;
};

bool qc_cache_init(struct qc_disk *q);
void qc_cache_fini(struct qc_disk *q);
/* The page at `offset`, loaded. Its offset was validated. */
enum qc_result qc_page_get(struct qc_disk *q, enum qc_page_kind kind,
			   uint64_t offset, struct qc_waiter *w,
			   struct qc_page **ret);
/* A page of a cluster just allocated: zeroed and dirty. */
enum qc_result qc_page_new(struct qc_disk *q, enum qc_page_kind kind,
			   uint64_t offset, struct qc_page **ret);
void qc_page_dirty(struct qc_disk *q, struct qc_page *p);
/* Forget the pages of a cluster that holds metadata no more. */
void qc_cache_forget(struct qc_disk *q, uint64_t offset);
/* Down to the limit; between steps only, when nobody holds a pointer. */
void qc_cache_trim(struct qc_disk *q);

/* --- writeback (writeback.c) ------------------------------------------------ */

struct qc_run {
	uint64_t first, count; /* clusters */
};

struct qc_wb_io {
	struct eng_io io;
	struct qc_disk *q;
	struct qc_page *pages[QC_WB_IOV];
	int nr_pages;
};

struct qc_writeback {
	bool is_active;
	/* No L2 entry or refcount may change: they are being written. */
	bool is_frozen;
	unsigned stage;
	enum qc_result res;
	struct qc_waitlist thawed;   /* wait for !is_frozen */
	struct qc_waitlist finished; /* wait for !is_active */
	struct req_queue next_flush; /* for the next round */
	struct req_queue flushing;   /* done when this round is durable */
	struct qc_page **pages;	     /* dirty ones of the stage, sorted */
	size_t nr_pages, next_page;
	size_t table_pos;
	unsigned nr_in_flight;
	struct qc_wb_io slots[QC_WB_SLOTS];
	struct eng_io io;      /* syncs, tables, holes */
	struct eng_io data_io; /* syncs of the data file */
	struct qc_reftable_pointer pointer;
	struct qc_waiter waiter;
	/* clusters released when what referred to them is gone for good */
	struct qc_run *frees;
	size_t nr_frees, max_frees, nr_ripe, next_free;
	struct qc_run freeing;
	uint64_t nr_punched; /* the first ones of `freeing` */
	bool want_round;     /* start another round after this one */
};

/* Start a round if none runs, else have one follow. */
void qc_writeback_start(struct qc_disk *q);
void qc_writeback_flush(struct qc_disk *q, struct vc_disk_req *req);
/* QC_OK if metadata may be changed now. */
enum qc_result qc_writeback_gate(struct qc_disk *q, struct qc_waiter *w);
bool qc_writeback_needed(const struct qc_disk *q);
void qc_writeback_fini(struct qc_disk *q);

/* --- refcounts (refcount.c) -------------------------------------------------- */

/* Allocate up to `want` clusters in a row, at least one; their refcounts are 1
 * in memory. Passes the gate itself: call just before using them. *ret_fresh:
 * the file was never written there, so it reads zeroes. */
enum qc_result qc_alloc(struct qc_disk *q, uint64_t want, struct qc_waiter *w,
			uint64_t *ret_first, uint64_t *ret_count,
			bool *ret_fresh);
/* Drop one reference to each, once what is dirty now has been written. */
void qc_free_later(struct qc_disk *q, uint64_t first, uint64_t count);
/* The refcount page of a cluster, which has a refcount block. */
enum qc_result qc_refcount_page(struct qc_disk *q, uint64_t cluster,
				struct qc_waiter *w, struct qc_page **ret,
				size_t *ret_index);

/* --- mapping (map.c) ----------------------------------------------------------- */

enum qc_kind {
	QC_UNALLOCATED,
	QC_ZERO_PLAIN,
	QC_ZERO_ALLOCATED,
	QC_NORMAL,
	QC_COMPRESSED_CLUSTER,
};

/* What a write has to do. */
enum qc_write_how {
	QC_WRITE_NEW,	   /* allocate; fill the units it touches */
	QC_WRITE_REPLACE,  /* allocate; fill the clusters it touches */
	QC_WRITE_KEEP,	   /* the cluster is there: fill the units, link */
	QC_WRITE_IN_PLACE, /* nothing but the data changes */
};

/* An L2 entry; the second word is 0 if the image has no subclusters. */
struct qc_entry {
	uint64_t desc, bitmap;
};

struct qc_extent {
	enum qc_kind kind;
	enum qc_write_how how;
	uint64_t len; /* bytes from the offset asked for */
	/* Of the first byte, in the file with the data: ALLOCATED, NORMAL. The
	 * entry itself: COMPRESSED. */
	uint64_t host;
};

/* What is at `offset`: the longest run of one kind, at most `max_len`, that one
 * page of L2 entries tells; at most one cluster that is compressed. */
enum qc_result qc_lookup(struct qc_disk *q, uint64_t offset, uint64_t max_len,
			 struct qc_waiter *w, struct qc_extent *ret);
/* The same, but the run is one of what a write has to do. */
enum qc_result qc_lookup_write(struct qc_disk *q, uint64_t offset,
			       uint64_t max_len, struct qc_waiter *w,
			       struct qc_extent *ret);
/* Make sure that `offset` has an L2 table that may be changed. A job that ends
 * without having tried again calls the second one. */
enum qc_result qc_l2_own(struct qc_disk *q, uint64_t offset,
			 struct qc_waiter *w);
void qc_l2_own_end(struct qc_disk *q, const struct qc_waiter *w);
/* The L2 page for `offset` and the entry's index in it. *ret_left: entries
 * from there to the end of the page. NULL if there is no L2 table. */
enum qc_result qc_l2_page(struct qc_disk *q, uint64_t offset,
			  struct qc_waiter *w, struct qc_page **ret,
			  size_t *ret_index, size_t *ret_left);
/* Change an entry, releasing what the old one referred to and the new one does
 * not. */
void qc_l2_set(struct qc_disk *q, struct qc_page *p, size_t i,
	       struct qc_entry e);
struct qc_entry qc_l2_get(const struct qc_disk *q, const struct qc_page *p,
			  size_t i);
/* `unit`: the subcluster, or 0. */
enum qc_kind qc_unit_kind(const struct qc_disk *q, struct qc_entry e,
			  unsigned unit);
bool qc_entry_ok(const struct qc_disk *q, struct qc_entry e);

/* Is `host` in a hole of the file, and known to read zero? *len: for how long
 * the answer is the same. Not while the image is written. */
bool qc_is_hole(struct qc_disk *q, uint64_t host, uint64_t *len);

/* --- requests ------------------------------------------------------------------ */

/* A range of guest clusters in use by a request. */
struct qc_lock {
	uint64_t first, last;
	bool is_exclusive, is_held;
	struct qc_lock *prev, *next;
	struct qc_waitlist waiters;
};

struct qc_job;
typedef void (*qc_step_fn)(struct qc_job *job);

struct qc_job {
	struct qc_waiter waiter; /* first: runs `step` */
	struct qc_disk *q;
	struct vc_disk_req *req; /* of the client, or `own` of a parent */
	struct qc_job *parent;	 /* this job reads for its copy-on-write */
	qc_step_fn step;
	uint64_t pos; /* bytes of req done */
	uint64_t end; /* work up to here (WRITE_ZEROES of a part) */
	struct qc_extent ext;
	struct qc_lock lock;
	struct eng_io io;
	bool is_zeroes; /* writes zeroes instead of req->iov */
	bool skip_lock;
	/* a write that allocates */
	uint64_t new_first, new_count;
	bool is_new, is_fresh;
	uint64_t fill_bytes;  /* of the first and last of these is kept... */
	uint8_t *head, *tail; /* ... this: */
	uint64_t head_len, tail_len;
	uint64_t reserved; /* of QC_MAX_FILL_BYTES */
	/* a compressed cluster */
	uint8_t *packed;
	uint64_t packed_host, packed_len;
	void (*packed_next)(struct qc_job *job); /* after it was read */
	struct vc_disk_req own; /* read of the backing file, or for a child */
	struct iovec own_iov;
	struct iovec *sub_iov; /* malloc'ed, for `own` */
	enum vc_disk_status own_status;
	struct qc_job *next_free;
};

/* A compressed cluster, as it is when decompressed. */
struct qc_unpacked {
	uint64_t desc; /* its L2 entry; 0: none */
	uint64_t used; /* when */
	uint8_t *data;
};
#define QC_NR_UNPACKED 4
/* Bytes of compressed clusters being read, at most (or one cluster). */
#define QC_MAX_PACKED_BYTES (2u << 20)

/* Memory for the kept parts of clusters that are filled, at most (or of one
 * write). */
#define QC_MAX_FILL_BYTES (4u << 20)

struct qc_packing {
	struct codec_decoder *decoder;
	struct qc_unpacked cache[QC_NR_UNPACKED];
	uint64_t clock;
	uint64_t nr_bytes; /* being read */
	struct qc_waitlist waiters;
	/* Where the next compressed cluster goes: in the middle of a cluster
	 * of the file; 0: none is begun. */
	uint64_t next_host;
};

struct qc_disk {
	struct vc_disk base;
	struct qc_header h;
	struct vc_disk
		*data; /* external data file, one of the parts; or NULL */
	struct qc_packing packing;
	unsigned unit_bits; /* of what an L2 entry tells apart */
	unsigned l2_entry_bits, l2_reach_bits;
	struct qc_table l1, reftable;
	struct qc_cache cache;
	struct qc_writeback wb;
	struct qc_waitlist runnable;
	bool is_running;
	bool is_broken; /* corruption was met: nothing is written any more */
	bool is_closing;
	bool is_begun; /* the header says that somebody writes */
	bool is_lazy;  /* refcounts may be wrong until close: says the header */
	unsigned page_bits;
	uint64_t file_clusters; /* known length of the file, rounded up */
	uint64_t fresh_from;	/* cluster: the file is untouched from here */
	uint64_t free_hint;	/* no free cluster is before this one */
	bool reftable_moved;	/* the header must be told */
	/* Of L2 tables that were mapped; NULL: none. */
	struct qc_seen *seen;
	bool is_mapping;
	/* Holes of the file in clusters that are in use (holes.c). */
	enum { QC_HOLES_UNKNOWN, QC_HOLES_NONE, QC_HOLES_ASK } holes;
	uint64_t span_from, span_to; /* of the file, asked last */
	bool span_is_hole;
	struct qc_run *fixed; /* snapshot L1 tables and the like: no data */
	size_t nr_fixed;
	uint64_t nr_fill_bytes;
	struct qc_waitlist fill_waiters;
	/* Guest bytes known to be unallocated, of a disk that is only read. */
	uint64_t hole_start, hole_end;
	/* Who copies an L2 table. One at a time, as all of its pages have to be
	 * in the cache at once: several would drive out each other's. */
	struct qc_waiter *table_owner;
	struct qc_waitlist table_waiters;
	struct qc_lock locks; /* ring of held locks */
	struct qc_job *free_jobs;
};

static inline struct qc_disk *to_qc(struct vc_disk *d)
{
	return vc_container_of(d, struct qc_disk, base);
}
static inline uint64_t qc_clusters(const struct qc_disk *q, uint64_t bytes)
{
	return (bytes >> q->h.cluster_bits) +
	       !!(bytes & (q->h.cluster_bytes - 1));
}

/* --- waiting (qcow2.c) ---------------------------------------------------------- */

void qc_wait_on(struct qc_waitlist *list, struct qc_waiter *w);
/* Make all of a list runnable. */
void qc_wake(struct qc_disk *q, struct qc_waitlist *list, enum qc_result res);
void qc_make_runnable(struct qc_disk *q, struct qc_waiter *w,
		      enum qc_result res);
/* Run what is runnable: at the end of everything that comes from outside. */
void qc_run_queue(struct qc_disk *q);
/* The image contradicts itself: stop writing and say so in its header. */
enum qc_result qc_corrupt(struct qc_disk *q, const char *fmt, ...)
	VC_PRINTF(2, 3);
enum vc_disk_status qc_status(enum qc_result res);
enum qc_result qc_result_of(int res); /* of 0 or -errno */

/* io.c */
struct qc_job *qc_job_new(struct qc_disk *q, struct vc_disk_req *req);
void qc_job_finish(struct qc_job *job, enum vc_disk_status status);
void qc_job_submit_io(struct qc_job *job, enum eng_op op, uint64_t host,
		      void (*done)(struct eng_io *io, int res));
/* QC_OK if nobody else uses the range in a way that excludes it. */
enum qc_result qc_lock_range(struct qc_job *job, uint64_t offset, uint64_t len,
			     bool exclusive);
void qc_unlock(struct qc_job *job);
void qc_read_step(struct qc_job *job);
/* write.c */
void qc_write_step(struct qc_job *job);
/* Free what was kept for a fill. */
void qc_fill_release(struct qc_job *job);
/* zero.c */
void qc_zero_step(struct qc_job *job);
/* compressed.c */
/* May another compressed cluster be read? */
enum qc_result qc_unpack_gate(struct qc_job *job);
/* Read the compressed cluster job->ext. Returns true if that was started, false
 * if it was done at once. `next` goes on. */
bool qc_unpack(struct qc_job *job, void (*next)(struct qc_job *job));
void qc_unpacked_forget(struct qc_disk *q, uint64_t desc);
void qc_pack_step(struct qc_job *job);
void qc_packing_fini(struct qc_disk *q);

/* Have the header speak of a snapshot, before its tables are loaded. */
int qc_use_snapshot(struct qc_disk *q, const struct vc_disk_open_opts *opts,
		    struct vc_error *err) VC_MUST_CHECK;

/* What else works on files (create.c, check.c, info.c) */
int qc_create(int fd, const struct vc_disk_create_opts *opts,
	      struct vc_error *err);
int qc_check(int fd, struct vc_disk_check *chk, struct vc_error *err);
int qc_info(int fd, struct vc_disk_info *ret, struct vc_error *err);

#endif
