/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers of an entry of tar, of which libarchive does not tell all. */
#ifndef MKIMAGE_SOURCE_HEADERS_H
#define MKIMAGE_SOURCE_HEADERS_H

#include "mkimage/source/tar.h"

struct archive_entry;

/* Is this block a header, by its checksum? */
bool header_is(const uint8_t *block);
/* A number in octal or in base 256; what is larger is INT64_MAX. */
int64_t header_get_number(const uint8_t *field, size_t len);
/* Look at the headers of `e`, from the first of pax or GNU to its own: put right
 * what libarchive has made of them, warn of what is left out. `len` bytes of them
 * are at hand, which may be more than there are headers. */
int headers_check(struct tar *t, const uint8_t *all, size_t len,
		  struct archive_entry *e, struct vc_error *err) VC_MUST_CHECK;

#endif
