/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Landlock: no file, no TCP port, no signal and no abstract socket to anything
 * outside, by a layer of the kernel that shares nothing with seccomp and mount
 * namespaces. Descriptors that are already open keep working. The ABI grows;
 * each version's bits are spelled out here, so that the build does not depend on
 * the age of the kernel headers. (Documentation/userspace-api/landlock.rst)
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox/internal.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

#define GET_VERSION 1u /* flag of create_ruleset */

struct ruleset {
	uint64_t fs, net, scoped;
};

#define FS_ABI_1 UINT64_C(0x1fff)    /* execute ... make symlink */
#define FS_ABI_2 (UINT64_C(1) << 13) /* refer */
#define FS_ABI_3 (UINT64_C(1) << 14) /* truncate */
#define FS_ABI_5 (UINT64_C(1) << 15) /* ioctl on a device */
#define NET_ABI_4 UINT64_C(3)	     /* bind, connect TCP */
#define SCOPE_ABI_6 UINT64_C(3)	     /* abstract Unix sockets, signals */

int sbx_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, GET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

int sbx_landlock(bool scoped, int *ret_abi, struct vc_error *err)
{
	struct ruleset rules = { .fs = FS_ABI_1 };
	vc_auto_fd int fd = -1;
	size_t size = sizeof(rules.fs);
	int abi = sbx_landlock_abi();

	*ret_abi = abi;
	if (!abi)
		return 0;
	if (abi >= 2)
		rules.fs |= FS_ABI_2;
	if (abi >= 3)
		rules.fs |= FS_ABI_3;
	if (abi >= 4) {
		rules.net = NET_ABI_4;
		size = offsetof(struct ruleset, scoped);
	}
	if (abi >= 5)
		rules.fs |= FS_ABI_5;
	if (abi >= 6 && scoped) {
		rules.scoped = SCOPE_ABI_6;
		size = sizeof(rules);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "landlock: create a ruleset");
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "landlock: restrict");
	return 0;
}
