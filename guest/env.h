/* SPDX-License-Identifier: BSD-3-Clause */
/* What both guest programs know of a command's environment. */
#ifndef GUEST_ENV_H
#define GUEST_ENV_H

#include <stdbool.h>

#define ENV_DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Does the NULL-terminated `env` of "NAME=VALUE" set `name`? */
bool env_has(char *const *env, const char *name);

#endif
