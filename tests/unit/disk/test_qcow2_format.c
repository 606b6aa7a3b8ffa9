/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The features of the format, in all combinations that make sense: random
 * operations beside a model, compressed writes among them; another program's
 * opinion of the result.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB (1024 * 1024)
#define NR 8 /* operations side by side */

static struct vc_error err;

static const struct {
	uint32_t cluster;
	unsigned refcount_bits, version;
	enum vc_disk_compression compression;
	bool extended, lazy, data_file, data_raw, crosvm;
	enum vc_disk_preallocation preallocation;
} shapes[] = {
	{ 65536, 16, 3, VC_DISK_ZLIB, .crosvm = false },
	{ 65536, 16, 3, VC_DISK_ZSTD, .crosvm = false },
	{ 4096, 1, 3, VC_DISK_ZLIB, .crosvm = false },
	{ 512, 2, 3, VC_DISK_ZSTD, .crosvm = false },
	{ 2 * MIB, 8, 3, VC_DISK_ZSTD, .crosvm = false },
	{ 65536, 16, 2, VC_DISK_ZLIB, .crosvm = false },
	{ 65536, 16, 3, VC_DISK_ZLIB, .extended = true },
	{ 16384, 64, 3, VC_DISK_ZSTD, .extended = true },
	{ MIB, 1, 3, VC_DISK_ZLIB, .extended = true, .lazy = true },
	{ 65536, 16, 3, VC_DISK_ZLIB, .lazy = true },
	{ 512, 16, 3, VC_DISK_ZLIB, .lazy = true },
	{ 65536, 16, 3, 0, .data_file = true },
	{ 4096, 16, 3, 0, .data_file = true, .data_raw = true },
	{ 65536, 16, 3, 0, .extended = true, .data_file = true },
	{ 65536, 16, 3, 0, .extended = true, .data_file = true, .lazy = true,
	  .data_raw = true },
	{ 65536, 16, 3, 0, .crosvm = true },
	{ 65536, 16, 3, 0, .preallocation = VC_DISK_PREALLOC_METADATA },
	{ 65536, 16, 3, 0, .extended = true,
	  .preallocation = VC_DISK_PREALLOC_FALLOC },
	{ 512, 32, 3, 0, .preallocation = VC_DISK_PREALLOC_FULL },
};
#define NR_SHAPES ((int)VC_ARRAY_SIZE(shapes))

static int data_fd;
static struct vc_disk_compressor *compressor;

static void make(struct image *im, int shape, uint64_t size,
		 const char *backing, int io)
{
	image_create(im, size, shapes[shape].cluster,
		     shapes[shape].refcount_bits, shapes[shape].version, io);
	im->opts.compression = shapes[shape].compression;
	im->opts.extended_l2 = shapes[shape].extended;
	im->opts.lazy_refcounts = shapes[shape].lazy;
	im->opts.for_crosvm = shapes[shape].crosvm;
	im->opts.preallocation = shapes[shape].preallocation;
	im->opts.backing_file = backing;
	im->opts.backing_format = backing ? "qcow2" : NULL;
	data_fd = -1;
	if (shapes[shape].data_file) {
		data_fd = memfd_create("data", MFD_CLOEXEC);
		ck_assert_int_ge(data_fd, 0);
		im->opts.data_file = "data";
		im->opts.data_file_raw = shapes[shape].data_raw;
		im->opts.data_fd = data_fd;
	}
	ck_assert_int_eq(ftruncate(im->fd, 0), 0);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
}

static void open_it(struct image *im, struct vc_disk *backing)
{
	struct vc_disk_open_opts oo;

	im->open.data_file = NULL; /* the last one is gone */
	oo = im->open;
	if (data_fd >= 0) {
		oo.format = VC_DISK_FORMAT_RAW;
		oo.io_with = backing;
		ck_ok(vc_disk_open_fd(dup(data_fd), &oo, NULL,
				      &im->open.data_file, &err),
		      &err);
	}
	image_open(im, backing);
}

/* --- operations --------------------------------------------------------- */

struct op {
	struct vc_disk_req req;
	struct iovec iov;
	uint8_t *buf, *packed;
	bool is_done;
	enum vc_disk_status status;
};

static void op_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct op *op = vc_container_of(req, struct op, req);

	op->is_done = true;
	op->status = status;
}

/* Compressible or not. */
static void fill(struct image *im, uint8_t *buf, uint64_t len)
{
	unsigned mask = image_random(im) % 4 ? 3 : 255;
	uint64_t i;

	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)((image_random(im) & mask) | 1);
}

static bool set_compressed(struct image *im, struct op *op, uint64_t lo,
			   uint64_t hi)
{
	uint32_t cluster = 0;
	uint64_t at, len;

	if (!vc_disk_get_compression(im->disk, &cluster))
		return false;
	at = (lo + image_random(im) % (hi - lo)) / cluster * cluster;
	if (at < lo || at + cluster > hi)
		return false;
	op->buf = calloc(1, cluster);
	op->packed = malloc(cluster);
	ck_assert(op->buf && op->packed);
	fill(im, op->buf, cluster);
	len = vc_disk_compress(compressor, op->buf, cluster, op->packed,
			       cluster - 1);
	if (!len) {
		free(op->buf);
		free(op->packed);
		op->buf = op->packed = NULL;
		return false;
	}
	memcpy(im->model + at, op->buf, cluster);
	op->iov = (struct iovec){ op->packed, len };
	op->req.op = VC_DISK_WRITE_COMPRESSED;
	op->req.offset_bytes = at;
	op->req.length_bytes = len;
	return true;
}

static void set_plain(struct image *im, struct op *op, uint64_t lo, uint64_t hi)
{
	static const enum vc_disk_op ops[] = { VC_DISK_WRITE, VC_DISK_WRITE,
					       VC_DISK_READ,
					       VC_DISK_WRITE_ZEROES };
	uint64_t a = lo + image_random(im) % (hi - lo);
	uint64_t len = image_random(im) % (hi - a);

	if (image_random(im) % 2) {
		a = (a & ~UINT64_C(2047)) < lo ? lo : a & ~UINT64_C(2047);
		len &= ~UINT64_C(2047);
	}
	if (!len)
		len = 1;
	op->req.op = ops[image_random(im) % VC_ARRAY_SIZE(ops)];
	op->req.offset_bytes = a;
	op->req.length_bytes = len;
	op->buf = malloc(len);
	ck_assert_ptr_nonnull(op->buf);
	op->iov = (struct iovec){ op->buf, len };
	if (op->req.op == VC_DISK_WRITE) {
		fill(im, op->buf, len);
		memcpy(im->model + a, op->buf, len);
	} else if (op->req.op == VC_DISK_WRITE_ZEROES) {
		op->req.flags = image_random(im) % 2 ? VC_DISK_REQ_UNMAP : 0;
		memset(im->model + a, 0, len);
	}
}

static void exercise(struct image *im, unsigned rounds)
{
	uint64_t part = im->opts.size_bytes / NR;
	struct op ops[NR];
	unsigned r, i;

	for (r = 0; r < rounds; r++) {
		memset(ops, 0, sizeof(ops));
		for (i = 0; i < NR; i++) {
			if (image_random(im) % 2 ||
			    !set_compressed(im, &ops[i], i * part,
					    (i + 1) * part))
				set_plain(im, &ops[i], i * part,
					  (i + 1) * part);
			ops[i].req.iov = &ops[i].iov;
			ops[i].req.nr_iov = 1;
			ops[i].req.done = op_done;
			vc_disk_submit(im->disk, &ops[i].req);
		}
		for (i = 0; i < NR; i++) {
			while (!ops[i].is_done)
				vc_disk_poll(im->disk, true);
			ck_assert_int_eq(ops[i].status, VC_DISK_OK);
			if (ops[i].req.op == VC_DISK_READ)
				ck_assert_mem_eq(
					ops[i].buf,
					im->model + ops[i].req.offset_bytes,
					ops[i].req.length_bytes);
			free(ops[i].buf);
			free(ops[i].packed);
		}
		if (image_random(im) % 3 == 0)
			ck_ok(vc_disk_flush(im->disk, &err), &err);
	}
}

/* It would look for a data file of that name. */
static void ask_qemu(const struct image *im)
{
	if (data_fd < 0)
		image_ask_qemu(im, false);
}

static void compare_data_file(const struct image *im)
{
	uint8_t *all = malloc(im->opts.size_bytes);

	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(vc_pread_full(data_fd, all, im->opts.size_bytes, 0),
			 0);
	ck_assert_mem_eq(all, im->model, im->opts.size_bytes);
	free(all);
}

static void set_compressor(int shape)
{
	ck_ok(vc_disk_compressor_new(shapes[shape].compression
					     ? shapes[shape].compression
					     : VC_DISK_ZLIB,
				     1, &compressor, &err),
	      &err);
}

START_TEST(reads_what_was_written)
{
	int shape = _i / NR_ENGINES;
	uint32_t cluster = shapes[shape].cluster;
	uint64_t size = cluster < 4096 ? MIB : 4 * MIB + 512;
	struct image im;

	if (cluster > MIB)
		size = 40 * MIB;
	set_compressor(shape);
	make(&im, shape, size, NULL, _i % NR_ENGINES);
	open_it(&im, NULL);
	exercise(&im, 8);
	image_compare(&im);
	image_close(&im);
	ask_qemu(&im);
	open_it(&im, NULL);
	image_compare(&im);
	exercise(&im, 5);
	image_close(&im);
	ask_qemu(&im);
	open_it(&im, NULL);
	image_compare(&im);
	image_close(&im);
	if (shapes[shape].data_raw)
		compare_data_file(&im);
	image_fini(&im);
	compressor = vc_disk_compressor_free(compressor);
	if (data_fd >= 0)
		close(data_fd);
}
END_TEST

START_TEST(overlay_reads_through)
{
	int shape = _i;
	struct image base, top;

	if (shapes[shape].data_raw ||
	    (shapes[shape].preallocation && !shapes[shape].extended))
		return; /* cannot have a backing file */
	image_create(&base, MIB, 65536, 16, 3, _i % NR_ENGINES);
	image_open(&base, NULL);
	memset(base.model, 0x77, MIB);
	ck_ok(vc_disk_write(base.disk, 0, base.model, MIB, &err), &err);
	image_close(&base);
	set_compressor(shape);
	make(&top, shape, 3 * MIB, "b", _i % NR_ENGINES);
	memcpy(top.model, base.model, MIB);
	base.open.writable = false;
	image_open(&base, NULL);
	open_it(&top, base.disk);
	base.disk = NULL; /* owned by the top */
	image_compare(&top);
	exercise(&top, 8);
	image_compare(&top);
	image_close(&top);
	image_open(&base, NULL);
	open_it(&top, base.disk);
	base.disk = NULL;
	image_compare(&top);
	image_close(&top);
	image_fini(&top);
	image_fini(&base);
	compressor = vc_disk_compressor_free(compressor);
	if (data_fd >= 0)
		close(data_fd);
}
END_TEST

/* --- details ------------------------------------------------------------- */

/* One subcluster takes the space of one, and can be given back. */
START_TEST(subclusters_are_told_apart)
{
	struct vc_disk_extent e;
	struct image im;

	data_fd = -1;
	make(&im, 6, 4 * MIB, NULL, 0);
	open_it(&im, NULL);
	memset(im.model + 4096, 1, 2048);
	ck_ok(vc_disk_write(im.disk, 4096, im.model + 4096, 2048, &err), &err);
	ck_ok(vc_disk_map(im.disk, 0, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_HOLE);
	ck_assert_uint_eq(e.length_bytes, 4096);
	ck_ok(vc_disk_map(im.disk, 4096, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, 2048);
	ck_assert_uint_eq(vc_disk_get_discard_granularity(im.disk), 2048);
	ck_ok(vc_disk_zero(im.disk, 4096, 2048, &err), &err);
	memset(im.model, 0, 65536);
	ck_ok(vc_disk_map(im.disk, 4096, UINT64_MAX, &e, &err), &err);
	ck_assert_int_ne(e.kind, VC_DISK_DATA);
	image_compare(&im);
	image_close(&im);
	image_fini(&im);
}
END_TEST

/* The dirty bit: set by the first write, gone after close, repaired after a
 * writer that died; none of it for one who only looks. */
START_TEST(lazy_refcounts_are_repaired)
{
	struct image im;

	make(&im, 9, 4 * MIB, NULL, 0);
	open_it(&im, NULL);
	ck_ok(vc_disk_read(im.disk, 0, im.model, 512, &err), &err);
	ck_assert_uint_eq(image_get(&im, 72, 64), 0);
	memset(im.model, 7, MIB);
	ck_ok(vc_disk_write(im.disk, 0, im.model, MIB, &err), &err);
	ck_assert_uint_eq(image_get(&im, 72, 64), 1);
	ck_ok(vc_disk_flush(im.disk, &err), &err);
	im.disk = vc_disk_drop(im.disk); /* as if killed */
	ck_assert_uint_eq(image_get(&im, 72, 64), 1);
	im.open.writable = false;
	open_it(&im, NULL);
	image_compare(&im);
	im.disk = vc_disk_drop(im.disk);
	im.open.writable = true;
	open_it(&im, NULL);
	ck_assert_uint_eq(image_get(&im, 72, 64), 0);
	image_compare(&im);
	image_close(&im);
	ask_qemu(&im);
	image_fini(&im);
}
END_TEST

/* Autoclear bits that are not kept go with the first write, not before. */
START_TEST(unknown_autoclear_bits_go)
{
	struct image im;

	make(&im, 0, 4 * MIB, NULL, 0);
	image_put(&im, 88, 64, UINT64_C(1) << 40 | 1);
	open_it(&im, NULL);
	image_close(&im);
	ck_assert_uint_eq(image_get(&im, 88, 64), UINT64_C(1) << 40 | 1);
	open_it(&im, NULL);
	im.model[0] = 1;
	ck_ok(vc_disk_write(im.disk, 0, im.model, 1, &err), &err);
	ck_assert_uint_eq(image_get(&im, 88, 64), 0);
	image_close(&im);
	image_fini(&im);
}
END_TEST

/* What crosvm cannot read is not written, now and after opening again. */
START_TEST(crosvm_gets_no_zero_flags)
{
	uint32_t cluster;
	struct vc_disk_extent e;
	struct image base, top;

	image_create(&base, MIB, 65536, 16, 3, 0);
	image_open(&base, NULL);
	memset(base.model, 9, MIB);
	ck_ok(vc_disk_write(base.disk, 0, base.model, MIB, &err), &err);
	image_close(&base);
	make(&top, 15, MIB, "b", 0);
	base.open.writable = false;
	image_open(&base, NULL);
	open_it(&top, base.disk);
	base.disk = NULL;
	ck_ok(vc_disk_zero(top.disk, 0, 65536, &err), &err);
	ck_ok(vc_disk_map(top.disk, 0, UINT64_MAX, &e, &err), &err);
	/* data that is zero */
	ck_assert_int_eq(e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.depth, 0);
	ck_assert_int_eq(vc_disk_get_compression(top.disk, &cluster),
			 VC_DISK_COMPRESSION_NONE);
	memcpy(top.model, base.model, MIB);
	memset(top.model, 0, 65536);
	image_compare(&top);
	image_close(&top);
	image_fini(&top);
	image_fini(&base);
}
END_TEST

/* Nothing is compressed that takes the room of a cluster, nor outside one. */
START_TEST(compressed_writes_are_checked)
{
	static uint8_t buf[65536];
	struct iovec iov = { buf, sizeof(buf) };
	static const struct {
		uint64_t offset, len;
	} bad[] = { { 0, 65536 }, { 0, 0 }, { 512, 100 }, { 8 * MIB, 100 } };
	struct image im;
	size_t i;

	make(&im, 0, 4 * MIB, NULL, 0);
	open_it(&im, NULL);
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		struct op op = { .req = { .op = VC_DISK_WRITE_COMPRESSED,
					  .offset_bytes = bad[i].offset,
					  .length_bytes = bad[i].len,
					  .iov = &iov,
					  .nr_iov = 1,
					  .done = op_done } };

		iov.iov_len = bad[i].len;
		vc_disk_submit(im.disk, &op.req);
		vc_disk_drain(im.disk);
		ck_assert_int_eq(op.status, VC_DISK_ERANGE);
	}
	image_close(&im);
	image_fini(&im);
}
END_TEST

START_TEST(impossible_options_are_refused)
{
	const struct vc_disk_create_opts bad[] = {
		{ .version = 2, .extended_l2 = true },
		{ .version = 2, .lazy_refcounts = true },
		{ .version = 2, .compression = VC_DISK_ZSTD },
		{ .version = 2, .data_file = "d" },
		{ .extended_l2 = true, .cluster_bytes = 8192 },
		{ .data_file_raw = true },
		{ .data_file_raw = true,
		  .data_file = "d",
		  .backing_file = "b",
		  .backing_format = "raw" },
		{ .backing_file = "b",
		  .backing_format = "raw",
		  .preallocation = VC_DISK_PREALLOC_METADATA },
		{ .for_crosvm = true, .refcount_bits = 8 },
		{ .for_crosvm = true, .extended_l2 = true },
		{ .for_crosvm = true,
		  .backing_file = "b",
		  .backing_format = "vmdk" },
	};
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct vc_disk_create_opts o = bad[_i];

	o.format = VC_DISK_FORMAT_QCOW2;
	o.size_bytes = MIB;
	ck_fails(vc_disk_create(fd, &o, &err), &err, VC_E_CONFIG);
	close(fd);
}
END_TEST

TEST_SUITE(suite_qcow2_format)
{
	Suite *s = suite_create("disk/qcow2 format");
	TCase *tc = test_case(s, "format");

	tcase_add_loop_test(tc, reads_what_was_written, 0,
			    NR_ENGINES * NR_SHAPES);
	tcase_add_loop_test(tc, overlay_reads_through, 0, NR_SHAPES);
	tcase_add_test(tc, subclusters_are_told_apart);
	tcase_add_test(tc, lazy_refcounts_are_repaired);
	tcase_add_test(tc, unknown_autoclear_bits_go);
	tcase_add_test(tc, crosvm_gets_no_zero_flags);
	tcase_add_test(tc, compressed_writes_are_checked);
	tcase_add_loop_test(tc, impossible_options_are_refused, 0, 11);
	return s;
}
