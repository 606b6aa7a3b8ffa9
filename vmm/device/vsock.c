/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "vmm/device/device.h"

static const struct vc_option options[] = {
	{ "cid", 0, "N", "the guest's address, 3 or more (default 3)" },
	{ "listen", 0, "PATH",
	  "a Unix socket that leads into the guest: a client\n"
	  "says \"CONNECT PORT\"" },
	{ "listen-fd", 0, "N", "the same, a listening descriptor" },
	{ "dial-fd", 0, "N",
	  "whom to ask when the guest connects to the host;\n"
	  "without it all such connections are refused" },
};

#define DEFAULT_CID 3

/* The descriptors are kept one more than given: 0 stands for "none". */
static int vsock_on_option(struct device *d, const struct vc_option *opt,
			   const char *value, struct vc_error *err)
{
	struct vsock_opts *o = &d->vsock;
	int fd;

	if (!strcmp(opt->name, "cid")) {
		if (vc_parse_u64(value, UINT32_MAX - 1, &o->cid, err) < 0)
			return vc_prefix(err, "--cid");
		return o->cid >= 3
			       ? 0
			       : vc_fail(err, VC_E_ARG, 0, "--cid: 3 or more");
	}
	if (!strcmp(opt->name, "listen")) {
		o->listen_path = value;
		return 0;
	}
	if (device_parse_fd(value, &fd, err) < 0)
		return -1;
	*(!strcmp(opt->name, "dial-fd") ? &o->dial_fd : &o->listen_fd) = fd + 1;
	return 0;
}

static int vsock_open(struct device *d, struct vc_error *err)
{
	struct vsock_opts *o = &d->vsock;

	o->listen_fd--;
	o->dial_fd--;
	if (!o->cid)
		o->cid = DEFAULT_CID;
	if (o->listen_path && o->listen_fd >= 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "--listen and --listen-fd exclude each other");
	if (o->listen_path &&
	    device_listen(d, o->listen_path, &o->listen_fd, err) < 0)
		return -1;
	if (o->listen_fd >= 0)
		device_keep(d, o->listen_fd);
	if (o->dial_fd >= 0)
		device_keep(d, o->dial_fd);
	return 0;
}

static int vsock_create(struct device *d, struct vc_loop *loop,
			struct vc_virtio_dev **ret, struct vc_error *err)
{
	const struct vc_virtio_vsock_opts opts = {
		.guest_cid = d->vsock.cid,
		.listen_fd = d->vsock.listen_fd,
		.dial_fd = d->vsock.dial_fd,
	};

	return vc_virtio_vsock_new(loop, &opts, ret, err);
}

const struct device_class device_vsock = {
	.name = "vsock",
	.help = "sockets between guest and host (virtio-vsock)",
	.role = VC_ROLE_VSOCK,
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = vsock_on_option,
	.open = vsock_open,
	.create = vsock_create,
};
