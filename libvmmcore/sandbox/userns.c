/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * User namespaces: the maps, and a good answer when a host says no.
 *
 * Exactly one id is mapped: 0 inside is whoever started us outside. Being 0
 * inside keeps the namespace's capabilities across exec, which the later stages
 * need and then drop for good. setgroups is denied first: without that the
 * kernel lets no ordinary user write a group map.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox/internal.h"

void sbx_maps_init(struct sbx_maps *maps)
{
	snprintf(maps->uid, sizeof(maps->uid), "0 %u 1\n", (unsigned)geteuid());
	snprintf(maps->gid, sizeof(maps->gid), "0 %u 1\n", (unsigned)getegid());
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;
	int saved;

	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	saved = errno;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

const char *sbx_maps_write(const struct sbx_maps *maps)
{
	static const char setgroups[] = "/proc/self/setgroups";
	static const char uid_map[] = "/proc/self/uid_map";
	static const char gid_map[] = "/proc/self/gid_map";

	if (write_file(setgroups, "deny") < 0)
		return setgroups;
	if (write_file(uid_map, maps->uid) < 0)
		return uid_map;
	if (write_file(gid_map, maps->gid) < 0)
		return gid_map;
	return NULL;
}

/* A number in a file of /proc/sys; -1 when there is none. */
static long read_sysctl(const char *path)
{
	vc_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[32];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	long value;

	if (n <= 0)
		return -1;
	buf[n] = '\0';
	return sscanf(buf, "%ld", &value) == 1 ? value : -1;
}

/* Has the administrator switched a kind of namespace off? */
static bool is_limit_zero(const char *name, char *why, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/user/%s", name);
	if (read_sysctl(path) != 0)
		return false;
	snprintf(why, size, "sysctl user.%s is 0", name);
	return true;
}

int sbx_userns_refused(int sys, const char *action, struct vc_error *err)
{
	char why[128];

	if (read_sysctl("/proc/sys/kernel/unprivileged_userns_clone") == 0 &&
	    geteuid() != 0)
		snprintf(why, sizeof(why),
			 "sysctl kernel.unprivileged_userns_clone is 0");
	else if (is_limit_zero("max_user_namespaces", why, sizeof(why)) ||
		 is_limit_zero("max_pid_namespaces", why, sizeof(why)))
		;
	else if ((sys == EPERM || sys == EACCES) &&
		 read_sysctl("/proc/sys/kernel/"
			     "apparmor_restrict_unprivileged_userns") == 1)
		snprintf(why, sizeof(why),
			 "AppArmor: sysctl kernel."
			 "apparmor_restrict_unprivileged_userns is 1");
	else if (sys == ENOSPC || sys == EUSERS)
		snprintf(why, sizeof(why),
			 "sysctl user.max_user_namespaces is reached, or too "
			 "many are nested");
	else if (sys == EINVAL || sys == ENOSYS)
		snprintf(why, sizeof(why), "the kernel has none");
	else
		snprintf(why, sizeof(why),
			 "a container, a chroot or a security module "
			 "forbids them");
	return vc_fail(err, VC_E_UNSUPPORTED, sys,
		       "user namespaces: refused by the host (%s): %s", why,
		       action);
}

static bool has_sys_admin(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[0].effective >> CAP_SYS_ADMIN & 1;
}

bool sbx_is_spawned(void)
{
	vc_auto_fd int fd = -1;
	unsigned inside, outside, count;
	char buf[128];
	ssize_t n;
	int end = 0;

	if (getpid() != 1 || !has_sys_admin())
		return false;
	if (kill(-1, 0) == 0 || errno != ESRCH)
		return false; /* not alone */
	fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return sscanf(buf, "%u %u %u %n", &inside, &outside, &count, &end) ==
		       3 &&
	       inside == 0 && count == 1 && !buf[end];
}
