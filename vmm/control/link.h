/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link between supervisor and machine process: a SOCK_SEQPACKET socketpair,
 * one struct link_msg a packet. The supervisor trusts nothing it reads here:
 * the machine process runs next to the guest.
 */
#ifndef VMM_CONTROL_LINK_H
#define VMM_CONTROL_LINK_H

#include <vmmcore/endian.h>
#include <vmmcore/error.h>

#define LINK_TEXT_MAX 376

enum link_type {
	/* machine -> supervisor */
	LINK_READY = 1,	      /* sealed, about to run vCPUs */
	LINK_ENDED = 2,	      /* arg: enum link_end; text: one line on why */
	LINK_DEVICE_LOST = 3, /* arg: device index; text: why. The VM ends */
	/* supervisor -> machine */
	LINK_STOP = 16,		/* stop the vCPUs, answer LINK_ENDED */
	LINK_POWER_BUTTON = 17, /* ACPI fixed power button */
	LINK_PAUSE = 18,
	LINK_RESUME = 19,
};

enum link_end {
	LINK_END_POWEROFF = 0, /* the guest powered off, or LINK_STOP */
	LINK_END_RESET = 1,    /* the guest asked for a reset */
	LINK_END_CRASH = 2,    /* triple fault */
	LINK_END_ERROR = 3,    /* the host side failed */
};

struct link_msg {
	le32_t type;
	le32_t arg;
	char text[LINK_TEXT_MAX]; /* NUL-terminated */
};
_Static_assert(sizeof(struct link_msg) == 384, "one packet");

int link_send(int fd, enum link_type type, uint32_t arg, const char *text,
	      struct vc_error *err) VC_MUST_CHECK;
/* Returns 0 with *ret_is_eof set when the other end is gone. `text` of *ret is
 * always terminated. VC_E_PEER for a packet of another size. */
int link_recv(int fd, struct link_msg *ret, bool *ret_is_eof,
	      struct vc_error *err) VC_MUST_CHECK;

#endif
