/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer of AML, ACPI's byte code (ACPI specification 6.5, chapter 20), and
 * of the tables around it. It appends to a buffer of fixed size; a write that
 * does not fit is dropped and remembered, so a builder checks once at the end.
 */
#ifndef ARCH_X86_64_AML_H
#define ARCH_X86_64_AML_H

#include <vmmcore/cdefs.h>

struct aml {
	uint8_t *data; /* borrowed */
	size_t size, len;
	bool is_full; /* something did not fit */
};

void aml_u8(struct aml *a, uint8_t v);
void aml_u16(struct aml *a, uint16_t v);
void aml_u32(struct aml *a, uint32_t v);
void aml_u64(struct aml *a, uint64_t v);
void aml_bytes(struct aml *a, const void *p, size_t n);

/* Blocks that start with their own length: give the position back to
 * aml_end(). Names are up to four characters, padded with '_'. */
size_t aml_begin_scope(struct aml *a, const char *name);
size_t aml_begin_device(struct aml *a, const char *name);
size_t aml_begin_method(struct aml *a, const char *name, unsigned nr_args);
size_t aml_begin_package(struct aml *a, uint8_t nr_elements);
size_t aml_begin_if(struct aml *a);
size_t aml_begin_else(struct aml *a);
void aml_end(struct aml *a, size_t begin);

void aml_name(struct aml *a, const char *name); /* NameOp; its value follows */
void aml_name_ref(struct aml *a, const char *name);
void aml_integer(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *text);
void aml_eisa_id(struct aml *a, const char id[7]); /* "PNP0A08" */
void aml_buffer(struct aml *a, const void *p, uint8_t n);

/* A resource template of at most 255 bytes, as the value of _CRS. */
size_t aml_begin_resources(struct aml *a, size_t *ret_inner);
void aml_end_resources(struct aml *a, size_t begin, size_t inner);
void aml_res_bus(struct aml *a, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_res_mem32_window(struct aml *a, uint32_t first, uint32_t last);
void aml_res_mem64_window(struct aml *a, uint64_t first, uint64_t last);
void aml_res_io(struct aml *a, uint16_t port, uint8_t nr);
void aml_res_mem32(struct aml *a, uint32_t base, uint32_t size);
void aml_res_irq(struct aml *a, unsigned irq); /* edge, high, exclusive */

#endif
