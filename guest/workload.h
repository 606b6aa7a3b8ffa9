/* SPDX-License-Identifier: BSD-3-Clause */
/* The one program a machine without an init of its own is for. */
#ifndef GUEST_WORKLOAD_H
#define GUEST_WORKLOAD_H

#include <sys/types.h>
#include "guest/runconf.h"

/* The environment of a program of `home`: what the file gives, before it what
 * that does not set. Ends in NULL; to be freed with workload_env_free(). */
char **workload_env(const struct runconf *c, const char *home,
		    struct vc_error *err);
void workload_env_free(char **env);
/* Start it on the console; *ret is 0 if there is nothing to start. */
int workload_start(const struct runconf *c, pid_t *ret,
		   struct vc_error *err) VC_MUST_CHECK;

#endif
