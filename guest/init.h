/* SPDX-License-Identifier: BSD-3-Clause */
/* vmm-init: what others need to know of it, and what its parts share. */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <signal.h>
#include <vmmcore/error.h>

/* its name in /proc/1/comm */
#define INIT_COMM "vmm-init"
/* what it does on a signal; BusyBox's init reads them the same way */
#define INIT_SIG_HALT SIGUSR1
#define INIT_SIG_POWEROFF SIGUSR2
#define INIT_SIG_REBOOT SIGTERM

#define INIT_MAX_CMDLINE 8192

/* The kernel's command line, read once. */
struct cmdline {
	char text[INIT_MAX_CMDLINE]; /* words, each ended by NUL, then "" */
};
void cmdline_parse(struct cmdline *c, const char *text);
/* The value of the last "name=value", "" for a last bare "name", else NULL;
 * borrowed. */
const char *cmdline_get(const struct cmdline *c, const char *name);
int cmdline_read(struct cmdline *ret, struct vc_error *err) VC_MUST_CHECK;

/* Mount `type` at `target`, made if need be. A target that is a mount already
 * is left alone, and so is a type the kernel does not have. */
int init_mount(const char *type, const char *target, unsigned long flags,
	       const char *data, struct vc_error *err) VC_MUST_CHECK;

/* Make /dev/console 0, 1 and 2, if it can be opened. */
void init_console(void);

/* One line on standard error, the console. */
void init_warn(const struct vc_error *err);

/* The initramfs: find the root file system, move there and become its init.
 * Returns only on failure. */
int boot_main(const struct cmdline *c, char **argv,
	      struct vc_error *err) VC_MUST_CHECK;

/* Process 1 of a machine without an init of its own: returns only on failure
 * before it has started anything. */
int service_main(const struct cmdline *c, struct vc_error *err) VC_MUST_CHECK;

#endif
