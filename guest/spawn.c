/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that allocates or reads a file happens before the fork; the child
 * only makes system calls and reports the one that failed through a pipe that
 * exec closes. The environment is made from scratch: nothing of the agent's own
 * reaches a command.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "guest/env.h"
#include "guest/spawn.h"
#include "guest/user.h"

enum {
	VAR_PATH,
	VAR_HOME,
	VAR_USER,
	VAR_LOGNAME,
	VAR_SHELL,
	VAR_LANG,
	VAR_TERM,
	NR_VARS
};

enum stage { STAGE_SETUP, STAGE_CWD, STAGE_USER, STAGE_EXEC };

/* what the child writes when it cannot go on */
struct failure {
	int stage;
	int sys;
};

struct plan {
	const struct vc_agent_exec *exec; /* borrowed */
	struct user user;
	char *vars[NR_VARS];			   /* owned */
	char *env[NR_VARS + VC_AGENT_MAX_ENV + 1]; /* borrowed */
	int fds[3];				   /* the child's 0, 1, 2 */
	int status;
};

/* The default set, without what the request sets itself. A name given twice
 * stays: the last one counts for nobody, as with env(1) in a shell. */
static int plan_env(struct plan *p, struct vc_error *err)
{
	const char *const set[NR_VARS][2] = {
		[VAR_PATH] = { "PATH", ENV_DEFAULT_PATH },
		[VAR_HOME] = { "HOME", p->user.home },
		[VAR_USER] = { "USER", p->user.name },
		[VAR_LOGNAME] = { "LOGNAME", p->user.name },
		[VAR_SHELL] = { "SHELL", p->user.shell },
		[VAR_LANG] = { "LANG", "C.UTF-8" },
		/* the streams are pipes: nothing moves a cursor there */
		[VAR_TERM] = { "TERM", "dumb" },
	};
	char *const *given = p->exec->env;
	size_t n = 0, i;

	for (i = 0; i < NR_VARS; i++) {
		if (env_has(given, set[i][0]))
			continue;
		if (asprintf(&p->vars[i], "%s=%s", set[i][0], set[i][1]) < 0) {
			p->vars[i] = NULL;
			return vc_fail(err, VC_E_SYS, ENOMEM, "environment");
		}
		p->env[n++] = p->vars[i];
	}
	for (; *given && n < VC_ARRAY_SIZE(p->env) - 1; given++)
		p->env[n++] = *given;
	p->env[n] = NULL;
	return 0;
}

static void plan_free(struct plan *p)
{
	size_t i;

	for (i = 0; i < NR_VARS; i++)
		free(p->vars[i]);
	for (i = 0; i < VC_ARRAY_SIZE(p->fds); i++)
		vc_close(&p->fds[i]);
	vc_close(&p->status);
	free(p);
}
VC_DEFINE_CLEANUP(plan, struct plan *, plan_free)

static __attribute__((noreturn)) void child_fail(int status, enum stage stage)
{
	struct failure f = { .stage = (int)stage, .sys = errno };

	/* nobody is left to tell if this fails */
	if (write(status, &f, sizeof(f)) != sizeof(f))
		_exit(126);
	_exit(127);
}

/* The child's fds become 0, 1, 2 and `status` 3; the rest is closed. They are
 * all above 2: the agent keeps 0, 1, 2 open. */
static void child_fds(const struct plan *p)
{
	int i;

	for (i = 0; i < 3; i++)
		if (dup2(p->fds[i], i) < 0)
			child_fail(p->status, STAGE_SETUP);
	if (p->status != 3 && dup3(p->status, 3, O_CLOEXEC) < 0)
		child_fail(p->status, STAGE_SETUP);
	if (close_range(4, ~0U, 0) < 0)
		child_fail(3, STAGE_SETUP);
}

static __attribute__((noreturn)) void child_run(const struct plan *p)
{
	const char *cwd = p->exec->cwd;

	env_reset_signals();
	if (setsid() < 0)
		child_fail(p->status, STAGE_SETUP);
	child_fds(p);
	umask(022);
	if (setgroups(p->user.nr_groups, p->user.groups) < 0 ||
	    setresgid(p->user.gid, p->user.gid, p->user.gid) < 0 ||
	    setresuid(p->user.uid, p->user.uid, p->user.uid) < 0)
		child_fail(3, STAGE_USER);
	/* as the user: a directory it may not enter is not entered for it */
	if (chdir(cwd && *cwd ? cwd : "/") < 0)
		child_fail(3, STAGE_CWD);
	/* execvp looks in the PATH of the command, not in ours */
	environ = (char **)(uintptr_t)p->env;
	execvp(p->exec->argv[0], p->exec->argv);
	child_fail(3, STAGE_EXEC);
}

/* A pipe of which we keep one end, non-blocking, and the child gets the other.
 * All ends above 2, see child_fds(). */
static int make_pipe(bool child_reads, int *ret_ours, int *ret_child,
		     struct vc_error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return vc_fail(err, VC_E_SYS, errno, "pipe");
	*ret_ours = fds[child_reads ? 1 : 0];
	*ret_child = fds[child_reads ? 0 : 1];
	return vc_set_nonblock(*ret_ours, err);
}

static int make_pipes(struct plan *p, struct spawned *s, struct vc_error *err)
{
	if (make_pipe(true, &s->in, &p->fds[0], err) < 0 ||
	    make_pipe(false, &s->out, &p->fds[1], err) < 0 ||
	    make_pipe(false, &s->err, &p->fds[2], err) < 0 ||
	    make_pipe(false, &s->status, &p->status, err) < 0)
		return -1;
	return 0;
}

static void spawned_close(struct spawned *s)
{
	vc_close(&s->in);
	vc_close(&s->out);
	vc_close(&s->err);
	vc_close(&s->status);
}

int spawn_start(const struct vc_agent_exec *exec, struct spawned *ret,
		struct vc_error *err)
{
	vc_auto(plan) struct plan *p = calloc(1, sizeof(*p));
	struct spawned s = { .in = -1, .out = -1, .err = -1, .status = -1 };

	if (!p)
		return vc_fail(err, VC_E_SYS, ENOMEM, "command");
	p->exec = exec;
	p->fds[0] = p->fds[1] = p->fds[2] = p->status = -1;
	if (user_lookup("/etc/passwd", "/etc/group", exec->user, &p->user,
			err) < 0 ||
	    plan_env(p, err) < 0)
		return -1;
	if (make_pipes(p, &s, err) < 0) {
		spawned_close(&s);
		return -1;
	}
	s.pid = fork();
	if (s.pid < 0) {
		vc_fail(err, VC_E_SYS, errno, "fork");
		spawned_close(&s);
		return -1;
	}
	if (!s.pid)
		child_run(p);
	*ret = s;
	return 0;
}

int spawn_status(struct spawned *s, const char *program, bool *ret_is_running,
		 struct vc_error *err)
{
	char shown[120];
	struct failure f;
	ssize_t n;

	*ret_is_running = false;
	do
		n = read(s->status, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	vc_close(&s->status);
	if (n != sizeof(f)) {
		*ret_is_running = true;
		return 0;
	}
	vc_printable(program, shown, sizeof(shown));
	switch ((enum stage)f.stage) {
	case STAGE_EXEC:
		return vc_fail(err, VC_E_SYS, f.sys, "%s: exec", shown);
	case STAGE_CWD:
		return vc_fail(err, VC_E_ARG, 0, "working directory: %s",
			       strerror(f.sys));
	case STAGE_USER:
		return vc_fail(err, VC_E_ARG, 0, "change user: %s",
			       strerror(f.sys));
	case STAGE_SETUP:
		break;
	}
	return vc_fail(err, VC_E_SYS, EIO, "%s: set-up: %s", shown,
		       strerror(f.sys));
}
