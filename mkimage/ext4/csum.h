/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC-32C as ext4 uses it: no inversion at either end. */
#ifndef MKIMAGE_EXT4_CSUM_H
#define MKIMAGE_EXT4_CSUM_H

#include <vmmcore/cdefs.h>

uint32_t e4_crc32c(uint32_t crc, const void *data, size_t len);
/* The same without the processor's help: for tests. */
uint32_t e4_crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
