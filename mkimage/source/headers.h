/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers of an entry of tar, of which libarchive does not tell all. */
#ifndef MKIMAGE_SOURCE_HEADERS_H
#define MKIMAGE_SOURCE_HEADERS_H

#include "mkimage/source/tar.h"

struct archive_entry;

/* Where the fields of a header are (tar(5)), and how long those with numbers. */
enum {
	HEADER_MODE = 100,
	HEADER_UID = 108,
	HEADER_GID = 116,
	HEADER_SIZE = 124,
	HEADER_MTIME = 136,
	HEADER_CHECKSUM = 148,
	HEADER_TYPE = 156,
	HEADER_MAGIC = 257,
	HEADER_MAJOR = 329,
	HEADER_MINOR = 337,
	/* of star, where ustar has the rest of the prefix */
	HEADER_STAR_PREFIX_END = 475,
	HEADER_STAR_ATIME = 476,
	HEADER_STAR_CTIME = 488,
	HEADER_STAR_MAGIC = 508,

	HEADER_ID_LEN = 8, /* mode, uid, gid, checksum, major, minor */
	HEADER_NUMBER_LEN = 12,
};

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
