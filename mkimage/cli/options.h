/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of mkimage. One line in the table of its group (general.c,
 * source.c, output.c, fs.c, guest.c) is all that a new option needs beside its
 * field in struct settings.
 */
#ifndef MKIMAGE_CLI_OPTIONS_H
#define MKIMAGE_CLI_OPTIONS_H

#include <stddef.h>
#include <vmmcore/options.h>
#include "mkimage/cli/settings.h"

struct option_def {
	struct vc_option opt;
	/* What the option does; an error gets its name in front. NULL: a flag
	 * without an argument makes the bool at `offset` true, an option with
	 * one puts it in the const char * there. */
	int (*set)(struct settings *s, const char *value, struct vc_error *err);
	size_t offset;
};

#define OPTION_FLAG(name, letter, field, help)           \
	{                                                \
		{ name, letter, NULL, help }, NULL,      \
			offsetof(struct settings, field) \
	}
#define OPTION_TEXT(name, letter, arg, field, help)      \
	{                                                \
		{ name, letter, arg, help }, NULL,       \
			offsetof(struct settings, field) \
	}
#define OPTION_CALL(name, letter, arg, set, help)   \
	{                                           \
		{ name, letter, arg, help }, set, 0 \
	}

struct option_group {
	const struct option_def *defs;
	size_t nr;
};

#define OPTION_GROUP(name, table)           \
	const struct option_group name = {  \
		.defs = table,              \
		.nr = VC_ARRAY_SIZE(table), \
	}

extern const struct option_group options_general, options_source,
	options_output, options_fs, options_guest;

/* The defaults, before any option. */
void settings_init(struct settings *s);
void settings_fini(struct settings *s);
/* Parse argv. *ret_is_done: --help or --version was served on standard output,
 * and nothing else is to be done. */
int settings_parse(struct settings *s, int argc, char **argv, bool *ret_is_done,
		   struct vc_error *err) VC_MUST_CHECK;
/* Checks of a group once all options are in. */
int options_check_guest(struct settings *s, struct vc_error *err) VC_MUST_CHECK;
int options_check_fs(struct settings *s, struct vc_error *err) VC_MUST_CHECK;
int options_check_output(struct settings *s,
			 struct vc_error *err) VC_MUST_CHECK;

#endif
