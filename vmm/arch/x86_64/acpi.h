/* SPDX-License-Identifier: BSD-3-Clause */
/* The ACPI tables of the machine. */
#ifndef ARCH_X86_64_ACPI_H
#define ARCH_X86_64_ACPI_H

#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/arch.h"

#define ACPI_BASE UINT64_C(0xe0000) /* kernels search for the RSDP from here */
#define ACPI_MAX_BYTES 0x20000
#define ACPI_HEADER_BYTES 36
#define ACPI_RSDP_BYTES 36

/* Build all tables for an address of ACPI_BASE into `buf` of ACPI_MAX_BYTES;
 * the RSDP is at its start. *ret_len bytes of it are used. */
int acpi_build(unsigned nr_vcpus, uint64_t mem_bytes, uint8_t *buf,
	       size_t *ret_len, struct vc_error *err) VC_MUST_CHECK;

/* The body of the DSDT, after its header. */
void dsdt_write(struct aml *a, unsigned nr_vcpus, uint64_t mem_bytes);

#endif
