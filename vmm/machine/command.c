/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vmm machine`: what `vmm run` starts, and a debugger can. Without --link it
 * says on standard error how the guest ended.
 */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include <vmmcore/options.h>
#include "vmm/arch/x86_64/arch.h"
#include "vmm/cli/commands.h"
#include "vmm/machine/machine.h"

#define PROGRAM "vmm machine"

enum option_id {
	OPT_KVM,
	OPT_LINK,
	OPT_MEM,
	OPT_CPUS,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_SERIAL_IN,
	OPT_SERIAL_OUT,
	OPT_DEVICE,
	OPT_DISABLE_SANDBOX,
	OPT_SECCOMP,
	OPT_NO_KVM_CHECK,
};

static const struct vc_option options[] = {
	[OPT_KVM] = { "kvm", 0, "FD", "an open /dev/kvm" },
	[OPT_LINK] = { "link", 0, "FD", "socket to the supervisor" },
	[OPT_MEM] = { "mem", 'm', "BYTES", "guest memory" },
	[OPT_CPUS] = { "cpus", 'c', "N", "number of vCPUs" },
	[OPT_KERNEL] = { "kernel", 0, "FD", "kernel to boot" },
	[OPT_INITRD] = { "initrd", 0, "FD", "initial RAM disk" },
	[OPT_CMDLINE] = { "cmdline", 0, "TEXT", "kernel command line" },
	[OPT_SERIAL_IN] = { "serial-in", 0, "FD", "input of the serial port" },
	[OPT_SERIAL_OUT] = { "serial-out", 0, "FD",
			     "output of the serial port" },
	[OPT_DEVICE] = { "device", 0, "name=NAME,id=ID,fd=FD",
			 "virtio device in the next PCI slot: its vhost-user "
			 "socket" },
	[OPT_DISABLE_SANDBOX] = { "disable-sandbox", 0, NULL, "no jail" },
	[OPT_SECCOMP] = { "seccomp", 0, "kill|errno|log",
			  "what a forbidden system call does" },
	[OPT_NO_KVM_CHECK] = { "no-kvm-check", 0, NULL,
			       "do not test an emulating KVM first" },
};

static const struct vc_kv_key device_keys[] = {
	{ "name", VC_KV_STRING, offsetof(struct machine_device_config, name), 0,
	  NULL, NULL },
	{ "id", VC_KV_U64, offsetof(struct machine_device_config, id), 63, NULL,
	  NULL },
	{ "fd", VC_KV_FD, offsetof(struct machine_device_config, fd), 0, NULL,
	  NULL },
};
#define DEVICE_KEYS_ALL 7

static int parse_fd(const char *value, int *ret, struct vc_error *err)
{
	uint64_t v;

	if (vc_parse_u64(value, INT32_MAX, &v, err) < 0)
		return -1;
	*ret = (int)v;
	return 0;
}

static int parse_device(struct machine_config *c, const char *value,
			struct vc_error *err)
{
	struct machine_device_config *d = &c->devices[c->nr_devices];
	uint64_t seen;

	if (c->nr_devices == MACHINE_MAX_DEVICES)
		return vc_fail(err, VC_E_ARG, 0, "--device: more than %d",
			       MACHINE_MAX_DEVICES);
	if (vc_kv_parse(value, device_keys, VC_ARRAY_SIZE(device_keys), d,
			&seen, err) < 0)
		return vc_prefix(err, "--device");
	c->nr_devices++;
	if (seen != DEVICE_KEYS_ALL || !d->id)
		return vc_fail(err, VC_E_ARG, 0,
			       "--device: name, id and fd are needed");
	return 0;
}

static int parse_action(const char *value, enum vc_jail_action *ret,
			struct vc_error *err)
{
	static const char *const names[] = {
		[VC_JAIL_KILL] = "kill",
		[VC_JAIL_ERRNO] = "errno",
		[VC_JAIL_LOG] = "log",
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(names); i++)
		if (!strcmp(value, names[i])) {
			*ret = (enum vc_jail_action)i;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "--seccomp: kill, errno or log");
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct machine_config *c = ctx;
	uint64_t v;

	switch ((enum option_id)(opt - options)) {
	case OPT_KVM:
		return parse_fd(value, &c->kvm_fd, err);
	case OPT_LINK:
		return parse_fd(value, &c->link_fd, err);
	case OPT_MEM:
		return vc_parse_size(value, &c->mem_bytes, err);
	case OPT_CPUS:
		if (vc_parse_u64(value, ARCH_MAX_VCPUS, &v, err) < 0)
			return -1;
		c->nr_vcpus = (unsigned)v;
		return 0;
	case OPT_KERNEL:
		return parse_fd(value, &c->kernel_fd, err);
	case OPT_INITRD:
		return parse_fd(value, &c->initrd_fd, err);
	case OPT_CMDLINE:
		c->cmdline = value;
		return 0;
	case OPT_SERIAL_IN:
		return parse_fd(value, &c->serial_in_fd, err);
	case OPT_SERIAL_OUT:
		return parse_fd(value, &c->serial_out_fd, err);
	case OPT_DEVICE:
		return parse_device(c, value, err);
	case OPT_DISABLE_SANDBOX:
		c->has_sandbox = false;
		return 0;
	case OPT_SECCOMP:
		return parse_action(value, &c->seccomp_action, err);
	case OPT_NO_KVM_CHECK:
		c->has_kvm_check = false;
		return 0;
	}
	return 0;
}

static const struct vc_command command = {
	.name = PROGRAM,
	.synopsis = "--kvm FD --kernel FD --mem BYTES [OPTION]...",
	.summary = "The machine process of a VM; vmm run starts it.",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
};

static int check(const struct machine_config *c, int argc, int first,
		 struct vc_error *err)
{
	if (first < argc)
		return vc_fail(err, VC_E_ARG, 0, "no operand is taken");
	if (c->kvm_fd < 0 || c->kernel_fd < 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "--kvm and --kernel are needed");
	if (c->nr_vcpus < 1)
		return vc_fail(err, VC_E_ARG, 0, "--cpus: at least 1");
	if (c->mem_bytes < ARCH_MIN_RAM || c->mem_bytes > ARCH_MAX_RAM ||
	    c->mem_bytes % 4096)
		return vc_fail(err, VC_E_ARG, 0,
			       "--mem: %llu MiB to %llu GiB in whole pages",
			       (unsigned long long)(ARCH_MIN_RAM >> 20),
			       (unsigned long long)(ARCH_MAX_RAM >> 30));
	return 0;
}

/* The supervisor prints it; without one, we do. */
static int report(const struct machine_config *c, const struct vc_error *err)
{
	char text[LINK_TEXT_MAX];

	vc_error_str(err, text, sizeof(text));
	if (c->link_fd < 0 ||
	    link_send(c->link_fd, LINK_ENDED, LINK_END_ERROR, text, NULL) < 0)
		return vc_report(stderr, PROGRAM, err);
	return 1;
}

static int report_result(const struct machine_config *c,
			 const struct machine_result *r)
{
	if (c->link_fd < 0 && r->end != LINK_END_POWEROFF)
		fprintf(stderr, "%s: %s%s%s\n", PROGRAM,
			r->lost_device < 0 ? ""
					   : c->devices[r->lost_device].name,
			r->lost_device < 0 ? "" : ": ", r->text);
	return r->end == LINK_END_POWEROFF || r->end == LINK_END_RESET ? 0 : 1;
}

int cmd_machine(int argc, char **argv)
{
	struct machine_config c = {
		.kvm_fd = -1,
		.link_fd = -1,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.serial_in_fd = -1,
		.serial_out_fd = -1,
		.mem_bytes = UINT64_C(256) << 20,
		.nr_vcpus = 1,
		.has_sandbox = true,
		.has_kvm_check = true,
	};
	struct machine_result result = { .end = LINK_END_ERROR };
	struct vc_error err = { 0 };
	bool is_help = false;
	int status = 0, first;
	size_t i;

	if (vc_options_parse(&command, argc, argv, false, &c, &first, &is_help,
			     &err) < 0)
		status = report(&c, &err);
	else if (is_help)
		vc_command_help(&command, stdout);
	else if (check(&c, argc, first, &err) < 0 ||
		 machine_main(&c, &result, &err) < 0)
		status = report(&c, &err);
	else
		status = report_result(&c, &result);
	for (i = 0; i < c.nr_devices; i++)
		free(c.devices[i].name);
	return status;
}
