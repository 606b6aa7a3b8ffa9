/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting a process, with nothing inherited but what is named.
 *
 * The child is a vfork child: it borrows our memory (no page tables to copy, so
 * a start costs the same however large we are) while our thread waits, and it
 * has a descriptor table and signal handlers of its own. It therefore reports
 * what went wrong by writing to our stack, allocates nothing and calls nothing
 * that takes a lock.
 *
 * Descriptors are placed without an order to get wrong: every one is first
 * duplicated above all targets, then the whole table is marked close-on-exec,
 * then each duplicate goes to its place, which clears the mark. exec closes the
 * rest, those that another thread opens meanwhile included: the table is the
 * child's own since clone().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "config.h"
#include "sandbox/internal.h"
#ifdef VC_INSTRUMENTED
#include <sanitizer/asan_interface.h>
#endif

#define MAX_SPAWN_FDS 256
#define MAX_SPAWN_FD 4095      /* highest target number */
#define CHILD_STACK (64 << 10) /* execveat() needs little; sanitizers more */

struct spawn {
	const struct vc_jail_spawn_opts *opts;
	struct sbx_maps maps;
	sigset_t no_signals;
	int first_free; /* above every target */
	int parent_pidfd;
	int exe_fd;
	int placed[MAX_SPAWN_FDS]; /* duplicates above first_free */
	/* the child's report; read by the parent once the child is gone or has
	 * become another program */
	const char *volatile failed_step;
	volatile int failed_errno;
	volatile bool has_failed_map;
};

int sbx_die_with_parent(int parent_pidfd)
{
	struct pollfd p = { .fd = parent_pidfd, .events = POLLIN };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return errno;
	/* it may have ended before the line above */
	if (poll(&p, 1, 0) != 0)
		return ESRCH;
	return 0;
}

static _Noreturn void child_fail(struct spawn *s, const char *step, int sys)
{
	s->failed_errno = sys;
	s->failed_step = step;
	_exit(127);
}

static void child_place_fds(struct spawn *s)
{
	const struct vc_jail_spawn_opts *o = s->opts;
	size_t i;

	s->exe_fd = fcntl(o->exe_fd, F_DUPFD_CLOEXEC, s->first_free);
	if (s->exe_fd < 0)
		child_fail(s, "duplicate the program's descriptor", errno);
	for (i = 0; i < o->nr_fds; i++) {
		s->placed[i] =
			fcntl(o->fds[i].from, F_DUPFD_CLOEXEC, s->first_free);
		if (s->placed[i] < 0)
			child_fail(s, "duplicate a descriptor", errno);
	}
	if (syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(s, "close_range", errno);
	for (i = 0; i < o->nr_fds; i++)
		if (dup2(s->placed[i], o->fds[i].to) < 0)
			child_fail(s, "place a descriptor", errno);
}

/* Ignored signals would stay ignored across exec, blocked ones blocked. */
static void child_reset_signals(struct spawn *s)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	int i;

	for (i = 1; i <= SIGRTMAX; i++)
		sigaction(i, &dfl, NULL); /* fails for a few, as it should */
	if (sigprocmask(SIG_SETMASK, &s->no_signals, NULL) < 0)
		child_fail(s, "unblock signals", errno);
}

static int child_main(void *arg)
{
	struct spawn *s = arg;
	const struct vc_jail_spawn_opts *o = s->opts;
	const char *file;
	int sys;

	sys = sbx_die_with_parent(s->parent_pidfd);
	if (sys)
		child_fail(s, "die with the parent", sys);
	if (o->jail) {
		file = sbx_maps_write(&s->maps);
		if (file) {
			s->has_failed_map = true;
			child_fail(s, file, errno);
		}
	}
	child_place_fds(s);
	child_reset_signals(s);
	syscall(SYS_execveat, s->exe_fd, "", o->argv, o->envp, AT_EMPTY_PATH);
	child_fail(s, "exec", errno);
}

static int check_fds(const struct vc_jail_spawn_opts *o, int *ret_first_free,
		     struct vc_error *err)
{
	bool taken[MAX_SPAWN_FD + 1] = { false };
	size_t i;

	if (o->nr_fds > MAX_SPAWN_FDS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d descriptors to pass on",
			       MAX_SPAWN_FDS);
	*ret_first_free = 3;
	for (i = 0; i < o->nr_fds; i++) {
		int to = o->fds[i].to;

		if (to < 0 || to > MAX_SPAWN_FD || taken[to])
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "descriptor %d given twice or out of "
				       "range",
				       to);
		taken[to] = true;
		if (to >= *ret_first_free)
			*ret_first_free = to + 1;
	}
	return 0;
}

/* Run the child to its exec or end. Returns its pid, or -1 and errno. */
static pid_t run_child(struct spawn *s, void *stack, int *ret_pidfd)
{
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	char *top = (char *)stack + CHILD_STACK;
	sigset_t all, before;
	pid_t pid;
	int saved;

	if (s->opts->jail)
		flags |= CLONE_NEWUSER | CLONE_NEWPID;
	/* No handler of ours may run in the child, on our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(child_main, top, flags, s, ret_pidfd);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

static int spawn_failed(const struct spawn *s, struct vc_error *err)
{
	int sys = s->failed_errno;

	if (s->has_failed_map)
		return sbx_userns_refused(sys, s->failed_step, err);
	return vc_fail(err, VC_E_SYS, sys, "%s", s->failed_step);
}

/* The child never returned from its functions: what AddressSanitizer noted of
 * their variables would be held against whoever gets these addresses next. */
static void forget_stack(void *stack)
{
#ifdef VC_INSTRUMENTED
	ASAN_UNPOISON_MEMORY_REGION(stack, CHILD_STACK);
#else
	(void)stack;
#endif
}

int vc_jail_spawn(const struct vc_jail_spawn_opts *opts, pid_t *ret_pid,
		  int *ret_pidfd, struct vc_error *err)
{
	struct spawn s = { .opts = opts };
	vc_auto_fd int parent = -1;
	vc_auto_fd int pidfd = -1;
	void *stack;
	pid_t pid;
	int sys;

	if (check_fds(opts, &s.first_free, err) < 0)
		return vc_prefix(err, "start %s", opts->argv[0]);
	sigemptyset(&s.no_signals);
	sbx_maps_init(&s.maps);
	parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (parent < 0)
		return vc_fail(err, VC_E_SYS, errno, "start %s: pidfd_open",
			       opts->argv[0]);
	s.parent_pidfd = parent;
	stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return vc_fail(err, VC_E_SYS, errno, "start %s: stack",
			       opts->argv[0]);
	pid = run_child(&s, stack, &pidfd);
	sys = errno;
	forget_stack(stack);
	munmap(stack, CHILD_STACK);
	if (pid < 0 && opts->jail)
		return sbx_userns_refused(sys, "clone", err);
	if (pid < 0)
		return vc_fail(err, VC_E_SYS, sys, "start %s: clone",
			       opts->argv[0]);
	if (s.failed_step) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		spawn_failed(&s, err);
		return vc_prefix(err, "start %s", opts->argv[0]);
	}
	*ret_pid = pid;
	*ret_pidfd = vc_steal_fd(&pidfd);
	return 0;
}
