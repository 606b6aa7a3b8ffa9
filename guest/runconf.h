/* SPDX-License-Identifier: BSD-3-Clause */
/* What the machine is to run: vmm-init.conf(5), as mkimage writes it from a
 * container image. */
#ifndef GUEST_RUNCONF_H
#define GUEST_RUNCONF_H

#include <stdio.h>
#include <vmmcore/error.h>

#define RUNCONF_PATH "/etc/vmm/init.conf"
#define RUNCONF_MAX_STRINGS 16384
#define RUNCONF_MAX_LINE (1024 * 1024)
#define RUNCONF_MAX_BYTES (16 * 1024 * 1024)

struct runconf {
	char **argv, **env; /* owned; end in NULL; never NULL themselves */
	char *user, *cwd;   /* owned; NULL: root, "/" */
	int stop_signal;
};

/* VC_E_CORRUPT names the line. */
int runconf_parse(FILE *f, struct runconf *ret,
		  struct vc_error *err) VC_MUST_CHECK;
/* Without the file, there is nothing to run: argv is empty. */
int runconf_read(const char *path, struct runconf *ret,
		 struct vc_error *err) VC_MUST_CHECK;
void runconf_fini(struct runconf *c);

#endif
