/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmm-agent: waits for the host and gives each connection a process of its own
 * (session.c), so that a broken one takes nobody else with it. This process
 * keeps the listening socket and a signalfd and sleeps otherwise.
 *
 * Trust: who connects becomes root here. Over vsock only the host may: without
 * the check of the peer's CID, any user of the guest could come in through
 * vsock loopback. Over a Unix socket only the same user or root may.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>
#include <vmmcore/agent.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>
#include "guest/session.h"

#define AGENT_MAX_SESSIONS 128
#define AGENT_BACKLOG 64

struct agent {
	uint32_t port;
	const char *unix_path; /* NULL: vsock */
	bool has_version;
	int listen_fd, signals;
	size_t nr_sessions;
	pid_t sessions[AGENT_MAX_SESSIONS];
};

static const struct vc_option options[] = {
	{ "port", 'p', "N", "vsock port to listen on (1024)" },
	{ "unix", 'u', "PATH",
	  "listen on a Unix socket instead; SHUTDOWN is refused there" },
	{ "version", 'V', NULL, "print the version" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct agent *a = ctx;
	uint64_t v;

	switch (opt->letter) {
	case 'p':
		if (vc_parse_u64(value, UINT32_MAX - 1, &v, err) < 0)
			return vc_prefix(err, "--port");
		a->port = (uint32_t)v;
		break;
	case 'u':
		a->unix_path = value;
		break;
	default:
		a->has_version = true;
	}
	return 0;
}

static const struct vc_command command = {
	.name = "vmm-agent",
	.synopsis = "[OPTION]...",
	.summary = "Run commands in this guest for its host; see vmm-agent(8).",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
};

static void log_line(enum vc_log_level level, const char *who, const char *text)
{
	(void)level;
	fprintf(stderr, "vmm-agent: %s: %s\n", who, text);
}

static int listen_vsock(struct agent *a, struct vc_error *err)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = a->port };

	a->listen_fd =
		socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->listen_fd < 0 ||
	    bind(a->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(a->listen_fd, AGENT_BACKLOG) < 0)
		return vc_fail(err, VC_E_SYS, errno, "vsock port %u: listen",
			       a->port);
	return 0;
}

static int listen_unix(struct agent *a, struct vc_error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int failed;

	if (strlen(a->unix_path) >= sizeof(sa.sun_path))
		return vc_fail(err, VC_E_ARG, 0, "--unix: path too long");
	strcpy(sa.sun_path, a->unix_path);
	a->listen_fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->listen_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "socket");
	old = umask(077);
	failed = bind(a->listen_fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (failed || listen(a->listen_fd, AGENT_BACKLOG) < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: listen",
			       a->unix_path);
	return 0;
}

static bool is_peer_ok(const struct agent *a, int sock)
{
	struct sockaddr_vm sa;
	struct ucred cred;
	socklen_t len = sizeof(sa);

	if (!a->unix_path)
		return !getpeername(sock, (struct sockaddr *)&sa, &len) &&
		       len >= sizeof(sa) && sa.svm_family == AF_VSOCK &&
		       sa.svm_cid == VMADDR_CID_HOST;
	len = sizeof(cred);
	return !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

/* In the new process: it keeps the connection and the standard descriptors.
 * The signalfd reads the signals of whoever reads it, so it is shared. */
static __attribute__((noreturn)) void session_main(struct agent *a, int sock)
{
	struct session_config config = { .sock = sock,
					 .signals = a->signals,
					 .can_shutdown = !a->unix_path };
	struct vc_error err = { 0 };

	vc_close(&a->listen_fd);
	if (session_run(&config, &err) < 0)
		_exit(vc_report(stderr, "vmm-agent", &err));
	_exit(0);
}

static void accept_one(struct agent *a)
{
	static struct vc_ratelimit limit;
	vc_auto_fd int sock =
		accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pid_t pid;

	if (sock < 0)
		return;
	if (!is_peer_ok(a, sock)) {
		if (vc_ratelimit_ok(&limit, 1))
			vc_log(VC_LOG_WARN, "connection",
			       "refused: not from the host");
		return;
	}
	pid = fork();
	if (!pid)
		session_main(a, sock);
	if (pid < 0) {
		if (vc_ratelimit_ok(&limit, 1))
			vc_log(VC_LOG_ERROR, "connection", "fork: %s",
			       strerror(errno));
		return;
	}
	a->sessions[a->nr_sessions++] = pid;
}

static void reap(struct agent *a)
{
	size_t i;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (i = 0; i < a->nr_sessions; i++)
			if (a->sessions[i] == pid)
				a->sessions[i] = a->sessions[--a->nr_sessions];
}

/* Returns true when the agent is to end. */
static bool read_signals(struct agent *a)
{
	struct signalfd_siginfo si;
	bool is_ended = false;

	while (read(a->signals, &si, sizeof(si)) == sizeof(si))
		is_ended = is_ended || si.ssi_signo != SIGCHLD;
	reap(a);
	return is_ended;
}

static int serve(struct agent *a, struct vc_error *err)
{
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = a->signals, .events = POLLIN },
			{ .fd = a->listen_fd, .events = POLLIN },
		};

		/* further connections wait in the backlog */
		if (a->nr_sessions == AGENT_MAX_SESSIONS)
			p[1].fd = -1;
		if (poll(p, VC_ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "poll");
		if (p[0].revents && read_signals(a))
			return 0;
		if (p[1].revents)
			accept_one(a);
	}
}

/* A session hangs up its command when it is told to end. */
static void end_sessions(struct agent *a)
{
	size_t i;

	for (i = 0; i < a->nr_sessions; i++)
		kill(a->sessions[i], SIGTERM);
	for (i = 0; i < a->nr_sessions; i++)
		waitpid(a->sessions[i], NULL, 0);
}

static int agent_start(struct agent *a, struct vc_error *err)
{
	sigset_t set;

	/* 0, 1 and 2 must be in use: see spawn.c */
	vc_open_standard_fds();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signals < 0)
		return vc_fail(err, VC_E_SYS, errno, "signalfd");
	return a->unix_path ? listen_unix(a, err) : listen_vsock(a, err);
}

int main(int argc, char **argv)
{
	struct agent a = { .port = VC_AGENT_PORT, .listen_fd = -1 };
	struct vc_error err = { 0 };
	bool is_help;
	int first, ret;

	vc_log_set(log_line, VC_LOG_WARN);
	if (vc_options_parse(&command, argc, argv, false, &a, &first, &is_help,
			     &err) < 0)
		return vc_report(stderr, "vmm-agent", &err);
	if (is_help) {
		vc_command_help(&command, stdout);
		return vc_program_end("vmm-agent", 0);
	}
	if (a.has_version) {
		puts("vmm-agent " VC_VERSION);
		return vc_program_end("vmm-agent", 0);
	}
	if (first < argc)
		vc_fail(&err, VC_E_ARG, 0, "takes no operand");
	else if (agent_start(&a, &err) == 0) {
		ret = serve(&a, &err);
		vc_close(&a.listen_fd);
		if (a.unix_path)
			unlink(a.unix_path);
		end_sessions(&a);
		if (ret == 0)
			return 0;
	}
	return vc_report(stderr, "vmm-agent", &err);
}
