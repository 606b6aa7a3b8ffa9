/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: what the commands' options and operands have in common. */
#ifndef QCOW_TOOL_OPTIONS_H
#define QCOW_TOOL_OPTIONS_H

#include <vmmcore/disk.h>
#include <vmmcore/options.h>
#include "qcow-tool/common.h"

/* qemu's cache modes. */
struct cache_mode {
	bool direct; /* past the page cache */
	bool sync;   /* wait for the medium at the end */
};

/* Options that several commands have. Each command's table lists, with the
 * OPT_ macros, those that it has; parse_command() fills this. */
struct common_opts {
	enum vc_disk_format format; /* PROBE: not given */
	bool image_opts;	    /* operands are image options */
	bool quiet, share, json, allow_backing;
	bool show_options; /* -o help: set by the command */
	struct cache_mode cache, src_cache;
	struct progress progress;
};

#define OPT_FORMAT(help)                      \
	{                                     \
		"format", 'f', "FORMAT", help \
	}
#define OPT_QUIET                                              \
	{                                                      \
		"quiet", 'q', NULL, "print nothing but errors" \
	}
#define OPT_SHARE(help)                        \
	{                                      \
		"force-share", 'U', NULL, help \
	}
#define OPT_PROGRESS                                             \
	{                                                        \
		"progress", 'p', NULL, "show how far it has got" \
	}
#define OPT_CACHE(help)                    \
	{                                  \
		"cache", 't', "MODE", help \
	}
#define OPT_SOURCE_CACHE(help)                    \
	{                                         \
		"source-cache", 'T', "MODE", help \
	}
#define OPT_OUTPUT                                                  \
	{                                                           \
		"output", 0, "STYLE", "human (the default) or json" \
	}
#define OPT_ALLOW_BACKING(who)                                               \
	{                                                                    \
		"allow-backing", 0, NULL,                                    \
			"open the backing and data files that " who " names" \
	}
#define OPT_OBJECT                                                      \
	{                                                               \
		"object", 0, "OBJECT", "secret,...: accepted, not used" \
	}
#define OPT_IMAGE_OPTS(what)                                              \
	{                                                                 \
		"image-opts", 0, NULL,                                    \
			what " is driver=FORMAT,file.filename=FILE[,...]" \
	}

/* Parse the options and demand `min` to `max` operands (unless the command has
 * set show_options), the first of which is argv[*ret_first]. Returns -1 to go
 * on, else the exit status to return. */
int parse_command(const struct vc_command *cmd, int argc, char **argv,
		  struct common_opts *common, void *ctx, int min, int max,
		  int *ret_first, int *ret_nr);

int parse_format(const char *value, enum vc_disk_format *ret,
		 struct vc_error *err) VC_MUST_CHECK;
int parse_cache(const char *value, struct cache_mode *ret,
		struct vc_error *err) VC_MUST_CHECK;

/* --- qemu's key=value,... ---------------------------------------------------- */

/* Take the next pair off *rest, in place: "," separates pairs, ",," is a comma.
 * *ret_value is NULL for a key that stands alone. False at the end. */
bool next_pair(char **rest, const char **ret_key, const char **ret_value);

/* --- operands ---------------------------------------------------------------- */

/* What an operand says about an image. */
struct image_name {
	const char *path;	    /* in the operand */
	enum vc_disk_format format; /* PROBE: not said */
	bool is_read_only, share, direct;
};

/* Read the operand `text`: a file name or, with --image-opts, options, which are
 * taken apart in place. `format` is that of -f. */
int parse_image(const struct common_opts *c, char *text,
		enum vc_disk_format format, struct image_name *ret,
		struct vc_error *err) VC_MUST_CHECK;
/* The same for the commands with one image: what it says goes into `c`.
 * `is_changed`: a read-only one is refused. */
int take_image(struct common_opts *c, char *text, bool is_changed,
	       const char **ret_path, struct vc_error *err) VC_MUST_CHECK;

#endif
