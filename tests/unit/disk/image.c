/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/qcow2.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

const enum vc_disk_io engines[NR_ENGINES] = { VC_DISK_IO_URING, VC_DISK_IO_SYNC,
					      VC_DISK_IO_POOL };
const struct image_shape image_shapes[NR_IMAGE_SHAPES] = {
	{ 65536, 16, 3 }, { 512, 16, 3 }, { 4096, 64, 3 },
	{ 65536, 16, 2 }, { 512, 8, 3 },
};
static struct vc_error err;

void image_create(struct image *im, uint64_t size, uint32_t cluster,
		  unsigned refcount_bits, unsigned version, int io)
{
	memset(im, 0, sizeof(*im));
	im->opts = (struct vc_disk_create_opts){
		.format = VC_DISK_FORMAT_QCOW2,
		.size_bytes = size,
		.cluster_bytes = cluster,
		.refcount_bits = refcount_bits,
		.version = version,
	};
	im->open = (struct vc_disk_open_opts){
		.format = VC_DISK_FORMAT_QCOW2,
		.writable = true,
		.io = engines[io],
	};
	im->seed = 12345;
	im->fd = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_ge(im->fd, 0);
	im->model = calloc(1, size);
	ck_assert_ptr_nonnull(im->model);
	ck_ok(vc_disk_create(im->fd, &im->opts, &err), &err);
}

void image_open(struct image *im, struct vc_disk *backing)
{
	int fd = fcntl(im->fd, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_ok(vc_disk_open_fd(fd, &im->open, backing, &im->disk, &err), &err);
	ck_assert_uint_eq(vc_disk_get_size(im->disk), im->opts.size_bytes);
}

void image_make(struct image *im, int shape)
{
	const struct image_shape *s = &image_shapes[shape];

	image_create(im, IMAGE_MADE_BYTES, s->cluster, s->refcount_bits,
		     s->version, 1);
	image_open(im, NULL);
	image_fill(im, 0, 100000);
	image_fill(im, IMAGE_MADE_BYTES / 8 * 3, 70000);
	image_fill(im, IMAGE_MADE_BYTES - 5000, 5000);
	image_close(im);
}

void image_lay_over(struct image *top, struct image *base)
{
	memcpy(top->model, base->model, base->opts.size_bytes);
	top->opts.backing_file = "b";
	top->opts.backing_format = "qcow2";
	ck_assert_int_eq(ftruncate(top->fd, 0), 0);
	ck_ok(vc_disk_create(top->fd, &top->opts, &err), &err);
	base->open.writable = false;
	image_open(base, NULL);
	image_open(top, base->disk);
	base->disk = NULL;
}

static void report(struct vc_disk_check *chk, bool is_leak, const char *text)
{
	(void)chk;
	(void)is_leak;
	fprintf(stderr, "%s\n", text);
}

void image_repair(struct image *im, enum vc_disk_repair how,
		  struct vc_disk_check *ret)
{
	*ret = (struct vc_disk_check){ .repair = how };
	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, ret, &err), &err);
}

void image_check(struct image *im)
{
	struct vc_disk_check chk = { .report = report };

	ck_ok(vc_disk_check_fd(im->fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	ck_assert_uint_eq(chk.nr_leaks, 0);
}

void image_close(struct image *im)
{
	ck_ok(vc_disk_close(im->disk, &err), &err);
	im->disk = NULL;
	image_check(im);
}

void image_compare(struct image *im)
{
	uint64_t size = im->opts.size_bytes, pos, n = 1 << 20;
	uint8_t *buf = malloc(n);

	ck_assert_ptr_nonnull(buf);
	for (pos = 0; pos < size; pos += n) {
		if (n > size - pos)
			n = size - pos;
		ck_ok(vc_disk_read(im->disk, pos, buf, n, &err), &err);
		if (memcmp(buf, im->model + pos, n)) {
			uint64_t i = 0;

			while (buf[i] == im->model[pos + i])
				i++;
			ck_abort_msg("differs at %llu: %02x, not %02x",
				     (unsigned long long)(pos + i), buf[i],
				     im->model[pos + i]);
		}
	}
	free(buf);
}

void image_fini(struct image *im)
{
	vc_disk_drop(im->disk);
	close(im->fd);
	free(im->model);
}

uint32_t image_random(struct image *im)
{
	im->seed = im->seed * 1664525 + 1013904223;
	return im->seed >> 8;
}

void image_put(struct image *im, uint64_t offset, unsigned bits, uint64_t v)
{
	be64_t be = be64_put(v << (64 - bits));

	ck_assert_int_eq(vc_pwrite_full(im->fd, &be, bits / 8, offset), 0);
}

uint64_t image_get(struct image *im, uint64_t offset, unsigned bits)
{
	be64_t be = be64_put(0);

	ck_assert_int_eq(vc_pread_full(im->fd, &be, bits / 8, offset), 0);
	return be64_get(be) >> (64 - bits);
}

void image_fill(struct image *im, uint64_t offset, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		im->model[offset + i] = (uint8_t)(image_random(im) | 1);
	ck_ok(vc_disk_write(im->disk, offset, im->model + offset, len, &err),
	      &err);
}

int image_resize(struct image *im, uint64_t size, struct vc_error *e)
{
	struct vc_disk_resize_opts ro = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = size,
					  .no_lock = true,
					  .allow_backing = true,
					  .shrink = true };
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", im->fd);
	return vc_disk_resize(path, &ro, NULL, e);
}

void image_ask_qemu(const struct image *im, bool may_leak)
{
	char command[300];
	int status;

	snprintf(command, sizeof(command),
		 "qemu-img check -q 'json:{\"driver\":\"qcow2\",\"backing\":"
		 "null,\"file\":{\"driver\":\"file\",\"filename\":"
		 "\"/proc/%d/fd/%d\"}}' >/dev/null 2>&1",
		 (int)getpid(), im->fd);
	status = system(command);
	ck_assert(WIFEXITED(status));
	/* 0 clean, 3 leaks, 127 not there */
	ck_assert_msg(WEXITSTATUS(status) == 0 ||
			      (may_leak && WEXITSTATUS(status) == 3) ||
			      WEXITSTATUS(status) == 127,
		      "qemu-img check: %d", WEXITSTATUS(status));
}
