/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a source is, is told by its content: a folder is an image layout if it
 * has one's three names, an archive may be a container image if its first name
 * is one of an image's, or one soon after that of a layout. An archive that only
 * begins so is read again from its start; a pipe cannot be. One that begins with
 * something else, and has a layout's names after all, is told.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "mkimage/source/oci.h"
#include "mkimage/source/source.h"

static int add_folder(struct build *b, const char *path,
		      const struct source_opts *opts, struct vc_error *err)
{
	vc_auto(store) struct store *s = NULL;
	bool is_image;

	if (store_open_dir(path, &s, err))
		return -1;
	is_image = opts->kind == SOURCE_OCI ||
		   (store_has(s, "oci-layout") && store_has(s, "index.json") &&
		    store_has(s, "blobs"));
	if (is_image && opts->kind != SOURCE_DIR)
		return oci_to_tree(b, s, opts, err);
	return source_dir(b, path, "", opts, err);
}

/* *ret_again: it is none, and only then the archive is not yet added. */
static int add_image(struct build *b, struct tar *t,
		     const struct source_opts *opts, bool *ret_again,
		     struct vc_error *err)
{
	const bool is_sure = opts->kind == SOURCE_OCI;
	vc_auto(store) struct store *s = NULL;

	if (store_open_tar(t, is_sure, &s, err))
		return -1;
	*ret_again = !s || (!is_sure && !oci_is_image(s));
	if (!*ret_again)
		return oci_to_tree(b, s, opts, err);
	if (stream_is_file(t->s))
		return 0;
	return vc_fail(err, VC_E_CONFIG, 0,
		       "it begins as a container image does and is none, and a "
		       "pipe cannot be read again (--source-type tar)");
}

/* Nobody wants the files of a layout as the root of a machine. */
static int check_no_image(struct build *b, struct vc_error *err)
{
	static const char *const names[] = { "oci-layout", "index.json",
					     "blobs" };
	struct tree_place place;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(names); i++) {
		if (tree_walk(&b->tree, names[i], TREE_CHROOT, &place, err))
			return -1;
		if (!tree_find(&b->tree, names[i]) ||
		    tree_is_older(&b->tree, &place))
			return 0;
	}
	return warn_add(&b->warn, err,
			"the files of a container image are taken as they are "
			"(--source-type oci for what is in it)");
}

static int add_archive(struct build *b, const char *path,
		       const struct source_opts *opts, struct vc_error *err)
{
	vc_auto(stream) struct stream *s = NULL;
	bool is_again = false;
	struct tar t;

	if (stream_open(path, &s, err) || tar_start(&t, b, s, NULL, err))
		return -1;
	if (opts->kind == SOURCE_OCI ||
	    (opts->kind == SOURCE_AUTO && store_is_likely(t.cur, t.cur_len))) {
		if (add_image(b, &t, opts, &is_again, err))
			return -1;
		if (!is_again)
			return 0;
		s = stream_close(s);
		if (stream_open(path, &s, err) ||
		    tar_start(&t, b, s, NULL, err))
			return -1;
	}
	if (tar_to_tree(&t, false, err))
		return -1;
	return opts->kind == SOURCE_AUTO ? check_no_image(b, err) : 0;
}

int source_add(struct build *b, const char *path,
	       const struct source_opts *opts, struct vc_error *err)
{
	struct stat st;
	int rc;

	if (strcmp(path, "-") != 0 && stat(path, &st))
		return vc_fail(err, VC_E_SYS, errno, "open");
	if (strcmp(path, "-") != 0 && S_ISDIR(st.st_mode))
		rc = opts->kind == SOURCE_TAR
			     ? vc_fail(err, VC_E_SYS, EISDIR, "open")
			     : add_folder(b, path, opts, err);
	else if (opts->kind == SOURCE_DIR)
		rc = vc_fail(err, VC_E_SYS, ENOTDIR, "open");
	else
		rc = add_archive(b, path, opts, err);
	return rc || tree_next_layer(&b->tree, err) ? -1 : 0;
}

int source_check_used(struct build *b, const struct source_opts *opts,
		      struct vc_error *err)
{
	const bool is_folders = opts->has_owner || opts->uids.nr ||
				opts->gids.nr || opts->one_file_system;
	const bool is_images = opts->platform || opts->image;

	if (is_folders && !b->has_folder &&
	    warn_add(&b->warn, err,
		     "--owner, --map-uid, --map-gid and --one-file-system are "
		     "for folders, and no source is one"))
		return -1;
	if (is_images && !b->has_image &&
	    warn_add(&b->warn, err,
		     "--platform and --image are for container images, and no "
		     "source is one"))
		return -1;
	return 0;
}
