/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is left when the writer dies. A child is several clients of one disk:
 * each writes blocks that carry their number and a sequence number, many at a
 * time, compressed ones among them where a cluster is a block, with zeroing
 * (which releases clusters for others to take), and flushes now and then while
 * the others go on. It notes in shared memory what it has submitted and what a
 * flush made durable. It is killed at a random moment; then the image has no
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
#define CLIENTS 4
#define DEPTH 16 /* of each client 4 */
#define KILLS 25

struct shared {
	uint32_t submitted[NR_BLOCKS]; /* newest sequence number */
	uint32_t durable[NR_BLOCKS];
	uint32_t completed[NR_BLOCKS];
	uint32_t zeroed[NR_BLOCKS]; /* by this one; 0: reads zero no more */
};

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
static struct shared *shared;

/* --- the child ---------------------------------------------------------- */

struct slot {
	struct vc_disk_req req;
	struct iovec iov;
	uint32_t buf[BLOCK / 4], packed[BLOCK / 4];
	uint32_t block, seq;
	bool busy;
};

struct client {
	struct slot slots[DEPTH / CLIENTS];
	struct vc_disk_req flush;
	uint32_t before[NR_BLOCKS]; /* what was complete when it began */
	uint32_t first;		    /* sequence number of this process */
	bool is_flushing;
};

static struct vc_disk_compressor *compressor;
static int data_fd;

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
	if (s->req.op == VC_DISK_WRITE && compressor && image_random(im) % 2) {
		s->iov = (struct iovec){
			s->packed, vc_disk_compress(compressor, s->buf, BLOCK,
						    s->packed, BLOCK - 1)
		};
		s->req.op = VC_DISK_WRITE_COMPRESSED;
		s->req.length_bytes = s->iov.iov_len;
	}
	shared->submitted[s->block] = seq;
	vc_disk_submit(im->disk, &s->req);
}

static void flushed(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct client *c = vc_container_of(req, struct client, flush);
	uint32_t i;

	if (status != VC_DISK_OK)
		_exit(4);
	c->is_flushing = false;
	for (i = 0; i < NR_BLOCKS; i++) {
		/* what an earlier writer left may be half old, half new */
		if (c->before[i] <= c->first ||
		    c->before[i] < shared->durable[i])
			continue;
		if (c->before[i] == shared->zeroed[i]) {
			shared->durable[i] = 0;
			continue;
		}
		shared->durable[i] = c->before[i];
		if (shared->zeroed[i] < c->before[i])
			shared->zeroed[i] = 0;
	}
}

static void start_flush(struct image *im, struct client *c)
{
	memcpy(c->before, shared->completed, sizeof(c->before));
	c->is_flushing = true;
	c->flush = (struct vc_disk_req){ .op = VC_DISK_FLUSH, .done = flushed };
	vc_disk_submit(im->disk, &c->flush);
}

static void child(struct image *im, uint32_t seed)
{
	static struct client clients[CLIENTS];
	uint32_t seq = seed * 100000, i, k;

	im->seed = seed;
	for (;;) {
		for (i = 0; i < CLIENTS; i++) {
			struct client *c = &clients[i];

			c->first = seed * 100000;
			for (k = 0; k < DEPTH / CLIENTS; k++)
				if (!c->slots[k].busy)
					start(im, &c->slots[k], ++seq);
			if (!c->is_flushing && image_random(im) % 16 == 0)
				start_flush(im, c);
		}
		vc_disk_kick(im->disk);
		vc_disk_poll(im->disk, true);
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

static void verify(struct image *im, uint32_t cluster, bool lazy, bool ask)
{
	struct vc_disk_check chk = { 0 };
	uint32_t *all = malloc(DISK_BYTES), b;

	if (lazy) { /* repairs it */
		open_it(im);
		im->disk = vc_disk_drop(im->disk);
	}
	if (ask)
		ask_qemu(im);
	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	open_it(im);
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
	uint32_t unit =
		shapes[shape].cluster / (shapes[shape].extended ? 32 : 1);
	struct image im;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	image_create(&im, DISK_BYTES, shapes[shape].cluster,
		     shapes[shape].refcount_bits, shapes[shape].version,
		     _i % 2);
	im.opts.extended_l2 = shapes[shape].extended;
	im.opts.lazy_refcounts = shapes[shape].lazy;
	im.opts.compression = shapes[shape].compression;
	data_fd = -1;
	if (shapes[shape].data_file) {
		data_fd = memfd_create("data", MFD_CLOEXEC);
		im.opts.data_file = "data";
		im.opts.data_fd = data_fd;
	}
	if (shapes[shape].compression)
		ck_ok(vc_disk_compressor_new(shapes[shape].compression, 1,
					     &compressor, &err),
		      &err);
	ck_assert_int_eq(ftruncate(im.fd, 0), 0);
	ck_ok(vc_disk_create(im.fd, &im.opts, &err), &err);
	for (round = 1; round <= KILLS; round++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (!pid) {
			open_it(&im);
			child(&im, (uint32_t)round);
		}
		usleep(image_random(&im) % 30000);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFSIGNALED(status), "status %x", status);
		verify(&im, unit, shapes[shape].lazy, round % 8 == 0);
	}
	compressor = vc_disk_compressor_free(compressor);
	if (data_fd >= 0)
		close(data_fd);
	image_fini(&im);
	munmap(shared, sizeof(*shared));
}
END_TEST

/* --- errors of the host ------------------------------------------------- */

static unsigned nr_ops, fail_from, fail_to;
static int fail_with;

static int inject(const struct eng_io *io)
{
	unsigned n = nr_ops++;

	if (io->op == ENG_READ)
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

TEST_SUITE(suite_qcow2_crash)
{
	Suite *s = suite_create("disk/qcow2 crash");
	TCase *tc = test_case(s, "crash");

	tcase_add_loop_test(tc, killed_writer_loses_nothing, 0,
			    2 * (int)VC_ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, full_disk_passes, 0, 10);
	tcase_add_loop_test(tc, stops_anywhere_whatever_the_kind, 1, 5);
	tcase_add_test(tc, refcount_table_grows);
	tcase_add_loop_test(tc, stops_anywhere_without_corruption, 0, 2);
	return s;
}
