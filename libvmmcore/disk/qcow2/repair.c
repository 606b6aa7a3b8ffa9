/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Repairing, in steps each of which leaves the image better than it was, so
 * that dying between two of them loses nothing:
 *
 *	1. entries that cannot be right are dropped, one by one: leaks at worst;
 *	2. all refcounts are made anew from what refers to the clusters, behind
 *	   the end of the file, and put into place by one write to the header;
 *	3. the COPIED flags are made to agree with them, in new tables, likewise;
 *	4. the bits that call the image dirty or corrupt are cleared, if a last
 *	   look finds no corruption.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

static int rebuild_refcounts(int fd, enum vc_disk_repair repair,
			     struct vc_error *err)
{
	struct vc_disk_check quiet = { 0 };
	struct qc_edit e;
	struct qc_header h;
	int ret;

	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	ret = qe_open_empty(&e, fd, h.refcount_order, err);
	if (ret == 0) {
		/* no cluster is known to be free yet */
		e.append_only = true;
		e.head.h.reftable_offset = 0;
		e.head.h.reftable_clusters = 0;
		ret = qc_check_pass(fd, &quiet, repair, &e, err);
	}
	if (ret == 0)
		ret = qe_commit(&e, err);
	qe_fini(&e);
	return ret;
}

static int fix_flags(int fd, struct vc_error *err)
{
	struct qe_tree t = { NULL, 0 };
	vc_auto_free be64_t *old = NULL;
	struct qc_edit e;
	int ret;

	ret = qe_open_any(&e, fd, err);
	if (ret == 0)
		ret = qe_tree_load(&e, e.head.h.l1_offset, e.head.h.l1_size, &t,
				   err);
	if (ret == 0) {
		size_t len = (size_t)t.nr * 8;

		old = malloc(len + 1);
		if (old)
			memcpy(old, t.l1, len);
		ret = qe_tree_flag(&e, &t, 1, err);
		if (ret == 0 && (!old || memcmp(old, t.l1, len))) {
			ret = qe_tree_activate(&e, &t, err);
			if (ret == 0)
				ret = qe_commit(&e, err);
		}
	}
	qe_tree_fini(&t);
	qe_fini(&e);
	return ret;
}

static int clear_bits(int fd, struct vc_error *err)
{
	struct qc_header h;
	be64_t bits;

	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	if (!(h.incompatible & (QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT)))
		return 0;
	bits = be64_put(h.incompatible &
			~(uint64_t)(QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT));
	if (fdatasync(fd) < 0 ||
	    vc_pwrite_full(fd, &bits, sizeof(bits), QC_OFFSET_INCOMPATIBLE) <
		    0 ||
	    fdatasync(fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}

static uint64_t gone(uint64_t before, uint64_t after)
{
	return before > after ? before - after : 0;
}

static int mend(int fd, enum vc_disk_repair repair,
		const struct vc_disk_check *found, struct vc_error *err)
{
	if (!found->nr_leaks &&
	    (repair == VC_DISK_REPAIR_LEAKS || !found->nr_corruptions))
		return 0;
	/* what was dropped first must be on the medium first */
	if (fdatasync(fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sync");
	if (rebuild_refcounts(fd, repair, err) < 0)
		return -1;
	return repair == VC_DISK_REPAIR_ALL ? fix_flags(fd, err) : 0;
}

int qc_repair(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	enum vc_disk_repair repair = chk->repair;
	struct vc_disk_check before, after = { 0 };

	/* on the caller's own object, which may be part of a larger one */
	if (qc_check_pass(fd, chk, repair, NULL, err) < 0)
		return -1;
	before = *chk;
	if (mend(fd, repair, &before, err) < 0 ||
	    qc_check_pass(fd, &after, VC_DISK_REPAIR_NONE, NULL, err) < 0)
		return -1;
	if (!after.nr_corruptions && clear_bits(fd, err) < 0)
		return -1;
	/* what else is in it is the caller's */
	after.repair = repair;
	after.report = before.report;
	after.opaque = before.opaque;
	after.format = before.format;
	after.nr_leaks_fixed = gone(before.nr_leaks, after.nr_leaks);
	after.nr_corruptions_fixed =
		gone(before.nr_corruptions, after.nr_corruptions);
	*chk = after;
	return 0;
}

int qc_repair_dirty(int fd, struct vc_error *err)
{
	struct vc_disk_check chk = { .repair = VC_DISK_REPAIR_ALL };

	if (qc_repair(fd, &chk, err) < 0)
		return -1;
	if (chk.nr_corruptions)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: %llu errors in the metadata",
			       (unsigned long long)chk.nr_corruptions);
	return 0;
}
