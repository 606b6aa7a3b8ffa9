/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands share that change an image: manage.c. */
#ifndef QCOW_TOOL_MANAGE_H
#define QCOW_TOOL_MANAGE_H

#include <vmmcore/qcow2.h>
#include "qcow-tool/options.h"

/* Open and lock an image, which must be qcow2. */
int open_image(const char *path, enum vc_disk_format format, bool writable,
	       bool share, int *ret_fd, struct vc_error *err) VC_MUST_CHECK;
/* Print the error with the image's name; the exit status, which is 1. */
int report_image(const char *path, struct vc_error *err);
void print_snapshots(const struct vc_qcow2_snapshots *s);
json_t *snapshots_as_json(const struct vc_qcow2_snapshots *s);
json_t *bitmaps_as_json(const struct vc_qcow2_bitmaps *b);
/* Open a disk with its backing chain. */
int open_disk(const char *path, enum vc_disk_format format, bool writable,
	      bool share, struct vc_disk **ret,
	      struct vc_error *err) VC_MUST_CHECK;

#endif
