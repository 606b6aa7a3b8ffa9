/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots, bitmaps, sizes, repair: what damaged tables lead to. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/qcow2.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB ((uint64_t)1024 * 1024)

static struct vc_error err;

static void resize(struct image *im, uint64_t size)
{
	ck_ok(image_resize(im, size, &err), &err);
}

/* --- tables of a snapshot --------------------------------------------------- */

#define NR_TABLES 20
#define TABLE_REACH (UINT64_C(512) << 30) /* clusters of 2 MiB */

struct table_write {
	struct vc_disk_req req;
	struct iovec iov;
	enum vc_disk_status status;
};

static void table_written(struct vc_disk_req *req, enum vc_disk_status status)
{
	vc_container_of(req, struct table_write, req)->status = status;
}

/* One sector for each of the tables, all at once. */
static void write_tables(int fd, uint32_t cache_bytes, char *text)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2,
					.writable = true,
					.cache_bytes = cache_bytes };
	static struct table_write w[NR_TABLES];
	struct vc_disk *d;
	unsigned i;

	ck_ok(vc_disk_open_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0), &oo, NULL, &d,
			      &err),
	      &err);
	for (i = 0; i < NR_TABLES; i++) {
		w[i] = (struct table_write){
			.req = { .op = VC_DISK_WRITE,
				 .offset_bytes = i * TABLE_REACH,
				 .length_bytes = 512,
				 .iov = &w[i].iov,
				 .nr_iov = 1,
				 .done = table_written },
			.iov = { text, 512 },
			.status = VC_DISK_EIO,
		};
		vc_disk_submit(d, &w[i].req);
	}
	vc_disk_drain(d);
	for (i = 0; i < NR_TABLES; i++)
		ck_assert_int_eq(w[i].status, VC_DISK_OK);
	ck_ok(vc_disk_close(d, &err), &err);
}

/* L2 tables of 2 MiB that a snapshot has as well are copied, however little
 * memory there is for them and however many at a time. */
START_TEST(large_tables_are_copied)
{
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = NR_TABLES * TABLE_REACH,
					  .cluster_bytes = 2 << 20 };
	struct vc_disk_check chk = { 0 };
	int fd = memfd_create("image", MFD_CLOEXEC);
	char text[512] = "before";

	ck_ok(vc_disk_create(fd, &co, &err), &err);
	write_tables(fd, 0, text);
	ck_ok(vc_qcow2_snapshot_create(fd, "s", &err), &err);
	memcpy(text, "after!", 6);
	write_tables(fd, _i ? 0 : 1 << 20, text);
	ck_ok(vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions + chk.nr_leaks, 0);
	close(fd);
}
END_TEST

/* --- hostile tables ----------------------------------------------------------- */

/* A snapshot's table entry is found through the header. */
static const struct {
	unsigned offset, bits;
	uint64_t value;
	enum vc_errc code;
	const char *text;
} snapshot_fields[] = {
	{ 0, 64, 0x10001, VC_E_CORRUPT, "L1 offset 0x10001: bad value" },
	{ 0, 64, 0, VC_E_CORRUPT, "L1 offset 0: bad value" },
	{ 0, 64, UINT64_C(1) << 50, VC_E_CORRUPT, "L1 offset" },
	{ 8, 32, UINT32_MAX, VC_E_CORRUPT, "L1 size 0xffffffff: bad value" },
	{ 36, 32, UINT32_MAX, VC_E_CORRUPT, "extra data size 0xffffffff" },
};

START_TEST(snapshot_table_is_checked)
{
	struct vc_qcow2_snapshots s;
	struct image im;
	uint64_t at;

	image_make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	at = image_get(&im, 64, 64);
	image_put(&im, at + snapshot_fields[_i].offset,
		  snapshot_fields[_i].bits, snapshot_fields[_i].value);
	ck_fails(vc_qcow2_snapshot_list(im.fd, &s, &err), &err,
		 snapshot_fields[_i].code);
	ck_assert_msg(strstr(err.msg, snapshot_fields[_i].text) != NULL, "%s",
		      err.msg);
	ck_fails(vc_qcow2_snapshot_apply(im.fd, "s", &err), &err,
		 snapshot_fields[_i].code);
	ck_fails(vc_qcow2_snapshot_delete(im.fd, "s", &err), &err,
		 snapshot_fields[_i].code);
	/* too many of them */
	image_put(&im, 60, 32, UINT32_MAX);
	ck_fails(vc_qcow2_snapshot_list(im.fd, &s, &err), &err, VC_E_LIMIT);
	ck_assert(strstr(err.msg, "nb_snapshots 4294967295: more than 65536"));
	image_fini(&im);
}
END_TEST

static const struct {
	unsigned offset, bits;
	uint64_t value;
	enum vc_errc code;
	const char *text;
} bitmap_fields[] = {
	{ 8, 32, UINT32_MAX, VC_E_CORRUPT, "table size 0xffffffff: bad" },
	{ 17, 8, 8, VC_E_CORRUPT, "granularity_bits 0x8: bad value" },
	{ 17, 8, 63, VC_E_CORRUPT, "granularity_bits 0x3f: bad value" },
	{ 18, 16, 0, VC_E_CORRUPT, "name size 0: bad value" },
	{ 18, 16, 0xffff, VC_E_CORRUPT, "name size 0xffff: bad value" },
	{ 20, 32, UINT32_MAX, VC_E_CORRUPT, "name size" },
};

/* The offset of the bitmaps extension's data in the header. */
static uint64_t find_extension(struct image *im)
{
	uint64_t pos = 112;

	while (image_get(im, pos, 32) != 0x23852875) {
		ck_assert_uint_ne(image_get(im, pos, 32), 0);
		pos += 8 + ((image_get(im, pos + 4, 32) + 7) & ~UINT64_C(7));
	}
	return pos + 8;
}

START_TEST(bitmap_directory_is_checked)
{
	struct vc_qcow2_bitmaps b;
	struct vc_disk_check chk = { 0 };
	struct image im;
	uint64_t ext, dir;

	image_make(&im, 0);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	ext = find_extension(&im);
	dir = image_get(&im, ext + 16, 64);
	image_put(&im, dir + bitmap_fields[_i].offset, bitmap_fields[_i].bits,
		  bitmap_fields[_i].value);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err,
		 bitmap_fields[_i].code);
	ck_assert_msg(strstr(err.msg, bitmap_fields[_i].text) != NULL, "%s",
		      err.msg);
	ck_fails(vc_qcow2_bitmap_remove(im.fd, "b", &err), &err,
		 bitmap_fields[_i].code);
	/* a directory that claims more entries than it has bytes */
	image_put(&im, ext, 32, 65535);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_CORRUPT);
	ck_assert(strstr(err.msg, "nb_bitmaps 0xffff: bad value"));
	ck_fails(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err, VC_E_CORRUPT);
	image_put(&im, ext, 32, 65536);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_LIMIT);
	image_put(&im, ext, 32, 1);
	image_put(&im, ext + 8, 64, UINT64_MAX);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_LIMIT);
	ck_assert(strstr(err.msg, "bitmap_directory_size"));
	image_put(&im, ext + 8, 64, 1 << 20);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_CORRUPT);
	image_fini(&im);
}
END_TEST

/* Refcounts of one bit count no snapshot; the image stays what it was. */
START_TEST(refcount_overflow_changes_nothing)
{
	struct image im;

	image_create(&im, MIB, 4096, 1, 3, 1);
	image_open(&im, NULL);
	image_fill(&im, 0, 50000);
	image_close(&im);
	ck_fails(vc_qcow2_snapshot_create(im.fd, "s", &err), &err, VC_E_LIMIT);
	ck_assert(strstr(err.msg, "more than 1 refcount bits can count"));
	image_check(&im);
	image_open(&im, NULL);
	image_compare(&im);
	image_close(&im);
	image_fini(&im);
}
END_TEST

/* --- what others put into the header ---------------------------------------- */

#define FOREIGN_EXT 0x76e1a3c5u
static const char foreign[] = "not ours, 21 bytes...";

static void add_foreign(struct image *im)
{
	uint64_t pos = image_get(im, 100, 32);

	while (image_get(im, pos, 32))
		pos += 8 + ((image_get(im, pos + 4, 32) + 7) & ~UINT64_C(7));
	image_put(im, pos, 32, FOREIGN_EXT);
	image_put(im, pos + 4, 32, sizeof(foreign) - 1);
	ck_assert_int_eq(vc_pwrite_full(im->fd, foreign, sizeof(foreign) - 1,
					pos + 8),
			 0);
	image_put(im, vc_align_up(pos + 8 + sizeof(foreign) - 1, 8), 64, 0);
}

/* It is there once, whole, and the list goes on to its end. */
static void check_foreign(struct image *im, const char *after)
{
	char data[sizeof(foreign)] = "";
	unsigned nr = 0, nr_exts = 0;
	uint64_t pos = image_get(im, 100, 32), type;

	while ((type = image_get(im, pos, 32)) != 0) {
		uint64_t len = image_get(im, pos + 4, 32);

		ck_assert_uint_lt(nr_exts++, 10);
		if (type == FOREIGN_EXT) {
			nr++;
			ck_assert_uint_eq(len, sizeof(foreign) - 1);
			ck_assert_int_eq(
				vc_pread_full(im->fd, data, len, pos + 8), 0);
		}
		pos += 8 + ((len + 7) & ~UINT64_C(7));
	}
	ck_assert_msg(nr == 1 && !strcmp(data, foreign), "after %s: %u, '%s'",
		      after, nr, data);
}

START_TEST(foreign_extension_is_kept)
{
	struct vc_qcow2_amend_opts ao;
	struct vc_disk_check chk;
	struct image im;

	image_make(&im, 0);
	add_foreign(&im);
	check_foreign(&im, "nothing");
	vc_qcow2_amend_opts_init(&ao);
	ao.lazy_refcounts = 1;
	ao.refcount_bits = 32;
	ao.backing_file = "a";
	ao.backing_format = "raw";
	ck_ok(vc_qcow2_amend(im.fd, &ao, &err), &err);
	check_foreign(&im, "amend");
	vc_qcow2_amend_opts_init(&ao);
	ao.lazy_refcounts = 0;
	ao.backing_file = "";
	ck_ok(vc_qcow2_amend(im.fd, &ao, &err), &err);
	check_foreign(&im, "amend back");
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	check_foreign(&im, "snapshot");
	ck_ok(vc_qcow2_snapshot_apply(im.fd, "s", &err), &err);
	check_foreign(&im, "snapshot applied");
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	check_foreign(&im, "bitmap");
	resize(&im, 20 * MIB);
	check_foreign(&im, "resize");
	ck_ok(vc_qcow2_bitmap_remove(im.fd, "b", &err), &err);
	check_foreign(&im, "bitmap removed");
	resize(&im, 8 * MIB);
	check_foreign(&im, "resize back");
	ck_ok(vc_qcow2_snapshot_delete(im.fd, "s", &err), &err);
	check_foreign(&im, "snapshot deleted");
	image_repair(&im, VC_DISK_REPAIR_ALL, &chk);
	check_foreign(&im, "repair");
	image_open(&im, NULL);
	image_fill(&im, MIB, 200000);
	image_compare(&im);
	image_close(&im);
	check_foreign(&im, "writes");
	/* a version 2 header has extensions, too */
	vc_qcow2_amend_opts_init(&ao);
	ao.version = 2;
	ao.refcount_bits = 16;
	ck_ok(vc_qcow2_amend(im.fd, &ao, &err), &err);
	vc_qcow2_amend_opts_init(&ao);
	ao.version = 3;
	ck_ok(vc_qcow2_amend(im.fd, &ao, &err), &err);
	check_foreign(&im, "version 2 and back");
	image_fini(&im);
}
END_TEST

/* --- repair -------------------------------------------------------------------- */

static char last_finding[256];

static void note_finding(struct vc_disk_check *chk, bool is_leak,
			 const char *text)
{
	(void)chk;
	(void)is_leak;
	if (!last_finding[0])
		snprintf(last_finding, sizeof(last_finding), "%s", text);
}

/* Each in an image of 64 KiB clusters: L1 at the fourth, L2 after it. */
START_TEST(repair_drops_what_cannot_be)
{
	static const struct {
		uint64_t in_l1, in_l2, value;
		const char *text;
	} cases[] = {
		{ 0, 0, 0, "" }, /* nothing wrong */
		{ 0, 8, UINT64_C(0x8000000000050200), "entry 0 (guest" },
		{ 0, 8, UINT64_C(0x8000100000000000), "beyond the end" },
		{ 0, 8, UINT64_C(0x8000000000050002), "reserved bits set" },
		{ 0, 8, UINT64_C(0x8000000000000000), "but not there" },
		{ 0, 8, UINT64_C(0x4fff000000000000), "beyond the end" },
		{ 8, 0, UINT64_C(0x8000000000040200),
		  "entry 0: offset not aligned" },
		{ 8, 0, UINT64_C(0x8000400000000000), "beyond the end" },
	};
	struct vc_disk_check chk = { .report = note_finding };
	struct image im;
	uint64_t l1, l2;

	image_make(&im, 0);
	l1 = image_get(&im, 40, 64);
	l2 = image_get(&im, l1, 64) & UINT64_C(0xfffffffffffe00);
	if (cases[_i].in_l1)
		image_put(&im, l1, 64, cases[_i].value);
	if (cases[_i].in_l2)
		image_put(&im, l2, 64, cases[_i].value);
	last_finding[0] = '\0';
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(last_finding, cases[_i].text) != NULL, "%s",
		      last_finding);
	ck_assert_int_eq(chk.nr_corruptions > 0, _i > 0);
	image_repair(&im, VC_DISK_REPAIR_ALL, &chk);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	ck_assert_uint_eq(chk.nr_leaks, 0);
	ck_assert_int_eq(chk.nr_corruptions_fixed > 0, _i > 0);
	image_check(&im);
	image_open(&im, NULL);
	/* what was dropped may be written again */
	image_fill(&im, 0, 100000);
	image_fill(&im, 3 * MIB, 70000);
	image_fill(&im, 8 * MIB - 5000, 5000);
	image_compare(&im);
	image_close(&im);
	image_fini(&im);
}
END_TEST

static char all_findings[16384];

static void note_all(struct vc_disk_check *chk, bool is_leak, const char *text)
{
	size_t n = strlen(all_findings);

	(void)chk;
	(void)is_leak;
	snprintf(all_findings + n, sizeof(all_findings) - n, "%s\n", text);
}

/* Without any refcounts, everything that refers to something is named. */
START_TEST(check_names_owners)
{
	static const char *const texts[] = {
		"referred to by the header (L1 table)\n",
		"referred to by the header (snapshot table)\n",
		"referred to by snapshot 0: L1 table\n",
		", snapshot 0: L1 table 0x",
		", snapshot 0: L2 table 0x",
		"referred to by the header (bitmap directory)\n",
		"referred to by bitmap 0 (table)",
		", bitmap 0: table 0x",
		"ERROR bitmap 0: table 0x",
		" entry 1: bad value: 0x2\n",
	};
	struct vc_disk_check chk = { .report = note_all };
	static const uint8_t none[65536];
	uint64_t dir, table;
	struct image im;
	size_t i;

	image_make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	/* two clusters of bits: 8 MiB, a bit each 512 bytes: none is there */
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 512, true, &err), &err);
	resize(&im, UINT64_C(512) * MIB);
	dir = image_get(&im, find_extension(&im) + 16, 64);
	table = image_get(&im, dir, 64);
	ck_assert_uint_ge(image_get(&im, dir + 8, 32), 2);
	image_put(&im, table, 64, table); /* bits in its own table */
	image_put(&im, table + 8, 64, 2);
	ck_assert_int_eq(
		vc_pwrite_full(im.fd, none, sizeof(none),
			       image_get(&im, image_get(&im, 48, 64), 64)),
		0);
	all_findings[0] = '\0';
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	for (i = 0; i < VC_ARRAY_SIZE(texts); i++)
		ck_assert_msg(strstr(all_findings, texts[i]) != NULL,
			      "not '%s' in '%s'", texts[i], all_findings);
	image_fini(&im);
}
END_TEST

/* What cannot be read goes; a snapshot, which is data, does not. */
START_TEST(repair_drops_unreadable_bitmaps)
{
	static const struct {
		unsigned offset, bits;
		uint64_t value;
		const char *text;
	} cases[] = {
		{ 20, 32, UINT32_MAX, "cut short in entry 0: all bitmaps" },
		{ 0, 64, 0x12345, "bitmap 0: table 0x12345: bad offset: all" },
		{ 0, 64, UINT64_C(1) << 50,
		  "bad offset: all bitmaps are drop" },
	};
	struct vc_disk_check chk = { .report = note_all };
	struct vc_qcow2_snapshots s;
	struct vc_qcow2_bitmaps b;
	struct image im;
	uint64_t dir;

	image_make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "c", 0, true, &err), &err);
	dir = image_get(&im, find_extension(&im) + 16, 64);
	image_put(&im, dir + cases[_i].offset, cases[_i].bits, cases[_i].value);
	all_findings[0] = '\0';
	chk.repair = VC_DISK_REPAIR_ALL;
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(all_findings, cases[_i].text) != NULL, "%s",
		      all_findings);
	ck_assert_uint_gt(chk.nr_corruptions_fixed, 0);
	image_check(&im);
	ck_ok(vc_qcow2_bitmap_list(im.fd, &b, &err), &err);
	ck_assert_uint_eq(b.nr, 0);
	vc_qcow2_bitmaps_fini(&b);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	image_check(&im);
	ck_ok(vc_qcow2_snapshot_list(im.fd, &s, &err), &err);
	ck_assert_uint_eq(s.nr, 1);
	vc_qcow2_snapshots_fini(&s);
	/* a snapshot that has lost its table can be deleted */
	image_put(&im, image_get(&im, 64, 64), 64, 0x10001);
	ck_fails(vc_qcow2_snapshot_delete(im.fd, "s", &err), &err,
		 VC_E_CORRUPT);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(all_findings, "snapshot 0: ") != NULL, "%s",
		      all_findings);
	image_check(&im);
	ck_ok(vc_qcow2_snapshot_delete(im.fd, "s", &err), &err);
	image_check(&im);
	image_fini(&im);
}
END_TEST

/* Refcounts that are nonsense, in every shape, are made anew. */
START_TEST(repair_rebuilds_refcounts)
{
	struct vc_disk_check chk;
	struct image im;
	uint64_t table, block, i;

	image_make(&im, _i);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	image_check(&im);
	table = image_get(&im, 48, 64);
	block = image_get(&im, table, 64);
	for (i = 0; i < image_shapes[_i].cluster; i += 8)
		image_put(&im, block + i, 64,
			  image_random(&im) & UINT64_C(0x0103010301030103));
	image_repair(&im, VC_DISK_REPAIR_LEAKS, &chk);
	ck_assert_uint_eq(chk.nr_leaks, 0);
	image_repair(&im, VC_DISK_REPAIR_ALL, &chk);
	image_check(&im);
	image_put(&im, image_get(&im, 48, 64), 64, 0x12345);
	image_repair(&im, VC_DISK_REPAIR_ALL, &chk);
	image_check(&im);
	image_open(&im, NULL);
	image_compare(&im);
	image_fill(&im, 50000, 100000);
	image_compare(&im);
	image_close(&im);
	ck_ok(vc_qcow2_snapshot_delete(im.fd, "1", &err), &err);
	image_check(&im);
	image_fini(&im);
}
END_TEST

TEST_SUITE(suite_qcow2_manage)
{
	Suite *s = suite_create("disk/qcow2 manage");
	TCase *tc = test_case(s, "manage");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, large_tables_are_copied, 0, 2);
	tcase_add_loop_test(tc, snapshot_table_is_checked, 0,
			    (int)VC_ARRAY_SIZE(snapshot_fields));
	tcase_add_loop_test(tc, bitmap_directory_is_checked, 0,
			    (int)VC_ARRAY_SIZE(bitmap_fields));
	tcase_add_test(tc, refcount_overflow_changes_nothing);
	tcase_add_test(tc, check_names_owners);
	tcase_add_test(tc, foreign_extension_is_kept);
	tcase_add_loop_test(tc, repair_drops_what_cannot_be, 0, 8);
	tcase_add_loop_test(tc, repair_drops_unreadable_bitmaps, 0, 3);
	tcase_add_loop_test(tc, repair_rebuilds_refcounts, 0, NR_IMAGE_SHAPES);
	return s;
}
