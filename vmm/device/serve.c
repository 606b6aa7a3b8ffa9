/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a sealed device process: one frontend, then the end. */
#include <stdio.h>
#include <vmmcore/vhost-user.h>
#include "vmm/device/device.h"

struct server {
	struct vc_virtio_dev *dev; /* borrowed */
	struct vc_vhu_backend *be;
	struct vc_watch keeper;
	struct vc_error err;
};

static void stop(struct server *s, bool has_failed)
{
	vc_loop_stop(s->dev->loop, has_failed ? -1 : 0);
}

static void on_end(void *opaque, const struct vc_error *err)
{
	struct server *s = opaque;

	if (err)
		s->err = *err;
	stop(s, err);
}

static int start(struct server *s, int sock, struct vc_error *err)
{
	vc_auto_fd int fd = sock;

	if (vc_vhu_backend_new(s->dev, fd, on_end, s, &s->be, err) < 0)
		return -1;
	vc_steal_fd(&fd);
	return 0;
}

static void on_keeper(struct vc_watch *w, uint32_t events)
{
	struct server *s = vc_container_of(w, struct server, keeper);
	bool is_over = false;
	int sock = -1;

	(void)events;
	if (device_next_frontend(w->fd, &sock, &is_over, &s->err) < 0 ||
	    (!is_over && !s->be && start(s, sock, &s->err) < 0))
		stop(s, true);
	else if (is_over)
		stop(s, false);
}

int device_serve(struct device *d, struct vc_virtio_dev *dev,
		 struct vc_error *err)
{
	struct server s = { .dev = dev, .keeper = { .fd = -1 } };
	int rc = 0, value = -1;

	snprintf(dev->name, sizeof(dev->name), "%s", d->name);
	if (d->sock >= 0)
		rc = start(&s, vc_steal_fd(&d->sock), err);
	if (rc == 0 && d->keeper_fd >= 0)
		rc = vc_watch_add(dev->loop, &s.keeper, d->keeper_fd, EPOLLIN,
				  on_keeper, err);
	if (rc == 0)
		rc = vc_loop_run(dev->loop, &value, err);
	if (rc == 0 && value < 0) {
		*err = s.err;
		rc = -1;
	}
	vc_watch_remove(&s.keeper);
	vc_vhu_backend_free(s.be);
	return rc;
}
