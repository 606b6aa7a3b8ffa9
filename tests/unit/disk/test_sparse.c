/* SPDX-License-Identifier: BSD-3-Clause */
/* Android sparse: what is in the file, and files that lie. The layout is told
 * by hand here, as a reader of another project would. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <vmmcore/disk.h>
#include <vmmcore/endian.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/sequential.h"

#define MIB (1024u * 1024)
#define BLOCK 4096u

static struct vc_error err;
static struct seq s;

static void set_up(void)
{
	seq_init(&s, VC_DISK_FORMAT_ANDROID_SPARSE, 4 * MIB, 1);
}

static void tear_down(void)
{
	seq_fini(&s);
}

static void put16(uint64_t offset, uint16_t v)
{
	le16_t le = le16_put(v);

	seq_poke(&s, offset, &le, sizeof(le));
}

static void put32(uint64_t offset, uint32_t v)
{
	le32_t le = le32_put(v);

	seq_poke(&s, offset, &le, sizeof(le));
}

static uint32_t get32(uint64_t offset)
{
	le32_t le;

	ck_assert_int_eq(pread(s.fd, &le, 4, (off_t)offset), 4);
	return le32_get(le);
}

/* The file's header; chunks are added behind it. */
static void put_header(uint32_t block, uint32_t nr_blocks, uint32_t nr_chunks)
{
	ck_assert_int_eq(ftruncate(s.fd, 0), 0);
	put32(0, 0xed26ff3a);
	put16(4, 1);
	put16(6, 0);
	put16(8, 28);
	put16(10, 12);
	put32(12, block);
	put32(16, nr_blocks);
	put32(20, nr_chunks);
	put32(24, 0);
}

static uint64_t add_chunk(uint16_t type, uint32_t nr_blocks, const void *data,
			  uint32_t len)
{
	uint64_t at = seq_file_bytes(&s);

	put16(at, type);
	put16(at + 2, 0);
	put32(at + 4, nr_blocks);
	put32(at + 8, 12 + len);
	if (len)
		seq_poke(&s, at + 12, data, len);
	return at;
}

START_TEST(kinds_of_chunks)
{
	struct vc_disk_info info;
	uint64_t pos = 28;

	seq_make(&s, 0, BLOCK * 2, SEQ_NOISE);
	seq_make(&s, BLOCK * 2, BLOCK * 3, SEQ_FILL);
	seq_make(&s, BLOCK * 10, BLOCK, SEQ_NOISE);
	s.opts.checksums = VC_DISK_CHECKSUMS_ON;
	seq_open(&s, true);
	seq_put(&s, 0, BLOCK * 5 + 100); /* not a whole block of zeroes */
	seq_put(&s, BLOCK * 6, BLOCK);	 /* a hole of one and zeroes */
	seq_put(&s, BLOCK * 10, BLOCK);
	seq_close(&s);
	ck_assert_uint_eq(get32(20), 7);
	ck_assert_uint_eq(get32(pos), 0xcac1);
	ck_assert_uint_eq(get32(pos + 4), 2);
	ck_assert_uint_eq(get32(pos + 8), 12 + 2 * BLOCK);
	pos += 12 + 2 * BLOCK;
	ck_assert_uint_eq(get32(pos), 0xcac2);
	ck_assert_uint_eq(get32(pos + 4), 3);
	ck_assert_uint_eq(get32(pos + 8), 16);
	pos += 16;
	/* the part of a block, and the block of zeroes, were written */
	ck_assert_uint_eq(get32(pos), 0xcac2);
	ck_assert_uint_eq(get32(pos + 4), 2);
	ck_assert_uint_eq(get32(pos + 12), 0);
	pos += 16;
	ck_assert_uint_eq(get32(pos), 0xcac3);
	ck_assert_uint_eq(get32(pos + 4), 3);
	ck_assert_uint_eq(get32(pos + 8), 12);
	pos += 12;
	ck_assert_uint_eq(get32(pos), 0xcac1);
	pos += 12 + BLOCK;
	ck_assert_uint_eq(get32(pos), 0xcac3);
	ck_assert_uint_eq(get32(pos + 4), 1024 - 11);
	pos += 12;
	ck_assert_uint_eq(get32(pos), 0xcac4);
	ck_assert_uint_eq(get32(pos + 12), crc32(0, s.model, 4 * MIB));
	ck_assert_uint_eq(get32(24), get32(pos + 12));
	ck_assert_uint_eq(seq_file_bytes(&s), pos + 16);
	ck_ok(vc_disk_info_fd(s.fd, VC_DISK_FORMAT_ANDROID_SPARSE, &info, &err),
	      &err);
	ck_assert(info.has_checksums);
	ck_assert_uint_eq(info.cluster_bytes, BLOCK);
	seq_compare(&s);
}
END_TEST

START_TEST(zeroes_that_may_go_are_a_hole)
{
	seq_open(&s, true);
	ck_ok(vc_disk_zero(s.disk, 0, BLOCK * 4, &err), &err);
	seq_close(&s);
	ck_assert_uint_eq(get32(28), 0xcac3);
	ck_assert_uint_eq(get32(20), 1);
}
END_TEST

static int nr_done;

static void count_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	(void)req;
	ck_assert_int_eq((int)status, VC_DISK_OK);
	nr_done++;
}

START_TEST(zeroes_that_must_be_there_are_a_fill)
{
	struct vc_disk_req req = { .op = VC_DISK_WRITE_ZEROES,
				   .offset_bytes = BLOCK * 4 + 512,
				   .length_bytes = BLOCK * 8,
				   .done = count_done };

	nr_done = 0;
	seq_open(&s, true);
	vc_disk_submit(s.disk, &req);
	vc_disk_drain(s.disk);
	ck_assert_int_eq(nr_done, 1);
	seq_close(&s);
	ck_assert_uint_eq(get32(20), 3);
	ck_assert_uint_eq(get32(28), 0xcac3);
	ck_assert_uint_eq(get32(28 + 4), 4);
	ck_assert_uint_eq(get32(40), 0xcac2);
	ck_assert_uint_eq(get32(40 + 4), 9);
	seq_compare(&s);
}
END_TEST

START_TEST(block_sizes)
{
	static const uint32_t sizes[] = { 512, 516, 4096, 65536 };
	static const uint32_t wrong[] = { 4, 514, 131072, 4098 };
	unsigned i;

	for (i = 0; i < 4; i++) {
		s.opts.cluster_bytes = sizes[i];
		s.opts.size_bytes = sizes[i] == 516 ? 512 * 129 * 20 : 2 * MIB;
		seq_write_mixture(&s);
		ck_assert_uint_eq(get32(12), sizes[i]);
		seq_compare(&s);
	}
	for (i = 0; i < 4; i++) {
		s.opts.cluster_bytes = wrong[i];
		ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_ARG);
	}
	s.opts.cluster_bytes = 65536;
	s.opts.size_bytes = 4096;
	ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_ARG);
	/* chosen so that the size is a multiple, and fits the field */
	s.opts.cluster_bytes = 0;
	s.opts.size_bytes = MIB + 1024;
	seq_open(&s, true);
	seq_close(&s);
	ck_assert_uint_eq(get32(12), 1024);
	s.opts.size_bytes = UINT64_C(32) << 40;
	seq_open(&s, true);
	seq_close(&s);
	ck_assert_uint_eq(get32(12), 16384);
	seq_open(&s, false);
	seq_close(&s);
	s.opts.size_bytes = UINT64_C(512) << 40;
	ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_LIMIT);
}
END_TEST

/* --- images of others ----------------------------------------------------- */

START_TEST(reads_what_others_write)
{
	char longer[20] = { 0 };

	s.opts.size_bytes = BLOCK * 6 + 512;
	seq_make(&s, 0, 20, SEQ_NOISE);
	memset(s.model + 20, 'x', 4);
	seq_make(&s, 44, BLOCK * 6 + 400, SEQ_NOISE);
	/* blocks of 4 bytes, a longer header, chunks without blocks */
	put_header(4, (BLOCK * 6 + 444) / 4, 6);
	put16(8, 48);
	seq_poke(&s, 28, longer, 20);
	add_chunk(0xcac1, 5, s.model, 20);
	add_chunk(0xcac2, 1, "xxxx", 4);
	add_chunk(0xcac1, 0, NULL, 0);
	add_chunk(0xcac3, 5, NULL, 0);
	add_chunk(0xcac2, 0, "yyyy", 4);
	add_chunk(0xcac1, BLOCK * 6 / 4 + 100, s.model + 44, BLOCK * 6 + 400);
	seq_compare(&s);
}
END_TEST

static void append_crc(uint32_t crc)
{
	le32_t le = le32_put(crc);

	add_chunk(0xcac4, 0, &le, 4);
}

#define MANY 600000u /* more than have a mark of their own */

/* Chunks of one word, of all kinds; now and then one of none. */
static uint32_t *make_many(void)
{
	static const uint16_t types[] = { 0xcac1, 0xcac2, 0xcac3 };
	uint32_t *model = calloc(MANY, sizeof(*model));
	uint8_t *buf = calloc(MANY, 16), *p = buf;
	uint32_t i, pos = 0;

	ck_assert(model && buf);
	for (i = 0; i < MANY; i++) {
		bool is_empty = i % 1000 == 0;
		unsigned kind = is_empty ? 2 : (i * 2654435761u >> 20) % 3;
		le16_t type = le16_put(types[kind]);
		le32_t nr = le32_put(!is_empty), v = le32_put(i);
		le32_t len = le32_put(kind == 2 ? 12 : 16);

		memcpy(p, &type, sizeof(type));
		memcpy(p + 4, &nr, sizeof(nr));
		memcpy(p + 8, &len, sizeof(len));
		if (kind != 2)
			memcpy(p + 12, &v, sizeof(v));
		p += le32_get(len);
		if (kind != 2)
			memcpy(&model[pos], &v, sizeof(v));
		pos += !is_empty;
	}
	put_header(4, pos, MANY);
	s.opts.size_bytes = (pos * 4 + 511) / 512 * 512;
	seq_poke(&s, 28, buf, (size_t)(p - buf));
	free(buf);
	return model;
}

START_TEST(many_chunks)
{
	uint32_t nr = (MANY - MANY / 1000) / 128 * 128, i;
	uint32_t *model = make_many(), *got = malloc(nr * sizeof(*got));

	ck_assert_ptr_nonnull(got);
	seq_open(&s, false);
	ck_ok(vc_disk_read(s.disk, 0, got, nr * sizeof(*got), &err), &err);
	for (i = 0; i < nr; i++)
		ck_assert_uint_eq(got[i], model[i]);
	/* backwards, too: each word in a group that is not there */
	for (i = nr - 999; i > 999; i -= 997) {
		ck_ok(vc_disk_read(s.disk, i * sizeof(*got), got, sizeof(*got),
				   &err),
		      &err);
		ck_assert_uint_eq(got[0], model[i]);
	}
	/* what changes after it was checked is not believed */
	put32(28 + 12 + 4, 9);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, got, sizeof(*got), &err), -1);
	ck_assert_int_eq(err.sys, EIO);
	seq_close(&s);
	free(model);
	free(got);
}
END_TEST

START_TEST(checksums_are_compared)
{
	struct vc_disk_open_opts oo = { .format = s.opts.format,
					.no_verify = true };
	struct vc_disk_check chk = { 0 };
	uint8_t *m = s.model;
	uint32_t all;

	s.opts.size_bytes = BLOCK * 1000;
	seq_make(&s, 0, BLOCK, SEQ_NOISE);
	seq_make(&s, BLOCK, BLOCK * 700, SEQ_FILL);
	all = (uint32_t)crc32(0, m, BLOCK * 1000);
	put_header(BLOCK, 1000, 6);
	put32(24, all);
	add_chunk(0xcac1, 1, m, BLOCK);
	append_crc((uint32_t)crc32(0, m, BLOCK));
	add_chunk(0xcac2, 700, m + BLOCK, 4);
	append_crc((uint32_t)crc32(0, m, BLOCK * 701));
	add_chunk(0xcac3, 299, NULL, 0);
	append_crc(all);
	seq_compare(&s);
	put32(24, all + 1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "header: checksum");
	put32(24, 0);
	seq_compare(&s);
	put32(28 + 12 + BLOCK + 12, 0);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "chunk 1: checksum");
	ck_ok(vc_disk_check_fd(s.fd, s.opts.format, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 1);
	ck_ok(vc_disk_open_fd(dup(s.fd), &oo, NULL, &s.disk, &err), &err);
	seq_close(&s);
	put32(28 + 12 + BLOCK + 12, (uint32_t)crc32(0, m, BLOCK));
	seq_compare(&s);
	seq_poke(&s, 28 + 12 + 77, "\0\1\2", 3);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "chunk 1: checksum");
}
END_TEST

/* --- hostile ones --------------------------------------------------------- */

START_TEST(lying_headers_are_refused)
{
	uint64_t at;

	put_header(BLOCK, 2, 1);
	at = add_chunk(0xcac3, 2, NULL, 0);
	s.opts.size_bytes = 2 * BLOCK;
	seq_compare(&s);
	put16(4, 2);
	seq_expect_open_fails(&s, VC_E_UNSUPPORTED, "version 2.0");
	put16(4, 1);
	put16(8, 27);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "headers of 27 and 12");
	put16(8, 60000);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "longer than the file");
	put16(8, 28);
	put16(10, 11);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "headers of 28 and 11");
	put16(10, 12);
	put32(12, 0);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "block size 0");
	put32(12, 4098);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "block size 4098");
	put32(12, BLOCK);
	put32(16, 3);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "2 blocks, not 3");
	put32(16, 1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "more blocks than the header");
	/* 2^32 blocks of 2^32 bytes */
	put32(16, UINT32_MAX);
	put32(12, UINT32_MAX & ~3u);
	seq_expect_open_fails(&s, VC_E_LIMIT, "size");
	put32(12, BLOCK);
	put32(16, 2);
	put32(20, UINT32_MAX);
	seq_expect_open_fails(&s, VC_E_LIMIT, "4294967295 chunks");
	put32(20, 4u << 20);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "longer than the file");
	put32(20, 0);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "0 blocks, not 2");
	put32(20, 1);
	put16(at, 0xcac5);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "type 0xcac5");
	put16(at, 0xcac4);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "type 0xcac4 of 2 blocks");
	put16(at, 0xcac1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "12 bytes for 2 blocks");
	put32(at + 8, 12 + 2 * BLOCK);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "chunk 0: beyond the end");
	put16(at, 0xcac2);
	put32(at + 8, 16);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "chunk 0: beyond the end");
	put16(at, 0xcac3);
	put32(at + 8, 13);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "13 bytes for 2 blocks");
	put32(at + 8, 12);
	/* 0x100001 * 4096 is 4096 in 32 bits */
	put16(at, 0xcac1);
	put32(at + 4, 0x100001);
	put32(at + 8, 12 + BLOCK);
	put32(16, 0x100001);
	ck_assert_int_eq(ftruncate(s.fd, 28 + 12 + 2 * BLOCK), 0);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "bytes for 1048577 blocks");
}
END_TEST

/* Two chunks that say they are 8 EiB of one word: no time, no memory. */
START_TEST(huge_fill_takes_no_time)
{
	uint8_t buf[4096], want[4096];

	memset(want, 0x5a, sizeof(want));
	put_header(0x7ffffffc, UINT32_MAX, 3);
	add_chunk(0xcac2, UINT32_MAX / 2, "\x5a\x5a\x5a\x5a", 4);
	add_chunk(0xcac3, 1, NULL, 0);
	add_chunk(0xcac2, UINT32_MAX / 2, "\x5a\x5a\x5a\x5a", 4);
	put32(24, 12345);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "checksum");
	put32(24, 0);
	ck_ok(seq_try_open(&s, false, &err), &err);
	ck_ok(vc_disk_read(s.disk, vc_disk_get_size(s.disk) - 8192, buf, 4096,
			   &err),
	      &err);
	ck_assert_mem_eq(buf, want, 4096);
	seq_close(&s);
}
END_TEST

TEST_SUITE(suite_sparse)
{
	Suite *suite = suite_create("disk/sparse");
	TCase *tc = test_case(suite, "sparse");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, kinds_of_chunks);
	tcase_add_test(tc, zeroes_that_may_go_are_a_hole);
	tcase_add_test(tc, zeroes_that_must_be_there_are_a_fill);
	tcase_add_test(tc, block_sizes);
	tcase_add_test(tc, reads_what_others_write);
	tcase_add_test(tc, many_chunks);
	tcase_add_test(tc, checksums_are_compared);
	tcase_add_test(tc, lying_headers_are_refused);
	tcase_add_test(tc, huge_fill_takes_no_time);
	return suite;
}
