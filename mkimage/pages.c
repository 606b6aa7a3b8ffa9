/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/mman.h>
#include "mkimage/pages.h"

void *pages_alloc(size_t len)
{
	void *p;

	if (posix_memalign(&p, PAGES_LARGE, len))
		return NULL;
	(void)madvise(p, len, MADV_HUGEPAGE);
	return p;
}
