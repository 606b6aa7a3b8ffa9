/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>

#define LOG_MAX_LINE 1024

static vc_log_fn log_fn;
static enum vc_log_level log_max;

void vc_log_set(vc_log_fn fn, enum vc_log_level max)
{
	log_fn = fn;
	log_max = max;
}

void vc_log(enum vc_log_level level, const char *who, const char *fmt, ...)
{
	char text[LOG_MAX_LINE];
	va_list ap;

	if (!log_fn || level > log_max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_fn(level, who, text);
}

void vc_log_stderr(enum vc_log_level level, const char *who, const char *text)
{
	static const char *const names[] = { "error", "warning", "info",
					     "debug" };
	char line[LOG_MAX_LINE + 128];
	int n;

	n = snprintf(line, sizeof(line) - 1, "vmm: %s: %s: %s", who,
		     names[level], text);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* there is nowhere left to complain to */
}

bool vc_ratelimit_ok(struct vc_ratelimit *rl, unsigned burst)
{
	uint64_t now = vc_now_ns() / UINT64_C(1000000000);

	if (rl->window_s != now) {
		rl->window_s = now;
		rl->count = 0;
	}
	if (rl->count >= burst)
		return false;
	rl->count++;
	return true;
}
