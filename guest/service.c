/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Process 1 of a machine whose image has no init. It mounts what programs
 * expect, keeps vmm-agent running, starts what vmm-init.conf(5) names, reaps
 * whatever is left to it, and on a signal, or when that program has ended, ends
 * the machine in order: TERM, a grace period, KILL, sync, unmount.
 *
 * One poll loop over a signalfd; the only time-out is the agent's back-off and
 * the grace period, so an idle machine is idle.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "guest/init.h"
#include "guest/workload.h"

#define NS_PER_MS UINT64_C(1000000)
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 30000
/* an agent that lived that long starts again at once when it dies */
#define AGENT_STEADY_MS 10000
#define TERM_GRACE_MS 5000
#define KILL_GRACE_MS 2000
#define MAX_MOUNTS 256

struct service {
	int signals;
	pid_t agent; /* 0: not running */
	struct runconf conf;
	pid_t workload; /* 0: none, or not running */
	bool is_done;	/* the workload has ended */
	char agent_path[4096];
	uint64_t started_ns, restart_ns;
	uint64_t backoff_ms;
};

static void mount_all(void)
{
	static const struct {
		const char *type, *target;
		unsigned long flags;
		const char *data;
	} mounts[] = {
		{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
		{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		  "gid=5,mode=620,ptmxmode=666" },
		{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777" },
		{ "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755" },
		{ "tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777" },
		{ "cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "fd/0", "/dev/stdin" },
		{ "fd/1", "/dev/stdout" },
		{ "fd/2", "/dev/stderr" },
	};
	struct vc_error err;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(mounts); i++)
		if (init_mount(mounts[i].type, mounts[i].target,
			       mounts[i].flags, mounts[i].data, &err) < 0)
			init_warn(&err);
	for (i = 0; i < VC_ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			break;
}

static void set_hostname(void)
{
	char name[HOST_NAME_MAX + 1] = "localhost";
	vc_auto_file FILE *f = fopen("/etc/hostname", "re");

	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, " \t\n")] = '\0';
	if (*name && sethostname(name, strlen(name)) < 0)
		return; /* the kernel's name will do */
}

static void raise_loopback(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	vc_auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return; /* a kernel without network */
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	ioctl(fd, SIOCSIFFLAGS, &ifr);
}

/* Beside this program. */
static void find_agent(struct service *s)
{
	ssize_t n = readlink("/proc/self/exe", s->agent_path,
			     sizeof(s->agent_path) - sizeof("vmm-agent"));
	char *slash;

	s->agent_path[n < 0 ? 0 : n] = '\0';
	slash = strrchr(s->agent_path, '/');
	strcpy(slash ? slash + 1 : s->agent_path, "vmm-agent");
	if (access(s->agent_path, X_OK) < 0)
		strcpy(s->agent_path, "/usr/libexec/vmmkit/vmm-agent");
}

static void start_agent(struct service *s)
{
	char *argv[] = { s->agent_path, NULL };
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[] = { path, NULL };
	sigset_t none;

	s->started_ns = vc_now_ns();
	s->agent = fork();
	if (s->agent == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		execve(s->agent_path, argv, env);
		_exit(127);
	}
	if (s->agent < 0) {
		s->agent = 0;
		s->restart_ns = s->started_ns + s->backoff_ms * NS_PER_MS;
	}
}

static void agent_ended(struct service *s, int status)
{
	uint64_t now = vc_now_ns();
	struct vc_error err = { 0 };

	s->agent = 0;
	if (now - s->started_ns >= AGENT_STEADY_MS * NS_PER_MS)
		s->backoff_ms = BACKOFF_MIN_MS;
	s->restart_ns = now + s->backoff_ms * NS_PER_MS;
	vc_fail(&err, VC_E_SYS, 0, "%s: ended with %s %d: again in %llu ms",
		s->agent_path, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		(unsigned long long)s->backoff_ms);
	init_warn(&err);
	s->backoff_ms = vc_min_u64(2 * s->backoff_ms, BACKOFF_MAX_MS);
}

static void workload_ended(struct service *s, int status)
{
	struct vc_error err = { 0 };
	char shown[120];

	s->workload = 0;
	s->is_done = true;
	vc_fail(&err, VC_E_SYS, 0, "%s: ended with %s %d: power off",
		vc_printable(s->conf.argv[0], shown, sizeof(shown)),
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	init_warn(&err);
}

static void reap(struct service *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->agent)
			agent_ended(s, status);
		else if (pid == s->workload)
			workload_ended(s, status);
	}
}

/* Wait until every process is gone or `grace_ms` are over. Process 1 inherits
 * all orphans, so no child left means no process left. */
static bool wait_for_all(const struct service *s, int grace_ms)
{
	uint64_t end = vc_now_ns() + (uint64_t)grace_ms * NS_PER_MS, now;
	struct pollfd p = { .fd = s->signals, .events = POLLIN };
	struct signalfd_siginfo si;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid > 0)
			continue;
		if (pid < 0)
			return true;
		now = vc_now_ns();
		if (now >= end)
			return false;
		poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1);
		while (read(s->signals, &si, sizeof(si)) == sizeof(si))
			;
	}
}

/* The latest mount first. What cannot be unmounted becomes read-only, which
 * writes it out as well. */
static void unmount_all(void)
{
	static char paths[MAX_MOUNTS][256];
	vc_auto_file FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024];
	size_t n = 0;

	while (f && n < MAX_MOUNTS && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %255s", paths[n]) == 1)
			n++;
	while (n--) {
		const char *path = paths[n];

		if (!strncmp(path, "/dev", 4) || !strncmp(path, "/proc", 5) ||
		    !strncmp(path, "/sys", 4))
			continue;
		if (!strcmp(path, "/") || umount2(path, 0) < 0)
			mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
}

/* Ask the workload in its own words, and give it the time to end. */
static void stop_workload(const struct service *s)
{
	uint64_t end = vc_now_ns() + TERM_GRACE_MS * NS_PER_MS;
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

	kill(s->workload, s->conf.stop_signal);
	while (waitpid(s->workload, NULL, WNOHANG) == 0 && vc_now_ns() < end)
		nanosleep(&pause, NULL);
}

static __attribute__((noreturn)) void shut_down(const struct service *s,
						int how)
{
	/* SIGTERM is what all get below */
	if (s->workload && s->conf.stop_signal != SIGTERM)
		stop_workload(s);
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	if (!wait_for_all(s, TERM_GRACE_MS)) {
		kill(-1, SIGKILL);
		wait_for_all(s, KILL_GRACE_MS);
	}
	sync();
	unmount_all();
	reboot(how);
	exit(1); /* the kernel panics, or a container ends */
}

static void get_signal(struct service *s, uint32_t sig)
{
	switch (sig) {
	case SIGCHLD:
		reap(s);
		break;
	case INIT_SIG_HALT:
		shut_down(s, (int)RB_HALT_SYSTEM);
	case INIT_SIG_POWEROFF:
		shut_down(s, RB_POWER_OFF);
	case INIT_SIG_REBOOT:
	case SIGINT: /* ctrl-alt-del */
		shut_down(s, RB_AUTOBOOT);
	default:
		break;
	}
}

static int timeout_ms(const struct service *s)
{
	uint64_t now = vc_now_ns();

	if (s->agent)
		return -1;
	return now >= s->restart_ns
		       ? 0
		       : (int)((s->restart_ns - now) / NS_PER_MS) + 1;
}

static __attribute__((noreturn)) void serve(struct service *s)
{
	struct pollfd p = { .fd = s->signals, .events = POLLIN };
	struct signalfd_siginfo si;

	for (;;) {
		if (!s->agent && vc_now_ns() >= s->restart_ns)
			start_agent(s);
		poll(&p, 1, timeout_ms(s));
		while (read(s->signals, &si, sizeof(si)) == sizeof(si))
			get_signal(s, si.ssi_signo);
		if (s->is_done)
			shut_down(s, RB_POWER_OFF);
	}
}

/* What cannot be started leaves a machine to look into, with its agent. */
static void start_workload(struct service *s)
{
	struct vc_error err = { 0 };

	if (runconf_read(RUNCONF_PATH, &s->conf, &err) ||
	    workload_start(&s->conf, &s->workload, &err))
		init_warn(&err);
}

int service_main(const struct cmdline *c, struct vc_error *err)
{
	static struct service s = { .backoff_ms = BACKOFF_MIN_MS };
	static const int handled[] = { SIGCHLD, INIT_SIG_HALT,
				       INIT_SIG_POWEROFF, INIT_SIG_REBOOT,
				       SIGINT };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < VC_ARRAY_SIZE(handled); i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0)
		return vc_fail(err, VC_E_SYS, errno, "signalfd");
	/* ctrl-alt-del comes as SIGINT instead of a reboot on the spot */
	reboot(RB_DISABLE_CAD);
	/* nobody else will: an image without init has no fstab to obey */
	if (!cmdline_get(c, "ro") &&
	    mount(NULL, "/", NULL, MS_REMOUNT, NULL) < 0) {
		struct vc_error e = { 0 };

		vc_fail(&e, VC_E_SYS, errno, "/: remount for writing");
		init_warn(&e);
	}
	mount_all();
	set_hostname();
	raise_loopback();
	find_agent(&s);
	start_workload(&s);
	serve(&s);
}
