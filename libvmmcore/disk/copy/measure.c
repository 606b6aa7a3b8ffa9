/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large would an image be? The metadata of a qcow2 image is counted for the
 * whole disk, as if all L2 tables existed: an upper bound that is close.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/copy/copy.h"

#define MAX_TABLE_ROUNDS 64 /* it settles after a few */

/* Bytes of refcount table and blocks that count `clusters` others and
 * themselves. */
static uint64_t refcount_bytes(uint64_t clusters, uint64_t cluster,
			       unsigned bits)
{
	uint64_t per_block = cluster * 8 / bits, per_table = cluster / 8;
	uint64_t blocks = 0, table = 0, before;
	int i;

	for (i = 0; i < MAX_TABLE_ROUNDS; i++) {
		before = blocks + table;
		blocks = vc_div_round_up(clusters + table + blocks, per_block);
		table = vc_div_round_up(blocks, per_table);
		if (blocks + table == before)
			break;
	}
	return (blocks + table) * cluster;
}

/* All of a qcow2 image when each cluster is allocated. */
static uint64_t full_qcow2(const struct vc_disk_create_opts *o)
{
	uint64_t cluster = o->cluster_bytes ? o->cluster_bytes : 65536;
	unsigned entry = o->extended_l2 ? 16 : 8;
	uint64_t data = vc_align_up(o->size_bytes, cluster);
	uint64_t l2 = vc_align_up(data / cluster * entry, cluster);
	uint64_t l1 = vc_align_up(l2 / cluster * 8, cluster);
	uint64_t bytes = cluster + l2 + l1 + data;

	return bytes + refcount_bytes(bytes / cluster, cluster,
				      o->refcount_bits ? o->refcount_bits : 16);
}

/* Bytes of clusters with data in them, by the block status. */
static int count_data(struct vc_disk *d, uint64_t cluster, uint64_t *ret,
		      struct vc_error *err)
{
	uint64_t pos = 0, counted = 0, size = vc_disk_get_size(d);

	*ret = 0;
	while (pos < size) {
		struct vc_disk_extent e;
		uint64_t first, end;

		if (vc_disk_map(d, pos, UINT64_MAX, &e, err) < 0)
			return -1;
		pos += e.length_bytes;
		if (copy_is_zero_extent(&e))
			continue;
		first = vc_align_down(e.offset_bytes, cluster);
		end = vc_align_up(pos, cluster);
		first = first < counted ? counted : first;
		if (end > first)
			*ret += end - first;
		counted = end;
	}
	return 0;
}

int vc_disk_measure(const struct vc_convert_source *src,
		    const struct vc_disk_create_opts *o, bool compress,
		    struct vc_disk_measure *ret, struct vc_error *err)
{
	uint64_t cluster = o->cluster_bytes ? o->cluster_bytes : 65536;
	uint64_t data = 0, full, aligned;

	if (o->size_bytes > VC_DISK_MAX_BYTES / 2)
		return vc_fail(err, VC_E_LIMIT, 0, "measure: size");
	if (o->format == VC_DISK_FORMAT_RAW) {
		*ret = (struct vc_disk_measure){ o->size_bytes, o->size_bytes };
		return 0;
	}
	if (o->format != VC_DISK_FORMAT_QCOW2)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "measure: images of this format");
	if (!vc_is_pow2(cluster) || cluster < VC_QCOW2_MIN_CLUSTER ||
	    cluster > VC_QCOW2_MAX_CLUSTER)
		return vc_fail(err, VC_E_ARG, 0,
			       "measure: cluster size %llu is not a power of "
			       "two from 512 to 2M",
			       (unsigned long long)cluster);
	if (src && compress) {
		enum vc_disk_compression type =
			o->compression ? o->compression : VC_DISK_ZLIB;

		if (copy_measure(src, type, (uint32_t)cluster, &data, err) < 0)
			return -1;
	} else if (src && count_data(src->disk, cluster, &data, err) < 0) {
		return -1;
	}
	aligned = vc_align_up(o->size_bytes, cluster);
	full = full_qcow2(o);
	if (o->preallocation == VC_DISK_PREALLOC_FALLOC ||
	    o->preallocation == VC_DISK_PREALLOC_FULL)
		data = aligned;
	*ret = (struct vc_disk_measure){ full - aligned + data, full };
	return 0;
}
