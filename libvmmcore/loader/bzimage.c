/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst). The
 * file is real-mode setup code with a header in it, then the kernel; only the
 * second part is loaded, at the address the header prefers or, if the memory
 * is small and the kernel can move, lower. The kernel unpacks itself in place
 * and wants `init_size` bytes of RAM there.
 */
#include <stdio.h>
#include <string.h>
#include <vmmcore/bytes.h>
#include <vmmcore/checked.h>
#include "loader/kernel.h"

#define SETUP_HEADER 0x1f1
#define SETUP_HEADER_END 0x290 /* in the zero page: the next field */
#define SECTOR 512

#define MIN_VERSION 0x20c /* 2.12, Linux 3.8: the 64-bit entry */
#define LOADED_HIGH (1u << 0)
#define XLF_KERNEL_64 (1u << 0)
#define ENTRY64_OFFSET 0x200
#define MAX_ALIGNMENT (UINT32_C(1) << 30)

/* The fields of the header that matter here. */
struct setup {
	uint64_t payload_offset, payload_size;
	uint16_t version, xloadflags;
	uint8_t loadflags, is_relocatable;
	uint32_t initrd_addr_max, alignment, cmdline_size, init_size;
	uint64_t pref_address;
};

bool ld_is_bzimage(const uint8_t *head, size_t n)
{
	return n >= SETUP_HEADER_END && head[0x1fe] == 0x55 &&
	       head[0x1ff] == 0xaa && !memcmp(head + 0x202, "HdrS", 4);
}

static int parse_setup(const uint8_t *head, size_t n, struct setup *ret)
{
	struct vc_bytes c = vc_bytes_init(head, n);
	struct setup s = { 0 };
	uint8_t sectors;
	uint32_t paragraphs;

	vc_bytes_seek(&c, 0x1f1);
	vc_bytes_get_u8(&c, &sectors);
	vc_bytes_seek(&c, 0x1f4);
	vc_bytes_get_le32(&c, &paragraphs);
	vc_bytes_seek(&c, 0x206);
	vc_bytes_get_le16(&c, &s.version);
	vc_bytes_seek(&c, 0x211);
	vc_bytes_get_u8(&c, &s.loadflags);
	vc_bytes_seek(&c, 0x22c);
	vc_bytes_get_le32(&c, &s.initrd_addr_max);
	vc_bytes_get_le32(&c, &s.alignment);
	vc_bytes_get_u8(&c, &s.is_relocatable);
	vc_bytes_seek(&c, 0x236);
	vc_bytes_get_le16(&c, &s.xloadflags);
	vc_bytes_get_le32(&c, &s.cmdline_size);
	vc_bytes_seek(&c, 0x258);
	vc_bytes_get_le64(&c, &s.pref_address);
	if (!vc_bytes_get_le32(&c, &s.init_size))
		return -1;
	if (!sectors) /* the protocol's first version */
		sectors = 4;
	s.payload_offset = (sectors + UINT64_C(1)) * SECTOR;
	s.payload_size = UINT64_C(16) * paragraphs;
	*ret = s;
	return 0;
}

static int check_setup(const struct setup *s, struct vc_error *err)
{
	if (s->version < MIN_VERSION)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: boot protocol %u.%02u, at least 2.12 "
			       "is needed",
			       s->version >> 8, s->version & 0xff);
	if (!(s->xloadflags & XLF_KERNEL_64))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is a bzImage for 32-bit x86");
	if (!(s->loadflags & LOADED_HIGH))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is a zImage, which loads below 1 MiB");
	if (!vc_is_pow2(s->alignment) || s->alignment < LD_PAGE ||
	    s->alignment > MAX_ALIGNMENT)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: alignment 0x%x in its header",
			       s->alignment);
	if (s->pref_address < LD_MIN_ADDR || s->pref_address % LD_PAGE ||
	    s->pref_address > VC_MEM_MAX_BYTES)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: load address 0x%llx in its header",
			       (unsigned long long)s->pref_address);
	if (!s->payload_size || s->init_size < s->payload_size)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: sizes in its header: %llu bytes that "
			       "need %u bytes of memory",
			       (unsigned long long)s->payload_size,
			       s->init_size);
	return 0;
}

/* Where it goes: the preferred address, else the lowest aligned one. */
static int choose_address(const struct setup *s, const struct vc_mem *mem,
			  gpa_t *ret, struct vc_error *err)
{
	gpa_t low = vc_align_up(LD_MIN_ADDR, s->alignment);

	if (vc_mem_contains(mem, s->pref_address, s->init_size)) {
		*ret = s->pref_address;
		return 0;
	}
	if (s->is_relocatable && vc_mem_contains(mem, low, s->init_size)) {
		*ret = low;
		return 0;
	}
	return vc_fail(err, VC_E_CONFIG, 0,
		       "kernel: needs %u MiB of memory at 0x%llx, which the "
		       "guest does not have",
		       (s->init_size >> 20) + 1,
		       (unsigned long long)(s->is_relocatable
						    ? low
						    : s->pref_address));
}

static void copy_header(const uint8_t *head, struct vc_kernel *k)
{
	/* the jump at its start tells where the header ends */
	size_t end = 0x202u + head[0x201];

	if (end > SETUP_HEADER_END)
		end = SETUP_HEADER_END;
	k->setup_header_len = end - SETUP_HEADER;
	memcpy(k->setup_header, head + SETUP_HEADER, k->setup_header_len);
}

int ld_load_bzimage(const struct ld_source *src, struct vc_mem *mem,
		    struct vc_kernel *ret, struct vc_error *err)
{
	uint8_t head[SETUP_HEADER_END];
	struct setup s;
	uint64_t left;
	gpa_t at = 0;

	if (ld_read(src, 0, head, sizeof(head), err) < 0)
		return -1;
	if (parse_setup(head, sizeof(head), &s) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0, "kernel: short header");
	if (check_setup(&s, err) < 0 || choose_address(&s, mem, &at, err) < 0)
		return -1;
	left = src->size > s.payload_offset ? src->size - s.payload_offset : 0;
	/* the size is in units of 16 bytes: the last may be cut */
	if (left + 15 < s.payload_size)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: truncated: %llu of %llu bytes",
			       (unsigned long long)left,
			       (unsigned long long)s.payload_size);
	s.payload_size = vc_min_u64(s.payload_size, left);
	if (ld_read_guest(src, s.payload_offset, s.payload_size, mem, at, err) <
	    0)
		return -1;
	copy_header(head, ret);
	ret->proto = VC_KERNEL_LINUX64;
	ret->entry = at + ENTRY64_OFFSET;
	ret->load_start = at;
	ret->load_end = vc_align_up(at + s.payload_size, LD_PAGE);
	ret->init_size = s.init_size;
	ret->initrd_max = s.initrd_addr_max;
	ret->cmdline_max =
		(uint32_t)vc_min_u64(s.cmdline_size, VC_LOADER_MAX_CMDLINE - 1);
	return 0;
}
