/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of sandbox/ share. */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include <vmmcore/sandbox.h>

/* --- userns.c: into a user namespace, or why not --------------------------- */

/* The text that maps id 0 inside to `outside`, one id and no more. */
#define SBX_MAP_MAX 32
struct sbx_maps {
	char uid[SBX_MAP_MAX], gid[SBX_MAP_MAX];
};
void sbx_maps_init(struct sbx_maps *maps);
/* Write the maps of the calling process, which has just entered a new user
 * namespace. Safe in a vfork child. Returns 0 or the name of the file that could
 * not be written, with errno. */
const char *sbx_maps_write(const struct sbx_maps *maps);
/* Fill `err` with why this host refuses user namespaces. `sys`: the errno that
 * creating or using one gave. Returns -1. */
int sbx_userns_refused(int sys, const char *action, struct vc_error *err);
/* Is this process the first and only one of its pid namespace, and root of a user
 * namespace that maps nothing but itself? Then vc_jail_spawn() or its like started it. */
bool sbx_is_spawned(void);

/* --- spawn.c --------------------------------------------------------------- */

/* SIGKILL when the parent thread ends. `parent_pidfd`: the parent, to see
 * whether it is gone already. Safe in a vfork child. Returns 0 or an errno. */
int sbx_die_with_parent(int parent_pidfd);

/* --- namespaces.c ---------------------------------------------------------- */

/* Flag and name of each namespace entered by the process itself. */
struct sbx_namespace {
	int flag;
	const char *name;
};
#define SBX_NR_NAMESPACES 5
extern const struct sbx_namespace sbx_namespaces[SBX_NR_NAMESPACES];

int sbx_unshare(const struct sbx_namespace *ns, struct vc_error *err);
int sbx_enter_empty_root(struct vc_error *err);
int sbx_drop_privileges(struct vc_error *err);
/* new user and pid namespace for a process that was started by hand */
int sbx_fork_into_pid_namespace(struct vc_error *err);

/* --- landlock.c ------------------------------------------------------------ */

/* The kernel's ABI version, 0 without Landlock. */
int sbx_landlock_abi(void);
/* Deny the calling thread, and what it starts, every file and TCP port, and
 * when `scoped` signals and abstract sockets to processes outside. *ret_abi is 0
 * when the kernel has no Landlock. */
int sbx_landlock(bool scoped, int *ret_abi, struct vc_error *err);

/* --- limits.c -------------------------------------------------------------- */

int sbx_set_limits(const struct vc_jail_limits *limits, struct vc_error *err);

/* --- threads.c: who of this process is sealed ------------------------------ */

/* Keep a way to count threads for after /proc is gone. */
int sbx_threads_init(struct vc_error *err);
void sbx_threads_fini(void);
int sbx_count_threads(size_t *ret, struct vc_error *err);
/* The calling thread has a filter of its own, until it ends. */
int sbx_threads_add_sealed(struct vc_error *err);
size_t sbx_count_sealed_threads(void);

/* --- seccomp.c ------------------------------------------------------------- */

int sbx_load_program(enum vc_jail_role role, enum vc_jail_action action,
		     bool all_threads, struct vc_error *err);

#endif
