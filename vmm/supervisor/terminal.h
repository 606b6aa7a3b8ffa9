/* SPDX-License-Identifier: BSD-3-Clause */
/* The user's terminal in raw mode for as long as the guest's console has it. */
#ifndef VMM_SUPERVISOR_TERMINAL_H
#define VMM_SUPERVISOR_TERMINAL_H

#include <vmmcore/error.h>

/* Raw mode on standard input, if it is a terminal and we are in its foreground.
 * Restored by terminal_restore(), which is safe in a signal handler and does
 * nothing the second time. */
int terminal_set_raw(struct vc_error *err) VC_MUST_CHECK;
void terminal_restore(void);

/* Standard stream `fd` for a console: a description of our own where that can
 * be had, because O_NONBLOCK on a shared one would change it for the shell as
 * well. Returns a new fd or -1. */
int terminal_open_stream(int fd, struct vc_error *err);

#endif
