/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots, bitmaps, sizes, repair: what damaged tables lead to, and what is
 * left of an image whose manager is killed. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/qcow2.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB ((uint64_t)1024 * 1024)
#define KILLS 40

static struct vc_error err;

static void put(struct image *im, uint64_t offset, unsigned bits, uint64_t v)
{
	be64_t be = be64_put(v << (64 - bits));

	ck_assert_int_eq(vc_pwrite_full(im->fd, &be, bits / 8, offset), 0);
}

static uint64_t get(struct image *im, uint64_t offset, unsigned bits)
{
	be64_t be = be64_put(0);

	ck_assert_int_eq(vc_pread_full(im->fd, &be, bits / 8, offset), 0);
	return be64_get(be) >> (64 - bits);
}

static void fill(struct image *im, uint64_t offset, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		im->model[offset + i] = (uint8_t)(image_random(im) | 1);
	ck_ok(vc_disk_write(im->disk, offset, im->model + offset, len, &err),
	      &err);
}

static const struct {
	uint32_t cluster;
	unsigned refcount_bits, version;
} shapes[] = {
	{ 65536, 16, 3 }, { 512, 16, 3 }, { 4096, 64, 3 },
	{ 65536, 16, 2 }, { 512, 8, 3 },
};
#define NR_SHAPES ((int)VC_ARRAY_SIZE(shapes))

static void make(struct image *im, int shape)
{
	image_create(im, 8 * MIB, shapes[shape].cluster,
		     shapes[shape].refcount_bits, shapes[shape].version, 1);
	image_open(im, NULL);
	fill(im, 0, 100000);
	fill(im, 3 * MIB, 70000);
	fill(im, 8 * MIB - 5000, 5000);
	image_close(im);
}

static int try_resize(struct image *im, uint64_t size)
{
	struct vc_disk_resize_opts ro = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = size,
					  .no_lock = true,
					  .shrink = true };
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", im->fd);
	return vc_disk_resize(path, &ro, NULL, &err);
}

static void resize(struct image *im, uint64_t size)
{
	ck_ok(try_resize(im, size), &err);
}

static void repair(struct image *im, enum vc_disk_repair how,
		   struct vc_disk_check *chk)
{
	*chk = (struct vc_disk_check){ .repair = how };
	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, chk, &err), &err);
}

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

	make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	at = get(&im, 64, 64);
	put(&im, at + snapshot_fields[_i].offset, snapshot_fields[_i].bits,
	    snapshot_fields[_i].value);
	ck_fails(vc_qcow2_snapshot_list(im.fd, &s, &err), &err,
		 snapshot_fields[_i].code);
	ck_assert_msg(strstr(err.msg, snapshot_fields[_i].text) != NULL, "%s",
		      err.msg);
	ck_fails(vc_qcow2_snapshot_apply(im.fd, "s", &err), &err,
		 snapshot_fields[_i].code);
	ck_fails(vc_qcow2_snapshot_delete(im.fd, "s", &err), &err,
		 snapshot_fields[_i].code);
	/* too many of them */
	put(&im, 60, 32, UINT32_MAX);
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

	while (get(im, pos, 32) != 0x23852875) {
		ck_assert_uint_ne(get(im, pos, 32), 0);
		pos += 8 + ((get(im, pos + 4, 32) + 7) & ~UINT64_C(7));
	}
	return pos + 8;
}

START_TEST(bitmap_directory_is_checked)
{
	struct vc_qcow2_bitmaps b;
	struct vc_disk_check chk = { 0 };
	struct image im;
	uint64_t ext, dir;

	make(&im, 0);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	ext = find_extension(&im);
	dir = get(&im, ext + 16, 64);
	put(&im, dir + bitmap_fields[_i].offset, bitmap_fields[_i].bits,
	    bitmap_fields[_i].value);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err,
		 bitmap_fields[_i].code);
	ck_assert_msg(strstr(err.msg, bitmap_fields[_i].text) != NULL, "%s",
		      err.msg);
	ck_fails(vc_qcow2_bitmap_remove(im.fd, "b", &err), &err,
		 bitmap_fields[_i].code);
	/* a directory that claims more entries than it has bytes */
	put(&im, ext, 32, 65535);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_CORRUPT);
	ck_assert(strstr(err.msg, "nb_bitmaps 0xffff: bad value"));
	ck_fails(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err, VC_E_CORRUPT);
	put(&im, ext, 32, 65536);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_LIMIT);
	put(&im, ext, 32, 1);
	put(&im, ext + 8, 64, UINT64_MAX);
	ck_fails(vc_qcow2_bitmap_list(im.fd, &b, &err), &err, VC_E_LIMIT);
	ck_assert(strstr(err.msg, "bitmap_directory_size"));
	put(&im, ext + 8, 64, 1 << 20);
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
	fill(&im, 0, 50000);
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
	uint64_t pos = get(im, 100, 32);

	while (get(im, pos, 32))
		pos += 8 + ((get(im, pos + 4, 32) + 7) & ~UINT64_C(7));
	put(im, pos, 32, FOREIGN_EXT);
	put(im, pos + 4, 32, sizeof(foreign) - 1);
	ck_assert_int_eq(vc_pwrite_full(im->fd, foreign, sizeof(foreign) - 1,
					pos + 8),
			 0);
	put(im, vc_align_up(pos + 8 + sizeof(foreign) - 1, 8), 64, 0);
}

/* It is there once, whole, and the list goes on to its end. */
static void check_foreign(struct image *im, const char *after)
{
	char data[sizeof(foreign)] = "";
	unsigned nr = 0, nr_exts = 0;
	uint64_t pos = get(im, 100, 32), type;

	while ((type = get(im, pos, 32)) != 0) {
		uint64_t len = get(im, pos + 4, 32);

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

	make(&im, 0);
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
	repair(&im, VC_DISK_REPAIR_ALL, &chk);
	check_foreign(&im, "repair");
	image_open(&im, NULL);
	fill(&im, MIB, 200000);
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

	make(&im, 0);
	l1 = get(&im, 40, 64);
	l2 = get(&im, l1, 64) & UINT64_C(0xfffffffffffe00);
	if (cases[_i].in_l1)
		put(&im, l1, 64, cases[_i].value);
	if (cases[_i].in_l2)
		put(&im, l2, 64, cases[_i].value);
	last_finding[0] = '\0';
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(last_finding, cases[_i].text) != NULL, "%s",
		      last_finding);
	ck_assert_int_eq(chk.nr_corruptions > 0, _i > 0);
	repair(&im, VC_DISK_REPAIR_ALL, &chk);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	ck_assert_uint_eq(chk.nr_leaks, 0);
	ck_assert_int_eq(chk.nr_corruptions_fixed > 0, _i > 0);
	image_check(&im);
	image_open(&im, NULL);
	/* what was dropped may be written again */
	fill(&im, 0, 100000);
	fill(&im, 3 * MIB, 70000);
	fill(&im, 8 * MIB - 5000, 5000);
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

	make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	/* two clusters of bits: 8 MiB, a bit each 512 bytes: none is there */
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 512, true, &err), &err);
	resize(&im, UINT64_C(512) * MIB);
	dir = get(&im, find_extension(&im) + 16, 64);
	table = get(&im, dir, 64);
	ck_assert_uint_ge(get(&im, dir + 8, 32), 2);
	put(&im, table, 64, table); /* bits in its own table */
	put(&im, table + 8, 64, 2);
	ck_assert_int_eq(vc_pwrite_full(im.fd, none, sizeof(none),
					get(&im, get(&im, 48, 64), 64)),
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

	make(&im, 0);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "b", 0, true, &err), &err);
	ck_ok(vc_qcow2_bitmap_add(im.fd, "c", 0, true, &err), &err);
	dir = get(&im, find_extension(&im) + 16, 64);
	put(&im, dir + cases[_i].offset, cases[_i].bits, cases[_i].value);
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
	/* the table of snapshots: not even then */
	ck_ok(vc_qcow2_snapshot_list(im.fd, &s, &err), &err);
	ck_assert_uint_eq(s.nr, 1);
	vc_qcow2_snapshots_fini(&s);
	put(&im, get(&im, 64, 64), 64, 0x10001);
	ck_fails(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err, VC_E_CORRUPT);
	ck_assert_msg(strstr(err.msg, "snapshot 0: ") != NULL, "%s", err.msg);
	image_fini(&im);
}
END_TEST

/* Refcounts that are nonsense, in every shape, are made anew. */
START_TEST(repair_rebuilds_refcounts)
{
	struct vc_disk_check chk;
	struct image im;
	uint64_t table, block, i;

	make(&im, _i);
	ck_ok(vc_qcow2_snapshot_create(im.fd, "s", &err), &err);
	image_check(&im);
	table = get(&im, 48, 64);
	block = get(&im, table, 64);
	for (i = 0; i < shapes[_i].cluster; i += 8)
		put(&im, block + i, 64,
		    image_random(&im) & UINT64_C(0x0103010301030103));
	repair(&im, VC_DISK_REPAIR_LEAKS, &chk);
	ck_assert_uint_eq(chk.nr_leaks, 0);
	repair(&im, VC_DISK_REPAIR_ALL, &chk);
	image_check(&im);
	put(&im, get(&im, 48, 64), 64, 0x12345);
	repair(&im, VC_DISK_REPAIR_ALL, &chk);
	image_check(&im);
	image_open(&im, NULL);
	image_compare(&im);
	fill(&im, 50000, 100000);
	image_compare(&im);
	image_close(&im);
	ck_ok(vc_qcow2_snapshot_delete(im.fd, "1", &err), &err);
	image_check(&im);
	image_fini(&im);
}
END_TEST

/* --- killed ---------------------------------------------------------------------- */

/* For a process that is killed: a check of the test's own reports to the parent,
 * and half a report is none. */
static void must(int ret)
{
	if (ret < 0)
		_exit(3);
}

static void must_open(struct image *im, struct vc_disk *backing, bool writable)
{
	struct vc_disk_open_opts oo = im->open;
	int fd = fcntl(im->fd, F_DUPFD_CLOEXEC, 0);

	oo.writable = writable;
	must(fd);
	must(vc_disk_open_fd(fd, &oo, backing, &im->disk, &err));
}

static void must_open_chain(struct image *top, struct image *base,
			    bool writable)
{
	struct image lower = *base;

	must_open(&lower, NULL, false);
	must_open(top, lower.disk, writable);
}

/* Whatever it does, what the disk reads is the same. */
static void manage(struct image *im)
{
	char name[16];
	unsigned i;

	for (i = 0;; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		if (vc_qcow2_snapshot_create(im->fd, name, &err) < 0 ||
		    vc_qcow2_snapshot_apply(im->fd, name, &err) < 0)
			_exit(3);
		if (im->opts.version == 3) {
			must(try_resize(im, (9 + i % 7) * MIB));
			/* one killed before may have left it */
			if (vc_qcow2_bitmap_add(im->fd, name, 0, true, &err) <
				    0 &&
			    err.code != VC_E_ARG)
				_exit(5);
			if (vc_qcow2_bitmap_remove(im->fd, name, &err) < 0)
				_exit(6);
			must(try_resize(im, 8 * MIB));
		}
		if (vc_qcow2_snapshot_delete(im->fd, name, &err) < 0)
			_exit(4);
	}
}

static void kill_after(pid_t pid, unsigned us)
{
	int status;

	ck_assert_int_ge(pid, 0);
	usleep(us);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "status %x", status);
}

static void check_survivor(struct image *im)
{
	struct vc_disk_check chk = { 0 };

	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
}

static void ask_qemu(const struct image *im)
{
	char command[300];
	int status;

	snprintf(command, sizeof(command),
		 "qemu-img check -q 'json:{\"driver\":\"qcow2\",\"backing\":"
		 "null,\"file\":{\"driver\":\"file\",\"filename\":"
		 "\"/proc/%d/fd/%d\"}}' >/dev/null 2>&1",
		 (int)getpid(), im->fd);
	status = system(command);
	ck_assert(WIFEXITED(status));
	/* 0 clean, 3 leaks, 127 not there */
	ck_assert_msg(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3 ||
			      WEXITSTATUS(status) == 127,
		      "qemu-img check: %d", WEXITSTATUS(status));
}

static void drop_all(struct image *im)
{
	struct vc_qcow2_snapshots s;
	struct vc_qcow2_bitmaps b;
	unsigned i;

	ck_ok(vc_qcow2_bitmap_list(im->fd, &b, &err), &err);
	for (i = 0; i < b.nr; i++)
		ck_ok(vc_qcow2_bitmap_remove(im->fd, b.items[i].name, &err),
		      &err);
	vc_qcow2_bitmaps_fini(&b);
	ck_ok(vc_qcow2_snapshot_list(im->fd, &s, &err), &err);
	for (i = 0; i < s.nr; i++)
		ck_ok(vc_qcow2_snapshot_delete(im->fd, s.items[i].id, &err),
		      &err);
	vc_qcow2_snapshots_fini(&s);
}

START_TEST(killed_manager_changes_nothing)
{
	struct image im;
	int round;

	make(&im, _i);
	for (round = 1; round <= KILLS; round++) {
		pid_t pid = fork();

		if (!pid)
			manage(&im);
		kill_after(pid, image_random(&im) % 12000);
		check_survivor(&im);
		if (round % 10 == 0)
			ask_qemu(&im);
		drop_all(&im);
		/* version 2 keeps its size */
		if (shapes[_i].version == 3)
			resize(&im, 8 * MIB);
		image_open(&im, NULL);
		image_compare(&im);
		if (round % 4 == 0)
			fill(&im, image_random(&im) % (7 * MIB), 30000);
		ck_ok(vc_disk_close(im.disk, &err), &err);
		im.disk = NULL;
	}
	image_fini(&im);
}
END_TEST

static struct vc_disk *open_chain(struct image *top, struct image *base,
				  bool writable)
{
	struct vc_disk_open_opts oo = base->open;
	struct vc_disk *lower;
	int fd = fcntl(base->fd, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	oo.writable = false;
	ck_ok(vc_disk_open_fd(fd, &oo, NULL, &lower, &err), &err);
	top->open.writable = writable;
	image_open(top, lower);
	return top->disk;
}

/* Write again what is there, so that it is the top's own. */
static void write_same(struct image *im)
{
	uint64_t at = image_random(im) % (7 * MIB);

	must(vc_disk_write(im->disk, at, im->model + at, 50000, &err));
}

/* Whenever it dies, the top reads the same. */
static void commit_forever(struct image *top, struct image *base)
{
	struct vc_disk_copy_opts co = { 0 };

	for (;;) {
		must_open_chain(top, base, false);
		must_open(base, NULL, true);
		must(vc_disk_commit(top->disk, 1, base->disk, &co, &err));
		must(vc_disk_close(base->disk, &err));
		vc_disk_drop(top->disk);
		must(vc_qcow2_make_empty(top->fd, &err));
		must_open_chain(top, base, true);
		write_same(top);
		must(vc_disk_close(top->disk, &err));
	}
}

START_TEST(killed_commit_loses_nothing)
{
	struct vc_qcow2_amend_opts ao;
	struct image top, base;
	int round;

	make(&base, _i);
	image_create(&top, 8 * MIB, shapes[_i].cluster, 16, shapes[_i].version,
		     1);
	vc_qcow2_amend_opts_init(&ao);
	ao.backing_file = "base";
	ao.backing_format = "qcow2";
	ck_ok(vc_qcow2_amend(top.fd, &ao, &err), &err);
	memcpy(top.model, base.model, 8 * MIB);
	for (round = 1; round <= KILLS / 2; round++) {
		pid_t pid;

		open_chain(&top, &base, true);
		fill(&top, image_random(&top) % (7 * MIB), 50000);
		ck_ok(vc_disk_zero(top.disk, image_random(&top) % (7 * MIB), 0,
				   &err),
		      &err);
		ck_ok(vc_disk_close(top.disk, &err), &err);
		top.disk = NULL;
		pid = fork();
		if (!pid)
			commit_forever(&top, &base);
		kill_after(pid, image_random(&top) % 12000);
		check_survivor(&top);
		check_survivor(&base);
		if (round % 10 == 0) {
			ask_qemu(&top);
			ask_qemu(&base);
		}
		open_chain(&top, &base, true);
		image_compare(&top);
		top.disk = vc_disk_drop(top.disk);
	}
	image_fini(&top);
	image_fini(&base);
}
END_TEST

/* --- amend, rebase, repair: killed -------------------------------------------- */

#define FEW_KILLS 12

static void amend_forever(struct image *im)
{
	static const unsigned widths[] = { 64, 1, 8, 16 };
	struct vc_qcow2_amend_opts ao;
	unsigned i;

	for (i = 0;; i++) {
		vc_qcow2_amend_opts_init(&ao);
		ao.version = 3;
		ao.refcount_bits = widths[i % VC_ARRAY_SIZE(widths)];
		ao.lazy_refcounts = i & 1;
		must(vc_qcow2_amend(im->fd, &ao, &err));
		if (ao.refcount_bits != 16)
			continue;
		vc_qcow2_amend_opts_init(&ao);
		ao.version = 2;
		ao.lazy_refcounts = 0;
		must(vc_qcow2_amend(im->fd, &ao, &err));
	}
}

START_TEST(killed_amend_loses_nothing)
{
	struct image im;
	int round;

	make(&im, _i);
	for (round = 1; round <= FEW_KILLS; round++) {
		pid_t pid = fork();

		if (!pid)
			amend_forever(&im);
		kill_after(pid, image_random(&im) % 8000);
		check_survivor(&im);
		if (round % 6 == 0)
			ask_qemu(&im);
		image_open(&im, NULL);
		image_compare(&im);
		if (round % 3 == 0)
			fill(&im, image_random(&im) % (7 * MIB), 30000);
		ck_ok(vc_disk_close(im.disk, &err), &err);
		im.disk = NULL;
	}
	image_fini(&im);
}
END_TEST

static int set_backing(struct image *im, const char *name)
{
	struct vc_qcow2_amend_opts ao;

	vc_qcow2_amend_opts_init(&ao);
	ao.backing_file = name;
	ao.backing_format = "qcow2";
	return vc_qcow2_amend(im->fd, &ao, &err);
}

static unsigned which_backing(struct image *im)
{
	struct vc_disk_info *info = malloc(sizeof(*info));
	unsigned ret;

	ck_assert_ptr_nonnull(info);
	ck_ok(vc_disk_info_fd(im->fd, VC_DISK_FORMAT_QCOW2, info, &err), &err);
	ret = (unsigned)(info->backing_file[0] - '0');
	ck_assert_uint_lt(ret, 2);
	free(info);
	return ret;
}

/* From one to the other and back: the steps of the rebase command. */
static void rebase_forever(struct image *top, struct image *bases,
			   unsigned from)
{
	struct vc_disk_copy_opts co = { 0 };

	for (;; from = !from) {
		struct image *to = &bases[!from];

		must_open_chain(top, &bases[from], true);
		must_open(to, NULL, false);
		must(vc_disk_rebase(top->disk, to->disk, &co, &err));
		must(vc_disk_close(top->disk, &err));
		vc_disk_drop(to->disk);
		must(set_backing(top, from ? "0" : "1"));
	}
}

START_TEST(killed_rebase_loses_nothing)
{
	struct image top, bases[2];
	int round;

	make(&bases[0], _i);
	make(&bases[1], _i);
	image_open(&bases[1], NULL);
	fill(&bases[1], 50000, 3 * MIB);
	image_close(&bases[1]);
	image_create(&top, 8 * MIB, shapes[_i].cluster, 16, shapes[_i].version,
		     1);
	for (round = 1; round <= FEW_KILLS; round++) {
		unsigned from = round & 1;
		pid_t pid;

		/* nothing is the top's own, but a little */
		ck_ok(vc_qcow2_make_empty(top.fd, &err), &err);
		ck_ok(set_backing(&top, from ? "1" : "0"), &err);
		memcpy(top.model, bases[from].model, 8 * MIB);
		open_chain(&top, &bases[from], true);
		fill(&top, image_random(&top) % (7 * MIB), 50000);
		ck_ok(vc_disk_close(top.disk, &err), &err);
		top.disk = NULL;
		pid = fork();
		if (!pid)
			rebase_forever(&top, bases, from);
		kill_after(pid, image_random(&top) % 12000);
		check_survivor(&top);
		if (round % 6 == 0)
			ask_qemu(&top);
		open_chain(&top, &bases[which_backing(&top)], true);
		image_compare(&top);
		top.disk = vc_disk_drop(top.disk);
	}
	image_fini(&top);
	image_fini(&bases[0]);
	image_fini(&bases[1]);
}
END_TEST

/* Set refcounts in the first block: all to nonsense; or those of free clusters,
 * which leak then. */
static void damage(struct image *im, bool only_leaks)
{
	size_t len = im->opts.cluster_bytes, i;
	uint64_t *block = malloc(len);
	be64_t at;

	must(block ? 0 : -1);
	must(vc_pread_full(im->fd, &at, sizeof(at), 48));
	must(vc_pread_full(im->fd, &at, sizeof(at), be64_get(at)));
	must(vc_pread_full(im->fd, block, len, be64_get(at)));
	for (i = 0; i < len / 8; i++)
		if (!only_leaks)
			block[i] =
				image_random(im) & UINT64_C(0x0103010301030103);
		else if (!block[i] && image_random(im) % 8 == 0)
			block[i] = UINT64_C(0x0100010001000100);
	must(vc_pwrite_full(im->fd, block, len, be64_get(at)));
	free(block);
}

static void repair_forever(struct image *im, bool only_leaks)
{
	for (;;) {
		struct vc_disk_check chk = {
			.repair = only_leaks ? VC_DISK_REPAIR_LEAKS
					     : VC_DISK_REPAIR_ALL
		};

		must(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk,
				      &err));
		damage(im, only_leaks);
	}
}

/* It may have to be done again, then all is well. */
START_TEST(killed_repair_loses_nothing)
{
	struct vc_disk_check chk;
	struct image im;
	int round;

	make(&im, _i);
	for (round = 1; round <= FEW_KILLS; round++) {
		bool only_leaks = round & 1;
		pid_t pid;

		damage(&im, only_leaks);
		pid = fork();
		if (!pid)
			repair_forever(&im, only_leaks);
		kill_after(pid, image_random(&im) % 8000);
		if (only_leaks)
			check_survivor(&im);
		repair(&im, VC_DISK_REPAIR_ALL, &chk);
		image_check(&im);
		if (round % 6 == 0)
			ask_qemu(&im);
		image_open(&im, NULL);
		image_compare(&im);
		image_close(&im);
	}
	image_fini(&im);
}
END_TEST

TEST_SUITE(suite_qcow2_manage)
{
	Suite *s = suite_create("disk/qcow2 manage");
	TCase *tc = test_case(s, "manage");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, snapshot_table_is_checked, 0,
			    (int)VC_ARRAY_SIZE(snapshot_fields));
	tcase_add_loop_test(tc, bitmap_directory_is_checked, 0,
			    (int)VC_ARRAY_SIZE(bitmap_fields));
	tcase_add_test(tc, refcount_overflow_changes_nothing);
	tcase_add_test(tc, check_names_owners);
	tcase_add_test(tc, foreign_extension_is_kept);
	tcase_add_loop_test(tc, repair_drops_what_cannot_be, 0, 8);
	tcase_add_loop_test(tc, repair_drops_unreadable_bitmaps, 0, 3);
	tcase_add_loop_test(tc, repair_rebuilds_refcounts, 0, NR_SHAPES);
	tcase_add_loop_test(tc, killed_manager_changes_nothing, 0, NR_SHAPES);
	tcase_add_loop_test(tc, killed_commit_loses_nothing, 0, NR_SHAPES - 1);
	tcase_add_loop_test(tc, killed_amend_loses_nothing, 0, NR_SHAPES);
	tcase_add_loop_test(tc, killed_rebase_loses_nothing, 0, NR_SHAPES - 1);
	tcase_add_loop_test(tc, killed_repair_loses_nothing, 0, NR_SHAPES);
	return s;
}
