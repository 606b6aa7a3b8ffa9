/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI-X (PCI Local Bus 3.0, 6.8.2). A *source* is an eventfd that something
 * signals to interrupt the guest: a backend for its queue, the transport for
 * the configuration. A *vector* is an entry of the guest's table. Several
 * sources may share a vector.
 */
#ifndef VMM_BUS_MSIX_H
#define VMM_BUS_MSIX_H

#include "vmm/bus/hv.h"
#include "vmm/bus/pci.h"

#define MSIX_MAX_VECTORS 65 /* one a queue, and the configuration */
#define MSIX_MAX_SOURCES 65
#define MSIX_NO_VECTOR 0xffff
#define MSIX_ENTRY_BYTES 16

struct msix_vector {
	uint8_t entry[MSIX_ENTRY_BYTES]; /* as the guest wrote it */
	unsigned gsi;
	bool is_routed; /* the GSI leads where `routed` says */
	uint64_t routed_address;
	uint32_t routed_data;
};

struct msix_source {
	int fd; /* eventfd, owned */
	uint16_t vector;
	bool is_bound; /* KVM listens to the fd, for `bound_gsi` */
	unsigned bound_gsi;
};

struct msix {
	struct bus_hv *hv;   /* borrowed */
	struct pci_dev *dev; /* borrowed */
	unsigned cap;	     /* its offset */
	unsigned nr_vectors, nr_sources;
	struct msix_vector vectors[MSIX_MAX_VECTORS];
	struct msix_source sources[MSIX_MAX_SOURCES];
	struct vc_error last_error; /* of the hypervisor, for the log */
};

/* Add the capability to `dev`: table at `table_off` and pending bits at
 * `pba_off` of `bar`. Makes the eventfds and takes the GSIs: before sealing. */
int msix_init(struct msix *m, struct bus_hv *hv, struct pci_dev *dev,
	      unsigned nr_vectors, unsigned nr_sources, unsigned bar,
	      uint32_t table_off, uint32_t pba_off,
	      struct vc_error *err) VC_MUST_CHECK;
void msix_fini(struct msix *m); /* also of a zeroed one */

static inline bool msix_is_enabled(const struct msix *m)
{
	return m->dev->cfg[m->cap + 3] & 0x80;
}
/* Follow a guest's write to the capability. */
void msix_cfg_written(struct msix *m, unsigned off, unsigned len);
/* The table and the pending bits, offsets from their start. */
void msix_table_read(struct msix *m, uint64_t off, uint8_t *data, unsigned len);
void msix_table_write(struct msix *m, uint64_t off, const uint8_t *data,
		      unsigned len);
void msix_pba_read(struct msix *m, uint64_t off, uint8_t *data, unsigned len);

/* Connect source `si` to `vector`; a number past the table means none. */
void msix_set_vector(struct msix *m, unsigned si, uint16_t vector);
uint16_t msix_get_vector(const struct msix *m, unsigned si);
int msix_get_fd(const struct msix *m, unsigned si);
/* Signal source `si` from here. */
void msix_signal(struct msix *m, unsigned si);
/* Forget what source `si` signalled while nothing listened; was there any? */
bool msix_take_pending(struct msix *m, unsigned si);

#endif
