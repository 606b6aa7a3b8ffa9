/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the DSDT says, as ASL:
 *
 *	Scope (_SB) {
 *		Device (PCI0)	the root bridge and its windows
 *		Device (MBRD)	addresses no driver may take
 *		Device (COM1), Device (RTC)
 *		Device (Cnnn)	one for each processor
 *	}
 *	Name (_S5, ...)		how to power off
 *
 * PCI interrupts are MSI-X only, so there is no _PRT.
 */
#include <stdio.h>
#include "vmm/arch/x86_64/acpi.h"

#define OP_STORE 0x70
#define OP_AND 0x7b
#define OP_OR 0x7d
#define OP_CREATE_DWORD_FIELD 0x8a
#define OP_LNOT 0x92
#define OP_LEQUAL 0x93
#define OP_RETURN 0xa4
#define OP_LOCAL0 0x60
#define OP_ARG0 0x68
#define OP_ARG1 0x69
#define OP_ARG3 0x6b

/* _OSC for PCI (PCI firmware specification 3.3, 4.5): granted are native hot
 * plug, PME and the PCI Express capability; not SHPC, AER or LTR. */
#define OSC_GRANTED 0x15
#define OSC_BAD_UUID 0x04
#define OSC_BAD_REVISION 0x08
#define OSC_MASKED 0x10

/* 33db4d5b-1ff7-401c-9657-7441c03dd766 in ToUUID's order */
static const uint8_t osc_uuid[16] = { 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f,
				      0x1c, 0x40, 0x96, 0x57, 0x74, 0x41,
				      0xc0, 0x3d, 0xd7, 0x66 };

static void hid(struct aml *a, const char *id)
{
	aml_name(a, "_HID");
	aml_eisa_id(a, id);
}

static void uid(struct aml *a, unsigned n)
{
	aml_name(a, "_UID");
	aml_integer(a, n);
}

static void dword_field(struct aml *a, uint8_t offset, const char *name)
{
	aml_u8(a, OP_CREATE_DWORD_FIELD);
	aml_u8(a, OP_ARG3);
	aml_integer(a, offset);
	aml_name_ref(a, name);
}

/* CDW1 |= bit */
static void osc_report(struct aml *a, uint8_t bit)
{
	aml_u8(a, OP_OR);
	aml_name_ref(a, "CDW1");
	aml_integer(a, bit);
	aml_name_ref(a, "CDW1");
}

static void osc_granting(struct aml *a)
{
	size_t block;

	dword_field(a, 8, "CDW3");
	/* Local0 = CDW3 & OSC_GRANTED */
	aml_u8(a, OP_AND);
	aml_name_ref(a, "CDW3");
	aml_integer(a, OSC_GRANTED);
	aml_u8(a, OP_LOCAL0);
	/* If (Arg1 != 1) */
	block = aml_begin_if(a);
	aml_u8(a, OP_LNOT);
	aml_u8(a, OP_LEQUAL);
	aml_u8(a, OP_ARG1);
	aml_integer(a, 1);
	osc_report(a, OSC_BAD_REVISION);
	aml_end(a, block);
	/* If (Local0 != CDW3) */
	block = aml_begin_if(a);
	aml_u8(a, OP_LNOT);
	aml_u8(a, OP_LEQUAL);
	aml_u8(a, OP_LOCAL0);
	aml_name_ref(a, "CDW3");
	osc_report(a, OSC_MASKED);
	aml_end(a, block);
	aml_u8(a, OP_STORE);
	aml_u8(a, OP_LOCAL0);
	aml_name_ref(a, "CDW3");
}

static void osc_method(struct aml *a)
{
	size_t method = aml_begin_method(a, "_OSC", 4), block;

	dword_field(a, 0, "CDW1");
	/* If (Arg0 == the UUID) */
	block = aml_begin_if(a);
	aml_u8(a, OP_LEQUAL);
	aml_u8(a, OP_ARG0);
	aml_buffer(a, osc_uuid, sizeof(osc_uuid));
	osc_granting(a);
	aml_end(a, block);
	block = aml_begin_else(a);
	osc_report(a, OSC_BAD_UUID);
	aml_end(a, block);
	aml_u8(a, OP_RETURN);
	aml_u8(a, OP_ARG3);
	aml_end(a, method);
}

static void pci_root(struct aml *a, uint64_t mem_bytes)
{
	size_t device = aml_begin_device(a, "PCI0"), crs, inner;
	gpa_t mem64 = arch_pci_mem64(mem_bytes);

	hid(a, "PNP0A08");
	aml_name(a, "_CID");
	aml_eisa_id(a, "PNP0A03");
	uid(a, 0);
	aml_name(a, "_SEG");
	aml_integer(a, 0);
	aml_name(a, "_BBN");
	aml_integer(a, 0);
	crs = aml_begin_resources(a, &inner);
	aml_res_bus(a, 0, ARCH_ECAM_NR_BUSES - 1);
	aml_res_io(a, ARCH_PORT_PCI_ADDRESS, 8);
	aml_res_io_window(a, ARCH_PCI_IO_BASE,
			  ARCH_PCI_IO_BASE + ARCH_PCI_IO_SIZE - 1);
	aml_res_mem32_window(a, ARCH_PCI_MEM32_BASE,
			     ARCH_PCI_MEM32_BASE + ARCH_PCI_MEM32_SIZE - 1);
	aml_res_mem64_window(a, mem64, mem64 + ARCH_PCI_MEM64_SIZE - 1);
	aml_end_resources(a, crs, inner);
	osc_method(a);
	aml_end(a, device);
}

static void motherboard(struct aml *a)
{
	size_t device = aml_begin_device(a, "MBRD"), crs, inner;

	hid(a, "PNP0C02");
	uid(a, 0);
	crs = aml_begin_resources(a, &inner);
	aml_res_mem32(a, ARCH_ECAM_BASE, ARCH_ECAM_SIZE);
	aml_res_io(a, ARCH_PORT_PM1A_EVT,
		   ARCH_PM1A_EVT_LEN + ARCH_PM1A_CNT_LEN);
	aml_end_resources(a, crs, inner);
	aml_end(a, device);
}

static void isa_device(struct aml *a, const char *name, const char *id,
		       uint16_t port, uint8_t nr_ports, unsigned irq)
{
	size_t device = aml_begin_device(a, name), crs, inner;

	hid(a, id);
	uid(a, 0);
	crs = aml_begin_resources(a, &inner);
	aml_res_io(a, port, nr_ports);
	aml_res_irq(a, irq);
	aml_end_resources(a, crs, inner);
	aml_end(a, device);
}

static void processors(struct aml *a, unsigned nr)
{
	unsigned i;

	for (i = 0; i < nr; i++) {
		char name[12];
		size_t device;

		snprintf(name, sizeof(name), "C%03X", i);
		device = aml_begin_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		uid(a, i);
		aml_end(a, device);
	}
}

void dsdt_write(struct aml *a, unsigned nr_vcpus, uint64_t mem_bytes)
{
	size_t scope = aml_begin_scope(a, "_SB"), package;

	pci_root(a, mem_bytes);
	motherboard(a);
	isa_device(a, "COM1", "PNP0501", ARCH_PORT_COM1, 8, ARCH_IRQ_COM1);
	isa_device(a, "RTC", "PNP0B00", ARCH_PORT_RTC_INDEX, 2, ARCH_IRQ_RTC);
	processors(a, nr_vcpus);
	aml_end(a, scope);
	aml_name(a, "_S5");
	package = aml_begin_package(a, 4);
	aml_integer(a, ARCH_SLP_TYP_S5);
	aml_integer(a, ARCH_SLP_TYP_S5);
	aml_integer(a, 0);
	aml_integer(a, 0);
	aml_end(a, package);
}
