/* SPDX-License-Identifier: BSD-3-Clause */
/* A file or pipe, decompressed if need be, read by a thread of its own. */
#ifndef MKIMAGE_SOURCE_STREAM_H
#define MKIMAGE_SOURCE_STREAM_H

#include <vmmcore/util.h>

struct stream;

/* Start reading `path`, "-" for standard input. */
int stream_open(const char *path, struct stream **ret,
		struct vc_error *err) VC_MUST_CHECK;
/* The next piece, which ends the life of the one before; *ret_len is 0 at the
 * end. */
int stream_next(struct stream *s, const uint8_t **ret_data, size_t *ret_len,
		struct vc_error *err) VC_MUST_CHECK;
/* How much of the input has been read, and its size (0: not known). */
uint64_t stream_get_input_pos(const struct stream *s);
uint64_t stream_get_input_size(const struct stream *s);
struct stream *stream_close(struct stream *s);

VC_DEFINE_CLEANUP(stream, struct stream *, stream_close)

#endif
