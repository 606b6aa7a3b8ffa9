/* SPDX-License-Identifier: BSD-3-Clause */
/* A file or pipe, decompressed if need be; a thread does what would keep the
 * caller waiting. */
#ifndef MKIMAGE_SOURCE_STREAM_H
#define MKIMAGE_SOURCE_STREAM_H

#include <vmmcore/util.h>
#include "mkimage/digest.h"

struct stream;

/* A part of a file that can be read at any place. */
struct stream_range {
	int fd; /* borrowed */
	uint64_t offset, size;
};

/* Start reading `path`, "-" for standard input. */
int stream_open(const char *path, struct stream **ret,
		struct vc_error *err) VC_MUST_CHECK;
/* Start reading `range`. `digest` is of its bytes as they are, before any
 * decompression; it is borrowed, and complete when stream_next() has told the
 * end: then all of the range has been read, whatever the compression left. */
int stream_open_range(const struct stream_range *range, struct digest *digest,
		      struct stream **ret, struct vc_error *err) VC_MUST_CHECK;
/* Can the input be opened and read again from where it began? */
bool stream_is_file(const struct stream *s);
/* Is the input compressed? After the first stream_next(). */
bool stream_is_compressed(const struct stream *s);
/* Would it be an error if the input were cut off? After the first
 * stream_next(). */
bool stream_has_end(const struct stream *s);
/* Did anything but zeroes follow the compressed data? After stream_next() has
 * told the end. */
bool stream_has_rest(const struct stream *s);
/* The file that the input is, if its bytes come as they are and can be read
 * again, else -1; borrowed. *ret_start is where the input began in it. After
 * the first stream_next(). */
int stream_get_plain(const struct stream *s, uint64_t *ret_start);
/* The next piece, which ends the life of the one before; *ret_len is 0 at the
 * end, and the last piece stays. */
int stream_next(struct stream *s, const uint8_t **ret_data, size_t *ret_len,
		struct vc_error *err) VC_MUST_CHECK;
/* How much of the input has been read, and its size (0: not known). */
uint64_t stream_get_input_pos(const struct stream *s);
uint64_t stream_get_input_size(const struct stream *s);
struct stream *stream_close(struct stream *s);

VC_DEFINE_CLEANUP(stream, struct stream *, stream_close)

#endif
