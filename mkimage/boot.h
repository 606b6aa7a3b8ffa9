/* SPDX-License-Identifier: BSD-3-Clause */
/* The newest kernel of an image, and the initrd that belongs to it, copied out:
 * what `vmm run` needs beside the disk. */
#ifndef MKIMAGE_BOOT_H
#define MKIMAGE_BOOT_H

#include <vmmcore/outfile.h>
#include "mkimage/warn.h"
#include "mkimage/writer.h"

#define BOOT_MAX_PATH 1024

struct boot_found {
	const struct node *kernel, *initrd; /* NULL: there is none */
	char kernel_path[BOOT_MAX_PATH], initrd_path[BOOT_MAX_PATH];
	char version[TREE_MAX_NAME + 1]; /* "" if the name does not say it */
};

/* Compare versions as dpkg does: <0, 0, >0. */
int boot_compare_versions(const char *a, const char *b);
/* Look into /boot, /lib/modules and at /vmlinuz. VC_E_CORRUPT when there is no
 * kernel. */
int boot_find(struct tree *t, struct boot_found *ret,
	      struct vc_error *err) VC_MUST_CHECK;

struct boot_opts {
	const char *dir;  /* borrowed */
	bool force, sync; /* as for vc_outfile_open(), vc_outfile_set_sync() */
};

/* The files DIR/vmlinuz and DIR/initrd in the making. */
struct boot_files {
	struct vc_outfile *folder, *kernel, *initrd; /* owned; or NULL */
};

/* Make the folder if it is not there, and read both back from a finished writer.
 * They have no names yet; boot_abort() also after a failure. */
int boot_copy(const struct boot_found *b, struct writer *w,
	      const struct boot_opts *o, struct boot_files *ret,
	      struct vc_error *err) VC_MUST_CHECK;
void boot_abort(struct boot_files *f);

#endif
