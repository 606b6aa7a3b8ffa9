/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/fuzz/look.h"

#define MAX_EXTENTS 64
#define PIECE 1536

int look_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (size > LOOK_MAX_INPUT)
		size = LOOK_MAX_INPUT;
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	return fd;
}

bool look_without_opening(int fd, enum vc_disk_format format)
{
	struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_disk_check chk = { 0 };
	struct vc_error err;
	bool ok;

	if (!info)
		abort();
	err.msg[0] = '\0';
	ok = vc_disk_info_fd(fd, format, info, &err) == 0;
	if (!ok && !err.msg[0])
		abort();
	if (ok && info->virtual_bytes % VC_DISK_SECTOR)
		abort();
	free(info);
	err.msg[0] = '\0';
	if (vc_disk_check_fd(fd, format, &chk, &err) == 0)
		return ok && !chk.nr_corruptions;
	if (!err.msg[0])
		abort();
	return false;
}

struct vc_disk *look_open(int fd, const struct vc_disk_open_opts *opts)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct vc_disk *d = NULL;
	struct vc_error err;

	if (copy < 0)
		abort();
	if (vc_disk_open_fd(copy, opts, NULL, &d, &err) == 0)
		return d;
	close(copy);
	return NULL;
}

void look_through(struct vc_disk *d)
{
	uint64_t pos = 0, size = vc_disk_get_size(d);
	uint8_t buf[PIECE];
	struct vc_error err;
	int i;

	for (i = 0; i < MAX_EXTENTS && pos < size; i++) {
		struct vc_disk_extent e;
		uint64_t n, end;

		if (vc_disk_map(d, pos, UINT64_MAX, &e, &err) < 0)
			return;
		if (!e.length_bytes || e.length_bytes > size - pos)
			abort();
		n = e.length_bytes < PIECE ? e.length_bytes : PIECE;
		end = pos + e.length_bytes;
		if (vc_disk_read(d, pos, buf, n, &err) == 0 &&
		    e.kind != VC_DISK_DATA && (buf[0] || buf[n - 1]))
			abort();
		if (vc_disk_read(d, end - n, buf, n, &err) == 0 &&
		    e.kind != VC_DISK_DATA && (buf[0] || buf[n - 1]))
			abort();
		pos = end;
	}
}
