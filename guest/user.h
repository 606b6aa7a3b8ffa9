/* SPDX-License-Identifier: BSD-3-Clause */
/* Who a command runs as, from /etc/passwd and /etc/group alone: a static
 * program cannot load the name service's modules. */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include <sys/types.h>
#include <vmmcore/error.h>

#define USER_MAX_GROUPS 256
#define USER_MAX_NAME 256
#define USER_MAX_PATH 4096

struct user {
	uid_t uid;
	gid_t gid;
	size_t nr_groups;
	gid_t groups[USER_MAX_GROUPS]; /* supplementary */
	char name[USER_MAX_NAME];      /* the number if it has none */
	char home[USER_MAX_PATH];      /* "/" if it has none */
	char shell[USER_MAX_PATH];
};

/* Look up "USER[:GROUP]", names or numbers; NULL or "" is root. With a GROUP,
 * there are no other groups; a number that no entry has is its own group.
 * VC_E_ARG for an unknown name, VC_E_LIMIT for too long an entry. */
int user_lookup(const char *passwd_path, const char *group_path,
		const char *spec, struct user *ret,
		struct vc_error *err) VC_MUST_CHECK;

#endif
