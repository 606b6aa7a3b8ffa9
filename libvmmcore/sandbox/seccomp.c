/* SPDX-License-Identifier: BSD-3-Clause */
/* Loading a role's seccomp program: the embedded one, with this process's id put
 * where the policy says SELF_PID. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "config.h"
#include "sandbox/internal.h"
#include "sandbox/programs.h"

static void put_pid(struct sock_filter *insns, size_t nr, uint32_t pid)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (insns[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
		    insns[i].k == SBX_SELF_PID)
			insns[i].k = pid;
}

int sbx_load_program(enum vc_jail_role role, enum vc_jail_action action,
		     bool all_threads, struct vc_error *err)
{
	const struct sbx_program *p = &sbx_programs[role][action];
	vc_auto_free struct sock_filter *insns = NULL;
	struct sock_fprog prog = { .len = p->nr };
	unsigned long flags = 0;
	long rc;

	insns = malloc(p->nr * sizeof(insns[0]));
	if (!insns)
		return vc_fail(err, VC_E_SYS, errno, "seccomp");
	memcpy(insns, p->insns, p->nr * sizeof(insns[0]));
	put_pid(insns, p->nr, (uint32_t)getpid());
	prog.filter = insns;
	if (all_threads)
		flags |= SECCOMP_FILTER_FLAG_TSYNC;
	if (action == VC_JAIL_ERRNO)
		flags |= SECCOMP_FILTER_FLAG_LOG;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "no_new_privs");
	rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (rc > 0)
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "seccomp: thread %ld has a filter of its own",
			       rc);
	if (rc < 0)
		return vc_fail(err, VC_E_UNSUPPORTED, errno,
			       "seccomp: load the program of %s",
			       vc_jail_role_name(role));
	return 0;
}
