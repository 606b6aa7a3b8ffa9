/* SPDX-License-Identifier: BSD-3-Clause */
/* A file written from its beginning to its end, compressed on the way. */
#ifndef MKIMAGE_CPIO_PACK_H
#define MKIMAGE_CPIO_PACK_H

#include <vmmcore/util.h>

struct pack;

#define PACK_MAX_GZIP 9
#define PACK_MAX_ZSTD 19

/* Write to `fd`, borrowed. `method` is NULL, "gzip" or "zstd"; `level` 0 its
 * default. */
int pack_new(int fd, const char *method, unsigned level, struct pack **ret,
	     struct vc_error *err) VC_MUST_CHECK;
int pack_write(struct pack *p, const void *data, size_t len,
	       struct vc_error *err) VC_MUST_CHECK;
/* All of it is in. *ret_bytes is what the file has. */
int pack_finish(struct pack *p, uint64_t *ret_bytes,
		struct vc_error *err) VC_MUST_CHECK;
struct pack *pack_free(struct pack *p);

#endif
