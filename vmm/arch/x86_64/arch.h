/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86_64 machine as a guest finds it: where things are, the tables that
 * say so, and the state a processor starts in. Bus and platform code take the
 * addresses from here and nowhere else, so that a device and the ACPI table
 * that describes it cannot disagree.
 *
 * Guest-physical memory map
 *
 *	0000_0000  RAM (below 4 GiB, at most 3 GiB)
 *	             0000_0500  GDT                  0000_7000  boot_params
 *	             0000_6000  PVH start_info       0000_9000  page tables
 *	             0002_0000  command line         000a_0000  reserved
 *	             000e_0000  ACPI tables          0010_0000  kernel, initrd
 *	c000_0000  PCI memory window, 32-bit BARs
 *	e000_0000  PCI configuration space (ECAM)
 *	f000_0000  platform devices (none yet)
 *	fec0_0000  IOAPIC         } inside KVM
 *	fee0_0000  local APICs    }
 *	feff_c000  KVM's identity map (1 page) and TSS (3 pages)
 *	1_0000_0000  rest of RAM
 *	arch_pci_mem64()  PCI memory window, 64-bit BARs
 *
 * Ports
 *
 *	0060, 0064  i8042: reset command only   0600..0603  ACPI PM1a event
 *	0070, 0071  RTC and CMOS                0604..0605  ACPI PM1a control
 *	03f8..03ff  COM1                        0cf8..0cff  PCI configuration
 *	0cf9        reset register (byte wide)  1000..ffff  PCI I/O window
 */
#ifndef ARCH_X86_64_ARCH_H
#define ARCH_X86_64_ARCH_H

#include <vmmcore/kvm.h>
#include <vmmcore/memory.h>

/* --- memory --------------------------------------------------------------- */

#define ARCH_MAX_VCPUS VC_HV_MAX_VCPUS
#define ARCH_MIN_RAM (UINT64_C(32) << 20)
#define ARCH_MAX_RAM (UINT64_C(1) << 40)

#define ARCH_RAM_LOW_END UINT64_C(0xc0000000) /* RAM resumes at 4 GiB */
#define ARCH_RAM_HIGH UINT64_C(0x100000000)

#define ARCH_PCI_MEM32_BASE UINT64_C(0xc0000000)
#define ARCH_PCI_MEM32_SIZE UINT64_C(0x20000000)
#define ARCH_PCI_MEM64_SIZE (UINT64_C(64) << 30)
#define ARCH_PCI_IO_BASE 0x1000
#define ARCH_PCI_IO_SIZE 0xf000

#define ARCH_ECAM_BASE UINT64_C(0xe0000000)
/* Buses described to the guest, 1 MiB each, from 0. Linux probes 32 devices on
 * every one of them at boot, with an exit each: no more than are needed. */
#define ARCH_ECAM_NR_BUSES 1
#define ARCH_ECAM_SIZE ((uint64_t)ARCH_ECAM_NR_BUSES << 20)

#define ARCH_PLATFORM_MMIO_BASE UINT64_C(0xf0000000)
#define ARCH_PLATFORM_MMIO_SIZE UINT64_C(0x01000000)

/* --- ports ---------------------------------------------------------------- */

#define ARCH_PORT_I8042_DATA 0x60
#define ARCH_PORT_I8042_CMD 0x64 /* 0xfe written here: reset */
#define ARCH_PORT_RTC_INDEX 0x70
#define ARCH_PORT_RTC_DATA 0x71
#define ARCH_PORT_COM1 0x3f8	    /* 8 ports */
#define ARCH_PORT_PCI_ADDRESS 0xcf8 /* 32-bit writes only */
#define ARCH_PORT_PCI_DATA 0xcfc
#define ARCH_PORT_RESET 0xcf9 /* bit 2 written as 1: reset */
#define ARCH_RESET_VALUE 0x06

/* ACPI PM1a event block: 16-bit status (write 1 to clear), 16-bit enable. The
 * SCI is level: high while status & enable. */
#define ARCH_PORT_PM1A_EVT 0x600
#define ARCH_PM1A_EVT_LEN 4
#define ARCH_PM1_PWRBTN (1u << 8) /* in status and enable */
/* ACPI PM1a control block: SCI_EN always reads 1; SLP_EN with SLP_TYP 5 is
 * power off. */
#define ARCH_PORT_PM1A_CNT 0x604
#define ARCH_PM1A_CNT_LEN 2
#define ARCH_PM1_SCI_EN (1u << 0)
#define ARCH_PM1_SLP_TYP_SHIFT 10 /* 3 bits */
#define ARCH_PM1_SLP_EN (1u << 13)
#define ARCH_SLP_TYP_S5 5

/* --- interrupts (GSIs) ---------------------------------------------------- */

#define ARCH_IRQ_COM1 4 /* edge, high */
#define ARCH_IRQ_RTC 8	/* edge, high */
#define ARCH_IRQ_SCI 9	/* level, high */

/* --- building a machine --------------------------------------------------- */

struct arch_config {
	unsigned nr_vcpus;   /* 1..ARCH_MAX_VCPUS */
	uint64_t mem_bytes;  /* page aligned, ARCH_MIN_RAM..ARCH_MAX_RAM */
	const char *cmdline; /* borrowed, the kernel's whole command line */
	int kernel_fd;	     /* borrowed */
	int initrd_fd;	     /* borrowed; -1: none */
};

/* Where 64-bit BARs go: ARCH_PCI_MEM64_SIZE bytes above the RAM, aligned to
 * their size. */
gpa_t arch_pci_mem64(uint64_t mem_bytes);

/* Make `bytes` of RAM in `mem`, split around the gap below 4 GiB. */
int arch_add_ram(struct vc_mem *mem, uint64_t bytes,
		 struct vc_error *err) VC_MUST_CHECK;

/* Put kernel, initrd, command line and tables into RAM that arch_add_ram()
 * made for the same mem_bytes; *ret_entry says how the boot processor starts.
 * Reads the files, opens nothing: before sealing. */
int arch_load(const struct arch_config *cfg, struct vc_mem *mem,
	      struct vc_vcpu_entry *ret_entry,
	      struct vc_error *err) VC_MUST_CHECK;

/* CPUID and initial state of vCPU `index`, by the thread that runs it or
 * before there is one. All vCPUs take the same `cfg` and `entry`. */
int arch_setup_vcpu(const struct arch_config *cfg, struct vc_hv *hv,
		    struct vc_vcpu *vcpu, unsigned index,
		    const struct vc_vcpu_entry *entry,
		    struct vc_error *err) VC_MUST_CHECK;

#endif
