/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a jail needs of the host, found out by doing it: a child goes through the
 * stages one namespace at a time and leaves its findings in shared memory, so
 * the caller stays where it is. Version numbers and sysctls are not consulted:
 * they do not know of containers and security modules.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sandbox/internal.h"

/* What the child tries, in this order; later ones need the first. */
struct tried {
	bool is_tried, is_available;
	char detail[128];
};
enum {
	TRY_USER,
	TRY_NAMESPACES,
	TRY_ROOT = TRY_NAMESPACES + SBX_NR_NAMESPACES,
	TRY_CAPS,
	NR_TRIED
};
static const char *const tried_names[NR_TRIED] = {
	[TRY_USER] = "user and pid namespaces",
	[TRY_ROOT] = "empty root",
	[TRY_CAPS] = "no capabilities",
};

static bool note(struct tried *t, int rc, const struct vc_error *err)
{
	char text[512];

	t->is_tried = true;
	t->is_available = rc == 0;
	if (rc < 0)
		snprintf(t->detail, sizeof(t->detail), "%.*s",
			 (int)sizeof(t->detail) - 1,
			 vc_error_str(err, text, sizeof(text)));
	return rc == 0;
}

static int try_user(struct vc_error *err)
{
	struct sbx_maps maps;
	const char *file;

	sbx_maps_init(&maps);
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
		return sbx_userns_refused(errno, "unshare", err);
	file = sbx_maps_write(&maps);
	if (file)
		return sbx_userns_refused(errno, file, err);
	return 0;
}

static void try_all(struct tried t[NR_TRIED])
{
	struct vc_error err;
	bool all = true;
	size_t i;

	if (!note(&t[TRY_USER], try_user(&err), &err))
		return;
	for (i = 0; i < SBX_NR_NAMESPACES; i++)
		if (!note(&t[TRY_NAMESPACES + i],
			  sbx_unshare(&sbx_namespaces[i], &err), &err))
			all = false;
	if (!all)
		return;
	if (note(&t[TRY_ROOT], sbx_enter_empty_root(&err), &err))
		note(&t[TRY_CAPS], sbx_drop_privileges(&err), &err);
}

static size_t probe_in_child(struct vc_jail_feature *ret)
{
	size_t size = NR_TRIED * sizeof(struct tried);
	struct tried *t = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	size_t i;

	if (t == MAP_FAILED)
		return 0;
	pid = fork();
	if (pid == 0) {
		try_all(t);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (i = 0; i < NR_TRIED; i++) {
		ret[i].name = tried_names[i];
		if (!ret[i].name)
			ret[i].name = sbx_namespaces[i - TRY_NAMESPACES].name;
		ret[i].is_required = true;
		ret[i].is_available = t[i].is_available;
		snprintf(ret[i].detail, sizeof(ret[i].detail), "%s",
			 t[i].is_tried ? t[i].detail
			 : pid < 0     ? "not tried: fork failed"
				       : "not tried: needs those above");
	}
	munmap(t, size);
	return NR_TRIED;
}

static void set(struct vc_jail_feature *f, const char *name, bool is_required,
		bool is_available, const char *detail)
{
	f->name = name;
	f->is_required = is_required;
	f->is_available = is_available;
	snprintf(f->detail, sizeof(f->detail), "%s", detail);
}

static void probe_seccomp(struct vc_jail_feature *f)
{
	static const uint32_t actions[] = { SECCOMP_RET_KILL_PROCESS,
					    SECCOMP_RET_ERRNO, SECCOMP_RET_LOG,
					    SECCOMP_RET_ALLOW };
	const char *why = "";
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(actions); i++)
		if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0,
			    &actions[i]) < 0)
			why = strerror(errno);
	set(f, "seccomp", true, !*why, why);
}

static void probe_landlock(struct vc_jail_feature *f)
{
	int abi = sbx_landlock_abi();
	char text[64];

	if (abi)
		snprintf(text, sizeof(text), "ABI %d", abi);
	else
		snprintf(text, sizeof(text),
			 "a second layer, not offered by this kernel");
	set(f, "landlock", false, abi, text);
}

size_t vc_jail_probe(struct vc_jail_feature ret[VC_JAIL_MAX_FEATURES])
{
	vc_auto_fd int pidfd = -1;
	size_t n = probe_in_child(ret);
	long rc;

	_Static_assert(NR_TRIED + 4 <= VC_JAIL_MAX_FEATURES, "room");
	probe_seccomp(&ret[n++]);
	probe_landlock(&ret[n++]);
	rc = syscall(SYS_close_range, ~0u, ~0u, CLOSE_RANGE_CLOEXEC);
	set(&ret[n++], "close_range", true, rc == 0, rc ? strerror(errno) : "");
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	set(&ret[n++], "pidfd", true, pidfd >= 0,
	    pidfd < 0 ? strerror(errno) : "");
	return n;
}
