/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel files. What loads must lie in RAM above the first MiB, where no kernel
 * may write, and say an entry point inside what was loaded. The last byte of
 * the input chooses a RAM of 2 or 32 MiB.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/loader.h>
#include <vmmcore/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB UINT64_C(0x100000)

static void check(const struct vc_kernel *k, const struct vc_mem *mem)
{
	static const uint8_t zero[4096];
	uint8_t page[4096];
	gpa_t gpa;

	if (k->load_start < MIB || k->load_end <= k->load_start ||
	    !vc_mem_contains(mem, k->load_start, k->load_end - k->load_start) ||
	    k->entry < k->load_start || k->entry - k->load_start > k->init_size)
		abort();
	if (k->cmdline_max >= VC_LOADER_MAX_CMDLINE ||
	    k->setup_header_len > sizeof(k->setup_header))
		abort();
	for (gpa = 0; gpa < MIB; gpa += sizeof(page))
		if (!vc_mem_read(mem, gpa, page, sizeof(page)) ||
		    memcmp(page, zero, sizeof(page)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vc_auto_fd int fd = memfd_create("kernel", MFD_CLOEXEC);
	uint64_t ram = size && data[size - 1] & 1 ? 2 * MIB : 32 * MIB;
	struct vc_mem *mem = NULL;
	struct vc_kernel kernel;
	struct vc_error err;

	if (fd < 0 || vc_pwrite_full(fd, data, size, 0) < 0 ||
	    vc_mem_new(&mem, &err) < 0 ||
	    vc_mem_add_ram(mem, "ram", 0, ram, &err) < 0)
		abort();
	if (vc_kernel_load(fd, mem, &kernel, &err) == 0)
		check(&kernel, mem);
	vc_mem_free(mem);
	return 0;
}
