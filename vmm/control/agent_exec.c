/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror image of the agent's session: one poll loop over the socket, a
 * signalfd and our own stdin, stdout and stderr. These are shared with other
 * processes, so they are not made non-blocking: a descriptor is used only after
 * poll, and written in pieces that then fit without blocking.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "vmm/control/agent_client.h"

#define FILE_CHUNK (64 * 1024)

enum slot { P_SOCK, P_SIGNALS, P_IN, P_OUT, P_ERR, NR_SLOTS };

/* stdout or stderr of the command, on its way to ours */
struct sink {
	struct vc_agent_ring ring;
	enum vc_agent_type type;
	const char *name;
	int fd;
	size_t chunk; /* what can be written without blocking after poll */
};

struct exec {
	struct agent_client *client;
	const struct agent_io *io;
	struct agent_result *result;
	struct sink sinks[2];
	uint32_t credit; /* for our stdin */
	bool is_in_open;
	bool is_done; /* the guest's last frame is here */
};

static int broken(const char *what, struct vc_error *err)
{
	return vc_fail(err, VC_E_PEER, 0, "agent: %s", what);
}

static int get_end(struct exec *x, enum vc_agent_type type,
		   const uint8_t *payload, size_t len, struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	uint32_t first, number;

	x->is_done = true;
	if (!vc_bytes_get_le32(&c, &first))
		return broken("malformed last frame", err);
	if (type == VC_AGENT_ERROR) {
		x->result->outcome = AGENT_NOT_RUN;
		x->result->number = first <= INT_MAX ? (int)first : 0;
		agent_error_text(payload, len, x->result->text);
		return 0;
	}
	if (!vc_bytes_get_le32(&c, &number) || vc_bytes_left(&c) || first > 1 ||
	    number > (first ? NSIG : 255))
		return broken("malformed exit status", err);
	x->result->outcome = first ? AGENT_KILLED : AGENT_EXITED;
	x->result->number = (int)number;
	return 0;
}

static int get_frame(struct exec *x, enum vc_agent_type type,
		     const uint8_t *payload, size_t len, struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	uint32_t stream, more;
	size_t i;

	if (type == VC_AGENT_EXIT || type == VC_AGENT_ERROR)
		return get_end(x, type, payload, len, err);
	for (i = 0; i < VC_ARRAY_SIZE(x->sinks); i++)
		if (type == x->sinks[i].type) {
			if (vc_agent_ring_put(&x->sinks[i].ring, payload,
					      len) == VC_AGENT_OK)
				return 0;
			return broken("output without credit", err);
		}
	if (type == VC_AGENT_CREDIT && vc_bytes_get_le32(&c, &stream) &&
	    vc_bytes_get_le32(&c, &more) && !vc_bytes_left(&c) &&
	    stream == VC_AGENT_STDIN &&
	    vc_agent_credit_add(&x->credit, more) == VC_AGENT_OK)
		return 0;
	return broken("unexpected frame", err);
}

static int read_socket(struct exec *x, struct vc_error *err)
{
	struct vc_agent_reader *r = &x->client->reader;
	enum vc_agent_status st = VC_AGENT_OK;
	enum vc_agent_type type;
	const uint8_t *payload;
	size_t len;
	uint8_t *to = vc_agent_reader_space(r, &len);
	ssize_t n = recv(x->client->fd, to, len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "agent: receive");
	if (n == 0)
		return vc_fail(err, VC_E_PEER, 0,
			       "agent: connection lost before the command "
			       "ended");
	vc_agent_reader_add(r, (size_t)n);
	while (!x->is_done && (st = vc_agent_reader_get(r, &type, &payload,
							&len)) == VC_AGENT_OK) {
		if (get_frame(x, type, payload, len, err) < 0)
			return -1;
		vc_agent_reader_drop(r);
	}
	return st == VC_AGENT_BROKEN ? broken("malformed frame", err) : 0;
}

static void read_input(struct exec *x)
{
	struct vc_agent_writer *w = &x->client->writer;
	size_t len;
	uint8_t *to = vc_agent_writer_space(w, &len);
	ssize_t n;

	len = (size_t)vc_min_u64(len, x->credit);
	if (!len)
		return;
	n = read(x->io->in, to, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* a stdin that cannot be read is an empty one, as for any program */
	x->is_in_open = n > 0;
	n = n > 0 ? n : 0;
	vc_agent_writer_add(w, VC_AGENT_STDIN, (size_t)n);
	x->credit -= (uint32_t)n;
}

static int write_output(struct sink *s, struct vc_error *err)
{
	if (vc_agent_ring_write(&s->ring, s->fd, s->chunk) < 0 &&
	    errno != EAGAIN)
		return vc_fail(err, VC_E_SYS, errno, "%s: write", s->name);
	return 0;
}

static void read_signals(struct exec *x)
{
	struct signalfd_siginfo si;

	/* control frames have their room; one that does not fit, because the
	 * agent reads nothing, has no one to act on it either */
	while (read(x->io->signals, &si, sizeof(si)) == sizeof(si))
		if (!vc_agent_writer_put_u32(&x->client->writer,
					     VC_AGENT_SIGNAL, si.ssi_signo))
			return;
}

static void want(struct pollfd *p, bool is_wanted, int fd, short events)
{
	p->fd = is_wanted ? fd : -1;
	p->events = events;
	p->revents = 0;
}

static void poll_set(struct exec *x, struct pollfd p[NR_SLOTS])
{
	size_t room, i;

	vc_agent_writer_space(&x->client->writer, &room);
	want(&p[P_SOCK], !x->is_done, x->client->fd, POLLIN);
	if (x->client->writer.used)
		p[P_SOCK].events |= POLLOUT;
	want(&p[P_SIGNALS], !x->is_done, x->io->signals, POLLIN);
	want(&p[P_IN], !x->is_done && x->is_in_open && x->credit && room,
	     x->io->in, POLLIN);
	for (i = 0; i < VC_ARRAY_SIZE(x->sinks); i++)
		want(&p[P_OUT + i], x->sinks[i].ring.used != 0, x->sinks[i].fd,
		     POLLOUT);
}

static int step(struct exec *x, const struct pollfd p[NR_SLOTS],
		struct vc_error *err)
{
	size_t i;

	if (p[P_SOCK].revents & ~POLLOUT && read_socket(x, err) < 0)
		return -1;
	if (p[P_SIGNALS].revents)
		read_signals(x);
	if (p[P_IN].revents)
		read_input(x);
	for (i = 0; i < VC_ARRAY_SIZE(x->sinks); i++) {
		struct sink *s = &x->sinks[i];

		if (p[P_OUT + i].revents && write_output(s, err) < 0)
			return -1;
		vc_agent_ring_grant(&s->ring, &x->client->writer, s->type);
	}
	/* a broken connection shows when it is read; what it still holds is
	 * output of the command */
	if (!x->is_done)
		vc_agent_writer_flush(&x->client->writer, x->client->fd);
	return 0;
}

static bool has_output(const struct exec *x)
{
	return x->sinks[0].ring.used || x->sinks[1].ring.used;
}

/* What arrived before the connection failed is still the command's output. */
static void drain(struct exec *x)
{
	struct vc_error ignored;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(x->sinks); i++)
		while (x->sinks[i].ring.used)
			if (write_output(&x->sinks[i], &ignored) < 0)
				break;
}

static int carry(struct exec *x, struct vc_error *err)
{
	struct pollfd p[NR_SLOTS];

	while (!x->is_done || has_output(x)) {
		poll_set(x, p);
		if (poll(p, NR_SLOTS, -1) < 0) {
			if (errno == EINTR)
				continue;
			return vc_fail(err, VC_E_SYS, errno, "agent: poll");
		}
		if (step(x, p, err) < 0) {
			if (err->code == VC_E_PEER)
				drain(x);
			return -1;
		}
	}
	return 0;
}

static int sink_init(struct sink *s, enum vc_agent_type type, const char *name,
		     int fd, struct vc_error *err)
{
	struct stat st;

	s->type = type;
	s->name = name;
	s->fd = fd;
	/* POLLOUT says of a pipe that it takes PIPE_BUF bytes */
	s->chunk = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? FILE_CHUNK
							      : PIPE_BUF;
	return vc_agent_ring_init(&s->ring, err);
}

static int send_request(struct exec *x, const struct vc_agent_exec *exec,
			struct vc_error *err)
{
	struct vc_agent_writer *w = &x->client->writer;
	size_t size, len;
	uint8_t *to = vc_agent_writer_space(w, &size);

	if (vc_agent_exec_encode(exec, to, size, &len, err) < 0)
		return -1;
	vc_agent_writer_add(w, VC_AGENT_EXEC, len);
	x->is_in_open = x->io->in >= 0;
	if (!x->is_in_open && !vc_agent_writer_put(w, VC_AGENT_STDIN, NULL, 0))
		return vc_fail(err, VC_E_INTERNAL, 0, "agent: no room");
	return 0;
}

int agent_exec(struct agent_client *c, const struct vc_agent_exec *exec,
	       const struct agent_io *io, struct agent_result *ret,
	       struct vc_error *err)
{
	struct exec x = {
		.client = c, .io = io, .result = ret, .credit = VC_AGENT_WINDOW
	};
	int failed = -1;

	if (sink_init(&x.sinks[0], VC_AGENT_STDOUT, "standard output", io->out,
		      err) == 0 &&
	    sink_init(&x.sinks[1], VC_AGENT_STDERR, "standard error", io->err,
		      err) == 0 &&
	    send_request(&x, exec, err) == 0)
		failed = carry(&x, err);
	vc_agent_ring_fini(&x.sinks[0].ring);
	vc_agent_ring_fini(&x.sinks[1].ring);
	return failed;
}
