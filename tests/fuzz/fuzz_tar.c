/* SPDX-License-Identifier: BSD-3-Clause */
/* Archives, see archive.h. */
#include "tests/fuzz/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	archive_try(data, size, size % 2);
	return 0;
}
