/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of the runs of blocks a file has. */
#include <errno.h>
#include <stdlib.h>
#include "mkimage/tree.h"

int extents_append(struct extents *ext, uint32_t logical, uint64_t physical,
		   uint32_t len, struct vc_error *err)
{
	struct extent *last, *more;
	uint32_t max;

	if (!ext->nr) {
		ext->first = (struct extent){ physical, logical, len };
		ext->nr = 1;
		return 0;
	}
	last = ext->nr == 1 ? &ext->first : &ext->more[ext->nr - 2];
	if (last->physical + last->len == physical &&
	    last->logical + last->len == logical) {
		last->len += len;
		return 0;
	}
	if (ext->nr - 1 == ext->max_more) {
		max = ext->max_more ? ext->max_more * 2 : 4;
		more = realloc(ext->more, max * sizeof(*more));
		if (!more)
			return vc_fail(err, VC_E_SYS, ENOMEM, "extent list");
		ext->more = more;
		ext->max_more = max;
	}
	ext->more[ext->nr++ - 1] = (struct extent){ physical, logical, len };
	return 0;
}

void extents_fini(struct extents *ext)
{
	free(ext->more);
	*ext = (struct extents){ 0 };
}
