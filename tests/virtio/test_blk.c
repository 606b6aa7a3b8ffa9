/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-blk over a raw disk in memory, driven by the fake guest. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/virtio/hostile.h"
#include "disk/disk.h"

#define DISK_SECTORS 2048u /* 1 MiB */
#define QSIZE 128

enum { T_IN, T_OUT, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_ZEROES = 13 };
enum { S_OK, S_IOERR, S_UNSUPP, S_NOT_WRITTEN = 0xee };
enum {
	F_SEG_MAX = 2,
	F_RO = 5,
	F_BLK_SIZE,
	F_FLUSH = 9,
	F_MQ = 12,
	F_DISCARD = 13,
	F_ZEROES = 14
};

struct hdr {
	le32_t type, reserved;
	le64_t sector;
};
struct range {
	le64_t sector;
	le32_t nr, flags;
};

static struct vc_error err;
static struct fg *fg;
static enum vc_disk_io io_engine;
static int image_fd; /* a second view of the image, not owned by the disk */

static void make_image(void)
{
	image_fd = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_ge(image_fd, 0);
	ck_assert_int_eq(ftruncate(image_fd, DISK_SECTORS * 512), 0);
}

/* Between the disk and its format: flushes. */
static bool is_spied;
static struct {
	struct disk_ops ops;
	const struct disk_ops *real;
	_Atomic unsigned nr_flushes;
	_Atomic bool is_failing;
} spy;

static void spy_flush(struct vc_disk *d, struct vc_disk_req *req)
{
	spy.nr_flushes++;
	if (spy.is_failing)
		disk_complete(d, req, VC_DISK_EIO);
	else
		spy.real->flush(d, req);
}

static void put_spy(struct vc_disk *d)
{
	spy.real = d->ops;
	spy.ops = *d->ops;
	spy.ops.flush = spy_flush;
	d->ops = &spy.ops;
}

static void start_with(struct vc_virtio_blk_opts o, bool is_writable,
		       uint64_t but_not)
{
	struct vc_disk_open_opts open_opts = {
		.format = VC_DISK_FORMAT_RAW,
		.writable = is_writable,
		.io = io_engine,
		.name = "image",
	};
	struct vc_virtio_dev *dev;

	make_image();
	ck_ok(vc_disk_open_fd(dup(image_fd), &open_opts, NULL, &o.disk, &err),
	      &err);
	if (is_spied)
		put_spy(o.disk);
	fg = fg_new(FG_RAM_DEFAULT);
	ck_ok(vc_virtio_blk_new(fg_loop(fg), &o, &dev, &err), &err);
	fg_attach(fg, dev, but_not);
	fg_queue(fg, 0, QSIZE);
}

static void start(void)
{
	start_with((struct vc_virtio_blk_opts){ .serial = "serial-7" }, true,
		   0);
}

static void stop(void)
{
	fg_free(fg);
	close(image_fd);
}

static struct hdr hdr(uint32_t type, uint64_t sector)
{
	return (struct hdr){ le32_put(type), le32_put(0), le64_put(sector) };
}

/* Header, data and status in a descriptor each; returns the status. */
static int request(uint32_t type, uint64_t sector, enum fg_dir dir, void *buf,
		   uint32_t len, uint32_t *ret_used)
{
	struct hdr h = hdr(type, sector);
	uint8_t status = S_NOT_WRITTEN;
	struct fg_seg segs[3] = { { FG_OUT, &h, sizeof(h) },
				  { dir, buf, len },
				  { FG_IN, &status, 1 } };
	uint32_t used;

	if (!len)
		segs[1] = segs[2];
	used = fg_do(fg, 0, segs, len ? 3 : 2);
	if (ret_used)
		*ret_used = used;
	return status;
}

static int read_sectors(uint64_t sector, void *buf, uint32_t len)
{
	return request(T_IN, sector, FG_IN, buf, len, NULL);
}

static int write_sectors(uint64_t sector, void *buf, uint32_t len)
{
	return request(T_OUT, sector, FG_OUT, buf, len, NULL);
}

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + (i >> 9) + seed);
}

static void check_image(uint64_t sector, const void *want, size_t len)
{
	uint8_t buf[8192];

	ck_assert_uint_le(len, sizeof(buf));
	ck_ok(vc_pread_full(image_fd, buf, len, sector * 512), &err);
	ck_assert_mem_eq(buf, want, len);
}

/* --- a driver that follows the rules --------------------------------------- */

START_TEST(tells_what_it_is)
{
	struct {
		le64_t capacity;
		le32_t size_max, seg_max;
		uint8_t geometry[4];
		le32_t blk_size;
		uint8_t topology[8], wce, unused;
		le16_t nr_queues;
		le32_t discard_sectors, discard_seg, discard_align;
		le32_t zeroes_sectors, zeroes_seg;
		uint8_t may_unmap, unused1[3];
	} c;

	start_with((struct vc_virtio_blk_opts){ .nr_queues = 4,
						.block_size = 4096 },
		   true, 0);
	fg_config(fg, 0, &c, sizeof(c));
	ck_assert_uint_eq(sizeof(c), 60);
	ck_assert_uint_eq(le64_get(c.capacity), DISK_SECTORS);
	ck_assert_uint_eq(le32_get(c.blk_size), 4096);
	ck_assert_uint_eq(le16_get(c.nr_queues), 4);
	ck_assert_uint_ge(le32_get(c.seg_max), 64);
	ck_assert_uint_ge(le32_get(c.discard_sectors), 2048);
	ck_assert_uint_ge(le32_get(c.discard_align), 1);
	ck_assert_uint_ge(le32_get(c.zeroes_seg), 1);
	ck_assert_uint_eq(fg_features(fg) & 0xffffff,
			  1u << F_SEG_MAX | 1u << F_BLK_SIZE | 1u << F_FLUSH |
				  1u << F_MQ | 1u << F_DISCARD |
				  1u << F_ZEROES);
	stop();
}
END_TEST

START_TEST(refuses_options)
{
	static const struct vc_virtio_blk_opts bad[] = {
		{ .block_size = 256 },
		{ .block_size = 8192 },
		{ .block_size = 1000 },
		{ .nr_queues = VC_VIRTIO_MAX_QUEUES + 1 },
		{ .serial = "twenty-one characters" },
	};
	struct vc_disk_open_opts open_opts = { .format = VC_DISK_FORMAT_RAW,
					       .name = "image" };
	struct vc_virtio_blk_opts o = bad[_i];
	struct vc_virtio_dev *dev = NULL;
	struct vc_loop *loop;

	make_image();
	ck_ok(vc_loop_new(&loop, &err), &err);
	ck_ok(vc_disk_open_fd(image_fd, &open_opts, NULL, &o.disk, &err), &err);
	ck_fails(vc_virtio_blk_new(loop, &o, &dev, &err), &err, VC_E_ARG);
	ck_assert_ptr_null(dev);
	vc_disk_drop(o.disk); /* still ours */
	vc_loop_free(loop);
}
END_TEST

START_TEST(reads_back_what_was_written)
{
	uint8_t out[8192], in[8192];
	uint32_t used;
	unsigned i;

	start();
	for (i = 0; i < 50; i++) {
		fill(out, sizeof(out), i);
		ck_assert_int_eq(write_sectors(i * 20, out, sizeof(out)), S_OK);
		check_image(i * 20, out, sizeof(out));
		memset(in, 0, sizeof(in));
		ck_assert_int_eq(request(T_IN, i * 20, FG_IN, in, sizeof(in),
					 &used),
				 S_OK);
		ck_assert_uint_eq(used, sizeof(in) + 1);
		ck_assert_mem_eq(in, out, sizeof(in));
	}
	/* the last sector and no further */
	ck_assert_int_eq(write_sectors(DISK_SECTORS - 1, out, 512), S_OK);
	ck_assert_int_eq(read_sectors(DISK_SECTORS - 1, in, 512), S_OK);
	ck_assert_mem_eq(in, out, 512);
	stop();
}
END_TEST

/* 2.7.4: a device must not care how a request is cut into descriptors. */
START_TEST(takes_any_layout)
{
	uint8_t out[2048], in[2049];
	struct hdr h = hdr(T_OUT, 9);
	struct fg_seg w[] = {
		{ FG_OUT, &h, 5 },	    { FG_OUT, (uint8_t *)&h + 5, 11 },
		{ FG_OUT, out, 1 },	    { FG_OUT, out + 1, 2000 },
		{ FG_OUT, out + 2001, 47 }, { FG_IN, in, 1 },
	};
	/* status behind the data in one descriptor */
	struct fg_seg r[] = { { FG_OUT, &h, sizeof(h) },
			      { FG_IN, in, 700 },
			      { FG_IN, in + 700, 1349 } };
	/* header and data in one */
	uint8_t both[16 + 512];
	struct fg_seg one[] = { { FG_OUT, both, sizeof(both) },
				{ FG_IN, in, 1 } };
	uint32_t len;

	start();
	fill(out, sizeof(out), 3);
	in[0] = S_NOT_WRITTEN;
	ck_assert_uint_eq(fg_do(fg, 0, w, 6), 1);
	ck_assert_uint_eq(in[0], S_OK);
	h = hdr(T_IN, 9);
	in[2048] = S_NOT_WRITTEN;
	fg_chain_indirect(fg, 0, r, 3);
	fg_kick(fg, 0);
	fg_used(fg, 0, &len);
	ck_assert_uint_eq(len, 2049);
	ck_assert_uint_eq(in[2048], S_OK);
	ck_assert_mem_eq(in, out, 2048);
	h = hdr(T_OUT, 100);
	memcpy(both, &h, sizeof(h));
	memcpy(both + 16, out + 512, 512);
	fg_do(fg, 0, one, 2);
	ck_assert_uint_eq(in[0], S_OK);
	check_image(100, out + 512, 512);
	stop();
}
END_TEST

/* Flushes are counted, and fail when they are to: what depends on one then
 * fails too. */
START_TEST(flushes)
{
	bool has_flush = !_i;
	uint8_t buf[512] = { 1 };

	is_spied = true;
	/* without the feature writes go through at once */
	start_with((struct vc_virtio_blk_opts){ 0 }, true,
		   has_flush ? 0 : UINT64_C(1) << F_FLUSH);
	ck_assert_int_eq(!!(fg_features(fg) & 1u << F_FLUSH), has_flush);
	ck_assert_int_eq(write_sectors(1, buf, sizeof(buf)), S_OK);
	ck_assert_uint_eq(spy.nr_flushes, has_flush ? 0 : 1);
	check_image(1, buf, sizeof(buf));
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_OK);
	ck_assert_uint_eq(spy.nr_flushes, has_flush ? 1 : 2);
	ck_assert_int_eq(read_sectors(1, buf, sizeof(buf)), S_OK);
	ck_assert_uint_eq(spy.nr_flushes, has_flush ? 1 : 2);
	spy.is_failing = true;
	ck_assert_int_eq(write_sectors(1, buf, sizeof(buf)),
			 has_flush ? S_OK : S_IOERR);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_IOERR);
	spy.is_failing = false;
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_OK);
	stop();
}
END_TEST

static unsigned nr_bad_syncs;

static int fail_one_sync(const struct eng_io *io)
{
	return io->op == ENG_SYNC && nr_bad_syncs && nr_bad_syncs-- ? -EIO : 0;
}

/* What a sync of the file has lost once is lost: the guest must not be told
 * anything else by the next flush. */
START_TEST(failed_sync_stays)
{
	uint8_t buf[512] = { 1 };

	io_engine = VC_DISK_IO_SYNC;
	start();
	engine_inject = fail_one_sync;
	ck_assert_int_eq(write_sectors(1, buf, sizeof(buf)), S_OK);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_OK);
	nr_bad_syncs = 1;
	ck_assert_int_eq(write_sectors(1, buf, sizeof(buf)), S_OK);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_IOERR);
	ck_assert_uint_eq(nr_bad_syncs, 0);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_IOERR);
	ck_assert_int_eq(write_sectors(1, buf, sizeof(buf)), S_OK);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, NULL, 0, NULL), S_IOERR);
	engine_inject = NULL;
	stop();
}
END_TEST

START_TEST(tells_its_serial)
{
	char id[32];
	uint32_t used;

	start();
	memset(id, 'x', sizeof(id));
	ck_assert_int_eq(request(T_GET_ID, 0, FG_IN, id, 20, &used), S_OK);
	ck_assert_uint_eq(used, 21);
	ck_assert_mem_eq(id, "serial-7\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	memset(id, 'x', sizeof(id));
	ck_assert_int_eq(request(T_GET_ID, 0, FG_IN, id, 3, NULL), S_OK);
	ck_assert_mem_eq(id, "ser", 3);
	stop();
}
END_TEST

static struct range range(uint64_t sector, uint32_t nr, uint32_t flags)
{
	return (struct range){ le64_put(sector), le32_put(nr),
			       le32_put(flags) };
}

START_TEST(zeroes_ranges)
{
	uint8_t buf[8192], zero[8192] = { 0 };
	struct range r[] = { range(2, 3, 0), range(10, 1, 1), range(12, 2, 0) };

	start();
	fill(buf, sizeof(buf), 1);
	ck_assert_int_eq(write_sectors(0, buf, sizeof(buf)), S_OK);
	ck_assert_int_eq(request(T_ZEROES, 0, FG_OUT, r, sizeof(r), NULL),
			 S_OK);
	memcpy(buf + 2 * 512, zero, 3 * 512);
	memcpy(buf + 10 * 512, zero, 512);
	memcpy(buf + 12 * 512, zero, 2 * 512);
	check_image(0, buf, sizeof(buf));
	stop();
}
END_TEST

START_TEST(discards_ranges)
{
	uint8_t buf[8192];
	struct range r[] = { range(0, 8, 0), range(8, 8, 0) };
	int st;

	start();
	fill(buf, sizeof(buf), 1);
	ck_assert_int_eq(write_sectors(0, buf, sizeof(buf)), S_OK);
	/* what the host cannot do is not an error of the driver */
	st = request(T_DISCARD, 0, FG_OUT, r, sizeof(r), NULL);
	ck_assert(st == S_OK || st == S_UNSUPP);
	ck_assert_int_eq(read_sectors(0, buf, sizeof(buf)), S_OK);
	stop();
}
END_TEST

START_TEST(refuses_ranges)
{
	struct range r[17];
	const struct {
		uint32_t type, len;
		struct range r;
		int want;
	} bad[] = {
		{ T_ZEROES, 16, range(0, 1, 2), S_UNSUPP },
		{ T_DISCARD, 16, range(0, 1, 1), S_UNSUPP },
		{ T_DISCARD, 16, range(0, 1, UINT32_MAX), S_UNSUPP },
		{ T_ZEROES, 16, range(DISK_SECTORS, 1, 0), S_IOERR },
		{ T_ZEROES, 16, range(DISK_SECTORS - 1, 2, 0), S_IOERR },
		{ T_DISCARD, 16, range(UINT64_MAX, 1, 0), S_IOERR },
		{ T_DISCARD, 16, range(UINT64_MAX - 1, 3, 0), S_IOERR },
		{ T_ZEROES, 16, range(1, UINT32_MAX, 0), S_IOERR },
		{ T_ZEROES, 16, range(0, 0, 0), S_IOERR },
		{ T_ZEROES, 15, range(0, 1, 0), S_IOERR },
		{ T_DISCARD, 17, range(0, 1, 0), S_IOERR },
		{ T_DISCARD, 17 * 16, range(0, 1, 0), S_IOERR },
		{ T_DISCARD, 0, range(0, 1, 0), S_IOERR },
	};
	uint8_t buf[512], got[512];
	size_t i, k;

	start();
	fill(buf, sizeof(buf), 5);
	ck_assert_int_eq(write_sectors(0, buf, sizeof(buf)), S_OK);
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		for (k = 0; k < VC_ARRAY_SIZE(r); k++)
			r[k] = bad[i].r;
		ck_assert_int_eq(request(bad[i].type, 0, FG_OUT, r, bad[i].len,
					 NULL),
				 bad[i].want);
	}
	/* a bad range behind a good one: nothing is done */
	r[0] = range(0, 1, 0);
	r[1] = range(DISK_SECTORS, 1, 0);
	ck_assert_int_eq(request(T_ZEROES, 0, FG_OUT, r, 32, NULL), S_IOERR);
	ck_assert_int_eq(read_sectors(0, got, sizeof(got)), S_OK);
	ck_assert_mem_eq(got, buf, sizeof(buf));
	stop();
}
END_TEST

START_TEST(refuses_what_was_not_negotiated)
{
	struct range r = range(0, 1, 0);

	start_with((struct vc_virtio_blk_opts){ 0 }, true,
		   UINT64_C(1) << F_DISCARD | UINT64_C(1) << F_ZEROES);
	ck_assert_int_eq(request(T_DISCARD, 0, FG_OUT, &r, 16, NULL), S_UNSUPP);
	ck_assert_int_eq(request(T_ZEROES, 0, FG_OUT, &r, 16, NULL), S_UNSUPP);
	stop();
}
END_TEST

START_TEST(is_read_only)
{
	uint8_t buf[512] = { 1 }, zero[512] = { 0 };
	struct range r = range(0, 1, 0);

	start_with((struct vc_virtio_blk_opts){ 0 }, false, 0);
	ck_assert(fg_features(fg) & 1u << F_RO);
	ck_assert(!(fg_features(fg) & (1u << F_DISCARD | 1u << F_ZEROES)));
	ck_assert_int_eq(write_sectors(0, buf, sizeof(buf)), S_IOERR);
	ck_assert_int_ne(request(T_ZEROES, 0, FG_OUT, &r, 16, NULL), S_OK);
	ck_assert_int_eq(read_sectors(0, buf, sizeof(buf)), S_OK);
	ck_assert_mem_eq(buf, zero, sizeof(buf));
	check_image(0, zero, sizeof(zero));
	stop();
}
END_TEST

/* Several queues full of requests at once, and a stop in the middle. */
START_TEST(finishes_what_is_in_flight)
{
	static uint8_t buf[4][64][4096], status[4][64];
	struct hdr h[4][64];
	unsigned q, i, round;
	uint32_t len;

	start_with((struct vc_virtio_blk_opts){ .nr_queues = 4 }, true, 0);
	for (q = 1; q < 4; q++)
		fg_queue(fg, q, 256);
	for (round = 0; round < 4; round++) {
		memset(status, S_NOT_WRITTEN, sizeof(status));
		for (i = 0; i < 4 * 32; i++) {
			unsigned s = i / 4;

			q = i % 4;
			fill(buf[q][s], 4096, i + round);
			h[q][s] = hdr(round % 2 ? T_IN : T_OUT, i * 8);
			fg_chain(fg, q,
				 (struct fg_seg[]){
					 { FG_OUT, &h[q][s], 16 },
					 { round % 2 ? FG_IN : FG_OUT,
					   buf[q][s], 4096 },
					 { FG_IN, &status[q][s], 1 } },
				 3);
		}
		for (q = 0; q < 4; q++)
			fg_kick(fg, q);
		for (q = 0; q < 4; q++)
			fg_queue_stop(fg, q);
		/* what it took before the stop is done, the rest later */
		for (q = 0; q < 4; q++)
			fg_queue_resume(fg, q);
		for (q = 0; q < 4; q++)
			for (i = 0; i < 32; i++)
				fg_used(fg, q, &len);
		for (q = 0; q < 4; q++)
			for (i = 0; i < 32; i++)
				ck_assert_uint_eq(status[q][i], S_OK);
	}
	stop();
}
END_TEST

/* --- the probe guard ------------------------------------------------------- */

START_TEST(guards_the_first_sector)
{
	static const struct {
		const char *magic;
		size_t len;
	} magics[] = {
		{ "QFI\xfb", 4 },
		{ "QED", 4 },
		{ "KDMV", 4 },
		{ "# Disk DescriptorFile", 20 },
		{ "vhdxfile", 8 },
		{ "conectix", 8 },
		{ "\x3a\xff\x26\xed", 4 },
		{ "composite_disk\x1d", 15 },
		{ "\x28\xb5\x2f\xfd", 4 },
		{ "\x5e\x2a\x4d\x18", 4 },
	};
	uint8_t buf[4096], zero[4096] = { 0 };
	struct hdr h = hdr(T_OUT, 0);
	uint8_t status;
	struct fg_seg cut[] = { { FG_OUT, &h, 16 },
				{ FG_OUT, buf, 2 },
				{ FG_OUT, buf + 2, 4094 },
				{ FG_IN, &status, 1 } };
	size_t i;

	start_with((struct vc_virtio_blk_opts){ .guard_probe = true }, true, 0);
	for (i = 0; i < VC_ARRAY_SIZE(magics); i++) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf, magics[i].magic, magics[i].len);
		ck_assert_int_eq(write_sectors(0, buf, 512), S_IOERR);
		ck_assert_int_eq(write_sectors(0, buf, 4096), S_IOERR);
		fg_do(fg, 0, cut, 4);
		ck_assert_uint_eq(status, S_IOERR);
		check_image(0, zero, sizeof(zero));
		/* anywhere else it is data */
		ck_assert_int_eq(write_sectors(1, buf, 512), S_OK);
		ck_assert_int_eq(write_sectors(1, zero, 512), S_OK);
	}
	/* and other data is data in the first sector */
	fill(buf, sizeof(buf), 9);
	ck_assert_int_eq(write_sectors(0, buf, 4096), S_OK);
	check_image(0, buf, 4096);
	fill(buf, sizeof(buf), 11);
	fg_do(fg, 0, cut, 4);
	ck_assert_uint_eq(status, S_OK);
	check_image(0, buf, 4096);
	fill(buf, sizeof(buf), 12);
	ck_assert_int_eq(write_sectors(0, buf, 512), S_OK);
	check_image(0, buf, 512);
	stop();
}
END_TEST

START_TEST(guards_only_when_asked)
{
	uint8_t buf[512] = "QFI\xfb";

	start();
	ck_assert_int_eq(write_sectors(0, buf, 512), S_OK);
	check_image(0, buf, 512);
	stop();
}
END_TEST

/* --- hostile --------------------------------------------------------------- */

START_TEST(refuses_ranges_of_the_disk)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} bad[] = {
		{ DISK_SECTORS, 512 },
		{ DISK_SECTORS - 1, 1024 },
		{ UINT64_MAX, 512 },
		{ UINT64_MAX / 512, 512 },
		{ UINT64_MAX / 512 + 1, 512 }, /* offset 0 after a wrap */
		{ UINT64_MAX - 1, 4096 },
		{ 0, 511 },
		{ 0, 513 },
		{ 0, 1 },
	};
	uint8_t buf[4096] = { 1 }, zero[4096] = { 0 };
	size_t i;

	start();
	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		ck_assert_int_eq(write_sectors(bad[i].sector, buf, bad[i].len),
				 S_IOERR);
		ck_assert_int_eq(read_sectors(bad[i].sector, buf, bad[i].len),
				 S_IOERR);
	}
	check_image(0, zero, sizeof(zero));
	/* of no bytes: nothing to do */
	ck_assert_int_eq(request(T_IN, 0, FG_IN, NULL, 0, NULL), S_OK);
	ck_assert_int_eq(request(T_OUT, 0, FG_OUT, NULL, 0, NULL), S_OK);
	stop();
}
END_TEST

START_TEST(refuses_types_and_directions)
{
	static const uint32_t unknown[] = { 2,	3,  5,		6,
					    7,	9,  10,		12,
					    14, 15, 0x80000000, UINT32_MAX };
	uint8_t buf[512] = { 1 }, zero[512] = { 0 };
	size_t i;

	start();
	for (i = 0; i < VC_ARRAY_SIZE(unknown); i++)
		ck_assert_int_eq(request(unknown[i], 0, FG_OUT, buf, 512, NULL),
				 S_UNSUPP);
	/* data to read where there should be data to write, and so on */
	ck_assert_int_eq(request(T_IN, 0, FG_OUT, buf, 512, NULL), S_IOERR);
	ck_assert_int_eq(request(T_OUT, 0, FG_IN, buf, 512, NULL), S_IOERR);
	ck_assert_int_eq(request(T_GET_ID, 0, FG_OUT, buf, 20, NULL), S_IOERR);
	ck_assert_int_eq(request(T_FLUSH, 0, FG_OUT, buf, 512, NULL), S_IOERR);
	ck_assert_int_eq(request(T_ZEROES, 0, FG_IN, buf, 16, NULL), S_IOERR);
	check_image(0, zero, sizeof(zero));
	stop();
}
END_TEST

/* More buffers than seg_max said: refused, and the disk has not seen it. */
START_TEST(refuses_too_many_segments)
{
	static uint8_t buf[512];
	struct hdr h = hdr(T_IN, 0);
	struct fg_seg segs[514] = { { FG_OUT, &h, 16 } };
	uint8_t status = S_NOT_WRITTEN;
	unsigned i;

	start();
	for (i = 0; i < 512; i++)
		segs[1 + i] = (struct fg_seg){ FG_IN, buf + i, 1 };
	segs[513] = (struct fg_seg){ FG_IN, &status, 1 };
	fg_chain_indirect(fg, 0, segs, 514);
	fg_kick(fg, 0);
	fg_used(fg, 0, NULL);
	ck_assert_uint_eq(status, S_IOERR);
	stop();
}
END_TEST

START_TEST(needs_header_and_status)
{
	uint8_t buf[600] = { 0 };
	struct fg_seg segs[2] = { { FG_OUT, buf, 15 }, { FG_IN, buf, 513 } };
	struct hdr h = hdr(T_OUT, 0);

	start();
	if (_i == 0) { /* a short header */
		fg_chain(fg, 0, segs, 2);
	} else if (_i == 1) { /* none */
		fg_chain(fg, 0, segs + 1, 1);
	} else { /* no status */
		segs[1] = (struct fg_seg){ FG_OUT, buf, 512 };
		segs[0] = (struct fg_seg){ FG_OUT, &h, 16 };
		fg_chain(fg, 0, segs, 2);
	}
	fg_expect_broken(fg, 0);
	ck_assert_int_eq(fg_used_within(fg, 0, NULL, 0), -1);
	stop();
}
END_TEST

START_TEST(breaks_the_queue_and_no_more)
{
	uint8_t buf[512];

	start_with((struct vc_virtio_blk_opts){ .nr_queues = 2 }, true, 0);
	fg_queue(fg, 1, 16);
	hostile_chain(fg, 1, false, _i);
	fg_expect_broken(fg, 1);
	ck_assert_int_eq(fg_used_within(fg, 1, NULL, 0), -1);
	/* the other queue does not care */
	ck_assert_int_eq(read_sectors(0, buf, sizeof(buf)), S_OK);
	fg_reset(fg);
	fg_queue(fg, 0, QSIZE);
	ck_assert_int_eq(read_sectors(0, buf, sizeof(buf)), S_OK);
	stop();
}
END_TEST

TEST_SUITE(suite_blk)
{
	Suite *s = suite_create("virtio/blk");
	TCase *tc = test_case(s, "blk");

	tcase_add_test(tc, tells_what_it_is);
	tcase_add_loop_test(tc, refuses_options, 0, 5);
	tcase_add_test(tc, reads_back_what_was_written);
	tcase_add_test(tc, takes_any_layout);
	tcase_add_loop_test(tc, flushes, 0, 2);
	tcase_add_test(tc, failed_sync_stays);
	tcase_add_test(tc, tells_its_serial);
	tcase_add_test(tc, zeroes_ranges);
	tcase_add_test(tc, discards_ranges);
	tcase_add_test(tc, refuses_ranges);
	tcase_add_test(tc, refuses_what_was_not_negotiated);
	tcase_add_test(tc, is_read_only);
	tcase_add_test(tc, finishes_what_is_in_flight);
	tcase_add_test(tc, guards_the_first_sector);
	tcase_add_test(tc, guards_only_when_asked);
	tc = test_case(s, "hostile");
	tcase_add_test(tc, refuses_ranges_of_the_disk);
	tcase_add_test(tc, refuses_types_and_directions);
	tcase_add_test(tc, refuses_too_many_segments);
	tcase_add_loop_test(tc, needs_header_and_status, 0, 3);
	tcase_add_loop_test(tc, breaks_the_queue_and_no_more, 0, HOSTILE_NR);
	return s;
}
