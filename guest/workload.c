/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All that reads a file or allocates comes before the fork. The child gets a
 * session of its own with the console as its terminal, so that an interrupt
 * typed there reaches it.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "guest/env.h"
#include "guest/user.h"
#include "guest/workload.h"

void workload_env_free(char **env)
{
	size_t i;

	for (i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}

char **workload_env(const struct runconf *c, const char *home,
		    struct vc_error *err)
{
	const char *const set[][2] = {
		{ "PATH", ENV_DEFAULT_PATH },
		{ "HOME", home },
		{ "TERM", "linux" },
	};
	size_t nr = 0, i;
	char **env;

	for (i = 0; c->env[i]; i++)
		;
	env = calloc(i + VC_ARRAY_SIZE(set) + 1, sizeof(*env));
	for (i = 0; env && i < VC_ARRAY_SIZE(set); i++) {
		if (env_has(c->env, set[i][0]))
			continue;
		if (asprintf(&env[nr], "%s=%s", set[i][0], set[i][1]) < 0)
			goto out;
		nr++;
	}
	for (i = 0; env && c->env[i]; i++) {
		env[nr] = strdup(c->env[i]);
		if (!env[nr++])
			goto out;
	}
	if (env)
		return env;
out:
	if (env)
		env[nr] = NULL;
	workload_env_free(env);
	vc_fail(err, VC_E_SYS, ENOMEM, "environment");
	return NULL;
}

/* As a container's: what is missing is made. */
static void make_cwd(const char *cwd)
{
	char path[4096], *p;

	if ((size_t)snprintf(path, sizeof(path), "%s", cwd) >= sizeof(path))
		return; /* chdir() will say so */
	for (p = path + 1; *path && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	mkdir(path, 0755);
}

static __attribute__((noreturn)) void fail_child(const char *what)
{
	struct vc_error err = { 0 };
	char line[sizeof(err.msg) + 128];

	vc_fail(&err, VC_E_SYS, errno, "%s", what);
	fprintf(stderr, "vmm-init: %s\n",
		vc_error_str(&err, line, sizeof(line)));
	_exit(127);
}

static __attribute__((noreturn)) void
run_child(const struct runconf *c, const struct user *u, char **env)
{
	const char *cwd = c->cwd && *c->cwd ? c->cwd : "/";
	char shown[120];

	env_reset_signals();
	setsid();
	ioctl(0, TIOCSCTTY, 1); /* a console may be no terminal */
	close_range(3, ~0U, 0);
	umask(022);
	if (setgroups(u->nr_groups, u->groups) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		fail_child("change user");
	if (chdir(cwd) < 0)
		fail_child("working directory");
	environ = env;
	execvp(c->argv[0], c->argv);
	fail_child(vc_printable(c->argv[0], shown, sizeof(shown)));
}

int workload_start(const struct runconf *c, pid_t *ret, struct vc_error *err)
{
	struct user *u;
	char **env;
	pid_t pid;

	*ret = 0;
	if (!c->argv[0])
		return 0;
	u = malloc(sizeof(*u));
	if (!u)
		return vc_fail(err, VC_E_SYS, ENOMEM, "user");
	if (user_lookup("/etc/passwd", "/etc/group", c->user, u, err) < 0) {
		free(u);
		return -1;
	}
	env = workload_env(c, u->home, err);
	if (!env) {
		free(u);
		return -1;
	}
	if (c->cwd && *c->cwd == '/')
		make_cwd(c->cwd);
	pid = fork();
	if (!pid)
		run_child(c, u, env);
	workload_env_free(env);
	free(u);
	if (pid < 0)
		return vc_fail(err, VC_E_SYS, errno, "fork");
	*ret = pid;
	return 0;
}
