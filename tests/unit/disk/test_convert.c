/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/convert.h>
#include "disk/engine.h"
#include "tests/lib/test.h"

#define MIB (1 << 20)
#define SIZE (UINT64_C(8) << 20)
#define SECTOR 512

static struct vc_error err;

struct disk {
	int fd; /* a memfd */
	struct vc_disk_open_opts opts;
	struct vc_disk *disk;
};

static int reopen(void *opaque, struct vc_disk **ret, struct vc_error *e)
{
	const struct disk *d = opaque;
	struct vc_disk_open_opts opts = d->opts;
	int fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	opts.writable = false;
	return vc_disk_open_fd(fd, &opts, NULL, ret, e);
}

static void disk_init(struct disk *d, enum vc_disk_format format, uint64_t size,
		      uint32_t cluster)
{
	struct vc_disk_create_opts co = { .format = format,
					  .size_bytes = size,
					  .cluster_bytes = cluster };
	int fd;

	d->fd = memfd_create("disk", MFD_CLOEXEC);
	ck_assert_int_ge(d->fd, 0);
	d->opts = (struct vc_disk_open_opts){ .format = format,
					      .writable = true,
					      .io = VC_DISK_IO_SYNC };
	ck_ok(vc_disk_create(d->fd, &co, &err), &err);
	fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	ck_ok(vc_disk_open_fd(fd, &d->opts, NULL, &d->disk, &err), &err);
}

static void disk_fini(struct disk *d)
{
	vc_disk_drop(d->disk);
	close(d->fd);
}

/* Data that a pattern of 100000 bytes is, a hole, written zeroes. */
static void fill(struct disk *d)
{
	uint8_t *buf = malloc(SIZE);
	uint64_t i;

	ck_assert_ptr_nonnull(buf);
	for (i = 0; i < SIZE; i++)
		buf[i] = (uint8_t)(i % 100000 * 2654435761u >> 13 | 1);
	memset(buf + SIZE / 2, 0, 300000);
	ck_ok(vc_disk_write(d->disk, 0, buf, SIZE / 4, &err), &err);
	ck_ok(vc_disk_write(d->disk, SIZE / 2, buf + SIZE / 2, SIZE / 2, &err),
	      &err);
	free(buf);
}

static struct vc_convert_source source(struct disk *d, bool many)
{
	return (struct vc_convert_source){ .disk = d->disk,
					   .reopen = many ? reopen : NULL,
					   .opaque = d };
}

static void must_be_same(struct disk *a, struct disk *b)
{
	struct vc_compare_opts opts = { .nr_threads = 2 };
	struct vc_convert_source x = source(a, false), y = source(b, false);
	struct vc_compare_result res;

	ck_ok(vc_disk_compare(&x, &y, &opts, &res, &err), &err);
	ck_assert_int_eq(res.result, VC_COMPARE_SAME);
}

static const struct {
	enum vc_disk_format from, to;
	uint32_t from_cluster, to_cluster;
	bool many;
	struct vc_convert_opts opts;
} cases[] = {
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_QCOW2,
	  0,
	  0,
	  true,
	  { .granule = 4096, .dst_is_zero = true } },
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_QCOW2,
	  0,
	  512,
	  false,
	  { .granule = 512, .dst_is_zero = true } },
	{ VC_DISK_FORMAT_QCOW2,
	  VC_DISK_FORMAT_RAW,
	  4096,
	  0,
	  true,
	  { .granule = 4096, .dst_is_zero = true, .nr_threads = 7 } },
	{ VC_DISK_FORMAT_QCOW2,
	  VC_DISK_FORMAT_QCOW2,
	  65536,
	  2 << 20,
	  true,
	  { .granule = 1 << 20 } },
	{ VC_DISK_FORMAT_QCOW2,
	  VC_DISK_FORMAT_RAW,
	  65536,
	  0,
	  false,
	  { .fill = true } },
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_QCOW2,
	  0,
	  65536,
	  true,
	  { .granule = 4096, .dst_is_zero = true, .compress = true } },
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_QCOW2,
	  0,
	  2 << 20,
	  true,
	  { .compress = true } },
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_RAW,
	  0,
	  0,
	  true,
	  { .share = VC_CONVERT_SHARE_OFFLOAD, .dst_is_zero = true } },
	{ VC_DISK_FORMAT_RAW,
	  VC_DISK_FORMAT_QCOW2,
	  0,
	  1024,
	  true,
	  { .share = VC_CONVERT_SHARE_AUTO, .dst_is_zero = true } },
};

START_TEST(copies)
{
	struct disk a, b;
	struct vc_convert_source src;

	disk_init(&a, cases[_i].from, SIZE, cases[_i].from_cluster);
	disk_init(&b, cases[_i].to, SIZE, cases[_i].to_cluster);
	fill(&a);
	src = source(&a, cases[_i].many);
	ck_ok(vc_disk_flush(a.disk, &err), &err);
	ck_ok(vc_disk_convert(&src, 1, b.disk, &cases[_i].opts, NULL, &err),
	      &err);
	must_be_same(&a, &b);
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

/* Zeroes that were written become a hole, the first ones as well. */
START_TEST(written_zeroes_take_no_space)
{
	struct vc_convert_opts opts = { .granule = 4096, .dst_is_zero = true };
	static const uint8_t zeroes[MIB], ones[4096] = { 1 };
	struct vc_convert_source src;
	struct vc_disk_extent e;
	struct disk a, b;

	disk_init(&a, VC_DISK_FORMAT_RAW, SIZE, 0);
	disk_init(&b, _i ? VC_DISK_FORMAT_RAW : VC_DISK_FORMAT_QCOW2, SIZE, 0);
	ck_ok(vc_disk_write(a.disk, 0, zeroes, MIB, &err), &err);
	ck_ok(vc_disk_write(a.disk, MIB, ones, sizeof(ones), &err), &err);
	src = source(&a, true);
	ck_ok(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err), &err);
	must_be_same(&a, &b);
	ck_ok(vc_disk_map(b.disk, 0, SIZE, &e, &err), &err);
	ck_assert_int_ne(e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, MIB);
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

/* Clusters that nobody has written are holes of the file. */
START_TEST(preallocated_clusters_are_no_data)
{
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = SIZE,
					  .preallocation =
						  VC_DISK_PREALLOC_METADATA };
	struct vc_convert_opts opts = { .granule = 4096, .dst_is_zero = true };
	static uint8_t ones[65536];
	struct vc_convert_result res;
	struct vc_disk_measure m;
	struct vc_convert_source src;
	struct vc_disk_extent e;
	struct disk a, b;

	disk_init(&a, VC_DISK_FORMAT_QCOW2, SIZE, 0);
	vc_disk_drop(a.disk);
	ck_assert_int_eq(ftruncate(a.fd, 0), 0);
	ck_ok(vc_disk_create(a.fd, &co, &err), &err);
	ck_ok(vc_disk_open_fd(fcntl(a.fd, F_DUPFD_CLOEXEC, 0), &a.opts, NULL,
			      &a.disk, &err),
	      &err);
	memset(ones, 1, sizeof(ones));
	ck_ok(vc_disk_write(a.disk, MIB, ones, sizeof(ones), &err), &err);
	ck_ok(vc_disk_close(a.disk, &err), &err);
	ck_ok(reopen(&a, &a.disk, &err), &err);
	ck_ok(vc_disk_map(a.disk, 0, SIZE, &e, &err), &err);
	ck_assert(e.kind == VC_DISK_DATA && e.reads_zero);
	ck_assert_uint_eq(e.length_bytes, MIB);
	ck_ok(vc_disk_map(a.disk, MIB, SIZE, &e, &err), &err);
	ck_assert(e.kind == VC_DISK_DATA && !e.reads_zero);
	ck_assert_uint_eq(e.length_bytes, sizeof(ones));
	src = source(&a, true);
	ck_ok(vc_disk_measure(&src, &co, false, &m, &err), &err);
	co.preallocation = VC_DISK_PREALLOC_OFF;
	ck_ok(vc_disk_measure(&src, &co, false, &m, &err), &err);
	ck_assert_uint_lt(m.required_bytes, MIB);
	disk_init(&b, VC_DISK_FORMAT_RAW, SIZE, 0);
	ck_ok(vc_disk_convert(&src, 1, b.disk, &opts, &res, &err), &err);
	ck_assert_uint_eq(res.nr_read_bytes, sizeof(ones));
	must_be_same(&a, &b);
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

/* Only what is zero in the source may be left of what dst had before. */
START_TEST(writes_over_what_is_there)
{
	struct vc_convert_opts opts = { .granule = 4096 };
	struct disk a, b;
	struct vc_convert_source src;
	uint8_t *buf = malloc(SIZE);

	ck_assert_ptr_nonnull(buf);
	memset(buf, 0x77, SIZE);
	disk_init(&a, VC_DISK_FORMAT_RAW, SIZE, 0);
	disk_init(&b, _i ? VC_DISK_FORMAT_RAW : VC_DISK_FORMAT_QCOW2, SIZE, 0);
	fill(&a);
	ck_ok(vc_disk_write(b.disk, 0, buf, SIZE, &err), &err);
	free(buf);
	src = source(&a, true);
	ck_ok(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err), &err);
	must_be_same(&a, &b);
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

/* --- faults -------------------------------------------------------------- */

static enum eng_op bad_op;
static uint64_t bad_offset;
static int bad_errno;
static atomic_uint nr_bad;

static int inject(const struct eng_io *io)
{
	if (io->op != bad_op || bad_offset < io->offset ||
	    bad_offset - io->offset >= io->len)
		return 0;
	atomic_fetch_add(&nr_bad, 1);
	return -bad_errno;
}

START_TEST(fails_when_a_read_or_write_does)
{
	struct vc_convert_opts opts = { .granule = 4096, .dst_is_zero = true };
	struct disk a, b;
	struct vc_convert_source src;

	disk_init(&a, VC_DISK_FORMAT_RAW, SIZE, 0);
	disk_init(&b, VC_DISK_FORMAT_RAW, SIZE, 0);
	fill(&a);
	src = source(&a, true);
	bad_op = _i ? ENG_WRITE : ENG_READ;
	bad_offset = SIZE / 2 + 2000000;
	bad_errno = _i ? ENOSPC : EIO;
	engine_inject = inject;
	ck_assert_int_eq(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err),
			 -1);
	engine_inject = NULL;
	ck_assert_int_eq(err.code, VC_E_SYS);
	ck_assert_int_eq(err.sys, bad_errno);
	ck_assert_uint_gt(nr_bad, 0);
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

START_TEST(salvages_all_but_a_sector)
{
	struct vc_convert_opts opts = { .granule = 4096,
					.dst_is_zero = true,
					.salvage = true };
	uint8_t x[3 * SECTOR], y[3 * SECTOR];
	struct vc_convert_result res;
	struct disk a, b;
	struct vc_convert_source src;

	disk_init(&a, VC_DISK_FORMAT_RAW, SIZE, 0);
	disk_init(&b, VC_DISK_FORMAT_RAW, SIZE, 0);
	fill(&a);
	src = source(&a, true);
	bad_op = ENG_READ;
	bad_offset = 1000 * SECTOR + 7;
	bad_errno = EIO;
	engine_inject = inject;
	ck_ok(vc_disk_convert(&src, 1, b.disk, &opts, &res, &err), &err);
	engine_inject = NULL;
	ck_assert_uint_eq(res.nr_lost_bytes, SECTOR);
	ck_ok(vc_disk_read(a.disk, 999 * SECTOR, x, sizeof(x), &err), &err);
	ck_ok(vc_disk_read(b.disk, 999 * SECTOR, y, sizeof(y), &err), &err);
	memset(x + SECTOR, 0, SECTOR);
	ck_assert_mem_eq(x, y, sizeof(x));
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

START_TEST(refuses)
{
	struct vc_convert_opts opts = { .compress = true };
	struct vc_convert_source src;
	struct disk a, b;

	disk_init(&a, VC_DISK_FORMAT_RAW, SIZE, 0);
	disk_init(&b, VC_DISK_FORMAT_RAW, SIZE / 2, 0);
	src = source(&a, true);
	ck_assert_int_eq(vc_disk_convert(&src, 0, b.disk, &opts, NULL, &err),
			 -1);
	ck_assert_int_eq(err.code, VC_E_LIMIT);
	ck_assert_int_eq(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err),
			 -1);
	ck_assert_int_eq(err.code, VC_E_ARG); /* dst is smaller */
	src.length = SIZE / 2;
	ck_assert_int_eq(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err),
			 -1);
	ck_assert_int_eq(err.code, VC_E_UNSUPPORTED); /* not compressed */
	src.offset = SIZE;
	ck_assert_int_eq(vc_disk_convert(&src, 1, b.disk, &opts, NULL, &err),
			 -1);
	ck_assert_int_eq(err.code, VC_E_ARG); /* no such part */
	disk_fini(&a);
	disk_fini(&b);
}
END_TEST

Suite *suite_convert(void);
Suite *suite_convert(void)
{
	Suite *s = suite_create("convert");
	TCase *tc = tcase_create("convert");

	tcase_add_loop_test(tc, copies, 0, VC_ARRAY_SIZE(cases));
	tcase_add_test(tc, preallocated_clusters_are_no_data);
	tcase_add_loop_test(tc, written_zeroes_take_no_space, 0, 2);
	tcase_add_loop_test(tc, writes_over_what_is_there, 0, 2);
	tcase_add_loop_test(tc, fails_when_a_read_or_write_does, 0, 2);
	tcase_add_test(tc, salvages_all_but_a_sector);
	tcase_add_test(tc, refuses);
	suite_add_tcase(s, tc);
	return s;
}
