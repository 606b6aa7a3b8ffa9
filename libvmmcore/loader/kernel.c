/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kind of kernel is this? And if it is none: what is it instead. People
 * hand over the compressed file, the initrd or the kernel of another machine;
 * the message should save them the hexdump.
 */
#include <string.h>
#include <vmmcore/checked.h>
#include "loader/kernel.h"

static const struct {
	size_t offset;
	uint8_t len;
	const char *magic;
	const char *what;
} other_kinds[] = {
	{ 0, 2, "\x1f\x8b", "a gzip file: unpack it first" },
	{ 0, 6,
	  "\xfd"
	  "7zXZ\0",
	  "an xz file: unpack it first" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "a zstd file: unpack it first" },
	{ 0, 3, "BZh", "a bzip2 file: unpack it first" },
	{ 0, 4, "\x04\x22\x4d\x18", "an lz4 file: unpack it first" },
	{ 0, 4, "\x02\x21\x4c\x18", "an lz4 file: unpack it first" },
	{ 0, 6, "070701", "a cpio archive, perhaps an initrd" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image" },
	{ 0, 8, "!<arch>\n", "an ar archive, perhaps a Debian package" },
	{ 0, 4, "hsqs", "a squashfs image" },
	{ 0, 4, "\x27\x05\x19\x56", "a U-Boot image" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a device tree or FIT image" },
	{ 0, 2, "#!", "a script" },
	{ 257, 5, "ustar", "a tar archive" },
	{ 0x38, 4, "ARM\x64", "a Linux kernel for aarch64" },
	{ 0x38, 4, "RSC\x05", "a Linux kernel for riscv" },
	{ 0, 2, "MZ", "an EFI or DOS program and no bzImage" },
};

static const char *other_kind(const uint8_t *head, size_t n)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(other_kinds); i++)
		if (vc_range_ok(other_kinds[i].offset, other_kinds[i].len, n) &&
		    !memcmp(head + other_kinds[i].offset, other_kinds[i].magic,
			    other_kinds[i].len))
			return other_kinds[i].what;
	return NULL;
}

static int load(const struct ld_source *src, struct vc_mem *mem,
		struct vc_kernel *ret, struct vc_error *err)
{
	uint8_t head[LD_HEAD_BYTES];
	size_t n = (size_t)vc_min_u64(sizeof(head), src->size);
	const char *kind;

	if (!n)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: the file is empty");
	if (ld_read(src, 0, head, n, err) < 0)
		return -1;
	if (ld_is_bzimage(head, n))
		return ld_load_bzimage(src, mem, ret, err);
	if (ld_is_elf(head, n))
		return ld_load_elf(src, mem, ret, err);
	kind = other_kind(head, n);
	if (kind)
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "kernel: is %s", kind);
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "kernel: is neither a bzImage nor an ELF file");
}

int vc_kernel_load(int fd, struct vc_mem *mem, struct vc_kernel *ret,
		   struct vc_error *err)
{
	struct vc_kernel kernel = { 0 };
	struct ld_source src;
	int status;

	if (ld_source_init(&src, fd, VC_LOADER_MAX_KERNEL, "kernel", err) < 0)
		return -1;
	status = load(&src, mem, &kernel, err);
	ld_source_fini(&src);
	if (status == 0)
		*ret = kernel;
	return status;
}
