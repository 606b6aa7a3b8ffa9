/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/composite.h>
#include <vmmcore/disk.h>
#include "disk/composite/composite.h"
#include "disk/engine.h"
#include "tests/lib/test.h"

#define KIB 1024u
#define HEADER 20480u

static struct vc_error err;
static char dir[] = "/tmp/composite-XXXXXX";
static char old_dir[4096];

static void set_up(void)
{
	ck_assert_ptr_nonnull(getcwd(old_dir, sizeof(old_dir)));
	strcpy(dir, "/tmp/composite-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(mkdir("sub", 0700), 0);
}

static void tear_down(void)
{
	char command[64];

	ck_assert_int_eq(chdir(old_dir), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void make_file(const char *path, size_t len, uint8_t first)
{
	vc_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	vc_auto_free uint8_t *buf = malloc(len + 1);
	size_t i;

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(buf);
	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)(first + i % 251);
	ck_assert_int_eq(vc_pwrite_full(fd, buf, len, 0), 0);
}

static void check_file(const char *path, uint64_t at, const void *want,
		       size_t len)
{
	vc_auto_fd int fd = open(path, O_RDONLY);
	vc_auto_free uint8_t *buf = malloc(len);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vc_pread_full(fd, buf, len, at), 0);
	ck_assert(!memcmp(buf, want, len));
}

/* --- lists of one's own --------------------------------------------------- */

static struct vc_composite_component comps[2048];
static struct vc_composite list = { .version = 2, .components = comps };

static void add(const char *path, uint64_t offset, bool writable)
{
	comps[list.nr_components++] = (struct vc_composite_component){
		.path = (char *)(uintptr_t)path,
		.offset_bytes = offset,
		.is_writable = writable
	};
}

static void write_list(const char *path, uint64_t length)
{
	vc_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	vc_auto_free uint8_t *text = NULL;
	size_t len;

	list.length_bytes = length;
	ck_ok(cp_pack(&list, &text, &len, &err), &err);
	ck_assert_int_eq(vc_pwrite_full(fd, text, len, 0), 0);
	list.nr_components = 0;
	list.version = 2;
}

static int try_open(const char *path, bool writable, struct vc_disk **ret)
{
	struct vc_disk_open_opts oo = { .writable = writable,
					.lock = true,
					.allow_backing = true };

	return vc_disk_open(path, &oo, ret, &err);
}

static void open_fails(const char *path, enum vc_errc code, const char *why)
{
	struct vc_disk *d = NULL;

	ck_fails(try_open(path, false, &d), &err, code);
	ck_assert_msg(strstr(err.msg, why), "%s", err.msg);
}

/* --- reading and writing -------------------------------------------------- */

START_TEST(parts_read_and_write)
{
	uint8_t all[24 * KIB], buf[24 * KIB], x[8 * KIB];
	struct vc_disk *d;
	size_t i;

	make_file("a", 8 * KIB, 1);
	make_file("sub/b", 8 * KIB, 2);
	make_file("c", 12 * KIB, 3);
	add("c", 16 * KIB, true); /* in any order */
	comps[0].file_offset_bytes = 4 * KIB;
	add("a", 0, false);
	add("sub/b", 8 * KIB, true);
	write_list("disk", 24 * KIB);
	for (i = 0; i < 8 * KIB; i++) {
		all[i] = (uint8_t)(1 + i % 251);
		all[8 * KIB + i] = (uint8_t)(2 + i % 251);
		all[16 * KIB + i] = (uint8_t)(3 + (4 * KIB + i) % 251);
	}
	ck_ok(try_open("disk", true, &d), &err);
	ck_assert_uint_eq(vc_disk_get_size(d), 24 * KIB);
	ck_assert_int_eq((int)vc_disk_get_format(d), VC_DISK_FORMAT_COMPOSITE);
	ck_ok(vc_disk_read(d, 0, buf, 24 * KIB, &err), &err);
	ck_assert(!memcmp(buf, all, 24 * KIB));
	ck_ok(vc_disk_read(d, 8 * KIB - 3, buf, 9 * KIB, &err), &err);
	ck_assert(!memcmp(buf, all + 8 * KIB - 3, 9 * KIB));
	/* across two, flushed */
	memset(x, 'x', sizeof(x));
	ck_ok(vc_disk_write(d, 12 * KIB + 7, x, sizeof(x), &err), &err);
	memset(all + 12 * KIB + 7, 'x', sizeof(x));
	ck_ok(vc_disk_flush(d, &err), &err);
	check_file("sub/b", 0, all + 8 * KIB, 8 * KIB);
	check_file("c", 4 * KIB, all + 16 * KIB, 8 * KIB);
	/* all of it is refused, not the half that may not */
	ck_assert_int_eq(vc_disk_write(d, 8 * KIB - 1, x, 2, &err), -1);
	ck_assert_int_eq(err.sys, EROFS);
	ck_assert_int_eq(vc_disk_zero(d, 0, 16 * KIB, &err), -1);
	ck_assert_int_eq(err.sys, EROFS);
	ck_ok(vc_disk_zero(d, 16 * KIB, 512, &err), &err);
	memset(all + 16 * KIB, 0, 512);
	ck_ok(vc_disk_read(d, 0, buf, 24 * KIB, &err), &err);
	ck_assert(!memcmp(buf, all, 24 * KIB));
	ck_ok(vc_disk_close(d, &err), &err);
	check_file("a", 0, all, 8 * KIB);
	/* read-only as a whole */
	ck_ok(try_open("disk", false, &d), &err);
	ck_assert_int_eq(vc_disk_write(d, 12 * KIB, x, 2, &err), -1);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

static void make_qcow2(const char *path, uint64_t size)
{
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = size };
	vc_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	ck_ok(vc_disk_create(fd, &co, &err), &err);
}

/* Parts of other formats, a composite among them; holes are seen. */
static unsigned nr_bad_syncs;

static int fail_one_sync(const struct eng_io *io)
{
	return io->op == ENG_SYNC && nr_bad_syncs && nr_bad_syncs-- ? -EIO : 0;
}

/* One part that could not be synced fails all later flushes of the disk. */
START_TEST(failed_sync_of_a_part_stays)
{
	struct vc_disk_open_opts oo = { .writable = true,
					.allow_backing = true,
					.io = VC_DISK_IO_SYNC };
	struct vc_disk *d;
	char x[512] = "";

	make_file("a", 8 * KIB, 1);
	make_file("b", 8 * KIB, 2);
	add("a", 0, true);
	add("b", 8 * KIB, true);
	write_list("disk", 16 * KIB);
	ck_ok(vc_disk_open("disk", &oo, &d, &err), &err);
	engine_inject = fail_one_sync;
	ck_ok(vc_disk_write(d, 512, x, sizeof(x), &err), &err);
	ck_ok(vc_disk_flush(d, &err), &err);
	nr_bad_syncs = 1;
	ck_fails(vc_disk_flush(d, &err), &err, VC_E_SYS);
	ck_assert_uint_eq(nr_bad_syncs, 0);
	ck_fails(vc_disk_flush(d, &err), &err, VC_E_SYS);
	ck_fails(vc_disk_close(d, &err), &err, VC_E_SYS);
	engine_inject = NULL;
}
END_TEST

START_TEST(parts_of_any_format)
{
	static uint8_t buf[64 * KIB], want[64 * KIB];
	struct vc_disk_extent e;
	struct vc_disk *d;
	struct vc_disk_check chk = { 0 };
	vc_auto_fd int fd = -1;

	make_qcow2("q", 1024 * KIB);
	make_file("a", 64 * KIB, 1);
	add("../a", 0, false);
	write_list("sub/inner", 64 * KIB);
	add("q", 0, true);
	add("sub/inner", 1024 * KIB, false);
	write_list("disk", 1088 * KIB);
	ck_ok(try_open("disk", true, &d), &err);
	memset(want, 'q', sizeof(want));
	ck_ok(vc_disk_write(d, 512 * KIB, want, 64 * KIB, &err), &err);
	ck_ok(vc_disk_read(d, 512 * KIB, buf, 64 * KIB, &err), &err);
	ck_assert(!memcmp(buf, want, 64 * KIB));
	ck_ok(vc_disk_map(d, 0, UINT64_MAX, &e, &err), &err);
	ck_assert_int_ne((int)e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, 512 * KIB);
	ck_ok(vc_disk_map(d, 512 * KIB, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq((int)e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, 64 * KIB);
	ck_ok(vc_disk_map(d, 1000 * KIB, UINT64_MAX, &e, &err), &err);
	ck_assert_uint_eq(e.length_bytes, 24 * KIB);
	ck_ok(vc_disk_map(d, 1024 * KIB, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq((int)e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.length_bytes, 64 * KIB);
	ck_ok(vc_disk_close(d, &err), &err);
	check_file("a", 0, buf, 0);
	fd = open("q", O_RDONLY);
	ck_ok(vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions + chk.nr_leaks, 0);
}
END_TEST

struct many {
	struct vc_disk_req req;
	struct iovec iov[6];
	uint8_t buf[6][1000];
	enum vc_disk_status status;
};

static void many_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	vc_container_of(req, struct many, req)->status = status;
}

/* Parts that are written belong to one writer, others may be shared. */
START_TEST(locks_its_parts)
{
	struct vc_disk *d, *other;

	make_file("a", 4 * KIB, 1);
	make_file("b", 4 * KIB, 1);
	add("a", 0, false);
	add("b", 4 * KIB, true);
	write_list("one", 8 * KIB);
	add("a", 0, false);
	add("b", 4 * KIB, true);
	write_list("two", 8 * KIB);
	ck_ok(try_open("one", true, &d), &err);
	ck_assert_int_eq(try_open("two", false, &other), -1);
	ck_assert_msg(strstr(err.msg, "'b'"), "%s", err.msg);
	ck_ok(vc_disk_close(d, &err), &err);
	ck_ok(try_open("one", false, &d), &err);
	ck_ok(try_open("two", false, &other), &err);
	ck_ok(vc_disk_close(other, &err), &err);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

/* Requests of many pieces, over many parts, many at a time. */
START_TEST(many_pieces_at_once)
{
	enum { NR = 40 };
	static struct many all[NR];
	static uint8_t disk[100 * 512];
	struct vc_disk *d;
	unsigned i, j;

	make_file("a", 512, 7);
	for (i = 0; i < 100; i++) {
		add("a", i * 512, false);
		for (j = 0; j < 512; j++)
			disk[i * 512 + j] = (uint8_t)(7 + j % 251);
	}
	write_list("disk", 100 * 512);
	ck_ok(try_open("disk", false, &d), &err);
	for (i = 0; i < NR; i++) {
		all[i].status = VC_DISK_EIO;
		for (j = 0; j < 6; j++)
			all[i].iov[j] = (struct iovec){ all[i].buf[j], 1000 };
		all[i].req = (struct vc_disk_req){ .op = VC_DISK_READ,
						   .offset_bytes = i * 1001,
						   .length_bytes = 6000,
						   .iov = all[i].iov,
						   .nr_iov = 6,
						   .done = many_done };
		vc_disk_submit(d, &all[i].req);
	}
	vc_disk_drain(d);
	for (i = 0; i < NR; i++) {
		ck_assert_int_eq((int)all[i].status, VC_DISK_OK);
		ck_assert(!memcmp(all[i].buf, disk + i * 1001, 6000));
	}
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

/* What a guest writes must not choose the format of the next start. */
START_TEST(no_header_is_written_to_a_raw_part)
{
	static const char qcow2[] = "QFI\xfb\0\0\0\3";
	uint8_t buf[4096] = { 0 };
	struct vc_disk *d;

	make_file("a", 8 * KIB, 1);
	add("a", 0, true);
	write_list("disk", 8 * KIB);
	ck_ok(try_open("disk", true, &d), &err);
	memcpy(buf, qcow2, 8);
	ck_assert_int_eq(vc_disk_write(d, 0, buf, 4096, &err), -1);
	ck_assert_int_eq(err.sys, EIO);
	/* nor in steps */
	ck_ok(vc_disk_write(d, 0, "QFI", 3, &err), &err);
	ck_assert_int_eq(vc_disk_write(d, 3, "\xfb", 1, &err), -1);
	ck_ok(vc_disk_write(d, 3, "x", 1, &err), &err);
	ck_ok(vc_disk_write(d, 512, qcow2, 8, &err), &err);
	ck_ok(vc_disk_close(d, &err), &err);
	check_file("a", 0, "QFIx", 4);
	/* one that has it already is what it is */
	make_qcow2("q", 64 * KIB);
	add("q", 0, true);
	write_list("disk", 64 * KIB);
	ck_ok(try_open("disk", true, &d), &err);
	ck_ok(vc_disk_write(d, 0, qcow2, 8, &err), &err);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(opens_by_descriptors)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW };
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	vc_auto_fd int fd = -1;
	struct vc_disk *parts[2], *d = NULL;
	uint8_t buf[2];

	make_file("a", 4 * KIB, 1);
	make_file("b", 4 * KIB, 9);
	add("a", 0, false);
	add("b", 4 * KIB, true);
	write_list("disk", 8 * KIB);
	fd = open("disk", O_RDONLY);
	ck_ok(vc_composite_list(fd, &c, &err), &err);
	ck_assert_uint_eq(c->nr_components, 2);
	ck_assert_str_eq(c->components[1].path, "b");
	ck_assert_uint_eq(c->components[1].offset_bytes, 4 * KIB);
	ck_assert_uint_eq(c->components[1].length_bytes, 4 * KIB);
	ck_assert(c->components[1].is_writable);
	/* without them */
	ck_fails(vc_disk_open_fd(fd, &(struct vc_disk_open_opts){ 0 }, NULL, &d,
				 &err),
		 &err, VC_E_UNSUPPORTED);
	ck_ok(vc_disk_open_fd(open("a", O_RDONLY), &oo, NULL, &parts[0], &err),
	      &err);
	oo.io_with = parts[0];
	ck_ok(vc_disk_open_fd(open("b", O_RDONLY), &oo, NULL, &parts[1], &err),
	      &err);
	oo = (struct vc_disk_open_opts){ .components = parts,
					 .nr_components = 1 };
	ck_fails(vc_disk_open_fd(fd, &oo, NULL, &d, &err), &err, VC_E_ARG);
	oo.nr_components = 2;
	oo.writable = true;
	ck_fails(vc_disk_open_fd(fd, &oo, NULL, &d, &err), &err, VC_E_ARG);
	oo.writable = false;
	ck_ok(vc_disk_open_fd(fd, &oo, NULL, &d, &err), &err);
	fd = -1;
	ck_ok(vc_disk_read(d, 4 * KIB - 1, buf, 2, &err), &err);
	ck_assert_uint_eq(buf[0], 1 + 4095 % 251);
	ck_assert_uint_eq(buf[1], 9);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

/* --- hostile ones --------------------------------------------------------- */

START_TEST(names_are_followed_only_if_allowed)
{
	struct vc_disk_open_opts oo = { 0 };
	struct vc_disk *d = NULL;
	struct vc_disk_info info;
	vc_auto_fd int fd = -1;

	add("/nowhere", 0, false);
	write_list("disk", 4 * KIB);
	ck_fails(vc_disk_open("disk", &oo, &d, &err), &err, VC_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.msg, "may not be opened"), "%s", err.msg);
	fd = open("disk", O_RDONLY);
	ck_ok(vc_disk_info_fd(fd, VC_DISK_FORMAT_PROBE, &info, &err), &err);
	ck_assert_uint_eq(info.virtual_bytes, 4 * KIB);
	ck_assert_uint_eq(info.nr_parts, 1);
	open_fails("disk", VC_E_SYS, "component '/nowhere': open");
	ck_assert_int_eq(err.sys, ENOENT);
}
END_TEST

START_TEST(names_of_no_files_are_refused)
{
	static const struct {
		const char *name, *why;
	} bad[] = {
		{ "/proc/self/fd/0", "component" },
		{ "/proc/self/status", "not on a real file system" },
		{ "/dev/zero", "neither a file nor a block device" },
		{ "/dev/null", "neither a file nor a block device" },
		{ "nbd://localhost/x", "not a file name" },
		{ "json:{\"driver\":\"raw\"}", "not a file name" },
		{ "fifo", "neither a file nor a block device" },
		{ "sub", "neither a file nor a block device" },
	};
	size_t i;

	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		add(bad[i].name, 0, false);
		write_list("disk", 4 * KIB);
		open_fails("disk", VC_E_UNSUPPORTED, bad[i].why);
	}
}
END_TEST

START_TEST(lying_lists_are_refused)
{
	make_file("a", 4 * KIB, 1);
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_CORRUPT, "no components");
	add("a", 0, false);
	list.version = 3;
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_UNSUPPORTED, "version 3");
	add("a", 512, false);
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_CORRUPT, "nothing in front of offset 512");
	add("a", 0, false);
	add("a", 512, false);
	add("a", 512, false);
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_CORRUPT, "two components at offset 512");
	add("a", 0, false);
	add("a", 512, false);
	write_list("disk", 512);
	open_fails("disk", VC_E_CORRUPT, "length 512");
	add("a", 0, false);
	write_list("disk", 0);
	open_fails("disk", VC_E_CORRUPT, "length 0");
	add("a", 0, false);
	write_list("disk", 4 * KIB + 512);
	open_fails("disk", VC_E_CORRUPT, "4096 bytes, 4608 are needed");
	add("a", 0, false);
	comps[0].file_offset_bytes = 512;
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_CORRUPT, "4096 bytes, 4608 are needed");
	add("a", 0, false);
	comps[0].file_offset_bytes = UINT64_MAX - 4095;
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_LIMIT, "file offset");
	add("a", 0, false);
	write_list("disk", UINT64_MAX);
	open_fails("disk", VC_E_LIMIT, "length");
	add("", 0, false);
	write_list("disk", 512);
	open_fails("disk", VC_E_CORRUPT, "component 0: path: empty");
	/* version 1 is read as well, and a list that does not say any */
	add("a", 0, false);
	for (list.version = 0; list.version < 2; list.version++) {
		struct vc_disk *d;

		write_list("disk", 4 * KIB);
		ck_ok(try_open("disk", false, &d), &err);
		ck_ok(vc_disk_close(d, &err), &err);
	}
}
END_TEST

/* The bytes that other programs write, and read. */
START_TEST(bytes_are_those_of_others)
{
	static const char text[] =
		CP_MAGIC "\x08\x02" /* version 2 */
			 "\x12\x06\x0a\x04"
			 "head" /* offset 0, read-only */
			 "\x12\x0b\x0a\x04"
			 "root\x10\x80\xa0\x01\x18\x01"
			 "\x18\x80\xc0\x02"; /* length 40960 */
	size_t len = sizeof(text) - 1, packed_len;
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	vc_auto_free uint8_t *packed = NULL;
	uint8_t fixed[sizeof(text)];

	memcpy(fixed, text, sizeof(text));
	/* the second one's length counts its five fields */
	fixed[CP_MAGIC_BYTES + 2 + 8 + 1] = 6 + 4 + 2;
	ck_ok(cp_parse(fixed, len, &c, &err), &err);
	ck_assert_uint_eq(c->version, 2);
	ck_assert_uint_eq(c->nr_components, 2);
	ck_assert_uint_eq(c->length_bytes, 40960);
	ck_assert_str_eq(c->components[0].path, "head");
	ck_assert_uint_eq(c->components[0].length_bytes, 20480);
	ck_assert(!c->components[0].is_writable);
	ck_assert_uint_eq(c->components[1].offset_bytes, 20480);
	ck_assert_uint_eq(c->components[1].length_bytes, 20480);
	ck_assert_uint_eq(c->components[1].file_offset_bytes, 0);
	ck_assert(c->components[1].is_writable);
	ck_ok(cp_pack(c, &packed, &packed_len, &err), &err);
	ck_assert_uint_eq(packed_len, len);
	ck_assert_mem_eq(packed, fixed, len);
}
END_TEST

START_TEST(not_a_message)
{
	vc_auto_fd int fd = open("disk", O_RDWR | O_CREAT, 0600);

	ck_assert_int_eq(pwrite(fd, CP_MAGIC "\xff\xff\xff", 18, 0), 18);
	open_fails("disk", VC_E_CORRUPT, "not understood");
	ck_assert_int_eq(ftruncate(fd, VC_COMPOSITE_MAX_FILE + 1), 0);
	open_fails("disk", VC_E_LIMIT, "a list of more than");
	/* every cut of a good one is an error or another list, never a crash */
	{
		vc_auto_free uint8_t *text = NULL;
		struct vc_composite *c;
		size_t len, i;

		add("abc", 0, false);
		add("def", 512, true);
		list.length_bytes = 1024;
		ck_ok(cp_pack(&list, &text, &len, &err), &err);
		list.nr_components = 0;
		for (i = 0; i < len; i++)
			ck_assert_int_eq(cp_parse(text, i, &c, &err), -1);
	}
}
END_TEST

START_TEST(loops_and_bombs_end)
{
	char names[20][16];
	unsigned i;

	add("disk", 0, false);
	write_list("disk", 4 * KIB);
	open_fails("disk", VC_E_LIMIT, "deeper than 10, or a loop");
	add("b", 0, false);
	write_list("a", 4 * KIB);
	add("a", 0, false);
	write_list("b", 4 * KIB);
	open_fails("a", VC_E_LIMIT, "or a loop");
	/* a hundred of a hundred of a hundred ... */
	for (i = 0; i < 8; i++)
		snprintf(names[i], sizeof(names[i]), "level%u", i);
	make_file("level0", 512, 1);
	for (i = 1; i < 8; i++) {
		unsigned j;

		for (j = 0; j < 100; j++)
			add(names[i - 1], j, false);
		write_list(names[i], 100);
	}
	open_fails("level7", VC_E_LIMIT, "more than 1024 files");
	for (i = 0; i < 1025; i++)
		add("level0", i, false);
	write_list("disk", 1025);
	open_fails("disk", VC_E_LIMIT, "1025 components");
}
END_TEST

/* --- making them ---------------------------------------------------------- */

static struct vc_composite_partition parts[130];
static struct vc_composite_create_opts co;

static void set_partitions(void)
{
	memset(parts, 0, sizeof(parts));
	parts[0] = (struct vc_composite_partition){ .label = "boot",
						    .path = "sub/boot.img" };
	parts[1] = (struct vc_composite_partition){ .label = "root",
						    .path = "root.img",
						    .is_writable = true };
	co = (struct vc_composite_create_opts){ .partitions = parts,
						.nr_partitions = 2,
						.force = true };
	make_file("sub/boot.img", 5000, 1);
	make_file("root.img", 64 * KIB, 2);
}

START_TEST(makes_a_disk_of_partitions)
{
	static uint8_t buf[200 * KIB];
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	vc_auto_fd int fd = -1;
	struct vc_disk *d;

	set_partitions();
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	fd = open("disk", O_RDONLY);
	ck_ok(vc_composite_list(fd, &c, &err), &err);
	ck_assert_uint_eq(c->version, 2);
	ck_assert_uint_eq(c->nr_components, 5);
	ck_assert_str_eq(c->components[0].path, "disk.header");
	ck_assert_str_eq(c->components[1].path, "sub/boot.img");
	ck_assert_uint_eq(c->components[1].offset_bytes, HEADER);
	ck_assert_str_eq(c->components[2].path, "disk.filler");
	ck_assert_uint_eq(c->components[2].offset_bytes, HEADER + 5000);
	ck_assert_str_eq(c->components[3].path, "root.img");
	ck_assert_uint_eq(c->components[3].offset_bytes, HEADER + 8192);
	ck_assert(c->components[3].is_writable);
	ck_assert_str_eq(c->components[4].path, "disk.footer");
	ck_assert_uint_eq(c->length_bytes, HEADER + 8192 + 65536 + HEADER);
	ck_ok(try_open("disk", true, &d), &err);
	ck_ok(vc_disk_read(d, 0, buf, c->length_bytes, &err), &err);
	ck_assert_mem_eq(buf + 512, "EFI PART", 8);
	ck_assert_mem_eq(buf + c->length_bytes - 512, "EFI PART", 8);
	ck_assert_uint_eq(buf[HEADER], 1);
	ck_assert_uint_eq(buf[HEADER + 5000], 0);
	ck_assert_uint_eq(buf[HEADER + 8192], 2);
	/* the guest may not change the table */
	ck_assert_int_eq(vc_disk_write(d, 512, buf, 512, &err), -1);
	ck_ok(vc_disk_write(d, HEADER + 8192, buf, 4096, &err), &err);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

/* Relative to the list's folder inside of it, else absolute. */
START_TEST(stores_paths_that_are_found)
{
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	char want[64];
	vc_auto_fd int fd = -1;
	struct vc_disk *d;

	set_partitions();
	ck_ok(vc_composite_create("sub/disk", &co, &err), &err);
	fd = open("sub/disk", O_RDONLY);
	ck_ok(vc_composite_list(fd, &c, &err), &err);
	ck_assert_str_eq(c->components[0].path, "disk.header");
	ck_assert_str_eq(c->components[1].path, "boot.img");
	snprintf(want, sizeof(want), "%s/root.img", dir);
	ck_assert_str_eq(c->components[3].path, want);
	ck_ok(try_open("sub/disk", false, &d), &err);
	ck_ok(vc_disk_close(d, &err), &err);
	/* the same from elsewhere */
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(want, sizeof(want), "%s/sub/disk", dir);
	ck_ok(try_open(want, false, &d), &err);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

static void read_all(const char *path, uint8_t *buf, size_t len)
{
	vc_auto_fd int fd = open(path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vc_pread_full(fd, buf, len, 0), 0);
}

START_TEST(is_the_same_each_time_if_asked)
{
	static uint8_t one[HEADER], two[HEADER];

	set_partitions();
	co.is_deterministic = true;
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	read_all("disk.header", one, HEADER);
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	read_all("disk.header", two, HEADER);
	ck_assert(!memcmp(one, two, HEADER));
	/* GUIDs of the disk and of the two differ */
	ck_assert_mem_ne(one + 512 + 56, one + 1024 + 16, 16);
	ck_assert_mem_ne(one + 1024 + 16, one + 1024 + 128 + 16, 16);
	parts[0].label = "other";
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	read_all("disk.header", two, HEADER);
	ck_assert_mem_ne(one + 512 + 56, two + 512 + 56, 16);
	co.is_deterministic = false;
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	read_all("disk.header", one, HEADER);
	ck_assert_mem_ne(one + 512 + 56, two + 512 + 56, 16);
	/* or as given */
	vc_guid_derive("x", 1, &co.disk_guid);
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	read_all("disk.header", one, HEADER);
	ck_assert_mem_eq(one + 512 + 64, co.disk_guid.b + 8, 8);
}
END_TEST

static void create_fails(enum vc_errc code, const char *why)
{
	ck_fails(vc_composite_create("disk", &co, &err), &err, code);
	ck_assert_msg(strstr(err.msg, why), "%s", err.msg);
	ck_assert_int_ne(access("disk", F_OK), 0);
	ck_assert_int_ne(access("disk.header", F_OK), 0);
	set_partitions();
}

START_TEST(refuses_what_makes_no_disk)
{
	set_partitions();
	parts[1].label = "boot";
	create_fails(VC_E_ARG, "label: that of partition 1");
	parts[0].is_writable = true;
	create_fails(VC_E_ARG, "'sub/boot.img': size 5000: no multiple");
	parts[0].path = "nowhere";
	create_fails(VC_E_SYS, "partition 'nowhere': open");
	make_file("empty", 0, 0);
	parts[0].path = "empty";
	create_fails(VC_E_ARG, "is empty");
	co.nr_partitions = 0;
	create_fails(VC_E_ARG, "no partitions");
	co.nr_partitions = 129;
	create_fails(VC_E_LIMIT, "more than 128");
	parts[0].label = "\xff";
	create_fails(VC_E_ARG, "not UTF-8");
	/* what is there stays */
	ck_ok(vc_composite_create("disk", &co, &err), &err);
	co.force = false;
	ck_fails(vc_composite_create("disk", &co, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, EEXIST);
}
END_TEST

TEST_SUITE(suite_composite)
{
	Suite *s = suite_create("disk/composite");
	TCase *tc = test_case(s, "composite");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, parts_read_and_write);
	tcase_add_test(tc, failed_sync_of_a_part_stays);
	tcase_add_test(tc, parts_of_any_format);
	tcase_add_test(tc, locks_its_parts);
	tcase_add_test(tc, many_pieces_at_once);
	tcase_add_test(tc, no_header_is_written_to_a_raw_part);
	tcase_add_test(tc, opens_by_descriptors);
	tcase_add_test(tc, names_are_followed_only_if_allowed);
	tcase_add_test(tc, names_of_no_files_are_refused);
	tcase_add_test(tc, lying_lists_are_refused);
	tcase_add_test(tc, bytes_are_those_of_others);
	tcase_add_test(tc, not_a_message);
	tcase_add_test(tc, loops_and_bombs_end);
	tcase_add_test(tc, makes_a_disk_of_partitions);
	tcase_add_test(tc, stores_paths_that_are_found);
	tcase_add_test(tc, is_the_same_each_time_if_asked);
	tcase_add_test(tc, refuses_what_makes_no_disk);
	return s;
}
