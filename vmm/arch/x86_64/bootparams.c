/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ways a kernel is told what it has: Linux's "zero page"
 * (Documentation/arch/x86/zero-page.rst) and PVH's start_info (Xen's x86/HVM
 * direct boot ABI). Both carry the same memory map.
 */
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/load.h"

#define ZERO_PAGE_BYTES 4096
#define ZP_ACPI_RSDP 0x070
#define ZP_EXT_INITRD 0x0c0
#define ZP_EXT_INITRD_SIZE 0x0c4
#define ZP_NR_E820 0x1e8
#define ZP_SETUP_HEADER 0x1f1
#define ZP_BOOT_FLAG 0x1fe
#define ZP_HEADER_MAGIC 0x202
#define ZP_VERSION 0x206
#define ZP_LOADER_TYPE 0x210
#define ZP_LOADFLAGS 0x211
#define ZP_INITRD 0x218
#define ZP_INITRD_SIZE 0x21c
#define ZP_CMDLINE 0x228
#define ZP_KERNEL_ALIGNMENT 0x230
#define ZP_E820 0x2d0
#define E820_ENTRY_BYTES 20

#define LOADER_TYPE_UNKNOWN 0xff
#define LOADED_HIGH 0x01
#define ELF_PROTOCOL 0x020f
#define ELF_ALIGNMENT 0x200000

#define PVH_MAGIC 0x336ec578
#define PVH_VERSION 1
#define PVH_INFO_BYTES 56
#define PVH_MODULE_BYTES 32
#define PVH_MEMMAP_BYTES 24

size_t load_e820(uint64_t mem_bytes, struct e820_range ret[LOAD_MAX_E820])
{
	uint64_t low = vc_min_u64(mem_bytes, ARCH_RAM_LOW_END);
	size_t n = 0;

	ret[n++] = (struct e820_range){ 0, LOAD_RAM_END_640K, E820_RAM };
	ret[n++] =
		(struct e820_range){ ACPI_BASE, ACPI_MAX_BYTES, E820_RESERVED };
	ret[n++] = (struct e820_range){ LOAD_HIGH_MEM, low - LOAD_HIGH_MEM,
					E820_RAM };
	/* Linux wants to see ECAM reserved before it believes the MCFG */
	ret[n++] = (struct e820_range){ ARCH_ECAM_BASE, ARCH_ECAM_SIZE,
					E820_RESERVED };
	if (mem_bytes > low)
		ret[n++] = (struct e820_range){ ARCH_RAM_HIGH, mem_bytes - low,
						E820_RAM };
	return n;
}

static void put16(uint8_t *p, uint16_t v)
{
	le16_t x = le16_put(v);

	memcpy(p, &x, sizeof(x));
}

static void put32(uint8_t *p, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(p, &x, sizeof(x));
}

static void put64(uint8_t *p, uint64_t v)
{
	le64_t x = le64_put(v);

	memcpy(p, &x, sizeof(x));
}

/* A vmlinux brings no header: make one, for a kernel that reads its version. */
static void make_header(uint8_t *zp)
{
	put16(zp + ZP_BOOT_FLAG, 0xaa55);
	memcpy(zp + ZP_HEADER_MAGIC, "HdrS", 4);
	put16(zp + ZP_VERSION, ELF_PROTOCOL);
	zp[ZP_LOADFLAGS] = LOADED_HIGH;
	put32(zp + ZP_KERNEL_ALIGNMENT, ELF_ALIGNMENT);
}

int load_boot_params(struct vc_mem *mem, const struct vc_kernel *kernel,
		     const struct load_payload *payload, uint64_t mem_bytes,
		     struct vc_error *err)
{
	uint8_t zp[ZERO_PAGE_BYTES] = { 0 };
	struct e820_range e820[LOAD_MAX_E820];
	size_t i, nr = load_e820(mem_bytes, e820);

	if (kernel->setup_header_len)
		memcpy(zp + ZP_SETUP_HEADER, kernel->setup_header,
		       kernel->setup_header_len);
	else
		make_header(zp);
	zp[ZP_LOADER_TYPE] = LOADER_TYPE_UNKNOWN;
	put64(zp + ZP_ACPI_RSDP, payload->rsdp);
	put32(zp + ZP_INITRD, (uint32_t)payload->initrd);
	put32(zp + ZP_INITRD_SIZE, (uint32_t)payload->initrd_bytes);
	put32(zp + ZP_EXT_INITRD, (uint32_t)(payload->initrd >> 32));
	put32(zp + ZP_EXT_INITRD_SIZE, (uint32_t)(payload->initrd_bytes >> 32));
	put32(zp + ZP_CMDLINE, (uint32_t)LOAD_CMDLINE);
	zp[ZP_NR_E820] = (uint8_t)nr;
	for (i = 0; i < nr; i++) {
		uint8_t *e = zp + ZP_E820 + i * E820_ENTRY_BYTES;

		put64(e, e820[i].addr);
		put64(e + 8, e820[i].size);
		put32(e + 16, e820[i].type);
	}
	if (!vc_mem_write(mem, LOAD_BOOT_PARAMS, zp, sizeof(zp)))
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "boot parameters: no RAM");
	return 0;
}

int load_pvh_info(struct vc_mem *mem, const struct load_payload *payload,
		  uint64_t mem_bytes, struct vc_error *err)
{
	uint8_t info[PVH_INFO_BYTES] = { 0 };
	uint8_t module[PVH_MODULE_BYTES] = { 0 };
	uint8_t map[LOAD_MAX_E820 * PVH_MEMMAP_BYTES] = { 0 };
	struct e820_range e820[LOAD_MAX_E820];
	size_t i, nr = load_e820(mem_bytes, e820);

	put32(info, PVH_MAGIC);
	put32(info + 4, PVH_VERSION);
	if (payload->initrd_bytes) {
		put32(info + 12, 1);
		put64(info + 16, LOAD_PVH_MODULE);
		put64(module, payload->initrd);
		put64(module + 8, payload->initrd_bytes);
	}
	put64(info + 24, LOAD_CMDLINE);
	put64(info + 32, payload->rsdp);
	put64(info + 40, LOAD_PVH_MEMMAP);
	put32(info + 48, (uint32_t)nr);
	for (i = 0; i < nr; i++) {
		uint8_t *e = map + i * PVH_MEMMAP_BYTES;

		put64(e, e820[i].addr);
		put64(e + 8, e820[i].size);
		put32(e + 16, e820[i].type);
	}
	if (!vc_mem_write(mem, LOAD_PVH_INFO, info, sizeof(info)) ||
	    !vc_mem_write(mem, LOAD_PVH_MODULE, module, sizeof(module)) ||
	    !vc_mem_write(mem, LOAD_PVH_MEMMAP, map, sizeof(map)))
		return vc_fail(err, VC_E_INTERNAL, 0, "PVH start info: no RAM");
	return 0;
}
