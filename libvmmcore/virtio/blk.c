/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-blk (virtio 1.2, 5.2) over a vc_disk.
 *
 * A chain is a 16-byte header to read, data, and one status byte to write, cut
 * into descriptors any way the driver likes. The header is copied; the data
 * goes between guest memory and the disk without a copy. Each queue has a pool
 * of as many requests as it can have chains in flight, so that the pool never
 * runs dry and nothing is allocated once the device runs.
 *
 * A request is: parsed (`parse_*`, which decide everything the driver can get
 * wrong), submitted, completed inside vc_disk_poll(), pushed. Interrupts are sent
 * once per poll and per kick, for all that completed.
 *
 * What a driver does wrong: a chain with no room for header or status breaks
 * the queue, for there is nowhere to tell it; anything else is answered with
 * IOERR or UNSUPP, as 5.2.6 says, before the disk has seen it.
 *
 * The probe guard. A raw image that was recognised as raw by looking at its
 * first bytes would be opened as something else next time if the guest wrote
 * another format's magic there, a header that then names files of the host.
 * With `guard_probe` such a write is refused. The first sector is copied before
 * it is looked at and written from the copy: the guest may change its own.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include "virtio/device.h"

#define BLK_QUEUE_SIZE 256
#define BLK_SEG_MAX (BLK_QUEUE_SIZE - 2) /* told to the driver */
/* In one request: SEG_MAX buffers, some of which span two memory regions, and
 * the copied first sector. */
#define BLK_MAX_IOV (BLK_SEG_MAX + 10)
#define BLK_MAX_RANGES 16 /* in one discard or write-zeroes request */
#define BLK_MAX_RANGE_SECTORS (UINT32_C(1) << 22) /* 2 GiB */
#define BLK_SERIAL_BYTES 20

/* 5.2.3 */
#define BLK_F_SEG_MAX 2
#define BLK_F_RO 5
#define BLK_F_BLK_SIZE 6
#define BLK_F_FLUSH 9
#define BLK_F_MQ 12
#define BLK_F_DISCARD 13
#define BLK_F_WRITE_ZEROES 14

/* 5.2.6 */
enum blk_type {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};
enum blk_status {
	BLK_S_OK = 0,
	BLK_S_IOERR = 1,
	BLK_S_UNSUPP = 2,
	BLK_S_PENDING = 255, /* not in the specification: the disk has it */
};

struct blk_hdr {
	le32_t type, reserved;
	le64_t sector;
};
_Static_assert(sizeof(struct blk_hdr) == 16, "virtio 1.2, 5.2.6");

#define RANGE_F_UNMAP 1u
struct blk_range {
	le64_t sector;
	le32_t nr_sectors, flags;
};
_Static_assert(sizeof(struct blk_range) == 16, "virtio 1.2, 5.2.6");

/* 5.2.4 */
struct blk_config {
	le64_t capacity;
	le32_t size_max, seg_max;
	uint8_t geometry[4];
	le32_t blk_size;
	uint8_t topology[8];
	uint8_t writeback, unused0;
	le16_t num_queues;
	le32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	le32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct blk_config) == 60, "virtio 1.2, 5.2.4");

struct blk;

struct blk_req {
	struct vc_disk_req disk_req;
	struct blk *blk;
	struct blk_req *next_free;
	uint16_t qi, head;
	uint8_t *status;     /* in guest memory, one byte */
	uint32_t used_bytes; /* told to the driver when it went well */
	unsigned nr_ranges, next_range;
	union {
		struct iovec iov[BLK_MAX_IOV];
		struct blk_range ranges[BLK_MAX_RANGES];
	};
	uint8_t first_sector[VC_DISK_SECTOR]; /* of a guarded write */
};

struct blk {
	struct vc_virtio_dev dev;
	struct vc_disk *disk; /* owned */
	struct vc_watch poll_watch;
	uint64_t nr_sectors;
	uint32_t block_size;
	bool is_writable, guard_probe;
	uint8_t serial[BLK_SERIAL_BYTES];
	struct blk_req *pool; /* nr_queues * BLK_QUEUE_SIZE */
	/* per queue: requests that were used and are free, a stack, and how
	 * many of its part of the pool were ever used */
	struct blk_req *free_reqs[VC_VIRTIO_MAX_QUEUES];
	unsigned nr_used[VC_VIRTIO_MAX_QUEUES];
	struct vc_vq_chain chain;
};

static struct blk *to_blk(struct vc_virtio_dev *dev)
{
	return vc_container_of(dev, struct blk, dev);
}

static const struct blk *to_const_blk(const struct vc_virtio_dev *dev)
{
	return (const void *)dev; /* the first member */
}

/* --- configuration --------------------------------------------------------- */

static uint64_t blk_features(const struct vc_virtio_dev *dev)
{
	const struct blk *blk = to_const_blk(dev);
	uint64_t f = 1u << BLK_F_SEG_MAX | 1u << BLK_F_BLK_SIZE;

	if (dev->nr_queues > 1)
		f |= 1u << BLK_F_MQ;
	if (!blk->is_writable)
		return f | 1u << BLK_F_RO;
	return f | 1u << BLK_F_FLUSH | 1u << BLK_F_DISCARD |
	       1u << BLK_F_WRITE_ZEROES;
}

static size_t blk_get_config(const struct vc_virtio_dev *dev, uint8_t *buf)
{
	const struct blk *blk = to_const_blk(dev);
	struct blk_config c = {
		.capacity = le64_put(blk->nr_sectors),
		.seg_max = le32_put(BLK_SEG_MAX),
		.blk_size = le32_put(blk->block_size),
		.num_queues = le16_put((uint16_t)dev->nr_queues),
	};

	if (blk->is_writable) {
		uint32_t align = vc_disk_get_discard_granularity(blk->disk);

		c.max_discard_sectors = le32_put(BLK_MAX_RANGE_SECTORS);
		c.max_discard_seg = le32_put(BLK_MAX_RANGES);
		c.discard_sector_alignment = le32_put(align / VC_DISK_SECTOR);
		c.max_write_zeroes_sectors = le32_put(BLK_MAX_RANGE_SECTORS);
		c.max_write_zeroes_seg = le32_put(BLK_MAX_RANGES);
		c.write_zeroes_may_unmap = 1;
	}
	memcpy(buf, &c, sizeof(c));
	return sizeof(c);
}

/* --- the life of a request ------------------------------------------------------------ */

/* A queue has no more chains in flight than its part of the pool has requests:
 * blk_start_queue() and queue.c see to it. */
static struct blk_req *take_req(struct blk *blk, unsigned qi)
{
	struct blk_req *req = blk->free_reqs[qi];

	if (req) {
		blk->free_reqs[qi] = req->next_free;
		return req;
	}
	assert(blk->nr_used[qi] < BLK_QUEUE_SIZE);
	req = &blk->pool[qi * BLK_QUEUE_SIZE + blk->nr_used[qi]++];
	req->blk = blk;
	req->qi = (uint16_t)qi;
	return req;
}

static void finish(struct blk_req *req, enum blk_status st)
{
	struct blk *blk = req->blk;

	*req->status = (uint8_t)st;
	vc_vq_push(&blk->dev.vq[req->qi], req->head,
		   st == BLK_S_OK ? req->used_bytes : 1);
	req->next_free = blk->free_reqs[req->qi];
	blk->free_reqs[req->qi] = req;
}

static void notify_all(struct blk *blk)
{
	unsigned qi;

	for (qi = 0; qi < blk->dev.nr_queues; qi++)
		vc_vq_notify(&blk->dev.vq[qi]);
}

static enum blk_status from_disk(struct blk *blk, enum vc_disk_status st)
{
	if (st == VC_DISK_OK)
		return BLK_S_OK;
	if (st == VC_DISK_ENOTSUP)
		return BLK_S_UNSUPP;
	virtio_dev_warn(&blk->dev, "disk: %s", vc_disk_status_str(st));
	return BLK_S_IOERR;
}

static void on_done(struct vc_disk_req *disk_req, enum vc_disk_status st)
{
	struct blk_req *req =
		vc_container_of(disk_req, struct blk_req, disk_req);

	finish(req, from_disk(req->blk, st));
}

static void submit(struct blk_req *req, enum vc_disk_op op, unsigned flags,
		   uint64_t sector, uint64_t bytes, int nr_iov,
		   void (*done)(struct vc_disk_req *, enum vc_disk_status))
{
	req->disk_req = (struct vc_disk_req){
		.op = op,
		.flags = flags,
		.offset_bytes = sector * VC_DISK_SECTOR,
		.length_bytes = bytes,
		.iov = nr_iov ? req->iov : NULL,
		.nr_iov = nr_iov,
		.done = done,
	};
	vc_disk_submit(req->blk->disk, &req->disk_req);
}

static void on_poll(struct vc_watch *w, uint32_t events)
{
	struct blk *blk = vc_container_of(w, struct blk, poll_watch);

	(void)events;
	vc_disk_poll(blk->disk, false);
	vc_disk_kick(blk->disk); /* next ranges of a request */
	notify_all(blk);
}

/* --- reads and writes ------------------------------------------------------ */

static bool looks_like_a_format(const uint8_t *sector)
{
	static const struct {
		uint8_t len;
		const char *bytes;
	} magics[] = {
		{ 4, "QFI\xfb" }, /* qcow, qcow2 */
		{ 4, "QED\0" },
		{ 4, "KDMV" },			 /* VMDK */
		{ 4, "COWD" },			 /* VMDK 3 */
		{ 20, "# Disk DescriptorFile" }, /* VMDK, names files */
		{ 8, "vhdxfile" },
		{ 8, "conectix" },	   /* VPC */
		{ 4, "\x3a\xff\x26\xed" }, /* Android sparse */
		{ 14, "composite_disk" },  /* names files */
		{ 4, "\x28\xb5\x2f\xfd" }, /* zstd */
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(magics); i++)
		if (!memcmp(sector, magics[i].bytes, magics[i].len))
			return true;
	/* a skippable zstd frame: 0x184D2A5x, little-endian */
	return (sector[0] & 0xf0) == 0x50 && sector[1] == 0x2a &&
	       sector[2] == 0x4d && sector[3] == 0x18;
}

/* Replace the first sector of what is written by a copy that was looked at. */
static bool guard_first_sector(struct blk_req *req, struct iovec **iov,
			       int *nr_iov)
{
	vc_iov_read(*iov, *nr_iov, 0, req->first_sector, VC_DISK_SECTOR);
	if (looks_like_a_format(req->first_sector)) {
		virtio_dev_warn(&req->blk->dev,
				"refused a write that would make the disk "
				"look like another format (say format=raw "
				"to allow it)");
		return false;
	}
	return vc_iov_skip(iov, nr_iov, VC_DISK_SECTOR);
}

static enum blk_status start_rw(struct blk_req *req, bool is_write,
				uint64_t sector, struct iovec *iov, int nr_iov,
				uint64_t bytes)
{
	struct blk *blk = req->blk;
	unsigned flags = 0;
	int at = 0;

	if (bytes % VC_DISK_SECTOR ||
	    !vc_range_ok(sector, bytes / VC_DISK_SECTOR, blk->nr_sectors))
		return BLK_S_IOERR;
	if (is_write && !blk->is_writable)
		return BLK_S_IOERR;
	if (!bytes)
		return BLK_S_OK;
	if (is_write && blk->guard_probe && sector == 0) {
		if (!guard_first_sector(req, &iov, &nr_iov))
			return BLK_S_IOERR;
		req->iov[at++] =
			(struct iovec){ req->first_sector, VC_DISK_SECTOR };
	}
	if (nr_iov > BLK_MAX_IOV - at)
		return BLK_S_IOERR; /* more buffers than SEG_MAX */
	if (nr_iov)
		memcpy(&req->iov[at], iov, sizeof(*iov) * (size_t)nr_iov);
	/* 5.2.6.2: without FLUSH a write is durable when it is done */
	if (is_write && !vc_virtio_has(&blk->dev, BLK_F_FLUSH))
		flags = VC_DISK_REQ_FUA;
	submit(req, is_write ? VC_DISK_WRITE : VC_DISK_READ, flags, sector,
	       bytes, at + nr_iov, on_done);
	return BLK_S_PENDING;
}

/* --- discard and write zeroes ---------------------------------------------- */

static void next_range(struct blk_req *req)
{
	const struct blk_range *r = &req->ranges[req->next_range++];

	submit(req, req->disk_req.op,
	       req->disk_req.op == VC_DISK_WRITE_ZEROES &&
			       le32_get(r->flags) & RANGE_F_UNMAP
		       ? VC_DISK_REQ_UNMAP
		       : 0,
	       le64_get(r->sector),
	       (uint64_t)le32_get(r->nr_sectors) * VC_DISK_SECTOR, 0,
	       req->disk_req.done);
}

static void on_range_done(struct vc_disk_req *disk_req, enum vc_disk_status st)
{
	struct blk_req *req =
		vc_container_of(disk_req, struct blk_req, disk_req);

	if (st == VC_DISK_OK && req->next_range < req->nr_ranges)
		next_range(req);
	else
		finish(req, from_disk(req->blk, st));
}

/* All ranges are checked before the first is started. */
static enum blk_status start_ranges(struct blk_req *req, bool is_discard,
				    const struct iovec *iov, int nr_iov,
				    uint64_t bytes)
{
	struct blk *blk = req->blk;
	uint32_t known = is_discard ? 0 : RANGE_F_UNMAP;
	unsigned i;

	if (!vc_virtio_has(&blk->dev,
			   is_discard ? BLK_F_DISCARD : BLK_F_WRITE_ZEROES))
		return BLK_S_UNSUPP;
	if (!blk->is_writable || !bytes || bytes % sizeof(struct blk_range) ||
	    bytes > sizeof(req->ranges))
		return BLK_S_IOERR;
	vc_iov_read(iov, nr_iov, 0, req->ranges, bytes);
	req->nr_ranges = (unsigned)(bytes / sizeof(struct blk_range));
	req->next_range = 0;
	for (i = 0; i < req->nr_ranges; i++) {
		const struct blk_range *r = &req->ranges[i];
		uint32_t nr = le32_get(r->nr_sectors);

		if (le32_get(r->flags) & ~known)
			return BLK_S_UNSUPP;
		if (!nr || nr > BLK_MAX_RANGE_SECTORS ||
		    !vc_range_ok(le64_get(r->sector), nr, blk->nr_sectors))
			return BLK_S_IOERR;
	}
	req->disk_req.op = is_discard ? VC_DISK_DISCARD : VC_DISK_WRITE_ZEROES;
	req->disk_req.done = on_range_done;
	next_range(req);
	return BLK_S_PENDING;
}

/* --- requests -------------------------------------------------------------- */

static enum blk_status get_id(struct blk_req *req, const struct iovec *iov,
			      int nr_iov, uint64_t bytes)
{
	size_t n = vc_min_u64(bytes, BLK_SERIAL_BYTES);

	vc_iov_write(iov, nr_iov, 0, req->blk->serial, n);
	req->used_bytes = (uint32_t)bytes + 1;
	return BLK_S_OK;
}

/* `out` is what follows the header, `in` what precedes the status byte. */
static enum blk_status start_req(struct blk_req *req, const struct blk_hdr *hdr,
				 struct vc_vq_chain *c)
{
	uint64_t out_bytes = c->out_bytes - sizeof(*hdr);
	uint64_t in_bytes = c->in_bytes - 1;
	uint64_t sector = le64_get(hdr->sector);
	uint32_t type = le32_get(hdr->type);

	req->used_bytes = 1;
	/* data may flow in one direction only, the type says in which */
	if (type == BLK_T_IN || type == BLK_T_GET_ID ? out_bytes : in_bytes)
		return BLK_S_IOERR;
	switch (type) {
	case BLK_T_IN:
		req->used_bytes = (uint32_t)c->in_bytes;
		return start_rw(req, false, sector, c->in, c->nr_in, in_bytes);
	case BLK_T_OUT:
		return start_rw(req, true, sector, c->out, c->nr_out,
				out_bytes);
	case BLK_T_FLUSH:
		if (out_bytes)
			return BLK_S_IOERR;
		submit(req, VC_DISK_FLUSH, 0, 0, 0, 0, on_done);
		return BLK_S_PENDING;
	case BLK_T_GET_ID:
		return get_id(req, c->in, c->nr_in, in_bytes);
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		return start_ranges(req, type == BLK_T_DISCARD, c->out,
				    c->nr_out, out_bytes);
	default:
		return BLK_S_UNSUPP;
	}
}

/* Cut the status byte off the end of `c->in`; there is at least one byte. */
static uint8_t *cut_status(struct vc_vq_chain *c)
{
	struct iovec *last = &c->in[c->nr_in - 1];

	last->iov_len--;
	if (!last->iov_len)
		c->nr_in--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static void blk_kick(struct vc_virtio_dev *dev, unsigned qi)
{
	struct blk *blk = to_blk(dev);
	struct vc_vq_chain *c = &blk->chain;
	struct vc_vq *vq = &dev->vq[qi];

	vc_vq_disable_kicks(vq);
	while (virtio_dev_pop(dev, qi, c)) {
		struct blk_req *req;
		enum blk_status st;
		struct blk_hdr hdr;

		if (c->out_bytes < sizeof(hdr) || !c->in_bytes) {
			virtio_dev_reject(dev, qi,
					  "a request without header or status");
			break;
		}
		req = take_req(blk, qi);
		req->head = c->head;
		vc_iov_read(c->out, c->nr_out, 0, &hdr, sizeof(hdr));
		vc_iov_skip(&c->out, &c->nr_out, sizeof(hdr));
		req->status = cut_status(c);
		st = start_req(req, &hdr, c);
		if (st != BLK_S_PENDING)
			finish(req, st);
	}
	vc_disk_kick(blk->disk);
	vc_vq_notify(vq);
}

static void blk_start_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	if (dev->vq[qi].size > BLK_QUEUE_SIZE)
		vc_virtio_guest_error(dev, qi, "a queue of too many entries");
}

static void blk_stop_queue(struct vc_virtio_dev *dev, unsigned qi)
{
	struct blk *blk = to_blk(dev);

	(void)qi; /* requests of other queues finish a little early as well */
	vc_disk_drain(blk->disk);
	notify_all(blk);
}

static void blk_free(struct vc_virtio_dev *dev)
{
	struct blk *blk = to_blk(dev);
	struct vc_error err;
	char text[512];

	vc_watch_remove(&blk->poll_watch);
	if (blk->disk && vc_disk_close(blk->disk, &err) < 0)
		vc_log(VC_LOG_ERROR, dev->name, "%s",
		       vc_error_str(&err, text, sizeof(text)));
	free(blk->pool);
	free(blk);
}

static const struct vc_virtio_ops blk_ops = {
	.name = "blk",
	.id = VC_VIRTIO_ID_BLK,
	.features = blk_features,
	.get_config = blk_get_config,
	.start_queue = blk_start_queue,
	.kick = blk_kick,
	.stop_queue = blk_stop_queue,
	.free = blk_free,
};

/* --- making ---------------------------------------------------------------- */

static int check_opts(const struct vc_virtio_blk_opts *o, struct vc_error *err)
{
	if (o->nr_queues > VC_VIRTIO_MAX_QUEUES)
		return vc_fail(err, VC_E_ARG, 0,
			       "virtio-blk: %u queues: at most %d",
			       o->nr_queues, VC_VIRTIO_MAX_QUEUES);
	if (o->block_size && (!vc_is_pow2(o->block_size) ||
			      o->block_size < 512 || o->block_size > 4096))
		return vc_fail(err, VC_E_ARG, 0,
			       "virtio-blk: block size %u: not a power of two "
			       "from 512 to 4096",
			       o->block_size);
	if (o->serial && strlen(o->serial) > BLK_SERIAL_BYTES)
		return vc_fail(err, VC_E_ARG, 0,
			       "virtio-blk: serial longer than %d bytes",
			       BLK_SERIAL_BYTES);
	return 0;
}

int vc_virtio_blk_new(struct vc_loop *loop, const struct vc_virtio_blk_opts *o,
		      struct vc_virtio_dev **ret, struct vc_error *err)
{
	unsigned nr_queues = o->nr_queues ? o->nr_queues : 1;
	vc_auto(vc_virtio) struct vc_virtio_dev *dev = NULL;
	struct blk *blk;

	if (check_opts(o, err) < 0)
		return -1;
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return vc_fail(err, VC_E_SYS, ENOMEM, "virtio-blk");
	dev = &blk->dev;
	virtio_dev_init(dev, &blk_ops, loop, nr_queues, BLK_QUEUE_SIZE);
	/* virtual memory: what is never used is never touched */
	blk->pool =
		calloc((size_t)nr_queues * BLK_QUEUE_SIZE, sizeof(*blk->pool));
	if (!blk->pool)
		return vc_fail(err, VC_E_SYS, ENOMEM, "virtio-blk");
	blk->nr_sectors = vc_disk_get_size(o->disk) / VC_DISK_SECTOR;
	blk->block_size = o->block_size ? o->block_size : VC_DISK_SECTOR;
	blk->is_writable = vc_disk_is_writable(o->disk);
	blk->guard_probe = o->guard_probe;
	if (o->serial)
		memcpy(blk->serial, o->serial, strlen(o->serial));
	if (vc_watch_add(loop, &blk->poll_watch, vc_disk_get_poll_fd(o->disk),
			 EPOLLIN, on_poll, err) < 0)
		return -1;
	blk->disk = o->disk;
	*ret = vc_steal_ptr(&dev);
	return 0;
}
