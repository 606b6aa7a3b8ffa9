/* SPDX-License-Identifier: BSD-3-Clause */
/* Names that a policy may use for argument values and errors. */
#ifndef SECCOMP_SYMBOLS_H
#define SECCOMP_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first `len` bytes of `name`; false if unknown. */
bool symbol_value(const char *name, size_t len, uint64_t *ret);
bool symbol_errno(const char *name, size_t len, int *ret);

#endif
