/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "disk/disk.h"

enum what { TO_IOV, FROM_IOV, ZERO_IOV };

static void each_part(enum what what, const struct iovec *iov, uint64_t skip,
		      void *buf, uint64_t len)
{
	uint8_t *p = buf;

	for (; len; iov++) {
		uint8_t *base = iov->iov_base;
		size_t n;

		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		n = (size_t)vc_min_u64(len, iov->iov_len - skip);
		if (what == TO_IOV)
			memcpy(base + skip, p, n);
		else if (what == FROM_IOV)
			memcpy(p, base + skip, n);
		else
			memset(base + skip, 0, n);
		if (what != ZERO_IOV)
			p += n;
		len -= n;
		skip = 0;
	}
}

void disk_iov_put(const struct iovec *iov, uint64_t skip, const void *buf,
		  uint64_t len)
{
	/* only read from */
	each_part(TO_IOV, iov, skip, (void *)(uintptr_t)buf, len);
}

void disk_iov_get(const struct iovec *iov, uint64_t skip, void *buf,
		  uint64_t len)
{
	each_part(FROM_IOV, iov, skip, buf, len);
}

void disk_iov_zero(const struct iovec *iov, uint64_t skip, uint64_t len)
{
	each_part(ZERO_IOV, iov, skip, NULL, len);
}
