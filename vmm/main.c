/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <vmmcore/cdefs.h>
#include <vmmcore/error.h>
#include <vmmcore/log.h>
#include "vmm/cli/commands.h"

struct command {
	const char *name;
	const char *help; /* NULL: started by `vmm run`, not listed */
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "device", "serve one virtio device over vhost-user", cmd_device },
	{ "doctor", "say what this host offers and lacks", cmd_doctor },
	{ "exec", "run a command in the guest", cmd_exec },
	{ "machine", NULL, cmd_machine },
	{ "run", "run a virtual machine", cmd_run },
	{ "stop", "power a virtual machine off", cmd_stop },
	{ "version", "print the version", cmd_version },
};

static void usage(FILE *to)
{
	size_t i;

	fputs("Usage: vmm COMMAND [ARGUMENT]...\n\n"
	      "Run an operating system or an app in a virtual machine.\n\n"
	      "Commands:\n",
	      to);
	for (i = 0; i < VC_ARRAY_SIZE(commands); i++)
		if (commands[i].help)
			fprintf(to, "  %-10s %s\n", commands[i].name,
				commands[i].help);
	fputs("\n'vmm COMMAND --help' tells more; see also vmm(1).\n", to);
}

int main(int argc, char **argv)
{
	char shown[64];
	size_t i;

	vc_log_set(vc_log_stderr, VC_LOG_WARN);
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(argc - 1, argv + 1);
	for (i = 0; i < VC_ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "vmm: unknown command '%s'\nTry 'vmm --help'.\n",
		vc_printable(argv[1], shown, sizeof(shown)));
	return 2;
}
