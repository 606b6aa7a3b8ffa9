/* SPDX-License-Identifier: BSD-3-Clause */
/* What the walk through a folder and its look at one entry share. */
#ifndef MKIMAGE_SOURCE_DIR_H
#define MKIMAGE_SOURCE_DIR_H

#include <sys/stat.h>
#include "mkimage/source/source.h"

/* Half of one state and half of another is in no image. */
static inline int dir_changed(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, 0, "changed while it was read");
}

/* All borrowed. */
struct dir_meta {
	struct build *b;
	const struct source_opts *opts;
	const char *path; /* in the image, for messages */
	uint8_t *buf;	  /* of XSET_MAX_VALUE bytes */
};

/* Of what `st` is about and `fd` has open. */
int dir_get_meta(const struct dir_meta *d, const struct stat *st, int fd,
		 struct tree_meta *ret, struct vc_error *err) VC_MUST_CHECK;

#endif
