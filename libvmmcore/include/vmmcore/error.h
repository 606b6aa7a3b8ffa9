/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The error object: set-up code, tools and the control plane report failure by
 * filling one of these. It is owned by the caller, by value, and never
 * allocates. Every function that takes one returns 0 or -1, nothing else.
 *
 * The text reads "object: action: reason": the deepest function writes the
 * action, callers put the object in front with vc_prefix(), and vc_error_str()
 * appends the reason the system gave.
 */
#ifndef VMMCORE_ERROR_H
#define VMMCORE_ERROR_H

#include <vmmcore/cdefs.h>

VC_BEGIN_DECLS

enum vc_errc {
	VC_E_NONE = 0,
	VC_E_SYS,     /* a system call failed; vc_error.sys says how */
	VC_E_ARG,     /* the command line or a call's argument is wrong */
	VC_E_CONFIG,  /* each option is right but together they are not */
	VC_E_CORRUPT, /* bytes from outside break the rules of their format */
	VC_E_UNSUPPORTED, /* valid, but this build or host cannot do it */
	VC_E_LIMIT,	  /* valid, but larger or deeper than a named limit */
	VC_E_GUEST,	  /* the guest did something a guest must not */
	VC_E_PEER,	  /* a process at the other end broke the protocol */
	VC_E_INTERNAL,	  /* a bug of ours */
	VC_E_BUSY,	  /* another process uses it */
};

struct vc_error {
	enum vc_errc code;
	int sys;       /* errno, or 0 */
	char msg[400]; /* one line, without the reason `sys` gives */
};

/* Set `err` (which may be NULL) and return -1. `sys` is an errno or 0. A value
 * from outside that is printed with %s must first pass vc_printable(). */
int vc_fail(struct vc_error *err, enum vc_errc code, int sys, const char *fmt,
	    ...) VC_PRINTF(4, 5);

/* Put "text: " in front of the message of `err`; returns -1. */
int vc_prefix(struct vc_error *err, const char *fmt, ...) VC_PRINTF(2, 3);

/* The whole line, without a newline, into `buf`; returns `buf`. */
const char *vc_error_str(const struct vc_error *err, char *buf, size_t size);

/* Copy `text` to `buf` with everything that is not printable ASCII or valid
 * UTF-8 as \xNN, cut to fit; returns `buf`. For names that come from archives,
 * images and guests and go to a terminal. */
const char *vc_printable(const char *text, char *buf, size_t size);

/* What a program's main() returns for `err`: 2 for VC_E_ARG, else 1. */
int vc_exit_status(const struct vc_error *err);

VC_END_DECLS

#endif
