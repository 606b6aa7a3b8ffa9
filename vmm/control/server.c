/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each client has one buffer for the line it is sending and one for answers
 * not yet taken. A client that does not take its answers is not read from, so
 * both are bounded; a line over CTL_MAX_LINE ends the connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vmm/control/server.h"
#include "vmm/control/socket.h"

struct client {
	struct vc_watch watch;
	struct ctl_server *server; /* borrowed */
	int fd;			   /* -1: free slot */
	char in[CTL_MAX_LINE];
	size_t in_used;
	char *out; /* owned; NULL when all was sent */
	size_t out_len, out_sent;
};

struct ctl_server {
	struct vc_loop *loop; /* borrowed */
	struct vc_watch watch;
	int fd;
	char *path;
	const struct ctl_method *methods;
	size_t nr_methods;
	void *opaque;
	struct client *clients[CTL_MAX_CLIENTS];
};

static void client_close(struct client *c)
{
	size_t i;

	vc_watch_remove(&c->watch);
	vc_close(&c->fd);
	for (i = 0; i < CTL_MAX_CLIENTS; i++)
		if (c->server->clients[i] == c)
			c->server->clients[i] = NULL;
	free(c->out);
	free(c);
}

static json_t *error_object(int code, const char *text)
{
	return json_pack("{s:i,s:s}", "code", code, "message", text);
}

/* The answer to `id` (borrowed) with a result or an error, both stolen. */
static char *format_answer(json_t *id, json_t *result, json_t *error)
{
	json_t *o = json_pack("{s:s,s:O,s:o*,s:o*}", "jsonrpc", "2.0", "id", id,
			      "result", result, "error", error);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	char *line = text ? realloc(text, len + 2) : NULL;

	json_decref(o);
	if (!line) {
		free(text);
		return NULL;
	}
	line[len] = '\n';
	line[len + 1] = '\0';
	return line;
}

static json_t *call_method(const char *name, json_t *params,
			   const struct ctl_method *methods, size_t nr,
			   void *opaque, json_t **ret_error)
{
	char text[sizeof(((struct vc_error *)0)->msg) + 128];
	struct vc_error err = { VC_E_NONE, 0, "" };
	json_t *result;
	size_t i;

	for (i = 0; i < nr; i++)
		if (!strcmp(methods[i].name, name))
			break;
	if (i == nr) {
		*ret_error = error_object(CTL_E_METHOD, "method not found");
		return NULL;
	}
	result = methods[i].call(opaque, params, &err);
	if (!result)
		*ret_error = error_object(
			err.code == VC_E_ARG ? CTL_E_PARAMS : CTL_E_FAILED,
			vc_error_str(&err, text, sizeof(text)));
	return result;
}

char *ctl_answer(const char *line, size_t len, const struct ctl_method *methods,
		 size_t nr_methods, void *opaque)
{
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *id, *result = NULL, *error = NULL, *null = json_null();
	const char *method, *version;
	char *answer = NULL;

	if (!req)
		return format_answer(null, NULL,
				     error_object(-32700, "parse error"));
	id = json_object_get(req, "id");
	method = json_string_value(json_object_get(req, "method"));
	version = json_string_value(json_object_get(req, "jsonrpc"));
	if (!method || !version || strcmp(version, "2.0") ||
	    (id && !json_is_string(id) && !json_is_number(id) &&
	     !json_is_null(id))) {
		answer = format_answer(null, NULL,
				       error_object(-32600, "invalid request"));
	} else {
		result = call_method(method, json_object_get(req, "params"),
				     methods, nr_methods, opaque, &error);
		if (id) {
			answer = format_answer(id, result, error);
		} else {
			json_decref(result);
			json_decref(error);
		}
	}
	json_decref(req);
	return answer;
}

/* Send what is left; false when the client is gone. */
static bool client_send(struct client *c)
{
	while (c->out) {
		ssize_t n = send(c->fd, c->out + c->out_sent,
				 c->out_len - c->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->out_sent += (size_t)n;
		if (c->out_sent == c->out_len) {
			free(c->out);
			c->out = NULL;
		}
	}
	return true;
}

/* Answer the lines that are complete, stopping when an answer cannot be sent
 * at once. */
static bool client_answer_lines(struct client *c)
{
	struct ctl_server *s = c->server;
	char *end;

	while (!c->out && (end = memchr(c->in, '\n', c->in_used))) {
		size_t len = (size_t)(end - c->in);

		c->out = ctl_answer(c->in, len, s->methods, s->nr_methods,
				    s->opaque);
		c->out_len = c->out ? strlen(c->out) : 0;
		c->out_sent = 0;
		c->in_used -= len + 1;
		memmove(c->in, end + 1, c->in_used);
		if (!client_send(c))
			return false;
	}
	return c->out || c->in_used < sizeof(c->in);
}

static bool client_receive(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_used, sizeof(c->in) - c->in_used,
			 MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	c->in_used += (size_t)n;
	return n > 0;
}

static void on_client(struct vc_watch *w, uint32_t events)
{
	struct client *c = vc_container_of(w, struct client, watch);

	if ((c->out && !client_send(c)) ||
	    ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->out &&
	     !client_receive(c)) ||
	    !client_answer_lines(c)) {
		client_close(c);
		return;
	}
	vc_watch_set_events(w, c->out ? EPOLLOUT : EPOLLIN);
}

static void on_connection(struct vc_watch *w, uint32_t events)
{
	struct ctl_server *s = vc_container_of(w, struct ctl_server, watch);
	vc_auto_fd int fd =
		accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct vc_error err;
	struct client *c;
	size_t i;

	(void)events;
	if (fd < 0)
		return;
	for (i = 0; i < CTL_MAX_CLIENTS && s->clients[i]; i++)
		;
	if (i == CTL_MAX_CLIENTS)
		return; /* refused: the connection is closed */
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->server = s;
	if (vc_watch_add(s->loop, &c->watch, fd, EPOLLIN, on_client, &err) <
	    0) {
		free(c);
		return;
	}
	c->fd = vc_steal_fd(&fd);
	s->clients[i] = c;
}

int ctl_server_new(struct vc_loop *loop, const char *path,
		   const struct ctl_method *methods, size_t nr_methods,
		   void *opaque, struct ctl_server **ret, struct vc_error *err)
{
	struct ctl_server *s = calloc(1, sizeof(*s));

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "control socket");
	s->loop = loop;
	s->methods = methods;
	s->nr_methods = nr_methods;
	s->opaque = opaque;
	s->fd = socket_listen(path, err);
	if (s->fd < 0) {
		free(s);
		return vc_prefix(err, "control socket");
	}
	s->path = strdup(path);
	if (!s->path || vc_watch_add(loop, &s->watch, s->fd, EPOLLIN,
				     on_connection, err) < 0) {
		if (!s->path)
			vc_fail(err, VC_E_SYS, ENOMEM, "control socket");
		unlink(path);
		ctl_server_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

struct ctl_server *ctl_server_free(struct ctl_server *s)
{
	size_t i;

	if (!s)
		return NULL;
	for (i = 0; i < CTL_MAX_CLIENTS; i++)
		if (s->clients[i])
			client_close(s->clients[i]);
	vc_watch_remove(&s->watch);
	vc_close(&s->fd);
	if (s->path)
		unlink(s->path);
	free(s->path);
	free(s);
	return NULL;
}
