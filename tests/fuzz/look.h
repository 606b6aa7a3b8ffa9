/* SPDX-License-Identifier: BSD-3-Clause */
/* What is done with an image of any format that is only read. */
#ifndef TESTS_FUZZ_LOOK_H
#define TESTS_FUZZ_LOOK_H

#include <vmmcore/disk.h>

#define LOOK_MAX_INPUT (1u << 20)

/* A file with the input; aborts when out of files. */
int look_file(const uint8_t *data, size_t size);
/* info and check: fail with a text, or not. Returns whether check found the
 * image to be sound. */
bool look_without_opening(int fd, enum vc_disk_format format);
/* Open a duplicate of `fd`; NULL if that fails. */
struct vc_disk *look_open(int fd, const struct vc_disk_open_opts *opts);
/* Map all of it, as far as extents are few, and read where they begin and end:
 * what is no data is zeroes. */
void look_through(struct vc_disk *disk);

#endif
