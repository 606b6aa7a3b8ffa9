/* SPDX-License-Identifier: BSD-3-Clause */
#include <elf.h>
#include <string.h>
#include "mkimage/machine.h"

const char *const machine_names[MACHINE_NR] = {
	[MACHINE_X86_64] = "x86-64",	 [MACHINE_ARM64] = "arm64",
	[MACHINE_RISCV64] = "riscv64",	 [MACHINE_X86] = "x86",
	[MACHINE_ARM] = "arm",		 [MACHINE_LOONGARCH64] = "loongarch64",
	[MACHINE_PPC64_LE] = "ppc64-le", [MACHINE_S390X] = "s390x",
};

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

static const struct {
	uint16_t e_machine;
	uint8_t class, order;
	enum machine machine;
} kinds[] = {
	{ EM_X86_64, ELFCLASS64, ELFDATA2LSB, MACHINE_X86_64 },
	{ EM_AARCH64, ELFCLASS64, ELFDATA2LSB, MACHINE_ARM64 },
	{ EM_RISCV, ELFCLASS64, ELFDATA2LSB, MACHINE_RISCV64 },
	{ EM_386, ELFCLASS32, ELFDATA2LSB, MACHINE_X86 },
	{ EM_ARM, ELFCLASS32, ELFDATA2LSB, MACHINE_ARM },
	{ EM_LOONGARCH, ELFCLASS64, ELFDATA2LSB, MACHINE_LOONGARCH64 },
	{ EM_PPC64, ELFCLASS64, ELFDATA2LSB, MACHINE_PPC64_LE },
	{ EM_S390, ELFCLASS64, ELFDATA2MSB, MACHINE_S390X },
};

enum machine machine_of(const void *data, size_t len)
{
	const uint8_t *p = data, *m = p + EI_NIDENT + 2;
	uint16_t e_machine;
	size_t i;

	/* e_ident, e_type, e_machine: the same of both classes */
	if (len < EI_NIDENT + 4 || memcmp(p, ELFMAG, SELFMAG) != 0)
		return MACHINE_UNKNOWN;
	e_machine = (uint16_t)(p[EI_DATA] == ELFDATA2MSB ? m[0] * 256u + m[1]
							 : m[1] * 256u + m[0]);
	for (i = 0; i < VC_ARRAY_SIZE(kinds); i++)
		if (kinds[i].e_machine == e_machine &&
		    kinds[i].class == p[EI_CLASS] &&
		    kinds[i].order == p[EI_DATA])
			return kinds[i].machine;
	return MACHINE_UNKNOWN;
}

void machine_count(struct machine_count *c, const void *data, size_t len)
{
	c->nr[machine_of(data, len)]++;
}

enum machine machine_most(const struct machine_count *c)
{
	enum machine most = MACHINE_UNKNOWN, m;

	for (m = MACHINE_UNKNOWN + 1; m < MACHINE_NR; m++)
		if (c->nr[m] > (most == MACHINE_UNKNOWN ? 0 : c->nr[most]))
			most = m;
	return most;
}

bool machine_runs(enum machine image, enum machine program)
{
	/* a 64-bit kernel under programs of 32 bits */
	if ((image == MACHINE_X86 && program == MACHINE_X86_64) ||
	    (image == MACHINE_ARM && program == MACHINE_ARM64))
		return true;
	return image == program || image == MACHINE_UNKNOWN ||
	       program == MACHINE_UNKNOWN;
}
