/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "mkimage/machine.h"
#include "tests/lib/test.h"

/* The first 20 bytes of a program. */
#define ELF(class, order, machine) \
	"\177ELF" class order "\1\0\0\0\0\0\0\0\0\0\2\0" machine

static const struct {
	const char *bytes;
	enum machine want;
} cases[] = {
	{ ELF("\2", "\1", "\x3e\0"), MACHINE_X86_64 },
	{ ELF("\2", "\1", "\xb7\0"), MACHINE_ARM64 },
	{ ELF("\2", "\1", "\xf3\0"), MACHINE_RISCV64 },
	{ ELF("\1", "\1", "\x03\0"), MACHINE_X86 },
	{ ELF("\1", "\1", "\x28\0"), MACHINE_ARM },
	{ ELF("\2", "\1", "\x02\1"), MACHINE_LOONGARCH64 },
	{ ELF("\2", "\1", "\x15\0"), MACHINE_PPC64_LE },
	{ ELF("\2", "\2", "\0\x16"), MACHINE_S390X },
	{ ELF("\2", "\2", "\0\x15"), MACHINE_UNKNOWN }, /* big-endian ppc64 */
	{ ELF("\1", "\1", "\x3e\0"), MACHINE_UNKNOWN }, /* x32 */
	{ ELF("\2", "\1", "\0\0"), MACHINE_UNKNOWN },
	{ "#!/bin/sh\necho 4 5 6", MACHINE_UNKNOWN },
};

START_TEST(elf_headers_tell)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(machine_of(cases[i].bytes, 20) == cases[i].want,
			      "case %zu", i);
		ck_assert_int_eq(machine_of(cases[i].bytes, 19),
				 MACHINE_UNKNOWN);
	}
}
END_TEST

START_TEST(nothing_is_read_behind_a_short_file)
{
	size_t len;
	char *p;

	for (len = 0; len < 20; len++) {
		p = malloc(len + !len);
		ck_assert_ptr_nonnull(p);
		memcpy(p, cases[0].bytes, len);
		ck_assert_int_eq(machine_of(p, len), MACHINE_UNKNOWN);
		free(p);
	}
}
END_TEST

START_TEST(most_programs_decide)
{
	struct machine_count c = { 0 };

	ck_assert_int_eq(machine_most(&c), MACHINE_UNKNOWN);
	machine_count(&c, "text", 4);
	ck_assert_int_eq(machine_most(&c), MACHINE_UNKNOWN);
	machine_count(&c, cases[3].bytes, 20);
	ck_assert_int_eq(machine_most(&c), MACHINE_X86);
	machine_count(&c, cases[1].bytes, 20);
	machine_count(&c, cases[1].bytes, 20);
	ck_assert_int_eq(machine_most(&c), MACHINE_ARM64);
}
END_TEST

START_TEST(a_64_bit_kernel_runs_both)
{
	ck_assert(machine_runs(MACHINE_X86, MACHINE_X86_64));
	ck_assert(!machine_runs(MACHINE_X86_64, MACHINE_X86));
	ck_assert(machine_runs(MACHINE_ARM, MACHINE_ARM64));
	ck_assert(!machine_runs(MACHINE_ARM64, MACHINE_X86_64));
	ck_assert(machine_runs(MACHINE_UNKNOWN, MACHINE_X86_64));
	ck_assert(machine_runs(MACHINE_ARM64, MACHINE_UNKNOWN));
}
END_TEST

TEST_SUITE(suite_machine)
{
	Suite *s = suite_create("machine");
	TCase *t = test_case(s, "machine");

	tcase_add_test(t, elf_headers_tell);
	tcase_add_test(t, nothing_is_read_behind_a_short_file);
	tcase_add_test(t, most_programs_decide);
	tcase_add_test(t, a_64_bit_kernel_runs_both);
	return s;
}
