/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent bitmaps: their directory and tables (bitmap.c), and what works on
 * their bits (bitmap-bits.c). */
#ifndef DISK_QCOW2_BITMAP_H
#define DISK_QCOW2_BITMAP_H

#include "disk/qcow2/edit.h"

#define FLAG_IN_USE 1u
#define FLAG_AUTO 2u
#define FLAG_EXTRA_COMPATIBLE 4u
#define FLAGS_KNOWN 7u
#define TYPE_DIRTY 1
#define MIN_GRANULARITY_BITS 9
#define MAX_GRANULARITY_BITS 31
#define ALL_ONES UINT64_C(1)
/* Bytes of bits, as other programs have it. */
#define MAX_BITMAP_BYTES (UINT64_C(512) << 20)

struct bm {
	struct qc_bitmap_entry e;
	uint8_t *bytes; /* the entry as it is in the file, unpadded; owned */
	size_t len;
	char *name; /* owned */
};

struct bm_dir {
	struct bm *items;
	uint32_t nr;
};

struct bm_table {
	uint64_t *entries; /* owned */
	uint32_t nr;
};

struct bm_op {
	struct qc_edit e;
	struct bm_dir d;
};

void bm_dir_fini(struct bm_dir *d);
/* Bytes of bits for a disk, and clusters of them. */
uint64_t bm_bits_bytes(uint64_t size, unsigned granularity_bits);
bool bm_has_bitmaps(const struct qc_header *h);
int bm_dir_load(int fd, const struct qc_header *h, struct bm_dir *d,
		struct vc_error *err) VC_MUST_CHECK;
/* Write the directory anew and release the old one. */
int bm_dir_store(struct qc_edit *e, const struct bm_dir *d,
		 struct vc_error *err) VC_MUST_CHECK;
int bm_need(const struct bm_dir *d, const char *name, struct bm **ret,
	    struct vc_error *err) VC_MUST_CHECK;
/* Can its bits be believed, and changed? */
int bm_need_usable(const struct bm *b, struct vc_error *err) VC_MUST_CHECK;
int bm_table_load(struct qc_edit *e, const struct bm *b, struct bm_table *t,
		  struct vc_error *err) VC_MUST_CHECK;
void bm_table_fini(struct bm_table *t);
int bm_table_store(struct qc_edit *e, const struct bm_table *t, struct bm *b,
		   struct vc_error *err) VC_MUST_CHECK;
/* Release the table of a bitmap and, unless they stay in use, its clusters. */
int bm_release(struct qc_edit *e, const struct bm *b, bool with_bits,
	       struct vc_error *err) VC_MUST_CHECK;
/* The bits of table entry `i`. */
int bm_read_bits(struct qc_edit *e, const struct bm_table *t, uint32_t i,
		 uint8_t *buf, struct vc_error *err) VC_MUST_CHECK;
/* Put bits into the place of those of entry `i`. */
int bm_write_bits(struct qc_edit *e, struct bm_table *t, uint32_t i,
		  const uint8_t *buf, struct vc_error *err) VC_MUST_CHECK;
void bm_set_range(uint8_t *buf, uint64_t first, uint64_t nr);
void bm_clear_from(uint8_t *buf, uint64_t first, uint64_t end);
int bm_op_start(struct bm_op *op, int fd, struct vc_error *err) VC_MUST_CHECK;
int bm_op_commit(struct bm_op *op, struct vc_error *err) VC_MUST_CHECK;
void bm_op_fini(struct bm_op *op);
/* Append a bitmap with an all-zero table. */
int bm_add_item(struct bm_op *op, const char *name, unsigned granularity_bits,
		bool is_enabled, struct bm **ret,
		struct vc_error *err) VC_MUST_CHECK;

#endif
