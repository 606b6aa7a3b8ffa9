/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest agent in an image, and what starts it there. */
#ifndef MKIMAGE_AGENT_H
#define MKIMAGE_AGENT_H

#include "mkimage/build.h"

struct agent_opts {
	const char *agent_path; /* on the host; NULL: look for it */
	const char *init_path;	/* of vmm-init; NULL: look for it */
	bool is_init; /* vmm-init is PID 1, whatever init the image has */
};

enum agent_starter {
	AGENT_BY_SYSTEMD,
	AGENT_BY_OPENRC,
	AGENT_BY_VMM_INIT, /* the image had no init */
	AGENT_BY_NOBODY,   /* an init we do not know; there was a warning */
};
extern const char *const agent_starter_names[];

/* All sources are in; the last before build_complete(). */
int agent_install(struct build *b, const struct agent_opts *opts,
		  enum agent_starter *ret, struct vc_error *err) VC_MUST_CHECK;

#endif
