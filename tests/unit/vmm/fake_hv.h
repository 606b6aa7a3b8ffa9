/* SPDX-License-Identifier: BSD-3-Clause */
/* A hypervisor that only remembers what it was asked. */
#ifndef TESTS_FAKE_HV_H
#define TESTS_FAKE_HV_H

#include "vmm/bus/hv.h"

#define FAKE_MAX 256

struct fake_hv {
	struct bus_hv base;
	unsigned nr_gsis;
	bool level[FAKE_MAX];
	unsigned nr_raised[FAKE_MAX]; /* 0 -> 1 */
	struct {
		bool is_set;
		uint64_t address;
		uint32_t data;
	} msi[FAKE_MAX];
	unsigned nr_set_msi;
	struct {
		int fd;
		unsigned gsi;
	} irqfds[FAKE_MAX];
	unsigned nr_irqfds;
	struct {
		int fd;
		gpa_t gpa;
	} ioeventfds[FAKE_MAX];
	unsigned nr_ioeventfds;
};

void fake_hv_init(struct fake_hv *f);
/* The GSI that `fd` raises, or -1. */
int fake_hv_gsi_of(const struct fake_hv *f, int fd);
/* The descriptor a write to `gpa` signals, or -1. */
int fake_hv_fd_at(const struct fake_hv *f, gpa_t gpa);

#endif
