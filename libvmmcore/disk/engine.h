/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous file I/O: what a disk format does to its file. Three engines do
 * the same: io_uring, a pool of threads where a host has no io_uring, and plain
 * system calls, one after the other. One
 * thread at a time; an engine is shared by the disks of a backing chain and by the
 * parts of a composite disk, whose ends come in any order: it goes with the last.
 */
#ifndef DISK_ENGINE_H
#define DISK_ENGINE_H

#include <sys/uio.h>
#include <vmmcore/disk.h>

enum eng_op {
	ENG_READ, /* past the end of the file, zeroes are read */
	ENG_WRITE,
	ENG_SYNC,
	ENG_FALLOCATE,
	ENG_SHARE, /* done at once, by system calls, in every engine */
};

#define ENG_SMALL_IOV 4

/* One operation, embedded in what it is done for. */
struct eng_io {
	enum eng_op op;
	int fd;
	int mode; /* ENG_FALLOCATE; ENG_SHARE: one of these: */
#define ENG_SHARE_ONLY 0
#define ENG_SHARE_OR_COPY 1
#define ENG_SHARE_COPIED 2 /* what came of it */
	int src_fd;	   /* ENG_SHARE */
	uint64_t src_offset;
	uint64_t offset;
	uint64_t len;
	struct iovec *iov; /* small[] or heap; consumed as it goes */
	int nr_iov;
	/* 0 or -errno; only from engine_reap(). */
	void (*done)(struct eng_io *io, int res);

	/* the engine's */
	struct iovec *heap;
	struct iovec small[ENG_SMALL_IOV];
	struct eng_io *next;
	int res;
};

struct engine;

struct engine_ops {
	const char *name;
	void (*submit)(struct engine *e, struct eng_io *io);
	void (*kick)(struct engine *e);
	/* Move completions to e->finished; with `wait`, at least one. */
	void (*reap)(struct engine *e, bool wait);
	void (*free)(struct engine *e);
};

struct eng_queue {
	struct eng_io *head, *tail;
};

struct engine {
	const struct engine_ops *ops;
	unsigned nr_refs;
	int event_fd;
	unsigned nr_in_flight; /* submitted, done() not yet called */
	struct eng_queue finished;
	bool is_signalled; /* event_fd was written by engine_wake() */
};

/* Make the engine that `want` names; VC_DISK_IO_AUTO takes io_uring where the
 * host lets this process have it, else threads. */
int engine_new(enum vc_disk_io want, struct engine **ret,
	       struct vc_error *err) VC_MUST_CHECK;
struct engine *engine_ref(struct engine *e);
/* The last one frees it: nothing is in flight then. NULL is fine. */
struct engine *engine_unref(struct engine *e);

/* Give `io` the `len` bytes at `skip` of an iovec; copied. Returns false when
 * out of memory; `io` needs no clean-up then. */
bool eng_io_set_iov(struct eng_io *io, const struct iovec *iov, int nr_iov,
		    uint64_t skip, uint64_t len);
void eng_io_set_buf(struct eng_io *io, void *buf, size_t len);

void engine_submit(struct engine *e, struct eng_io *io);
void engine_kick(struct engine *e);
/* Call done() of what has completed. Returns how many. */
unsigned engine_reap(struct engine *e, bool wait);
/* Make event_fd readable. */
void engine_wake(struct engine *e);

/* ENG_SHARE (share.c). Returns 0 or -errno, -EOPNOTSUPP if this cannot be. */
int eng_share(struct eng_io *io);
/* Is this pair of files sure to share nothing? Changes neither. */
bool eng_cannot_share(int to, int from);

/* For the engines: queue `io` as done, or say that it must go on (the rest of
 * a short transfer). */
bool eng_io_advance(struct eng_io *io, int res);
/* Do all of `io` by system calls: io->res has the result. Any thread. */
void eng_io_run(struct eng_io *io);
void eng_queue_put(struct eng_queue *q, struct eng_io *io);
struct eng_io *eng_queue_get(struct eng_queue *q);

/* For tests: called before each system call for an operation, in the pool on the
 * thread that is to make it; an -errno it returns is the result instead. */
extern int (*engine_inject)(const struct eng_io *io);

int uring_engine_new(struct engine **ret, struct vc_error *err);
int pool_engine_new(struct engine **ret, struct vc_error *err);
int sync_engine_new(struct engine **ret, struct vc_error *err);

#endif
