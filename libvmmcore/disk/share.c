/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges of two files that share their blocks, which takes as long for a byte
 * as for a terabyte. Where the file system cannot, the kernel copies from page
 * to page, and where it cannot do that either, so do we. io_uring has no
 * operation for any of these, hence they block.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "disk/engine.h"

#define COPY_BYTES (1u << 20)

/* What says that it is not this range that is wrong, but sharing. */
static bool is_no_way(int sys)
{
	return sys == EOPNOTSUPP || sys == EXDEV || sys == EINVAL ||
	       sys == ENOTTY || sys == ENOSYS || sys == EPERM ||
	       sys == ETXTBSY || sys == EBADF || sys == EISDIR;
}

/* Returns 0 or -errno. The source may be shorter: zeroes follow. */
static int copy_bytes(int to, uint64_t at, int from, uint64_t offset,
		      uint64_t len)
{
	uint8_t *buf = malloc(COPY_BYTES);
	int ret = buf ? 0 : -ENOMEM;

	while (len && !ret) {
		size_t n = (size_t)vc_min_u64(len, COPY_BYTES);

		memset(buf, 0, n);
		if ((vc_pread_full(from, buf, n, offset) < 0 &&
		     errno != EPIPE && errno != ENODATA) ||
		    vc_pwrite_full(to, buf, n, at) < 0)
			ret = -errno;
		at += n;
		offset += n;
		len -= n;
	}
	free(buf);
	return ret;
}

static int copy_in_kernel(const struct eng_io *io)
{
	loff_t from = (loff_t)io->src_offset, to = (loff_t)io->offset;
	uint64_t left = io->len;

	while (left) {
		ssize_t n = copy_file_range(io->src_fd, &from, io->fd, &to,
					    (size_t)left, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !is_no_way(errno))
			return -errno;
		if (n <= 0)
			return copy_bytes(io->fd, (uint64_t)to, io->src_fd,
					  (uint64_t)from, left);
		left -= (uint64_t)n;
	}
	return 0;
}

/* A range that can never be shared, as it begins at no multiple of a block: a
 * file system that shares refuses it for that, others for what they are. */
bool eng_cannot_share(int to, int from)
{
	struct file_clone_range range = {
		.src_fd = from,
		.src_offset = 1,
		.src_length = 1,
		.dest_offset = 1,
	};

	return ioctl(to, FICLONERANGE, &range) < 0 &&
	       (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY ||
		errno == ENOSYS);
}

int eng_share(struct eng_io *io)
{
	struct file_clone_range range = {
		.src_fd = io->src_fd,
		.src_offset = io->src_offset,
		.src_length = io->len,
		.dest_offset = io->offset,
	};
	int ret;

	do
		ret = ioctl(io->fd, FICLONERANGE, &range);
	while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return 0;
	if (!is_no_way(errno))
		return -errno;
	if (io->mode == ENG_SHARE_ONLY)
		return -EOPNOTSUPP;
	io->mode = ENG_SHARE_COPIED;
	return copy_in_kernel(io);
}
