/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/test.h"
#include "tests/virtio/hostile.h"

#define NEXT FG_DESC_NEXT
#define INDIRECT FG_DESC_INDIRECT

void hostile_chain(struct fg *fg, unsigned qi, bool is_in, int kind)
{
	struct fg_ring *r = fg_ring(fg, qi);
	uint16_t dir = is_in ? FG_DESC_WRITE : 0;
	gpa_t buf = fg_alloc(fg, 4096, 16);
	gpa_t table = fg_alloc(fg, 64, 16);
	gpa_t end = fg_ram_end(fg);
	uint16_t head = 0;

	switch (kind) {
	case 0: /* head out of range */
		head = r->size;
		break;
	case 1:
		head = UINT16_MAX;
		break;
	case 2: /* a loop of two */
		fg_desc(fg, r->desc, 0, buf, 64, dir | NEXT, 1);
		fg_desc(fg, r->desc, 1, buf, 64, dir | NEXT, 0);
		break;
	case 3: /* a loop of empty buffers */
		fg_desc(fg, r->desc, 0, buf, 0, dir | NEXT, 0);
		break;
	case 4: /* wrapping address */
		fg_desc(fg, r->desc, 0, UINT64_MAX - 63, 4096, dir, 0);
		break;
	case 5: /* over the end of RAM */
		fg_desc(fg, r->desc, 0, end - 64, 4096, dir, 0);
		break;
	case 6: /* 4 GiB less one */
		fg_desc(fg, r->desc, 0, buf, UINT32_MAX, dir, 0);
		break;
	case 7: /* one indirect table inside another */
		fg_desc(fg, r->desc, 0, table, 32, INDIRECT, 0);
		fg_desc(fg, table, 0, table, 32, INDIRECT, 0);
		break;
	case 8: /* indirect and next */
		fg_desc(fg, r->desc, 0, table, 32, INDIRECT | NEXT, 1);
		fg_desc(fg, table, 0, buf, 64, dir, 0);
		fg_desc(fg, r->desc, 1, buf, 64, dir, 0);
		break;
	case 9: /* an indirect table of no entries */
		fg_desc(fg, r->desc, 0, table, 0, INDIRECT, 0);
		break;
	case 10: /* an indirect table outside RAM */
		fg_desc(fg, r->desc, 0, end - 16, 32, INDIRECT, 0);
		break;
	case 11: /* to write, then to read */
		fg_desc(fg, r->desc, 0, buf, 64, FG_DESC_WRITE | NEXT, 1);
		fg_desc(fg, r->desc, 1, buf, 64, 0, 0);
		break;
	case 12: /* not terminated: next leaves the table */
		fg_desc(fg, r->desc, 0, buf, 64, dir | NEXT, r->size);
		break;
	case 13: /* not terminated: an indirect table's last has a next */
		fg_desc(fg, r->desc, 0, table, 32, INDIRECT, 0);
		fg_desc(fg, table, 0, buf, 64, dir | NEXT, 1);
		fg_desc(fg, table, 1, buf, 64, dir | NEXT, 2);
		break;
	case 14: /* the index alone, too far ahead */
		fg_avail_idx(fg, qi, (uint16_t)(r->avail_idx + r->size + 1));
		return;
	default:
		ck_abort_msg("no such kind");
	}
	fg_avail(fg, qi, head);
}
