/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file as the list of a composite disk: read; if it makes sense, opened over
 * components of memory, mapped, read and written: what was written is read back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/composite.h>
#include "tests/fuzz/look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMPONENT_BYTES (64 * 1024)
#define MAX_OPENED 32
#define PIECE 700

static void check_list(const struct vc_composite *c)
{
	uint64_t at = 0;
	unsigned i;

	if (!c->nr_components || c->nr_components > VC_COMPOSITE_MAX_COMPONENTS)
		abort();
	for (i = 0; i < c->nr_components; i++) {
		const struct vc_composite_component *p = &c->components[i];

		if (p->offset_bytes != at || !p->length_bytes || !p->path[0])
			abort();
		at += p->length_bytes;
	}
	if (at != c->length_bytes)
		abort();
}

static struct vc_disk *open_component(struct vc_disk *first)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.io = VC_DISK_IO_SYNC,
					.io_with = first };
	int fd = memfd_create("component", MFD_CLOEXEC);
	struct vc_disk *d;

	if (fd < 0 || ftruncate(fd, COMPONENT_BYTES) < 0)
		abort();
	d = look_open(fd, &oo);
	if (!d)
		abort();
	close(fd);
	return d;
}

static void write_some(struct vc_disk *d)
{
	uint64_t size = vc_disk_get_size(d), pos;
	uint8_t in[PIECE], out[PIECE];
	struct vc_error err;

	memset(in, 0x7e, sizeof(in));
	for (pos = 0; pos + PIECE <= size && pos < 200 * PIECE; pos += 911)
		if (vc_disk_write(d, pos, in, PIECE, &err) == 0 &&
		    (vc_disk_read(d, pos, out, PIECE, &err) < 0 ||
		     memcmp(in, out, PIECE)))
			abort();
	if (vc_disk_flush(d, &err) < 0)
		abort();
}

static void use(int fd, const struct vc_composite *c)
{
	struct vc_disk *parts[MAX_OPENED] = { NULL }, *d;
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_COMPOSITE,
					.writable = true,
					.components = parts,
					.nr_components = c->nr_components };
	unsigned i;

	for (i = 0; i < c->nr_components; i++)
		parts[i] = open_component(parts[0]);
	d = look_open(fd, &oo);
	if (d) {
		look_through(d);
		write_some(d);
		vc_disk_drop(d);
		return;
	}
	for (i = 0; i < c->nr_components; i++)
		vc_disk_drop(parts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = look_file(data, size);
	struct vc_composite *c = NULL;
	struct vc_error err;

	look_without_opening(fd, VC_DISK_FORMAT_COMPOSITE);
	if (vc_composite_list(fd, &c, &err) == 0) {
		check_list(c);
		if (c->nr_components <= MAX_OPENED)
			use(fd, c);
	}
	vc_composite_free(c);
	close(fd);
	return 0;
}
