/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <vmmcore/disk.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB (1024 * 1024)

static struct vc_error err;

static struct vc_disk *open_new(uint64_t size, int io)
{
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_RAW,
					  .size_bytes = size };
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.io = engines[io] };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vc_disk *d;

	ck_assert_int_ge(fd, 0);
	ck_ok(vc_disk_create(fd, &co, &err), &err);
	ck_ok(vc_disk_open_fd(fd, &oo, NULL, &d, &err), &err);
	return d;
}

START_TEST(reads_what_was_written)
{
	struct vc_disk *d = open_new(MIB, _i);
	char in[5000], out[5000];

	memset(in, 0xa5, sizeof(in));
	ck_assert_uint_eq(vc_disk_get_size(d), MIB);
	ck_ok(vc_disk_write(d, 12345, in, sizeof(in), &err), &err);
	ck_ok(vc_disk_flush(d, &err), &err);
	ck_ok(vc_disk_read(d, 12345, out, sizeof(out), &err), &err);
	ck_assert_mem_eq(in, out, sizeof(in));
	ck_ok(vc_disk_zero(d, 12345, 100, &err), &err);
	ck_ok(vc_disk_read(d, 12345, out, sizeof(out), &err), &err);
	memset(in, 0, 100);
	ck_assert_mem_eq(in, out, sizeof(in));
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

struct async {
	struct vc_disk_req req;
	struct iovec iov[3];
	uint8_t buf[3][1024];
	enum vc_disk_status status;
	unsigned nr_done;
};

static void async_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	struct async *a = vc_container_of(req, struct async, req);

	a->nr_done++;
	a->status = status;
}

static void async_init(struct async *a, enum vc_disk_op op, uint64_t offset)
{
	int i;

	memset(a, 0, sizeof(*a));
	a->req.op = op;
	a->req.offset_bytes = offset;
	a->req.done = async_done;
	if (op == VC_DISK_READ || op == VC_DISK_WRITE) {
		a->req.iov = a->iov;
		a->req.nr_iov = 3;
		for (i = 0; i < 3; i++)
			a->iov[i] = (struct iovec){ a->buf[i], 1024 };
	}
	if (op != VC_DISK_FLUSH)
		a->req.length_bytes = sizeof(a->buf);
}

START_TEST(completes_many_at_once)
{
	enum { NR = 1000 };
	struct vc_disk *d = open_new(8 * MIB, _i);
	struct async *a = calloc(NR, sizeof(*a));
	struct pollfd pfd = { vc_disk_get_poll_fd(d), POLLIN, 0 };
	unsigned i, done = 0;

	ck_assert_ptr_nonnull(a);
	for (i = 0; i < NR; i++) {
		async_init(&a[i], VC_DISK_WRITE, i * 3072);
		memset(a[i].buf, (int)(i % 251 + 1), sizeof(a[i].buf));
		vc_disk_submit(d, &a[i].req);
	}
	for (i = 0; i < NR; i++)
		ck_assert_uint_eq(a[i].nr_done, 0);
	vc_disk_kick(d);
	while (done < NR) {
		ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
		done += (unsigned)vc_disk_poll(d, false);
	}
	for (i = 0; i < NR; i++) {
		ck_assert_uint_eq(a[i].nr_done, 1);
		ck_assert_int_eq(a[i].status, VC_DISK_OK);
		async_init(&a[i], VC_DISK_READ, i * 3072);
		vc_disk_submit(d, &a[i].req);
	}
	vc_disk_drain(d);
	for (i = 0; i < NR; i++) {
		ck_assert_uint_eq(a[i].nr_done, 1);
		ck_assert_uint_eq(a[i].buf[0][0], i % 251 + 1);
		ck_assert_uint_eq(a[i].buf[2][1023], i % 251 + 1);
	}
	ck_assert_int_eq(vc_disk_poll(d, true), 0);
	free(a);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

static enum vc_disk_status run(struct vc_disk *d, struct async *a)
{
	vc_disk_submit(d, &a->req);
	ck_assert_uint_eq(a->nr_done, 0);
	vc_disk_drain(d);
	ck_assert_uint_eq(a->nr_done, 1);
	return a->status;
}

START_TEST(refuses_bad_requests)
{
	struct vc_disk *d = open_new(MIB, _i);
	struct async a;

	async_init(&a, VC_DISK_READ, MIB - 1024);
	ck_assert_int_eq(run(d, &a), VC_DISK_ERANGE);
	async_init(&a, VC_DISK_READ, UINT64_MAX - 1024);
	ck_assert_int_eq(run(d, &a), VC_DISK_ERANGE);
	async_init(&a, VC_DISK_WRITE, 0);
	a.req.length_bytes--;
	ck_assert_int_eq(run(d, &a), VC_DISK_ERANGE);
	async_init(&a, VC_DISK_WRITE, 0);
	a.req.nr_iov = VC_DISK_MAX_IOV + 1;
	ck_assert_int_eq(run(d, &a), VC_DISK_ERANGE);
	async_init(&a, VC_DISK_DISCARD, 4096);
	a.req.length_bytes = UINT64_MAX;
	ck_assert_int_eq(run(d, &a), VC_DISK_ERANGE);
	async_init(&a, (enum vc_disk_op)99, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_ENOTSUP);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(every_operation_works)
{
	struct vc_disk *d = open_new(MIB, _i);
	struct async a;
	char c = 0;

	async_init(&a, VC_DISK_WRITE, 0);
	memset(a.buf, 7, sizeof(a.buf));
	a.req.flags = VC_DISK_REQ_FUA;
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	async_init(&a, VC_DISK_FLUSH, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	ck_ok(vc_disk_read(d, 100, &c, 1, &err), &err);
	ck_assert_int_eq(c, 7);
	async_init(&a, VC_DISK_WRITE_ZEROES, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	ck_ok(vc_disk_read(d, 100, &c, 1, &err), &err);
	ck_assert_int_eq(c, 0);
	async_init(&a, VC_DISK_DISCARD, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(readonly_stays_unwritten)
{
	struct vc_disk_open_opts oo = { .io = engines[_i] };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vc_disk *d;
	struct async a;
	char c = 1;

	ck_assert_int_ge(fd, 0);
	/* its last sector is cut short */
	ck_assert_int_eq(ftruncate(fd, 10000), 0);
	ck_ok(vc_disk_open_fd(fd, &oo, NULL, &d, &err), &err);
	ck_assert_int_eq(vc_disk_get_format(d), VC_DISK_FORMAT_RAW);
	ck_assert_uint_eq(vc_disk_get_size(d), 10240);
	ck_ok(vc_disk_read(d, 10239, &c, 1, &err), &err);
	ck_assert_int_eq(c, 0);
	async_init(&a, VC_DISK_WRITE, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_EROFS);
	async_init(&a, VC_DISK_FLUSH, 0);
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(maps_holes)
{
	struct vc_disk *d = open_new(8 * MIB, _i);
	struct vc_disk_extent e;

	ck_ok(vc_disk_write(d, 2 * MIB, "x", 1, &err), &err);
	ck_ok(vc_disk_map(d, 4096, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_ZERO);
	ck_assert_uint_eq(e.length_bytes, 2 * MIB - 4096);
	ck_ok(vc_disk_map(d, 2 * MIB, UINT64_MAX, &e, &err), &err);
	ck_assert_int_eq(e.kind, VC_DISK_DATA);
	ck_assert_uint_eq(e.host_offset, 2 * MIB);
	ck_assert_uint_eq(e.length_bytes, 4096);
	ck_fails(vc_disk_map(d, 8 * MIB, 1, &e, &err), &err, VC_E_ARG);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(no_space_is_reported_and_passes)
{
	struct vc_disk *d = open_new(MIB, _i);
	struct rlimit lim = { 4096, RLIM_INFINITY };
	struct async a;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
	async_init(&a, VC_DISK_WRITE, 3072);
	ck_assert_int_eq(run(d, &a), VC_DISK_ENOSPC);
	lim.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
	async_init(&a, VC_DISK_WRITE, 3072);
	ck_assert_int_eq(run(d, &a), VC_DISK_OK);
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(locks_out_a_second_writer)
{
	char path[] = "/tmp/disk-XXXXXX";
	struct vc_disk_open_opts rw = { .writable = true, .lock = true };
	struct vc_disk_open_opts ro = { .lock = true };
	struct vc_disk *a, *b;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
	ck_ok(vc_disk_open(path, &rw, &a, &err), &err);
	ck_fails(vc_disk_open(path, &rw, &b, &err), &err, VC_E_BUSY);
	ck_assert_int_eq(err.sys, 0);
	ck_fails(vc_disk_open(path, &ro, &b, &err), &err, VC_E_BUSY);
	vc_disk_drop(a);
	ck_ok(vc_disk_open(path, &ro, &a, &err), &err);
	ck_ok(vc_disk_open(path, &ro, &b, &err), &err);
	vc_disk_drop(b);
	ck_fails(vc_disk_open(path, &rw, &b, &err), &err, VC_E_BUSY);
	vc_disk_drop(a);
	unlink(path);
}
END_TEST

/* In a process that may make neither a ring nor a thread. Returns a status. */
static int run_without_help(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { VC_ARRAY_SIZE(insns), insns };
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vc_disk *d = NULL;
	char a[512] = "text", b[512];

	if (ftruncate(fd, MIB) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return 1;
	oo.io = VC_DISK_IO_URING;
	if (vc_disk_open_fd(fd, &oo, NULL, &d, &err) == 0)
		return 2;
	oo.io = VC_DISK_IO_POOL;
	if (vc_disk_open_fd(fd, &oo, NULL, &d, &err) == 0 ||
	    err.sys != EAGAIN || !strstr(err.msg, "start a thread"))
		return 3;
	oo.io = VC_DISK_IO_AUTO;
	if (vc_disk_open_fd(fd, &oo, NULL, &d, &err) < 0 ||
	    vc_disk_write(d, 0, a, 512, &err) < 0 ||
	    vc_disk_flush(d, &err) < 0 ||
	    vc_disk_read(d, 0, b, 512, &err) < 0 || memcmp(a, b, 512) != 0 ||
	    vc_disk_close(d, &err) < 0)
		return 4;
	return 0;
}

START_TEST(takes_what_the_host_allows)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(run_without_help());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* Where the kernel may not start a thread either, to do what it was given.
 * Returns a status. */
static int run_without_workers(void)
{
	const struct rlimit none = { 1, 1 };
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.io = VC_DISK_IO_URING };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vc_disk *d = NULL;
	char a[512] = "text", b[512];

	/* there is no such limit for root */
	if (ftruncate(fd, MIB) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0 ||
	    (!geteuid() && setresuid(54321, 54321, 54321) < 0))
		return 1;
	if (vc_disk_open_fd(fd, &oo, NULL, &d, &err) < 0)
		return 0; /* no ring here */
	alarm(20);
	if (vc_disk_write(d, 0, a, 512, &err) < 0 ||
	    vc_disk_write(d, MIB / 2, a, 512, &err) < 0 ||
	    vc_disk_zero(d, MIB / 2, 4096, &err) < 0 ||
	    vc_disk_flush(d, &err) < 0 ||
	    vc_disk_read(d, 0, b, 512, &err) < 0 || memcmp(a, b, 512) != 0)
		return 2;
	memset(a, 0, sizeof(a));
	if (vc_disk_read(d, MIB / 2, b, 512, &err) < 0 ||
	    memcmp(a, b, 512) != 0 || vc_disk_close(d, &err) < 0)
		return 3;
	return 0;
}

START_TEST(does_without_the_kernels_threads)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(run_without_workers());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(direct_takes_any_alignment)
{
	char path[] = "/var/tmp/disk-XXXXXX";
	struct vc_disk_open_opts rw = { .writable = true,
					.direct = true,
					.io = engines[_i] };
	struct vc_disk *d;
	char *buf = NULL, *back = NULL;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
	ck_assert_int_eq(posix_memalign((void **)&buf, 4096, 65536), 0);
	ck_assert_int_eq(posix_memalign((void **)&back, 4096, 65536), 0);
	memset(buf, 0x3c, 65536);
	ck_ok(vc_disk_open(path, &rw, &d, &err), &err);
	ck_ok(vc_disk_write(d, 0, buf, 65536, &err), &err);
	ck_ok(vc_disk_write(d, 1000, buf + 1, 777, &err), &err);
	ck_ok(vc_disk_read(d, 0, back, 65536, &err), &err);
	ck_assert_mem_eq(buf, back, 65536);
	ck_ok(vc_disk_read(d, 3, back + 5, 1000, &err), &err);
	ck_assert_mem_eq(buf, back, 65536);
	ck_ok(vc_disk_close(d, &err), &err);
	free(buf);
	free(back);
	unlink(path);
}
END_TEST

START_TEST(changes_its_size)
{
	struct vc_disk *d = open_new(UINT64_C(1) << 40, _i);
	char buf[512] = "x";

	ck_ok(vc_disk_write(d, 4096, buf, sizeof(buf), &err), &err);
	ck_fails(vc_disk_set_size(d, 1000, &err), &err, VC_E_ARG);
	ck_ok(vc_disk_set_size(d, MIB, &err), &err);
	ck_assert_uint_eq(vc_disk_get_size(d), MIB);
	ck_fails(vc_disk_write(d, MIB, buf, sizeof(buf), &err), &err, VC_E_SYS);
	ck_ok(vc_disk_set_size(d, 2 * MIB, &err), &err);
	ck_ok(vc_disk_read(d, MIB, buf, sizeof(buf), &err), &err);
	ck_assert_int_eq(buf[0], 0);
	ck_ok(vc_disk_read(d, 4096, buf, sizeof(buf), &err), &err);
	ck_assert_int_eq(buf[0], 'x');
	ck_ok(vc_disk_close(d, &err), &err);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	struct vc_disk_open_opts oo = { 0 };
	struct vc_disk *d;

	ck_fails(vc_disk_open("/dev/null", &oo, &d, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_fails(vc_disk_open("/tmp", &oo, &d, &err), &err, VC_E_SYS);
	ck_fails(vc_disk_open("/nonexistent", &oo, &d, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, ENOENT);
}
END_TEST

TEST_SUITE(suite_raw)
{
	Suite *s = suite_create("disk/raw");
	TCase *tc = test_case(s, "raw");

	tcase_add_loop_test(tc, reads_what_was_written, 0, NR_ENGINES);
	tcase_add_loop_test(tc, completes_many_at_once, 0, NR_ENGINES);
	tcase_add_loop_test(tc, refuses_bad_requests, 0, NR_ENGINES);
	tcase_add_loop_test(tc, every_operation_works, 0, NR_ENGINES);
	tcase_add_loop_test(tc, readonly_stays_unwritten, 0, NR_ENGINES);
	tcase_add_loop_test(tc, maps_holes, 0, NR_ENGINES);
	tcase_add_loop_test(tc, no_space_is_reported_and_passes, 0, NR_ENGINES);
	tcase_add_test(tc, locks_out_a_second_writer);
	tcase_add_test(tc, takes_what_the_host_allows);
	tcase_add_test(tc, does_without_the_kernels_threads);
	tcase_add_loop_test(tc, direct_takes_any_alignment, 0, NR_ENGINES);
	tcase_add_loop_test(tc, changes_its_size, 0, NR_ENGINES);
	tcase_add_test(tc, refuses_what_is_no_file);
	return s;
}
