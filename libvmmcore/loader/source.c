/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes go from the file to guest memory in one copy, by preadv(2). The size is
 * taken once; a file that shrinks meanwhile gives an error, never a hang.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/util.h>
#include "loader/source.h"

#define COPY_BYTES 65536
#define READ_CHUNK (UINT64_C(1) << 30) /* preadv takes less than 2 GiB */

static int copy_stream(struct ld_source *src, int fd, uint64_t max_bytes,
		       struct vc_error *err)
{
	uint8_t buf[COPY_BYTES];

	src->copy_fd = memfd_create("loader", MFD_CLOEXEC);
	if (src->copy_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: make a copy",
			       src->what);
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "%s: read",
				       src->what);
		if (n == 0)
			break;
		if ((uint64_t)n > max_bytes - src->size)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "%s: larger than %llu MiB", src->what,
				       (unsigned long long)(max_bytes >> 20));
		if (vc_write_full(src->copy_fd, buf, (size_t)n) < 0)
			return vc_fail(err, VC_E_SYS, errno, "%s: make a copy",
				       src->what);
		src->size += (uint64_t)n;
	}
	src->fd = src->copy_fd;
	return 0;
}

int ld_source_init(struct ld_source *src, int fd, uint64_t max_bytes,
		   const char *what, struct vc_error *err)
{
	struct stat st;
	off_t end;

	*src = (struct ld_source){ .fd = fd, .copy_fd = -1, .what = what };
	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: stat", what);
	if (S_ISDIR(st.st_mode))
		return vc_fail(err, VC_E_ARG, 0, "%s: is a directory", what);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0) {
		int ret = copy_stream(src, fd, max_bytes, err);

		if (ret < 0)
			ld_source_fini(src);
		return ret;
	}
	src->size = (uint64_t)end;
	if (src->size > max_bytes)
		return vc_fail(err, VC_E_LIMIT, 0, "%s: larger than %llu MiB",
			       what, (unsigned long long)(max_bytes >> 20));
	return 0;
}

void ld_source_fini(struct ld_source *src)
{
	vc_close(&src->copy_fd);
}

static int fail_read(const struct ld_source *src, struct vc_error *err)
{
	if (errno == ENODATA || errno == EPIPE || errno == 0)
		return vc_fail(err, VC_E_CORRUPT, 0, "%s: ends too early",
			       src->what);
	return vc_fail(err, VC_E_SYS, errno, "%s: read", src->what);
}

int ld_read(const struct ld_source *src, uint64_t offset, void *buf, size_t len,
	    struct vc_error *err)
{
	if (!vc_range_ok(offset, len, src->size)) {
		errno = 0;
		return fail_read(src, err);
	}
	if (vc_pread_full(src->fd, buf, len, offset) < 0)
		return fail_read(src, err);
	return 0;
}

/* One piece of host memory. */
static int read_piece(const struct ld_source *src, uint64_t offset,
		      struct iovec piece, struct vc_error *err)
{
	uint8_t *to = piece.iov_base;

	while (piece.iov_len) {
		size_t n = (size_t)vc_min_u64(piece.iov_len, READ_CHUNK);

		if (vc_pread_full(src->fd, to, n, offset) < 0)
			return fail_read(src, err);
		to += n;
		offset += n;
		piece.iov_len -= n;
	}
	return 0;
}

int ld_read_guest(const struct ld_source *src, uint64_t offset, uint64_t len,
		  struct vc_mem *mem, gpa_t gpa, struct vc_error *err)
{
	struct iovec iov[VC_MEM_MAX_REGIONS];
	int i, nr;

	if (!vc_range_ok(offset, len, src->size)) {
		errno = 0;
		return fail_read(src, err);
	}
	nr = vc_mem_iov(mem, gpa, len, iov, VC_MEM_MAX_REGIONS);
	if (nr < 0)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "%s: needs memory the guest does not have: %llu "
			       "bytes at 0x%llx",
			       src->what, (unsigned long long)len,
			       (unsigned long long)gpa);
	for (i = 0; i < nr; i++) {
		if (read_piece(src, offset, iov[i], err) < 0)
			return -1;
		offset += iov[i].iov_len;
	}
	return 0;
}
