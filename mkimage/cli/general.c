/* SPDX-License-Identifier: BSD-3-Clause */
#include "mkimage/cli/options.h"

static const struct option_def table[] = {
	OPTION_FLAG("strict", 0, is_strict,
		    "fail where there would be a warning"),
	OPTION_FLAG("json", 0, is_json, "report on standard output as JSON"),
	OPTION_FLAG("quiet", 'q', is_quiet,
		    "no progress, no warnings, no report but with --json"),
	OPTION_FLAG("verbose", 'v', is_verbose,
		    "name every entry on standard error"),
	OPTION_FLAG("version", 'V', has_version, "print the version"),
};

OPTION_GROUP(options_general, table);
