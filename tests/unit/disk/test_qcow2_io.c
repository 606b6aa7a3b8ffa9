/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB (1024 * 1024)

static struct vc_error err;

/* Everything that can be chosen about an image. */
static const struct {
	uint32_t cluster;
	unsigned refcount_bits, version;
} shapes[] = {
	{ 65536, 16, 3 }, { 65536, 16, 2 }, { 512, 16, 3 },    { 512, 64, 3 },
	{ 512, 1, 3 },	  { 4096, 2, 3 },   { 4096, 4, 3 },    { 4096, 8, 3 },
	{ 16384, 32, 3 }, { MIB, 16, 3 },   { 2 * MIB, 1, 3 }, { 512, 16, 2 },
	{ 32768, 64, 3 }, { 1024, 8, 3 },
};
#define NR_CASES (NR_ENGINES * (int)VC_ARRAY_SIZE(shapes))

struct op {
	struct vc_disk_req req;
	struct iovec iov[2];
	uint8_t *buf;
	bool is_done;
	enum vc_disk_status status;
};

static void op_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct op *op = vc_container_of(req, struct op, req);

	op->is_done = true;
	op->status = status;
}

/* A random operation, applied to the model at once: ranges of operations that
 * run together do not overlap. */
static void op_start(struct image *im, struct op *op, uint64_t lo, uint64_t hi)
{
	static const enum vc_disk_op ops[] = {
		VC_DISK_WRITE, VC_DISK_WRITE,	     VC_DISK_WRITE,
		VC_DISK_READ,  VC_DISK_WRITE_ZEROES, VC_DISK_WRITE_ZEROES,
	};
	uint64_t a = lo + image_random(im) % (hi - lo);
	uint64_t b = lo + image_random(im) % (hi - lo), len, i;

	if (image_random(im) % 2) {
		a &= ~UINT64_C(4095);
		b &= ~UINT64_C(4095);
	}
	if (a > b) {
		i = a;
		a = b;
		b = i;
	}
	if (a < lo)
		a = lo;
	len = b > a ? b - a : 1;
	memset(op, 0, sizeof(*op));
	op->req.op = ops[image_random(im) % VC_ARRAY_SIZE(ops)];
	op->req.offset_bytes = a;
	op->req.length_bytes = len;
	op->req.flags = image_random(im) % 2 ? VC_DISK_REQ_UNMAP : 0;
	op->req.done = op_done;
	op->buf = malloc(len);
	ck_assert_ptr_nonnull(op->buf);
	op->iov[0] = (struct iovec){ op->buf, len / 3 };
	op->iov[1] = (struct iovec){ op->buf + len / 3, len - len / 3 };
	op->req.iov = op->iov;
	op->req.nr_iov = 2;
	if (op->req.op == VC_DISK_WRITE) {
		for (i = 0; i < len; i++)
			op->buf[i] = (uint8_t)(image_random(im) | 1);
		memcpy(im->model + a, op->buf, len);
	} else if (op->req.op == VC_DISK_WRITE_ZEROES) {
		memset(im->model + a, 0, len);
	}
	vc_disk_submit(im->disk, &op->req);
}

static void op_finish(struct image *im, struct op *op)
{
	while (!op->is_done)
		vc_disk_poll(im->disk, true);
	ck_assert_int_eq(op->status, VC_DISK_OK);
	if (op->req.op == VC_DISK_READ)
		ck_assert_mem_eq(op->buf, im->model + op->req.offset_bytes,
				 op->req.length_bytes);
	free(op->buf);
}

/* Rounds of operations side by side, flushes between some. */
static void exercise(struct image *im, unsigned rounds)
{
	enum { NR = 16 };
	uint64_t size = im->opts.size_bytes, part = size / NR;
	struct op ops[NR];
	unsigned r, i;

	for (r = 0; r < rounds; r++) {
		for (i = 0; i < NR; i++)
			op_start(im, &ops[i], i * part, (i + 1) * part);
		vc_disk_kick(im->disk);
		for (i = 0; i < NR; i++)
			op_finish(im, &ops[i]);
		if (image_random(im) % 4 == 0)
			ck_ok(vc_disk_flush(im->disk, &err), &err);
	}
}

START_TEST(reads_what_was_written)
{
	int shape = _i / NR_ENGINES;
	uint32_t cluster = shapes[shape].cluster;
	uint64_t size = cluster < 4096 ? MIB : 8 * MIB + 512;
	struct image im;

	image_create(&im, size, cluster, shapes[shape].refcount_bits,
		     shapes[shape].version, _i % NR_ENGINES);
	image_open(&im, NULL);
	exercise(&im, 12);
	image_compare(&im);
	image_close(&im);
	image_open(&im, NULL);
	image_compare(&im);
	exercise(&im, 6);
	image_close(&im);
	image_open(&im, NULL);
	image_compare(&im);
	image_close(&im);
	image_fini(&im);
}
END_TEST

/* Unwritten parts are the backing file's, also around partial writes, and the
 * backing file is shorter than the disk. */
START_TEST(overlay_reads_through)
{
	int shape = _i / NR_ENGINES;
	uint32_t cluster = shapes[shape].cluster;
	struct image base, top;

	image_create(&base, MIB, 65536, 16, 3, _i % NR_ENGINES);
	image_open(&base, NULL);
	exercise(&base, 3);
	image_close(&base);
	image_create(&top, 2 * MIB, cluster, shapes[shape].refcount_bits,
		     shapes[shape].version, _i % NR_ENGINES);
	image_lay_over(&top, &base);
	image_compare(&top);
	exercise(&top, 6);
	image_compare(&top);
	image_close(&top);
	image_open(&base, NULL);
	image_compare(&base);
	vc_disk_drop(base.disk);
	base.disk = NULL;
	image_open(&base, NULL);
	image_open(&top, base.disk);
	base.disk = NULL;
	image_compare(&top);
	image_close(&top);
	image_fini(&top);
	image_fini(&base);
}
END_TEST

START_TEST(discard_gives_space_back)
{
	struct vc_disk_info before, after;
	struct image im;
	struct op op = { .req = { .op = VC_DISK_DISCARD,
				  .length_bytes = 8 * MIB,
				  .done = op_done } };

	image_create(&im, 8 * MIB, 65536, 16, 3, _i);
	image_open(&im, NULL);
	memset(im.model, 0x5a, 8 * MIB);
	ck_ok(vc_disk_write(im.disk, 0, im.model, 8 * MIB, &err), &err);
	ck_ok(vc_disk_flush(im.disk, &err), &err);
	ck_ok(vc_disk_info_fd(im.fd, VC_DISK_FORMAT_QCOW2, &before, &err),
	      &err);
	vc_disk_submit(im.disk, &op.req);
	op_finish(&im, &op);
	image_close(&im);
	ck_ok(vc_disk_info_fd(im.fd, VC_DISK_FORMAT_QCOW2, &after, &err), &err);
	ck_assert_uint_ge(before.allocated_bytes, 8 * MIB);
	ck_assert_uint_le(after.allocated_bytes, MIB);
	memset(im.model, 0, 8 * MIB);
	image_open(&im, NULL);
	image_compare(&im);
	/* and it is used again: the file does not grow */
	memset(im.model, 0x77, 4 * MIB);
	ck_ok(vc_disk_write(im.disk, 0, im.model, 4 * MIB, &err), &err);
	image_close(&im);
	ck_ok(vc_disk_info_fd(im.fd, VC_DISK_FORMAT_QCOW2, &after, &err), &err);
	ck_assert_uint_eq(after.file_bytes, before.file_bytes);
	image_fini(&im);
}
END_TEST

/* Far more metadata than the cache may hold, spread over the disk. */
START_TEST(cache_stays_bounded)
{
	uint64_t size = UINT64_C(16) << 30, pos;
	struct image im;
	char c;

	/* 4 KiB clusters: one L2 table per 2 MiB, 8192 of them */
	image_create(&im, MIB, 4096, 16, 3, 0);
	im.opts.size_bytes = size;
	ck_assert_int_eq(ftruncate(im.fd, 0), 0);
	ck_ok(vc_disk_create(im.fd, &im.opts, &err), &err);
	image_open(&im, NULL);
	for (pos = 0; pos < size; pos += 2 * MIB - 512)
		ck_ok(vc_disk_write(im.disk, pos, &(char){ (char)(pos >> 9) },
				    1, &err),
		      &err);
	for (pos = 0; pos < size; pos += 2 * MIB - 512) {
		ck_ok(vc_disk_read(im.disk, pos, &c, 1, &err), &err);
		ck_assert_int_eq(c, (char)(pos >> 9));
	}
	image_close(&im);
	image_fini(&im);
}
END_TEST

START_TEST(maps_extents)
{
	struct vc_disk_extent e;
	struct image im;

	image_create(&im, 64 * MIB, 65536, 16, 3, 0);
	image_open(&im, NULL);
	memset(im.model, 1, 3 * MIB);
	ck_ok(vc_disk_write(im.disk, 5 * MIB, im.model, 3 * MIB, &err), &err);
	ck_ok(vc_disk_map(im.disk, 0, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_HOLE);
	ck_assert_uint_eq(e.length_bytes, 5 * MIB);
	ck_ok(vc_disk_map(im.disk, 5 * MIB, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, 3 * MIB);
	ck_assert_uint_ne(e.host_offset, UINT64_MAX);
	image_close(&im);
	image_fini(&im);
}
END_TEST

START_TEST(changes_its_size)
{
	struct image im;

	image_create(&im, 64 * MIB, 65536, 16, 3, 0);
	image_open(&im, NULL);
	memset(im.model, 1, 4096);
	ck_ok(vc_disk_write(im.disk, 5 * MIB, im.model, 4096, &err), &err);
	ck_fails(vc_disk_set_size(im.disk, 5 * MIB, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_fails(vc_disk_set_size(im.disk, UINT64_C(1) << 40, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_ok(vc_disk_set_size(im.disk, 6 * MIB, &err), &err);
	im.opts.size_bytes = 6 * MIB;
	ck_fails(vc_disk_write(im.disk, 6 * MIB, im.model, 512, &err), &err,
		 VC_E_SYS);
	image_close(&im);
	image_open(&im, NULL);
	ck_assert_uint_eq(vc_disk_get_size(im.disk), 6 * MIB);
	ck_ok(vc_disk_set_size(im.disk, 32 * MIB, &err), &err);
	ck_ok(vc_disk_read(im.disk, 31 * MIB, im.model, 512, &err), &err);
	ck_assert_int_eq(im.model[0], 0);
	image_close(&im);
	image_fini(&im);
}
END_TEST

TEST_SUITE(suite_qcow2_io)
{
	Suite *s = suite_create("disk/qcow2 i/o");
	TCase *tc = test_case(s, "i/o");

	tcase_add_loop_test(tc, reads_what_was_written, 0, NR_CASES);
	tcase_add_loop_test(tc, overlay_reads_through, 0, NR_CASES);
	tcase_add_loop_test(tc, discard_gives_space_back, 0, NR_ENGINES);
	tcase_add_test(tc, cache_stays_bounded);
	tcase_add_test(tc, maps_extents);
	tcase_add_test(tc, changes_its_size);
	return s;
}
