/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A library to preload: the calls that write to a file are counted, whichever
 * thread makes them, and from a chosen one on they fail, or a signal comes there.
 * io_uring, which no library can come between, is refused by a filter.
 *
 *	WRITE_SHIM=count:FILE		write the number of calls to FILE
 *	WRITE_SHIM=error:ERRNO:N	from the Nth on they fail
 *	WRITE_SHIM=once:ERRNO:N		just the Nth fails
 *	WRITE_SHIM=signal:NR:N		signal NR comes before the Nth
 *	WRITE_SHIM_CALLS=link		linkat() counts in place of them
 *	WRITE_SHIM_CALLS=sync		fsync() does
 *	WRITE_SHIM_CALLS=read		the calls that read from one do
 *	WRITE_SHIM_CALLS=temp		open() of a file without a name does
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

enum kind { WRITES, LINKS, SYNCS, READS, TEMPS, NR_KINDS };

static atomic_int count;
static enum kind counted;
static char action[16];
static int value, when;

__attribute__((constructor)) static void start(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { 4, code };
	const char *what = getenv("WRITE_SHIM");
	const char *calls = getenv("WRITE_SHIM_CALLS");
	static const char *const kinds[NR_KINDS] = {
		[LINKS] = "link",
		[SYNCS] = "sync",
		[READS] = "read",
		[TEMPS] = "temp",
	};
	enum kind k;

	for (k = LINKS; calls && k < NR_KINDS; k++)
		if (!strcmp(calls, kinds[k]))
			counted = k;
	if (what && sscanf(what, "%15[a-z]:%d:%d", action, &value, &when) < 1)
		abort();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		abort();
}

__attribute__((destructor)) static void end(void)
{
	FILE *f;

	if (strcmp(action, "count") != 0)
		return;
	f = fopen(getenv("WRITE_SHIM") + 6, "we");
	if (!f)
		abort();
	fprintf(f, "%d\n", atomic_load(&count));
	fclose(f);
}

/* Whether the call is to fail, with errno. */
static int fails(enum kind kind)
{
	int n = kind == counted ? atomic_fetch_add(&count, 1) + 1 : 0;

	if (!n || n < when)
		return 0;
	if (!strcmp(action, "signal") && n == when)
		kill(getpid(), value);
	if (!strcmp(action, "error") ||
	    (!strcmp(action, "once") && n == when)) {
		errno = value;
		return 1;
	}
	return 0;
}

/* The next library's function of that name. */
#define NEXT(ret, name, ...) \
	((ret(*)(__VA_ARGS__))(uintptr_t)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	if (fails(WRITES))
		return -1;
	return NEXT(ssize_t, "pwrite", int, const void *, size_t,
		    off_t)(fd, buf, len, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (fails(WRITES))
		return -1;
	return NEXT(ssize_t, "pwritev", int, const struct iovec *, int,
		    off_t)(fd, iov, nr, at);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (fails(WRITES))
		return -1;
	return NEXT(ssize_t, "pwritev2", int, const struct iovec *, int, off_t,
		    int)(fd, iov, nr, at, flags);
}

int ftruncate(int fd, off_t len)
{
	if (fails(WRITES))
		return -1;
	return NEXT(int, "ftruncate", int, off_t)(fd, len);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to,
	   int flags)
{
	if (fails(LINKS))
		return -1;
	return NEXT(int, "linkat", int, const char *, int, const char *,
		    int)(from_dir, from, to_dir, to, flags);
}

int fsync(int fd)
{
	if (fails(SYNCS))
		return -1;
	return NEXT(int, "fsync", int)(fd);
}

ssize_t read(int fd, void *buf, size_t len)
{
	if (fails(READS))
		return -1;
	return NEXT(ssize_t, "read", int, void *, size_t)(fd, buf, len);
}

ssize_t pread(int fd, void *buf, size_t len, off_t at)
{
	if (fails(READS))
		return -1;
	return NEXT(ssize_t, "pread", int, void *, size_t, off_t)(fd, buf, len,
								  at);
}

ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (fails(READS))
		return -1;
	return NEXT(ssize_t, "preadv", int, const struct iovec *, int,
		    off_t)(fd, iov, nr, at);
}

ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (fails(READS))
		return -1;
	return NEXT(ssize_t, "preadv2", int, const struct iovec *, int, off_t,
		    int)(fd, iov, nr, at, flags);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if ((flags & O_TMPFILE) == O_TMPFILE && fails(TEMPS))
		return -1;
	return NEXT(int, "open", const char *, int, mode_t)(path, flags, mode);
}
