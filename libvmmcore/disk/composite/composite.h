/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DISK_COMPOSITE_COMPOSITE_H
#define DISK_COMPOSITE_COMPOSITE_H

#include <vmmcore/composite.h>
#include "disk/disk.h"

#define CP_MAGIC "composite_disk\x1d"
#define CP_MAGIC_BYTES 15
#define CP_VERSION 2

/* The text of a file with this list; malloc'ed. */
int cp_pack(const struct vc_composite *c, uint8_t **ret, size_t *ret_len,
	    struct vc_error *err);
/* The list in the text of a file. */
int cp_parse(const uint8_t *text, size_t len, struct vc_composite **ret,
	     struct vc_error *err);

#endif
