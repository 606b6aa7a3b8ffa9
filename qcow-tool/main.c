/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include "qcow-tool/common.h"

static const struct vc_subcommand commands[] = {
	{ "amend", "change what kind of image it is", cmd_amend },
	{ "bitmap", "manage the bitmaps of what was written", cmd_bitmap },
	{ "check", "verify the metadata of an image", cmd_check },
	{ "commit", "write an image into its backing file", cmd_commit },
	{ "compare", "say whether two images have the same contents",
	  cmd_compare },
	{ "composite", "make and show disks that are made of others",
	  cmd_composite },
	{ "convert", "copy an image to another format", cmd_convert },
	{ "create", "make an empty image", cmd_create },
	{ "dd", "copy a part of an image to a new one", cmd_dd },
	{ "info", "tell what an image is", cmd_info },
	{ "map", "say where the data of an image is", cmd_map },
	{ "measure", "say how large an image would be", cmd_measure },
	{ "rebase", "give an image another backing file", cmd_rebase },
	{ "resize", "give an image another size", cmd_resize },
	{ "snapshot", "manage the snapshots inside of an image", cmd_snapshot },
};

static const struct vc_program program = {
	.name = "qcow-tool",
	.summary = "Look at, make, convert and check disk images.",
	.commands = commands,
	.nr_commands = VC_ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	int status;
	size_t i;

	vc_log_set(log_line, VC_LOG_WARN);
	status = vc_program_main(&program, argc, argv);
	report_held();
	for (i = 0; argc > 1 && i < VC_ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return status;
	return !!status; /* no such command: 1, as in qemu-img */
}
