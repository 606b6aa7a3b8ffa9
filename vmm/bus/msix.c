/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM listens to a source's eventfd (irqfd) exactly while the function's MSI-X
 * is on, neither mask is set and the source has a vector. Otherwise the count
 * stays in the eventfd, and that count *is* the pending bit: nobody has to be
 * woken to keep it, reading the pending bits polls the eventfds, and KVM looks
 * at the count again when it starts to listen, so nothing is lost.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>
#include "vmm/bus/msix.h"

#define CAP_BYTES 12
#define CONTROL_ENABLE 0x8000
#define CONTROL_MASK_ALL 0x4000
#define ENTRY_ADDRESS 0
#define ENTRY_DATA 8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED 0x1

int msix_init(struct msix *m, struct bus_hv *hv, struct pci_dev *dev,
	      unsigned nr_vectors, unsigned nr_sources, unsigned bar,
	      uint32_t table_off, uint32_t pba_off, struct vc_error *err)
{
	uint8_t cap[CAP_BYTES] = { 0 };
	unsigned i;

	assert(nr_vectors >= 1 && nr_vectors <= MSIX_MAX_VECTORS);
	assert(nr_sources <= MSIX_MAX_SOURCES);
	memset(m, 0, sizeof(*m));
	m->hv = hv;
	m->dev = dev;
	m->nr_vectors = nr_vectors;
	for (i = 0; i < nr_sources; i++) {
		struct msix_source *s = &m->sources[i];

		*s = (struct msix_source){ .vector = MSIX_NO_VECTOR };
		s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->fd < 0)
			return vc_fail(err, VC_E_SYS, errno, "%s: eventfd",
				       dev->name);
		m->nr_sources++;
	}
	for (i = 0; i < nr_vectors; i++) {
		m->vectors[i].entry[ENTRY_CONTROL] = ENTRY_MASKED;
		if (hv->ops->alloc_gsi(hv, &m->vectors[i].gsi, err) < 0)
			return vc_prefix(err, "%s", dev->name);
	}
	bus_put_le(cap + 2, 2, nr_vectors - 1);
	bus_put_le(cap + 4, 4, table_off | bar);
	bus_put_le(cap + 8, 4, pba_off | bar);
	m->cap = pci_dev_add_cap(dev, PCI_CAP_ID_MSIX, cap, sizeof(cap));
	bus_put_le(dev->wmask + m->cap + 2, 2,
		   CONTROL_ENABLE | CONTROL_MASK_ALL);
	return 0;
}

static void source_unbind(struct msix *m, struct msix_source *s)
{
	if (s->is_bound && m->hv->ops->remove_irqfd(m->hv, s->fd, s->bound_gsi,
						    &m->last_error) < 0)
		vc_log(VC_LOG_WARN, m->dev->name, "%s", m->last_error.msg);
	s->is_bound = false;
}

void msix_fini(struct msix *m)
{
	unsigned i;

	for (i = 0; i < m->nr_sources; i++) {
		source_unbind(m, &m->sources[i]);
		vc_close(&m->sources[i].fd);
	}
	m->nr_sources = 0;
}

static uint32_t entry_get(const struct msix_vector *v, unsigned off)
{
	return (uint32_t)bus_get_le(v->entry + off, 4);
}

static bool is_masked(const struct msix *m, const struct msix_vector *v)
{
	uint64_t control = pci_dev_get(m->dev, m->cap + 2, 2);

	return !(control & CONTROL_ENABLE) || (control & CONTROL_MASK_ALL) ||
	       (entry_get(v, ENTRY_CONTROL) & ENTRY_MASKED);
}

/* Point the vector's GSI where the guest wants its message to go. */
static bool vector_route(struct msix *m, struct msix_vector *v)
{
	uint64_t address = bus_get_le(v->entry + ENTRY_ADDRESS, 8);
	uint32_t data = entry_get(v, ENTRY_DATA);

	if (v->is_routed && v->routed_address == address &&
	    v->routed_data == data)
		return true;
	v->is_routed = m->hv->ops->set_msi(m->hv, v->gsi, address, data,
					   &m->last_error) == 0;
	if (!v->is_routed)
		vc_log(VC_LOG_WARN, m->dev->name, "%s", m->last_error.msg);
	v->routed_address = address;
	v->routed_data = data;
	return v->is_routed;
}

static void source_update(struct msix *m, struct msix_source *s)
{
	struct msix_vector *v;

	if (s->vector >= m->nr_vectors ||
	    is_masked(m, &m->vectors[s->vector])) {
		source_unbind(m, s);
		return;
	}
	v = &m->vectors[s->vector];
	if (!vector_route(m, v) || (s->is_bound && s->bound_gsi == v->gsi))
		return;
	source_unbind(m, s);
	s->bound_gsi = v->gsi;
	s->is_bound = m->hv->ops->add_irqfd(m->hv, s->fd, v->gsi,
					    &m->last_error) == 0;
	if (!s->is_bound)
		vc_log(VC_LOG_WARN, m->dev->name, "%s", m->last_error.msg);
}

static void update_all(struct msix *m)
{
	unsigned i;

	for (i = 0; i < m->nr_sources; i++)
		source_update(m, &m->sources[i]);
}

static void update_vector(struct msix *m, unsigned vector)
{
	unsigned i;

	for (i = 0; i < m->nr_sources; i++)
		if (m->sources[i].vector == vector)
			source_update(m, &m->sources[i]);
}

void msix_cfg_written(struct msix *m, unsigned off, unsigned len)
{
	if (off < m->cap + 4 && off + len > m->cap + 2)
		update_all(m);
}

void msix_table_read(struct msix *m, uint64_t off, uint8_t *data, unsigned len)
{
	unsigned i;

	for (i = 0; i < len; i++) {
		uint64_t at = off + i, vector = at / MSIX_ENTRY_BYTES;

		data[i] = vector < m->nr_vectors
				  ? m->vectors[vector]
					    .entry[at % MSIX_ENTRY_BYTES]
				  : 0;
	}
}

void msix_table_write(struct msix *m, uint64_t off, const uint8_t *data,
		      unsigned len)
{
	uint64_t first = off / MSIX_ENTRY_BYTES;
	uint64_t last = (off + len - 1) / MSIX_ENTRY_BYTES;
	unsigned i;

	for (i = 0; i < len; i++) {
		uint64_t at = off + i, vector = at / MSIX_ENTRY_BYTES;

		if (vector < m->nr_vectors)
			m->vectors[vector].entry[at % MSIX_ENTRY_BYTES] =
				data[i];
	}
	for (; first <= last && first < m->nr_vectors; first++)
		update_vector(m, (unsigned)first);
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

void msix_pba_read(struct msix *m, uint64_t off, uint8_t *data, unsigned len)
{
	unsigned i;

	memset(data, 0, len);
	for (i = 0; i < m->nr_sources; i++) {
		const struct msix_source *s = &m->sources[i];
		unsigned byte = s->vector / 8;

		if (s->vector < m->nr_vectors && !s->is_bound && byte >= off &&
		    byte - off < len && is_readable(s->fd))
			data[byte - off] |= (uint8_t)(1 << s->vector % 8);
	}
}

void msix_set_vector(struct msix *m, unsigned si, uint16_t vector)
{
	struct msix_source *s = &m->sources[si];

	assert(si < m->nr_sources);
	s->vector = vector < m->nr_vectors ? vector : MSIX_NO_VECTOR;
	source_update(m, s);
}

uint16_t msix_get_vector(const struct msix *m, unsigned si)
{
	assert(si < m->nr_sources);
	return m->sources[si].vector;
}

int msix_get_fd(const struct msix *m, unsigned si)
{
	assert(si < m->nr_sources);
	return m->sources[si].fd;
}

void msix_signal(struct msix *m, unsigned si)
{
	uint64_t one = 1;

	assert(si < m->nr_sources);
	/* cannot block: a count that is full is a signal already */
	if (write(m->sources[si].fd, &one, sizeof(one)) < 0)
		return;
}

bool msix_take_pending(struct msix *m, unsigned si)
{
	uint64_t count;

	assert(si < m->nr_sources);
	return !m->sources[si].is_bound &&
	       read(m->sources[si].fd, &count, sizeof(count)) ==
		       (ssize_t)sizeof(count);
}
