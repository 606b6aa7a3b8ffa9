/* SPDX-License-Identifier: BSD-3-Clause */
/* A file as an Android sparse image: looked at, checked, mapped and read. */
#include <stdlib.h>
#include <unistd.h>
#include "tests/fuzz/look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_ANDROID_SPARSE,
					.io = VC_DISK_IO_SYNC };
	int fd = look_file(data, size);
	bool is_sound = look_without_opening(fd, VC_DISK_FORMAT_ANDROID_SPARSE);
	struct vc_disk *d = look_open(fd, &oo);

	/* to check it and to open it is the same */
	if (is_sound != (d != NULL))
		abort();
	vc_disk_drop(d);
	oo.no_verify = true;
	d = look_open(fd, &oo);
	if (is_sound && !d)
		abort();
	if (d)
		look_through(d);
	vc_disk_drop(d);
	close(fd);
	return 0;
}
