/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system writer. Contents go to the disk as they arrive, between
 * file_begin() and file_end(); everything else is laid out by finish(), when
 * the whole tree is known. One thread.
 */
#ifndef MKIMAGE_WRITER_H
#define MKIMAGE_WRITER_H

#include <vmmcore/gpt.h>
#include "mkimage/tree.h"

struct writer;

/* What finish() tells. Sizes in bytes. */
struct writer_report {
	uint64_t size, used, free;
	uint64_t nr_inodes, nr_free_inodes;
	uint64_t data;	   /* contents of files, holes not counted */
	uint64_t identity; /* tells it from others; the same of the same */
	char uuid[VC_GUID_TEXT]; /* "" where there is none */
};

struct writer_ops {
	const char *name;
	/* Contents of `n`, a NODE_FILE without any, of n->size_bytes. */
	int (*file_begin)(struct writer *w, struct node *n,
			  struct vc_error *err);
	/* Bytes of that file, from `offset` on. Calls go upwards and do not
	 * overlap; what they leave out is a hole. */
	int (*file_data)(struct writer *w, uint64_t offset, const void *data,
			 size_t len, struct vc_error *err);
	int (*file_end)(struct writer *w, struct vc_error *err);
	/* `n` has lost its contents: to others, or with its last name. */
	void (*file_drop)(struct writer *w, struct node *n);
	/* Lay out `t`, which is complete, and write all that is left; `time` is
	 * when the file system was made, in seconds since 1970. */
	int (*finish)(struct writer *w, struct tree *t, int64_t time,
		      struct writer_report *ret, struct vc_error *err);
	/* After finish(): read contents back, within the file. */
	int (*file_read)(struct writer *w, const struct node *n,
			 uint64_t offset, void *data, size_t len,
			 struct vc_error *err);
	void (*free)(struct writer *w);
};

/* Base of every writer. */
struct writer {
	const struct writer_ops *ops;
	/* The values of one entry's attributes may have so many bytes at most;
	 * more could have no room anywhere. 0: any number. */
	uint32_t max_values;
};

#endif
