/* SPDX-License-Identifier: BSD-3-Clause */
/* The initrd goes as high as it may, away from where a kernel unpacks. */
#include <stdio.h>
#include <vmmcore/checked.h>
#include "loader/source.h"

#define FOUR_GIB (UINT64_C(1) << 32)

static gpa_t end_of_low_ram(const struct vc_mem *mem)
{
	gpa_t end = 0;
	size_t i;

	for (i = 0; i < vc_mem_nr_regions(mem); i++) {
		const struct vc_mem_region *r = vc_mem_region(mem, i);

		if (r->gpa < FOUR_GIB)
			end = vc_min_u64(r->gpa + r->size_bytes, FOUR_GIB);
	}
	return end;
}

static int place(const struct vc_mem *mem, uint64_t size, gpa_t min_start,
		 gpa_t max_end, gpa_t *ret, struct vc_error *err)
{
	gpa_t end = vc_min_u64(max_end, end_of_low_ram(mem));

	if (end > size) {
		gpa_t at = vc_align_down(end - size, LD_PAGE);

		if (at >= min_start && vc_mem_contains(mem, at, size)) {
			*ret = at;
			return 0;
		}
	}
	return vc_fail(err, VC_E_CONFIG, 0,
		       "initrd: %llu bytes do not fit between the kernel and "
		       "0x%llx: more memory is needed",
		       (unsigned long long)size, (unsigned long long)end);
}

int vc_initrd_load(int fd, struct vc_mem *mem, gpa_t min_start, gpa_t max_end,
		   gpa_t *ret_gpa, uint64_t *ret_size, struct vc_error *err)
{
	struct ld_source src;
	int status = -1;
	gpa_t at = 0;

	if (ld_source_init(&src, fd, VC_LOADER_MAX_INITRD, "initrd", err) < 0)
		return -1;
	if (!src.size)
		vc_fail(err, VC_E_CORRUPT, 0, "initrd: the file is empty");
	else if (place(mem, src.size, min_start, max_end, &at, err) == 0)
		status = ld_read_guest(&src, 0, src.size, mem, at, err);
	if (status == 0) {
		*ret_gpa = at;
		*ret_size = src.size;
	}
	ld_source_fini(&src);
	return status;
}
