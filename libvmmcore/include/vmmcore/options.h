/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command lines: one table per command says its options, parses them (through
 * getopt_long) and prints its --help, for every program of the toolkit.
 */
#ifndef VMMCORE_OPTIONS_H
#define VMMCORE_OPTIONS_H

#include <stdio.h>
#include <vmmcore/error.h>

VC_BEGIN_DECLS

#define VC_MAX_OPTIONS 96

struct vc_option {
	const char *name; /* long name, without dashes */
	char letter;	  /* short form, or 0 */
	const char *arg;  /* metavariable of its argument, NULL if it has none;
			  * "[=SPEC]": --name or --name=SPEC */
	const char *help; /* one or more lines; NULL: not shown */
};

struct vc_command {
	const char *name; /* "mkimage", "vmm run": as users type it */
	const char
		*synopsis; /* what follows the name, e.g. "[OPTION]... IMAGE" */
	const char *summary;		 /* a sentence or a paragraph */
	const struct vc_option *options; /* --help is added */
	size_t nr_options;
	/* Called for each option in order; `value` is NULL for one without an
	 * argument and is borrowed from argv. */
	int (*on_option)(void *ctx, const struct vc_option *opt,
			 const char *value, struct vc_error *err);
	const char *epilogue; /* after the options in --help, or NULL */
};

/* Parse argv (argv[0] is skipped); *ret_first is the index of the first operand
 * (operands may stand between options unless `stop_at_operand`). After --help,
 * *ret_is_help is true and nothing else counts. VC_E_ARG names the option. */
int vc_options_parse(const struct vc_command *cmd, int argc, char **argv,
		     bool stop_at_operand, void *ctx, int *ret_first,
		     bool *ret_is_help, struct vc_error *err) VC_MUST_CHECK;

void vc_command_help(const struct vc_command *cmd, FILE *to);

/* A program of sub-commands: `NAME COMMAND [ARGUMENT]...`. */
struct vc_subcommand {
	const char *name;
	const char *help; /* one line; NULL: not listed */
	/* Gets argv from the command's own name on; returns an exit status. */
	int (*run)(int argc, char **argv);
};

struct vc_program {
	const char *name;    /* "vmm"; also that of its manual page */
	const char *summary; /* a sentence */
	const struct vc_subcommand *commands; /* in the order of the help */
	size_t nr_commands;
};

/* Run what argv names, or print the help or the version. Returns the exit
 * status: 2 when no command of that name exists, 1 at least when what was
 * printed has not arrived. For main() files. */
int vc_program_main(const struct vc_program *program, int argc, char **argv);

/* Has all that was printed arrived? An error is told once. For main() files. */
int vc_stdout_flush(struct vc_error *err) VC_MUST_CHECK;
/* The exit status of a program that would end with `status`: if what it printed
 * has not arrived it says so, and 0 becomes 1. For main() files. */
int vc_program_end(const char *program, int status);

/* Print "program: message" and return the exit status for `err`: 2 with a hint
 * at --help for VC_E_ARG, else 1. For main() files. */
int vc_report(FILE *to, const char *program, const struct vc_error *err);

VC_END_DECLS

#endif
