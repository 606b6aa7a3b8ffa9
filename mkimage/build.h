/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One image in the making: what the sources fill and what they need to know.
 */
#ifndef MKIMAGE_BUILD_H
#define MKIMAGE_BUILD_H

#include "mkimage/accounts.h"
#include "mkimage/acl.h"
#include "mkimage/machine.h"
#include "mkimage/pattern.h"
#include "mkimage/tree.h"
#include "mkimage/warn.h"
#include "mkimage/writer.h"

/* What ext4 can tell: 32 bits of signed seconds and two more above. */
#define BUILD_MIN_TIME (-INT64_C(0x80000000))
#define BUILD_MAX_TIME INT64_C(0x37fffffff)

/* How much memory ACLs may take that name accounts and so have to wait until all
 * sources are in: so many bytes, and more for each entry. */
#define BUILD_ACL_ROOM (UINT64_C(32) * 1024 * 1024)
#define BUILD_ACL_ROOM_EACH 1024

/* An ACL that names accounts; the image's own passwd and group tell the
 * numbers, when they are all there. */
struct named_acl {
	struct named_acl *next;
	struct node *node;
	bool is_default;
	size_t nr;
	struct acl_entry *entries;
	char **names; /* NULL where the entry has its id */
	char *path;   /* printable */
};

struct build {
	struct tree tree;
	struct writer *writer;
	struct warnings warn;
	const struct patterns *exclude; /* borrowed; no source brings what they
					 * match */
	bool is_verbose;		/* log every entry */
	/* the file that --force is to replace, which is in no folder then */
	bool has_old;
	dev_t old_dev;
	ino_t old_ino;
	bool has_epoch;
	int64_t epoch;	  /* SOURCE_DATE_EPOCH: no time is later */
	int64_t max_time; /* the latest in the input */
	bool has_time;
	uint64_t nr_entries;
	/* of the host, and container images: what some options are for */
	bool has_folder, has_image;
	struct accounts passwd, group, shadow, hosts;
	struct machine_count machines;
	struct named_acl *acls;
	uint64_t acl_bytes; /* of memory for them */
	/* called now and then; may be NULL */
	void (*progress)(struct build *b, uint64_t pos, uint64_t size);
};

int build_init(struct build *b, struct vc_error *err) VC_MUST_CHECK;
void build_fini(struct build *b);
/* All sources are in: bind hard links, name the ACLs' accounts. What comes
 * after finds everything in its place. */
int build_settle(struct build *b, struct vc_error *err) VC_MUST_CHECK;
/* Nothing else comes: settle, and give a time to directories nobody spoke of.
 */
int build_complete(struct build *b, struct vc_error *err) VC_MUST_CHECK;
/* What is at a place before a new entry comes, and whose loss somebody might
 * not expect. */
enum build_before {
	BUILD_BEFORE_NOTHING,
	BUILD_BEFORE_DIR,  /* a directory that is not empty */
	BUILD_BEFORE_LINK, /* a symbolic link of an earlier source */
	BUILD_BEFORE_FILE, /* anything else of an earlier source */
};
enum build_before build_look(const struct build *b,
			     const struct tree_place *place);
/* The new entry, `path`, has come: warn if a directory went with all that was
 * in it, or if a directory replaced something else. */
int build_warn_replaced(struct build *b, const char *path,
			enum build_before before, bool is_dir,
			struct vc_error *err) VC_MUST_CHECK;
/* The time of what has none of its own: SOURCE_DATE_EPOCH, or the latest in
 * the input. In seconds since 1970. */
int64_t build_time(const struct build *b);
/* Owner and times of what no source brings: root, and that time. */
struct tree_meta build_meta(const struct build *b, uint16_t mode);
/* Put one more attribute on a node. */
int build_set_xattr(struct build *b, struct node *n, const char *name,
		    const void *value, size_t len,
		    struct vc_error *err) VC_MUST_CHECK;
/* Give a node an ACL: mode bits, and an attribute where these do not say it
 * all. There is room for nr + 1 entries. */
int build_set_acl(struct build *b, struct node *n, bool is_default,
		  struct acl_entry *e, size_t nr,
		  struct vc_error *err) VC_MUST_CHECK;
void named_acl_free(struct named_acl *a);
/* Where to keep a copy of the contents of the file at `p`, if it is one that is
 * needed later (/etc/passwd and the like), else NULL. What was kept of an earlier
 * file is forgotten. */
struct accounts *build_capture_for(struct build *b, const struct tree_place *p);
/* Contents of a file that a source has begun: to the writer, to `acc` unless it
 * is NULL, and looked at. */
int build_file_data(struct build *b, struct accounts *acc, uint64_t offset,
		    const void *data, size_t len,
		    struct vc_error *err) VC_MUST_CHECK;
/* Write a whole file from memory. */
int build_file(struct build *b, struct node *n, const void *data, size_t len,
	       struct vc_error *err) VC_MUST_CHECK;

#endif
