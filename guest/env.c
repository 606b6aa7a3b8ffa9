/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "guest/env.h"

bool env_has(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return true;
	return false;
}
