/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded seccomp programs, run without a kernel: a table says for each
 * call and role whether it is let through, and nothing that is not in the table
 * may be. A new rule in seccomp/ therefore needs a row here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <asm/termbits.h>
#include <vmmcore/sandbox.h>
#include "config.h"
#include "sandbox/programs.h"
#include "tests/lib/test.h"
#include "tests/unit/sandbox/bpf.h"

#define M (1u << VC_ROLE_MACHINE)
#define V (1u << VC_ROLE_VCPU)
#define B (1u << VC_ROLE_BLK)
#define C (1u << VC_ROLE_CONSOLE)
#define R (1u << VC_ROLE_RNG)
#define S (1u << VC_ROLE_VSOCK)
#define ALL (M | V | B | C | R | S)
#define NONE 0u

#define MAX_NR 1024	 /* above every system call there is */
#define PID SBX_SELF_PID /* what the loader puts the process id for */

#ifdef __x86_64__
#define HOST_ARCH AUDIT_ARCH_X86_64
#define OTHER_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define HOST_ARCH AUDIT_ARCH_AARCH64
#define OTHER_ARCH AUDIT_ARCH_ARM
#endif

struct row {
	const char *name;
	int nr;
	uint64_t args[6];
	unsigned roles; /* that may */
	int extra; /* instrumented builds: 0: the same, -1: all may, else the
			 * errno that all get */
};
#define CALL(x) #x, __NR_##x

static const struct row rows[] = {
	/* common */
	{ CALL(read), { 0 }, ALL, 0 },
	{ CALL(write), { 0 }, ALL, 0 },
	{ CALL(readv), { 0 }, NONE, 0 },
	{ CALL(writev), { 0 }, ALL, 0 },
	{ CALL(close), { 0 }, ALL, 0 },
	{ CALL(fstat), { 0 }, ALL, 0 },
	{ CALL(newfstatat), { 0, 0, 0, AT_EMPTY_PATH }, ALL, 0 },
	{ CALL(newfstatat), { 0 }, NONE, 0 },
	{ CALL(lseek), { 0 }, ALL, 0 },
	{ CALL(fcntl), { 3, F_DUPFD }, NONE, 0 },
	{ CALL(fcntl), { 3, F_GETFD }, NONE, 0 },
	{ CALL(fcntl), { 3, F_SETFD }, NONE, 0 },
	{ CALL(fcntl), { 3, F_GETFL }, ALL, 0 },
	{ CALL(fcntl), { 3, F_SETFL }, ALL, 0 },
	{ CALL(fcntl), { 3, F_DUPFD_CLOEXEC }, NONE, 0 },
	{ CALL(fcntl), { 3, F_GET_SEALS }, NONE, 0 },
	{ CALL(fcntl), { 3, F_ADD_SEALS }, NONE, 0 },
	{ CALL(fcntl), { 3, F_SETOWN }, NONE, 0 },
	{ CALL(ioctl), { 1, TCGETS }, ALL, 0 },
	{ CALL(ioctl), { 1, TCGETS2 }, ALL, 0 },
	{ CALL(ioctl), { 1, 0 }, NONE, 0 },
	{ CALL(ioctl), { 1, TCGETS | UINT64_C(1) << 32 }, NONE, 0 },
	{ CALL(ioctl), { 0, TIOCSTI }, NONE, 0 },
	{ CALL(recvmsg), { 0 }, ALL, 0 },
	{ CALL(sendmsg), { 0 }, ALL, 0 },
#ifdef __NR_epoll_wait
	{ CALL(epoll_wait), { 0 }, ALL, 0 },
	{ CALL(poll), { 0 }, ALL, 0 },
#endif
	{ CALL(epoll_pwait), { 0 }, ALL, 0 },
	{ CALL(epoll_ctl), { 0 }, ALL, 0 },
	{ CALL(ppoll), { 0 }, ALL, 0 },
	{ CALL(timerfd_settime), { 0 }, ALL, 0 },
	{ CALL(clock_gettime), { 0 }, ALL, 0 },
	{ CALL(gettimeofday), { 0 }, NONE, 0 },
	{ CALL(restart_syscall), { 0 }, ALL, 0 },
	{ CALL(mmap), { 0, 4096, PROT_READ | PROT_WRITE }, ALL, 0 },
	{ CALL(mmap), { 0, 4096, PROT_READ | PROT_EXEC }, NONE, 0 },
	{ CALL(mmap), { 0, 4096, PROT_EXEC }, NONE, 0 },
	{ CALL(mprotect), { 0, 4096, PROT_READ }, ALL, 0 },
	{ CALL(mprotect), { 0, 4096, PROT_READ | PROT_EXEC }, NONE, 0 },
	{ CALL(pkey_mprotect), { 0, 4096, PROT_EXEC }, NONE, 0 },
	{ CALL(munmap), { 0 }, ALL, 0 },
	{ CALL(mremap), { 0 }, ALL, 0 },
	{ CALL(brk), { 0 }, ALL, 0 },
	{ CALL(madvise), { 0 }, ALL, 0 },
	{ CALL(getrandom), { 0 }, ALL, 0 },
	{ CALL(futex), { 0 }, ALL, 0 },
	{ CALL(sched_yield), { 0 }, ALL, 0 },
	{ CALL(rt_sigreturn), { 0 }, ALL, 0 },
	{ CALL(rt_sigprocmask), { 0 }, ALL, 0 },
	{ CALL(rt_sigaction), { 0 }, ALL, 0 },
	{ CALL(getpid), { 0 }, ALL, 0 },
	{ CALL(gettid), { 0 }, ALL, 0 },
	{ CALL(tgkill), { PID, 2, 6 }, ALL, 0 },
	{ CALL(tgkill), { PID + 1, 2, 6 }, NONE, 0 },
	{ CALL(tgkill), { PID | UINT64_C(1) << 32, 2, 6 }, NONE, 0 },
	{ CALL(tgkill), { 0, 2, 9 }, NONE, 0 },
	{ CALL(exit), { 0 }, ALL, 0 },
	{ CALL(exit_group), { 0 }, ALL, 0 },
	/* blk */
	{ CALL(io_uring_enter), { 0 }, B, 0 },
	{ CALL(io_uring_setup), { 0 }, NONE, 0 },
	{ CALL(io_uring_register), { 0 }, NONE, 0 },
	{ CALL(pread64), { 0 }, B, 0 },
	{ CALL(pwrite64), { 0 }, B, 0 },
	{ CALL(preadv), { 0 }, B, 0 },
	{ CALL(pwritev), { 0 }, B, 0 },
	{ CALL(preadv2), { 0 }, NONE, 0 },
	{ CALL(pwritev2), { 0 }, NONE, 0 },
	{ CALL(fdatasync), { 0 }, B, 0 },
	{ CALL(fsync), { 0 }, NONE, 0 },
	{ CALL(fallocate), { 0 }, B, 0 },
	{ CALL(ftruncate), { 0 }, NONE, 0 },
	{ CALL(ioctl), { 3, BLKDISCARD }, NONE, 0 },
	{ CALL(ioctl), { 3, BLKZEROOUT }, NONE, 0 },
	{ CALL(ioctl), { 3, BLKGETSIZE64 }, NONE, 0 },
	{ CALL(ioctl), { 3, BLKSECDISCARD }, NONE, 0 },
	{ CALL(ioctl), { 3, FICLONE }, NONE, 0 },
	/* vsock */
	{ CALL(accept4), { 0 }, S, 0 },
	{ CALL(recvfrom), { 0 }, S, 0 },
	{ CALL(sendto), { 0 }, S, 0 },
	{ CALL(shutdown), { 0 }, S, 0 },
	{ CALL(getsockopt),
	  { 3, 1 /* SOL_SOCKET */, 4 /* SO_ERROR */ },
	  NONE,
	  0 },
	{ CALL(getsockopt), { 3, 1, 17 /* SO_PEERCRED */ }, NONE, 0 },
	{ CALL(setsockopt), { 0 }, NONE, 0 },
	/* machine, vCPUs */
	{ CALL(ioctl), { 5, KVM_RUN }, V, 0 },
	{ CALL(ioctl), { 5, KVM_GET_REGS }, V, 0 },
	{ CALL(ioctl), { 5, KVM_GET_SREGS }, V, 0 },
	{ CALL(ioctl), { 5, KVM_TRANSLATE }, V, 0 },
	{ CALL(ioctl), { 5, KVM_IRQ_LINE }, M | V, 0 },
	{ CALL(ioctl), { 5, KVM_IRQFD }, M | V, 0 },
	{ CALL(ioctl), { 5, KVM_IOEVENTFD }, M | V, 0 },
	{ CALL(ioctl), { 5, KVM_SET_GSI_ROUTING }, M | V, 0 },
	{ CALL(ioctl), { 5, KVM_CREATE_VM }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_CREATE_VCPU }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_CREATE_DEVICE }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_SET_USER_MEMORY_REGION }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_SET_REGS }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_SET_SREGS }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_SET_MSRS }, NONE, 0 },
	{ CALL(ioctl), { 5, KVM_ENABLE_CAP }, NONE, 0 },
	{ CALL(eventfd2), { 0 }, NONE, 0 },
	{ CALL(clock_nanosleep), { 0 }, NONE, 0 },
/* nobody: files */
#ifdef __NR_open
	{ CALL(open), { 0 }, NONE, EACCES },
	{ CALL(creat), { 0 }, NONE, 0 },
	{ CALL(readlink), { 0 }, NONE, EACCES },
	{ CALL(access), { 0 }, NONE, EACCES },
	{ CALL(stat), { 0 }, NONE, EACCES },
	{ CALL(mkdir), { 0 }, NONE, EACCES },
	{ CALL(unlink), { 0 }, NONE, 0 },
	{ CALL(rename), { 0 }, NONE, 0 },
#endif
	{ CALL(openat), { 0 }, NONE, EACCES },
	{ CALL(openat2), { 0 }, NONE, 0 },
	{ CALL(open_by_handle_at), { 0 }, NONE, 0 },
	{ CALL(readlinkat), { 0 }, NONE, EACCES },
	{ CALL(mkdirat), { 0 }, NONE, EACCES },
	{ CALL(getcwd), { 0 }, NONE, EACCES },
	{ CALL(linkat), { 0 }, NONE, 0 },
	{ CALL(fchmod), { 0 }, NONE, 0 },
	{ CALL(fchown), { 0 }, NONE, 0 },
	{ CALL(getdents64), { 0 }, NONE, 0 },
	/* nobody: new descriptors */
	{ CALL(socket), { 0 }, NONE, 0 },
	{ CALL(socketpair), { 0 }, NONE, 0 },
	{ CALL(connect), { 0 }, NONE, 0 },
	{ CALL(bind), { 0 }, NONE, 0 },
	{ CALL(listen), { 0 }, NONE, 0 },
	{ CALL(memfd_create), { 0 }, NONE, 0 },
	{ CALL(userfaultfd), { 0 }, NONE, 0 },
	{ CALL(perf_event_open), { 0 }, NONE, 0 },
	{ CALL(bpf), { 0 }, NONE, 0 },
	{ CALL(fanotify_init), { 0 }, NONE, 0 },
	{ CALL(pidfd_open), { 0 }, NONE, 0 },
	{ CALL(pidfd_getfd), { 0 }, NONE, 0 },
	/* nobody: processes */
	{ CALL(clone), { 17 }, NONE, 0 },
	{ CALL(clone3), { 0 }, NONE, 0 },
#ifdef __NR_fork
	{ CALL(fork), { 0 }, NONE, 0 },
	{ CALL(vfork), { 0 }, NONE, 0 },
#endif
	{ CALL(execve), { 0 }, NONE, 0 },
	{ CALL(execveat), { 0 }, NONE, 0 },
	{ CALL(kill), { 1, 9 }, NONE, 0 },
	{ CALL(tkill), { 1, 9 }, NONE, 0 },
	{ CALL(pidfd_send_signal), { 0 }, NONE, 0 },
	{ CALL(rt_sigqueueinfo), { 0 }, NONE, 0 },
	{ CALL(ptrace), { 0 }, NONE, 0 },
	{ CALL(process_vm_readv), { 0 }, NONE, 0 },
	{ CALL(process_vm_writev), { 0 }, NONE, 0 },
	{ CALL(kcmp), { 0 }, NONE, 0 },
	/* nobody: privileges, the system */
	{ CALL(setuid), { 0 }, NONE, 0 },
	{ CALL(capset), { 0 }, NONE, 0 },
	{ CALL(prctl), { PR_SET_DUMPABLE, 1 }, NONE, EPERM },
	{ CALL(seccomp), { 0 }, NONE, 0 },
	{ CALL(unshare), { 0 }, NONE, 0 },
	{ CALL(setns), { 0 }, NONE, 0 },
	{ CALL(mount), { 0 }, NONE, 0 },
	{ CALL(umount2), { 0 }, NONE, 0 },
	{ CALL(fsopen), { 0 }, NONE, 0 },
	{ CALL(move_mount), { 0 }, NONE, 0 },
	{ CALL(pivot_root), { 0 }, NONE, 0 },
	{ CALL(chroot), { 0 }, NONE, 0 },
	{ CALL(keyctl), { 0 }, NONE, 0 },
	{ CALL(add_key), { 0 }, NONE, 0 },
	{ CALL(init_module), { 0 }, NONE, 0 },
	{ CALL(kexec_load), { 0 }, NONE, 0 },
	{ CALL(reboot), { 0 }, NONE, 0 },
	{ CALL(personality), { 0 }, NONE, 0 },
	{ CALL(shmget), { 0 }, NONE, 0 },
	{ CALL(setrlimit), { 0 }, NONE, 0 },
	/* sanitizers' and gcov's run time */
	{ CALL(sigaltstack), { 0 }, NONE, -1 },
	{ CALL(prlimit64), { 0 }, NONE, -1 },
	{ CALL(sched_getaffinity), { 0 }, NONE, -1 },
	{ CALL(getppid), { 0 }, NONE, -1 },
	{ CALL(getuid), { 0 }, NONE, -1 },
	{ CALL(geteuid), { 0 }, NONE, -1 },
	{ CALL(sysinfo), { 0 }, NONE, -1 },
	{ CALL(uname), { 0 }, NONE, -1 },
};

static const uint32_t denied[SBX_NR_ACTIONS] = {
	[VC_JAIL_KILL] = SECCOMP_RET_KILL_PROCESS,
	[VC_JAIL_ERRNO] = SECCOMP_RET_ERRNO | EPERM,
	[VC_JAIL_LOG] = SECCOMP_RET_LOG,
};

static struct seccomp_data call(int nr, const uint64_t args[6])
{
	struct seccomp_data d = { .nr = nr, .arch = HOST_ARCH };

	if (args)
		memcpy(d.args, args, sizeof(d.args));
	return d;
}

static uint32_t expected(const struct row *r, unsigned role, unsigned action)
{
#ifdef VC_INSTRUMENTED
	if (r->extra > 0)
		return SECCOMP_RET_ERRNO | (uint32_t)r->extra;
	if (r->extra < 0)
		return SECCOMP_RET_ALLOW;
#endif
	return r->roles >> role & 1 ? SECCOMP_RET_ALLOW : denied[action];
}

START_TEST(is_a_program_the_kernel_takes)
{
	const struct sbx_program *p = sbx_programs[_i];
	unsigned a;

	for (a = 0; a < SBX_NR_ACTIONS; a++) {
		const char *wrong = bpf_check(p[a].insns, p[a].nr);

		ck_assert_msg(!wrong, "%s, action %u: %s",
			      vc_jail_role_name((enum vc_jail_role)_i), a,
			      wrong);
	}
}
END_TEST

START_TEST(judges_each_call_as_the_table_says)
{
	const struct sbx_program *p = sbx_programs[_i];
	unsigned a;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(rows); i++) {
		struct seccomp_data d = call(rows[i].nr, rows[i].args);

		for (a = 0; a < SBX_NR_ACTIONS; a++) {
			uint32_t want = expected(&rows[i], (unsigned)_i, a);
			uint32_t got = bpf_run(p[a].insns, &d, NULL);

			ck_assert_msg(got == want,
				      "%s, action %u, %s(%#llx, %#llx, %#llx): "
				      "%#x instead of %#x",
				      vc_jail_role_name((enum vc_jail_role)_i),
				      a, rows[i].name,
				      (unsigned long long)d.args[0],
				      (unsigned long long)d.args[1],
				      (unsigned long long)d.args[2], got, want);
		}
	}
}
END_TEST

static bool is_in_table(int nr)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(rows); i++)
		if (rows[i].nr == nr)
			return true;
	return false;
}

/* Some rules look at arguments: all bits clear and all bits set meet both ends
 * of every test. */
START_TEST(lets_nothing_through_that_the_table_lacks)
{
	static const uint64_t ones[6] = { ~UINT64_C(0), ~UINT64_C(0),
					  ~UINT64_C(0), ~UINT64_C(0),
					  ~UINT64_C(0), ~UINT64_C(0) };
	const struct sbx_program *p = &sbx_programs[_i][VC_JAIL_KILL];
	int nr;

	for (nr = 0; nr < MAX_NR; nr++) {
		struct seccomp_data zero = call(nr, NULL);
		struct seccomp_data one = call(nr, ones);

		if (is_in_table(nr))
			continue;
		ck_assert_msg(bpf_run(p->insns, &zero, NULL) ==
					      SECCOMP_RET_KILL_PROCESS &&
				      bpf_run(p->insns, &one, NULL) ==
					      SECCOMP_RET_KILL_PROCESS,
			      "%s lets call %d through",
			      vc_jail_role_name((enum vc_jail_role)_i), nr);
	}
}
END_TEST

START_TEST(kills_other_architectures_whatever_the_action)
{
	const struct sbx_program *p = sbx_programs[_i];
	unsigned a;
	int nr;

	for (a = 0; a < SBX_NR_ACTIONS; a++)
		for (nr = 0; nr < MAX_NR; nr++) {
			struct seccomp_data d = call(nr, NULL);

			d.arch = OTHER_ARCH;
			ck_assert_uint_eq(bpf_run(p[a].insns, &d, NULL),
					  SECCOMP_RET_KILL_PROCESS);
#ifdef __x86_64__
			d.arch = HOST_ARCH;
			d.nr = nr | 0x40000000; /* x32 */
			ck_assert_uint_eq(bpf_run(p[a].insns, &d, NULL),
					  SECCOMP_RET_KILL_PROCESS);
#endif
		}
}
END_TEST

/* A vCPU makes this call for every exit it cannot avoid. */
START_TEST(judges_kvm_run_quickly)
{
	const uint64_t args[6] = { 9, KVM_RUN };
	struct seccomp_data d = call(__NR_ioctl, args);
	size_t steps;

	bpf_run(sbx_programs[VC_ROLE_VCPU][VC_JAIL_KILL].insns, &d, &steps);
	ck_assert_uint_le(steps, 48);
}
END_TEST

START_TEST(names_every_role)
{
	ck_assert_str_eq(vc_jail_role_name(VC_ROLE_MACHINE), "machine");
	ck_assert_str_eq(vc_jail_role_name(VC_ROLE_VSOCK), "vsock");
}
END_TEST

TEST_SUITE(suite_policy)
{
	Suite *s = suite_create("policy");
	TCase *tc = test_case(s, "policy");

	tcase_add_loop_test(tc, is_a_program_the_kernel_takes, 0, VC_NR_ROLES);
	tcase_add_loop_test(tc, judges_each_call_as_the_table_says, 0,
			    VC_NR_ROLES);
	tcase_add_loop_test(tc, lets_nothing_through_that_the_table_lacks, 0,
			    VC_NR_ROLES);
	tcase_add_loop_test(tc, kills_other_architectures_whatever_the_action,
			    0, VC_NR_ROLES);
	tcase_add_test(tc, judges_kvm_run_quickly);
	tcase_add_test(tc, names_every_role);
	return s;
}
