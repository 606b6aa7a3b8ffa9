/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/resource.h>
#include "sandbox/internal.h"

#define DEFAULT_MAX_FDS 1024

/* Lower a limit, soft and hard; one that is lower already stays. */
static int lower(__rlimit_resource_t which, const char *name, uint64_t max,
		 struct vc_error *err)
{
	struct rlimit old, new;

	if (getrlimit(which, &old) < 0)
		return vc_fail(err, VC_E_SYS, errno, "limits: read %s", name);
	new.rlim_max = old.rlim_max < max ? old.rlim_max : (rlim_t)max;
	new.rlim_cur = new.rlim_max;
	if (setrlimit(which, &new) < 0)
		return vc_fail(err, VC_E_SYS, errno, "limits: set %s", name);
	return 0;
}

int sbx_set_limits(const struct vc_jail_limits *limits, struct vc_error *err)
{
	uint64_t fds = limits->max_fds ? limits->max_fds : DEFAULT_MAX_FDS;

	if (lower(RLIMIT_NOFILE, "RLIMIT_NOFILE", fds, err) < 0 ||
	    lower(RLIMIT_CORE, "RLIMIT_CORE", 0, err) < 0 ||
	    lower(RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", 0, err) < 0)
		return -1;
	if (limits->max_file_bytes && lower(RLIMIT_FSIZE, "RLIMIT_FSIZE",
					    limits->max_file_bytes, err) < 0)
		return -1;
	if (!limits->allow_threads &&
	    lower(RLIMIT_NPROC, "RLIMIT_NPROC", 0, err) < 0)
		return -1;
	return 0;
}
