/* SPDX-License-Identifier: BSD-3-Clause */
/* The file a kernel or initrd comes from, as something to read at an offset. */
#ifndef LOADER_SOURCE_H
#define LOADER_SOURCE_H

#include <vmmcore/loader.h>

/* Below this a PC has its firmware's data; kernels never load there. */
#define LD_MIN_ADDR UINT64_C(0x100000)
#define LD_PAGE UINT64_C(4096)

struct ld_source {
	int fd;		  /* borrowed, or the copy */
	int copy_fd;	  /* owned; -1 when `fd` can seek by itself */
	const char *what; /* "kernel", "initrd": for messages */
	uint64_t size;	  /* when it was opened; reads past it fail */
};

/* `fd` is borrowed; one that cannot seek is copied, at most `max_bytes`. */
int ld_source_init(struct ld_source *src, int fd, uint64_t max_bytes,
		   const char *what, struct vc_error *err) VC_MUST_CHECK;
void ld_source_fini(struct ld_source *src);

/* Exactly `len` bytes. */
int ld_read(const struct ld_source *src, uint64_t offset, void *buf, size_t len,
	    struct vc_error *err) VC_MUST_CHECK;
/* The same into guest memory; VC_E_CONFIG if there is no RAM. */
int ld_read_guest(const struct ld_source *src, uint64_t offset, uint64_t len,
		  struct vc_mem *mem, gpa_t gpa,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
