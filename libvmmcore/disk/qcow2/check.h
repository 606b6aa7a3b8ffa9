/* SPDX-License-Identifier: BSD-3-Clause */
/* Verifying (check.c) and repairing (repair.c). */
#ifndef DISK_QCOW2_CHECK_H
#define DISK_QCOW2_CHECK_H

#include "disk/qcow2/edit.h"
#include "disk/qcow2/qcow2.h"

/* One look at everything. With VC_DISK_REPAIR_ALL, entries that are wrong are
 * dropped or mended. With `sink`, refcounts are not compared but set there as
 * they should be (with VC_DISK_REPAIR_LEAKS: none higher than it was), but for
 * the clusters of the refcounts themselves. */
int qc_check_pass(int fd, struct vc_disk_check *chk, enum vc_disk_repair repair,
		  struct qc_edit *sink, struct vc_error *err) VC_MUST_CHECK;
int qc_repair(int fd, struct vc_disk_check *chk,
	      struct vc_error *err) VC_MUST_CHECK;
/* For an image that was not closed: its refcounts may be too low. */
int qc_repair_dirty(int fd, struct vc_error *err) VC_MUST_CHECK;
/* Refuse by name what cannot be checked, nor edited. */
int qc_check_supported(const struct qc_header *h,
		       struct vc_error *err) VC_MUST_CHECK;

#endif
