/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keeper: what must be outside of the jail when a device is started by
 * hand. It owns the names of sockets (only it can remove them at the end),
 * accepts frontends, and has a device process ready at all times, to which it
 * hands one frontend. That process ends with its frontend and a new one takes
 * its place: no frontend meets anything another one left behind.
 *
 *	keeper --- socketpair --- device process
 *	   one byte with a descriptor: serve this one
 *	   hang-up: finish and exit, also when the keeper is killed
 *
 * A device process that fails before it was handed a frontend could not start:
 * the next one could not either, and the keeper ends.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vmm/control/socket.h"
#include "vmm/device/device.h"

int device_listen(struct device *d, const char *path, int *ret_fd,
		  struct vc_error *err)
{
	int fd = socket_listen(path, err);

	if (fd < 0)
		return -1;
	assert(d->nr_paths < DEVICE_MAX_PATHS);
	d->paths[d->nr_paths++] = path;
	*ret_fd = fd;
	return 0;
}

void device_remove_paths(struct device *d)
{
	while (d->nr_paths)
		unlink(d->paths[--d->nr_paths]);
}

struct keeper {
	struct device *d;
	int (*run)(struct device *d);
	int signal_fd;
	int child_fd; /* our end of the socketpair; -1: told to stop */
	pid_t pid;
	bool has_frontend; /* the child was handed one */
	bool is_stopping;
};

static int block_signals(sigset_t *ret_old, int *ret_fd, struct vc_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
		return vc_fail(err, VC_E_SYS, errno, "block signals");
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "signalfd");
	return 0;
}

static int start_child(struct keeper *k, const sigset_t *old,
		       struct vc_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vc_fail(err, VC_E_SYS, errno, "socketpair");
	k->pid = fork();
	if (k->pid == 0) {
		vc_close(&pair[0]);
		vc_close(&k->signal_fd);
		vc_close(&k->d->listen_fd);
		/* signals to the whole family are for the keeper, who tells
		 * the others to finish */
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		sigprocmask(SIG_SETMASK, old, NULL);
		k->d->keeper_fd = pair[1];
		exit(k->run(k->d));
	}
	vc_close(&pair[1]);
	if (k->pid < 0) {
		vc_close(&pair[0]);
		return vc_fail(err, VC_E_SYS, errno, "fork");
	}
	k->child_fd = pair[0];
	k->has_frontend = false;
	return 0;
}

static void hand_over(struct keeper *k)
{
	vc_auto_fd int sock =
		accept4(k->d->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	/* gone again, or the child is dying: SIGCHLD tells */
	if (sock >= 0 && vc_send_fds(k->child_fd, "", 1, &sock, 1) == 1)
		k->has_frontend = true;
}

/* The child ended with `status`: is that an end for the keeper too? */
static bool is_over(const struct keeper *k, int status, int *ret)
{
	char name[64];

	if (WIFSIGNALED(status)) {
		snprintf(name, sizeof(name), "device %s", k->d->class->name);
		vc_log(VC_LOG_ERROR, name, "killed by signal %d (%s)",
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
		*ret = 1;
	} else {
		*ret = WEXITSTATUS(status);
	}
	if (k->is_stopping || k->d->listen_fd < 0)
		return true;
	/* a frontend that broke the rules is not the next one's fault */
	return !k->has_frontend && *ret;
}

static void read_signals(struct keeper *k, bool *ret_has_child_ended)
{
	struct signalfd_siginfo si;

	*ret_has_child_ended = false;
	while (read(k->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			*ret_has_child_ended = true;
		} else {
			k->is_stopping = true;
			vc_close(&k->child_fd);
		}
	}
}

/* One round; true when the keeper's work is done. */
static int keep(struct keeper *k, const sigset_t *old, bool *ret_is_over,
		int *ret_status, struct vc_error *err)
{
	bool wants_frontend = !k->has_frontend && !k->is_stopping;
	struct pollfd p[2] = {
		{ .fd = k->signal_fd, .events = POLLIN },
		{ .fd = wants_frontend ? k->d->listen_fd : -1,
		  .events = POLLIN },
	};
	bool has_child_ended;
	int status;

	if (poll(p, 2, -1) < 0 && errno != EINTR)
		return vc_fail(err, VC_E_SYS, errno, "poll");
	if (p[1].revents)
		hand_over(k);
	read_signals(k, &has_child_ended);
	if (!has_child_ended || waitpid(k->pid, &status, WNOHANG) != k->pid)
		return 0;
	vc_close(&k->child_fd);
	*ret_is_over = is_over(k, status, ret_status);
	return *ret_is_over ? 0 : start_child(k, old, err);
}

int device_keeper(struct device *d, int (*run)(struct device *d))
{
	struct keeper k = {
		.d = d, .run = run, .signal_fd = -1, .child_fd = -1
	};
	char name[64];
	struct vc_error err;
	bool is_done = false;
	sigset_t old;
	int rc, status = 1;

	rc = block_signals(&old, &k.signal_fd, &err);
	if (rc == 0)
		rc = start_child(&k, &old, &err);
	if (rc == 0 && d->sock >= 0)
		vc_close(&d->sock); /* the child's, who must see it hang up */
	while (rc == 0 && !is_done)
		rc = keep(&k, &old, &is_done, &status, &err);
	vc_close(&k.child_fd);
	vc_close(&k.signal_fd);
	if (rc < 0) {
		snprintf(name, sizeof(name), "vmm device %s", d->class->name);
		status = vc_report(stderr, name, &err);
	}
	return status;
}

int device_next_frontend(int keeper_fd, int *ret_sock, bool *ret_is_over,
			 struct vc_error *err)
{
	size_t nr_fds;
	ssize_t n;
	char c;
	int fd;

	n = vc_recv_fds(keeper_fd, &c, 1, 0, &fd, 1, &nr_fds);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "keeper: receive");
	*ret_is_over = n == 0;
	if (n == 0)
		return 0;
	if (nr_fds != 1)
		return vc_fail(err, VC_E_INTERNAL, 0, "keeper: no descriptor");
	*ret_sock = fd;
	return 0;
}
