/* SPDX-License-Identifier: BSD-3-Clause */
/* What libarchive makes of a pax record without a word. */
#ifndef MKIMAGE_SOURCE_PAX_H
#define MKIMAGE_SOURCE_PAX_H

#include "mkimage/build.h"

struct archive_entry;

/* Look at a record of the entry `e` of `type`, which libarchive has read:
 * refuse it, warn of it, or put right what `e` lacks. The value is not
 * terminated and not empty. */
int pax_check_record(struct build *b, struct archive_entry *e, char type,
		     const char *key, const char *value, size_t len,
		     struct vc_error *err) VC_MUST_CHECK;
/* Is this the text of a POSIX ACL, with ids that libarchive can tell? */
int pax_check_acl(const char *text, size_t len,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
