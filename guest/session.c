/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session is one poll loop over six descriptors: the socket, a signalfd, and
 * the command's status pipe, stdin, stdout and stderr. A descriptor is polled
 * only when the session can act on it, so a slow reader on either side costs
 * nothing; see the README of libvmmcore/agent for the flow control.
 *
 *	HELLO -> REQUEST -> STARTING -> RUNNING -> ENDED -> CLOSING -> GONE
 *
 * ENDED: the command was reaped; what it had written until then is still
 * passed on (and no more: a process it left behind in the background may keep
 * its pipes open for ever), then EXIT. CLOSING: the last frame is queued; the
 * host closes when it has read it. GONE may follow on any state.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/agent.h>
#include <vmmcore/checked.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>
#include "guest/session.h"
#include "guest/shutdown.h"
#include "guest/spawn.h"

#define NS_PER_MS UINT64_C(1000000)
#define PIPE_CHUNK (64 * 1024)

enum state {
	S_HELLO,
	S_REQUEST,
	S_STARTING,
	S_RUNNING,
	S_ENDED,
	S_CLOSING,
	S_GONE
};

enum slot { P_SOCK, P_SIGNALS, P_STATUS, P_IN, P_OUT, P_ERR, NR_SLOTS };

/* stdout or stderr of the command, on its way to the host */
struct output {
	int *fd; /* in session.child, -1 at its end */
	enum vc_agent_type type;
	uint32_t credit;
	bool is_eof_sent;
	bool is_limited; /* only `left` more bytes count */
	size_t left;
};

struct session {
	const struct session_config *config;
	enum state state;
	uint64_t deadline_ns; /* 0: none */
	struct vc_agent_reader reader;
	struct vc_agent_writer writer;
	struct vc_agent_ring input;
	struct output out[2];
	struct spawned child;
	char program[128]; /* for messages */
	bool is_started;   /* its program runs: SIGHUP means something to it */
	int wait_status;
	enum shutdown_how how; /* what to do after the host has its answer */
	bool has_shutdown;
};

static void set_state(struct session *s, enum state state, int timeout_ms)
{
	s->state = state;
	s->deadline_ns = 0;
	if (timeout_ms)
		s->deadline_ns = vc_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

static void gone(struct session *s, const char *why)
{
	if (why)
		vc_log(VC_LOG_WARN, "session", "%s: closing", why);
	set_state(s, S_GONE, 0);
}

static void close_child(struct session *s)
{
	vc_close(&s->child.in);
	vc_close(&s->child.out);
	vc_close(&s->child.err);
	vc_close(&s->child.status);
}

/* The request failed: say why, as the last frame. */
static void refuse(struct session *s, struct vc_error *err)
{
	char text[VC_AGENT_MAX_TEXT];
	uint32_t sys =
		err->code == VC_E_SYS && err->sys ? (uint32_t)err->sys : EINVAL;

	vc_error_str(err, text, sizeof(text));
	if (!vc_agent_writer_put_text(&s->writer, VC_AGENT_ERROR, sys, text)) {
		gone(s, "no room for an error");
		return;
	}
	set_state(s, S_CLOSING, SESSION_CLOSE_TIMEOUT_MS);
}

static void finish(struct session *s, uint32_t kind, uint32_t number)
{
	/* control frames have their room; if it is used up, the host reads on
	 * and this is tried again */
	if (vc_agent_writer_put_2u32(&s->writer, VC_AGENT_EXIT, kind, number))
		set_state(s, S_CLOSING, SESSION_CLOSE_TIMEOUT_MS);
}

static void start_command(struct session *s, const uint8_t *payload, size_t len)
{
	vc_auto_free void *storage = NULL;
	struct vc_agent_exec exec;
	struct vc_error err = { 0 };

	if (vc_agent_exec_decode(payload, len, &exec, &storage, &err) < 0) {
		refuse(s, &err);
		return;
	}
	vc_printable(exec.argv[0], s->program, sizeof(s->program));
	if (spawn_start(&exec, &s->child, &err) < 0)
		refuse(s, &err);
	else
		set_state(s, S_STARTING, 0);
}

static void start_shutdown(struct session *s, const uint8_t *payload,
			   size_t len)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	struct vc_error err = { 0 };
	uint32_t how;

	if (!vc_bytes_get_le32(&c, &how) || vc_bytes_left(&c) ||
	    how > SHUTDOWN_REBOOT) {
		gone(s, "malformed shutdown request");
		return;
	}
	if (!s->config->can_shutdown) {
		vc_fail(&err, VC_E_SYS, EPERM, "shutdown");
		refuse(s, &err);
		return;
	}
	s->has_shutdown = true;
	s->how = (enum shutdown_how)how;
	finish(s, 0, 0);
	/* a host that does not close must not hold the shutdown up */
	set_state(s, S_CLOSING, SESSION_SHUTDOWN_DELAY_MS);
}

static void get_hello(struct session *s, const uint8_t *payload, size_t len)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	struct vc_error err = { 0 };
	uint32_t version;

	if (!vc_bytes_get_le32(&c, &version)) {
		gone(s, "malformed greeting");
		return;
	}
	if (version != VC_AGENT_VERSION) {
		vc_fail(&err, VC_E_SYS, EPROTONOSUPPORT,
			"protocol version %u, here %d", version,
			VC_AGENT_VERSION);
		refuse(s, &err);
		return;
	}
	s->state = S_REQUEST; /* the deadline stays */
}

static void get_signal(struct session *s, const uint8_t *payload, size_t len)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	uint32_t sig;

	if (!vc_bytes_get_le32(&c, &sig) || vc_bytes_left(&c) || !sig ||
	    sig >= NSIG) {
		gone(s, "malformed signal");
		return;
	}
	if (s->child.pid <= 0)
		return;
	/* before its setsid() the child is not yet the leader of a group */
	if (kill(-s->child.pid, (int)sig) < 0)
		kill(s->child.pid, (int)sig);
}

static void get_credit(struct session *s, const uint8_t *payload, size_t len)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	uint32_t stream, more;
	size_t i;

	if (vc_bytes_get_le32(&c, &stream) && vc_bytes_get_le32(&c, &more) &&
	    !vc_bytes_left(&c))
		for (i = 0; i < VC_ARRAY_SIZE(s->out); i++)
			if (s->out[i].type == stream &&
			    vc_agent_credit_add(&s->out[i].credit, more) ==
				    VC_AGENT_OK)
				return;
	gone(s, "malformed credit");
}

static void get_frame(struct session *s, enum vc_agent_type type,
		      const uint8_t *payload, size_t len)
{
	if (s->state == S_CLOSING) /* what the host sent before it knew */
		return;
	if (s->state == S_HELLO && type == VC_AGENT_HELLO)
		get_hello(s, payload, len);
	else if (s->state == S_REQUEST && type == VC_AGENT_EXEC)
		start_command(s, payload, len);
	else if (s->state == S_REQUEST && type == VC_AGENT_SHUTDOWN)
		start_shutdown(s, payload, len);
	else if (s->state < S_STARTING)
		gone(s, "frame out of order");
	else if (type == VC_AGENT_SIGNAL)
		get_signal(s, payload, len);
	else if (type == VC_AGENT_CREDIT)
		get_credit(s, payload, len);
	else if (type != VC_AGENT_STDIN)
		gone(s, "frame out of order");
	else if (vc_agent_ring_put(&s->input, payload, len) == VC_AGENT_BROKEN)
		gone(s, "input without credit");
}

static void read_socket(struct session *s)
{
	enum vc_agent_status st = VC_AGENT_OK;
	enum vc_agent_type type;
	const uint8_t *payload;
	size_t len;
	uint8_t *to = vc_agent_reader_space(&s->reader, &len);
	ssize_t n = recv(s->config->sock, to, len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		gone(s, NULL);
		return;
	}
	vc_agent_reader_add(&s->reader, (size_t)n);
	while (s->state != S_GONE &&
	       (st = vc_agent_reader_get(&s->reader, &type, &payload, &len)) ==
		       VC_AGENT_OK) {
		get_frame(s, type, payload, len);
		vc_agent_reader_drop(&s->reader);
	}
	if (st == VC_AGENT_BROKEN && s->state != S_GONE)
		gone(s, "malformed frame");
}

static void read_status(struct session *s)
{
	struct vc_error err = { 0 };
	bool is_running;

	if (spawn_status(&s->child, s->program, &is_running, &err) < 0) {
		/* it is past its last report: this does not block for long */
		waitpid(s->child.pid, NULL, 0);
		s->child.pid = 0;
		close_child(s);
		refuse(s, &err);
	} else if (is_running) {
		s->is_started = true;
		set_state(s, S_RUNNING, 0);
	}
}

/* The command was reaped: what is in its pipes now is the end of its output. */
static void limit_output(struct output *o)
{
	int n;

	if (*o->fd < 0)
		return;
	o->is_limited = true;
	if (ioctl(*o->fd, FIONREAD, &n) == 0 && n > 0)
		o->left = (size_t)n;
	else
		vc_close(o->fd);
}

static void reap_child(struct session *s)
{
	size_t i;

	if (s->child.pid <= 0 || s->state == S_GONE ||
	    waitpid(s->child.pid, &s->wait_status, WNOHANG) != s->child.pid)
		return;
	if (s->state == S_STARTING) {
		/* its report, if any, is in the pipe: it takes precedence */
		read_status(s);
		if (s->state == S_CLOSING)
			return;
	}
	s->child.pid = 0;
	vc_close(&s->child.in);
	for (i = 0; i < VC_ARRAY_SIZE(s->out); i++)
		limit_output(&s->out[i]);
	set_state(s, S_ENDED, 0);
}

static void read_signals(struct session *s)
{
	struct signalfd_siginfo si;

	while (read(s->config->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap_child(s);
		else
			gone(s, NULL);
	}
}

static void write_input(struct session *s)
{
	ssize_t n;

	while (s->child.in >= 0 && s->input.used) {
		n = vc_agent_ring_write(&s->input, s->child.in, PIPE_CHUNK);
		if (n < 0 && errno == EAGAIN)
			return;
		/* The command reads no more. No credit is given for what comes,
		 * so the host keeps the rest. */
		if (n < 0)
			vc_close(&s->child.in);
	}
}

static void read_output(struct session *s, struct output *o)
{
	size_t len;
	ssize_t n;
	uint8_t *to = vc_agent_writer_space(&s->writer, &len);

	len = (size_t)vc_min_u64(len, o->credit);
	if (o->is_limited)
		len = (size_t)vc_min_u64(len, o->left);
	if (*o->fd < 0 || !len)
		return;
	n = read(*o->fd, to, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vc_close(o->fd);
		return;
	}
	vc_agent_writer_add(&s->writer, o->type, (size_t)n);
	o->credit -= (uint32_t)n;
	if (o->is_limited) {
		o->left -= (size_t)n;
		if (!o->left)
			vc_close(o->fd);
	}
}

/* What follows from the state alone, without an event. */
static void advance(struct session *s)
{
	bool is_all_sent = true;
	size_t i;

	if (s->state != S_RUNNING && s->state != S_ENDED)
		return;
	if (s->input.is_eof && !s->input.used)
		vc_close(&s->child.in);
	vc_agent_ring_grant(&s->input, &s->writer, VC_AGENT_STDIN);
	for (i = 0; i < VC_ARRAY_SIZE(s->out); i++) {
		struct output *o = &s->out[i];

		if (*o->fd < 0 && !o->is_eof_sent)
			o->is_eof_sent = vc_agent_writer_put(&s->writer,
							     o->type, NULL, 0);
		is_all_sent = is_all_sent && o->is_eof_sent;
	}
	if (s->state != S_ENDED || !is_all_sent)
		return;
	if (WIFSIGNALED(s->wait_status))
		finish(s, 1, (uint32_t)WTERMSIG(s->wait_status));
	else
		finish(s, 0, (uint32_t)WEXITSTATUS(s->wait_status));
}

static void want(struct pollfd *p, bool is_wanted, int fd, short events)
{
	p->fd = is_wanted ? fd : -1;
	p->events = events;
	p->revents = 0;
}

static void poll_set(struct session *s, struct pollfd p[NR_SLOTS])
{
	size_t room, i;

	vc_agent_writer_space(&s->writer, &room);
	want(&p[P_SOCK], true, s->config->sock, POLLIN);
	if (s->writer.used)
		p[P_SOCK].events |= POLLOUT;
	want(&p[P_SIGNALS], true, s->config->signals, POLLIN);
	want(&p[P_STATUS], s->state == S_STARTING, s->child.status, POLLIN);
	want(&p[P_IN], s->state >= S_RUNNING && s->input.used, s->child.in,
	     POLLOUT);
	for (i = 0; i < VC_ARRAY_SIZE(s->out); i++)
		want(&p[P_OUT + i],
		     s->state >= S_RUNNING && s->out[i].credit && room,
		     *s->out[i].fd, POLLIN);
}

static int timeout_ms(const struct session *s)
{
	uint64_t now = vc_now_ns();

	if (!s->deadline_ns)
		return -1;
	if (now >= s->deadline_ns)
		return 0;
	return (int)vc_div_round_up(s->deadline_ns - now, NS_PER_MS);
}

static void step(struct session *s, const struct pollfd p[NR_SLOTS])
{
	size_t i;

	/* signals last: a status report and output come before the exit */
	if (p[P_STATUS].revents)
		read_status(s);
	if (p[P_SOCK].revents & ~POLLOUT)
		read_socket(s);
	if (p[P_IN].revents)
		write_input(s);
	for (i = 0; i < VC_ARRAY_SIZE(s->out); i++)
		if (p[P_OUT + i].revents)
			read_output(s, &s->out[i]);
	if (p[P_SIGNALS].revents)
		read_signals(s);
	if (s->state != S_GONE)
		advance(s);
	if (s->state != S_GONE &&
	    vc_agent_writer_flush(&s->writer, s->config->sock) ==
		    VC_AGENT_BROKEN)
		gone(s, NULL);
}

/* The host went away: the command is told, and after a while it is gone. It is
 * reaped last, so that its process group cannot be somebody else's by then. */
static void hang_up(struct session *s)
{
	struct pollfd p = { .fd = s->config->signals, .events = POLLIN };
	struct signalfd_siginfo si;
	pid_t pid = s->child.pid;
	siginfo_t info = { 0 };

	if (pid <= 0)
		return;
	if (kill(-pid, SIGHUP) < 0)
		kill(pid, SIGHUP);
	kill(-pid, SIGCONT); /* a stopped process gets no SIGHUP */
	set_state(s, S_GONE, s->is_started ? SESSION_HANGUP_GRACE_MS : 1);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid != pid && poll(&p, 1, timeout_ms(s)) != 0)
		while (read(p.fd, &si, sizeof(si)) == sizeof(si))
			;
	if (kill(-pid, SIGKILL) < 0)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	s->child.pid = 0;
}

static int session_init(struct session *s, const struct session_config *config,
			struct vc_error *err)
{
	*s = (struct session){
		.config = config,
		.child = { .in = -1, .out = -1, .err = -1, .status = -1 },
	};
	s->out[0] = (struct output){ .fd = &s->child.out,
				     .type = VC_AGENT_STDOUT,
				     .credit = VC_AGENT_WINDOW };
	s->out[1] = (struct output){ .fd = &s->child.err,
				     .type = VC_AGENT_STDERR,
				     .credit = VC_AGENT_WINDOW };
	set_state(s, S_HELLO, SESSION_REQUEST_TIMEOUT_MS);
	if (vc_agent_reader_init(&s->reader, err) < 0 ||
	    vc_agent_writer_init(&s->writer, err) < 0 ||
	    vc_agent_ring_init(&s->input, err) < 0)
		return -1;
	if (!vc_agent_writer_put_text(&s->writer, VC_AGENT_HELLO,
				      VC_AGENT_VERSION,
				      "vmm-agent " VC_VERSION))
		return vc_fail(err, VC_E_INTERNAL, 0, "session: no room");
	return 0;
}

static void session_fini(struct session *s)
{
	close_child(s);
	vc_agent_reader_fini(&s->reader);
	vc_agent_writer_fini(&s->writer);
	vc_agent_ring_fini(&s->input);
}

int session_run(const struct session_config *config, struct vc_error *err)
{
	struct pollfd p[NR_SLOTS];
	struct session s;
	int ret = session_init(&s, config, err);

	while (ret == 0 && s.state != S_GONE) {
		poll_set(&s, p);
		if (poll(p, NR_SLOTS, timeout_ms(&s)) < 0) {
			if (errno != EINTR)
				ret = vc_fail(err, VC_E_SYS, errno,
					      "session: poll");
			continue;
		}
		step(&s, p);
		if (s.deadline_ns && vc_now_ns() >= s.deadline_ns)
			gone(&s, s.state < S_CLOSING ? "no request" : NULL);
	}
	hang_up(&s);
	session_fini(&s);
	if (ret == 0 && s.has_shutdown)
		ret = shutdown_guest(s.how, err);
	return ret;
}
