/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clusters that were allocated and never written are holes of the file: with
 * preallocated metadata that is all of a new disk. To see it takes a system
 * call for each extent; so it is done only where many more clusters are in use
 * than the file has space for, which is found out once. Only of an image that
 * is not written meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/qcow2/qcow2.h"

/* Refcounts that are looked at, at most: 1 TiB of clusters of 64 KiB. What has
 * that many without an answer may as well be asked. */
#define MAX_COUNTED (UINT64_C(16) << 20)

/* How many clusters of the file are in use: at least `enough`? */
static bool uses(struct qc_disk *q, uint64_t nr, uint64_t enough)
{
	uint64_t per = (uint64_t)q->h.cluster_bytes * 8 >> q->h.refcount_order;
	vc_auto_free uint8_t *block = malloc(q->h.cluster_bytes);
	uint64_t i, n = 0;

	for (i = 0; block && i < nr && n < enough; i++) {
		uint64_t at = q->h.reftable_offset + i / per * 8;
		be64_t entry;

		if (i >= MAX_COUNTED)
			return true;
		if (i % per == 0 &&
		    (i / per >= (uint64_t)q->h.reftable_clusters *
					q->h.cluster_bytes / 8 ||
		     vc_pread_full(q->base.fd, &entry, 8, at) < 0 ||
		     !be64_get(entry) ||
		     vc_pread_full(q->base.fd, block, q->h.cluster_bytes,
				   be64_get(entry)) < 0)) {
			i += per - 1; /* none of them is */
			continue;
		}
		n += qc_refcount_get(block, q->h.refcount_order, i % per) != 0;
	}
	return n >= enough;
}

static bool find_out(struct qc_disk *q)
{
	uint64_t nr = q->file_clusters, real, enough;
	struct stat st;

	if (q->base.writable || !q->base.is_regular ||
	    qc_has_data_file(&q->h) || fstat(q->base.fd, &st) < 0)
		return false;
	real = (uint64_t)st.st_blocks * 512 >> q->h.cluster_bits;
	enough = real + real / 9 > real + 2 ? real + real / 9 : real + 2;
	return nr >= enough && uses(q, nr, enough);
}

bool qc_is_hole(struct qc_disk *q, uint64_t host, uint64_t *len)
{
	off_t data, hole;

	if (q->holes == QC_HOLES_UNKNOWN)
		q->holes = find_out(q) ? QC_HOLES_ASK : QC_HOLES_NONE;
	if (q->holes == QC_HOLES_NONE)
		return false;
	if (host < q->span_from || host >= q->span_to) {
		data = lseek(q->base.fd, (off_t)host, SEEK_DATA);
		if (data < 0 && errno != ENXIO) {
			q->holes = QC_HOLES_NONE; /* cannot be asked */
			return false;
		}
		hole = (off_t)host;
		if ((uint64_t)data == host)
			hole = lseek(q->base.fd, (off_t)host, SEEK_HOLE);
		q->span_from = host;
		q->span_is_hole = (uint64_t)hole == host;
		/* no data at all behind it: -1 */
		q->span_to = q->span_is_hole ? (uint64_t)data : (uint64_t)hole;
	}
	*len = vc_min_u64(*len, q->span_to - host);
	return q->span_is_hole;
}
