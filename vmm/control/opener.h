/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that disk images name, opened for jailed device processes: a
 * SOCK_SEQPACKET socketpair, one request and one answer a packet, before the
 * guest runs. The device process parses images; the supervisor, which must not,
 * sees a name and decides if its user allows it.
 */
#ifndef VMM_CONTROL_OPENER_H
#define VMM_CONTROL_OPENER_H

#include <vmmcore/disk.h>
#include <vmmcore/loop.h>

/* Of one disk: a chain has 64 images at most, a composite disk many parts. */
#define OPENER_MAX_FILES 1024
#define OPENER_MAX_PATH 4096

/* --- in the device process ------------------------------------------------- */

struct opener_client {
	struct vc_disk_opener base;
	int fd; /* borrowed */
};

void opener_client_init(struct opener_client *c, int fd);

/* --- in the supervisor ------------------------------------------------------ */

struct opener {
	int fd; /* owned; -1: closed */
	struct vc_watch watch;
	const char *image; /* names are relative to its folder; borrowed */
	bool is_ro;	   /* nothing is opened for writing */
	bool may_follow;   /* the user allows files that the image names */
	unsigned nr_files;
};

/* `fd` is owned. */
void opener_init(struct opener *o, int fd, const char *image, bool is_ro,
		 bool may_follow);
void opener_fini(struct opener *o);
int opener_start(struct opener *o, struct vc_loop *loop,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
