/* SPDX-License-Identifier: BSD-3-Clause */
/* A qcow2 image beside a plain copy of what it must read as. */
#ifndef TESTS_UNIT_DISK_IMAGE_H
#define TESTS_UNIT_DISK_IMAGE_H

#include <vmmcore/disk.h>

/* All of how I/O can be done. */
#define NR_ENGINES 3
extern const enum vc_disk_io engines[NR_ENGINES];

/* Clusters, reference counts and versions that between them meet every way the
 * tables can be laid out. */
#define NR_IMAGE_SHAPES 5
struct image_shape {
	uint32_t cluster;
	unsigned refcount_bits, version;
};
extern const struct image_shape image_shapes[NR_IMAGE_SHAPES];
#define IMAGE_MADE_BYTES (8 * 1024 * 1024)

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
/* Of IMAGE_MADE_BYTES, something in it, closed. */
void image_make(struct image *im, int shape);
void image_open(struct image *im, struct vc_disk *backing);
/* Make `top` an overlay of `base`, both closed, and open them; the base belongs
 * to the top then. */
void image_lay_over(struct image *top, struct image *base);
void image_close(struct image *im); /* and verify refcounts */
void image_fini(struct image *im);
void image_check(struct image *im); /* no corruption, no leak */
void image_repair(struct image *im, enum vc_disk_repair how,
		  struct vc_disk_check *ret);
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
