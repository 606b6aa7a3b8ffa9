/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading an internal snapshot: the image with that L1 table and that size. */
#include <string.h>
#include "disk/qcow2/qcow2.h"

/* Is the string at `offset` of the file this one? */
static bool is_at(int fd, uint64_t offset, size_t len, const char *text)
{
	char buf[256];

	return len == strlen(text) && len <= sizeof(buf) &&
	       vc_pread_full(fd, buf, len, offset) == 0 &&
	       !memcmp(buf, text, len);
}

/* The first one with this id and this name; NULL: any. */
static int find(struct qc_disk *q, const char *id, const char *name,
		struct qc_snapshot *ret, bool *ret_found, struct vc_error *err)
{
	uint64_t offset = q->h.snapshots_offset;
	int fd = q->base.fd;
	uint32_t i;

	*ret_found = false;
	for (i = 0; i < q->h.nr_snapshots && !*ret_found; i++) {
		struct qc_snapshot_entry e;
		uint64_t at = offset;
		size_t id_len, name_len;

		if (qc_snapshot_read(fd, &q->h, &offset, ret, err) < 0)
			return -1;
		if (vc_pread_full(fd, &e, sizeof(e), at) < 0)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "qcow2 snapshot table: cut short");
		at += sizeof(e) + be32_get(e.extra_size);
		id_len = be16_get(e.id_size);
		name_len = be16_get(e.name_size);
		*ret_found = (!id || is_at(fd, at, id_len, id)) &&
			     (!name || is_at(fd, at + id_len, name_len, name));
	}
	return 0;
}

int qc_use_snapshot(struct qc_disk *q, const struct vc_disk_open_opts *opts,
		    struct vc_error *err)
{
	const char *any = opts->snapshot, *text = any;
	struct qc_snapshot s;
	char shown[200];
	bool found;

	if (!text)
		text = opts->snapshot_id ? opts->snapshot_id
					 : opts->snapshot_name;
	if (!text)
		return 0;
	if (find(q, any ? any : opts->snapshot_id,
		 any ? NULL : opts->snapshot_name, &s, &found, err) < 0)
		return -1;
	if (!found && any && find(q, NULL, any, &s, &found, err) < 0)
		return -1;
	if (!found)
		return vc_fail(err, VC_E_ARG, 0, "no snapshot '%s'",
			       vc_printable(text, shown, sizeof(shown)));
	if (!s.size)
		s.size = q->h.size;
	if (s.size > VC_DISK_MAX_BYTES ||
	    s.l1_size < qc_l1_entries(s.size, q->h.cluster_bits,
				      qc_has_subclusters(&q->h)))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2 snapshot '%s': L1 size %u: bad value",
			       vc_printable(text, shown, sizeof(shown)),
			       s.l1_size);
	q->h.size = s.size;
	q->h.l1_offset = s.l1_offset;
	q->h.l1_size = s.l1_size;
	return 0;
}
