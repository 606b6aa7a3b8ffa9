/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jails in named stages. A process:
 *
 *   1. is started by vc_jail_spawn() (or by hand) with its resources as
 *      inherited descriptors,
 *   2. vc_jail_close_others(): keeps only those,
 *   3. vc_jail_namespaces(): user, pid, mount (pivot_root into an empty
 *      tmpfs), net, ipc, uts and cgroup namespaces, no capabilities,
 *      no_new_privs, Landlock where the kernel has it,
 *   4. opens what needs only those descriptors (rings, mappings, threads; each
 *      thread with a policy of its own calls vc_jail_seal_thread()),
 *   5. vc_jail_seal(): rlimits, the role's seccomp program.
 *
 * What a host does not offer is an error that names it; nothing is skipped in
 * silence.
 */
#ifndef VMMCORE_SANDBOX_H
#define VMMCORE_SANDBOX_H

#include <sys/types.h>
#include <vmmcore/util.h>

VC_BEGIN_DECLS

/* One per role; each has a policy file of the same name in seccomp/. */
enum vc_jail_role {
	VC_ROLE_MACHINE, /* the machine process, all threads but vCPUs */
	VC_ROLE_VCPU,
	VC_ROLE_BLK,
	VC_ROLE_CONSOLE,
	VC_ROLE_RNG,
	VC_ROLE_VSOCK,
	VC_NR_ROLES
};
const char *vc_jail_role_name(enum vc_jail_role role);

/* What a denied system call does. */
enum vc_jail_action {
	VC_JAIL_KILL,  /* the process ends with SIGSYS */
	VC_JAIL_ERRNO, /* EPERM */
	VC_JAIL_LOG,   /* allowed, and logged by the kernel */
};

/* Start a program: argv[0] is run from `exe_fd` (a descriptor of the program
 * file, e.g. /proc/self/exe), in new pid and user namespaces when `jail`, with
 * exactly the descriptors `fds[i].from` at number `fds[i].to` and no other
 * (so name 0, 1 and 2 as well). Any `to` may occur once. No signal is blocked or
 * ignored in it, and it is killed when the thread that called this ends.
 * *ret_pidfd (owned, close-on-exec) polls readable at its end; reap it with
 * waitid(P_PIDFD). VC_E_UNSUPPORTED when the host refuses user namespaces. Any
 * thread; what the exec met is reported here, with its step. */
struct vc_jail_fd {
	int from, to;
};
struct vc_jail_spawn_opts {
	int exe_fd;
	char *const *argv;
	char *const *envp;
	const struct vc_jail_fd *fds;
	size_t nr_fds;
	bool jail;
};
int vc_jail_spawn(const struct vc_jail_spawn_opts *opts, pid_t *ret_pid,
		  int *ret_pidfd, struct vc_error *err) VC_MUST_CHECK;

/* Close every descriptor that is not in `keep` (need not be sorted). */
int vc_jail_close_others(const int *keep, size_t nr_keep,
			 struct vc_error *err) VC_MUST_CHECK;

/* Stage 3. The process must be single-threaded and see a /proc. When it was not
 * started by vc_jail_spawn() it forks: the parent waits and exits as the child
 * does. From here on it can open nothing by name. Being process 1 of a pid
 * namespace, it ignores every signal it has no handler for but SIGKILL. */
int vc_jail_namespaces(const char *hostname,
		       struct vc_error *err) VC_MUST_CHECK;

struct vc_jail_limits {
	uint64_t max_fds;	 /* RLIMIT_NOFILE; 0: 1024 */
	uint64_t max_file_bytes; /* RLIMIT_FSIZE; 0: unlimited */
	bool allow_threads;	 /* else RLIMIT_NPROC is 0. Needed with an
				  * io_uring: the kernel's own workers count */
};
/* Stage 5, for every thread of the process: the calling one, and all others, none
 * of which (VC_E_INTERNAL) may be left without a program. Either no thread called
 * vc_jail_seal_thread(): all get `role`. Or each other thread did. */
int vc_jail_seal(enum vc_jail_role role, enum vc_jail_action action,
		 const struct vc_jail_limits *limits,
		 struct vc_error *err) VC_MUST_CHECK;
/* Load a role's seccomp program on the calling thread only (vCPU threads), before
 * the process's vc_jail_seal(). */
int vc_jail_seal_thread(enum vc_jail_role role, enum vc_jail_action action,
			struct vc_error *err) VC_MUST_CHECK;

/* What of the above this host offers, for `vmm doctor`. */
struct vc_jail_feature {
	const char *name; /* "user namespaces", "landlock", ... */
	bool is_required;
	bool is_available;
	char detail[128]; /* version, or why not */
};
#define VC_JAIL_MAX_FEATURES 16
size_t vc_jail_probe(struct vc_jail_feature ret[VC_JAIL_MAX_FEATURES]);

VC_END_DECLS

#endif
