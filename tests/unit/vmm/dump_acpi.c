/* SPDX-License-Identifier: BSD-3-Clause */
/* dump-acpi VCPUS MIB: write each ACPI table of that machine to NAME.dat, for
 * iasl to look at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/endian.h>
#include "vmm/arch/x86_64/acpi.h"

static int dump(const uint8_t *t)
{
	char name[9];
	le32_t n;
	FILE *f;

	memcpy(&n, t + 4, sizeof(n));
	snprintf(name, sizeof(name), "%.4s.dat", (const char *)t);
	f = fopen(name, "wb");
	if (!f || fwrite(t, 1, le32_get(n), f) != le32_get(n) || fclose(f)) {
		perror(name);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "FACS", "DSDT", "FACP",
					     "APIC", "MCFG", "XSDT" };
	static uint8_t buf[ACPI_MAX_BYTES];
	struct vc_error err;
	size_t len, i, at = 64;

	if (argc != 3 ||
	    acpi_build((unsigned)atoi(argv[1]),
		       strtoull(argv[2], NULL, 10) << 20, buf, &len, &err) < 0)
		return 1;
	/* one after the other, each at a multiple of 64 */
	for (i = 0; i < VC_ARRAY_SIZE(names); i++) {
		while (at < len && memcmp(buf + at, names[i], 4))
			at += 64;
		if (at >= len || dump(buf + at))
			return 1;
	}
	return 0;
}
