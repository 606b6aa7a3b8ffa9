/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables in the order of their addresses: RSDP, FACS, DSDT, FADT, MADT, MCFG,
 * XSDT. Each starts on a 64-byte boundary, as the FACS must. All of it is
 * written for one fixed address before the guest starts; nothing patches it.
 * (ACPI specification 6.5, chapter 5)
 */
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include "vmm/arch/x86_64/acpi.h"

#define OEM_ID "VMMKIT"
#define OEM_TABLE_ID "VMMKITPC"
#define OEM_REVISION 1
#define CREATOR_ID "VMMK"
#define CREATOR_REVISION 1

#define TABLE_ALIGN 64
#define FACS_BYTES 64

#define LAPIC_ADDR UINT32_C(0xfee00000)
#define IOAPIC_ADDR UINT32_C(0xfec00000)

/* FADT flags (table 5.10) */
#define FADT_WBINVD (1u << 0)
#define FADT_PROC_C1 (1u << 2)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_NO_FIXED_RTC_WAKE (1u << 6)
#define FADT_RESET_REG (1u << 10)
/* Boot architecture flags (table 5.11). There is an i8042, but it can only
 * reset: a driver that probes it for a keyboard would wait for nothing. */
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_NO_VGA (1u << 2)
#define BOOT_NO_ASPM (1u << 4)
#define PROFILE_SERVER 4

#define MADT_PCAT_COMPAT 1 /* there are two 8259s */
#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
#define MADT_LAPIC_NMI 4
#define MADT_ENABLED 1
#define MADT_ALL_CPUS 0xff
#define OVERRIDE_CONFORMS 0
#define OVERRIDE_HIGH_LEVEL 0x0d

struct tables {
	struct aml out;
	uint64_t xsdt_entries[8];
	size_t nr_xsdt_entries;
};

static void align(struct tables *t)
{
	while (t->out.len % TABLE_ALIGN && !t->out.is_full)
		aml_u8(&t->out, 0);
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static size_t begin_table(struct tables *t, const char *signature,
			  uint8_t revision)
{
	size_t at;

	align(t);
	at = t->out.len;
	aml_bytes(&t->out, signature, 4);
	aml_u32(&t->out, 0); /* length, at the end */
	aml_u8(&t->out, revision);
	aml_u8(&t->out, 0); /* checksum, at the end */
	aml_bytes(&t->out, OEM_ID, 6);
	aml_bytes(&t->out, OEM_TABLE_ID, 8);
	aml_u32(&t->out, OEM_REVISION);
	aml_bytes(&t->out, CREATOR_ID, 4);
	aml_u32(&t->out, CREATOR_REVISION);
	return at;
}

/* Returns the table's address. */
static uint64_t end_table(struct tables *t, size_t at)
{
	uint8_t *p = t->out.data + at;
	size_t n = t->out.len - at;
	le32_t len = le32_put((uint32_t)n);

	if (t->out.is_full)
		return 0;
	memcpy(p + 4, &len, sizeof(len));
	p[9] = checksum(p, n);
	return ACPI_BASE + at;
}

static void list_table(struct tables *t, uint64_t addr)
{
	t->xsdt_entries[t->nr_xsdt_entries++] = addr;
}

static uint64_t put_facs(struct tables *t)
{
	size_t at;

	align(t);
	at = t->out.len;
	aml_bytes(&t->out, "FACS", 4);
	aml_u32(&t->out, FACS_BYTES);
	while (t->out.len < at + 32 && !t->out.is_full)
		aml_u8(&t->out, 0);
	aml_u8(&t->out, 2); /* version */
	while (t->out.len < at + FACS_BYTES && !t->out.is_full)
		aml_u8(&t->out, 0);
	return ACPI_BASE + at;
}

/* A Generic Address Structure for ports. */
static void put_gas_io(struct aml *a, uint64_t port, uint8_t bytes)
{
	aml_u8(a, port ? 1 : 0); /* system I/O */
	aml_u8(a, (uint8_t)(bytes * 8));
	aml_u8(a, 0);				     /* bit offset */
	aml_u8(a, bytes ? (bytes == 1 ? 1 : 2) : 0); /* byte or word access */
	aml_u64(a, port);
}

static void put_fadt(struct tables *t, uint64_t facs, uint64_t dsdt)
{
	struct aml *a = &t->out;
	size_t at = begin_table(t, "FACP", 6);

	aml_u32(a, (uint32_t)facs);
	aml_u32(a, (uint32_t)dsdt);
	aml_u8(a, 0);
	aml_u8(a, PROFILE_SERVER);
	aml_u16(a, ARCH_IRQ_SCI);
	aml_u32(a, 0); /* SMI_CMD: always in ACPI mode */
	aml_u32(a, 0); /* ACPI_ENABLE, _DISABLE, S4BIOS_REQ, PSTATE_CNT */
	aml_u32(a, ARCH_PORT_PM1A_EVT);
	aml_u32(a, 0); /* PM1b event */
	aml_u32(a, ARCH_PORT_PM1A_CNT);
	aml_u32(a, 0); /* PM1b control */
	aml_u32(a, 0); /* PM2 control */
	aml_u32(a, 0); /* PM timer: guests have better clocks */
	aml_u32(a, 0); /* GPE0 */
	aml_u32(a, 0); /* GPE1 */
	aml_u8(a, ARCH_PM1A_EVT_LEN);
	aml_u8(a, ARCH_PM1A_CNT_LEN);
	aml_u32(a, 0);	    /* lengths of PM2, PM timer, GPE0, GPE1 */
	aml_u16(a, 0);	    /* GPE1_BASE, CST_CNT */
	aml_u16(a, 0xffff); /* no C2 */
	aml_u16(a, 0xffff); /* no C3 */
	aml_u32(a, 0);	    /* FLUSH_SIZE, FLUSH_STRIDE */
	aml_u16(a, 0);	    /* DUTY_OFFSET, DUTY_WIDTH */
	aml_u16(a, 0);	    /* DAY_ALRM, MON_ALRM */
	aml_u8(a, 0);	    /* CENTURY */
	aml_u16(a, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM);
	aml_u8(a, 0);
	aml_u32(a, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON |
			   FADT_NO_FIXED_RTC_WAKE | FADT_RESET_REG);
	put_gas_io(a, ARCH_PORT_RESET, 1);
	aml_u8(a, ARCH_RESET_VALUE);
	aml_u16(a, 0); /* ARM boot flags */
	aml_u8(a, 5);  /* minor version: 6.5 */
	aml_u64(a, 0); /* X_FIRMWARE_CTRL: the 32-bit one is used */
	aml_u64(a, dsdt);
	put_gas_io(a, ARCH_PORT_PM1A_EVT, ARCH_PM1A_EVT_LEN);
	put_gas_io(a, 0, 0);
	put_gas_io(a, ARCH_PORT_PM1A_CNT, ARCH_PM1A_CNT_LEN);
	put_gas_io(a, 0, 0);	     /* PM1b control */
	put_gas_io(a, 0, 0);	     /* PM2 control */
	put_gas_io(a, 0, 0);	     /* PM timer */
	put_gas_io(a, 0, 0);	     /* GPE0 */
	put_gas_io(a, 0, 0);	     /* GPE1 */
	put_gas_io(a, 0, 0);	     /* sleep control */
	put_gas_io(a, 0, 0);	     /* sleep status */
	aml_bytes(a, "VMMKIT\0", 8); /* hypervisor vendor */
	list_table(t, end_table(t, at));
}

static void put_override(struct aml *a, uint8_t source, uint32_t gsi,
			 uint16_t flags)
{
	aml_u8(a, MADT_OVERRIDE);
	aml_u8(a, 10);
	aml_u8(a, 0); /* ISA */
	aml_u8(a, source);
	aml_u32(a, gsi);
	aml_u16(a, flags);
}

static void put_madt(struct tables *t, unsigned nr_vcpus)
{
	struct aml *a = &t->out;
	size_t at = begin_table(t, "APIC", 5);
	unsigned i;

	aml_u32(a, LAPIC_ADDR);
	aml_u32(a, MADT_PCAT_COMPAT);
	for (i = 0; i < nr_vcpus; i++) {
		aml_u8(a, MADT_LAPIC);
		aml_u8(a, 8);
		aml_u8(a, (uint8_t)i); /* _UID of its device */
		aml_u8(a, (uint8_t)i); /* APIC id */
		aml_u32(a, MADT_ENABLED);
	}
	aml_u8(a, MADT_IOAPIC);
	aml_u8(a, 12);
	aml_u8(a, 0); /* id */
	aml_u8(a, 0);
	aml_u32(a, IOAPIC_ADDR);
	aml_u32(a, 0);				  /* first GSI */
	put_override(a, 0, 2, OVERRIDE_CONFORMS); /* the timer */
	put_override(a, ARCH_IRQ_SCI, ARCH_IRQ_SCI, OVERRIDE_HIGH_LEVEL);
	aml_u8(a, MADT_LAPIC_NMI);
	aml_u8(a, 6);
	aml_u8(a, MADT_ALL_CPUS);
	aml_u16(a, 0);
	aml_u8(a, 1); /* LINT1 */
	list_table(t, end_table(t, at));
}

static void put_mcfg(struct tables *t)
{
	struct aml *a = &t->out;
	size_t at = begin_table(t, "MCFG", 1);

	aml_u64(a, 0);
	aml_u64(a, ARCH_ECAM_BASE);
	aml_u16(a, 0); /* segment */
	aml_u8(a, 0);
	aml_u8(a, ARCH_ECAM_NR_BUSES - 1);
	aml_u32(a, 0);
	list_table(t, end_table(t, at));
}

static uint64_t put_xsdt(struct tables *t)
{
	size_t at = begin_table(t, "XSDT", 1), i;

	for (i = 0; i < t->nr_xsdt_entries; i++)
		aml_u64(&t->out, t->xsdt_entries[i]);
	return end_table(t, at);
}

static void fill_rsdp(uint8_t *buf, uint64_t xsdt)
{
	struct aml a = { .data = buf, .size = ACPI_RSDP_BYTES };

	aml_bytes(&a, "RSD PTR ", 8);
	aml_u8(&a, 0);
	aml_bytes(&a, OEM_ID, 6);
	aml_u8(&a, 2); /* revision */
	aml_u32(&a, 0);
	aml_u32(&a, ACPI_RSDP_BYTES);
	aml_u64(&a, xsdt);
	aml_u32(&a, 0);
	buf[8] = checksum(buf, 20); /* of the first version's part */
	buf[32] = checksum(buf, ACPI_RSDP_BYTES);
}

int acpi_build(unsigned nr_vcpus, uint64_t mem_bytes, uint8_t *buf,
	       size_t *ret_len, struct vc_error *err)
{
	struct tables t = { .out = { .data = buf, .size = ACPI_MAX_BYTES } };
	uint64_t facs, dsdt, xsdt;
	size_t at;

	t.out.len = ACPI_RSDP_BYTES;
	facs = put_facs(&t);
	at = begin_table(&t, "DSDT", 2);
	dsdt_write(&t.out, nr_vcpus, mem_bytes);
	dsdt = end_table(&t, at);
	put_fadt(&t, facs, dsdt);
	put_madt(&t, nr_vcpus);
	put_mcfg(&t);
	xsdt = put_xsdt(&t);
	if (t.out.is_full)
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "ACPI tables: more than %d bytes",
			       ACPI_MAX_BYTES);
	fill_rsdp(buf, xsdt);
	*ret_len = t.out.len;
	return 0;
}
