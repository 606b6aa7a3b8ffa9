/* SPDX-License-Identifier: BSD-3-Clause */
/* What is left of an image when whoever manages it is killed. */
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
			must(image_resize(im, (9 + i % 7) * MIB, &err));
			/* one killed before may have left it */
			if (vc_qcow2_bitmap_add(im->fd, name, 0, true, &err) <
				    0 &&
			    err.code != VC_E_ARG)
				_exit(5);
			if (vc_qcow2_bitmap_remove(im->fd, name, &err) < 0)
				_exit(6);
			must(image_resize(im, 8 * MIB, &err));
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

	image_make(&im, _i);
	for (round = 1; round <= KILLS; round++) {
		pid_t pid = fork();

		if (!pid)
			manage(&im);
		kill_after(pid, image_random(&im) % 12000);
		check_survivor(&im);
		if (round % 10 == 0)
			image_ask_qemu(&im, true);
		drop_all(&im);
		/* version 2 keeps its size */
		if (image_shapes[_i].version == 3)
			ck_ok(image_resize(&im, 8 * MIB, &err), &err);
		image_open(&im, NULL);
		image_compare(&im);
		if (round % 4 == 0)
			image_fill(&im, image_random(&im) % (7 * MIB), 30000);
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

	image_make(&base, _i);
	image_create(&top, 8 * MIB, image_shapes[_i].cluster, 16,
		     image_shapes[_i].version, 1);
	vc_qcow2_amend_opts_init(&ao);
	ao.backing_file = "base";
	ao.backing_format = "qcow2";
	ck_ok(vc_qcow2_amend(top.fd, &ao, &err), &err);
	memcpy(top.model, base.model, 8 * MIB);
	for (round = 1; round <= KILLS / 2; round++) {
		pid_t pid;

		open_chain(&top, &base, true);
		image_fill(&top, image_random(&top) % (7 * MIB), 50000);
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
			image_ask_qemu(&top, true);
			image_ask_qemu(&base, true);
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

	image_make(&im, _i);
	for (round = 1; round <= FEW_KILLS; round++) {
		pid_t pid = fork();

		if (!pid)
			amend_forever(&im);
		kill_after(pid, image_random(&im) % 8000);
		check_survivor(&im);
		if (round % 6 == 0)
			image_ask_qemu(&im, true);
		image_open(&im, NULL);
		image_compare(&im);
		if (round % 3 == 0)
			image_fill(&im, image_random(&im) % (7 * MIB), 30000);
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

	image_make(&bases[0], _i);
	image_make(&bases[1], _i);
	image_open(&bases[1], NULL);
	image_fill(&bases[1], 50000, 3 * MIB);
	image_close(&bases[1]);
	image_create(&top, 8 * MIB, image_shapes[_i].cluster, 16,
		     image_shapes[_i].version, 1);
	for (round = 1; round <= FEW_KILLS; round++) {
		unsigned from = round & 1;
		pid_t pid;

		/* nothing is the top's own, but a little */
		ck_ok(vc_qcow2_make_empty(top.fd, &err), &err);
		ck_ok(set_backing(&top, from ? "1" : "0"), &err);
		memcpy(top.model, bases[from].model, 8 * MIB);
		open_chain(&top, &bases[from], true);
		image_fill(&top, image_random(&top) % (7 * MIB), 50000);
		ck_ok(vc_disk_close(top.disk, &err), &err);
		top.disk = NULL;
		pid = fork();
		if (!pid)
			rebase_forever(&top, bases, from);
		kill_after(pid, image_random(&top) % 12000);
		check_survivor(&top);
		if (round % 6 == 0)
			image_ask_qemu(&top, true);
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

	image_make(&im, _i);
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
		image_repair(&im, VC_DISK_REPAIR_ALL, &chk);
		image_check(&im);
		if (round % 6 == 0)
			image_ask_qemu(&im, true);
		image_open(&im, NULL);
		image_compare(&im);
		image_close(&im);
	}
	image_fini(&im);
}
END_TEST

TEST_SUITE(suite_qcow2_killed)
{
	Suite *s = suite_create("disk/qcow2 killed");
	TCase *tc = test_case(s, "killed");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, killed_manager_changes_nothing, 0,
			    NR_IMAGE_SHAPES);
	tcase_add_loop_test(tc, killed_commit_loses_nothing, 0,
			    NR_IMAGE_SHAPES - 1);
	tcase_add_loop_test(tc, killed_amend_loses_nothing, 0, NR_IMAGE_SHAPES);
	tcase_add_loop_test(tc, killed_rebase_loses_nothing, 0,
			    NR_IMAGE_SHAPES - 1);
	tcase_add_loop_test(tc, killed_repair_loses_nothing, 0,
			    NR_IMAGE_SHAPES);
	return s;
}
