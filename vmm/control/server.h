/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket, server side: JSON-RPC 2.0, one object a line; see
 * vmm-control(7). */
#ifndef VMM_CONTROL_SERVER_H
#define VMM_CONTROL_SERVER_H

#include <jansson.h>
#include <vmmcore/loop.h>

#define CTL_MAX_LINE (64 * 1024)
#define CTL_MAX_CLIENTS 16
#define CTL_PROTOCOL 1

/* Error codes of ours, beside those of JSON-RPC. */
#define CTL_E_METHOD (-32601)
#define CTL_E_PARAMS (-32602)
#define CTL_E_FAILED (-32000)

struct ctl_method {
	const char *name;
	/* Returns a new reference, or NULL with `err` set. */
	json_t *(*call)(void *opaque, json_t *params, struct vc_error *err);
};

struct ctl_server;

/* Listen at `path` (copied; removed by free). `methods` is borrowed. */
int ctl_server_new(struct vc_loop *loop, const char *path,
		   const struct ctl_method *methods, size_t nr_methods,
		   void *opaque, struct ctl_server **ret,
		   struct vc_error *err) VC_MUST_CHECK;
struct ctl_server *ctl_server_free(struct ctl_server *s);

/* One request line to its answer: NULL for a notification. The text is
 * malloc'ed and ends in a newline. Exposed for the fuzz target. */
char *ctl_answer(const char *line, size_t len, const struct ctl_method *methods,
		 size_t nr_methods, void *opaque);

#endif
