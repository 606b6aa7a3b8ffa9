/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The io_uring engine. The ring is made disabled, told which operations it
 * will ever take, and then enabled: a process that is taken over later cannot
 * use it to open files or sockets past its system call filter. After that only
 * io_uring_enter is called.
 *
 * What does not fit in the submission ring waits in `waiting`; no more than
 * the completion ring holds is ever in the kernel, so completions cannot be
 * dropped.
 *
 * A kernel may cancel what it was given: some do when the thread ends that gave
 * it, all do where a limit of the host (of processes, RLIMIT_NPROC) leaves them
 * no thread to do it with, and would again. Then it is done by system calls.
 */
#include <errno.h>
#include <limits.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "disk/engine.h"

#define URING_ENTRIES 256 /* submissions; completions are twice that */

struct uring_engine {
	struct engine base;
	struct io_uring ring;
	bool has_ring;
	unsigned nr_in_kernel;
	unsigned max_in_kernel;
	struct eng_queue waiting;
};

static struct uring_engine *to_uring(struct engine *e)
{
	return vc_container_of(e, struct uring_engine, base);
}

static void prepare(struct io_uring_sqe *sqe, struct eng_io *io)
{
	unsigned nr = (unsigned)(io->nr_iov < IOV_MAX ? io->nr_iov : IOV_MAX);

	switch (io->op) {
	case ENG_READ:
		io_uring_prep_readv(sqe, io->fd, io->iov, nr, io->offset);
		break;
	case ENG_WRITE:
		io_uring_prep_writev(sqe, io->fd, io->iov, nr, io->offset);
		break;
	case ENG_SYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case ENG_FALLOCATE:
		io_uring_prep_fallocate(sqe, io->fd, io->mode,
					(off_t)io->offset, (off_t)io->len);
		break;
	case ENG_SHARE:
		break; /* does not come here */
	}
	io_uring_sqe_set_data(sqe, io);
}

/* Move what waits into the submission ring, as far as there is room. */
static void fill(struct uring_engine *u)
{
	while (u->waiting.head && u->nr_in_kernel < u->max_in_kernel) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

		if (!sqe)
			return;
		prepare(sqe, eng_queue_get(&u->waiting));
		u->nr_in_kernel++;
	}
}

static void uring_submit(struct engine *e, struct eng_io *io)
{
	eng_queue_put(&to_uring(e)->waiting, io);
}

static void uring_kick(struct engine *e)
{
	struct uring_engine *u = to_uring(e);

	for (;;) {
		int n;

		fill(u);
		if (!io_uring_sq_ready(&u->ring))
			return;
		n = io_uring_submit(&u->ring);
		/* EBUSY, EAGAIN: the kernel wants completions reaped, or
		 * memory: what is in the ring goes with the next kick */
		if (n <= 0 && n != -EINTR) {
			engine_wake(e);
			return;
		}
	}
}

static void take(struct uring_engine *u, struct io_uring_cqe *cqe)
{
	struct eng_io *io = io_uring_cqe_get_data(cqe);
	int res = cqe->res;

	io_uring_cqe_seen(&u->ring, cqe);
	u->nr_in_kernel--;
	if (res == -ECANCELED)
		eng_io_run(io);
	if (res == -ECANCELED || eng_io_advance(io, res))
		eng_queue_put(&u->base.finished, io);
	else
		eng_queue_put(&u->waiting, io);
}

static bool take_ready(struct uring_engine *u)
{
	struct io_uring_cqe *cqe;
	bool any = false;

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		take(u, cqe);
		any = true;
	}
	return any;
}

static void uring_reap(struct engine *e, bool wait)
{
	struct uring_engine *u = to_uring(e);
	struct io_uring_cqe *cqe;

	for (;;) {
		uring_kick(e);
		if (take_ready(u) && u->waiting.head)
			continue; /* there is room in the kernel again */
		if (!wait || e->finished.head)
			return;
		if (u->nr_in_kernel && io_uring_wait_cqe(&u->ring, &cqe) == 0)
			take(u, cqe);
	}
}

static void uring_free(struct engine *e)
{
	struct uring_engine *u = to_uring(e);

	if (u->has_ring)
		io_uring_queue_exit(&u->ring);
	vc_close(&e->event_fd);
	free(u);
}

static const struct engine_ops uring_ops = { "io_uring", uring_submit,
					     uring_kick, uring_reap,
					     uring_free };

/* The library has functions for these, but its shared object on Debian 12 does
 * not export them. */
static int register_ring(struct io_uring *ring, unsigned what, void *arg,
			 unsigned nr)
{
	long ret =
		syscall(__NR_io_uring_register, ring->ring_fd, what, arg, nr);

	return ret < 0 ? -errno : 0;
}

static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t opcodes[] = { IORING_OP_READV, IORING_OP_WRITEV,
					   IORING_OP_FSYNC,
					   IORING_OP_FALLOCATE };
	struct io_uring_restriction r[VC_ARRAY_SIZE(opcodes)];
	size_t i;
	int ret;

	memset(r, 0, sizeof(r));
	for (i = 0; i < VC_ARRAY_SIZE(opcodes); i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = opcodes[i];
	}
	ret = register_ring(ring, IORING_REGISTER_RESTRICTIONS, r,
			    (unsigned)VC_ARRAY_SIZE(opcodes));
	return ret < 0 ? ret
		       : register_ring(ring, IORING_REGISTER_ENABLE_RINGS, NULL,
				       0);
}

static int set_up(struct uring_engine *u, struct vc_error *err)
{
	struct io_uring_params p;
	int ret;

	memset(&p, 0, sizeof(p));
	p.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP;
	ret = io_uring_queue_init_params(URING_ENTRIES, &u->ring, &p);
	if (ret < 0)
		return vc_fail(err, VC_E_SYS, -ret, "io_uring");
	u->has_ring = true;
	u->max_in_kernel = p.cq_entries;
	ret = io_uring_register_eventfd(&u->ring, u->base.event_fd);
	if (ret == 0)
		ret = restrict_ring(&u->ring);
	if (ret < 0)
		return vc_fail(err, VC_E_SYS, -ret, "io_uring: restrict");
	return 0;
}

int uring_engine_new(struct engine **ret, struct vc_error *err)
{
	struct uring_engine *u = calloc(1, sizeof(*u));

	if (!u)
		return vc_fail(err, VC_E_SYS, ENOMEM, "disk engine");
	u->base.ops = &uring_ops;
	u->base.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->base.event_fd < 0) {
		free(u);
		return vc_fail(err, VC_E_SYS, errno, "eventfd");
	}
	if (set_up(u, err) < 0) {
		uring_free(&u->base);
		return -1;
	}
	*ret = &u->base;
	return 0;
}
