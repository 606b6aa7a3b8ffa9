/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels made of nothing: the smallest that the loader takes. A test changes
 * one byte and sees what it gets. */
#ifndef TESTS_UNIT_LOADER_SYNTHETIC_H
#define TESTS_UNIT_LOADER_SYNTHETIC_H

#include <vmmcore/loader.h>

#define SYN_MAX 16384
#define SYN_RAM (UINT64_C(64) << 20)

/* bzImage: 1 setup sector, 4096 bytes of kernel (byte i is i & 0xff). */
#define SYN_BZ_SETUP 1024
#define SYN_BZ_PAYLOAD 4096
#define SYN_BZ_BYTES (SYN_BZ_SETUP + SYN_BZ_PAYLOAD)
#define SYN_BZ_PREF UINT64_C(0x1000000)
#define SYN_BZ_INIT_SIZE 0x100000
size_t syn_bzimage(uint8_t buf[SYN_MAX]);

/* ELF: program header 0 is PT_LOAD of 256 bytes, 8192 in memory, 1 is PT_NOTE
 * with a PVH entry. */
#define SYN_ELF_PADDR UINT64_C(0x200000)
#define SYN_ELF_ENTRY (SYN_ELF_PADDR + 0x10)
#define SYN_ELF_PVH (SYN_ELF_PADDR + 0x20)
#define SYN_ELF_LOAD 0x1000 /* offset in the file */
#define SYN_ELF_NOTE 0x800
#define SYN_ELF_FILESZ 256
#define SYN_ELF_MEMSZ 8192
#define SYN_PHDR(i) (64 + 56 * (i)) /* offset of a program header */
size_t syn_elf(uint8_t buf[SYN_MAX]);

void syn_put16(uint8_t *p, uint16_t v);
void syn_put32(uint8_t *p, uint32_t v);
void syn_put64(uint8_t *p, uint64_t v);
/* The same, of `bytes`: 1, 2, 4 or 8. */
void syn_put(uint8_t *p, unsigned bytes, uint64_t v);

/* A memfd with these bytes, at offset 0. */
int syn_file(const uint8_t *buf, size_t n);

#endif
