/* SPDX-License-Identifier: BSD-3-Clause */
/* zstd-seekable: what is in the file, and files that lie. The layout is told by
 * hand here, as a reader of another project would. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include <vmmcore/disk.h>
#include <vmmcore/endian.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/sequential.h"

#define MIB (1024u * 1024)
#define FRAME (128u * 1024)
#define FOOTER 9

static struct vc_error err;
static struct seq s;
static uint8_t *file;
static uint64_t file_len;

static void read_file(void)
{
	file_len = seq_file_bytes(&s);
	file = realloc(file, file_len + 1);
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(pread(s.fd, file, file_len, 0), (ssize_t)file_len);
}

static uint32_t get32(const uint8_t *p)
{
	le32_t v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static void put32(uint64_t offset, uint32_t v)
{
	le32_t le = le32_put(v);

	seq_poke(&s, offset, &le, sizeof(le));
}

static uint32_t entry_bytes(void)
{
	return file[file_len - 5] & 0x80 ? 12 : 8;
}

static uint64_t table_offset(void)
{
	return file_len - FOOTER -
	       (uint64_t)get32(file + file_len - FOOTER) * entry_bytes() - 8;
}

static void set_up(void)
{
	seq_init(&s, VC_DISK_FORMAT_ZSTD, 2 * MIB + 512, 1);
}

static void tear_down(void)
{
	seq_fini(&s);
	free(vc_steal_ptr(&file));
}

/* As crosvm does it: a buffer of 128 KiB for each frame. */
static void walk_frames(void)
{
	static uint8_t buf[FRAME];
	const uint8_t *e = file + table_offset() + 8;
	uint32_t nr = get32(file + file_len - FOOTER), i;
	uint64_t in = 0, out = 0;

	ck_assert_uint_eq(get32(file + file_len - 4), 0x8f92eab1);
	ck_assert_uint_eq(file[file_len - 5] & 0x7f, 0);
	ck_assert_uint_eq(get32(file + table_offset()), 0x184d2a5e);
	for (i = 0; i < nr; i++, e += entry_bytes()) {
		uint32_t comp = get32(e), decomp = get32(e + 4);

		ck_assert_uint_eq(ZSTD_getFrameContentSize(file + in, comp),
				  decomp);
		ck_assert_uint_eq(ZSTD_findFrameCompressedSize(file + in, comp),
				  comp);
		ck_assert_uint_eq(ZSTD_decompress(buf, sizeof(buf), file + in,
						  comp),
				  decomp);
		ck_assert(!memcmp(buf, s.model + out, decomp));
		if (entry_bytes() == 12)
			ck_assert_uint_eq(get32(e + 8),
					  (uint32_t)XXH64(buf, decomp, 0));
		if (i + 1 < nr)
			ck_assert_uint_eq(decomp, FRAME);
		in += comp;
		out += decomp;
	}
	ck_assert_uint_eq(out, s.opts.size_bytes);
	ck_assert_uint_eq(in, table_offset());
}

START_TEST(frames_fit_a_small_buffer)
{
	struct vc_disk_info info;

	s.opts.checksums =
		_i ? VC_DISK_CHECKSUMS_OFF : VC_DISK_CHECKSUMS_DEFAULT;
	seq_write_mixture(&s);
	read_file();
	ck_assert_uint_eq(entry_bytes(), _i ? 8 : 12);
	walk_frames();
	ck_ok(vc_disk_info_fd(s.fd, VC_DISK_FORMAT_ZSTD, &info, &err), &err);
	ck_assert_uint_eq(info.nr_parts, 17);
	ck_assert_uint_eq(info.cluster_bytes, FRAME);
	ck_assert_int_eq(info.has_checksums, !_i);
	seq_compare(&s);
}
END_TEST

START_TEST(level_is_used)
{
	uint64_t fast;

	seq_make(&s, 0, s.opts.size_bytes, SEQ_TEXT);
	s.opts.compression_level = 1;
	seq_open(&s, true);
	seq_put(&s, 0, s.opts.size_bytes);
	seq_close(&s);
	fast = seq_file_bytes(&s);
	s.opts.compression_level = 19;
	seq_open(&s, true);
	seq_put(&s, 0, s.opts.size_bytes);
	seq_close(&s);
	ck_assert_uint_ne(seq_file_bytes(&s), fast);
	seq_compare(&s);
	s.opts.compression_level = 99;
	ck_fails(vc_disk_create(s.fd, &s.opts, &err), &err, VC_E_ARG);
}
END_TEST

struct write {
	struct vc_disk_req req;
	struct iovec iov;
	enum vc_disk_status status;
};

static void write_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	vc_container_of(req, struct write, req)->status = status;
}

static enum vc_disk_status put_compressed(uint64_t offset, void *buf,
					  size_t len)
{
	struct write w = { .iov = { buf, len }, .status = VC_DISK_EIO };

	w.req = (struct vc_disk_req){ .op = VC_DISK_WRITE_COMPRESSED,
				      .offset_bytes = offset,
				      .length_bytes = len,
				      .iov = &w.iov,
				      .nr_iov = 1,
				      .done = write_done };
	vc_disk_submit(s.disk, &w.req);
	vc_disk_drain(s.disk);
	return w.status;
}

/* What a pool of compressors does. The last cluster may be a whole one. */
START_TEST(takes_compressed_clusters)
{
	vc_auto(vc_disk_compressor) struct vc_disk_compressor *c = NULL;
	static uint8_t buf[FRAME], cluster[FRAME];
	enum vc_disk_compression type;
	uint32_t unit = 0, pos;
	size_t n;

	s.opts.checksums = _i ? VC_DISK_CHECKSUMS_OFF : VC_DISK_CHECKSUMS_ON;
	seq_make(&s, 0, s.opts.size_bytes, SEQ_TEXT);
	memset(s.model + 4 * FRAME, 0, 2 * FRAME);
	seq_open(&s, true);
	type = vc_disk_get_compression(s.disk, &unit);
	ck_assert_int_eq((int)type, _i ? VC_DISK_ZSTD : VC_DISK_ZSTD_CHECKED);
	ck_assert_uint_eq(unit, FRAME);
	ck_ok(vc_disk_compressor_new(type, 3, &c, &err), &err);
	for (pos = 0; pos < s.opts.size_bytes; pos += FRAME) {
		size_t len = s.opts.size_bytes - pos;

		if (pos >= 4 * FRAME && pos < 6 * FRAME)
			continue; /* never written */
		memset(cluster, 0, FRAME);
		memcpy(cluster, s.model + pos, len < FRAME ? len : FRAME);
		n = vc_disk_compress(c, cluster, FRAME, buf, FRAME - 1);
		ck_assert_uint_gt(n, 0);
		ck_assert_int_eq((int)put_compressed(pos, buf, n), VC_DISK_OK);
	}
	seq_close(&s);
	read_file();
	walk_frames();
	seq_compare(&s);
}
END_TEST

#define MANY 150000u /* more than are kept in memory, twice */

/* Frames that differ from one to the next. */
static void put_many(size_t len[2])
{
	vc_auto(vc_disk_compressor) struct vc_disk_compressor *c = NULL;
	vc_auto_free uint8_t *packed = malloc(2 * FRAME);
	vc_auto_free uint8_t *cluster = malloc(FRAME);
	uint32_t i;

	ck_assert(packed && cluster);
	ck_ok(vc_disk_compressor_new(VC_DISK_ZSTD_CHECKED, 0, &c, &err), &err);
	for (i = 0; i < 2; i++) {
		memset(cluster, (int)i + 1, FRAME);
		memcpy(cluster, "0123456789abcdefghij", i * 20);
		len[i] = vc_disk_compress(c, cluster, FRAME, packed + i * FRAME,
					  FRAME - 1);
		ck_assert_uint_gt(len[i], 0);
	}
	ck_assert_uint_ne(len[0], len[1]);
	for (i = 0; i < MANY; i++)
		ck_assert_int_eq((int)put_compressed((uint64_t)i * FRAME,
						     packed + i % 2 * FRAME,
						     len[i % 2]),
				 VC_DISK_OK);
}

START_TEST(large_table_is_kept_aside)
{
	size_t len[2];
	uint8_t byte;
	uint32_t i;

	s.opts.size_bytes = (uint64_t)MANY * FRAME;
	ck_assert_int_eq(ftruncate(s.fd, 0), 0);
	ck_ok(vc_disk_create(s.fd, &s.opts, &err), &err);
	seq_open(&s, true);
	put_many(len);
	seq_close(&s);
	read_file();
	ck_assert_uint_eq(get32(file + file_len - FOOTER), MANY);
	for (i = 0; i < MANY; i++) {
		const uint8_t *e =
			file + table_offset() + 8 + (uint64_t)i * entry_bytes();

		ck_assert_uint_eq(get32(e), len[i % 2]);
		ck_assert_uint_eq(get32(e + 4), FRAME);
	}
	seq_open(&s, false);
	for (i = 1; i < MANY; i += MANY / 10 + 1) {
		ck_ok(vc_disk_read(s.disk, (uint64_t)(i + 1) * FRAME - 1, &byte,
				   1, &err),
		      &err);
		ck_assert_uint_eq(byte, i % 2 + 1);
	}
	seq_close(&s);
}
END_TEST

START_TEST(refuses_wrong_compressed_clusters)
{
	vc_auto(vc_disk_compressor) struct vc_disk_compressor *c = NULL;
	static uint8_t buf[FRAME];
	size_t n;

	seq_make(&s, 0, s.opts.size_bytes, SEQ_TEXT);
	seq_open(&s, true);
	ck_ok(vc_disk_compressor_new(VC_DISK_ZSTD, 0, &c, &err), &err);
	n = vc_disk_compress(c, s.model, FRAME, buf, FRAME - 1);
	/* without a checksum */
	ck_assert_int_eq((int)put_compressed(0, buf, n), VC_DISK_ENOTSUP);
	vc_disk_compressor_free(c);
	c = NULL;
	ck_ok(vc_disk_compressor_new(VC_DISK_ZSTD_CHECKED, 0, &c, &err), &err);
	n = vc_disk_compress(c, s.model, FRAME, buf, FRAME - 1);
	ck_assert_int_eq((int)put_compressed(512, buf, n), VC_DISK_ERANGE);
	ck_assert_int_eq((int)put_compressed(0, buf, n - 1), VC_DISK_ENOTSUP);
	ck_assert_int_eq((int)put_compressed(0, s.model, n), VC_DISK_ENOTSUP);
	ck_assert_int_eq((int)put_compressed(0, buf, n), VC_DISK_OK);
	ck_assert_int_eq((int)put_compressed(0, buf, n), VC_DISK_ENOTSUP);
	n = vc_disk_compress(c, s.model, FRAME / 2, buf, FRAME - 1);
	ck_assert_int_eq((int)put_compressed(FRAME, buf, n), VC_DISK_ENOTSUP);
	seq_put(&s, FRAME, s.opts.size_bytes - FRAME);
	seq_close(&s);
	seq_compare(&s);
}
END_TEST

/* --- images of others ----------------------------------------------------- */

struct entry {
	uint32_t comp, decomp;
};

static uint64_t append(const void *data, size_t len)
{
	uint64_t at = seq_file_bytes(&s);

	seq_poke(&s, at, data, len);
	return at;
}

static void append32(uint32_t v)
{
	le32_t le = le32_put(v);

	append(&le, sizeof(le));
}

static void append_table(const struct entry *e, uint32_t nr)
{
	uint32_t i;

	append32(0x184d2a5e);
	append32(nr * 8 + FOOTER);
	for (i = 0; i < nr; i++) {
		append32(e[i].comp);
		append32(e[i].decomp);
	}
	append32(nr);
	append("", 1);
	append32(0x8f92eab1);
}

static uint32_t append_frame(uint64_t from, size_t len)
{
	size_t max = ZSTD_compressBound(len);
	uint8_t *buf = malloc(max);
	size_t n = ZSTD_compress(buf, max, s.model + from, len, 1);

	ck_assert(!ZSTD_isError(n));
	append(buf, n);
	free(buf);
	return (uint32_t)n;
}

/* Frames of any size, skippable ones among them, at the end and at the front,
 * and more of them than one group has. */
START_TEST(reads_what_others_write)
{
	enum { NR = 400 };
	struct entry e[NR];
	uint64_t pos = 0;
	uint32_t i;

	s.opts.size_bytes = MIB;
	seq_make(&s, 0, MIB, SEQ_NOISE);
	for (i = 0; i < NR; i++) {
		size_t len = i == NR - 2 ? MIB - pos
			     : i == 7	 ? 300000
					 : 1 + i % 500;

		if (i % 5 == 0 || i == NR - 1 || i / 64 == 3) {
			append32(0x184d2a53);
			append32(i);
			append(s.model, i);
			e[i] = (struct entry){ i + 8, 0 };
			continue;
		}
		e[i] = (struct entry){ append_frame(pos, len), (uint32_t)len };
		pos += len;
	}
	ck_assert_uint_eq(pos, MIB);
	append_table(e, NR);
	seq_compare(&s);
}
END_TEST

START_TEST(size_is_rounded_up)
{
	struct entry e = { append_frame(0, 0), 0 };
	struct vc_disk_extent ext;
	uint8_t buf[512], zeroes[512] = { 0 };

	ck_assert_int_eq(ftruncate(s.fd, 0), 0);
	seq_make(&s, 0, 700, SEQ_NOISE);
	e = (struct entry){ append_frame(0, 700), 700 };
	append_table(&e, 1);
	s.opts.size_bytes = 1024;
	seq_open(&s, false);
	memset(buf, 1, sizeof(buf));
	ck_ok(vc_disk_read(s.disk, 512, buf, 512, &err), &err);
	ck_assert_mem_eq(buf, s.model + 512, 188);
	ck_assert_mem_eq(buf + 188, zeroes, 324);
	ck_ok(vc_disk_map(s.disk, 0, 1024, &ext, &err), &err);
	ck_assert_uint_eq(ext.length_bytes, 1024);
	ck_ok(vc_disk_map(s.disk, 1000, 24, &ext, &err), &err);
	ck_assert_uint_eq(ext.length_bytes, 24);
	seq_close(&s);
}
END_TEST

/* --- hostile ones --------------------------------------------------------- */

START_TEST(checksum_is_verified)
{
	static uint8_t buf[FRAME];
	struct vc_disk_check chk = { 0 };

	s.opts.checksums = VC_DISK_CHECKSUMS_ON;
	seq_write_mixture(&s);
	read_file();
	put32(table_offset() + 8 + 12 * 3 + 8, 0xdeadbeef);
	seq_open(&s, false);
	ck_ok(vc_disk_read(s.disk, 2 * FRAME, buf, FRAME, &err), &err);
	ck_assert_int_eq(vc_disk_read(s.disk, 3 * FRAME, buf, 1, &err), -1);
	ck_assert_int_eq(err.sys, EIO);
	/* again, and together with one that is right */
	ck_assert_int_eq(vc_disk_read(s.disk, 4 * FRAME - 1, buf, 2, &err), -1);
	ck_ok(vc_disk_read(s.disk, 4 * FRAME, buf, FRAME, &err), &err);
	seq_close(&s);
	ck_ok(vc_disk_check_fd(s.fd, VC_DISK_FORMAT_ZSTD, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 1);
}
END_TEST

START_TEST(broken_frame_is_an_error)
{
	static uint8_t buf[FRAME];

	s.opts.checksums = VC_DISK_CHECKSUMS_OFF;
	seq_make(&s, 0, s.opts.size_bytes, SEQ_TEXT);
	seq_open(&s, true);
	seq_put(&s, 0, s.opts.size_bytes);
	seq_close(&s);
	seq_poke(&s, 0, "\0\0\0\0", 4);
	seq_open(&s, false);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, buf, 512, &err), -1);
	ck_assert_int_eq(err.sys, EIO);
	ck_ok(vc_disk_read(s.disk, FRAME, buf, 512, &err), &err);
	seq_close(&s);
}
END_TEST

/* More, or less, in a frame than the table says. */
START_TEST(frame_of_another_size_is_an_error)
{
	char buf[512];
	struct entry e = { 0, _i ? 999 : 1001 };

	seq_make(&s, 0, MIB, SEQ_TEXT);
	e.comp = append_frame(0, 1000);
	append_table(&e, 1);
	s.opts.size_bytes = 1024;
	seq_open(&s, false);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, buf, 512, &err), -1);
	ck_assert_int_eq(err.sys, EIO);
	seq_close(&s);
}
END_TEST

/* The table changes under an open image. */
START_TEST(table_that_changes_is_an_error)
{
	static uint8_t buf[FRAME];
	uint64_t t;

	s.opts.checksums = VC_DISK_CHECKSUMS_OFF;
	seq_write_mixture(&s);
	read_file();
	t = table_offset() + 8;
	seq_open(&s, false);
	put32(t + 4, 1u << 31);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, buf, 1, &err), -1);
	put32(t + 4, FRAME + 1);
	put32(t + 12, FRAME - 1);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, buf, 1, &err), -1);
	put32(t + 4, FRAME);
	ck_assert_int_eq(vc_disk_read(s.disk, 0, buf, 1, &err), -1);
	put32(t + 12, FRAME);
	ck_ok(vc_disk_read(s.disk, 0, buf, 1, &err), &err);
	seq_close(&s);
}
END_TEST

START_TEST(lying_tables_are_refused)
{
	uint64_t t, f;

	s.opts.checksums = VC_DISK_CHECKSUMS_OFF;
	seq_write_mixture(&s);
	read_file();
	t = table_offset();
	f = file_len - FOOTER;
	put32(f, 18);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "header does not fit");
	put32(f, UINT32_MAX);
	seq_expect_open_fails(&s, VC_E_LIMIT, "4294967295 frames");
	put32(f, 0x8000000);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "longer than the file");
	/* times 8 is 8 in 32 bits */
	put32(f, 0x20000001);
	seq_expect_open_fails(&s, VC_E_LIMIT, "frames");
	put32(f, 17);
	seq_poke(&s, f + 4, "\x04", 1);
	seq_expect_open_fails(&s, VC_E_UNSUPPORTED, "descriptor 0x04");
	seq_poke(&s, f + 4, "\x80", 1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "header does not fit");
	seq_poke(&s, f + 4, "", 1);
	put32(f + 5, 0x8f92eab0);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "seek table: there is none");
	put32(f + 5, 0x8f92eab1);
	put32(t, 0x184d2a5d);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "header does not fit");
	put32(t, 0x184d2a5e);
	put32(t + 4, 1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "header does not fit");
	put32(t + 4, 17 * 8 + FOOTER);
	put32(t + 8, get32(file + t + 8) + 1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "bytes altogether");
	put32(t + 8, UINT32_MAX);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "frame 0: 131072 bytes in");
	put32(t + 8, 7);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "frame 0: 131072 bytes in 7");
	put32(t + 8, get32(file + t + 8));
	put32(t + 12, 8 * MIB + 1);
	seq_expect_open_fails(&s, VC_E_LIMIT, "frame 0: 8388609 bytes, more");
	put32(t + 12, FRAME);
	seq_compare(&s);
}
END_TEST

/* A file as large as one likes, of which nothing is there. */
START_TEST(sparse_table_takes_no_time)
{
	uint64_t size = UINT64_C(8) * 0x8000000 + FOOTER + 8;

	ck_assert_int_eq(ftruncate(s.fd, (off_t)size), 0);
	put32(0, 0x184d2a5e);
	put32(4, (uint32_t)(size - 8));
	put32(size - 9, 0x8000000);
	put32(size - 4, 0x8f92eab1);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "frame 0");
}
END_TEST

START_TEST(plain_zstd_is_refused_by_name)
{
	struct vc_disk_info info;

	seq_make(&s, 0, MIB, SEQ_TEXT);
	append_frame(0, MIB);
	ck_fails(vc_disk_info_fd(s.fd, VC_DISK_FORMAT_PROBE, &info, &err), &err,
		 VC_E_CORRUPT);
	seq_expect_open_fails(&s, VC_E_CORRUPT, "not a seekable file");
}
END_TEST

TEST_SUITE(suite_zstd)
{
	Suite *suite = suite_create("disk/zstd");
	TCase *tc = test_case(suite, "zstd");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, frames_fit_a_small_buffer, 0, 2);
	tcase_add_test(tc, level_is_used);
	tcase_add_loop_test(tc, takes_compressed_clusters, 0, 2);
	tcase_add_test(tc, large_table_is_kept_aside);
	tcase_add_test(tc, refuses_wrong_compressed_clusters);
	tcase_add_test(tc, reads_what_others_write);
	tcase_add_test(tc, size_is_rounded_up);
	tcase_add_test(tc, checksum_is_verified);
	tcase_add_test(tc, broken_frame_is_an_error);
	tcase_add_loop_test(tc, frame_of_another_size_is_an_error, 0, 2);
	tcase_add_test(tc, table_that_changes_is_an_error);
	tcase_add_test(tc, lying_tables_are_refused);
	tcase_add_test(tc, sparse_table_takes_no_time);
	tcase_add_test(tc, plain_zstd_is_refused_by_name);
	return suite;
}
