/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening one image: the file, its lock, its format; and the functions that
 * need no open disk. Those it names are opened in chain.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>
#include "disk/disk.h"

/* Bytes that other programs of this kind lock: readers say what they need and
 * what they do not share, so that neither side writes under the other. */
#define LOCK_BYTE_READS 100
#define LOCK_BYTE_WRITES 101
#define LOCK_BYTE_RESIZES 103
#define LOCK_BYTE_NO_WRITERS 201
#define LOCK_BYTE_NO_RESIZE 203

const char *const vc_disk_format_names[] = { "raw",	  "qcow2",
					     "zstd",	  "android-sparse",
					     "composite", NULL };

const char *const vc_disk_preallocation_names[] = { "off", "metadata", "falloc",
						    "full", NULL };

/* By vc_disk_format - 1. */
static const struct disk_ops *const formats[] = { &raw_ops, &qcow2_ops,
						  &zstd_ops, &sparse_ops,
						  &composite_ops };

bool vc_disk_format_is_sequential(enum vc_disk_format format)
{
	unsigned i = (unsigned)format - 1;

	return i < VC_ARRAY_SIZE(formats) && formats[i]->is_sequential;
}

static int find_ops(enum vc_disk_format format, const struct disk_ops **ret,
		    struct vc_error *err)
{
	unsigned i = (unsigned)format - 1;

	if (i >= VC_ARRAY_SIZE(formats))
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "unknown format");
	*ret = formats[i];
	return 0;
}

int disk_file_size(int fd, uint64_t *ret, struct vc_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "stat");
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, ret) < 0)
			return vc_fail(err, VC_E_SYS, errno, "size of device");
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "neither a file nor a block device");
	*ret = (uint64_t)st.st_size;
	return 0;
}

enum vc_disk_format disk_probe_head(const uint8_t *head, size_t len)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(formats); i++)
		if (formats[i]->probe && formats[i]->probe(head, len))
			return formats[i]->format;
	return VC_DISK_FORMAT_RAW;
}

int disk_probe(int fd, enum vc_disk_format *ret, struct vc_error *err)
{
	uint8_t head[DISK_PROBE_BYTES];
	ssize_t n;

	do
		n = pread(fd, head, sizeof(head), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "read header");
	*ret = disk_probe_head(head, (size_t)n);
	return 0;
}

/* The operations of `*format`, found out first if it is to be probed. */
static int choose_ops(int fd, enum vc_disk_format *format,
		      const struct disk_ops **ret, struct vc_error *err)
{
	if (*format == VC_DISK_FORMAT_PROBE && disk_probe(fd, format, err) < 0)
		return -1;
	return find_ops(*format, ret, err);
}

static int lock_bytes(int fd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type,
			    .l_whence = SEEK_SET,
			    .l_start = start,
			    .l_len = len };

	return fcntl(fd, F_OFD_SETLK, &fl);
}

/* Programs that write say so with a shared lock on a byte: those who do not
 * share that look whether it is there. */
static int look_for_writers(int fd)
{
	static const off_t bytes[] = { LOCK_BYTE_WRITES, LOCK_BYTE_RESIZES };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(bytes); i++) {
		struct flock fl = { .l_type = F_WRLCK,
				    .l_whence = SEEK_SET,
				    .l_start = bytes[i],
				    .l_len = 1 };

		if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
			return -1;
		if (fl.l_type != F_UNLCK) {
			errno = EAGAIN;
			return -1;
		}
	}
	return 0;
}

int vc_disk_lock_fd(int fd, bool writable, struct vc_error *err)
{
	int ret;

	if (writable)
		ret = lock_bytes(fd, F_WRLCK, 0, 0);
	else
		ret = lock_bytes(fd, F_RDLCK, LOCK_BYTE_READS, 1) |
		      lock_bytes(fd, F_RDLCK, LOCK_BYTE_NO_WRITERS, 1) |
		      lock_bytes(fd, F_RDLCK, LOCK_BYTE_NO_RESIZE, 1);
	if (ret == 0 && !writable)
		ret = look_for_writers(fd);
	if (ret == 0)
		ret = flock(fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB);
	if (ret < 0 &&
	    (errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK))
		return vc_fail(err, VC_E_BUSY, 0,
			       "lock: in use by another process");
	if (ret < 0)
		return vc_fail(err, VC_E_SYS, errno, "lock");
	return 0;
}

int vc_disk_reopen_direct(int fd, bool writable, struct vc_error *err)
{
	char path[40];
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = open(path, (writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (ret < 0)
		return vc_fail(err, VC_E_SYS, errno, "open with O_DIRECT");
	return ret;
}

/* O_DIRECT belongs to the open file, and unaligned operations need one without
 * it: open the same file once more. */
static int open_direct(struct vc_disk *d, struct vc_disk_opener *opener,
		       struct vc_error *err)
{
	struct statx stx;

	d->direct_fd =
		opener ? opener->reopen_direct(opener, d->fd, d->writable, err)
		       : vc_disk_reopen_direct(d->fd, d->writable, err);
	if (d->direct_fd < 0)
		return -1;
	d->direct_align = 4096;
	if (statx(d->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN) &&
	    vc_is_pow2(stx.stx_dio_offset_align) &&
	    vc_is_pow2(stx.stx_dio_mem_align))
		d->direct_align =
			stx.stx_dio_offset_align > stx.stx_dio_mem_align
				? stx.stx_dio_offset_align
				: stx.stx_dio_mem_align;
	return 0;
}

static int set_name(struct vc_disk *d, const char *name, struct vc_error *err)
{
	char shown[256], quoted[sizeof(shown) + 2];

	vc_printable(name ? name : "disk", shown, sizeof(shown));
	snprintf(quoted, sizeof(quoted), "'%s'", shown);
	d->name = strdup(quoted);
	return d->name ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "open");
}

/* Everything about `d` but the file descriptor and the backing, which stay the
 * caller's until success. */
static int set_up(struct vc_disk *d, const struct vc_disk_open_opts *opts,
		  struct vc_error *err)
{
	struct stat st;

	if (fstat(d->fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "stat");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "open: neither a file nor a block device");
	d->is_regular = S_ISREG(st.st_mode);
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	if (opts->lock && vc_disk_lock_fd(d->fd, opts->writable, err) < 0)
		return -1;
	if (opts->direct && open_direct(d, opts->opener, err) < 0)
		return -1;
	if (d->backing)
		d->engine = engine_ref(d->backing->engine);
	else if (opts->io_with)
		d->engine = engine_ref(opts->io_with->engine);
	else if (opts->nr_components)
		d->engine = engine_ref(opts->components[0]->engine);
	else if (opts->data_file)
		d->engine = engine_ref(opts->data_file->engine);
	else if (engine_new(opts->io, &d->engine, err) < 0)
		return -1;
	return d->ops->open(d, opts, err);
}

int disk_open_image(int fd, const struct vc_disk_open_opts *opts,
		    struct vc_disk *backing, struct vc_disk **ret,
		    struct vc_error *err)
{
	enum vc_disk_format format = opts->format;
	const struct disk_ops *ops = NULL;
	struct vc_disk *d;
	char shown[256];

	vc_printable(opts->name ? opts->name : "disk", shown, sizeof(shown));
	if (choose_ops(fd, &format, &ops, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	if ((opts->snapshot || opts->snapshot_id || opts->snapshot_name) &&
	    (ops != &qcow2_ops || opts->writable))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "'%s': %s images have no snapshots to be read",
			       shown, ops->name);
	if (opts->nr_components && ops != &composite_ops)
		return vc_fail(err, VC_E_ARG, 0,
			       "'%s': %s images have no components", shown,
			       ops->name);
	d = ops->alloc();
	if (!d)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s': open", shown);
	d->ops = ops;
	pthread_mutex_init(&d->lock, NULL);
	d->fd = fd;
	d->direct_fd = -1;
	d->backing = backing;
	d->writable = opts->writable;
	d->no_sync = opts->no_sync;
	d->ignore_backing = opts->ignore_backing;
	d->cache_bytes = opts->cache_bytes;
	if (set_name(d, opts->name, err) < 0 || set_up(d, opts, err) < 0) {
		if (d->name)
			vc_prefix(err, "%s", d->name);
		/* these two stay the caller's */
		d->fd = -1;
		d->backing = NULL;
		vc_disk_drop(d);
		return -1;
	}
	*ret = d;
	return 0;
}

/* --- without opening ------------------------------------------------------*/

int vc_disk_info_fd(int fd, enum vc_disk_format format,
		    struct vc_disk_info *ret, struct vc_error *err)
{
	const struct disk_ops *ops = NULL;
	struct stat st;

	if (choose_ops(fd, &format, &ops, err) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	ret->format = format;
	if (disk_file_size(fd, &ret->file_bytes, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "stat");
	ret->allocated_bytes = (uint64_t)st.st_blocks * 512;
	return ops->info(fd, ret, err);
}

int vc_disk_create(int fd, const struct vc_disk_create_opts *opts,
		   struct vc_error *err)
{
	const struct disk_ops *ops = NULL;
	struct stat st;

	if (find_ops(opts->format, &ops, err) < 0)
		return -1;
	if (vc_disk_format_is_sequential(opts->format) && fstat(fd, &st) == 0 &&
	    S_ISBLK(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "create: of this format there are only files");
	if (opts->size_bytes % VC_DISK_SECTOR)
		return vc_fail(err, VC_E_ARG, 0,
			       "create: size is no multiple of 512");
	if (opts->size_bytes > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "create: size");
	return ops->create(fd, opts, err);
}

int vc_disk_check_fd(int fd, enum vc_disk_format format,
		     struct vc_disk_check *chk, struct vc_error *err)
{
	const struct disk_ops *ops = NULL;

	if (choose_ops(fd, &format, &ops, err) < 0)
		return -1;
	chk->format = format;
	chk->nr_corruptions = chk->nr_leaks = 0;
	chk->nr_corruptions_fixed = chk->nr_leaks_fixed = 0;
	chk->nr_allocated_clusters = chk->nr_total_clusters = 0;
	chk->nr_fragmented_clusters = chk->nr_compressed_clusters = 0;
	chk->image_end_bytes = 0;
	if (!ops->check)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "format %s has nothing to check", ops->name);
	return ops->check(fd, chk, err);
}
