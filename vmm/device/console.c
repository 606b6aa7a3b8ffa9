/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "vmm/device/device.h"

static const struct vc_option options[] = {
	{ "in", 0, "PATH", "what the guest reads" },
	{ "in-fd", 0, "N", "the same, an open descriptor" },
	{ "out", 0, "PATH", "where what the guest writes goes; appended to" },
	{ "out-fd", 0, "N", "the same, an open descriptor" },
};

/* The descriptors are kept one more than given: 0 stands for "none". */
static int console_on_option(struct device *d, const struct vc_option *opt,
			     const char *value, struct vc_error *err)
{
	struct console_opts *o = &d->console;
	bool is_in = !strncmp(opt->name, "in", 2);
	int fd;

	if (is_in ? o->in_path || o->in_fd : o->out_path || o->out_fd)
		return vc_fail(err, VC_E_ARG, 0, "given twice");
	if (strstr(opt->name, "-fd")) {
		if (device_parse_fd(value, &fd, err) < 0)
			return -1;
		*(is_in ? &o->in_fd : &o->out_fd) = fd + 1;
	} else {
		*(is_in ? &o->in_path : &o->out_path) = value;
	}
	return 0;
}

static int open_one(struct device *d, const char *path, int flags, int *fd,
		    struct vc_error *err)
{
	if (path) {
		*fd = vc_open(path, flags | O_NOCTTY, 0600, err);
		if (*fd < 0)
			return -1;
	} else {
		--*fd;
	}
	if (*fd >= 0)
		device_keep(d, *fd);
	return 0;
}

static int console_open(struct device *d, struct vc_error *err)
{
	struct console_opts *o = &d->console;

	/* the device closes each */
	if (o->in_fd && o->in_fd == o->out_fd) {
		o->out_fd = fcntl(o->in_fd - 1, F_DUPFD_CLOEXEC, 0) + 1;
		if (!o->out_fd)
			return vc_fail(err, VC_E_SYS, errno, "--out-fd");
	}
	if (open_one(d, o->in_path, O_RDONLY | O_NONBLOCK, &o->in_fd, err) < 0)
		return -1;
	return open_one(d, o->out_path, O_WRONLY | O_APPEND | O_CREAT,
			&o->out_fd, err);
}

static int console_create(struct device *d, struct vc_loop *loop,
			  struct vc_virtio_dev **ret, struct vc_error *err)
{
	return vc_virtio_console_new(loop, d->console.in_fd, d->console.out_fd,
				     ret, err);
}

const struct device_class device_console = {
	.name = "console",
	.help = "a console (virtio-console)",
	.role = VC_ROLE_CONSOLE,
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = console_on_option,
	.open = console_open,
	.create = console_create,
};
