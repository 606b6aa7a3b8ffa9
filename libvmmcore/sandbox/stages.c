/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stages of a jail, in order. Each says what a process may rely on and what
 * it must not do any more; tests/sandbox tries the latter.
 *
 * Landlock and no_new_privs are taken in the namespaced stage, while there is
 * one thread: the kernel applies both to a thread and what it starts, so every
 * later thread has them. A process that is sealed without that stage takes them
 * in the seal.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include "config.h"
#include "sandbox/internal.h"

static bool is_landlocked;
#ifdef VC_INSTRUMENTED
static bool is_jailed;
#endif

const char *vc_jail_role_name(enum vc_jail_role role)
{
	static const char *const names[VC_NR_ROLES] = {
		[VC_ROLE_MACHINE] = "machine", [VC_ROLE_VCPU] = "vcpu",
		[VC_ROLE_BLK] = "blk",	       [VC_ROLE_CONSOLE] = "console",
		[VC_ROLE_RNG] = "rng",	       [VC_ROLE_VSOCK] = "vsock",
	};

	return names[role];
}

static int compare_ints(const void *a, const void *b)
{
	int x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/*
 * Stage "started": the process has its address space and its descriptors.
 *
 * Should:
 * - have nothing of its parent but the descriptors it was told of;
 * - end when its parent does (vc_jail_spawn() has seen to that).
 * Mustn't:
 * - read a byte from any of them yet.
 */
int vc_jail_close_others(const int *keep, size_t nr_keep, struct vc_error *err)
{
	vc_auto_free int *sorted = NULL;
	unsigned next = 0;
	size_t i;

	sorted = malloc((nr_keep + 1) * sizeof(sorted[0]));
	if (!sorted)
		return vc_fail(err, VC_E_SYS, errno, "close descriptors");
	if (nr_keep)
		memcpy(sorted, keep, nr_keep * sizeof(sorted[0]));
	qsort(sorted, nr_keep, sizeof(sorted[0]), compare_ints);
	for (i = 0; i <= nr_keep; i++) {
		unsigned last = ~0u;

		if (i < nr_keep) {
			if (sorted[i] < 0 || (unsigned)sorted[i] < next)
				continue; /* none, or the same again */
			last = (unsigned)sorted[i] - 1;
		}
		if ((i == nr_keep || (unsigned)sorted[i] > next) &&
		    syscall(SYS_close_range, next, last, 0) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "close descriptors: close_range");
		if (i < nr_keep)
			next = (unsigned)sorted[i] + 1;
	}
	return 0;
}

static int take_landlock(bool scoped, struct vc_error *err)
{
	int abi;

	if (is_landlocked)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "no_new_privs");
	if (sbx_landlock(scoped, &abi, err) < 0)
		return -1;
	if (!abi)
		vc_log(VC_LOG_INFO, "sandbox",
		       "landlock: not offered by this kernel");
	return 0;
}

/*
 * Stage "namespaced": nothing of the host can be named any more.
 *
 * Should:
 * - be process 1 of its own pid namespace, with no other process in it;
 * - see an empty, read-only root, no /proc, no network interface that is up;
 * - be without capabilities, now and after any exec;
 * - be denied every file by Landlock, where the kernel has it.
 * Mustn't:
 * - open anything by name from here on;
 * - have threads: they would stay behind in the old namespaces.
 */
int vc_jail_namespaces(const char *hostname, struct vc_error *err)
{
	size_t nr_threads, i;

	if (sbx_count_threads(&nr_threads, err) < 0)
		return -1;
	sbx_threads_fini();
	if (nr_threads != 1)
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "namespaces: %zu threads instead of one",
			       nr_threads);
	if (!sbx_is_spawned() && sbx_fork_into_pid_namespace(err) < 0)
		return -1;
#ifdef VC_INSTRUMENTED
	is_jailed = true;
#endif
	if (sbx_threads_init(err) < 0)
		return -1;
	for (i = 0; i < SBX_NR_NAMESPACES; i++)
		if (sbx_unshare(&sbx_namespaces[i], err) < 0)
			return -1;
	if (sethostname(hostname, strlen(hostname)) < 0)
		return vc_fail(err, VC_E_SYS, errno, "set host name");
	if (sbx_enter_empty_root(err) < 0 || sbx_drop_privileges(err) < 0 ||
	    take_landlock(true, err) < 0)
		return -1;
	is_landlocked = true;
	return 0;
}

/*
 * Stage "sealed", for a thread with a policy of its own. Comes before the
 * process's seal, on the thread itself.
 *
 * Should: have everything it will ever use.
 * Mustn't: make any call that seccomp/<role>.policy does not name.
 */
int vc_jail_seal_thread(enum vc_jail_role role, enum vc_jail_action action,
			struct vc_error *err)
{
	if (take_landlock(false, err) < 0 || sbx_threads_add_sealed(err) < 0)
		return -1;
	return sbx_load_program(role, action, false, err);
}

/*
 * Stage "sealed", for the process: guests may be run and served.
 *
 * Should:
 * - have every descriptor, thread, ring and mapping it will ever use;
 * - hold each of its threads to a seccomp program.
 * Mustn't:
 * - make any call that seccomp/<role>.policy does not name.
 */
int vc_jail_seal(enum vc_jail_role role, enum vc_jail_action action,
		 const struct vc_jail_limits *limits, struct vc_error *err)
{
	size_t nr_sealed = sbx_count_sealed_threads();
	size_t nr_threads;

	if (nr_sealed) {
		if (sbx_count_threads(&nr_threads, err) < 0)
			return -1;
		if (nr_threads != nr_sealed + 1)
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "seal: %zu threads, of which %zu are "
				       "sealed",
				       nr_threads, nr_sealed);
	}
	sbx_threads_fini();
	if (sbx_set_limits(limits, err) < 0 || take_landlock(false, err) < 0)
		return -1;
#ifdef VC_INSTRUMENTED
	is_jailed = true;
#endif
	return sbx_load_program(role, action, nr_sealed == 0, err);
}

#ifdef VC_INSTRUMENTED
/* Asked by LeakSanitizer at exit: it would look into /proc, which is gone, and
 * start a thread that traces this process, which a seal forbids. */
int __lsan_is_turned_off(void);
__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
	return is_jailed;
}
#endif
