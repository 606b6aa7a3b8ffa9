/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive that cannot write back what it was given: one sync of a file fails,
 * and takes with it what was written since the one before, as Linux does, which
 * tells of it once and calls the pages clean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"
#include "disk/disk.h"

#define BYTES (1u << 20)
#define WRITE_BYTES 10000
#define NR_WRITES 24

enum { RAW, QCOW2, LAZY, DATA_FILE, NR_KINDS };

static struct vc_error err;

/* --- the drive ------------------------------------------------------------ */

struct undo {
	int fd;
	uint64_t offset, len;
	struct undo *next;
	uint8_t old[];
};

static struct undo *undos; /* the last one first */
static unsigned nr_syncs, fail_at;

static void remember(const struct eng_io *io)
{
	struct undo *u = calloc(1, sizeof(*u) + io->len);

	ck_assert_ptr_nonnull(u);
	u->fd = io->fd;
	u->offset = io->offset;
	u->len = io->len;
	/* behind the end, zeroes */
	ck_assert_int_ge(pread(io->fd, u->old, u->len, (off_t)u->offset), 0);
	u->next = undos;
	undos = u;
}

/* What was written to the file is on the medium, or never was. */
static void forget(int fd, bool lose)
{
	struct undo **at = &undos, *u;

	while ((u = *at)) {
		if (fd >= 0 && u->fd != fd) {
			at = &u->next;
			continue;
		}
		if (lose)
			ck_ok(vc_pwrite_full(u->fd, u->old, u->len, u->offset),
			      &err);
		*at = u->next;
		free(u);
	}
}

static int drive(const struct eng_io *io)
{
	if (io->op == ENG_WRITE)
		remember(io);
	if (io->op != ENG_SYNC)
		return 0;
	forget(io->fd, ++nr_syncs == fail_at);
	return nr_syncs == fail_at ? -EIO : 0;
}

/* --- the disk ------------------------------------------------------------- */

struct drive_test {
	struct image im;
	int kind;
	uint8_t *durable; /* as of the last flush */
	uint8_t *touched; /* since: may be old or new */
	bool has_failed;
};

static void reopen(struct drive_test *t)
{
	struct image *im = &t->im;
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.io = VC_DISK_IO_SYNC };

	im->open.io = VC_DISK_IO_SYNC;
	if (t->kind == RAW)
		im->open.format = VC_DISK_FORMAT_RAW;
	if (t->kind == DATA_FILE)
		ck_ok(vc_disk_open_fd(dup(im->opts.data_fd), &oo, NULL,
				      &im->open.data_file, &err),
		      &err);
	image_open(im, NULL);
}

static void begin(struct drive_test *t, int kind)
{
	struct image *im = &t->im;

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	image_create(im, BYTES, 4096, 16, 3, 1);
	im->opts.lazy_refcounts = kind == LAZY;
	if (kind == RAW)
		im->opts = (struct vc_disk_create_opts){
			.format = VC_DISK_FORMAT_RAW, .size_bytes = BYTES
		};
	if (kind == DATA_FILE) {
		im->opts.data_file = "data";
		im->opts.data_fd = memfd_create("data", MFD_CLOEXEC);
	}
	ck_assert_int_eq(ftruncate(im->fd, 0), 0);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
	reopen(t);
	t->durable = calloc(1, BYTES);
	t->touched = calloc(1, BYTES);
	ck_assert(t->durable && t->touched);
	nr_syncs = 0;
}

static void end(struct drive_test *t)
{
	if (t->kind == DATA_FILE)
		close(t->im.opts.data_fd);
	free(t->durable);
	free(t->touched);
	image_fini(&t->im);
	forget(-1, false);
}

/* With FUA if it is to be durable. Returns 0 or an errno. */
struct waited {
	struct vc_disk_req req;
	int error;
};

static void waited_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	vc_container_of(req, struct waited, req)->error =
		vc_disk_status_errno(status);
}

static int write_at(struct drive_test *t, uint64_t at, const uint8_t *buf,
		    bool fua)
{
	struct iovec iov = { (void *)(uintptr_t)buf, WRITE_BYTES };
	struct waited w = { .req = { .op = VC_DISK_WRITE,
				     .flags = fua ? VC_DISK_REQ_FUA : 0,
				     .offset_bytes = at,
				     .length_bytes = WRITE_BYTES,
				     .iov = &iov,
				     .nr_iov = 1,
				     .done = waited_done } };

	vc_disk_submit(t->im.disk, &w.req);
	vc_disk_drain(t->im.disk);
	memcpy(t->im.model + at, buf, WRITE_BYTES);
	memset(t->touched + at, 1, WRITE_BYTES);
	return w.error;
}

static void step(struct drive_test *t, unsigned i)
{
	uint64_t at = image_random(&t->im) % (BYTES - WRITE_BYTES);
	static uint8_t buf[WRITE_BYTES];
	bool fua = i % 3 == 2;
	int error;

	memset(buf, (int)i + 1, sizeof(buf));
	error = write_at(t, at, buf, fua);
	if (!fua && vc_disk_flush(t->im.disk, &err) < 0)
		error = err.sys;
	/* once is for ever */
	if (t->has_failed)
		ck_assert_int_eq(error, EIO);
	if (error) {
		ck_assert_int_eq(error, EIO);
		t->has_failed = true;
	} else {
		memcpy(t->durable, t->im.model, BYTES);
		memset(t->touched, 0, BYTES);
	}
}

static void verify(struct drive_test *t)
{
	vc_auto_free uint8_t *buf = malloc(BYTES);
	struct vc_disk_check chk = { 0 };
	uint32_t i;

	ck_assert_ptr_nonnull(buf);
	reopen(t); /* which mends what was lazy */
	ck_ok(vc_disk_read(t->im.disk, 0, buf, BYTES, &err), &err);
	for (i = 0; i < BYTES; i++)
		if (!t->touched[i] && buf[i] != t->durable[i])
			ck_abort_msg("lost at %u", i);
	t->im.disk = vc_disk_drop(t->im.disk);
	if (t->kind == RAW)
		return;
	ck_ok(vc_disk_check_fd(t->im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
	      &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
}

/* Whichever sync it is: no later flush succeeds, nor closing; what an earlier
 * one had made durable is there, and the image is consistent. */
START_TEST(failed_sync_stays)
{
	bool reached = true;

	engine_inject = drive;
	for (fail_at = 1; reached; fail_at++) {
		struct drive_test t;
		unsigned i;
		int closed;

		begin(&t, _i);
		for (i = 0; i < NR_WRITES; i++)
			step(&t, i);
		closed = vc_disk_close(t.im.disk, &err);
		reached = nr_syncs >= fail_at;
		ck_assert_int_eq(closed, reached ? -1 : 0);
		t.im.disk = NULL;
		if (!reached)
			ck_assert_uint_gt(fail_at, NR_WRITES);
		else
			verify(&t);
		end(&t);
	}
	engine_inject = NULL;
}
END_TEST

TEST_SUITE(suite_sync)
{
	Suite *s = suite_create("disk/sync");

	tcase_add_loop_test(test_case(s, "sync"), failed_sync_stays, 0,
			    NR_KINDS);
	return s;
}
