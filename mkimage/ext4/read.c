/* SPDX-License-Identifier: BSD-3-Clause */
/* Contents read back from the image that was just written. */
#include <string.h>
#include "mkimage/ext4/fs.h"

/* What follows byte `offset` of a file: bytes at *ret_at of the disk or, if
 * that is UINT64_MAX, a hole. Returns how many, at least one, at most `max`. */
static uint64_t find(const struct extents *ext, uint64_t offset, uint64_t max,
		     uint64_t *ret_at)
{
	const struct extent *e;
	uint64_t start, end;
	uint32_t i;

	for (i = 0; i < ext->nr; i++) {
		e = extents_get(ext, i);
		start = (uint64_t)e->logical * E4_BLOCK;
		end = start + (uint64_t)e->len * E4_BLOCK;
		if (offset < start) {
			*ret_at = UINT64_MAX;
			return vc_min_u64(max, start - offset);
		}
		if (offset < end) {
			*ret_at = e->physical * E4_BLOCK + (offset - start);
			return vc_min_u64(max, end - offset);
		}
	}
	*ret_at = UINT64_MAX;
	return max;
}

int e4_file_read(struct writer *w, const struct node *n, uint64_t offset,
		 void *data, size_t len, struct vc_error *err)
{
	struct e4 *fs = to_e4(w);
	uint8_t *to = data;
	uint64_t at;
	size_t got;

	for (; len; len -= got, to += got, offset += got) {
		got = (size_t)find(&n->ext, offset, len, &at);
		if (at == UINT64_MAX)
			memset(to, 0, got);
		else if (out_pread(fs->out, at, to, got, err))
			return -1;
	}
	return 0;
}
