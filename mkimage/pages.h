/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory in large pages. */
#ifndef MKIMAGE_PAGES_H
#define MKIMAGE_PAGES_H

#include <stddef.h>

#define PAGES_LARGE ((size_t)2 * 1024 * 1024)

/* `len` bytes at a multiple of PAGES_LARGE, for buffers that are used as a whole
 * and again and again: the first use of each small page is a fault, and those of
 * some megabytes are a part of the time that a small image takes. Where the
 * kernel has no large pages they are small. NULL if there is no memory; goes with
 * free(). */
void *pages_alloc(size_t len);

#endif
