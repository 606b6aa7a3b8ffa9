/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an image, killed again and again. A child lives it: several
 * threads write to a disk over a backing file, through a queue each, and close it;
 * a snapshot is made or deleted, the disk grows or shrinks, what is in it is
 * committed to the file below; then it is written again. Wherever it dies, both
 * images are consistent, what was flushed is there, and each snapshot has what
 * the disk had when it was made. The same two images live on all the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/qcow2.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"
#include "tests/unit/disk/writers.h"

#define MIB (UINT64_C(1) << 20)
#define KILLS 20 /* of each kind of image */
#define NR_SNAPSHOTS 4

static const struct {
	uint32_t cluster;
	unsigned refcount_bits;
	int engine;
	bool extended, lazy;
	enum vc_disk_compression compression;
} shapes[] = {
	{ 65536, 16, 0, false, false, 0 },
	{ 4096, 16, 2, false, false, VC_DISK_ZSTD },
	{ 512, 8, 0, false, false, 0 },
	{ 16384, 64, 2, true, false, 0 },
	{ 4096, 16, 1, false, true, VC_DISK_ZLIB },
	{ 65536, 4, 2, false, false, 0 },
};
#define NR_SHAPES ((int)VC_ARRAY_SIZE(shapes))

enum step { SNAPSHOT, DELETE, RESIZE, COMMIT, NR_STEPS };

/* In shared memory: what the child has done. */
struct diary {
	unsigned nr_done[NR_STEPS];
	_Atomic unsigned now; /* a step; NR_STEPS: writing */
	uint32_t number;      /* of the last writers */
	/* of what the snapshot of that name has; 0: nobody knows */
	uint64_t hash[NR_SNAPSHOTS];
};

struct life {
	struct image top, base;
	char dir[32];
	struct writers_book *book;
	struct diary *diary;
};

static struct vc_error err;

/* --- the child: what fails ends it with a status --------------------------- */

static void must(int ret)
{
	char text[512];

	if (ret == 0)
		return;
	fprintf(stderr, "%s\n", vc_error_str(&err, text, sizeof(text)));
	_exit(3);
}

/* Both functions may be used by the parent, too. */
static struct vc_disk *open_image(const struct image *im, bool writable,
				  const char *snapshot, struct vc_disk *backing)
{
	struct vc_disk_open_opts oo = im->open;
	int fd = fcntl(im->fd, F_DUPFD_CLOEXEC, 0);
	struct vc_disk *d = NULL;

	oo.writable = writable;
	oo.snapshot = snapshot;
	must(vc_disk_open_fd(fd, &oo, backing, &d, &err));
	return d;
}

static struct vc_disk *open_chain(struct life *l, bool writable,
				  const char *snapshot)
{
	return open_image(&l->top, writable, snapshot,
			  open_image(&l->base, false, NULL, NULL));
}

/* FNV-1a, by words; never 0. */
static uint64_t hash_disk(struct life *l, const char *snapshot)
{
	struct vc_disk *d = open_chain(l, false, snapshot);
	uint64_t *all = malloc(WRITERS_BYTES);
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	if (!all)
		_exit(4);
	must(vc_disk_read(d, 0, all, WRITERS_BYTES, &err));
	for (i = 0; i < WRITERS_BYTES / 8; i++)
		h = (h ^ all[i]) * UINT64_C(0x100000001b3);
	free(all);
	vc_disk_drop(d);
	return h | 1;
}

static void resize_top(const struct life *l, uint64_t size)
{
	struct vc_disk_resize_opts ro = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = size,
					  .no_lock = true,
					  .allow_backing = true,
					  .shrink = true };
	char path[40];

	snprintf(path, sizeof(path), "%s/top", l->dir);
	must(vc_disk_resize(path, &ro, NULL, &err));
}

/* "0" to "3"; a snapshot of that name is there already: it is deleted. */
static void snapshot(struct life *l, unsigned n, bool is_made)
{
	char name[2] = { (char)('0' + n), 0 };
	struct vc_qcow2_snapshots s;
	unsigned i;

	must(vc_qcow2_snapshot_list(l->top.fd, &s, &err));
	for (i = 0; i < s.nr; i++)
		if (!strcmp(s.items[i].name, name))
			must(vc_qcow2_snapshot_delete(l->top.fd, s.items[i].id,
						      &err));
	vc_qcow2_snapshots_fini(&s);
	if (!is_made)
		return;
	l->diary->now = NR_STEPS;
	l->diary->hash[n] = hash_disk(l, NULL);
	l->diary->now = SNAPSHOT;
	must(vc_qcow2_snapshot_create(l->top.fd, name, &err));
}

static void commit(struct life *l)
{
	struct vc_disk_copy_opts co = { 0 };
	struct vc_disk *top, *base;

	/* what they read through to changes */
	memset(l->diary->hash, 0, sizeof(l->diary->hash));
	resize_top(l, WRITERS_BYTES);
	top = open_chain(l, false, NULL);
	base = open_image(&l->base, true, NULL, NULL);
	must(vc_disk_commit(top, 1, base, &co, &err));
	must(vc_disk_close(base, &err));
	vc_disk_drop(top);
	must(vc_qcow2_make_empty(l->top.fd, &err));
}

static void manage(struct life *l)
{
	unsigned n = image_random(&l->top) % NR_SNAPSHOTS;
	enum step step = image_random(&l->top) % NR_STEPS;

	l->diary->now = step;
	switch (step) {
	case SNAPSHOT:
		snapshot(l, n, true);
		break;
	case DELETE:
		snapshot(l, n, false);
		break;
	case RESIZE:
		resize_top(l, (8 + n * 3) * MIB);
		break;
	case COMMIT:
		commit(l);
		break;
	case NR_STEPS:
		break;
	}
	l->diary->nr_done[step]++;
	l->diary->now = NR_STEPS;
}

static void live(struct life *l, int shape)
{
	struct writers w = { .book = l->book,
			     .compression = shapes[shape].compression };

	for (;;) {
		w.number = ++l->diary->number;
		w.seed = image_random(&l->top);
		w.nr_requests = 5 + w.seed % 50;
		w.disk = open_chain(l, true, NULL);
		writers_run(&w);
		must(vc_disk_close(w.disk, &err));
		writers_closed(&w);
		manage(l);
	}
}

/* --- the parent ---------------------------------------------------------------- */

static void check_image(const struct image *im, bool ask)
{
	struct vc_disk_check chk = { 0 };

	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	if (ask)
		image_ask_qemu(im, true);
}

/* One of them: each comes round. */
static void check_a_snapshot(struct life *l)
{
	struct vc_qcow2_snapshots s;
	unsigned i, n;

	ck_ok(vc_qcow2_snapshot_list(l->top.fd, &s, &err), &err);
	if (s.nr) {
		i = image_random(&l->top) % s.nr;
		n = (unsigned)(s.items[i].name[0] - '0');
		ck_assert_uint_lt(n, NR_SNAPSHOTS);
		if (l->diary->hash[n])
			ck_assert_msg(hash_disk(l, s.items[i].id) ==
					      l->diary->hash[n],
				      "snapshot %s has changed",
				      s.items[i].name);
	}
	vc_qcow2_snapshots_fini(&s);
}

static void check_life(struct life *l, int shape, bool ask)
{
	struct vc_disk *d;

	if (shapes[shape].lazy) {
		/* opened for writing they are repaired */
		vc_disk_drop(open_image(&l->base, true, NULL, NULL));
		vc_disk_drop(open_chain(l, true, NULL));
	}
	check_image(&l->base, ask);
	check_image(&l->top, ask);
	check_a_snapshot(l);
	d = open_chain(l, false, NULL);
	writers_verify(l->book, d,
		       shapes[shape].cluster /
			       (shapes[shape].extended ? 32 : 1));
	vc_disk_drop(d);
}

static void create(struct life *l, struct image *im, int shape,
		   const char *name, const char *backing)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", l->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	image_create(im, WRITERS_BYTES, shapes[shape].cluster,
		     shapes[shape].refcount_bits, 3, shapes[shape].engine);
	im->opts.extended_l2 = shapes[shape].extended;
	im->opts.lazy_refcounts = shapes[shape].lazy;
	im->opts.compression = shapes[shape].compression;
	im->opts.backing_file = backing;
	im->opts.backing_format = backing ? "qcow2" : NULL;
	ck_assert_int_eq(dup3(fd, im->fd, O_CLOEXEC), im->fd);
	vc_close(&fd);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
}

static void remove_dir(const char *dir)
{
	static const char *const names[] = { "top", "base" };
	char path[40];
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

/* At a random moment; or, every other time, at one in the midst of a step that
 * would seldom be met otherwise. */
static void wait_for_moment(struct life *l, unsigned round)
{
	unsigned step = round / 2 % NR_STEPS, i;

	usleep(1000 + image_random(&l->top) % (round % 2 ? 5000 : 40000));
	if (round % 2 == 0)
		return;
	for (i = 0; i < 2000 && l->diary->now != step; i++)
		usleep(50);
	usleep(image_random(&l->top) % (step == COMMIT ? 10000 : 400));
}

START_TEST(killed_again_and_again)
{
	unsigned nr = writers_rounds(KILLS), nr_steps = 0, round, i;
	unsigned nr_in[NR_STEPS + 1] = { 0 };
	struct life l;

	/* where nobody waits for a medium, if there is such a place */
	snprintf(l.dir, sizeof(l.dir), "%s/disk-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(l.dir));
	create(&l, &l.base, _i, "base", NULL);
	create(&l, &l.top, _i, "top", "base");
	l.book = writers_book_new();
	l.diary = mmap(NULL, sizeof(*l.diary), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(l.diary, MAP_FAILED);
	l.diary->now = NR_STEPS;
	l.top.seed = writers_seed("killed_again_and_again");
	for (round = 0; round < nr; round++) {
		int status;
		pid_t pid;

		image_random(&l.top);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (!pid)
			live(&l, _i);
		wait_for_moment(&l, round);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFSIGNALED(status), "status %x", status);
		nr_in[l.diary->now]++;
		l.diary->now = NR_STEPS;
		check_life(&l, _i, round % 4 == 0);
	}
	printf("killed %u times: in a snapshot %u, its end %u, a resize %u, "
	       "a commit %u, else writing\n",
	       nr, nr_in[SNAPSHOT], nr_in[DELETE], nr_in[RESIZE],
	       nr_in[COMMIT]);
	printf("done: snapshots %u, ended %u, resizes %u, commits %u\n",
	       l.diary->nr_done[SNAPSHOT], l.diary->nr_done[DELETE],
	       l.diary->nr_done[RESIZE], l.diary->nr_done[COMMIT]);
	for (i = 0; i < NR_STEPS; i++)
		nr_steps += l.diary->nr_done[i];
	ck_assert_uint_ge(nr_steps, nr / 2);
	munmap(l.diary, sizeof(*l.diary));
	writers_book_free(l.book);
	image_fini(&l.top);
	image_fini(&l.base);
	remove_dir(l.dir);
}
END_TEST

TEST_SUITE(suite_qcow2_life)
{
	Suite *s = suite_create("disk/qcow2 life");
	TCase *tc = test_case(s, "life");

	tcase_add_loop_test(tc, killed_again_and_again, 0, NR_SHAPES);
	return s;
}
