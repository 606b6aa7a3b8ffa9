/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file as a qcow2 image: looked at, checked, mapped and read; then opened for
 * writing, written and discarded at places the input chooses, closed, and read
 * again. What was written without an error must be read back, whatever else the
 * file says.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/disk.h>
#include <vmmcore/qcow2.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT (1u << 20)
#define MAX_EXTENTS 64
#define PIECE 1536

static int data_fd;

static int duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		abort();
	return copy;
}

static struct vc_disk *open_image(int fd, bool writable)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2,
					.writable = writable,
					.no_sync = true,
					.repair = true,
					.io = VC_DISK_IO_SYNC };
	struct vc_disk_open_opts data_opts = oo;
	struct vc_disk *d = NULL;
	struct vc_error err;
	int copy = duplicate(fd), data;

	if (vc_disk_open_fd(copy, &oo, NULL, &d, &err) == 0)
		return d;
	/* perhaps its data is in another file */
	data = duplicate(data_fd);
	data_opts.format = VC_DISK_FORMAT_RAW;
	if (vc_disk_open_fd(data, &data_opts, NULL, &oo.data_file, &err) < 0)
		abort();
	if (vc_disk_open_fd(copy, &oo, NULL, &d, &err) == 0)
		return d;
	vc_disk_drop(oo.data_file);
	close(copy);
	return NULL;
}

static void look(int fd)
{
	struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_disk_check chk = { 0 };
	struct vc_error err;

	if (!info)
		abort();
	if (vc_disk_info_fd(fd, VC_DISK_FORMAT_QCOW2, info, &err) == 0 &&
	    (info->cluster_bytes < VC_QCOW2_MIN_CLUSTER ||
	     info->cluster_bytes > VC_QCOW2_MAX_CLUSTER))
		abort();
	if (vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &chk, &err) < 0 &&
	    !err.msg[0])
		abort();
	free(info);
}

static void read_some(struct vc_disk *d)
{
	uint64_t pos = 0, size = vc_disk_get_size(d);
	struct vc_error err;
	uint8_t buf[PIECE];
	int i;

	for (i = 0; i < MAX_EXTENTS && pos < size; i++) {
		struct vc_disk_extent e;
		uint64_t n;

		if (vc_disk_map(d, pos, UINT64_MAX, &e, &err) < 0)
			return;
		if (!e.length_bytes || e.length_bytes > size - pos)
			abort();
		n = e.length_bytes < PIECE ? e.length_bytes : PIECE;
		if (vc_disk_read(d, pos, buf, n, &err) == 0 &&
		    e.kind != VC_DISK_DATA && (buf[0] || buf[n - 1]))
			abort();
		pos += e.length_bytes;
	}
}

static void ignore(struct vc_disk_req *req, enum vc_disk_status status)
{
	(void)req;
	(void)status;
}

/* Something that is no stream: packed as it is. */
static void write_packed(struct vc_disk *d, uint64_t at)
{
	uint32_t cluster = 0;
	uint8_t junk[100];
	struct iovec iov = { junk, sizeof(junk) };
	struct vc_disk_req req = { .op = VC_DISK_WRITE_COMPRESSED,
				   .length_bytes = sizeof(junk),
				   .iov = &iov,
				   .nr_iov = 1,
				   .done = ignore };

	memset(junk, 0x5c, sizeof(junk));
	if (!vc_disk_get_compression(d, &cluster))
		return;
	req.offset_bytes = at / cluster * cluster;
	vc_disk_submit(d, &req);
	vc_disk_drain(d);
}

static bool write_some(struct vc_disk *d, const uint8_t *data, size_t size,
		       uint64_t *ret_where)
{
	uint64_t disk = vc_disk_get_size(d), at;
	uint8_t buf[PIECE];
	struct vc_error err;
	bool ok = false;
	size_t i;

	memset(buf, 0xe7, sizeof(buf));
	if (disk < PIECE)
		return false;
	for (i = 0; i < 8 && i * 4 + 4 <= size; i++) {
		uint32_t r;

		memcpy(&r, data + size - i * 4 - 4, 4);
		at = (((uint64_t)r << 9) ^ r) % (disk - PIECE + 1);
		if (r % 5 == 0) {
			ok = ok && vc_disk_zero(d, at, PIECE, &err) == 0;
			ok = false;
		} else if (r % 7 == 0) {
			write_packed(d, at);
			ok = false;
		} else {
			ok = vc_disk_write(d, at, buf, PIECE, &err) == 0;
			*ret_where = at;
		}
	}
	return vc_disk_flush(d, &err) == 0 && ok;
}

/* Every error has a text. */
static bool did(int ret, const struct vc_error *err)
{
	if (ret < 0 && !err->msg[0])
		abort();
	return ret == 0;
}

/* What manages images: on damaged ones it may refuse, on one that was repaired
 * it leaves nothing wrong. */
static void manage(int fd)
{
	struct vc_disk_check chk = { .repair = VC_DISK_REPAIR_ALL },
			     after = { 0 };
	struct vc_qcow2_snapshots s;
	struct vc_qcow2_bitmaps b;
	struct vc_error err;

	if (did(vc_qcow2_snapshot_list(fd, &s, &err), &err)) {
		if (s.nr && s.items[0].id[0])
			did(vc_qcow2_snapshot_apply(fd, s.items[0].id, &err),
			    &err);
		vc_qcow2_snapshots_fini(&s);
	}
	if (did(vc_qcow2_bitmap_list(fd, &b, &err), &err)) {
		if (b.nr)
			did(vc_qcow2_bitmap_clear(fd, b.items[0].name, &err),
			    &err);
		vc_qcow2_bitmaps_fini(&b);
	}
	did(vc_qcow2_snapshot_create(fd, "fuzz", &err), &err);
	did(vc_qcow2_bitmap_add(fd, "fuzz", 0, true, &err), &err);
	if (!did(vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err) ||
	    chk.nr_corruptions || chk.nr_leaks)
		return;
	did(vc_qcow2_snapshot_create(fd, "again", &err), &err);
	did(vc_qcow2_bitmap_add(fd, "again", 512, false, &err), &err);
	did(vc_qcow2_snapshot_delete(fd, "again", &err), &err);
	if (vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &after, &err) < 0 ||
	    after.nr_corruptions || after.nr_leaks)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	uint8_t buf[PIECE];
	struct vc_error err;
	struct vc_disk *d;
	uint64_t where = 0;
	bool ok = false;

	data_fd = memfd_create("data", MFD_CLOEXEC);
	if (data_fd < 0)
		abort();
	if (size > MAX_INPUT)
		size = MAX_INPUT;
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	look(fd);
	d = open_image(fd, false);
	if (d)
		read_some(d);
	vc_disk_drop(d);
	d = open_image(fd, true);
	if (d) {
		ok = write_some(d, data, size, &where);
		if (ok && (vc_disk_read(d, where, buf, PIECE, &err) < 0 ||
			   buf[0] != 0xe7 || buf[PIECE - 1] != 0xe7))
			abort();
		if (vc_disk_close(d, &err) < 0 && !err.msg[0])
			abort();
		look(fd);
	}
	manage(fd);
	close(fd);
	close(data_fd);
	return 0;
}
