/* SPDX-License-Identifier: BSD-3-Clause */
/* Compressed input, of any kind: told by its first bytes, checked to its end.
 */
#ifndef MKIMAGE_SOURCE_DECODE_H
#define MKIMAGE_SOURCE_DECODE_H

#include <vmmcore/util.h>

/* How far back in its output a decoder may have to look, which is most of the
 * memory it takes: what the largest levels of xz (64 MiB) and zstd have. */
#define DECODE_MAX_WINDOW_LOG 27
#define DECODE_MAX_WINDOW (UINT64_C(1) << DECODE_MAX_WINDOW_LOG)

/* So much that holds nothing, behind the compressed data or in between. */
#define DECODE_MAX_IDLE (UINT64_C(64) * 1024 * 1024)

struct decoder;

/* More of the input: *ret_len is 0 at its end. The bytes stay until the next
 * call that gives some. */
typedef int decode_feed(void *opaque, const uint8_t **ret, size_t *ret_len,
			struct vc_error *err);

/* Does an input that begins so need a decoder? */
bool decode_is_compressed(const uint8_t *head, size_t len);
/* Is it of a kind that has a mark at its end, without which it is refused? */
bool decode_has_end(const uint8_t *head, size_t len);
/* `head` is the beginning of what `feed` gives, and only looked at. */
int decoder_open(const uint8_t *head, size_t len, decode_feed *feed,
		 void *opaque, struct decoder **ret,
		 struct vc_error *err) VC_MUST_CHECK;
/* Fill `buf`; *ret_len is less than `len` only at the end, when all of the
 * input has been read and every checksum it has was right. */
int decoder_read(struct decoder *d, uint8_t *buf, size_t len, size_t *ret_len,
		 struct vc_error *err) VC_MUST_CHECK;
/* At the end: was there anything but zeroes behind the compressed data? */
bool decoder_has_rest(const struct decoder *d);
struct decoder *decoder_close(struct decoder *d);

VC_DEFINE_CLEANUP(decoder, struct decoder *, decoder_close)

#endif
