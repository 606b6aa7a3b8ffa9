/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vmm device CLASS` as a VM starts it: a jailed process with a socket and a
 * few descriptors, driven by the fake guest. A system call that a class needs
 * and its policy does not have kills the process here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/fake_guest.h"
#include "vmm/control/dialer.h"
#include "vmm/control/opener.h"

#define CHILD_SOCK 3 /* its number there; what else it gets follows */
#define CHILD_FD 4

/* A host as many are: containers are not allowed to make rings. */
static void forbid_rings(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { VC_ARRAY_SIZE(insns), insns };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(126);
}

static struct fg *fg;
static pid_t pid;
static bool has_rings = true;

/* Start `vmm device` with `args` and with `fds` as CHILD_FD and so on. */
static void start(const char *const *args, const int *fds, int nr_fds)
{
	const char *argv[16] = { "vmm", "device" };
	int pair[2], i, nr = 2;

	while (*args)
		argv[nr++] = *args++;
	argv[nr++] = "--fd";
	argv[nr++] = "3";
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		/* out of the way of the numbers to come */
		int sock = fcntl(pair[0], F_DUPFD, 100), at[4];

		if (!has_rings)
			forbid_rings();
		for (i = 0; i < nr_fds; i++)
			at[i] = fcntl(fds[i], F_DUPFD, 100);
		for (i = 0; i < nr_fds; i++)
			dup2(at[i], CHILD_FD + i);
		dup2(sock, CHILD_SOCK);
		execvp("vmm", (char **)(uintptr_t)argv);
		_exit(127);
	}
	vc_close(&pair[0]);
	fg = fg_new(FG_RAM_DEFAULT);
	fg_connect(fg, pair[1], 0);
}

/* The one line of a file of /proc. */
static void read_line(const char *path, char text[80])
{
	FILE *f = fopen(path, "re");

	ck_assert_msg(f, "%s", path);
	ck_assert_ptr_nonnull(fgets(text, 80, f));
	fclose(f);
}

/* Threads of the device process that do its I/O: its parent is `pid`. */
static unsigned count_io_threads(void)
{
	char path[80], text[80];
	unsigned nr = 0;
	struct dirent *e;
	int child;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	read_line(path, text);
	child = atoi(text);
	snprintf(path, sizeof(path), "/proc/%d/task", child);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", child,
			 atoi(e->d_name));
		read_line(path, text);
		nr += !strcmp(text, "disk-io\n");
	}
	closedir(dir);
	return nr;
}

/* Hang up: the process ends, with status 0. */
static void finish(void)
{
	int status;

	fg_free(fg);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status),
		      "the device process: wait status 0x%x", status);
}

START_TEST(rng)
{
	static const char *const args[] = { "rng", NULL };
	uint8_t buf[64] = { 0 }, zero[64] = { 0 };
	struct fg_seg seg = { FG_IN, buf, sizeof(buf) };

	start(args, NULL, 0);
	fg_queue(fg, 0, 8);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	ck_assert_mem_ne(buf, zero, 64);
	/* a hostile driver costs the queue, with a line in the log */
	fg_avail(fg, 0, 1000);
	fg_expect_broken(fg, 0);
	fg_reset(fg);
	fg_queue(fg, 0, 8);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	/* memory is mapped and unmapped in the jail too */
	fg_add_ram(fg, UINT64_C(1) << 32, 1 << 20);
	ck_assert_uint_eq(fg_do(fg, 0, &seg, 1), 64);
	finish();
}
END_TEST

/* --- blk -------------------------------------------------------------------- */

#define DISK_BYTES (8u << 20)
#define BLOCK 4096u

enum {
	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_FLUSH = 4,
	BLK_GET_ID = 8,
	BLK_DISCARD = 11,
	BLK_ZEROES = 13
};

struct blk_head {
	le32_t type, reserved;
	le64_t sector;
};

static struct blk_head head(uint32_t type, uint64_t sector)
{
	return (struct blk_head){ le32_put(type), le32_put(0),
				  le64_put(sector) };
}

static uint8_t blk(uint32_t type, uint64_t sector, enum fg_dir dir, void *buf,
		   uint32_t len)
{
	struct blk_head h = head(type, sector);
	uint8_t status = 0xff;
	struct fg_seg segs[3] = { { FG_OUT, &h, sizeof(h) },
				  { dir, buf, len },
				  { FG_IN, &status, 1 } };

	if (!len)
		segs[1] = segs[2];
	fg_do(fg, 0, segs, len ? 3 : 2);
	return status;
}

/* As many writes in flight as the queue takes, then as many reads. */
static void many_at_once(uint32_t type)
{
	static uint8_t buf[64][BLOCK], status[64];
	struct blk_head h[64];
	unsigned round, i, k;

	for (round = 0; round < 16; round++) {
		for (i = 0; i < 64; i++) {
			unsigned block = round * 64 + i;
			struct fg_seg segs[3] = {
				{ FG_OUT, &h[i], sizeof(h[i]) },
				{ type == BLK_OUT ? FG_OUT : FG_IN, buf[i],
				  BLOCK },
				{ FG_IN, &status[i], 1 }
			};

			h[i] = head(type, (uint64_t)block * (BLOCK / 512));
			if (type == BLK_OUT)
				memset(buf[i], (int)(block % 251 + 1), BLOCK);
			status[i] = 0xff;
			fg_chain(fg, 0, segs, 3);
		}
		fg_kick(fg, 0);
		for (i = 0; i < 64; i++)
			fg_used(fg, 0, NULL);
		for (i = 0; i < 64; i++) {
			ck_assert_uint_eq(status[i], 0);
			for (k = 0; k < BLOCK; k += 511)
				ck_assert_uint_eq(buf[i][k],
						  (round * 64 + i) % 251 + 1);
		}
	}
}

/* With a ring, and where there is none with threads: each test of a disk is
 * done both ways. */
static void start_disk(int i, const char *const *args, const int *fds,
		       int nr_fds)
{
	has_rings = !i;
	start(args, fds, nr_fds);
	fg_queue(fg, 0, 256);
	if (has_rings)
		ck_assert_uint_eq(count_io_threads(), 0);
	else
		ck_assert_uint_gt(count_io_threads(), 1);
}

START_TEST(raw_disk)
{
	static const char *const args[] = { "blk", "--disk",
					    "fd=4,format=raw,id=process-test",
					    NULL };
	char path[] = "/tmp/vmm-device-test.XXXXXX", id[20] = "";
	int fd = mkstemp(path);
	uint8_t a[512], *map;
	struct {
		le64_t sector;
		le32_t num, flags;
	} range = { le64_put(8), le32_put(8), le32_put(0) };

	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(ftruncate(fd, DISK_BYTES), 0);
	start_disk(_i, args, &fd, 1);
	many_at_once(BLK_OUT);
	ck_assert_uint_eq(blk(BLK_FLUSH, 0, FG_IN, NULL, 0), 0);
	many_at_once(BLK_IN);
	ck_assert_uint_eq(blk(BLK_GET_ID, 0, FG_IN, id, sizeof(id)), 0);
	ck_assert_str_eq(id, "process-test");
	ck_assert_uint_eq(blk(BLK_ZEROES, 0, FG_OUT, &range, sizeof(range)), 0);
	ck_assert_uint_eq(blk(BLK_DISCARD, 0, FG_OUT, &range, sizeof(range)),
			  0);
	memset(a, 0x77, sizeof(a));
	ck_assert_uint_eq(blk(BLK_OUT, 5, FG_OUT, a, sizeof(a)), 0);
	ck_assert_uint_ne(blk(BLK_OUT, DISK_BYTES / 512, FG_OUT, a, 512), 0);
	finish();

	map = mmap(NULL, DISK_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	ck_assert_mem_eq(map + 5 * 512, a, 512);
	ck_assert_uint_eq(map[BLOCK], 0);
	ck_assert_uint_eq(map[2 * BLOCK], 3);
	munmap(map, DISK_BYTES);
	vc_close(&fd);
}
END_TEST

/* An image that grows: metadata is read and written in the jail. */
START_TEST(qcow2_disk)
{
	static const char *const args[] = { "blk", "--disk", "fd=4", NULL };
	const struct vc_disk_create_opts how = { .format = VC_DISK_FORMAT_QCOW2,
						 .size_bytes = DISK_BYTES };
	const struct vc_disk_open_opts open_opts = { .name = "test" };
	char path[] = "/tmp/vmm-device-test.XXXXXX";
	struct vc_disk *disk;
	struct vc_error err;
	int fd = mkstemp(path);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_ok(vc_disk_create(fd, &how, &err), &err);
	start_disk(_i, args, &fd, 1);
	many_at_once(BLK_OUT);
	ck_assert_uint_eq(blk(BLK_FLUSH, 0, FG_IN, NULL, 0), 0);
	many_at_once(BLK_IN);
	finish();
	vc_close(&fd);

	ck_ok(vc_disk_open(path, &open_opts, &disk, &err), &err);
	ck_ok(vc_disk_read(disk, 3 * BLOCK, &byte, 1, &err), &err);
	ck_assert_uint_eq(byte, 4);
	ck_ok(vc_disk_close(disk, &err), &err);
	unlink(path);
}
END_TEST

/* A process that opens what the image `path` names, for who has pair[1]. */
static pid_t serve_names(const char *path, int pair[2])
{
	struct vc_loop *loop;
	struct vc_error err;
	struct opener o;
	pid_t server;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server)
		return server;
	vc_close(&pair[1]);
	opener_init(&o, pair[0], path, false, true);
	if (vc_loop_new(&loop, &err) < 0 || opener_start(&o, loop, &err) < 0 ||
	    vc_loop_run(loop, NULL, &err) < 0)
		_exit(1);
	_exit(0);
}

/* What an image names comes through a socket, before the device is sealed. */
START_TEST(disk_with_a_backing_file)
{
	static const char *const args[] = { "blk", "--disk",
					    "fd=4,open-fd=5,backing,direct",
					    NULL };
	const struct vc_disk_create_opts how = { .format = VC_DISK_FORMAT_QCOW2,
						 .size_bytes = DISK_BYTES,
						 .backing_file = "base",
						 .backing_format = "raw" };
	char dir[] = "/tmp/vmm-device-test.XXXXXX", path[64], base[64];
	struct vc_error err;
	uint8_t buf[512];
	int fd, base_fd, pair[2];
	pid_t server;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/top", dir);
	snprintf(base, sizeof(base), "%s/base", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	base_fd = open(base, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_ok(vc_disk_create(fd, &how, &err), &err);
	ck_assert_int_eq(ftruncate(base_fd, DISK_BYTES), 0);
	ck_assert_int_eq(pwrite(base_fd, "from below", 10, 512), 10);
	server = serve_names(path, pair);
	start_disk(_i, args, (int[]){ fd, pair[1] }, 2);
	vc_close(&pair[0]);
	vc_close(&pair[1]);
	ck_assert_uint_eq(blk(BLK_IN, 1, FG_IN, buf, sizeof(buf)), 0);
	ck_assert_mem_eq(buf, "from below", 10);
	memset(buf, 0x55, sizeof(buf));
	ck_assert_uint_eq(blk(BLK_OUT, 1, FG_OUT, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(blk(BLK_IN, 2, FG_IN, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(buf[0], 0);
	finish();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	/* the file below is only read */
	ck_assert_int_eq(pread(base_fd, buf, 10, 512), 10);
	ck_assert_mem_eq(buf, "from below", 10);
	vc_close(&fd);
	vc_close(&base_fd);
	unlink(path);
	unlink(base);
	rmdir(dir);
}
END_TEST

/* A composite disk of one component, as its writers make it. */
static void write_composite(int fd, const char *part, uint64_t bytes)
{
	uint8_t text[100] = "composite_disk\x1d\x08\x02\x12";
	size_t n = 18, len = strlen(part);

	text[n++] = (uint8_t)(len + 4);
	text[n++] = 0x0a;
	text[n++] = (uint8_t)len;
	memcpy(text + n, part, len);
	n += len;
	text[n++] = 0x18; /* writable */
	text[n++] = 1;
	text[n++] = 0x18;
	for (; bytes > 127; bytes >>= 7)
		text[n++] = (uint8_t)(bytes | 128);
	text[n++] = (uint8_t)bytes;
	ck_assert_int_eq(pwrite(fd, text, n, 0), (ssize_t)n);
}

/* Those that are written in one pass, and only read afterwards. */
static void write_sequential(int fd, enum vc_disk_format format)
{
	struct vc_disk_create_opts co = { .format = format,
					  .size_bytes = DISK_BYTES };
	struct vc_disk_open_opts oo = { .format = format, .writable = true };
	uint8_t block[4096] = "0123456789";
	struct vc_disk *d;
	struct vc_error err;
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	ck_ok(vc_disk_create(fd, &co, &err), &err);
	ck_ok(vc_disk_open_fd(dup, &oo, NULL, &d, &err), &err);
	ck_ok(vc_disk_write(d, 4096, block, sizeof(block), &err), &err);
	ck_ok(vc_disk_close(d, &err), &err);
}

/* What is made of other files, and what can only be read. */
static const struct {
	const char *spec;
	enum vc_disk_format format;
} kinds[] = {
	{ "fd=4,open-fd=5,backing", VC_DISK_FORMAT_QCOW2 }, /* data file */
	{ "fd=4,open-fd=5,backing,format=composite", VC_DISK_FORMAT_COMPOSITE },
	{ "fd=4,ro", VC_DISK_FORMAT_ZSTD },
	{ "fd=4,ro", VC_DISK_FORMAT_ANDROID_SPARSE },
};

START_TEST(disk_of_another_kind)
{
	const char *args[] = { "blk", "--disk", kinds[_i / 2].spec, NULL };
	enum vc_disk_format format = kinds[_i / 2].format;
	bool follows = !vc_disk_format_is_sequential(format);
	char dir[] = "/tmp/vmm-device-test.XXXXXX", path[64], part[64];
	struct vc_disk_create_opts co = { .format = format,
					  .size_bytes = DISK_BYTES,
					  .data_file = "part" };
	struct vc_error err;
	uint8_t buf[512] = "", want;
	int fd, part_fd, pair[2];
	pid_t server;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(part, sizeof(part), "%s/part", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	part_fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	co.data_fd = part_fd;
	if (!follows)
		write_sequential(fd, format);
	else if (format == VC_DISK_FORMAT_QCOW2)
		ck_ok(vc_disk_create(fd, &co, &err), &err);
	else
		write_composite(fd, "part", DISK_BYTES);
	ck_assert_int_eq(ftruncate(part_fd, DISK_BYTES), 0);
	server = serve_names(path, pair);
	start_disk(_i % 2, args, (int[]){ fd, pair[1] }, follows ? 2 : 1);
	vc_close(&pair[0]);
	vc_close(&pair[1]);
	if (follows) {
		memset(buf, 0x55, sizeof(buf));
		ck_assert_uint_eq(blk(BLK_OUT, 8, FG_OUT, buf, sizeof(buf)), 0);
		ck_assert_uint_eq(blk(BLK_FLUSH, 0, FG_IN, NULL, 0), 0);
	} else {
		ck_assert_uint_ne(blk(BLK_OUT, 8, FG_OUT, buf, sizeof(buf)), 0);
	}
	want = follows ? 0x55 : '0';
	memset(buf, 1, sizeof(buf));
	ck_assert_uint_eq(blk(BLK_IN, 8, FG_IN, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(buf[0], want);
	ck_assert_uint_eq(blk(BLK_IN, 80, FG_IN, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(buf[0], 0);
	finish();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	if (follows) {
		ck_assert_int_eq(pread(part_fd, buf, 1, 4096), 1);
		ck_assert_uint_eq(buf[0], want);
	}
	vc_close(&fd);
	vc_close(&part_fd);
	unlink(path);
	unlink(part);
	rmdir(dir);
}
END_TEST

/* --- console --------------------------------------------------------------- */

START_TEST(console)
{
	static const char *const args[] = { "console",	"--in-fd", "4",
					    "--out-fd", "5",	   NULL };
	char buf[16] = "";
	struct fg_seg rx = { FG_IN, buf, sizeof(buf) };
	struct fg_seg tx = { FG_OUT, (char[]){ "to the host" }, 11 };
	int in[2], out[2];
	uint32_t len;

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	start(args, (int[]){ in[0], out[1] }, 2);
	vc_close(&in[0]);
	vc_close(&out[1]);
	fg_queue(fg, 0, 8);
	fg_queue(fg, 1, 8);
	fg_chain(fg, 0, &rx, 1);
	fg_kick(fg, 0);
	ck_assert_int_eq(write(in[1], "to the guest", 12), 12);
	fg_used(fg, 0, &len);
	ck_assert_uint_eq(len, 12);
	ck_assert_mem_eq(buf, "to the guest", 12);
	fg_do(fg, 1, &tx, 1);
	ck_assert_int_eq(vc_read_full(out[0], buf, 11), 0);
	ck_assert_mem_eq(buf, "to the host", 11);
	/* whoever reads it goes away; whoever writes it too */
	vc_close(&out[0]);
	vc_close(&in[1]);
	fg_do(fg, 1, &tx, 1);
	finish();
}
END_TEST

/* --- vsock ----------------------------------------------------------------- */

struct vsock_head {
	le64_t src_cid, dst_cid;
	le32_t src_port, dst_port, len;
	le16_t type, op;
	le32_t flags, buf_alloc, fwd_cnt;
};
_Static_assert(sizeof(struct vsock_head) == 44, "virtio 1.2, 5.10.6");

enum {
	OP_REQUEST = 1,
	OP_RESPONSE = 2,
	OP_RST = 3,
	OP_SHUTDOWN = 4,
	OP_RW = 5,
	OP_CREDIT_UPDATE = 6,
	OP_CREDIT_REQUEST = 7,
};

#define HOST_CID 2
#define GUEST_CID 42

/* Take the next packet for `port` of the guest that is more than a word on
 * credit; what other connections have still to say is of no interest. */
static uint16_t vsock_recv(uint32_t port, struct vsock_head *h, char *data,
			   uint32_t max)
{
	struct fg_seg segs[2] = { { FG_IN, h, sizeof(*h) },
				  { FG_IN, data, max } };

	do {
		fg_chain(fg, 0, segs, 2);
		fg_kick(fg, 0);
		fg_used(fg, 0, NULL);
	} while (le32_get(h->dst_port) != port ||
		 le16_get(h->op) == OP_CREDIT_UPDATE ||
		 le16_get(h->op) == OP_CREDIT_REQUEST);
	return le16_get(h->op);
}

static void vsock_send(uint16_t op, uint32_t src, uint32_t dst, char *data,
		       uint32_t len)
{
	struct vsock_head h = { le64_put(GUEST_CID), le64_put(HOST_CID),
				le32_put(src),	     le32_put(dst),
				le32_put(len),	     le16_put(1),
				le16_put(op),	     le32_put(0),
				le32_put(65536),     le32_put(0) };
	struct fg_seg segs[2] = { { FG_OUT, &h, sizeof(h) },
				  { FG_OUT, data, len } };

	fg_do(fg, 1, segs, len ? 2 : 1);
}

static int listen_somewhere(struct sockaddr_un *sa, socklen_t *len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*len = sizeof(sa->sun_family); /* an abstract name of the kernel's */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)sa, *len), 0);
	*len = sizeof(*sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)sa, len), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static void client_to_guest(int client)
{
	struct vsock_head h;
	char buf[32] = "";
	uint32_t port;

	ck_assert_int_eq(write(client, "CONNECT 5\n", 10), 10);
	ck_assert_uint_eq(vsock_recv(5, &h, buf, sizeof(buf)), OP_REQUEST);
	ck_assert_uint_eq(le64_get(h.dst_cid), GUEST_CID);
	ck_assert_uint_eq(le32_get(h.dst_port), 5);
	port = le32_get(h.src_port);
	vsock_send(OP_RESPONSE, 5, port, NULL, 0);
	ck_assert_int_eq(vc_read_full(client, buf, 3), 0);
	ck_assert_mem_eq(buf, "OK ", 3);
	do
		ck_assert_int_eq(vc_read_full(client, buf, 1), 0);
	while (*buf != '\n');

	vsock_send(OP_RW, 5, port, (char[]){ "hello host" }, 10);
	ck_assert_int_eq(vc_read_full(client, buf, 10), 0);
	ck_assert_mem_eq(buf, "hello host", 10);
	ck_assert_int_eq(write(client, "hello guest", 11), 11);
	ck_assert_uint_eq(vsock_recv(5, &h, buf, sizeof(buf)), OP_RW);
	ck_assert_uint_eq(le32_get(h.len), 11);
	ck_assert_mem_eq(buf, "hello guest", 11);
}

/* The guest connects to port 9 of the host; we are the supervisor. */
static void guest_to_host(int dial)
{
	struct vsock_head h;
	char buf[32];
	le32_t port, ok = le32_put(0);
	int pair[2];

	vsock_send(OP_REQUEST, 1234, 9, NULL, 0);
	ck_assert_int_eq(recv(dial, &port, sizeof(port), 0), sizeof(port));
	ck_assert_uint_eq(le32_get(port), 9);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(vc_send_fds(dial, &ok, sizeof(ok), &pair[1], 1),
			 sizeof(ok));
	vc_close(&pair[1]);
	ck_assert_uint_eq(vsock_recv(1234, &h, buf, sizeof(buf)), OP_RESPONSE);
	ck_assert_uint_eq(le32_get(h.dst_port), 1234);
	vsock_send(OP_RW, 1234, 9, (char[]){ "out" }, 3);
	ck_assert_int_eq(vc_read_full(pair[0], buf, 3), 0);
	ck_assert_mem_eq(buf, "out", 3);
	vc_close(&pair[0]);
	/* the host's end is gone: shut down or reset */
	ck_assert_uint_ne(vsock_recv(1234, &h, buf, sizeof(buf)), OP_RW);
}

START_TEST(vsock)
{
	static const char *const args[] = { "vsock",	   "--cid", "42",
					    "--listen-fd", "4",	    "--dial-fd",
					    "5",	   NULL };
	struct sockaddr_un sa;
	socklen_t len;
	int client, dial[2], at = listen_somewhere(&sa, &len);
	le64_t cid;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, dial), 0);
	start(args, (int[]){ at, dial[1] }, 2);
	vc_close(&at);
	vc_close(&dial[1]);
	fg_config(fg, 0, &cid, sizeof(cid));
	ck_assert_uint_eq(le64_get(cid), GUEST_CID);
	fg_queue(fg, 0, 16);
	fg_queue(fg, 1, 16);
	fg_queue(fg, 2, 16);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&sa, len), 0);
	client_to_guest(client);
	vc_close(&client);
	{
		struct vsock_head h;
		char buf[32];

		ck_assert_uint_ne(vsock_recv(5, &h, buf, sizeof(buf)), OP_RW);
	}
	guest_to_host(dial[0]);
	finish();
	vc_close(&dial[0]);
}
END_TEST

/* Ports of the host are Unix sockets, by the supervisor's dialer. */
START_TEST(vsock_to_a_socket)
{
	static const char *const args[] = { "vsock",	 "--cid", "42",
					    "--dial-fd", "4",	  NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/vmm-device-test.XXXXXX", path[64], buf[32];
	int at = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer, pair[2];
	struct dialer d;
	struct vc_error err;
	struct vsock_head h;
	pid_t server;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vsock", dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_9", path);
	ck_assert_int_eq(bind(at, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(at, 5), 0);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (!server) {
		struct vc_loop *loop;

		vc_close(&pair[1]);
		dialer_init(&d, pair[0], path);
		if (vc_loop_new(&loop, &err) < 0 ||
		    dialer_start(&d, loop, &err) < 0 ||
		    vc_loop_run(loop, NULL, &err) < 0)
			_exit(1);
		_exit(0);
	}
	start(args, &pair[1], 1);
	vc_close(&pair[0]);
	vc_close(&pair[1]);
	fg_queue(fg, 0, 16);
	fg_queue(fg, 1, 16);
	fg_queue(fg, 2, 16);
	/* nobody listens on port 10 */
	vsock_send(OP_REQUEST, 1234, 10, NULL, 0);
	ck_assert_uint_eq(vsock_recv(1234, &h, buf, sizeof(buf)), OP_RST);
	vsock_send(OP_REQUEST, 1235, 9, NULL, 0);
	ck_assert_uint_eq(vsock_recv(1235, &h, buf, sizeof(buf)), OP_RESPONSE);
	peer = accept(at, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	vsock_send(OP_RW, 1235, 9, (char[]){ "out" }, 3);
	ck_assert_int_eq(vc_read_full(peer, buf, 3), 0);
	ck_assert_mem_eq(buf, "out", 3);
	ck_assert_int_eq(write(peer, "back", 4), 4);
	ck_assert_uint_eq(vsock_recv(1235, &h, buf, sizeof(buf)), OP_RW);
	ck_assert_mem_eq(buf, "back", 4);
	finish();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	vc_close(&peer);
	vc_close(&at);
	unlink(sa.sun_path);
	rmdir(dir);
}
END_TEST

/* A frontend that talks nonsense: one line, status 1. */
START_TEST(ends_on_nonsense)
{
	int pair[2], status;

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		dup2(pair[0], CHILD_SOCK);
		fcntl(CHILD_SOCK, F_SETFD, 0);
		execlp("vmm", "vmm", "device", "rng", "--fd", "3", NULL);
		_exit(127);
	}
	vc_close(&pair[0]);
	ck_assert_int_eq(write(pair[1], "nonsense, and more of it", 24), 24);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 1);
	vc_close(&pair[1]);
}
END_TEST

TEST_SUITE(suite_processes)
{
	Suite *s = suite_create("vmm device");
	TCase *tc = test_case(s, "jailed");

	tcase_add_test(tc, rng);
	tcase_add_loop_test(tc, raw_disk, 0, 2);
	tcase_add_loop_test(tc, qcow2_disk, 0, 2);
	tcase_add_loop_test(tc, disk_with_a_backing_file, 0, 2);
	tcase_add_loop_test(tc, disk_of_another_kind, 0,
			    2 * (int)VC_ARRAY_SIZE(kinds));
	tcase_add_test(tc, console);
	tcase_add_test(tc, vsock);
	tcase_add_test(tc, vsock_to_a_socket);
	tcase_add_test(tc, ends_on_nonsense);
	return s;
}

Suite *suite_opener(void);

TEST_MAIN(suite_processes, suite_opener)
