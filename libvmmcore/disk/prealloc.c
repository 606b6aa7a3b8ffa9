/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/disk.h"

/* At a time, so that a signal is noticed between. */
#define ALLOCATE_STEP (UINT64_C(1) << 30)

static int write_zeroes(int fd, uint64_t offset, uint64_t len,
			struct vc_error *err)
{
	struct iovec iov[16];
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(iov); i++) /* only read from */
		iov[i] = (struct iovec){ (void *)(uintptr_t)disk_zeroes,
					 DISK_ZEROES_BYTES };
	while (len) {
		uint64_t max = (uint64_t)DISK_ZEROES_BYTES * 16;
		ssize_t n;

		if (len >= max)
			n = pwritev(fd, iov, 16, (off_t)offset);
		else
			n = pwrite(fd, disk_zeroes,
				   vc_min_u64(len, DISK_ZEROES_BYTES),
				   (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vc_fail(err, VC_E_SYS, n ? errno : EIO,
				       "write zeroes");
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int disk_set_file_size(int fd, uint64_t size, uint64_t nr_zero,
		       struct vc_error *err)
{
	struct stat st;
	uint64_t has;

	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "stat");
	if (!S_ISBLK(st.st_mode))
		return ftruncate(fd, (off_t)size) < 0
			       ? vc_fail(err, VC_E_SYS, errno, "set size")
			       : 0;
	if (disk_file_size(fd, &has, err) < 0)
		return -1;
	if (has < size)
		return vc_fail(err, VC_E_SYS, ENOSPC,
			       "the device has %llu bytes, %llu are needed",
			       (unsigned long long)has,
			       (unsigned long long)size);
	if (!nr_zero ||
	    fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)nr_zero) == 0)
		return 0;
	return write_zeroes(fd, 0, nr_zero, err);
}

int disk_allocate(int fd, uint64_t offset, uint64_t len,
		  enum vc_disk_preallocation mode, struct vc_error *err)
{
	struct stat st;
	int ret;

	if (mode == VC_DISK_PREALLOC_FALLOC && fstat(fd, &st) == 0 &&
	    S_ISBLK(st.st_mode))
		return 0; /* a device has its space */
	if (mode == VC_DISK_PREALLOC_FULL)
		return write_zeroes(fd, offset, len, err);
	while (mode == VC_DISK_PREALLOC_FALLOC && len) {
		uint64_t n = vc_min_u64(len, ALLOCATE_STEP);

		ret = posix_fallocate(fd, (off_t)offset, (off_t)n);
		if (ret == EINTR)
			continue;
		if (ret)
			return vc_fail(err, VC_E_SYS, ret, "reserve space");
		offset += n;
		len -= n;
	}
	return 0;
}
