/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child's standard error is a pipe to us, not the user's terminal: what a
 * process writes that a guest may own is cleaned of control characters first,
 * and the last line of one that fails becomes the reason in our own message.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <config.h>
#include "vmm/supervisor/child.h"

#define FIRST_FD 3
/* lines taken from one child at one wake-up, so that none starves the rest */
#define MAX_READS 16

void child_init(struct child *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->pidfd = -1;
	c->log_fd = -1;
}

static void close_fds(struct child *c)
{
	while (c->nr_fds)
		vc_close(&c->fds[--c->nr_fds].from);
}

static void reap(struct child *c)
{
	while (waitpid(c->pid, &c->wait_status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

void child_fini(struct child *c)
{
	vc_watch_remove(&c->exit_watch);
	vc_watch_remove(&c->log_watch);
	if (c->pid) {
		kill(c->pid, SIGKILL);
		reap(c);
	}
	vc_close(&c->pidfd);
	vc_close(&c->log_fd);
	close_fds(c);
	while (c->nr_args)
		free(c->argv[--c->nr_args]);
}

void child_arg(struct child *c, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0 || c->nr_args == CHILD_MAX_ARGS) {
		if (n >= 0)
			free(text);
		c->is_bad = true;
		return;
	}
	c->argv[c->nr_args++] = text;
}

int child_fd(struct child *c, int fd)
{
	int to = FIRST_FD + (int)c->nr_fds;

	/* three places are for the standard streams */
	if (fd < 0 || c->nr_fds >= CHILD_MAX_FDS - FIRST_FD) {
		vc_close(&fd);
		c->is_bad = true;
		return to;
	}
	c->fds[c->nr_fds++] = (struct vc_jail_fd){ fd, to };
	return to;
}

static void print_line(const struct child *c, const char *line)
{
	char clean[CHILD_MAX_LINE * 2];

	vc_printable(line, clean, sizeof(clean));
	/* log lines name their object; anything else gets the process's name */
	if (!strncmp(clean, "vmm: ", 5))
		fprintf(stderr, "%s\n", clean);
	else
		fprintf(stderr, "vmm: %s: %s\n", c->name, clean);
}

static void flush_held(struct child *c)
{
	if (c->held[0])
		print_line(c, c->held);
	c->held[0] = '\0';
}

static void take_line(struct child *c)
{
	c->line[c->line_used] = '\0';
	c->line_used = 0;
	if (!c->line[0] || !strncmp(c->line, "Try '", 5))
		return;
	if (!strncmp(c->line, "vmm: ", 5)) {
		print_line(c, c->line);
		return;
	}
	flush_held(c);
	memcpy(c->held, c->line, sizeof(c->held));
}

/* Returns false at end of file. */
static bool read_log(struct child *c)
{
	char buf[512];
	ssize_t n, i;

	n = read(c->log_fd, buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR;
	for (i = 0; i < n; i++) {
		if (buf[i] == '\n' || c->line_used == sizeof(c->line) - 1)
			take_line(c);
		if (buf[i] != '\n')
			c->line[c->line_used++] = buf[i];
	}
	return n > 0;
}

static void on_log(struct vc_watch *w, uint32_t events)
{
	struct child *c = vc_container_of(w, struct child, log_watch);
	int i;

	(void)events;
	for (i = 0; i < MAX_READS; i++) {
		if (!read_log(c)) {
			if (errno != EAGAIN)
				vc_watch_remove(w);
			return;
		}
	}
}

static void on_pidfd(struct vc_watch *w, uint32_t events)
{
	struct child *c = vc_container_of(w, struct child, exit_watch);

	(void)events;
	vc_watch_remove(w);
	reap(c);
	/* what it wrote last is in the pipe: the fd is non-blocking, and the
	 * writer is gone */
	while (read_log(c))
		;
	if (c->line_used)
		take_line(c);
	vc_watch_remove(&c->log_watch);
	if (!child_has_failed(c))
		flush_held(c);
	c->on_exit(c);
}

/* /dev/null, /dev/null and the log pipe as 0, 1, 2. */
static int add_streams(struct child *c, struct vc_error *err)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int null2_fd = null_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
	int pipe_fds[2];

	if (null2_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		vc_close(&null_fd);
		vc_close(&null2_fd);
		return vc_fail(err, VC_E_SYS, errno, "standard streams");
	}
	c->fds[c->nr_fds++] = (struct vc_jail_fd){ null_fd, STDIN_FILENO };
	c->fds[c->nr_fds++] = (struct vc_jail_fd){ null2_fd, STDOUT_FILENO };
	c->fds[c->nr_fds++] = (struct vc_jail_fd){ pipe_fds[1], STDERR_FILENO };
	c->log_fd = pipe_fds[0];
	return vc_set_nonblock(c->log_fd, err);
}

/* A child inherits no environment: it holds the user's secrets, and a jailed
 * process needs none of it. A sanitizer's options are the exception. */
static char *const *child_env(char *env[8])
{
	size_t n = 0;
#ifdef VC_INSTRUMENTED
	static const char *const keep[] = { "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
					    "LSAN_OPTIONS=" };
	size_t i, j;

	for (i = 0; environ[i]; i++)
		for (j = 0; j < VC_ARRAY_SIZE(keep); j++)
			if (!strncmp(environ[i], keep[j], strlen(keep[j])))
				env[n++] = environ[i];
#endif
	env[n] = NULL;
	return env;
}

int child_start(struct child *c, struct vc_loop *loop, bool jail, int exe_fd,
		struct vc_error *err)
{
	char *env[8];
	struct vc_jail_spawn_opts opts = {
		.exe_fd = exe_fd,
		.argv = c->argv,
		.envp = child_env(env),
		.jail = jail,
	};

	if (c->is_bad)
		return vc_fail(err, VC_E_LIMIT, 0, "%s: too many arguments",
			       c->name);
	if (add_streams(c, err) < 0)
		return vc_prefix(err, "%s", c->name);
	opts.fds = c->fds;
	opts.nr_fds = c->nr_fds;
	if (vc_jail_spawn(&opts, &c->pid, &c->pidfd, err) < 0)
		return vc_prefix(err, "%s", c->name);
	close_fds(c);
	if (vc_watch_add(loop, &c->log_watch, c->log_fd, EPOLLIN, on_log, err) <
		    0 ||
	    vc_watch_add(loop, &c->exit_watch, c->pidfd, EPOLLIN, on_pidfd,
			 err) < 0)
		return vc_prefix(err, "%s", c->name);
	return 0;
}

bool child_has_failed(const struct child *c)
{
	return !c->pid && c->pidfd >= 0 &&
	       (!WIFEXITED(c->wait_status) || WEXITSTATUS(c->wait_status));
}

/* The text after "program: " of a line a program of ours printed, and after
 * "'name': " if that is to say what the label says better. */
static const char *without_program(const struct child *c, const char *line)
{
	const char *colon = strstr(line, ": ");
	size_t n = strlen(c->name);

	if (colon && !strncmp(line, "vmm", 3))
		line = colon + 2;
	if (c->label[0] && line[0] == '\'' && !strncmp(line + 1, c->name, n) &&
	    !strncmp(line + 1 + n, "': ", 3))
		line += n + 4;
	return line;
}

void child_reason(const struct child *c, char *buf, size_t size)
{
	char how[64], text[CHILD_MAX_LINE];
	const char *who = c->label[0] ? c->label : c->name;

	if (c->held[0] && WIFEXITED(c->wait_status)) {
		vc_printable(without_program(c, c->held), text, sizeof(text));
		if (c->label[0])
			snprintf(buf, size, "%s: %s", who, text);
		else
			snprintf(buf, size, "%s", text);
		return;
	}
	if (WIFSIGNALED(c->wait_status))
		snprintf(how, sizeof(how), "killed by signal %d%s",
			 WTERMSIG(c->wait_status),
			 WTERMSIG(c->wait_status) == SIGSYS
				 ? " (a forbidden system call)"
				 : "");
	else
		snprintf(how, sizeof(how), "ended with status %d",
			 WEXITSTATUS(c->wait_status));
	snprintf(buf, size, "%s: process: %s", c->name, how);
}
