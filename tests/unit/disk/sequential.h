/* SPDX-License-Identifier: BSD-3-Clause */
/* Images of the formats that are written once, from one end to the other,
 * beside a plain copy of what they must read as. */
#ifndef TESTS_UNIT_DISK_SEQUENTIAL_H
#define TESTS_UNIT_DISK_SEQUENTIAL_H

#include <vmmcore/disk.h>

struct seq {
	struct vc_disk_create_opts opts;
	enum vc_disk_io io;
	int fd; /* a memfd; stays open */
	struct vc_disk *disk;
	uint8_t *model;
	uint32_t seed;
};

void seq_init(struct seq *s, enum vc_disk_format format, uint64_t size, int io);
void seq_open(struct seq *s, bool writable);
int seq_try_open(struct seq *s, bool writable, struct vc_error *err);
void seq_close(struct seq *s);
void seq_fini(struct seq *s);
uint32_t seq_random(struct seq *s);
/* Fill bytes of the model: with noise, a pattern that compresses, one byte of
 * every four that repeats, or zeroes. */
enum seq_kind { SEQ_NOISE, SEQ_TEXT, SEQ_FILL, SEQ_ZERO, SEQ_KINDS };
void seq_make(struct seq *s, uint64_t offset, uint64_t len, enum seq_kind kind);
/* Write bytes of the model to the disk. */
void seq_put(struct seq *s, uint64_t offset, uint64_t len);
/* Fill all of it with a mixture, some of it never written, and close. */
void seq_write_mixture(struct seq *s);
void seq_compare(struct seq *s);
/* Replace a part of the file, put it back, and look what opening or, if that
 * succeeds, reading everything says. */
void seq_poke(struct seq *s, uint64_t offset, const void *bytes, size_t len);
void seq_expect_open_fails(struct seq *s, enum vc_errc code, const char *why);
uint64_t seq_file_bytes(const struct seq *s);

#endif
