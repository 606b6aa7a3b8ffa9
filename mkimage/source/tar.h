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
	struct build *b;	 /* borrowed */
	struct stream *s;	 /* borrowed */
	struct digest *digest;	 /* of what the stream gives; may be NULL */
	struct decoder *decoder; /* of what follows in it, see unpack() */
	uint8_t *unpacked;	 /* what it makes */
	bool may_unpack;
	/* what it gets first of the stream */
	uint8_t magic[TAR_MAGIC];
	const uint8_t *packed;
	size_t magic_len, packed_len;
	struct vc_error err;	 /* of the stream */
	const uint8_t *cur;	 /* what the parser has now */
	size_t cur_len, cur_fed; /* cur_fed: already handed out of it */
	uint64_t total;		 /* where `cur` ends in the stream */
	bool is_padded;		 /* beyond it, to a whole block */
	uint64_t base;		 /* where this archive began */
	/* headers that began before `cur`, which goes on with them; where those
	 * begin that have been looked at */
	uint8_t *kept;
	size_t kept_len;
	uint64_t kept_pos, checked_pos;
	size_t nr_numbers;	    /* in what is kept, as of a map */
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
