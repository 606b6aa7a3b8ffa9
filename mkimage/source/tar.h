/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of tar archives, one after the other. */
#ifndef MKIMAGE_SOURCE_TAR_H
#define MKIMAGE_SOURCE_TAR_H

#include "mkimage/build.h"
#include "mkimage/source/pax.h"
#include "mkimage/source/source.h"
#include "mkimage/source/stream.h"

#define TAR_BLOCK 512
#define TAR_MAGIC 16 /* bytes by which any kind of compression is known */
/* Of one entry: the headers, and the runs of data in the map of a sparse file,
 * which is one of them. libarchive has 80 bytes of memory for a run, and some 20
 * of its text are kept: 13 MiB, which leaves room for all the rest in the 48 MiB
 * that may be taken. In the oldest form of a map a run is 24 bytes: no other
 * takes more headers for as many. */
#define TAR_MAX_HEADERS (4 * 1024 * 1024)
#define TAR_MAX_RUNS (128 * 1024)

struct archive;

struct tar {
	struct build *b;       /* borrowed */
	struct stream *s;      /* borrowed */
	struct digest *digest; /* borrowed: of what `s` gives; may be NULL */
	struct vc_error err;   /* of `s`, while libarchive reads from it */

	/* The piece of input that the parser has now. Positions count the bytes
	 * handed out from the beginning of the stream. */
	const uint8_t *cur;
	size_t cur_len, cur_fed; /* cur_fed: already handed out of it */
	uint64_t total;		 /* position of its end */
	uint64_t base;		 /* position where this archive began */
	bool is_padded;		 /* zeroes were added up to a whole block */

	/* A compressed archive behind a plain one, see unpack(). */
	bool may_unpack;
	struct decoder *decoder; /* owned; NULL: there is none so far */
	uint8_t *unpacked;	 /* owned: what it made last */
	/* its first input, which has been read already: the end of one piece,
	 * then what is left of the next */
	uint8_t magic[TAR_MAGIC];
	const uint8_t *packed;
	size_t magic_len, packed_len;

	/* Headers that began in a piece before `cur`: a copy of them. */
	uint8_t *kept; /* owned */
	size_t kept_len;
	uint64_t kept_pos;    /* position of its beginning */
	uint64_t checked_pos; /* and of the last headers that were looked at */
	size_t nr_numbers;    /* in the copy: see check_more() */

	struct pax_globals globals; /* of this archive, so far */
	struct archive_sum sum;	    /* of this entry */
};

/* Fetch the first piece of `s`. */
int tar_start(struct tar *t, struct build *b, struct stream *s,
	      struct digest *digest, struct vc_error *err) VC_MUST_CHECK;
/* Call `fn` with each archive of the stream, which it reads to its end, and
 * then read the stream to its own end. */
int tar_each(struct tar *t,
	     int (*fn)(void *opaque, struct tar *t, struct archive *a,
		       struct vc_error *err),
	     void *opaque, struct vc_error *err) VC_MUST_CHECK;
/* All of them into the tree; as a layer of a container image if `is_layer`. */
int tar_to_tree(struct tar *t, bool is_layer,
		struct vc_error *err) VC_MUST_CHECK;
/* The headers that the parser has just read are not looked at any more: what it
 * asks for from here on is contents. */
void tar_pass_headers(struct tar *t, struct archive *a);
/* Where the parser is in the stream. */
uint64_t tar_get_pos(const struct tar *t, struct archive *a);

#endif
