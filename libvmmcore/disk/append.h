/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the formats have in common whose images are written in one pass.
 *
 * Requests are taken one after the other. What becomes of their bytes gathers
 * in the current of a few output buffers; those are written while the next one
 * is filled. When none is free the request at the head of the queue waits.
 *
 * A write that fails leaves a gap in the file that nothing can close: all later
 * requests fail in the same way.
 */
#ifndef DISK_APPEND_H
#define DISK_APPEND_H

#include "disk/disk.h"

#define APPEND_OUTS 4
#define APPEND_OUT_BYTES (1u << 20)

struct appender;

struct append_out {
	struct eng_io io;
	struct appender *appender;
	uint8_t *data;
	size_t len;
	bool is_busy; /* being written */
};

struct append_ops {
	/* Take the bytes of a write from a->req_pos on, which is moved. Its
	 * offset is a->pos or beyond at first. False: wait; is called again. */
	bool (*write)(struct appender *a, const struct vc_disk_req *req);
	/* Zeroes, from a->pos or beyond; may do nothing now. */
	bool (*write_zeroes)(struct appender *a, const struct vc_disk_req *req);
	/* The same of VC_DISK_WRITE_COMPRESSED; may be NULL. */
	bool (*write_compressed)(struct appender *a,
				 const struct vc_disk_req *req,
				 enum vc_disk_status *ret);
	/* The current buffer is about to be written. */
	void (*before_out)(struct appender *a); /* may be NULL */
};

struct appender {
	struct vc_disk *disk; /* borrowed */
	const struct append_ops *ops;
	enum vc_disk_status failed;
	uint64_t pos;	  /* how much of the disk was taken */
	uint64_t req_pos; /* in the first waiting request */
	struct req_queue waiting;
	struct append_out outs[APPEND_OUTS];
	struct append_out *out; /* the one being filled; NULL: all are busy */
	uint64_t out_offset;	/* where it goes */
};

/* `offset`: where in the file output begins. False: no memory; fini all the
 * same. */
bool append_init(struct appender *a, struct vc_disk *disk,
		 const struct append_ops *ops, uint64_t offset);
void append_fini(struct appender *a);
/* A request, flushes included. */
void append_submit(struct appender *a, struct vc_disk_req *req);

/* A place for `len` bytes of output, at most APPEND_OUT_BYTES; NULL: wait. */
uint8_t *append_room(struct appender *a, size_t len);
/* So many bytes are there now. */
void append_add(struct appender *a, size_t len);
/* Where the next byte of output will be in the file. */
uint64_t append_offset(const struct appender *a);

/* For close: wait until there is room; append; write all and wait. */
void append_settle(struct appender *a);
void append_put(struct appender *a, const void *data, size_t len);
int append_finish(struct appender *a, struct vc_error *err);
/* Has anything failed? */
int append_check(const struct appender *a, struct vc_error *err);
/* Cut the file where output ends, and wait for the medium. */
int append_end_file(struct appender *a, struct vc_error *err);

#endif
