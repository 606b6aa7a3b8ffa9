/* SPDX-License-Identifier: BSD-3-Clause */
/* What holds for every format whose images are written in ascending order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/disk.h>
#include "disk/engine.h"
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"
#include "tests/unit/disk/sequential.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static const enum vc_disk_format formats[] = { VC_DISK_FORMAT_ZSTD,
					       VC_DISK_FORMAT_ANDROID_SPARSE };
#define NR_CASES (NR_ENGINES * (int)(sizeof(formats) / sizeof(formats[0])))

static struct vc_error err;
static struct seq s;

/* Each case: a format and an engine. */
static void init(int i, uint64_t size)
{
	seq_init(&s, formats[i / NR_ENGINES], size, i % NR_ENGINES);
}

START_TEST(reads_what_was_written)
{
	init(_i, 6 * MIB + 512 * 3);
	seq_write_mixture(&s);
	seq_compare(&s);
	seq_fini(&s);
}
END_TEST

START_TEST(nothing_written_is_zeroes)
{
	init(_i, 3 * MIB);
	seq_open(&s, true);
	seq_close(&s);
	seq_compare(&s);
	ck_assert_uint_lt(seq_file_bytes(&s), 4096);
	seq_fini(&s);
}
END_TEST

START_TEST(empty_disk)
{
	init(_i, 0);
	seq_open(&s, true);
	seq_close(&s);
	seq_open(&s, false);
	seq_close(&s);
	seq_fini(&s);
}
END_TEST

static int nr_done;

static void count_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	(void)req;
	ck_assert_int_eq((int)status, VC_DISK_OK);
	nr_done++;
}

/* The depth of a copy: requests that complete late, in order or not. */
START_TEST(many_writes_at_once)
{
	enum { NR = 64, LEN = 200 * KIB };
	static struct vc_disk_req reqs[NR];
	static struct iovec iovs[NR];
	int i;

	nr_done = 0;
	init(_i, (uint64_t)NR * LEN);
	seq_make(&s, 0, s.opts.size_bytes, SEQ_NOISE);
	seq_open(&s, true);
	for (i = 0; i < NR; i++) {
		iovs[i] = (struct iovec){ s.model + i * LEN, LEN };
		reqs[i] =
			(struct vc_disk_req){ .op = VC_DISK_WRITE,
					      .offset_bytes = (uint64_t)i * LEN,
					      .length_bytes = LEN,
					      .iov = &iovs[i],
					      .nr_iov = 1,
					      .done = count_done };
		vc_disk_submit(s.disk, &reqs[i]);
	}
	vc_disk_drain(s.disk);
	ck_assert_int_eq(nr_done, NR);
	seq_close(&s);
	seq_compare(&s);
	seq_fini(&s);
}
END_TEST

static void fails(int ret, int sys)
{
	ck_assert_int_eq(ret, -1);
	ck_assert_int_eq(err.sys, sys);
}

START_TEST(refuses_what_is_not_in_order)
{
	char buf[512];

	init(_i, MIB);
	seq_make(&s, 0, MIB, SEQ_NOISE);
	seq_open(&s, true);
	seq_put(&s, 4096, 8192);
	fails(vc_disk_write(s.disk, 0, s.model, 512, &err), EOPNOTSUPP);
	fails(vc_disk_write(s.disk, 8192, s.model, 8192, &err), EOPNOTSUPP);
	fails(vc_disk_zero(s.disk, 8192, 512, &err), EOPNOTSUPP);
	fails(vc_disk_read(s.disk, 4096, buf, 512, &err), EOPNOTSUPP);
	fails(vc_disk_write(s.disk, MIB - 512, s.model, 1024, &err), ERANGE);
	/* and none of that hurt */
	seq_put(&s, 12288, 512);
	ck_ok(vc_disk_flush(s.disk, &err), &err);
	seq_put(&s, MIB - 512, 512);
	seq_close(&s);
	memset(s.model, 0, 4096);
	memset(s.model + 12800, 0, MIB - 512 - 12800);
	seq_compare(&s);
	seq_fini(&s);
}
END_TEST

START_TEST(changes_its_size)
{
	init(_i, 100 * MIB);
	seq_make(&s, 0, 2 * MIB, SEQ_TEXT);
	seq_open(&s, true);
	seq_put(&s, 0, MIB);
	ck_fails(vc_disk_set_size(s.disk, MIB / 2, &err), &err, VC_E_ARG);
	ck_ok(vc_disk_set_size(s.disk, 2 * MIB, &err), &err);
	seq_put(&s, MIB, MIB);
	seq_close(&s);
	s.opts.size_bytes = 2 * MIB;
	seq_compare(&s);
	seq_fini(&s);
}
END_TEST

START_TEST(is_readonly_once_written)
{
	char buf[512] = { 1 };

	init(_i, MIB);
	seq_write_mixture(&s);
	ck_fails(seq_try_open(&s, true, &err), &err, VC_E_UNSUPPORTED);
	seq_open(&s, false);
	fails(vc_disk_write(s.disk, 0, buf, 512, &err), EROFS);
	seq_close(&s);
	seq_fini(&s);
}
END_TEST

/* A writer that was killed leaves a file that is not taken for an image. */
START_TEST(is_nothing_before_it_is_closed)
{
	uint64_t full, cut;
	uint8_t *bytes;

	init(_i, 2 * MIB);
	seq_make(&s, 0, 2 * MIB, SEQ_NOISE);
	seq_open(&s, true);
	ck_fails(seq_try_open(&s, false, &err), &err, VC_E_CORRUPT);
	vc_disk_drop(vc_steal_ptr(&s.disk));
	seq_open(&s, true);
	seq_put(&s, 0, 2 * MIB - 512);
	vc_disk_drop(vc_steal_ptr(&s.disk));
	ck_fails(seq_try_open(&s, false, &err), &err, VC_E_CORRUPT);

	/* or one that was cut short anywhere */
	seq_write_mixture(&s);
	full = seq_file_bytes(&s);
	bytes = malloc(full);
	ck_assert_int_eq(pread(s.fd, bytes, full, 0), (ssize_t)full);
	for (cut = full - 1; cut > 0; cut -= cut < 64 ? 1 : 1 + cut / 64) {
		ck_assert_int_eq(ftruncate(s.fd, (off_t)cut), 0);
		ck_fails(seq_try_open(&s, false, &err), &err, VC_E_CORRUPT);
	}
	ck_assert_int_eq(ftruncate(s.fd, 0), 0);
	seq_poke(&s, 0, bytes, full);
	seq_compare(&s);
	free(bytes);
	seq_fini(&s);
}
END_TEST

static _Atomic int no_space_from;

static int inject_no_space(const struct eng_io *io)
{
	if (io->op == ENG_WRITE && no_space_from-- <= 0)
		return -ENOSPC;
	return 0;
}

START_TEST(no_space_is_reported_and_stays)
{
	unsigned i;
	int status = 0;

	if (engines[_i % NR_ENGINES] == VC_DISK_IO_URING)
		return; /* there is no way to inject it */
	init(_i, 16 * MIB);
	seq_make(&s, 0, s.opts.size_bytes, SEQ_NOISE);
	seq_open(&s, true);
	no_space_from = 3;
	engine_inject = inject_no_space;
	for (i = 0; i < 16 && !status; i++)
		status = vc_disk_write(s.disk, i * MIB, s.model + i * MIB, MIB,
				       &err);
	engine_inject = NULL;
	ck_assert_int_eq(status, -1);
	ck_assert_int_eq(err.sys, ENOSPC);
	fails(vc_disk_write(s.disk, 15 * MIB, s.model, MIB, &err), ENOSPC);
	fails(vc_disk_flush(s.disk, &err), ENOSPC);
	fails(vc_disk_close(vc_steal_ptr(&s.disk), &err), ENOSPC);
	ck_fails(seq_try_open(&s, false, &err), &err, VC_E_CORRUPT);
	seq_fini(&s);
}
END_TEST

static bool is_zero(const uint8_t *p, uint64_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Every extent is right, they are as long as they can be and cover all. */
START_TEST(maps_what_is_zero)
{
	struct vc_disk_extent e = { 0 };
	uint64_t pos = 0, nr_zero = 0;
	uint64_t next = UINT64_MAX;
	int last = -1;

	init(_i, 8 * MIB + 512);
	seq_make(&s, 0, 512, SEQ_NOISE);
	seq_make(&s, MIB, MIB, SEQ_NOISE);
	seq_make(&s, 5 * MIB, 4096, SEQ_TEXT);
	seq_open(&s, true);
	seq_put(&s, 0, 4096);
	seq_put(&s, MIB, 5 * MIB);
	seq_close(&s);
	seq_open(&s, false);
	while (pos < s.opts.size_bytes) {
		ck_ok(vc_disk_map(s.disk, pos, UINT64_MAX, &e, &err), &err);
		ck_assert_uint_eq(e.offset_bytes, pos);
		ck_assert_uint_gt(e.length_bytes, 0);
		ck_assert((int)e.kind != last || e.host_offset != next);
		last = (int)e.kind;
		next = e.host_offset == UINT64_MAX
			       ? UINT64_MAX
			       : e.host_offset + e.length_bytes;
		pos += e.length_bytes;
		if (e.kind != VC_DISK_DATA) {
			nr_zero += e.length_bytes;
			ck_assert(is_zero(s.model + e.offset_bytes,
					  e.length_bytes));
		}
	}
	ck_assert_uint_eq(pos, s.opts.size_bytes);
	ck_assert_uint_ge(nr_zero, 6 * MIB);
	/* a part of one */
	ck_ok(vc_disk_map(s.disk, 3 * MIB + 512, 1024, &e, &err), &err);
	ck_assert_uint_eq(e.offset_bytes, 3 * MIB + 512);
	ck_assert_uint_eq(e.length_bytes, 1024);
	ck_assert_int_eq((int)e.kind, VC_DISK_ZERO);
	seq_close(&s);
	seq_fini(&s);
}
END_TEST

START_TEST(is_recognised)
{
	struct vc_disk_info info;
	struct vc_disk_check chk = { 0 };

	init(_i, MIB);
	seq_write_mixture(&s);
	ck_ok(vc_disk_info_fd(s.fd, VC_DISK_FORMAT_PROBE, &info, &err), &err);
	ck_assert_int_eq((int)info.format, (int)s.opts.format);
	ck_assert_uint_eq(info.virtual_bytes, MIB);
	ck_assert_uint_eq(info.file_bytes, seq_file_bytes(&s));
	ck_assert(vc_disk_format_is_sequential(info.format));
	ck_ok(vc_disk_check_fd(s.fd, VC_DISK_FORMAT_PROBE, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	seq_fini(&s);
}
END_TEST

START_TEST(refuses_options_it_does_not_have)
{
	init(_i, MIB);
	s.opts.refcount_bits = 16;
	ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_CONFIG);
	s.opts.refcount_bits = 0;
	s.opts.backing_file = "x";
	ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_CONFIG);
	seq_fini(&s);
}
END_TEST

TEST_SUITE(suite_sequential)
{
	Suite *suite = suite_create("disk/sequential");
	TCase *tc = test_case(suite, "sequential");

	tcase_add_loop_test(tc, reads_what_was_written, 0, NR_CASES);
	tcase_add_loop_test(tc, nothing_written_is_zeroes, 0, NR_CASES);
	tcase_add_loop_test(tc, empty_disk, 0, NR_CASES);
	tcase_add_loop_test(tc, many_writes_at_once, 0, NR_CASES);
	tcase_add_loop_test(tc, refuses_what_is_not_in_order, 0, NR_CASES);
	tcase_add_loop_test(tc, changes_its_size, 0, NR_CASES);
	tcase_add_loop_test(tc, is_readonly_once_written, 0, NR_CASES);
	tcase_add_loop_test(tc, is_nothing_before_it_is_closed, 0, NR_CASES);
	tcase_add_loop_test(tc, no_space_is_reported_and_stays, 0, NR_CASES);
	tcase_add_loop_test(tc, maps_what_is_zero, 0, NR_CASES);
	tcase_add_loop_test(tc, is_recognised, 0, NR_CASES);
	tcase_add_loop_test(tc, refuses_options_it_does_not_have, 0, NR_CASES);
	return suite;
}
