/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The namespaced stage: what the process can still see.
 *
 * The root is made out of nothing: a tmpfs that is never attached anywhere
 * but on top of "/" of our own mount namespace, read-only from its first
 * moment. pivot_root(".", ".") makes it the root and stacks the old one on top
 * of it, whence it is detached; no folder has to exist for any of this. On an
 * initramfs, whose root the kernel refuses to pivot, the tmpfs covers it and
 * chroot() makes it the root: the way back needs a capability that is gone two
 * lines later.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include "sandbox/internal.h"

const struct sbx_namespace sbx_namespaces[SBX_NR_NAMESPACES] = {
	{ CLONE_NEWNS, "mount namespaces" },
	{ CLONE_NEWNET, "network namespaces" },
	{ CLONE_NEWIPC, "ipc namespaces" },
	{ CLONE_NEWUTS, "uts namespaces" },
	{ CLONE_NEWCGROUP, "cgroup namespaces" },
};

int sbx_unshare(const struct sbx_namespace *ns, struct vc_error *err)
{
	if (unshare(ns->flag) == 0)
		return 0;
	/* Inside our own user namespace the kernel itself has no reason to
	 * refuse: AppArmor does, to namespaces it let us make. */
	if (errno == EPERM || errno == EACCES)
		return sbx_userns_refused(errno, ns->name, err);
	return vc_fail(err, VC_E_UNSUPPORTED, errno,
		       "%s: refused by the host: unshare", ns->name);
}

static int make_empty_root(int *ret_fd, struct vc_error *err)
{
	static const char *const options[][2] = { { "size", "4k" },
						  { "nr_inodes", "1" },
						  { "mode", "0555" } };
	vc_auto_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	size_t i;
	int fd;

	if (fs < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: fsopen");
	for (i = 0; i < VC_ARRAY_SIZE(options); i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[i][0],
			     options[i][1], 0) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "empty root: fsconfig %s",
				       options[i][0]);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: create");
	fd = fsmount(fs, FSMOUNT_CLOEXEC,
		     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			     MOUNT_ATTR_NOEXEC);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: fsmount");
	*ret_fd = fd;
	return 0;
}

int sbx_enter_empty_root(struct vc_error *err)
{
	vc_auto_fd int root = -1;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "empty root: make mounts private");
	if (make_empty_root(&root, err) < 0)
		return -1;
	if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: move_mount");
	if (fchdir(root) < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: fchdir");
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "empty root: detach the old root");
	} else if (errno == EINVAL && chroot(".") == 0) {
		vc_log(VC_LOG_INFO, "sandbox",
		       "the host's root is an initramfs: covered, not left");
	} else {
		return vc_fail(err, VC_E_SYS, errno, "empty root: pivot_root");
	}
	if (chdir("/") < 0)
		return vc_fail(err, VC_E_SYS, errno, "empty root: chdir");
	return 0;
}

/* Bounding set and secure bits first: they need a capability themselves. */
int sbx_drop_privileges(struct vc_error *err)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[2] = { { 0 } };
	const unsigned long bits =
		SECURE_ALL_LOCKS |
		(SECURE_ALL_BITS & ~(1u << SECURE_KEEP_CAPS));
	unsigned long cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return vc_fail(err, VC_E_SYS, errno,
				       "capabilities: drop %lu from the "
				       "bounding set",
				       cap);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "capabilities: clear the ambient set");
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "secure bits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "no_new_privs");
	if (syscall(SYS_capset, &head, none) < 0)
		return vc_fail(err, VC_E_SYS, errno, "capabilities: capset");
	/* no core files, no ptrace by others of the same user */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "not dumpable");
	return 0;
}

/* The parent keeps no descriptor, so that whoever waits for the child's end of
 * a socket sees it at once; when it is killed, so is the child. */
static _Noreturn void wait_and_exit(pid_t child)
{
	struct rlimit no_core = { 0, 0 };
	sigset_t sig;
	int status;

	syscall(SYS_close_range, 0, ~0u, 0);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(1);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&sig);
	sigaddset(&sig, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &sig, NULL);
	raise(WTERMSIG(status));
	_exit(128 + WTERMSIG(status));
}

int sbx_fork_into_pid_namespace(struct vc_error *err)
{
	vc_auto_fd int parent = -1;
	struct sbx_maps maps;
	const char *file;
	pid_t pid;
	int sys;

	sbx_maps_init(&maps);
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
		return sbx_userns_refused(errno, "unshare", err);
	file = sbx_maps_write(&maps);
	if (file)
		return sbx_userns_refused(errno, file, err);
	parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (parent < 0)
		return vc_fail(err, VC_E_SYS, errno, "pidfd_open");
	pid = fork();
	if (pid < 0)
		return vc_fail(err, VC_E_SYS, errno, "fork");
	if (pid > 0)
		wait_and_exit(pid);
	sys = sbx_die_with_parent(parent);
	if (sys)
		return vc_fail(err, VC_E_SYS, sys, "die with the parent");
	return 0;
}
