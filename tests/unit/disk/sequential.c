/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"
#include "tests/unit/disk/sequential.h"

static struct vc_error err;

void seq_init(struct seq *s, enum vc_disk_format format, uint64_t size, int io)
{
	memset(s, 0, sizeof(*s));
	s->opts.format = format;
	s->opts.size_bytes = size;
	s->io = engines[io];
	s->seed = 4711;
	s->fd = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_ge(s->fd, 0);
	s->model = calloc(1, size + 1);
	ck_assert_ptr_nonnull(s->model);
}

int seq_try_open(struct seq *s, bool writable, struct vc_error *e)
{
	struct vc_disk_open_opts oo = { .format = s->opts.format,
					.writable = writable,
					.io = s->io,
					.name = "image" };
	int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if (vc_disk_open_fd(fd, &oo, NULL, &s->disk, e) == 0)
		return 0;
	close(fd);
	return -1;
}

void seq_open(struct seq *s, bool writable)
{
	if (writable) {
		ck_assert_int_eq(ftruncate(s->fd, 0), 0);
		ck_ok(vc_disk_create(s->fd, &s->opts, &err), &err);
	}
	ck_ok(seq_try_open(s, writable, &err), &err);
	ck_assert_uint_eq(vc_disk_get_size(s->disk), s->opts.size_bytes);
	ck_assert_int_eq(vc_disk_is_sequential(s->disk), writable);
}

void seq_close(struct seq *s)
{
	ck_ok(vc_disk_close(vc_steal_ptr(&s->disk), &err), &err);
}

void seq_fini(struct seq *s)
{
	vc_disk_drop(s->disk);
	close(s->fd);
	free(s->model);
}

uint32_t seq_random(struct seq *s)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return s->seed >> 8;
}

void seq_make(struct seq *s, uint64_t offset, uint64_t len, enum seq_kind kind)
{
	uint32_t fill = seq_random(s) | 1;
	uint64_t i;

	for (i = 0; i < len; i++) {
		uint8_t *p = &s->model[offset + i];

		switch (kind) {
		case SEQ_NOISE:
			*p = (uint8_t)seq_random(s);
			break;
		case SEQ_TEXT:
			*p = (uint8_t)((offset + i) % 251 + i / 1000);
			break;
		case SEQ_FILL:
			*p = (uint8_t)(fill >> 8 * ((offset + i) % 4));
			break;
		case SEQ_ZERO:
		case SEQ_KINDS:
			*p = 0;
		}
	}
}

void seq_put(struct seq *s, uint64_t offset, uint64_t len)
{
	ck_ok(vc_disk_write(s->disk, offset, s->model + offset, len, &err),
	      &err);
}

void seq_write_mixture(struct seq *s)
{
	uint64_t pos = 0, size = s->opts.size_bytes;

	seq_open(s, true);
	while (pos < size) {
		/* odd lengths and lengths of several frames */
		uint64_t len = 1 + seq_random(s) % 10000;
		enum seq_kind kind = seq_random(s) % SEQ_KINDS;

		if (seq_random(s) % 4 == 0)
			len = 4096 * (1 + seq_random(s) % 100);
		if (len > size - pos)
			len = size - pos;
		seq_make(s, pos, len, kind);
		if (kind != SEQ_ZERO)
			seq_put(s, pos, len);
		else if (seq_random(s) % 2)
			ck_ok(vc_disk_zero(s->disk, pos, len, &err), &err);
		else if (seq_random(s) % 2)
			seq_put(s, pos, len);
		pos += len;
	}
	seq_close(s);
}

struct read_all {
	struct vc_disk_req req;
	struct iovec iov[2];
	uint8_t *buf;
	enum vc_disk_status status;
};

static void read_done(struct vc_disk_req *req, enum vc_disk_status status)
{
	vc_container_of(req, struct read_all, req)->status = status;
}

/* Many reads of any alignment at a time. */
static void compare_batch(struct seq *s)
{
	enum { NR = 24, MAX = 300000 };
	struct read_all all[NR];
	int i;

	for (i = 0; i < NR; i++) {
		struct read_all *r = &all[i];
		uint64_t at = seq_random(s) % s->opts.size_bytes;
		uint64_t len = 1 + seq_random(s) % MAX;

		if (len > s->opts.size_bytes - at)
			len = s->opts.size_bytes - at;
		r->buf = malloc(len);
		ck_assert_ptr_nonnull(r->buf);
		r->iov[0] = (struct iovec){ r->buf, len / 3 };
		r->iov[1] = (struct iovec){ r->buf + len / 3, len - len / 3 };
		r->status = VC_DISK_EIO;
		r->req = (struct vc_disk_req){ .op = VC_DISK_READ,
					       .offset_bytes = at,
					       .length_bytes = len,
					       .iov = r->iov,
					       .nr_iov = 2,
					       .done = read_done };
		vc_disk_submit(s->disk, &r->req);
	}
	vc_disk_drain(s->disk);
	for (i = 0; i < NR; i++) {
		struct read_all *r = &all[i];

		ck_assert_int_eq((int)r->status, VC_DISK_OK);
		ck_assert_msg(!memcmp(r->buf, s->model + r->req.offset_bytes,
				      r->req.length_bytes),
			      "%llu bytes at %llu differ",
			      (unsigned long long)r->req.length_bytes,
			      (unsigned long long)r->req.offset_bytes);
		free(r->buf);
	}
}

void seq_compare(struct seq *s)
{
	uint64_t size = s->opts.size_bytes;
	uint8_t *buf = malloc(size + 1);
	int i;

	ck_assert_ptr_nonnull(buf);
	if (!s->disk)
		seq_open(s, false);
	ck_ok(vc_disk_read(s->disk, 0, buf, size, &err), &err);
	ck_assert(!memcmp(buf, s->model, size));
	free(buf);
	for (i = 0; i < 10; i++)
		compare_batch(s);
	seq_close(s);
}

void seq_poke(struct seq *s, uint64_t offset, const void *bytes, size_t len)
{
	ck_assert_int_eq(pwrite(s->fd, bytes, len, (off_t)offset),
			 (ssize_t)len);
}

void seq_expect_open_fails(struct seq *s, enum vc_errc code, const char *why)
{
	ck_fails(seq_try_open(s, false, &err), &err, code);
	ck_assert_msg(strstr(err.msg, why), "%s", err.msg);
}

uint64_t seq_file_bytes(const struct seq *s)
{
	struct stat st;

	ck_assert_int_eq(fstat(s->fd, &st), 0);
	return (uint64_t)st.st_size;
}
