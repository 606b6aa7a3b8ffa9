/* SPDX-License-Identifier: BSD-3-Clause */
/* What processor an image is for, as the ELF headers of its programs say. */
#ifndef MKIMAGE_MACHINE_H
#define MKIMAGE_MACHINE_H

#include <vmmcore/util.h>

enum machine {
	MACHINE_UNKNOWN,
	MACHINE_X86_64,
	MACHINE_ARM64,
	MACHINE_RISCV64,
	MACHINE_X86,
	MACHINE_ARM,
	MACHINE_LOONGARCH64,
	MACHINE_PPC64_LE,
	MACHINE_S390X,
	MACHINE_NR
};
/* By the words of the Discoverable Partitions Specification; NULL for
 * MACHINE_UNKNOWN. */
extern const char *const machine_names[MACHINE_NR];

struct machine_count {
	uint64_t nr[MACHINE_NR]; /* files */
};

/* Of a file that begins so. */
enum machine machine_of(const void *data, size_t len);
void machine_count(struct machine_count *c, const void *data, size_t len);
/* What most programs are for: an image may have a few of another. */
enum machine machine_most(const struct machine_count *c);
/* Can a kernel that runs `image` run the program as well? True of what is not
 * known. */
bool machine_runs(enum machine image, enum machine program);

#endif
