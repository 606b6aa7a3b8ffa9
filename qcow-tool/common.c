/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/options.h>
#include "qcow-tool/common.h"

/* What the library says about a broken image tells more than the error that
 * comes of it: it waits here, to be printed instead. Threads of a conversion may
 * say it; the first one counts. */
static char held[512];
static atomic_flag is_held = ATOMIC_FLAG_INIT;

void log_line(enum vc_log_level level, const char *who, const char *text)
{
	if (level != VC_LOG_ERROR)
		fprintf(stderr, "qcow-tool: %s: %s\n", who, text);
	else if (!atomic_flag_test_and_set(&is_held))
		snprintf(held, sizeof(held), "%s: %s", who, text);
}

void report_held(void)
{
	if (held[0])
		fprintf(stderr, "qcow-tool: %s\n", held);
	held[0] = '\0';
}

int report(const struct vc_error *err)
{
	char line[sizeof(err->msg) + 128];

	if (held[0])
		report_held();
	else
		fprintf(stderr, "qcow-tool: %s\n",
			vc_error_str(err, line, sizeof(line)));
	return 1; /* for whatever reason, as qemu-img has it */
}

const char *format_name(enum vc_disk_format format)
{
	return vc_disk_format_names[format - 1];
}

int open_for_reading(const char *path, int *ret_fd, struct vc_error *err)
{
	char shown[256];

	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*ret_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': open",
			       vc_printable(path, shown, sizeof(shown)));
	return 0;
}

int refuse_same_file(const char *to, const char *what, const char *path,
		     struct vc_error *err)
{
	char shown[256];

	if (!vc_same_file(to, path))
		return 0;
	return vc_fail(err, VC_E_CONFIG, 0, "%s '%s': is the new image itself",
		       what, vc_printable(path, shown, sizeof(shown)));
}

void progress_show(void *opaque, uint64_t done, uint64_t total)
{
	int now = total ? (int)((double)done * 10000 / (double)total) : 10000;
	struct progress *p = opaque;

	if (!p->is_shown || now == p->last)
		return;
	p->last = now;
	printf("    (%d.%02d/100%%)\r", now / 100, now % 100);
	fflush(stdout);
}

void progress_end(struct progress *p)
{
	p->last = -1;
	progress_show(p, 1, 1);
	if (p->is_shown)
		putchar('\n');
}

json_t *json_text(const char *text)
{
	json_t *j = json_string(text);
	char shown[4096];

	return j ? j : json_string(vc_printable(text, shown, sizeof(shown)));
}

int print_json(json_t *root)
{
	struct vc_error err;
	bool ok = root && json_dumpf(root, stdout,
				     JSON_INDENT(4) | JSON_PRESERVE_ORDER) == 0;

	json_decref(root);
	/* whether it arrives is told when the program ends */
	if (ok)
		putchar('\n');
	if (ok || ferror(stdout))
		return 0;
	vc_fail(&err, VC_E_SYS, ENOMEM, "write JSON");
	return report(&err);
}
