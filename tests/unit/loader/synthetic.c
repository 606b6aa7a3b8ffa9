/* SPDX-License-Identifier: BSD-3-Clause */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "tests/unit/loader/synthetic.h"

void syn_put16(uint8_t *p, uint16_t v)
{
	le16_t x = le16_put(v);

	memcpy(p, &x, sizeof(x));
}

void syn_put32(uint8_t *p, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(p, &x, sizeof(x));
}

void syn_put64(uint8_t *p, uint64_t v)
{
	le64_t x = le64_put(v);

	memcpy(p, &x, sizeof(x));
}

void syn_put(uint8_t *p, unsigned bytes, uint64_t v)
{
	switch (bytes) {
	case 1:
		*p = (uint8_t)v;
		break;
	case 2:
		syn_put16(p, (uint16_t)v);
		break;
	case 4:
		syn_put32(p, (uint32_t)v);
		break;
	default:
		syn_put64(p, v);
	}
}

size_t syn_bzimage(uint8_t buf[SYN_MAX])
{
	size_t i;

	memset(buf, 0, SYN_MAX);
	buf[0x1f1] = 1;				     /* setup_sects */
	syn_put32(buf + 0x1f4, SYN_BZ_PAYLOAD / 16); /* syssize */
	syn_put16(buf + 0x1fe, 0xaa55);		     /* boot_flag */
	buf[0x200] = 0xeb;			     /* jump, */
	buf[0x201] = 0x66;			     /* over the header */
	memcpy(buf + 0x202, "HdrS", 4);
	syn_put16(buf + 0x206, 0x20f);	    /* version */
	buf[0x211] = 1;			    /* LOADED_HIGH */
	syn_put32(buf + 0x22c, 0x7fffffff); /* initrd_addr_max */
	syn_put32(buf + 0x230, 0x200000);   /* alignment */
	buf[0x234] = 1;			    /* relocatable */
	syn_put16(buf + 0x236, 1);	    /* XLF_KERNEL_64 */
	syn_put32(buf + 0x238, 2047);	    /* cmdline_size */
	syn_put64(buf + 0x258, SYN_BZ_PREF);
	syn_put32(buf + 0x260, SYN_BZ_INIT_SIZE);
	for (i = 0; i < SYN_BZ_PAYLOAD; i++)
		buf[SYN_BZ_SETUP + i] = (uint8_t)i;
	return SYN_BZ_BYTES;
}

static void put_phdr(uint8_t *p, uint32_t type, uint64_t offset, uint64_t paddr,
		     uint64_t filesz, uint64_t memsz)
{
	syn_put32(p, type);
	syn_put64(p + 8, offset);
	syn_put64(p + 24, paddr);
	syn_put64(p + 32, filesz);
	syn_put64(p + 40, memsz);
	syn_put64(p + 48, 4);
}

size_t syn_elf(uint8_t buf[SYN_MAX])
{
	uint8_t *note = buf + SYN_ELF_NOTE;
	size_t i;

	memset(buf, 0, SYN_MAX);
	memcpy(buf, ELFMAG, SELFMAG);
	buf[EI_CLASS] = ELFCLASS64;
	buf[EI_DATA] = ELFDATA2LSB;
	buf[EI_VERSION] = EV_CURRENT;
	syn_put16(buf + 16, ET_EXEC);
	syn_put16(buf + 18, EM_X86_64);
	syn_put64(buf + 24, SYN_ELF_ENTRY);
	syn_put64(buf + 32, SYN_PHDR(0)); /* e_phoff */
	syn_put16(buf + 54, 56);	  /* e_phentsize */
	syn_put16(buf + 56, 2);		  /* e_phnum */
	put_phdr(buf + SYN_PHDR(0), PT_LOAD, SYN_ELF_LOAD, SYN_ELF_PADDR,
		 SYN_ELF_FILESZ, SYN_ELF_MEMSZ);
	put_phdr(buf + SYN_PHDR(1), PT_NOTE, SYN_ELF_NOTE, 0, 40, 40);
	/* a note of somebody else first */
	syn_put32(note, 4);
	syn_put32(note + 4, 4);
	syn_put32(note + 8, 18);
	memcpy(note + 12, "GNU", 4);
	syn_put32(note + 20, 4);
	syn_put32(note + 24, 4);
	syn_put32(note + 28, 18);
	memcpy(note + 32, "Xen", 4);
	syn_put32(note + 36, (uint32_t)SYN_ELF_PVH);
	for (i = 0; i < SYN_ELF_FILESZ; i++)
		buf[SYN_ELF_LOAD + i] = (uint8_t)~i;
	return SYN_ELF_LOAD + SYN_ELF_FILESZ;
}

int syn_file(const uint8_t *buf, size_t n)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (fd < 0 || vc_pwrite_full(fd, buf, n, 0) < 0)
		abort();
	return fd;
}
