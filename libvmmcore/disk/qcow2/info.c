/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "disk/qcow2/qcow2.h"

int qc_info(int fd, struct vc_disk_info *ret, struct vc_error *err)
{
	static const char *const methods[] = { NULL, "aes", "luks" };
	struct qc_header h;

	if (qc_header_read(fd, &h, err) < 0)
		return -1;
	ret->virtual_bytes = h.size;
	ret->cluster_bytes = h.cluster_bytes;
	ret->version = h.version;
	ret->refcount_bits = 1u << h.refcount_order;
	ret->nr_snapshots = h.nr_snapshots;
	ret->is_dirty = h.incompatible & QC_INCOMPAT_DIRTY;
	ret->is_corrupt = h.incompatible & QC_INCOMPAT_CORRUPT;
	ret->has_data_file = h.incompatible & QC_INCOMPAT_DATA_FILE;
	ret->has_lazy_refcounts = h.compatible & QC_COMPAT_LAZY_REFCOUNTS;
	ret->has_extended_l2 = h.incompatible & QC_INCOMPAT_EXTENDED_L2;
	if (h.crypt_method < VC_ARRAY_SIZE(methods))
		ret->encryption = methods[h.crypt_method];
	ret->compression = h.compression_type ? "zstd" : "zlib";
	_Static_assert(sizeof(ret->backing_file) == sizeof(h.backing_file),
		       "backing file name");
	_Static_assert(sizeof(ret->backing_format) == sizeof(h.backing_format),
		       "backing format name");
	_Static_assert(sizeof(ret->data_file) == sizeof(h.data_file),
		       "data file name");
	ret->is_data_file_raw = qc_is_data_file_raw(&h);
	ret->is_for_crosvm = h.is_for_crosvm;
	ret->unknown_features = h.incompatible & ~(uint64_t)QC_INCOMPAT_KNOWN;
	memcpy(ret->data_file, h.data_file, sizeof(h.data_file));
	memcpy(ret->backing_file, h.backing_file, sizeof(h.backing_file));
	memcpy(ret->backing_format, h.backing_format, sizeof(h.backing_format));
	return 0;
}
