/* SPDX-License-Identifier: BSD-3-Clause */
/* A qcow2 image beside a plain copy of what it must read as. */
#ifndef TESTS_UNIT_DISK_IMAGE_H
#define TESTS_UNIT_DISK_IMAGE_H

#include <vmmcore/disk.h>

/* All of how I/O can be done. */
#define NR_ENGINES 3
extern const enum vc_disk_io engines[NR_ENGINES];

struct image {
	struct vc_disk_create_opts opts;
	struct vc_disk_open_opts open;
	int fd;		      /* a memfd; stays open */
	struct vc_disk *disk; /* on a duplicate; NULL when closed */
	uint8_t *model;
	uint32_t seed;
};

/* `io`: of engines[] */
void image_create(struct image *im, uint64_t size, uint32_t cluster,
		  unsigned refcount_bits, unsigned version, int io);
void image_open(struct image *im, struct vc_disk *backing);
void image_close(struct image *im); /* and verify refcounts */
void image_fini(struct image *im);
void image_check(struct image *im); /* no corruption, no leak */
void image_compare(struct image *im);
uint32_t image_random(struct image *im);

/* A big-endian number of so many bits in the file. */
void image_put(struct image *im, uint64_t offset, unsigned bits, uint64_t v);
uint64_t image_get(struct image *im, uint64_t offset, unsigned bits);
/* Write bytes that are not zero. */
void image_fill(struct image *im, uint64_t offset, uint64_t len);
/* Of the file, which is not open as a disk; may fail. */
int image_resize(struct image *im, uint64_t size,
		 struct vc_error *e) VC_MUST_CHECK;
/* Another program's opinion, where it is installed: no corruption, and no leaks
 * unless there may be some. Its backing file is not looked for. */
void image_ask_qemu(const struct image *im, bool may_leak);

#endif
