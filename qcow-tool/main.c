/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <vmmcore/log.h>
#include "qcow-tool/common.h"

struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "check", "verify the metadata of an image", cmd_check },
	{ "convert", "copy an image to another format", cmd_convert },
	{ "create", "make an empty image", cmd_create },
	{ "info", "tell what an image is", cmd_info },
};

static void usage(FILE *to)
{
	size_t i;

	fputs("Usage: qcow-tool COMMAND [ARGUMENT]...\n\n"
	      "Look at, make, convert and check disk images.\n\n"
	      "Commands:\n",
	      to);
	for (i = 0; i < VC_ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\n'qcow-tool COMMAND --help' tells more; see also "
	      "qcow-tool(1).\n",
	      to);
}

static void log_line(enum vc_log_level level, const char *who, const char *text)
{
	(void)level;
	fprintf(stderr, "qcow-tool: %s: %s\n", who, text);
}

int main(int argc, char **argv)
{
	char shown[64];
	size_t i;

	vc_log_set(log_line, VC_LOG_WARN);
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("qcow-tool " VC_VERSION);
		return 0;
	}
	for (i = 0; i < VC_ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr,
		"qcow-tool: unknown command '%s'\nTry 'qcow-tool --help'.\n",
		vc_printable(argv[1], shown, sizeof(shown)));
	return 2;
}
