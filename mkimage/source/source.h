/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a tree comes from. Each source adds to the tree of a build; a later one
 * goes over what earlier ones brought. */
#ifndef MKIMAGE_SOURCE_H
#define MKIMAGE_SOURCE_H

#include "mkimage/build.h"

struct archive;

/* A tar archive of any dialect, compressed or not; "-" is standard input. */
int source_tar(struct build *b, const char *path,
	       struct vc_error *err) VC_MUST_CHECK;
/* Every entry of an archive that libarchive has opened. */
int source_archive(struct build *b, struct archive *a,
		   struct vc_error *err) VC_MUST_CHECK;

#endif
