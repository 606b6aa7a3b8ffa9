/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <vmmcore/checked.h>
#include "disk/disk.h"
#include "disk/qcow2/format.h"

static int bad(struct vc_error *err, const char *field, uint64_t value)
{
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "qcow2 snapshot table: %s %#llx: bad value", field,
		       (unsigned long long)value);
}

int qc_snapshot_read(int fd, const struct qc_header *h, uint64_t *offset,
		     struct qc_snapshot *ret, struct vc_error *err)
{
	struct qc_snapshot_entry e;
	uint64_t pos = *offset, file_bytes, len;
	uint32_t extra;
	be64_t words[2] = { { { 0 } }, { { 0 } } };

	if (pos - h->snapshots_offset > QC_MAX_SNAPSHOT_TABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2 snapshot table: more than %u bytes",
			       QC_MAX_SNAPSHOT_TABLE_BYTES);
	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	if (vc_pread_full(fd, &e, sizeof(e), pos) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	extra = be32_get(e.extra_size);
	if (extra > QC_MAX_SNAPSHOT_EXTRA)
		return bad(err, "extra data size", extra);
	/* 64-bit VM state size, size of the disk */
	if (extra >= sizeof(words) &&
	    vc_pread_full(fd, words, sizeof(words), pos + sizeof(e)) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot table: cut short");
	ret->size = be64_get(words[1]);
	ret->l1_offset = be64_get(e.l1_offset);
	ret->l1_size = be32_get(e.l1_size);
	len = (uint64_t)ret->l1_size * 8;
	if (len > QC_MAX_L1_BYTES)
		return bad(err, "L1 size", ret->l1_size);
	if (len && (ret->l1_offset % h->cluster_bytes ||
		    ret->l1_offset < h->cluster_bytes ||
		    !vc_range_ok(ret->l1_offset, len,
				 vc_align_up(file_bytes, h->cluster_bytes))))
		return bad(err, "L1 offset", ret->l1_offset);
	pos += sizeof(e) + extra + be16_get(e.id_size) + be16_get(e.name_size);
	*offset = vc_align_up(pos, 8);
	return 0;
}
