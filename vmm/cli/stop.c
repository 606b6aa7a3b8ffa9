/* SPDX-License-Identifier: BSD-3-Clause */
/* `vmm stop`: ask the guest to power off, through the agent where one answers,
 * else by the power button; or end the VM at once. */
#include <stdio.h>
#include <string.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>
#include "vmm/cli/commands.h"
#include "vmm/control/agent_client.h"
#include "vmm/control/client.h"

#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S 86400
#define AGENT_TIMEOUT_MS 5000

struct stop_opts {
	bool is_force;
	uint64_t timeout_s;
};

static const struct vc_option options[] = {
	{ "force", 'f', NULL, "end the VM at once; the guest is not told" },
	{ "timeout", 't', "SECONDS",
	  "how long the guest may take (default 60)" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct stop_opts *o = ctx;

	if (!strcmp(opt->name, "force"))
		o->is_force = true;
	else if (vc_parse_u64(value, MAX_TIMEOUT_S, &o->timeout_s, err) < 0)
		return -1;
	return 0;
}

static const struct vc_command command = {
	.name = "vmm stop",
	.synopsis = "[OPTION]... VM",
	.summary = "Power off the virtual machine whose control socket is VM, "
		   "and wait until it has ended.",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
};

/* The guest is asked through its agent; without one, by the power button. */
static int ask_guest(int fd, struct vc_error *err)
{
	const char *vsock;
	json_t *info;
	int ret = -1;

	if (ctl_call(fd, "vm.info", NULL, CTL_TIMEOUT_MS, &info, err) < 0)
		return -1;
	vsock = json_string_value(json_object_get(info, "vsock"));
	if (vsock)
		ret = agent_shutdown(vsock, false, AGENT_TIMEOUT_MS, err);
	json_decref(info);
	if (ret < 0)
		ret = ctl_call(fd, "vm.power-button", NULL, CTL_TIMEOUT_MS,
			       NULL, err);
	return ret;
}

static int stop(const char *path, const struct stop_opts *o,
		struct vc_error *err)
{
	vc_auto_fd int fd = ctl_connect(path, CTL_TIMEOUT_MS, err);
	int ret;

	if (fd < 0)
		return -1;
	if (o->is_force)
		ret = ctl_call(fd, "vm.stop", NULL, CTL_TIMEOUT_MS, NULL, err);
	else
		ret = ask_guest(fd, err);
	if (ret < 0 || ctl_wait_end(fd, (int)o->timeout_s * 1000, err) < 0)
		return vc_prefix(err, "%s", path);
	return 0;
}

int cmd_stop(int argc, char **argv)
{
	struct stop_opts o = { false, DEFAULT_TIMEOUT_S };
	struct vc_error err = { VC_E_NONE, 0, "" };
	bool is_help;
	int first = 0;

	if (vc_options_parse(&command, argc, argv, false, &o, &first, &is_help,
			     &err) < 0)
		return vc_report(stderr, command.name, &err);
	if (is_help) {
		vc_command_help(&command, stdout);
		return 0;
	}
	if (argc - first != 1) {
		vc_fail(&err, VC_E_ARG, 0, "one VM must be named");
		return vc_report(stderr, command.name, &err);
	}
	if (stop(argv[first], &o, &err) < 0)
		return vc_report(stderr, command.name, &err);
	return 0;
}
