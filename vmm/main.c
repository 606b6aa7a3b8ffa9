/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmmcore/cdefs.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include "vmm/cli/commands.h"

static const struct vc_subcommand commands[] = {
	{ "device", "serve one virtio device over vhost-user", cmd_device },
	{ "doctor", "say what this host offers and lacks", cmd_doctor },
	{ "exec", "run a command in the guest", cmd_exec },
	{ "machine", NULL, cmd_machine }, /* started by `vmm run` */
	{ "run", "run a virtual machine", cmd_run },
	{ "stop", "power a virtual machine off", cmd_stop },
	{ "version", "print the version", cmd_version },
};

static const struct vc_program program = {
	.name = "vmm",
	.summary = "Run an operating system or an app in a virtual machine.",
	.commands = commands,
	.nr_commands = VC_ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	vc_log_set(vc_log_stderr, VC_LOG_WARN);
	return vc_program_main(&program, argc, argv);
}
