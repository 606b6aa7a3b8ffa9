/* SPDX-License-Identifier: BSD-3-Clause */
/* The log sink. The library never prints by itself: messages go to a function
 * that main() sets; without one they are dropped. */
#ifndef VMMCORE_LOG_H
#define VMMCORE_LOG_H

#include <vmmcore/cdefs.h>

VC_BEGIN_DECLS

enum vc_log_level { VC_LOG_ERROR, VC_LOG_WARN, VC_LOG_INFO, VC_LOG_DEBUG };

typedef void (*vc_log_fn)(enum vc_log_level level, const char *who,
			  const char *text);

/* Set the sink and the least important level it gets. Call before threads. */
void vc_log_set(vc_log_fn fn, enum vc_log_level max);

/* `who` names the object, e.g. "virtio-blk0". Any thread. */
void vc_log(enum vc_log_level level, const char *who, const char *fmt, ...)
	VC_PRINTF(3, 4);

/* A ready sink: one line to fd 2 with one write(2), so lines of several
 * processes do not mix; needs no system call but write. */
void vc_log_stderr(enum vc_log_level level, const char *who, const char *text);

/* True at most `burst` times a second for one `rl`: put it before a warning
 * that a guest can provoke. Zero-initialise. One thread. */
struct vc_ratelimit {
	uint64_t window_s;
	unsigned count;
};
bool vc_ratelimit_ok(struct vc_ratelimit *rl, unsigned burst);

VC_END_DECLS

#endif
