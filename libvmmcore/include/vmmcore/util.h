/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ownership. A local that owns something is declared with one of these, always
 * with an initializer, and hands over visibly:
 *
 *	vc_auto_fd int fd = open(...);
 *	obj->fd = vc_steal_fd(&fd);
 */
#ifndef VMMCORE_UTIL_H
#define VMMCORE_UTIL_H

#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <vmmcore/error.h>

VC_BEGIN_DECLS

void vc_cleanup_fd(int *fd);	      /* close if >= 0; keeps errno */
void vc_cleanup_free(void *ptr_addr); /* free(*ptr_addr) */
void vc_cleanup_file(FILE **f);

#define vc_auto_fd __attribute__((cleanup(vc_cleanup_fd)))
#define vc_auto_free __attribute__((cleanup(vc_cleanup_free)))
#define vc_auto_file __attribute__((cleanup(vc_cleanup_file)))

/* vc_auto(vc_disk) struct vc_disk *d = NULL; calls vc_disk_cleanup(&d), which
 * VC_DEFINE_CLEANUP(vc_disk, struct vc_disk *, vc_disk_close) defines. */
#define vc_auto(name) __attribute__((cleanup(name##_cleanup)))
#define VC_DEFINE_CLEANUP(name, type, fn)                                    \
	static inline __attribute__((unused)) void name##_cleanup(type *obj) \
	{                                                                    \
		if (*obj)                                                    \
			fn(*obj);                                            \
	}

static inline int vc_steal_fd(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}
#define vc_steal_ptr(p)                       \
	({                                    \
		__typeof__(*(p)) ret_ = *(p); \
		*(p) = NULL;                  \
		ret_;                         \
	})

/* Close *fd if it is >= 0 and set it to -1. */
void vc_close(int *fd);
/* For main(): a standard descriptor that is closed becomes /dev/null, so that no
 * file or socket of the program's own is taken for one. */
void vc_open_standard_fds(void);

/* The last name of a path, slashes behind it aside: `*ret_len` bytes of it. */
const char *vc_last_name(const char *path, size_t *ret_len);
/* Do both names lead to the same file? Where neither is there yet: would
 * they, being the same name in the same folder? */
bool vc_same_file(const char *a, const char *b);

/* Exactly `len` bytes or -1 with errno (EPIPE/ENODATA at end of file). Retry on
 * EINTR; block on a blocking fd. */
int vc_write_full(int fd, const void *buf, size_t len) VC_MUST_CHECK;
int vc_read_full(int fd, void *buf, size_t len) VC_MUST_CHECK;
int vc_pwrite_full(int fd, const void *buf, size_t len,
		   uint64_t offset) VC_MUST_CHECK;
int vc_pread_full(int fd, void *buf, size_t len, uint64_t offset) VC_MUST_CHECK;

/* One message with up to VC_MAX_FDS descriptors over a Unix socket. */
#define VC_MAX_FDS 32
/* Returns bytes sent or -1 with errno. Never raises SIGPIPE. */
ssize_t vc_send_fds(int sock, const void *buf, size_t len, const int *fds,
		    size_t nr_fds) VC_MUST_CHECK;
/* Returns bytes received, 0 at end of file, or -1 with errno. At most
 * `max_fds` descriptors are stored, close-on-exec; any further ones are
 * closed. *ret_nr_fds is always set; a caller that does not want them closes
 * them. `flags` as for recvmsg. */
ssize_t vc_recv_fds(int sock, void *buf, size_t len, int flags, int *fds,
		    size_t max_fds, size_t *ret_nr_fds) VC_MUST_CHECK;

int vc_set_nonblock(int fd, struct vc_error *err) VC_MUST_CHECK;

/* Monotonic time in ns. */
uint64_t vc_now_ns(void);

/* Bounds of an open path: "/proc/self/fd/N" duplicates an inherited fd instead
 * of opening, as crosvm does. Returns an fd (close-on-exec) or -1 and `err`. */
int vc_open(const char *path, int flags, mode_t mode, struct vc_error *err);

/* "10G", "512M", "64k", "1.5G", "4096", as qemu-img reads them: suffixes
 * b,k,M,G,T,P,E (powers of 1024), a fraction only with a suffix; "0x1000". */
int vc_parse_size(const char *text, uint64_t *ret_bytes,
		  struct vc_error *err) VC_MUST_CHECK;
/* The other way round, in three digits: "1.25 GiB". Returns `buf`. */
const char *vc_human_size(uint64_t bytes, char *buf, size_t size);
/* Whole number, decimal or 0x/0o/0b, of at most `max`. */
int vc_parse_u64(const char *text, uint64_t max, uint64_t *ret,
		 struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
