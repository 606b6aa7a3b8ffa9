/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of a container image, by name: in a folder, or in an archive. */
#ifndef MKIMAGE_SOURCE_STORE_H
#define MKIMAGE_SOURCE_STORE_H

#include "mkimage/source/tar.h"

#define STORE_MAX_NAME 4096
#define STORE_MAX_FILES 65536

struct store;

/* A file of it, open. */
struct store_file {
	struct stream_range range;
	int fd; /* owned, or -1 */
};

int store_open_dir(const char *path, struct store **ret,
		   struct vc_error *err) VC_MUST_CHECK;
/* Read the archive to its end. A file's place is all that is kept where it can
 * be found again: in a plain archive that is a file. All else is copied to a
 * temporary file without a name. Without `is_sure`, *ret is NULL after many names
 * that no image has. */
int store_open_tar(struct tar *t, bool is_sure, struct store **ret,
		   struct vc_error *err) VC_MUST_CHECK;
struct store *store_close(struct store *s);

VC_DEFINE_CLEANUP(store, struct store *, store_close)

/* May the archive that begins with these bytes be a container image's? */
bool store_is_likely(const void *head, size_t len);
bool store_has(struct store *s, const char *name);
/* Were there names that no image has? */
bool store_has_others(const struct store *s);
int store_get(struct store *s, const char *name, struct store_file *ret,
	      struct vc_error *err) VC_MUST_CHECK;
void store_file_close(struct store_file *f);
/* The whole of a file of JSON, terminated, to be freed. If `want`, its digest
 * is that, and its size `size`. */
int store_read(struct store *s, const char *name, const struct digest_id *want,
	       uint64_t size, char **ret, size_t *ret_len,
	       struct vc_error *err) VC_MUST_CHECK;

#endif
