/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory: a table of RAM regions, each a shared mapping of a memfd, and
 * the only functions that turn a guest-physical address into host memory. No
 * function gives out a pointer without a checked length.
 *
 * Guest memory changes under our feet. Copy, validate, use: headers, indices
 * and descriptors are copied with vc_mem_read() once; only bulk data goes
 * through vc_mem_iov().
 */
#ifndef VMMCORE_MEMORY_H
#define VMMCORE_MEMORY_H

#include <sys/uio.h>
#include <vmmcore/error.h>

VC_BEGIN_DECLS

typedef uint64_t gpa_t; /* guest-physical address; never cast to a pointer */

#define VC_MEM_MAX_REGIONS 64
#define VC_MEM_MAX_BYTES (UINT64_C(1) << 44)

struct vc_mem_region {
	gpa_t gpa;
	uint64_t size_bytes;
	uint64_t fd_offset;
	int fd;		    /* owned */
	uint8_t *host;	    /* owned mapping of size_bytes */
	uint64_t user_addr; /* vhost-user: address in the frontend; 0 if none */
};

struct vc_mem; /* the table */

int vc_mem_new(struct vc_mem **ret, struct vc_error *err) VC_MUST_CHECK;
struct vc_mem *vc_mem_free(struct vc_mem *mem); /* unmaps and closes */

/* Make RAM: a sealed memfd called `name`, mapped shared, at `gpa`. Page
 * aligned, not overlapping another region. Before sealing. */
int vc_mem_add_ram(struct vc_mem *mem, const char *name, gpa_t gpa,
		   uint64_t size_bytes, struct vc_error *err) VC_MUST_CHECK;
/* Map a region somebody else made. `fd` is owned only on success. The file
 * must be at least fd_offset + size_bytes long (checked: no later SIGBUS from
 * a memfd whose size is sealed). */
int vc_mem_add_fd(struct vc_mem *mem, int fd, uint64_t fd_offset, gpa_t gpa,
		  uint64_t size_bytes, uint64_t user_addr,
		  struct vc_error *err) VC_MUST_CHECK;
/* Plain memory the caller owns, for tests and in-process devices. */
int vc_mem_add_plain(struct vc_mem *mem, void *host, gpa_t gpa,
		     uint64_t size_bytes, struct vc_error *err) VC_MUST_CHECK;
/* Remove the region that starts at `gpa`. Nothing may use it any more. */
int vc_mem_remove(struct vc_mem *mem, gpa_t gpa,
		  struct vc_error *err) VC_MUST_CHECK;

size_t vc_mem_nr_regions(const struct vc_mem *mem);
const struct vc_mem_region *vc_mem_region(const struct vc_mem *mem, size_t i);

/* False if any byte is outside RAM; then nothing was copied. A range may
 * span regions that touch. Any thread. */
bool vc_mem_read(const struct vc_mem *mem, gpa_t gpa, void *buf,
		 size_t len) VC_MUST_CHECK;
bool vc_mem_write(const struct vc_mem *mem, gpa_t gpa, const void *buf,
		  size_t len) VC_MUST_CHECK;
bool vc_mem_fill(const struct vc_mem *mem, gpa_t gpa, uint8_t byte,
		 uint64_t len) VC_MUST_CHECK;
bool vc_mem_contains(const struct vc_mem *mem, gpa_t gpa,
		     uint64_t len) VC_MUST_CHECK;

/* Map `len` bytes of RAM at `gpa` into at most `max` entries of `iov`. Returns
 * the number of entries, or -1 if any byte is outside RAM or `max` is too
 * small. len 0 gives 0 entries. Entries are borrowed, valid until the region
 * is removed. Any thread. */
int vc_mem_iov(const struct vc_mem *mem, gpa_t gpa, uint64_t len,
	       struct iovec *iov, int max) VC_MUST_CHECK;

/* Ring indices: little-endian, naturally aligned, with the ordering named. */
bool vc_mem_load16_acquire(const struct vc_mem *mem, gpa_t gpa,
			   uint16_t *ret) VC_MUST_CHECK;
bool vc_mem_store16_release(const struct vc_mem *mem, gpa_t gpa,
			    uint16_t value) VC_MUST_CHECK;

/* The guest-physical address of frontend address `user_addr` (vhost-user ring
 * addresses are in the frontend's address space), or false. */
bool vc_mem_user_to_gpa(const struct vc_mem *mem, uint64_t user_addr,
			uint64_t len, gpa_t *ret) VC_MUST_CHECK;

VC_END_DECLS

#endif
