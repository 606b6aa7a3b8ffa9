/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What --partition and --esp of mkimage are given, a line each: one that begins
 * with '/' is the name of a file in the ESP, any other a partition. What is
 * accepted is laid out; nothing may be written outside of the file system.
 */
#include <stdlib.h>
#include <string.h>
#include "mkimage/disk/part.h"

#define FAT_BYTES (UINT64_C(5) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sink(void *opaque, uint64_t offset, const void *data, size_t len,
		struct vc_error *err)
{
	static volatile uint8_t sum;
	const uint8_t *p = data;
	size_t i;

	(void)opaque;
	(void)err;
	if (offset > FAT_BYTES || len > FAT_BYTES - offset)
		abort();
	for (i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fat_out out = { sink, NULL };
	struct vc_error err = { 0 };
	struct part_opts o;
	char *text, *line, *at;
	uint64_t root;
	int nr_refused = 0; /* which is as good an answer as any */

	if (size > 65536)
		return 0;
	text = strndup((const char *)data, size);
	if (!text)
		return 0;
	part_opts_init(&o);
	for (line = strtok_r(text, "\n", &at); line;
	     line = strtok_r(NULL, "\n", &at))
		if (*line == '/')
			/* an empty file, for any name */
			nr_refused += !!fat_add(&o.files, "/proc/self/status",
						line, &err);
		else
			nr_refused += !!part_add(&o, line, &err);
	if (!part_place(&o, &root, &err) && root % PART_ALIGN)
		abort();
	nr_refused += !!fat_write(&o.files, FAT_BYTES, 1, 0, &out, &err);
	(void)nr_refused;
	part_opts_fini(&o);
	free(text);
	return 0;
}
