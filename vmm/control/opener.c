/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "vmm/control/opener.h"

#define WHAT_MAX 32
#define ANSWER_TIMEOUT_S 30

enum op {
	OP_OPEN = 1,
	OP_REOPEN_DIRECT = 2, /* comes with the descriptor */
};

struct request {
	le32_t op;
	le32_t is_writable;
	char what[WHAT_MAX];
	char path[OPENER_MAX_PATH];
};

/* With a descriptor if and only if `code` is VC_E_NONE. */
struct answer {
	le32_t code, sys;
	char msg[sizeof(((struct vc_error *)NULL)->msg)];
};

/* --- in the device process ------------------------------------------------- */

static int take_answer(int sock, struct vc_error *err)
{
	struct answer a;
	size_t nr_fds;
	ssize_t n;
	int fd = -1;

	n = vc_recv_fds(sock, &a, sizeof(a), 0, &fd, 1, &nr_fds);
	if (n < 0)
		return vc_fail(err, VC_E_SYS,
			       errno == EAGAIN ? ETIMEDOUT : errno,
			       "supervisor: open a file");
	if (n != sizeof(a) ||
	    (le32_get(a.code) == VC_E_NONE) != (nr_fds == 1)) {
		vc_close(&fd);
		return vc_fail(
			err, VC_E_PEER, 0,
			"supervisor: no answer to a question for a file");
	}
	if (nr_fds)
		return fd;
	a.msg[sizeof(a.msg) - 1] = '\0';
	return vc_fail(err, (enum vc_errc)le32_get(a.code),
		       (int)le32_get(a.sys), "%s", a.msg);
}

static int ask(struct vc_disk_opener *o, const struct request *r, int fd,
	       struct vc_error *err)
{
	struct opener_client *c =
		vc_container_of(o, struct opener_client, base);

	if (vc_send_fds(c->fd, r, sizeof(*r), &fd, fd < 0 ? 0 : 1) < 0)
		return vc_fail(err, VC_E_SYS, errno, "supervisor: open a file");
	return take_answer(c->fd, err);
}

static int client_open(struct vc_disk_opener *o, const char *what,
		       const char *path, bool writable, struct vc_error *err)
{
	struct request r = { .op = le32_put(OP_OPEN),
			     .is_writable = le32_put(writable) };
	char shown[80];

	if (strlen(path) >= sizeof(r.path))
		return vc_fail(err, VC_E_LIMIT, 0, "%s '%s...': path too long",
			       what, vc_printable(path, shown, sizeof(shown)));
	snprintf(r.what, sizeof(r.what), "%s", what);
	strcpy(r.path, path);
	return ask(o, &r, -1, err);
}

static int client_reopen(struct vc_disk_opener *o, int fd, bool writable,
			 struct vc_error *err)
{
	struct request r = { .op = le32_put(OP_REOPEN_DIRECT),
			     .is_writable = le32_put(writable) };

	return ask(o, &r, fd, err);
}

void opener_client_init(struct opener_client *c, int fd)
{
	const struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };

	*c = (struct opener_client){
		.base = { .open = client_open, .reopen_direct = client_reopen },
		.fd = fd,
	};
	/* without it an answer is waited for longer: no more than that */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* --- in the supervisor ------------------------------------------------------ */

/* `path` in the folder of the image; malloc'ed. */
static char *in_folder(const char *image, const char *path)
{
	const char *slash = strrchr(image, '/');
	char *joined = NULL;

	if (path[0] == '/' || !slash)
		return strdup(path);
	if (asprintf(&joined, "%.*s%s", (int)(slash + 1 - image), image, path) <
	    0)
		return NULL;
	return joined;
}

static int open_file(struct opener *o, const struct request *r,
		     struct vc_error *err)
{
	vc_auto_free char *path = in_folder(o->image, r->path);
	char what[WHAT_MAX * 4];

	if (!path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	vc_printable(r->what, what, sizeof(what));
	if (!o->may_follow)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s: not allowed without backing=on", what);
	return vc_disk_open_named(what, path,
				  le32_get(r->is_writable) && !o->is_ro, err);
}

/* The descriptor gives no more rights than it has. */
static int reopen(const struct opener *o, const struct request *r, int fd,
		  struct vc_error *err)
{
	bool writable = le32_get(r->is_writable) != 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) ||
	    (writable &&
	     (o->is_ro || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)))
		return vc_fail(err, VC_E_ARG, 0, "open with O_DIRECT");
	return vc_disk_reopen_direct(fd, writable, err);
}

static int serve(struct opener *o, struct request *r, ssize_t n, int fd,
		 struct vc_error *err)
{
	if (n != sizeof(*r))
		return vc_fail(err, VC_E_PEER, 0,
			       "question for a file: a "
			       "packet of another size");
	if (o->nr_files++ >= OPENER_MAX_FILES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "images and their parts: more than %d files",
			       OPENER_MAX_FILES);
	r->what[sizeof(r->what) - 1] = '\0';
	r->path[sizeof(r->path) - 1] = '\0';
	switch (le32_get(r->op)) {
	case OP_OPEN:
		return open_file(o, r, err);
	case OP_REOPEN_DIRECT:
		return reopen(o, r, fd, err);
	default:
		return vc_fail(err, VC_E_PEER, 0,
			       "question for a file: "
			       "unknown operation");
	}
}

static void on_request(struct vc_watch *w, uint32_t events)
{
	struct opener *o = vc_container_of(w, struct opener, watch);
	vc_auto_fd int with = -1, fd = -1;
	struct answer a = { 0 };
	struct vc_error err;
	struct request r;
	size_t nr_fds;
	ssize_t n;

	(void)events;
	n = vc_recv_fds(o->fd, &r, sizeof(r), MSG_DONTWAIT | MSG_TRUNC, &with,
			1, &nr_fds);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		opener_fini(o); /* it needs no more */
		return;
	}
	fd = serve(o, &r, n, nr_fds ? with : -1, &err);
	if (fd < 0) {
		a.code = le32_put(err.code);
		a.sys = le32_put((uint32_t)err.sys);
		memcpy(a.msg, err.msg, sizeof(a.msg));
	}
	if (vc_send_fds(o->fd, &a, sizeof(a), &fd, fd < 0 ? 0 : 1) < 0)
		opener_fini(o);
}

void opener_init(struct opener *o, int fd, const char *image, bool is_ro,
		 bool may_follow)
{
	*o = (struct opener){ .fd = fd,
			      .image = image,
			      .is_ro = is_ro,
			      .may_follow = may_follow };
}

void opener_fini(struct opener *o)
{
	vc_watch_remove(&o->watch);
	vc_close(&o->fd);
}

int opener_start(struct opener *o, struct vc_loop *loop, struct vc_error *err)
{
	/* a process that reads no answers must not stop the supervisor */
	if (vc_set_nonblock(o->fd, err) < 0)
		return -1;
	return vc_watch_add(loop, &o->watch, o->fd, EPOLLIN, on_request, err);
}
