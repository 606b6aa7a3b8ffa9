/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An output file that exists whole or not at all: it is written without a name
 * (or under a temporary one in the same folder) and gets its own name at the
 * end. What goes wrong before, a signal included, leaves nothing behind.
 */
#ifndef VMMCORE_OUTFILE_H
#define VMMCORE_OUTFILE_H

#include <vmmcore/util.h>

VC_BEGIN_DECLS

#define VC_OUTFILE_MAX_OPEN 8 /* at a time, in one process */

struct vc_outfile;

/* Start writing `path`, which must not exist unless `force`; a file that does
 * must be a regular one (a symbolic link is followed). VC_E_SYS with EEXIST
 * when it is there and must not be replaced. */
int vc_outfile_open(const char *path, bool force, struct vc_outfile **ret,
		    struct vc_error *err) VC_MUST_CHECK;
/* Write to the block device at `path` in place, which must not be in use (nothing
 * of it mounted): it has its name already, and what an unfinished write leaves
 * there stays. */
int vc_outfile_open_device(const char *path, struct vc_outfile **ret,
			   struct vc_error *err) VC_MUST_CHECK;
/* Make the folder at `path` for files that are opened in it next; it goes with
 * them unless it is committed, which must come before theirs (in
 * vc_outfile_commit_all()). *ret is NULL if something is there already. It has no
 * descriptor. */
int vc_outfile_create_folder(const char *path, struct vc_outfile **ret,
			     struct vc_error *err) VC_MUST_CHECK;
/* Empty at first unless it is a device, open for reading and writing; borrowed until commit. */
int vc_outfile_get_fd(const struct vc_outfile *of);
/* Whether commit waits for the medium: true unless set otherwise. Without it
 * a power cut soon after can leave an incomplete file under the name. */
void vc_outfile_set_sync(struct vc_outfile *of, bool sync);
/* Where commit replaces a file, the new contents are on the medium before the old
 * are let go, so that a power cut leaves one of the two; it need not wait for the
 * name. */
void vc_outfile_keep_old(struct vc_outfile *of);
/* Wait for the medium now if commit would: what is left to it is the name. Nothing
 * may be written after this. */
int vc_outfile_sync(struct vc_outfile *of, struct vc_error *err) VC_MUST_CHECK;
/* Give the file its name. Without `force` a file that has appeared meanwhile
 * is kept and this fails. The object is gone either way. */
int vc_outfile_commit(struct vc_outfile *of,
		      struct vc_error *err) VC_MUST_CHECK;
/* The same for several that belong together, in order; NULLs are left out. If one
 * cannot have its name, those before it lose theirs, and what they replaced is
 * back (but on a file system that cannot exchange two names, where it is lost).
 * The objects are gone either way, files[] is full of NULLs. */
int vc_outfile_commit_all(struct vc_outfile **files, size_t nr,
			  struct vc_error *err) VC_MUST_CHECK;
/* Leave nothing behind; NULL is fine; returns NULL. Keeps errno. */
struct vc_outfile *vc_outfile_abort(struct vc_outfile *of);

VC_DEFINE_CLEANUP(vc_outfile, struct vc_outfile *, vc_outfile_abort)

/* For main(), before threads: on SIGINT, SIGTERM and SIGHUP remove what is
 * unfinished, tell so in one line on standard error that begins with `program`
 * (borrowed for ever), and exit with 1; once a file has got its name, die of the
 * signal. A signal that is ignored stays so. SIGXFSZ is ignored: the write fails
 * instead. */
int vc_outfile_catch_signals(const char *program,
			     struct vc_error *err) VC_MUST_CHECK;
VC_END_DECLS

#endif
