/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is left when the writer dies. A child writes blocks that carry their
 * number and a sequence number, many at a time, with zeroing (which releases
 * clusters for others to take) and flushes in between, and notes in shared memory what it has submitted and what a flush
 * made durable. It is killed at a random moment; then the image has no
 * corruption and each block is at least as new as its last flush.
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

#define BLOCK 4096u
#define NR_BLOCKS 2048u
#define DISK_BYTES ((uint64_t)BLOCK * NR_BLOCKS)
#define DEPTH 16
#define KILLS 40

struct shared {
	uint32_t submitted[NR_BLOCKS]; /* newest sequence number */
	uint32_t durable[NR_BLOCKS];
	uint32_t completed[NR_BLOCKS];
	uint32_t zeroed[NR_BLOCKS]; /* by this one; 0: reads zero no more */
};

static const struct {
	uint32_t cluster;
	unsigned refcount_bits, version;
} shapes[] = {
	{ 65536, 16, 3 }, { 4096, 16, 3 }, { 512, 1, 3 }, { 65536, 16, 2 }
};

static struct vc_error err;
static struct shared *shared;

/* --- the child ---------------------------------------------------------- */

struct slot {
	struct vc_disk_req req;
	struct iovec iov;
	uint32_t buf[BLOCK / 4];
	uint32_t block, seq;
	bool busy;
};

static void slot_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct slot *s = vc_container_of(req, struct slot, req);

	if (status != VC_DISK_OK)
		_exit(3);
	if (shared->completed[s->block] < s->seq)
		shared->completed[s->block] = s->seq;
	s->busy = false;
}

static void start(struct image *im, struct slot *s, uint32_t seq)
{
	uint32_t i;

	s->block = image_random(im) % NR_BLOCKS;
	/* one at a time per block: else "newest" means nothing */
	if (shared->submitted[s->block] != shared->completed[s->block])
		return;
	s->seq = seq;
	s->busy = true;
	s->iov = (struct iovec){ s->buf, BLOCK };
	s->req = (struct vc_disk_req){ .op = VC_DISK_WRITE,
				       .offset_bytes =
					       s->block * (uint64_t)BLOCK,
				       .length_bytes = BLOCK,
				       .iov = &s->iov,
				       .nr_iov = 1,
				       .done = slot_done };
	for (i = 0; i < BLOCK / 4; i += 2) {
		s->buf[i] = s->block;
		s->buf[i + 1] = seq;
	}
	if (image_random(im) % 3 == 0) {
		s->req.op = VC_DISK_WRITE_ZEROES;
		s->req.flags = VC_DISK_REQ_UNMAP;
		shared->zeroed[s->block] = seq;
	}
	shared->submitted[s->block] = seq;
	vc_disk_submit(im->disk, &s->req);
}

static void child(struct image *im, uint32_t seed)
{
	static struct slot slots[DEPTH];
	static uint32_t before[NR_BLOCKS];
	uint32_t seq = seed * 100000, i;

	im->seed = seed;
	for (;;) {
		for (i = 0; i < DEPTH; i++)
			if (!slots[i].busy)
				start(im, &slots[i], ++seq);
		vc_disk_kick(im->disk);
		vc_disk_poll(im->disk, true);
		if (image_random(im) % 16)
			continue;
		memcpy(before, shared->completed, sizeof(before));
		if (vc_disk_flush(im->disk, &err) < 0)
			_exit(4);
		/* what an earlier writer left may be half old, half new */
		for (i = 0; i < NR_BLOCKS; i++) {
			if (before[i] <= seed * 100000)
				continue;
			if (before[i] == shared->zeroed[i]) {
				shared->durable[i] = 0;
			} else {
				shared->durable[i] = before[i];
				if (shared->zeroed[i] < before[i])
					shared->zeroed[i] = 0;
			}
		}
	}
}

/* --- the parent --------------------------------------------------------- */

/* A block is written in units of a cluster at least, each at once. */
static void verify_block(const uint32_t *buf, uint32_t b, uint32_t unit)
{
	uint32_t i, k, oldest = UINT32_MAX, newest = 0;
	bool has_zero = false;

	/* no ck_assert() in the loop: it is slow */
	for (i = 0; i < BLOCK / 4; i += unit / 4) {
		uint32_t seq = buf[i + 1];

		for (k = i; k < i + unit / 4; k += 2)
			if (buf[k] != (seq ? b : 0) || buf[k + 1] != seq)
				ck_abort_msg("block %u is torn", b);
		if (!seq && shared->zeroed[b]) {
			has_zero = true;
			continue;
		}
		oldest = seq < oldest ? seq : oldest;
		newest = seq > newest ? seq : newest;
	}
	if (oldest != UINT32_MAX &&
	    (oldest < shared->durable[b] || newest > shared->submitted[b]))
		ck_abort_msg("block %u: %u to %u, not %u to %u", b, oldest,
			     newest, shared->durable[b], shared->submitted[b]);
	shared->durable[b] = has_zero ? 0 : oldest;
	shared->submitted[b] = shared->completed[b] = newest;
}

/* Another program's opinion, where it is installed. */
static void ask_qemu(const struct image *im)
{
	char command[160];
	int status;

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

static void verify(struct image *im, uint32_t cluster)
{
	struct vc_disk_check chk = { 0 };
	uint32_t *all = malloc(DISK_BYTES), b;

	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	image_open(im, NULL);
	ck_assert_ptr_nonnull(all);
	ck_ok(vc_disk_read(im->disk, 0, all, DISK_BYTES, &err), &err);
	for (b = 0; b < NR_BLOCKS; b++)
		verify_block(all + b * (BLOCK / 4), b,
			     cluster < BLOCK ? cluster : BLOCK);
	im->disk = vc_disk_drop(im->disk);
	free(all);
}

START_TEST(killed_writer_loses_nothing)
{
	int shape = _i / 2, status, round;
	struct image im;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	image_create(&im, DISK_BYTES, shapes[shape].cluster,
		     shapes[shape].refcount_bits, shapes[shape].version,
		     _i % 2);
	for (round = 1; round <= KILLS; round++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (!pid) {
			image_open(&im, NULL);
			child(&im, (uint32_t)round);
		}
		usleep(image_random(&im) % 30000);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFSIGNALED(status), "status %x", status);
		if (round % 8 == 0)
			ask_qemu(&im);
		verify(&im, shapes[shape].cluster);
	}
	image_fini(&im);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* --- errors of the host ------------------------------------------------- */

static unsigned nr_ops, fail_from, fail_to;

static int inject(const struct eng_io *io)
{
	unsigned n = nr_ops++;

	if (io->op == ENG_READ)
		return 0;
	return n >= fail_from && n < fail_to ? -ENOSPC : 0;
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
		do
			ok = (zero ? vc_disk_zero(im->disk, at, len, &err)
				   : vc_disk_write(im->disk, at, buf, len,
						   &err)) == 0;
		while (!ok && retry);
		if (!ok)
			ck_assert_int_eq(err.sys, ENOSPC);
		memcpy(im->model + at, buf, len);
		if (i % 8 == 7)
			while (vc_disk_flush(im->disk, &err) < 0 && retry)
				ck_assert_int_eq(err.sys, ENOSPC);
	}
}

START_TEST(full_disk_passes)
{
	unsigned from, len;

	sync_engine_inject = inject;
	for (from = 0; from < 120; from++)
		for (len = 1; len < 8; len += 3) {
			struct image im;

			image_create(&im, DISK_BYTES, 4096, 16, 3, 1);
			image_open(&im, NULL);
			nr_ops = 0;
			fail_from = from;
			fail_to = from + len;
			write_with_errors(&im, 10000, true);
			fail_to = 0;
			image_compare(&im);
			image_close(&im);
			image_fini(&im);
		}
	sync_engine_inject = NULL;
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

/* Nothing is written from some operation on: as if the power went there. */
START_TEST(stops_anywhere_without_corruption)
{
	unsigned from;

	sync_engine_inject = inject;
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
	sync_engine_inject = NULL;
}
END_TEST

TEST_SUITE(suite_qcow2_crash)
{
	Suite *s = suite_create("disk/qcow2 crash");
	TCase *tc = test_case(s, "crash");

	tcase_add_loop_test(tc, killed_writer_loses_nothing, 0,
			    2 * (int)VC_ARRAY_SIZE(shapes));
	tcase_add_test(tc, full_disk_passes);
	tcase_add_test(tc, refcount_table_grows);
	tcase_add_loop_test(tc, stops_anywhere_without_corruption, 0, 2);
	return s;
}
