/* SPDX-License-Identifier: BSD-3-Clause */
/* Container images: an OCI image layout, or the archive of `docker save`. */
#ifndef MKIMAGE_SOURCE_OCI_H
#define MKIMAGE_SOURCE_OCI_H

#include "mkimage/source/image.h"
#include "mkimage/source/source.h"
#include "mkimage/source/store.h"

/* Is it one, and not an archive of files that has a name or two of an image's? */
bool oci_is_image(struct store *s);
/* One image out of `s`, chosen by `opts`, layer by layer into the tree. */
int oci_to_tree(struct build *b, struct store *s,
		const struct source_opts *opts,
		struct vc_error *err) VC_MUST_CHECK;

/* --- choice.c: which image --- */

#define CHOICE_MAX_DEPTH 4 /* of indexes in indexes */
#define CHOICE_MAX 4096
/* What is read to choose: an index may name others, and each may be named as
 * often as there is room. */
#define CHOICE_MAX_BYTES (UINT64_C(64) * 1024 * 1024)
#define CHOICE_MAX_READS 16384
#define CHOICE_MAX_LOOKS (128 * 1024) /* at descriptors */

/* An image that could be meant. */
struct candidate {
	struct digest_id digest;
	uint64_t size;
	struct image_platform platform; /* owned */
	char *names[2];			/* owned; NULL where there is none */
};

struct choice {
	struct candidate *v; /* owned */
	size_t nr;
	uint64_t bytes, nr_reads, nr_looks; /* so far */
};

/* "blobs/sha256/..." */
struct blob_name {
	char s[16 + DIGEST_MAX_HEX];
};
struct blob_name oci_blob_name(const struct digest_id *id);
/* The manifest of an image layout that `opts` means. */
int oci_choose(struct store *s, const struct source_opts *opts,
	       struct candidate *ret, struct vc_error *err) VC_MUST_CHECK;
void candidate_fini(struct candidate *c);
/* Is `have` what "os/architecture[/variant]" asks for? */
bool oci_platform_match(const struct image_platform *have, const char *want);
/* It in text. */
struct platform_text {
	char s[100];
};
struct platform_text oci_platform_show(const struct image_platform *p);

/* --- runconf.c: what the image runs --- */

#define RUNCONF_PATH "/etc/vmm/init.conf"

/* Write vmm-init.conf(5) into the tree, unless there is nothing to tell. */
int oci_write_runconf(struct build *b, const struct image_config *c,
		      struct vc_error *err) VC_MUST_CHECK;

#endif
