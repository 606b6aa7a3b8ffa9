/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that write to one disk, each through a queue of its own, and the
 * book they keep: what of each block may be there when they die, and what has
 * to be.
 *
 * A block has one request in flight at a time, with a sequence number that only
 * grows; what is written carries both numbers all over. So each part of a block
 * tells which write it comes from, or is zero.
 */
#ifndef TESTS_UNIT_DISK_WRITERS_H
#define TESTS_UNIT_DISK_WRITERS_H

#include <vmmcore/disk.h>

#define WRITERS_BLOCK 4096u
#define WRITERS_BLOCKS 2048u
#define WRITERS_BYTES ((uint64_t)WRITERS_BLOCK * WRITERS_BLOCKS)

#define WRITERS_SEQS 100000u /* sequence numbers of one writers_run() */

/* Sequence numbers, of each block; in shared memory. */
struct writers_book {
	uint32_t submitted[WRITERS_BLOCKS]; /* the newest */
	uint32_t completed[WRITERS_BLOCKS];
	uint32_t durable[WRITERS_BLOCKS]; /* this or a newer one is there */
	uint32_t zeroed[WRITERS_BLOCKS];  /* the newest that is zeroes */
};
struct writers_book *writers_book_new(void);
void writers_book_free(struct writers_book *book);

struct writers {
	struct vc_disk *disk;
	struct writers_book *book;
	uint32_t number; /* 1 to 40000; larger than that of any before */
	uint32_t seed;
	/* or NONE; a cluster is a block then */
	enum vc_disk_compression compression;
	unsigned nr_requests; /* of each thread; 0: for ever */
	/* What fails (with EIO or ENOSPC) is tried again, or left; else it
	 * ends the process, with status 3. */
	bool retries, gives_up;
	unsigned nr_failed; /* out: that often something has */
};
/* Returns when all threads have ended. */
void writers_run(struct writers *w);
/* All that was completed is durable now. */
void writers_closed(struct writers *w);
/* Is the disk what the book says? A write is done in pieces of `unit`, each at
 * once. What is found is what the next writers start from. */
void writers_verify(struct writers_book *book, struct vc_disk *disk,
		    uint32_t unit);

/* What VMMKIT_KILLS (default 1) says: `nr` times as much. */
unsigned writers_rounds(unsigned nr);
/* VMMKIT_SEED, or another one each time; printed. */
uint32_t writers_seed(const char *test);

#endif
