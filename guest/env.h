/* SPDX-License-Identifier: BSD-3-Clause */
/* What both guest programs know of what a command starts with. */
#ifndef GUEST_ENV_H
#define GUEST_ENV_H

#include <stdbool.h>

#define ENV_DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Does the NULL-terminated `env` of "NAME=VALUE" set `name`? */
bool env_has(char *const *env, const char *name);

/* In the child: what an init or service manager ignores or blocks is not the
 * command's. */
void env_reset_signals(void);

#endif
