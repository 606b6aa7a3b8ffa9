/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything a guest finds in its memory at its first instruction, in the order
 * in which one part's place depends on another's: the kernel chooses its place,
 * the initrd takes what is left at the top, the rest has fixed addresses below
 * 1 MiB where neither can be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/load.h"

#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_CODE32 UINT64_C(0x00cf9b000000ffff)
#define GDT_DATA UINT64_C(0x00cf93000000ffff)

#define PTE_PRESENT_WRITE UINT64_C(0x3)
#define PTE_LARGE UINT64_C(0x80)
#define PAGE UINT64_C(4096)
#define NR_DIRECTORIES 4 /* 1 GiB each: all below 4 GiB */
#define ENTRIES 512

static int fail_write(struct vc_error *err, const char *what)
{
	return vc_fail(err, VC_E_INTERNAL, 0, "%s: no RAM for it", what);
}

static int load_cmdline(const struct arch_config *cfg, struct vc_mem *mem,
			const struct vc_kernel *kernel, struct vc_error *err)
{
	size_t len = strlen(cfg->cmdline);

	if (len > kernel->cmdline_max)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "kernel command line: %zu characters, this "
			       "kernel takes %u",
			       len, kernel->cmdline_max);
	if (!vc_mem_write(mem, LOAD_CMDLINE, cfg->cmdline, len + 1))
		return fail_write(err, "kernel command line");
	return 0;
}

static int load_initrd(const struct arch_config *cfg, struct vc_mem *mem,
		       const struct vc_kernel *kernel,
		       struct load_payload *payload, struct vc_error *err)
{
	uint64_t unpacked = kernel->load_start + kernel->init_size;
	gpa_t min_start =
		unpacked > kernel->load_end ? unpacked : kernel->load_end;

	if (cfg->initrd_fd < 0)
		return 0;
	return vc_initrd_load(cfg->initrd_fd, mem, min_start,
			      kernel->initrd_max + 1, &payload->initrd,
			      &payload->initrd_bytes, err);
}

static int load_acpi(const struct arch_config *cfg, struct vc_mem *mem,
		     struct load_payload *payload, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = calloc(1, ACPI_MAX_BYTES);
	size_t len;

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ACPI tables");
	if (acpi_build(cfg->nr_vcpus, cfg->mem_bytes, buf, &len, err) < 0)
		return -1;
	if (!vc_mem_write(mem, ACPI_BASE, buf, len))
		return fail_write(err, "ACPI tables");
	payload->rsdp = ACPI_BASE;
	return 0;
}

static int load_gdt(struct vc_mem *mem, bool is_64bit, struct vc_error *err)
{
	le64_t gdt[4] = { le64_put(0), le64_put(0),
			  le64_put(is_64bit ? GDT_CODE64 : GDT_CODE32),
			  le64_put(GDT_DATA) };

	if (!vc_mem_write(mem, LOAD_GDT, gdt, sizeof(gdt)))
		return fail_write(err, "GDT");
	return 0;
}

/* Identity-map the first 4 GiB with 2 MiB pages. */
static int load_page_tables(struct vc_mem *mem, struct vc_error *err)
{
	gpa_t pml4 = LOAD_PAGE_TABLES, pdpt = pml4 + PAGE, pd = pdpt + PAGE;
	le64_t table[ENTRIES];
	uint64_t i, j;

	memset(table, 0, sizeof(table));
	table[0] = le64_put(pdpt | PTE_PRESENT_WRITE);
	if (!vc_mem_write(mem, pml4, table, sizeof(table)))
		return fail_write(err, "page tables");
	for (i = 0; i < NR_DIRECTORIES; i++)
		table[i] = le64_put((pd + i * PAGE) | PTE_PRESENT_WRITE);
	if (!vc_mem_write(mem, pdpt, table, sizeof(table)))
		return fail_write(err, "page tables");
	for (i = 0; i < NR_DIRECTORIES; i++) {
		for (j = 0; j < ENTRIES; j++)
			table[j] = le64_put((i * ENTRIES + j) << 21 |
					    PTE_LARGE | PTE_PRESENT_WRITE);
		if (!vc_mem_write(mem, pd + i * PAGE, table, sizeof(table)))
			return fail_write(err, "page tables");
	}
	return 0;
}

static int load_tables(const struct arch_config *cfg, struct vc_mem *mem,
		       const struct vc_kernel *kernel,
		       const struct load_payload *payload,
		       struct vc_vcpu_entry *ret, struct vc_error *err)
{
	bool is_64bit = kernel->proto == VC_KERNEL_LINUX64;

	if (load_gdt(mem, is_64bit, err) < 0)
		return -1;
	*ret = (struct vc_vcpu_entry){ .is_64bit = is_64bit,
				       .rip = kernel->entry,
				       .rsp = LOAD_STACK,
				       .gdt = LOAD_GDT };
	if (!is_64bit) {
		ret->rbx = LOAD_PVH_INFO;
		return load_pvh_info(mem, payload, cfg->mem_bytes, err);
	}
	ret->rsi = LOAD_BOOT_PARAMS;
	ret->cr3 = LOAD_PAGE_TABLES;
	if (load_page_tables(mem, err) < 0)
		return -1;
	return load_boot_params(mem, kernel, payload, cfg->mem_bytes, err);
}

int arch_load(const struct arch_config *cfg, struct vc_mem *mem,
	      struct vc_vcpu_entry *ret_entry, struct vc_error *err)
{
	struct load_payload payload = { 0 };
	struct vc_kernel kernel;

	if (!cfg->nr_vcpus || cfg->nr_vcpus > ARCH_MAX_VCPUS)
		return vc_fail(err, VC_E_CONFIG, 0, "%u vCPUs: must be 1 to %u",
			       cfg->nr_vcpus, ARCH_MAX_VCPUS);
	if (vc_kernel_load(cfg->kernel_fd, mem, &kernel, err) < 0 ||
	    load_initrd(cfg, mem, &kernel, &payload, err) < 0 ||
	    load_cmdline(cfg, mem, &kernel, err) < 0 ||
	    load_acpi(cfg, mem, &payload, err) < 0)
		return -1;
	return load_tables(cfg, mem, &kernel, &payload, ret_entry, err);
}

int arch_setup_vcpu(const struct arch_config *cfg, struct vc_hv *hv,
		    struct vc_vcpu *vcpu, unsigned index,
		    const struct vc_vcpu_entry *entry, struct vc_error *err)
{
	vc_auto_free struct cpuid *c = calloc(1, sizeof(*c));
	uint64_t end = arch_pci_mem64(cfg->mem_bytes) + ARCH_PCI_MEM64_SIZE;
	unsigned bits;

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vCPU %u", index);
	if (vc_hv_get_cpuid(hv, c->e, &c->nr, err) < 0)
		return -1;
	bits = cpuid_phys_bits(c);
	if (bits < 64 && end > UINT64_C(1) << bits)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "memory of %llu MiB: this host's processor "
			       "addresses %u bits",
			       (unsigned long long)(cfg->mem_bytes >> 20),
			       bits);
	if (cpuid_for_vcpu(c, index, cfg->nr_vcpus, err) < 0 ||
	    vc_vcpu_set_cpuid(vcpu, c->e, c->nr, err) < 0)
		return -1;
	return vc_vcpu_set_entry(vcpu, index ? NULL : entry, err);
}
