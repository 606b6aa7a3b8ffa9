/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enters the namespaced stage, by hand or (--spawned) through vc_jail_spawn(),
 * and looks around: everything that must not be there is looked for. Prints a
 * line for what is there all the same; the exit status is 0 when nothing is.
 * --first says that somebody has started it as a jail would be: the first
 * process of fresh user and pid namespaces, which then are its own already.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <grp.h>
#include <vmmcore/sandbox.h>
#include "sandbox/internal.h"

#define NR_NS 7
#define LINK_MAX_BYTES 64

struct links {
	char of[NR_NS][LINK_MAX_BYTES];
};
static const char *const ns_names[NR_NS] = { "user", "pid", "mnt",   "net",
					     "ipc",  "uts", "cgroup" };
static int proc = -1; /* the host's, opened before the jail */
static int nr_found;
static int first_ns; /* 2 with --first: user and pid are new already */

static void found(const char *fmt, ...) VC_PRINTF(1, 2);
static void found(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	nr_found++;
}

static void read_links(struct links *l)
{
	char path[64];
	ssize_t n;
	int i;

	memset(l, 0, sizeof(*l));
	for (i = 0; i < NR_NS; i++) {
		snprintf(path, sizeof(path), "self/ns/%s", ns_names[i]);
		n = readlinkat(proc, path, l->of[i], LINK_MAX_BYTES - 1);
		if (n <= 0)
			found("%s namespace: cannot be read: %s", ns_names[i],
			      strerror(errno));
	}
}

static void check_namespaces(const struct links *before)
{
	struct links now;
	int i;

	read_links(&now);
	for (i = first_ns; i < NR_NS; i++)
		if (!strcmp(before->of[i], now.of[i]))
			found("%s namespace: still the host's", ns_names[i]);
}

static void check_pids(pid_t outside)
{
	if (getpid() != 1)
		found("process id: %d, not 1", (int)getpid());
	if (kill(-1, 0) == 0)
		found("other processes can be signalled");
	/* 0 and 1: it has no number here, or ours */
	if (outside > 1 && kill(outside, 0) == 0)
		found("process %d outside can be signalled", (int)outside);
}

static void check_net(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(22),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r;
	int i;

	for (i = 1; i < 64; i++) {
		memset(&r, 0, sizeof(r));
		r.ifr_ifindex = i;
		if (ioctl(fd, SIOCGIFNAME, &r) == 0 &&
		    ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP))
			found("network interface %s is up", r.ifr_name);
	}
	if (connect(fd, (const struct sockaddr *)&in, sizeof(in)) == 0)
		found("127.0.0.1 has a route");
	close(fd);
}

static void check_root(void)
{
	static const char *const usual[] = { "/proc", "/dev", "/etc", "/tmp",
					     "/sys",  "/usr", "/x" };
	struct stat here, up, st;
	struct statfs fs;
	size_t i;
	DIR *dir;
	struct dirent *e;

	if (statfs("/", &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		found("root: no tmpfs");
	else if (!((unsigned long)fs.f_flags & ST_RDONLY) || fs.f_ffree)
		found("root: writable, or has room");
	for (i = 0; i < VC_ARRAY_SIZE(usual); i++)
		if (stat(usual[i], &st) == 0)
			found("root: has %s", usual[i]);
	if (stat("/", &here) < 0 || stat("/..", &up) < 0 ||
	    here.st_ino != up.st_ino || here.st_dev != up.st_dev)
		found("root: has something above");
	if (stat(".", &up) < 0 || here.st_ino != up.st_ino ||
	    here.st_dev != up.st_dev)
		found("working directory: not the root");
	if (mkdir("/x", 0700) == 0 || open("/x", O_CREAT | O_RDWR, 0600) >= 0)
		found("root: can be written");
	dir = opendir("/");
	if (!dir)
		return; /* Landlock, see check_landlock() */
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			found("root: has /%s", e->d_name);
	closedir(dir);
}

static void check_landlock(void)
{
	if (sbx_landlock_abi() &&
	    (open("/", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES))
		found("landlock: a folder can be opened");
}

static void check_privileges(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct d[2];
	const gid_t group = 0;
	int bits, cap;

	if (syscall(SYS_capget, &head, d) < 0 ||
	    (d[0].effective | d[0].permitted | d[0].inheritable |
	     d[1].effective | d[1].permitted | d[1].inheritable))
		found("capabilities: some are left");
	for (cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0)
			found("capability %d: in the bounding set", cap);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) > 0)
			found("capability %d: in the ambient set", cap);
	}
	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (!(bits & SECBIT_NOROOT) || !(bits & SECBIT_NOROOT_LOCKED))
		found("secure bits: %#x", (unsigned)bits);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		found("no_new_privs: not set");
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		found("dumpable");
	if (setgroups(1, &group) == 0)
		found("groups can be set");
	if (mount("none", "/", "tmpfs", 0, NULL) == 0)
		found("a file system can be mounted");
	if (unshare(CLONE_NEWNS) == 0)
		found("a mount namespace can be made");
	if (chroot("/") == 0)
		found("chroot works");
}

static void check_hostname(void)
{
	char name[64];

	if (gethostname(name, sizeof(name)) < 0 || strcmp(name, "jail-test"))
		found("host name: the host's");
}

static int look(const struct links *before, pid_t outside)
{
	struct vc_error err;
	char text[512];

	if (vc_jail_namespaces("jail-test", &err) < 0) {
		fprintf(stderr, "look_around: %s\n",
			vc_error_str(&err, text, sizeof(text)));
		return 3;
	}
	check_namespaces(before);
	check_pids(outside);
	check_net();
	check_root();
	check_landlock();
	check_privileges();
	check_hostname();
	fflush(stdout);
	return nr_found ? 1 : 0;
}

/* Start ourselves; what was seen before goes along as text. */
static int spawn(const struct links *before)
{
	char name[] = "look_around", flag[] = "--child", pid_text[16];
	char *argv[3 + NR_NS + 1] = { name, flag, pid_text };
	char *const envp[] = { NULL };
	const struct vc_jail_fd fds[] = { { 0, 0 }, { 1, 1 }, { 2, 2 } };
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const struct vc_jail_spawn_opts o = { exe, argv, envp, fds, 3, true };
	struct links copy = *before;
	struct vc_error err;
	int pidfd, status, i;
	char text[512];
	pid_t pid;

	snprintf(pid_text, sizeof(pid_text), "%d", (int)getpid());
	for (i = 0; i < NR_NS; i++)
		argv[3 + i] = copy.of[i];
	if (vc_jail_spawn(&o, &pid, &pidfd, &err) < 0) {
		fprintf(stderr, "look_around: %s\n",
			vc_error_str(&err, text, sizeof(text)));
		return 3;
	}
	close(exe);
	waitpid(pid, &status, 0);
	close(pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

int main(int argc, char **argv)
{
	struct links before;
	int i;

	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (argc == 3 + NR_NS && !strcmp(argv[1], "--child")) {
		memset(&before, 0, sizeof(before));
		for (i = 0; i < NR_NS; i++)
			snprintf(before.of[i], LINK_MAX_BYTES, "%s",
				 argv[3 + i]);
		return look(&before, atoi(argv[2]));
	}
	read_links(&before);
	if (argc == 2 && !strcmp(argv[1], "--spawned"))
		return spawn(&before);
	if (argc == 2 && !strcmp(argv[1], "--first"))
		first_ns = 2;
	return look(&before, getppid());
}
