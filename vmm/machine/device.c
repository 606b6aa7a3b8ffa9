/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtio device: a socket to its process, the frontend that speaks over it,
 * the PCI function the guest sees, and three descriptors the main thread
 * watches: the socket hanging up (the process is gone), the error eventfd (a
 * queue broke), the process' own requests (its configuration changed).
 *
 * The socket is watched for hanging up only: the replies on it belong to
 * whichever thread asked, under the device lock.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>
#include "vmm/machine/internal.h"

static void on_failure(void *opaque, const struct vc_error *err)
{
	struct machine_device *d = opaque;
	char text[LINK_TEXT_MAX];

	machine_lose_device(d->m, d->index,
			    vc_error_str(err, text, sizeof(text)));
}

static void on_hang_up(struct vc_watch *w, uint32_t events)
{
	struct machine_device *d =
		vc_container_of(w, struct machine_device, sock_watch);

	(void)events;
	vc_watch_remove(w);
	machine_lose_device(d->m, d->index, "the device process hung up");
}

static void on_broken_queue(struct vc_watch *w, uint32_t events)
{
	struct machine_device *d =
		vc_container_of(w, struct machine_device, err_watch);
	uint64_t count;

	(void)events;
	if (read(d->err_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&d->m->lock);
	vpci_needs_reset(d->vpci);
	pthread_mutex_unlock(&d->m->lock);
}

/* Called within on_request(), so under the lock. */
static void on_config_change(void *opaque)
{
	struct machine_device *d = opaque;

	vpci_config_changed(d->vpci);
}

static void on_request(struct vc_watch *w, uint32_t events)
{
	struct machine_device *d =
		vc_container_of(w, struct machine_device, request_watch);
	struct vc_error err;
	int rc;

	(void)events;
	pthread_mutex_lock(&d->m->lock);
	rc = vc_vhu_frontend_handle_requests(d->fe, &err);
	pthread_mutex_unlock(&d->m->lock);
	if (rc < 0) {
		vc_watch_remove(w);
		on_failure(d, &err);
	}
}

static int connect_frontend(struct machine_device *d, int *fd,
			    struct vc_error *err)
{
	if (vc_vhu_frontend_new(*fd, &d->fe, err) < 0)
		return -1;
	*fd = -1;
	d->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->err_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "eventfd");
	vc_vhu_frontend_set_err_fd(d->fe, d->err_fd);
	vc_vhu_frontend_on_config_change(d->fe, on_config_change, d);
	return vc_vhu_frontend_set_mem(d->fe, d->m->mem, err);
}

static int watch(struct machine_device *d, struct vc_error *err)
{
	struct vc_loop *loop = d->m->loop;
	int request_fd = vc_vhu_frontend_get_request_fd(d->fe);

	if (vc_watch_add(loop, &d->sock_watch, vc_vhu_frontend_get_fd(d->fe),
			 EPOLLRDHUP, on_hang_up, err) < 0 ||
	    vc_watch_add(loop, &d->err_watch, d->err_fd, EPOLLIN,
			 on_broken_queue, err) < 0)
		return -1;
	return request_fd < 0
		       ? 0
		       : vc_watch_add(loop, &d->request_watch, request_fd,
				      EPOLLIN, on_request, err);
}

int device_attach(struct machine_device *d, struct machine *m, unsigned index,
		  struct machine_device_config *config, struct vc_error *err)
{
	struct vpci_opts o = {
		.name = config->name,
		.virtio_id = (unsigned)config->id,
		.hv = &m->bus_hv.base,
		.mem = m->mem,
		.backend = &d->backend.base,
		.on_failure = on_failure,
		.opaque = d,
	};

	d->m = m;
	d->index = index;
	d->name = config->name;
	d->err_fd = -1;
	if (connect_frontend(d, &config->fd, err) < 0)
		return vc_prefix(err, "%s", d->name);
	vpci_vhost_user_init(&d->backend, d->fe);
	if (vpci_new(&o, &d->vpci, err) < 0 ||
	    pci_host_attach(&m->pci, &d->vpci->pci, index + 1, err) < 0)
		return -1;
	if (watch(d, err) < 0)
		return vc_prefix(err, "%s", d->name);
	return 0;
}

void device_detach(struct machine_device *d)
{
	if (!d->m)
		return;
	vc_watch_remove(&d->sock_watch);
	vc_watch_remove(&d->err_watch);
	vc_watch_remove(&d->request_watch);
	d->vpci = vpci_free(d->vpci);
	d->fe = vc_vhu_frontend_free(d->fe);
	vc_close(&d->err_fd);
}
