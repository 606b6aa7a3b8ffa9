/* SPDX-License-Identifier: BSD-3-Clause */
/* `vmm run`: the command line into a struct vm_config. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include "vmm/cli/commands.h"
#include "vmm/supervisor/config.h"
#include "vmm/supervisor/supervisor.h"

/* How many names vc_disk_format_names may have. */
#define MAX_FORMATS 16

static const struct vc_option options[] = {
	{ "cpus", 'c', "N", "number of vCPUs (default 1)" },
	{ "mem", 'm', "MIB", "guest memory in MiB (default 256)" },
	{ "initrd", 'i', "FILE", "initial RAM disk" },
	{ "params", 'p', "TEXT",
	  "add to the kernel command line (can be repeated)" },
	{ "block", 'b', "PATH[,K=V]...",
	  "a disk: ro, root (boot from it), id=TEXT, direct,\n"
	  "lock=BOOL, backing=on, num-queues=N, block-size=N,\n"
	  "format=raw|qcow2|zstd|android-sparse|composite\n"
	  "(default: look at its header)" },
	{ "serial", 0, "K=V,...",
	  "type=stdout|file|sink, hardware=serial|virtio-console,\n"
	  "path=FILE, input=FILE, stdin, console, earlycon.\n"
	  "Default: type=stdout,hardware=serial,console,stdin" },
	{ "vsock", 0, "cid=N[,socket=PATH]",
	  "vsock device, reached through a Unix socket\n"
	  "(default with --socket: cid=3, PATH.vsock)" },
	{ "cid", 0, "N", "the same as --vsock cid=N" },
	{ "vhost-user", 0, "type=T,socket=PATH",
	  "a device another program serves: blk, console, rng,\n"
	  "vsock" },
	{ "no-rng", 0, NULL, "leave out the entropy device" },
	{ "socket", 's', "PATH", "serve the control socket there" },
	{ "name", 0, "TEXT", "name of the VM (default vm-PID)" },
	{ "disable-sandbox", 0, NULL,
	  "start the same processes without their jails" },
	{ "seccomp", 0, "kill|errno|log",
	  "what a forbidden system call does (default kill)" },
	{ "no-kvm-check", 0, NULL,
	  "start a kernel even on a host whose KVM emulates\n"
	  "kernels and fails a test of it" },
	{ "debug", 0, NULL, "log more" },
};

static int set_string(char **member, const char *value, struct vc_error *err)
{
	free(*member);
	*member = strdup(value);
	if (!*member)
		return vc_fail(err, VC_E_SYS, ENOMEM, "option");
	return 0;
}

static int add_block(struct vm_config *c, const char *text,
		     struct vc_error *err)
{
	/* enum vc_disk_format; the rest stays NULL */
	const char *formats[MAX_FORMATS + 1] = { "auto" };
	const struct vc_kv_key keys[] = {
		{ "path", VC_KV_STRING, offsetof(struct vm_block, path), 0,
		  NULL, NULL },
		{ "ro", VC_KV_BOOL, offsetof(struct vm_block, is_ro), 0, NULL,
		  "read-only" },
		{ "root", VC_KV_BOOL, offsetof(struct vm_block, is_root), 0,
		  NULL, NULL },
		{ "direct", VC_KV_BOOL, offsetof(struct vm_block, is_direct), 0,
		  NULL, "o-direct" },
		{ "backing", VC_KV_BOOL, offsetof(struct vm_block, has_backing),
		  0, NULL, NULL },
		{ "lock", VC_KV_BOOL, offsetof(struct vm_block, has_lock), 0,
		  NULL, NULL },
		{ "format", VC_KV_ENUM, offsetof(struct vm_block, format), 0,
		  formats, NULL },
		{ "id", VC_KV_STRING, offsetof(struct vm_block, id), 0, NULL,
		  NULL },
		{ "num-queues", VC_KV_U64, offsetof(struct vm_block, nr_queues),
		  64, NULL, NULL },
		{ "block-size", VC_KV_SIZE,
		  offsetof(struct vm_block, block_size), 0, NULL, NULL },
	};
	struct vm_block *b = &c->blocks[c->nr_blocks];
	int i;

	for (i = 0; i + 1 < MAX_FORMATS && vc_disk_format_names[i]; i++)
		formats[i + 1] = vc_disk_format_names[i];
	if (c->nr_blocks == VM_MAX_BLOCKS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d disks",
			       VM_MAX_BLOCKS);
	*b = (struct vm_block){ .has_lock = true,
				.nr_queues = 1,
				.block_size = 512 };
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), b, NULL, err) < 0)
		return -1;
	c->nr_blocks++;
	if (!b->path)
		return vc_fail(err, VC_E_ARG, 0, "path= is missing");
	if (b->id && strlen(b->id) > 20)
		return vc_fail(err, VC_E_ARG, 0, "id: more than 20 bytes");
	if (!b->nr_queues)
		return vc_fail(err, VC_E_ARG, 0, "num-queues: at least 1");
	if (b->block_size < 512 || b->block_size > 4096 ||
	    (b->block_size & (b->block_size - 1)))
		return vc_fail(err, VC_E_ARG, 0,
			       "block-size: must be 512, 1024, 2048 or 4096");
	return 0;
}

static int add_serial(struct vm_config *c, const char *text,
		      struct vc_error *err)
{
	static const char *const types[] = { "sink", "stdout", "file", NULL };
	static const char *const hw[] = { "serial", "virtio-console", NULL };
	static const struct vc_kv_key keys[] = {
		{ "type", VC_KV_ENUM, offsetof(struct vm_serial, type), 0,
		  types, NULL },
		{ "hardware", VC_KV_ENUM, offsetof(struct vm_serial, hardware),
		  0, hw, NULL },
		{ "num", VC_KV_U64, offsetof(struct vm_serial, num), 4, NULL,
		  NULL },
		{ "path", VC_KV_STRING, offsetof(struct vm_serial, path), 0,
		  NULL, NULL },
		{ "input", VC_KV_STRING, offsetof(struct vm_serial, input), 0,
		  NULL, NULL },
		{ "stdin", VC_KV_BOOL, offsetof(struct vm_serial, is_stdin), 0,
		  NULL, NULL },
		{ "console", VC_KV_BOOL, offsetof(struct vm_serial, is_console),
		  0, NULL, NULL },
		{ "earlycon", VC_KV_BOOL,
		  offsetof(struct vm_serial, is_earlycon), 0, NULL, NULL },
	};
	struct vm_serial *s = &c->serials[c->nr_serials];

	if (c->nr_serials == VM_MAX_CONSOLES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d consoles",
			       VM_MAX_CONSOLES);
	*s = (struct vm_serial){ .num = 1 };
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), s, NULL, err) < 0)
		return -1;
	c->nr_serials++;
	return 0;
}

static int set_vsock(struct vm_config *c, const char *text,
		     struct vc_error *err)
{
	static const struct vc_kv_key keys[] = {
		{ "cid", VC_KV_U64, offsetof(struct vm_config, cid), UINT32_MAX,
		  NULL, NULL },
		{ "socket", VC_KV_STRING,
		  offsetof(struct vm_config, vsock_socket), 0, NULL, NULL },
	};

	if (c->has_vsock)
		return vc_fail(err, VC_E_ARG, 0, "given twice");
	c->has_vsock = true;
	return vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), c, NULL, err);
}

static int add_vhost_user(struct vm_config *c, const char *text,
			  struct vc_error *err)
{
	const struct vc_kv_key keys[] = {
		{ "type", VC_KV_ENUM, offsetof(struct vm_vhost_user, type), 0,
		  vm_vhost_user_types, NULL },
		{ "socket", VC_KV_STRING,
		  offsetof(struct vm_vhost_user, socket), 0, NULL, NULL },
	};
	struct vm_vhost_user *v = &c->vhost_user[c->nr_vhost_user];

	if (c->nr_vhost_user == VM_MAX_VHOST_USER)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d",
			       VM_MAX_VHOST_USER);
	*v = (struct vm_vhost_user){ .type = -1 };
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), v, NULL, err) < 0)
		return -1;
	c->nr_vhost_user++;
	if (v->type < 0 || !v->socket)
		return vc_fail(err, VC_E_ARG, 0,
			       "type= and socket= are both needed");
	return 0;
}

static int set_seccomp(struct vm_config *c, const char *value,
		       struct vc_error *err)
{
	if (!strcmp(value, "kill"))
		c->seccomp = VC_JAIL_KILL;
	else if (!strcmp(value, "errno"))
		c->seccomp = VC_JAIL_ERRNO;
	else if (!strcmp(value, "log"))
		c->seccomp = VC_JAIL_LOG;
	else
		return vc_fail(err, VC_E_ARG, 0,
			       "'%s': not one of kill, errno, log", value);
	return 0;
}

static int add_params(struct vm_config *c, const char *value,
		      struct vc_error *err)
{
	if (c->nr_params == VM_MAX_PARAMS)
		return vc_fail(err, VC_E_LIMIT, 0, "given more than %d times",
			       VM_MAX_PARAMS);
	if (set_string(&c->params[c->nr_params], value, err) < 0)
		return -1;
	c->nr_params++;
	return 0;
}

/* `-c 2` and crosvm's `-c num-cores=2` are the same, `-m` likewise. */
static int set_number(const char *key, const char *value, uint64_t *ret,
		      struct vc_error *err)
{
	const struct vc_kv_key keys[] = {
		{ key, VC_KV_U64, 0, UINT32_MAX, NULL, NULL },
	};

	return vc_kv_parse(value, keys, 1, ret, NULL, err);
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct vm_config *c = ctx;
	const char *name = opt->name;

	if (!strcmp(name, "cpus"))
		return set_number("num-cores", value, &c->nr_cpus, err);
	if (!strcmp(name, "mem"))
		return set_number("size", value, &c->mem_mib, err);
	if (!strcmp(name, "initrd"))
		return set_string(&c->initrd, value, err);
	if (!strcmp(name, "params"))
		return add_params(c, value, err);
	if (!strcmp(name, "block"))
		return add_block(c, value, err);
	if (!strcmp(name, "serial"))
		return add_serial(c, value, err);
	if (!strcmp(name, "vsock"))
		return set_vsock(c, value, err);
	if (!strcmp(name, "cid")) {
		c->has_vsock = true;
		return vc_parse_u64(value, UINT32_MAX, &c->cid, err);
	}
	if (!strcmp(name, "vhost-user"))
		return add_vhost_user(c, value, err);
	if (!strcmp(name, "socket"))
		return set_string(&c->control_socket, value, err);
	if (!strcmp(name, "name"))
		return set_string(&c->name, value, err);
	if (!strcmp(name, "seccomp"))
		return set_seccomp(c, value, err);
	if (!strcmp(name, "no-rng"))
		c->has_rng = false;
	else if (!strcmp(name, "disable-sandbox"))
		c->has_sandbox = false;
	else if (!strcmp(name, "no-kvm-check"))
		c->has_kvm_check = false;
	else if (!strcmp(name, "debug"))
		c->is_debug = true;
	return 0;
}

static const struct vc_command command = {
	.name = "vmm run",
	.synopsis = "[OPTION]... KERNEL",
	.summary = "Run KERNEL (bzImage or ELF) in a virtual machine, each "
		   "virtio device and the machine\nitself in a jailed process "
		   "of its own, until it powers off.",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
	.epilogue = "Exit status: 0 powered off or stopped, 1 error, 2 usage, "
		    "32 the guest asked for a\nreset, 33 the guest crashed, "
		    "37 a device process died. See vmm-run(1).",
};

static int parse(struct vm_config *c, int argc, char **argv, bool *ret_is_help,
		 struct vc_error *err)
{
	int first = 0;

	if (vc_options_parse(&command, argc, argv, false, c, &first,
			     ret_is_help, err) < 0)
		return -1;
	if (*ret_is_help)
		return 0;
	if (argc - first > 1)
		return vc_fail(err, VC_E_ARG, 0, "more than one kernel given");
	if (first < argc && set_string(&c->kernel, argv[first], err) < 0)
		return -1;
	return vm_config_finish(c, err);
}

int cmd_run(int argc, char **argv)
{
	struct vc_error err = { VC_E_NONE, 0, "" };
	struct vm_config c;
	bool is_help = false;
	int status;

	vm_config_init(&c);
	if (parse(&c, argc, argv, &is_help, &err) < 0) {
		status = vc_report(stderr, command.name, &err);
	} else if (is_help) {
		vc_command_help(&command, stdout);
		status = 0;
	} else {
		if (c.is_debug)
			vc_log_set(vc_log_stderr, VC_LOG_DEBUG);
		if (supervisor_run(&c, &status, &err) < 0)
			status = vc_report(stderr, command.name, &err);
	}
	vm_config_fini(&c);
	return status;
}
