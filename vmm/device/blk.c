/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include "vmm/control/opener.h"
#include "vmm/device/device.h"

static const struct vc_option options[] = {
	{ "disk", 0, "SPEC",
	  "the image: path=PATH or fd=N, and [,ro]\n"
	  "[,format=raw|qcow2][,id=SERIAL][,direct][,lock=BOOL]\n"
	  "[,num-queues=N][,block-size=N][,open-fd=N[,backing]]" },
};

#define KEY(name, type, member, max, alias)                               \
	{                                                                 \
		name, type, offsetof(struct blk_opts, member), max, NULL, \
			alias                                             \
	}

static int parse_disk(const char *text, struct blk_opts *o,
		      struct vc_error *err)
{
	const struct vc_kv_key keys[] = {
		KEY("path", VC_KV_STRING, path, 0, NULL),
		KEY("fd", VC_KV_FD, fd, INT32_MAX, NULL),
		KEY("ro", VC_KV_BOOL, is_readonly, 0, "readonly"),
		{ "format", VC_KV_ENUM, offsetof(struct blk_opts, format), 0,
		  vc_disk_format_names, NULL },
		KEY("id", VC_KV_STRING, id, 0, "serial"),
		KEY("open-fd", VC_KV_FD, open_fd, INT32_MAX, NULL),
		KEY("backing", VC_KV_BOOL, has_backing, 0, NULL),
		KEY("direct", VC_KV_BOOL, is_direct, 0, NULL),
		KEY("lock", VC_KV_BOOL, has_lock, 0, NULL),
		KEY("num-queues", VC_KV_U64, nr_queues, VC_VIRTIO_MAX_QUEUES,
		    NULL),
		KEY("block-size", VC_KV_SIZE, block_size, 0, NULL),
	};

	return vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), o, NULL, err);
}

static int blk_on_option(struct device *d, const struct vc_option *opt,
			 const char *value, struct vc_error *err)
{
	struct blk_opts *o = &d->blk;

	(void)opt;
	if (o->is_given)
		return vc_fail(err, VC_E_ARG, 0, "given twice");
	*o = (struct blk_opts){ .is_given = true,
				.has_lock = true,
				.fd = -1,
				.open_fd = -1,
				.direct_fd = -1,
				.format = -1 };
	if (parse_disk(value, o, err) < 0)
		return -1;
	if (!o->path == (o->fd < 0))
		return vc_fail(err, VC_E_ARG, 0,
			       "one of path= and fd= is needed");
	if (o->has_backing && o->open_fd < 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "backing: needs open-fd=, as vmm run gives it");
	if (o->block_size > 4096 ||
	    (o->block_size &&
	     (o->block_size < 512 || (o->block_size & (o->block_size - 1)))))
		return vc_fail(err, VC_E_ARG, 0,
			       "block-size: a power of two from 512 to "
			       "4096");
	return 0;
}

static int blk_open(struct device *d, struct vc_error *err)
{
	struct blk_opts *o = &d->blk;

	if (!o->is_given)
		return vc_fail(err, VC_E_ARG, 0, "--disk is needed");
	if (o->fd < 0)
		o->fd = vc_open(o->path, o->is_readonly ? O_RDONLY : O_RDWR, 0,
				err);
	if (o->fd < 0)
		return -1;
	device_keep(d, o->fd);
	if (o->is_direct && o->open_fd < 0) {
		o->direct_fd =
			vc_disk_reopen_direct(o->fd, !o->is_readonly, err);
		if (o->direct_fd < 0)
			return vc_prefix(err, "'%s'", d->name);
		device_keep(d, o->direct_fd);
	}
	if (o->open_fd >= 0)
		device_keep(d, o->open_fd);
	return 0;
}

/* The opener of a device that was started by hand: there is the image, and
 * nothing else. */
struct own_opener {
	struct vc_disk_opener base;
	struct blk_opts *opts;
};

static int own_open(struct vc_disk_opener *o, const char *what,
		    const char *path, bool writable, struct vc_error *err)
{
	(void)o;
	(void)path;
	(void)writable;
	return vc_fail(err, VC_E_UNSUPPORTED, 0, "%s: not allowed", what);
}

static int own_reopen(struct vc_disk_opener *o, int fd, bool writable,
		      struct vc_error *err)
{
	struct blk_opts *opts =
		vc_container_of(o, struct own_opener, base)->opts;

	(void)fd;
	(void)writable;
	if (opts->direct_fd < 0)
		return vc_fail(err, VC_E_SYS, EBADF, "open with O_DIRECT");
	return vc_steal_fd(&opts->direct_fd);
}

/* Which option lets an image be opened that names others? */
static int explain(const struct blk_opts *o, enum vc_disk_format format,
		   struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_error first = *err, ignored;

	if (o->has_backing || err->code != VC_E_UNSUPPORTED || !info ||
	    vc_disk_info_fd(o->fd, format, info, &ignored) < 0 ||
	    !(info->backing_file[0] || info->has_data_file ||
	      info->format == VC_DISK_FORMAT_COMPOSITE))
		return -1;
	return vc_fail(err, first.code, first.sys, "%s (backing=on allows it)",
		       first.msg);
}

static int blk_create(struct device *d, struct vc_loop *loop,
		      struct vc_virtio_dev **ret, struct vc_error *err)
{
	struct blk_opts *o = &d->blk;
	struct own_opener own = { { own_open, own_reopen }, o };
	struct opener_client client;
	const struct vc_disk_open_opts open_opts = {
		.format = o->format < 0 ? VC_DISK_FORMAT_PROBE
					: (enum vc_disk_format)(o->format + 1),
		.writable = !o->is_readonly,
		.direct = o->is_direct,
		.lock = o->has_lock,
		.allow_backing = o->has_backing,
		.opener = o->open_fd < 0 ? &own.base : &client.base,
		.name = o->path ? o->path : d->name,
	};
	vc_auto(vc_disk) struct vc_disk *disk = NULL;
	struct vc_virtio_blk_opts blk = {
		.serial = o->id,
		.nr_queues = (unsigned)o->nr_queues,
		.block_size = (uint32_t)o->block_size,
	};

	opener_client_init(&client, o->open_fd);
	if (vc_disk_open_fd(o->fd, &open_opts, NULL, &disk, err) < 0)
		return explain(o, open_opts.format, err);
	vc_close(&o->open_fd); /* nothing is opened once the guest runs */
	blk.disk = disk;
	/* nobody said it is raw: the guest must not make it look otherwise */
	blk.guard_probe = open_opts.writable && o->format < 0 &&
			  vc_disk_get_format(disk) == VC_DISK_FORMAT_RAW;
	if (vc_virtio_blk_new(loop, &blk, ret, err) < 0)
		return -1;
	vc_steal_ptr(&disk);
	return 0;
}

static void blk_fini(struct device *d)
{
	free(d->blk.path);
	free(d->blk.id);
}

const struct device_class device_blk = {
	.name = "blk",
	.help = "a disk (virtio-blk)",
	.role = VC_ROLE_BLK,
	.needs_threads = true, /* io_uring's workers, or the pool */
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = blk_on_option,
	.open = blk_open,
	.create = blk_create,
	.fini = blk_fini,
};
