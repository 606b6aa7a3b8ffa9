/* SPDX-License-Identifier: BSD-3-Clause */
/* The seccomp programs: what seccomp/compile generates and sandbox/ loads. */
#ifndef SANDBOX_PROGRAMS_H
#define SANDBOX_PROGRAMS_H

#include <linux/filter.h>
#include <vmmcore/cdefs.h>

/* Stands for the sealing process's id in a generated program: the loader puts
 * the real one in its place. A value no argument of a permitted call can have
 * (process ids stay below 2^22). */
#define SBX_SELF_PID 0x5e1f01d5u

#define SBX_NR_ACTIONS 3 /* enum vc_jail_action */

struct sbx_program {
	const struct sock_filter *insns;
	unsigned short nr;
};

/* [enum vc_jail_role][enum vc_jail_action] */
extern const struct sbx_program sbx_programs[][SBX_NR_ACTIONS];

#endif
