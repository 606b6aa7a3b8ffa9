/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI bus 0 of the guest: a host bridge in slot 0, single-function devices in
 * the others, reached by configuration mechanism #1 and by ECAM (PCI Local Bus
 * 3.0, 3.2.2.3.2; PCI Express 4.0, 7.2.2).
 *
 * A device describes its configuration space as two arrays: the bytes and which
 * bits of them the guest may write. Everything here runs under the machine's
 * device lock (vmm/bus/bus.h).
 */
#ifndef VMM_BUS_PCI_H
#define VMM_BUS_PCI_H

#include <vmmcore/memory.h>
#include "vmm/bus/bus.h"

#define PCI_MAX_SLOTS 32
#define PCI_CFG_SIZE 256
#define PCI_NR_BARS 6
#define PCI_MAX_BAR_BYTES (UINT64_C(1) << 36)

/* Offsets in the header. */
#define PCI_VENDOR 0x00
#define PCI_DEVICE 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEM 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_NO_INTX 0x0400
#define PCI_STATUS 0x06
#define PCI_STATUS_CAPS 0x0010
#define PCI_REVISION 0x08
#define PCI_CLASS 0x09
#define PCI_BAR(i) (0x10 + 4 * (i))
#define PCI_SUBSYS_VENDOR 0x2c
#define PCI_SUBSYS 0x2e
#define PCI_CAP_PTR 0x34
#define PCI_FIRST_CAP 0x40

#define PCI_CAP_ID_VENDOR 0x09
#define PCI_CAP_ID_MSIX 0x11

struct pci_dev;
struct pci_host;

struct pci_dev_ops {
	void (*bar_read)(struct pci_dev *d, unsigned bar, uint64_t off,
			 uint8_t *data, unsigned len);
	void (*bar_write)(struct pci_dev *d, unsigned bar, uint64_t off,
			  const uint8_t *data, unsigned len);
	/* optional, may be NULL: */
	/* The guest is about to read these bytes of cfg[]. */
	void (*cfg_reading)(struct pci_dev *d, unsigned off, unsigned len);
	/* The guest has written these bytes of cfg[], within wmask[]. */
	void (*cfg_written)(struct pci_dev *d, unsigned off, unsigned len);
	/* The BAR was mapped, unmapped or moved. */
	void (*bar_moved)(struct pci_dev *d, unsigned bar);
};

struct pci_bar {
	struct bus_range range; /* attached: the guest can reach it */
	struct pci_dev *dev;	/* borrowed */
	unsigned index;
	uint64_t size; /* 0: no such BAR */
	bool is_64;
};

struct pci_dev {
	const struct pci_dev_ops *ops;
	const char *name;      /* borrowed */
	struct pci_host *host; /* borrowed; NULL: not attached */
	unsigned slot;
	uint8_t cfg[PCI_CFG_SIZE];
	uint8_t wmask[PCI_CFG_SIZE]; /* bits the guest may change */
	unsigned cap_end;	     /* first byte after the last capability */
	unsigned last_cap;	     /* its offset; 0: none yet */
	struct pci_bar bar[PCI_NR_BARS];
};

struct pci_ids {
	uint16_t vendor, device, subsys_vendor, subsys;
	uint32_t class_code; /* base class, sub-class, interface */
	uint8_t revision;
};
void pci_dev_init(struct pci_dev *d, const struct pci_dev_ops *ops,
		  const char *name, const struct pci_ids *ids);
/* A memory BAR, `size` a power of two >= 16. A 64-bit one takes bar + 1 too.
 * Before attaching. */
void pci_dev_set_bar(struct pci_dev *d, unsigned bar, uint64_t size,
		     bool is_64);
/* Append a capability of `len` bytes, of which the first two are filled in
 * here; read-only until the caller changes wmask[]. Returns its offset. */
unsigned pci_dev_add_cap(struct pci_dev *d, uint8_t id, const uint8_t *bytes,
			 unsigned len);
static inline uint64_t pci_dev_get(const struct pci_dev *d, unsigned off,
				   unsigned len)
{
	return bus_get_le(d->cfg + off, len);
}

/* Where everything is: the architecture's memory map. */
struct pci_host_config {
	struct bus *pio, *mmio; /* borrowed, outlive the host */
	uint16_t address_port, data_port;
	uint64_t ecam_base, ecam_size;
	uint64_t mem32_base, mem32_size;
	uint64_t mem64_base, mem64_size;
};

struct pci_host {
	struct pci_host_config config;
	struct bus_range address_range, data_range, ecam_range;
	uint32_t address; /* mechanism #1 */
	struct pci_dev bridge;
	struct pci_dev *slots[PCI_MAX_SLOTS]; /* borrowed */
	uint64_t mem32_next, mem64_next;      /* of the windows */
};

int pci_host_init(struct pci_host *h, const struct pci_host_config *config,
		  struct vc_error *err) VC_MUST_CHECK;
void pci_host_fini(struct pci_host *h); /* also of a zeroed one */

/* Put `d` in `slot` (1..31) and give its BARs addresses, as firmware would:
 * decoding stays off until the guest turns it on. */
int pci_host_attach(struct pci_host *h, struct pci_dev *d, unsigned slot,
		    struct vc_error *err) VC_MUST_CHECK;
void pci_host_detach(struct pci_dev *d); /* no-op if it is not */

/* Configuration accesses of any offset and length, as the guest makes them. */
void pci_dev_cfg_read(struct pci_dev *d, unsigned off, uint8_t *data,
		      unsigned len);
void pci_dev_cfg_write(struct pci_dev *d, unsigned off, const uint8_t *data,
		       unsigned len);

#endif
