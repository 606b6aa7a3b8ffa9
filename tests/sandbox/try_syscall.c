/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jails itself as a role does, then tries what the role must not.
 *
 *	try_syscall ROLE kill|errno|log PROBE|all|permitted
 *
 * prints "PROBE: ok" or "PROBE: <errno>" for each call that returns; one that
 * does not ends the process with SIGSYS. `permitted` instead makes the calls
 * that every role needs, and looks for descriptors that the jail left open.
 * `try_syscall list` prints the probes, `try_syscall instrumented` says whether
 * this is such a build.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmmcore/sandbox.h>
#include "config.h"

#define LAST_CHECKED_FD 255

/* made before the jail, for probes that need one */
static int sock = -1;
static void *page;

/* --- probes: as the system call returns, -1 and errno ---------------------- */

static long try_open(void)
{
	return open("/", O_RDONLY | O_CLOEXEC);
}

static long try_create(void)
{
	return openat(AT_FDCWD, "/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
}

static long try_openat2(void)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	return syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof(how));
}

static long try_unlink(void)
{
	return syscall(SYS_unlinkat, AT_FDCWD, "/x", 0);
}

static long try_getdents(void)
{
	char buf[512];

	return syscall(SYS_getdents64, 0, buf, sizeof(buf));
}

static long try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_socketpair(void)
{
	int ends[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static long try_connect(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = 22 };

	return syscall(SYS_connect, sock, &in, sizeof(in));
}

static long try_bind(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	return syscall(SYS_bind, sock, &in, sizeof(in));
}

static long try_listen(void)
{
	return listen(sock, 1);
}

static long try_exec(void)
{
	char name[] = "/proc/self/exe";
	char *const argv[] = { name, NULL };

	return execv(name, argv);
}

static long try_execveat(void)
{
	return syscall(SYS_execveat, 0, "", NULL, NULL, AT_EMPTY_PATH);
}

static long child_exits(long pid)
{
	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_fork(void)
{
	return child_exits(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static long try_clone3(void)
{
	uint64_t args[8] = { [4] = SIGCHLD };

	return child_exits(syscall(SYS_clone3, args, sizeof(args)));
}

static void *nothing(void *arg)
{
	return arg;
}

static long try_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, nothing, NULL);

	errno = rc;
	return rc ? -1 : pthread_join(t, NULL);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, 1, NULL, NULL);
}

static long try_traceme(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long try_vm_readv(void)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { page, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static long try_kill(void)
{
	return kill(1, 0);
}

static long try_tgkill(void)
{
	return syscall(SYS_tgkill, getpid() + 1, getpid() + 1, SIGTERM);
}

static long try_pidfd_open(void)
{
	return syscall(SYS_pidfd_open, 1, 0);
}

static long try_pidfd_getfd(void)
{
	return syscall(SYS_pidfd_getfd, 0, 0, 0);
}

static long try_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL);
}

static long try_umount(void)
{
	return umount2("/", MNT_DETACH);
}

static long try_fsopen(void)
{
	return fsopen("tmpfs", FSOPEN_CLOEXEC);
}

static long try_chroot(void)
{
	return chroot("/");
}

static long try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static long try_setns(void)
{
	return setns(0, 0);
}

static long try_bpf(void)
{
	char attr[128] = { 0 };

	return syscall(SYS_bpf, 0, attr, sizeof(attr));
}

static long try_keyctl(void)
{
	return syscall(SYS_keyctl, 0, -3, 1);
}

static long try_add_key(void)
{
	return syscall(SYS_add_key, "user", "x", "x", 1, -3);
}

static long try_io_uring(void)
{
	char params[256] = { 0 };

	return syscall(SYS_io_uring_setup, 1, params);
}

static long try_io_uring_register(void)
{
	return syscall(SYS_io_uring_register, 0, 0, NULL, 0);
}

static long try_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC);
}

static long try_perf(void)
{
	char attr[128] = { 0 };

	return syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);
}

static long try_memfd(void)
{
	return memfd_create("x", MFD_CLOEXEC);
}

static long try_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		       ? -1
		       : 0;
}

static long try_mprotect_exec(void)
{
	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long try_pkey_mprotect(void)
{
	return syscall(SYS_pkey_mprotect, page, 4096, PROT_EXEC, -1);
}

static long try_ioctl_tiocsti(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static long try_ioctl_kvm(void)
{
	return ioctl(0, KVM_CREATE_VM, 0);
}

static long try_seccomp(void)
{
	return syscall(SYS_seccomp, 2, 0, NULL);
}

static long try_personality(void)
{
	return syscall(SYS_personality, 0xffffffff);
}

static long try_setuid(void)
{
	return syscall(SYS_setuid, 0);
}

static long try_setrlimit(void)
{
	uint64_t lim[2] = { 4096, 4096 };

	return syscall(SYS_setrlimit, 7, lim);
}

static long try_shmget(void)
{
	return syscall(SYS_shmget, 0, 4096, 0600);
}

static long try_module(void)
{
	return syscall(SYS_init_module, page, 4096, "");
}

static long try_reboot(void)
{
	return syscall(SYS_reboot, 0, 0, 0, NULL);
}

#ifdef __x86_64__
static long try_x32(void)
{
	return syscall(0x40000000 | SYS_getpid);
}

static long try_int80(void)
{
	long ret;

	/* getpid of the 32-bit table: `exit_group`'s neighbour is another call
	 * here, which is why the architecture must be looked at */
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory");
	return ret;
}
#endif

static const struct probe {
	const char *name;
	long (*fn)(void);
	bool is_fatal; /* whatever the action */
} probes[] = {
	{ "open", try_open, false },
	{ "create", try_create, false },
	{ "openat2", try_openat2, false },
	{ "unlink", try_unlink, false },
	{ "getdents", try_getdents, false },
	{ "socket", try_socket, false },
	{ "socketpair", try_socketpair, false },
	{ "connect", try_connect, false },
	{ "bind", try_bind, false },
	{ "listen", try_listen, false },
	{ "exec", try_exec, false },
	{ "execveat", try_execveat, false },
	{ "fork", try_fork, false },
	{ "clone3", try_clone3, false },
	{ "thread", try_thread, false },
	{ "ptrace", try_ptrace, false },
	{ "traceme", try_traceme, false },
	{ "process_vm_readv", try_vm_readv, false },
	{ "kill", try_kill, false },
	{ "tgkill", try_tgkill, false },
	{ "pidfd_open", try_pidfd_open, false },
	{ "pidfd_getfd", try_pidfd_getfd, false },
	{ "mount", try_mount, false },
	{ "umount", try_umount, false },
	{ "fsopen", try_fsopen, false },
	{ "chroot", try_chroot, false },
	{ "unshare", try_unshare, false },
	{ "setns", try_setns, false },
	{ "bpf", try_bpf, false },
	{ "keyctl", try_keyctl, false },
	{ "add_key", try_add_key, false },
	{ "io_uring_setup", try_io_uring, false },
	{ "io_uring_register", try_io_uring_register, false },
	{ "userfaultfd", try_userfaultfd, false },
	{ "perf_event_open", try_perf, false },
	{ "memfd_create", try_memfd, false },
	{ "mmap-exec", try_mmap_exec, false },
	{ "mprotect-exec", try_mprotect_exec, false },
	{ "pkey_mprotect-exec", try_pkey_mprotect, false },
	{ "ioctl-TIOCSTI", try_ioctl_tiocsti, false },
	{ "ioctl-KVM_CREATE_VM", try_ioctl_kvm, false },
	{ "seccomp", try_seccomp, false },
	{ "personality", try_personality, false },
	{ "setuid", try_setuid, false },
	{ "setrlimit", try_setrlimit, false },
	{ "shmget", try_shmget, false },
	{ "init_module", try_module, false },
	{ "reboot", try_reboot, false },
#ifdef __x86_64__
	{ "x32", try_x32, true },
	{ "int80", try_int80, true },
#endif
};

/* --- what every role may do ------------------------------------------------ */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFL) >= 0;
}

static void permitted(void)
{
	char *block = malloc(1 << 20);
	int fd;

	for (fd = STDERR_FILENO + 1; fd <= LAST_CHECKED_FD; fd++)
		if (fd != sock && is_open(fd))
			printf("descriptor %d: left open\n", fd);
	block = realloc(block, 4 << 20);
	if (!block)
		printf("malloc: %s\n", strerror(errno));
	free(block);
	if (raise(0) != 0)
		printf("raise: %s\n", strerror(errno));
	printf("permitted: ok\n");
}

/* --- the jail --------------------------------------------------------------- */

struct plan {
	enum vc_jail_role role;
	enum vc_jail_action action;
	const char *what;
	pthread_barrier_t vcpu_sealed, all_sealed;
};

static void run_probes(const char *what)
{
	size_t i;
	long rc;

	if (!strcmp(what, "permitted"))
		permitted();
	for (i = 0; i < VC_ARRAY_SIZE(probes); i++) {
		const struct probe *p = &probes[i];

		if (strcmp(what, p->name) &&
		    (strcmp(what, "all") || p->is_fatal))
			continue;
		errno = 0;
		rc = p->fn();
		printf("%s: %s\n", p->name,
		       rc < 0 ? strerrorname_np(errno) : "ok");
	}
	fflush(stdout);
}

static _Noreturn void fail(const struct vc_error *err)
{
	char text[512];

	fprintf(stderr, "try_syscall: %s\n",
		vc_error_str(err, text, sizeof(text)));
	exit(1);
}

static void *vcpu_thread(void *arg)
{
	struct plan *p = arg;
	struct vc_error err;

	if (vc_jail_seal_thread(VC_ROLE_VCPU, p->action, &err) < 0)
		fail(&err);
	pthread_barrier_wait(&p->vcpu_sealed);
	pthread_barrier_wait(&p->all_sealed);
	if (p->role == VC_ROLE_VCPU)
		run_probes(p->what);
	return NULL;
}

/* as `vmm device` does */
static void jail_device(struct plan *p)
{
	const struct vc_jail_limits limits = { 0 };
	struct vc_error err;

	if (vc_jail_seal(p->role, p->action, &limits, &err) < 0)
		fail(&err);
	run_probes(p->what);
}

/* as `vmm machine` does */
static void jail_machine(struct plan *p)
{
	const struct vc_jail_limits limits = { 0 };
	struct vc_error err;
	pthread_t vcpu;

	pthread_barrier_init(&p->vcpu_sealed, NULL, 2);
	pthread_barrier_init(&p->all_sealed, NULL, 2);
	if (pthread_create(&vcpu, NULL, vcpu_thread, p))
		exit(1);
	pthread_barrier_wait(&p->vcpu_sealed);
	if (vc_jail_seal(VC_ROLE_MACHINE, p->action, &limits, &err) < 0)
		fail(&err);
	pthread_barrier_wait(&p->all_sealed);
	if (p->role == VC_ROLE_MACHINE)
		run_probes(p->what);
	pthread_join(vcpu, NULL);
}

static int parse(struct plan *p, char **argv)
{
	static const char *const actions[] = { "kill", "errno", "log" };
	int role, action;

	for (role = 0; role < VC_NR_ROLES; role++)
		if (!strcmp(argv[1],
			    vc_jail_role_name((enum vc_jail_role)role)))
			break;
	for (action = 0; action < 3; action++)
		if (!strcmp(argv[2], actions[action]))
			break;
	if (role == VC_NR_ROLES || action == 3)
		return -1;
	p->role = (enum vc_jail_role)role;
	p->action = (enum vc_jail_action)action;
	p->what = argv[3];
	return 0;
}

static int answer(const char *question)
{
	size_t i;

	if (!strcmp(question, "list")) {
		for (i = 0; i < VC_ARRAY_SIZE(probes); i++)
			puts(probes[i].name);
		return 0;
	}
	if (strcmp(question, "instrumented"))
		return 2;
#ifdef VC_INSTRUMENTED
	return 0;
#else
	return 1;
#endif
}

int main(int argc, char **argv)
{
	int keep[] = { 0, 1, 2, -1 };
	struct vc_error err;
	struct plan p = { 0 };

	if (argc == 2)
		return answer(argv[1]);
	if (argc != 4 || parse(&p, argv) < 0)
		return 2;
	sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	keep[3] = sock;
	if (vc_jail_close_others(keep, 4, &err) < 0 ||
	    vc_jail_namespaces("probe", &err) < 0)
		fail(&err);
	if (p.role == VC_ROLE_MACHINE || p.role == VC_ROLE_VCPU)
		jail_machine(&p);
	else
		jail_device(&p);
	return 0;
}
