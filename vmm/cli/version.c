/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include "vmm/cli/commands.h"

int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("vmm " VC_VERSION);
	return 0;
}
