/* SPDX-License-Identifier: BSD-3-Clause */
/* What the user sees: progress, warnings, the report at the end. */
#ifndef MKIMAGE_CLI_REPORT_H
#define MKIMAGE_CLI_REPORT_H

#include <vmmcore/log.h>
#include "mkimage/build.h"
#include "mkimage/cli/settings.h"

/* What is known when the image is complete. */
struct report {
	struct target_report target;
	enum agent_starter starter;
};

/* Tell how far it is, on a terminal. */
void report_progress_start(struct settings *s, struct build *b);
void report_progress_end(void);
/* For vc_log_set(). */
void report_log(enum vc_log_level level, const char *who, const char *text);
/* Whether there is to be one. */
bool report_is_wanted(const struct settings *s);
/* By the settings: as text, as JSON, or not at all. */
int report_print(const struct settings *s, const struct build *b,
		 const struct report *p, struct vc_error *err) VC_MUST_CHECK;

#endif
