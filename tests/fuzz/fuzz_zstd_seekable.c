/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file as a zstd-seekable image: looked at, checked, mapped and read. One
 * that is found to be sound has the bytes that plain zstd makes of it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include "tests/fuzz/look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_COMPARED (4u << 20)

static void compare_with_zstd(struct vc_disk *d, const uint8_t *data,
			      size_t size)
{
	uint64_t len = vc_disk_get_size(d);
	struct vc_error err;
	uint8_t *ours, *theirs;
	size_t n;

	if (len > MAX_COMPARED)
		return;
	ours = malloc(len + 1);
	theirs = malloc(len + 1);
	if (!ours || !theirs ||
	    (len && vc_disk_read(d, 0, ours, len, &err) < 0))
		abort();
	n = ZSTD_decompress(theirs, len + 1, data, size);
	/* a frame it does not know the size of beforehand is no error there */
	if (!ZSTD_isError(n) &&
	    (n > len || len - n >= VC_DISK_SECTOR || memcmp(ours, theirs, n)))
		abort();
	free(ours);
	free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vc_disk_open_opts oo = {
		.format = VC_DISK_FORMAT_ZSTD, .io = VC_DISK_IO_SYNC
	};
	int fd;
	struct vc_disk *d;
	bool is_sound;

	if (size > LOOK_MAX_INPUT)
		size = LOOK_MAX_INPUT;
	fd = look_file(data, size);
	is_sound = look_without_opening(fd, VC_DISK_FORMAT_ZSTD);
	d = look_open(fd, &oo);
	if (is_sound && !d)
		abort();
	if (d)
		look_through(d);
	if (is_sound)
		compare_with_zstd(d, data, size);
	vc_disk_drop(d);
	close(fd);
	return 0;
}
