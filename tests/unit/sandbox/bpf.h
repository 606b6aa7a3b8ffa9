/* SPDX-License-Identifier: BSD-3-Clause */
/* A classic-BPF interpreter of the instructions a seccomp program may have. */
#ifndef TESTS_SANDBOX_BPF_H
#define TESTS_SANDBOX_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the kernel would accept: known instructions, jumps that stay inside and
 * go forward, a return at the end of each path. NULL, or what is wrong. */
const char *bpf_check(const struct sock_filter *insns, size_t nr);

/* The program's verdict on `data`; *ret_steps (may be NULL): instructions. The
 * program has passed bpf_check(). */
uint32_t bpf_run(const struct sock_filter *insns,
		 const struct seccomp_data *data, size_t *ret_steps);

#endif
