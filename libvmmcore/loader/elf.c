/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ELF kernels: an uncompressed Linux (vmlinux) or anything else with a PVH
 * note. Segments go to their physical addresses. With a PVH note
 * (XEN_ELFNOTE_PHYS32_ENTRY) the kernel is entered at the note's address in
 * 32-bit mode; without one, at e_entry by Linux's 64-bit protocol.
 */
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <vmmcore/bytes.h>
#include <vmmcore/checked.h>
#include "loader/kernel.h"

#define EHDR_BYTES 64
#define PHDR_BYTES 56
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define MAX_INITRD_ADDR 0xffffffff

struct phdr {
	uint32_t type;
	uint64_t offset, paddr, filesz, memsz, align;
};

struct image {
	uint64_t entry;
	struct phdr phdrs[VC_LOADER_MAX_PHDRS];
	size_t nr_phdrs;
	uint64_t loaded_bytes; /* so far, in memory */
	bool has_pvh;
	uint64_t pvh_entry;
};

bool ld_is_elf(const uint8_t *head, size_t n)
{
	return n >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

static const char *machine_name(uint16_t machine, char *buf, size_t size)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{ EM_386, "32-bit x86" },  { EM_ARM, "32-bit ARM" },
		{ EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv" },
		{ EM_PPC64, "ppc64" },	   { EM_S390, "s390" },
		{ EM_MIPS, "mips" },	   { EM_X86_64, "x86_64" },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	snprintf(buf, size, "machine %u", machine);
	return buf;
}

static int check_ident(const uint8_t *e, uint16_t type, uint16_t machine,
		       struct vc_error *err)
{
	char buf[32];

	if (e[EI_DATA] != ELFDATA2LSB)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is a big-endian ELF");
	if (machine != EM_X86_64)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is an ELF for %s, not x86_64",
			       machine_name(machine, buf, sizeof(buf)));
	if (e[EI_CLASS] != ELFCLASS64)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is a 32-bit ELF");
	if (type == ET_REL || type == ET_CORE)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: is an ELF %s, not a program",
			       type == ET_REL ? "object file" : "core dump");
	if (type != ET_EXEC && type != ET_DYN)
		return vc_fail(err, VC_E_CORRUPT, 0, "kernel: ELF of type %u",
			       type);
	return 0;
}

static void parse_phdr(struct vc_bytes *c, struct phdr *p)
{
	vc_bytes_get_le32(c, &p->type);
	vc_bytes_skip(c, 4); /* flags */
	vc_bytes_get_le64(c, &p->offset);
	vc_bytes_skip(c, 8); /* virtual address */
	vc_bytes_get_le64(c, &p->paddr);
	vc_bytes_get_le64(c, &p->filesz);
	vc_bytes_get_le64(c, &p->memsz);
	vc_bytes_get_le64(c, &p->align);
}

static int read_headers(const struct ld_source *src, struct image *img,
			struct vc_error *err)
{
	uint8_t e[EHDR_BYTES], raw[VC_LOADER_MAX_PHDRS * PHDR_BYTES];
	struct vc_bytes c = vc_bytes_init(e, sizeof(e));
	uint16_t type = 0, machine = 0, phentsize = 0, phnum = 0;
	uint64_t phoff = 0;
	size_t i;

	if (ld_read(src, 0, e, sizeof(e), err) < 0)
		return -1;
	vc_bytes_seek(&c, EI_NIDENT);
	vc_bytes_get_le16(&c, &type);
	vc_bytes_get_le16(&c, &machine);
	if (check_ident(e, type, machine, err) < 0)
		return -1;
	vc_bytes_skip(&c, 4); /* version */
	vc_bytes_get_le64(&c, &img->entry);
	vc_bytes_get_le64(&c, &phoff);
	vc_bytes_skip(&c, 14); /* e_shoff, e_flags, e_ehsize */
	vc_bytes_get_le16(&c, &phentsize);
	vc_bytes_get_le16(&c, &phnum);
	if (phentsize != PHDR_BYTES || !phnum)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: %u ELF program headers of %u bytes",
			       phnum, phentsize);
	if (phnum > VC_LOADER_MAX_PHDRS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "kernel: more than %d ELF program headers",
			       VC_LOADER_MAX_PHDRS);
	if (ld_read(src, phoff, raw, phnum * (size_t)PHDR_BYTES, err) < 0)
		return -1;
	c = vc_bytes_init(raw, phnum * (size_t)PHDR_BYTES);
	for (i = 0; i < phnum; i++)
		parse_phdr(&c, &img->phdrs[i]);
	img->nr_phdrs = phnum;
	return 0;
}

static int load_segment(const struct ld_source *src, struct vc_mem *mem,
			const struct phdr *p, struct image *img,
			struct vc_kernel *ret, struct vc_error *err)
{
	uint64_t end;

	if (p->filesz > p->memsz || vc_ckd_add(&end, p->paddr, p->memsz) ||
	    end > VC_MEM_MAX_BYTES)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: ELF segment of %llu bytes in %llu at "
			       "0x%llx",
			       (unsigned long long)p->filesz,
			       (unsigned long long)p->memsz,
			       (unsigned long long)p->paddr);
	if (p->paddr < LD_MIN_ADDR)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "kernel: an ELF segment wants to be at 0x%llx, "
			       "below 1 MiB",
			       (unsigned long long)p->paddr);
	/* also bounds what a hostile header can make us clear */
	if (p->memsz > VC_LOADER_MAX_KERNEL - img->loaded_bytes)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "kernel: its ELF segments take more than %llu "
			       "MiB",
			       (unsigned long long)(VC_LOADER_MAX_KERNEL >>
						    20));
	img->loaded_bytes += p->memsz;
	if (!vc_mem_contains(mem, p->paddr, p->memsz))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "kernel: needs memory the guest does not have: "
			       "%llu bytes at 0x%llx",
			       (unsigned long long)p->memsz,
			       (unsigned long long)p->paddr);
	if (ld_read_guest(src, p->offset, p->filesz, mem, p->paddr, err) < 0)
		return -1;
	if (!vc_mem_fill(mem, p->paddr + p->filesz, 0, p->memsz - p->filesz))
		return vc_fail(err, VC_E_INTERNAL, 0, "kernel: clear memory");
	if (vc_align_down(p->paddr, LD_PAGE) < ret->load_start)
		ret->load_start = vc_align_down(p->paddr, LD_PAGE);
	if (vc_align_up(end, LD_PAGE) > ret->load_end)
		ret->load_end = vc_align_up(end, LD_PAGE);
	return 0;
}

/* A PVH entry point in the notes at `buf`? */
static void parse_notes(const uint8_t *buf, size_t n, size_t align,
			struct image *img)
{
	struct vc_bytes c = vc_bytes_init(buf, n);

	while (vc_bytes_left(&c) >= 12 && !img->has_pvh) {
		uint32_t namesz, descsz, type, value;
		const uint8_t *name, *desc;

		vc_bytes_get_le32(&c, &namesz);
		vc_bytes_get_le32(&c, &descsz);
		vc_bytes_get_le32(&c, &type);
		name = vc_bytes_view(&c, namesz);
		if (!name || !vc_bytes_seek(&c, vc_align_up(c.pos, align)))
			return;
		desc = vc_bytes_view(&c, descsz);
		if (!desc)
			return;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
		    !memcmp(name, "Xen", 4) && (descsz == 4 || descsz == 8)) {
			struct vc_bytes d = vc_bytes_init(desc, descsz);

			img->has_pvh = vc_bytes_get_le32(&d, &value);
			img->pvh_entry = value;
		}
		if (!vc_bytes_seek(&c, vc_align_up(c.pos, align)))
			return;
	}
}

static int read_notes(const struct ld_source *src, const struct phdr *p,
		      struct image *img, struct vc_error *err)
{
	uint8_t buf[VC_LOADER_MAX_NOTES];
	size_t n = (size_t)vc_min_u64(p->filesz, sizeof(buf));

	if (ld_read(src, p->offset, buf, n, err) < 0)
		return -1;
	parse_notes(buf, n, p->align == 8 ? 8 : 4, img);
	return 0;
}

static bool is_loaded(const struct image *img, uint64_t addr)
{
	size_t i;

	for (i = 0; i < img->nr_phdrs; i++) {
		const struct phdr *p = &img->phdrs[i];

		if (p->type == PT_LOAD && addr >= p->paddr &&
		    addr - p->paddr < p->filesz)
			return true;
	}
	return false;
}

int ld_load_elf(const struct ld_source *src, struct vc_mem *mem,
		struct vc_kernel *ret, struct vc_error *err)
{
	struct image img = { 0 };
	size_t i;

	if (read_headers(src, &img, err) < 0)
		return -1;
	ret->load_start = UINT64_MAX;
	for (i = 0; i < img.nr_phdrs; i++) {
		const struct phdr *p = &img.phdrs[i];

		if (p->type == PT_INTERP)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "kernel: is a Linux program, not a "
				       "kernel");
		if (p->type == PT_LOAD && (p->memsz || p->filesz) &&
		    load_segment(src, mem, p, &img, ret, err) < 0)
			return -1;
		if (p->type == PT_NOTE && read_notes(src, p, &img, err) < 0)
			return -1;
	}
	ret->proto = img.has_pvh ? VC_KERNEL_PVH : VC_KERNEL_LINUX64;
	ret->entry = img.has_pvh ? img.pvh_entry : img.entry;
	if (!is_loaded(&img, ret->entry))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "kernel: ELF entry point 0x%llx is in no "
			       "segment",
			       (unsigned long long)ret->entry);
	ret->init_size = ret->load_end - ret->load_start;
	ret->initrd_max = MAX_INITRD_ADDR;
	ret->cmdline_max = VC_LOADER_MAX_CMDLINE - 1;
	return 0;
}
