/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of pax headers, as far as libarchive does not read them or says
 * nothing of what it makes of them. */
#ifndef MKIMAGE_SOURCE_PAX_H
#define MKIMAGE_SOURCE_PAX_H

#include "mkimage/build.h"

struct archive_entry;

struct pax_time {
	bool is_set;
	int64_t sec;
	long nsec;
};

struct pax_id {
	bool is_set;
	int64_t id;
};

/* What a global header says of every entry behind it. */
struct pax_globals {
	struct pax_time mtime, atime, ctime;
	struct pax_id uid, gid;
};

/* An entry whose records are being read. */
struct pax_entry {
	struct build *b;	 /* borrowed */
	struct archive_entry *e; /* borrowed; what libarchive has read */
	const uint8_t *own;	 /* its header, a block */
	bool has_xattrs;	 /* ours in place of libarchive's */
};

/* Records of a global header: for all entries from now on. */
int pax_read_globals(struct build *b, struct pax_globals *g,
		     const uint8_t *records, size_t len,
		     struct vc_error *err) VC_MUST_CHECK;
void pax_apply_globals(const struct pax_globals *g, struct archive_entry *e);
/* Records of the entry's own: refuse them, warn of them, or put right what
 * libarchive has made of them. */
int pax_read_records(struct pax_entry *p, const uint8_t *records, size_t len,
		     struct vc_error *err) VC_MUST_CHECK;
/* Is this the text of a POSIX ACL, with ids that libarchive can tell? */
int pax_check_acl(const char *text, size_t len,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
