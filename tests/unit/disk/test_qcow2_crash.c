/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is left when the writers die. A child has several threads with a queue
 * each on one disk: they write blocks, many at a time, compressed ones among them
 * where a cluster is a block, with zeroing (which releases clusters for others to
 * take), and flush now and then while the others go on. It is killed at a random
 * moment; then the image has no corruption and each block is at least as new as
 * its last flush. See writers.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "disk/engine.h"
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"
#include "tests/unit/disk/writers.h"

#define BLOCK WRITERS_BLOCK
#define DISK_BYTES WRITERS_BYTES
#define KILLS 12 /* of each kind of image, with each engine */

static const struct {
	uint32_t cluster;
	unsigned refcount_bits, version;
	bool extended, lazy, data_file;
	enum vc_disk_compression compression;
} shapes[] = {
	{ 65536, 16, 3, false, false, false, 0 },
	{ 4096, 16, 3, false, false, false, VC_DISK_ZSTD },
	{ 4096, 2, 3, false, true, false, VC_DISK_ZLIB },
	{ 512, 1, 3, false, false, false, 0 },
	{ 65536, 16, 2, false, false, false, 0 },
	{ 65536, 16, 3, true, false, false, 0 },
	{ 16384, 64, 3, true, true, false, 0 },
	{ 65536, 16, 3, false, false, true, 0 },
	{ 65536, 16, 3, true, true, true, 0 },
};

static struct vc_error err;
static struct vc_disk_compressor *compressor;
static int data_fd;

/* --- the parent --------------------------------------------------------- */

/* Another program's opinion, where it is installed. */
static void ask_qemu(const struct image *im)
{
	char command[160];
	int status;

	if (data_fd >= 0)
		return; /* it would look for a file of that name */
	snprintf(command, sizeof(command),
		 "qemu-img check -q -f qcow2 /proc/%d/fd/%d >/dev/null 2>&1",
		 (int)getpid(), im->fd);
	status = system(command);
	ck_assert(WIFEXITED(status));
	/* 0 clean, 3 leaks, 127 not there */
	ck_assert_msg(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3 ||
			      WEXITSTATUS(status) == 127,
		      "qemu-img check: %d", WEXITSTATUS(status));
}

static void open_it(struct image *im)
{
	struct vc_disk_open_opts oo = im->open;

	oo.data_file = NULL;
	oo.format = VC_DISK_FORMAT_RAW;
	im->open.data_file = NULL;
	if (data_fd >= 0)
		ck_ok(vc_disk_open_fd(dup(data_fd), &oo, NULL,
				      &im->open.data_file, &err),
		      &err);
	image_open(im, NULL);
}

static void verify(struct image *im, struct writers_book *book, int shape,
		   bool ask)
{
	struct vc_disk_check chk = { 0 };

	if (shapes[shape].lazy) { /* repairs it */
		open_it(im);
		im->disk = vc_disk_drop(im->disk);
	}
	if (ask)
		ask_qemu(im);
	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	open_it(im);
	writers_verify(book, im->disk,
		       shapes[shape].cluster /
			       (shapes[shape].extended ? 32 : 1));
	im->disk = vc_disk_drop(im->disk);
}

static void make_shape(struct image *im, int shape, int engine)
{
	image_create(im, DISK_BYTES, shapes[shape].cluster,
		     shapes[shape].refcount_bits, shapes[shape].version,
		     engine);
	im->opts.extended_l2 = shapes[shape].extended;
	im->opts.lazy_refcounts = shapes[shape].lazy;
	im->opts.compression = shapes[shape].compression;
	data_fd = -1;
	if (shapes[shape].data_file) {
		data_fd = memfd_create("data", MFD_CLOEXEC);
		im->opts.data_file = "data";
		im->opts.data_fd = data_fd;
	}
	ck_assert_int_eq(ftruncate(im->fd, 0), 0);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
}

static bool has_completed(const struct writers_book *book,
			  const struct writers *w)
{
	uint32_t b;

	for (b = 0; b < WRITERS_BLOCKS; b++)
		if (book->completed[b] > w->number * WRITERS_SEQS)
			return true;
	return false;
}

/* At a random moment after the start, or after something was completed: on a
 * busy machine the first would meet few writes. Returns whether anything was. */
static bool kill_writers(struct image *im, struct writers_book *book,
			 struct writers *w)
{
	pid_t pid = fork();
	unsigned i;
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		open_it(im);
		w->disk = im->disk;
		writers_run(w);
		_exit(1);
	}
	for (i = 0; w->number % 4 && i < 5000 && !has_completed(book, w); i++)
		usleep(1000);
	usleep(image_random(im) % 20000);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "status %x", status);
	return has_completed(book, w);
}

START_TEST(killed_writers_lose_nothing)
{
	int shape = _i / NR_ENGINES, engine = _i % NR_ENGINES;
	unsigned nr = writers_rounds(KILLS), nr_busy = 0, round;
	struct writers_book *book = writers_book_new();
	struct image im;

	make_shape(&im, shape, engine);
	im.seed = writers_seed("killed_writers_lose_nothing");
	for (round = 1; round <= nr; round++) {
		struct writers w = { .book = book,
				     .number = round,
				     .seed = image_random(&im),
				     .compression = shapes[shape].compression };

		nr_busy += kill_writers(&im, book, &w);
		verify(&im, book, shape, round % 4 == 0);
	}
	printf("killed %u times, %u of them in the middle of writes\n", nr,
	       nr_busy);
	ck_assert_uint_ge(nr_busy, nr / 2);
	if (data_fd >= 0)
		close(data_fd);
	image_fini(&im);
	writers_book_free(book);
}
END_TEST

/* --- errors of the host ------------------------------------------------- */

static _Atomic unsigned nr_ops;
static unsigned fail_from, fail_to;
static int fail_with;

static int inject(const struct eng_io *io)
{
	unsigned n = nr_ops++;

	/* a sync that failed is for good */
	if (io->op == ENG_READ || (io->op == ENG_SYNC && fail_to != UINT32_MAX))
		return 0;
	return n >= fail_from && n < fail_to ? -fail_with : 0;
}

struct packed_write {
	struct vc_disk_req req;
	int error;
};

static void packed_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct packed_write *w = vc_container_of(req, struct packed_write, req);

	w->error = vc_disk_status_errno(status);
}

/* A cluster that compresses to almost nothing. Returns 0 or an errno. */
static int write_packed(struct image *im, uint64_t at, const uint8_t *buf)
{
	uint8_t packed[BLOCK];
	struct iovec iov = { packed, vc_disk_compress(compressor, buf, BLOCK,
						      packed, BLOCK - 1) };
	struct packed_write w = {
		.req = { .op = VC_DISK_WRITE_COMPRESSED,
			 .offset_bytes = at,
			 .length_bytes = iov.iov_len,
			 .iov = &iov,
			 .nr_iov = 1,
			 .done = packed_done },
	};

	ck_assert_uint_gt(iov.iov_len, 0);
	vc_disk_submit(im->disk, &w.req);
	vc_disk_drain(im->disk);
	return w.error;
}

/* The same writes with the disk full from operation `fail_from` to `fail_to`:
 * what was refused is tried again later. */
static void write_with_errors(struct image *im, size_t len, bool retry)
{
	static uint8_t buf[100000];
	unsigned i;

	for (i = 0; i < 40; i++) {
		uint64_t at = image_random(im) % (DISK_BYTES - len);
		bool zero = i % 5 == 4, ok;

		memset(buf, zero ? 0 : (int)(i + 1), len);
		if (compressor && i % 3 == 1) {
			at = at / BLOCK * BLOCK;
			while ((err.sys = write_packed(im, at, buf)) && retry)
				ck_assert_int_eq(err.sys, fail_with);
			memcpy(im->model + at, buf, BLOCK);
			continue;
		}
		do
			ok = (zero ? vc_disk_zero(im->disk, at, len, &err)
				   : vc_disk_write(im->disk, at, buf, len,
						   &err)) == 0;
		while (!ok && retry);
		if (!ok)
			ck_assert_int_eq(err.sys, fail_with);
		memcpy(im->model + at, buf, len);
		if (i % 8 == 7)
			while (vc_disk_flush(im->disk, &err) < 0 && retry)
				ck_assert_int_eq(err.sys, fail_with);
	}
}

/* Of each kind. */
static void make_image(struct image *im, int kind)
{
	image_create(im, DISK_BYTES, kind == 1 ? 16384u : 4096u, 16, 3, 1);
	im->opts.extended_l2 = kind == 1;
	im->opts.lazy_refcounts = kind == 2;
	data_fd = -1;
	if (kind == 3) {
		data_fd = memfd_create("data", MFD_CLOEXEC);
		im->opts.data_file = "data";
		im->opts.data_fd = data_fd;
	}
	if (kind == 4)
		ck_ok(vc_disk_compressor_new(VC_DISK_ZLIB, 1, &compressor,
					     &err),
		      &err);
	ck_assert_int_eq(ftruncate(im->fd, 0), 0);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
	open_it(im);
}

static void unmake_image(struct image *im)
{
	image_fini(im);
	compressor = vc_disk_compressor_free(compressor);
	if (data_fd >= 0)
		close(data_fd);
}

START_TEST(full_disk_passes)
{
	unsigned from, len;

	engine_inject = inject;
	fail_with = _i % 2 ? EIO : ENOSPC;
	for (from = (unsigned)_i % 2; from < 120; from += 2)
		for (len = 1; len < 8; len += 3) {
			struct image im;

			make_image(&im, _i / 2);
			nr_ops = 0;
			fail_from = from;
			fail_to = from + len;
			write_with_errors(&im, 10000, true);
			fail_to = 0;
			image_compare(&im);
			image_close(&im);
			unmake_image(&im);
		}
	engine_inject = NULL;
}
END_TEST

/* The image has a refcount table of one cluster, which is soon too small; the
 * rest of what was its table is leaked. Returns how much that is. */
static uint64_t shrink_reftable(struct image *im)
{
	be32_t be;
	uint64_t nr;

	ck_assert_int_eq(vc_pread_full(im->fd, &be, 4, 56), 0);
	nr = be32_get(be);
	be = be32_put(1);
	ck_assert_int_eq(vc_pwrite_full(im->fd, &be, 4, 56), 0);
	return nr - 1;
}

START_TEST(refcount_table_grows)
{
	struct vc_disk_check chk = { 0 };
	struct image im;
	uint64_t leaks;

	image_create(&im, DISK_BYTES, 512, 64, 3, 0);
	leaks = shrink_reftable(&im);
	ck_assert_uint_gt(leaks, 0);
	image_open(&im, NULL);
	memset(im.model, 0x42, DISK_BYTES);
	ck_ok(vc_disk_write(im.disk, 0, im.model, DISK_BYTES, &err), &err);
	image_compare(&im);
	ck_ok(vc_disk_close(im.disk, &err), &err);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	ck_assert_uint_eq(chk.nr_leaks, leaks);
	image_open(&im, NULL);
	image_compare(&im);
	im.disk = vc_disk_drop(im.disk);
	image_fini(&im);
}
END_TEST

/* The same for the other kinds of image. */
START_TEST(stops_anywhere_whatever_the_kind)
{
	unsigned from;

	engine_inject = inject;
	fail_with = EIO;
	for (from = 0; from < 200; from += 2) {
		struct vc_disk_check chk = { 0 };
		struct image im;

		make_image(&im, _i);
		nr_ops = 0;
		fail_from = from;
		fail_to = UINT32_MAX;
		write_with_errors(&im, 10000, false);
		im.disk = vc_disk_drop(im.disk);
		if (_i == 2) { /* lazy: repaired by who opens it */
			fail_to = 0;
			open_it(&im);
			im.disk = vc_disk_drop(im.disk);
		}
		ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		      &err);
		ck_assert_uint_eq(chk.nr_corruptions, 0);
		unmake_image(&im);
	}
	engine_inject = NULL;
}
END_TEST

/* Nothing is written from some operation on: as if the power went there. */
START_TEST(stops_anywhere_without_corruption)
{
	unsigned from;

	engine_inject = inject;
	fail_with = ENOSPC;
	for (from = 0; from < (_i ? 600 : 200); from += _i ? 3 : 1) {
		struct vc_disk_check chk = { 0 };
		struct image im;

		image_create(&im, DISK_BYTES, _i ? 512 : 4096, _i ? 64 : 16, 3,
			     1);
		if (_i)
			shrink_reftable(&im);
		image_open(&im, NULL);
		nr_ops = 0;
		fail_from = from;
		fail_to = UINT32_MAX;
		write_with_errors(&im, _i ? 100000 : 10000, false);
		im.disk = vc_disk_drop(im.disk);
		ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		      &err);
		ck_assert_uint_eq(chk.nr_corruptions, 0);
		image_fini(&im);
	}
	engine_inject = NULL;
}
END_TEST

/* Several queues, and a disk that is full (or fails) for a while: each request
 * that failed is tried again, and in the end all is there. Or for good: then
 * there is no corruption. By turns with both engines that can be made to fail. */
START_TEST(errors_meet_several_queues)
{
	bool is_final = _i % 2;
	unsigned from, nr_failed = 0;

	engine_inject = inject;
	for (from = 0; from < 240; from += 16) {
		struct writers_book *book = writers_book_new();
		struct writers w = { .book = book,
				     .number = 1,
				     .seed = from,
				     .nr_requests = 40,
				     .retries = !is_final,
				     .gives_up = is_final };
		struct vc_disk_check chk = { 0 };
		struct image im;

		make_shape(&im, _i / 4, 1 + from / 16 % 2);
		fail_with = _i % 4 / 2 ? EIO : ENOSPC;
		fail_to = 0;
		open_it(&im);
		w.disk = im.disk;
		nr_ops = 0;
		fail_from = from;
		fail_to = is_final ? UINT32_MAX : from + 20;
		writers_run(&w);
		nr_failed += w.nr_failed;
		if (is_final)
			im.disk = vc_disk_drop(im.disk);
		fail_to = 0;
		if (is_final) {
			ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2,
					       &chk, &err),
			      &err);
			ck_assert_uint_eq(chk.nr_corruptions, 0);
		} else {
			writers_closed(&w);
			writers_verify(book, im.disk, shapes[_i / 4].cluster);
			image_close(&im);
		}
		image_fini(&im);
		writers_book_free(book);
	}
	ck_assert_uint_gt(nr_failed, 0);
	engine_inject = NULL;
}
END_TEST

TEST_SUITE(suite_qcow2_crash)
{
	Suite *s = suite_create("disk/qcow2 crash");
	TCase *tc = test_case(s, "crash");

	tcase_add_loop_test(tc, killed_writers_lose_nothing, 0,
			    NR_ENGINES * (int)VC_ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, full_disk_passes, 0, 10);
	tcase_add_loop_test(tc, errors_meet_several_queues, 0, 8);
	tcase_add_loop_test(tc, stops_anywhere_whatever_the_kind, 1, 5);
	tcase_add_test(tc, refcount_table_grows);
	tcase_add_loop_test(tc, stops_anywhere_without_corruption, 0, 2);
	return s;
}
