/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef QCOW_TOOL_COMMON_H
#define QCOW_TOOL_COMMON_H

#include <jansson.h>
#include <vmmcore/disk.h>
#include <vmmcore/log.h>

/* Each gets argv from its own name on and returns an exit status. */
int cmd_amend(int argc, char **argv);
int cmd_bitmap(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_commit(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_composite(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_dd(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_rebase(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);

/* For vc_log_set(). */
void log_line(enum vc_log_level level, const char *who, const char *text);
/* What was logged and no report() followed. */
void report_held(void);
/* Print the error; returns the exit status. */
int report(const struct vc_error *err);
const char *format_name(enum vc_disk_format format);
/* For a look at an image; does not wait for a fifo. */
int open_for_reading(const char *path, int *ret_fd,
		     struct vc_error *err) VC_MUST_CHECK;
/* What is written must not be what is read: that `to` and `path` are different
 * files, whether or not they exist yet. `what` the latter is is for messages. */
int refuse_same_file(const char *to, const char *what, const char *path,
		     struct vc_error *err) VC_MUST_CHECK;

/* "(12.34/100%)" on standard output, if `is_shown`. */
struct progress {
	bool is_shown;
	int last;
};
void progress_show(void *progress, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

/* A string that may not be UTF-8. */
json_t *json_text(const char *text);
/* Print and release; the exit status. */
int print_json(json_t *root);

#endif
