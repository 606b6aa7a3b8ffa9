/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests on the control socket, a line each. */
#include <stdlib.h>
#include <string.h>
#include "vmm/control/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *method(void *opaque, json_t *params, struct vc_error *err)
{
	(void)opaque;
	if (json_is_null(params)) {
		vc_fail(err, VC_E_ARG, 0, "null");
		return NULL;
	}
	return params ? json_incref(params) : json_object();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ctl_method methods[] = { { "m", method } };
	char *answer = ctl_answer((const char *)data, size, methods, 1, NULL);
	size_t len = answer ? strlen(answer) : 0;

	/* one line, whatever came in */
	if (answer && (!len || strchr(answer, '\n') != answer + len - 1))
		abort();
	free(answer);
	return 0;
}
