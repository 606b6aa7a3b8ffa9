/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vmm exec`: a command in the guest as if it ran here. Its exit status is
 * ours, so failures of our own need a number that a command rarely has; the
 * ones of env(1), nice(1) and the shells: 125, 126, 127, 128 + signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>
#include "vmm/cli/commands.h"
#include "vmm/control/agent_client.h"
#include "vmm/control/client.h"

#define DEFAULT_WAIT_S 30
#define MAX_WAIT_S 86400
#define VM_RETRY_MS 50
#define MIN_CALL_MS 500 /* for an answer, whatever --wait says */
#define NS_PER_MS UINT64_C(1000000)

#define STATUS_FAILED 125
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define STATUS_SIGNAL 128

struct exec_opts {
	const char *cwd, *user, *vsock;
	bool has_no_stdin;
	uint64_t wait_s;
	size_t nr_env;
	char *env[VC_AGENT_MAX_ENV + 1]; /* borrowed from argv */
};

static const struct vc_option options[] = {
	{ "env", 'e', "NAME=VALUE", "set a variable; may be repeated" },
	{ "cwd", 'w', "DIR", "working directory (/)" },
	{ "user", 'u', "USER[:GROUP]", "names or numbers (root)" },
	{ "no-stdin", 'n', NULL, "the command reads end of file" },
	{ "wait", 't', "SECONDS",
	  "how long to wait for VM and agent (default 30)" },
	{ "vsock", 'v', "PATH", "the socket of a vsock device, instead of VM" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct exec_opts *o = ctx;

	switch (opt->letter) {
	case 'e':
		if (!strchr(value, '=') || *value == '=')
			return vc_fail(err, VC_E_ARG, 0,
				       "--env: not NAME=VALUE");
		if (o->nr_env == VC_AGENT_MAX_ENV)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "--env: more than %d", VC_AGENT_MAX_ENV);
		o->env[o->nr_env++] = (char *)(uintptr_t)value;
		break;
	case 'w':
		o->cwd = value;
		break;
	case 'u':
		o->user = value;
		break;
	case 'n':
		o->has_no_stdin = true;
		break;
	case 't':
		if (vc_parse_u64(value, MAX_WAIT_S, &o->wait_s, err) < 0)
			return vc_prefix(err, "--wait");
		break;
	default:
		o->vsock = value;
	}
	return 0;
}

static const struct vc_command command = {
	.name = "vmm exec",
	.synopsis = "[OPTION]... VM [--] COMMAND [ARGUMENT]...",
	.summary = "Run a command in the guest of the virtual machine whose "
		   "control socket is VM.\nIts streams and its exit status are "
		   "those of vmm exec; see vmm-exec(1).",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
	.epilogue = "Exit status: the command's; 128+N: killed by signal N; "
		    "127: not found;\n126: not executable; 125: vmm exec "
		    "failed; 2: bad usage.",
};

static int left_ms(uint64_t end_ns)
{
	uint64_t now = vc_now_ns();

	return now < end_ns ? (int)((end_ns - now) / NS_PER_MS) : 0;
}

/* Connect to the VM, which may just be starting. */
static int connect_vm(const char *path, uint64_t end_ns, struct vc_error *err)
{
	for (;;) {
		int fd = ctl_connect(path, left_ms(end_ns), err);

		if (fd >= 0 ||
		    (err->sys != ENOENT && err->sys != ECONNREFUSED) ||
		    vc_now_ns() >= end_ns)
			return fd;
		usleep(VM_RETRY_MS * 1000);
	}
}

/* The VM's vsock socket, malloc'ed. A supervisor answers at once, but not while
 * it starts. */
static char *find_vsock(int vm_fd, uint64_t end_ns, struct vc_error *err)
{
	json_t *info = NULL;
	const char *path;
	char *ret = NULL;
	int wait_ms = left_ms(end_ns);

	if (wait_ms < MIN_CALL_MS)
		wait_ms = MIN_CALL_MS;
	if (wait_ms > CTL_TIMEOUT_MS)
		wait_ms = CTL_TIMEOUT_MS;
	if (ctl_call(vm_fd, "vm.info", NULL, wait_ms, &info, err) < 0)
		return NULL;
	path = json_string_value(json_object_get(info, "vsock"));
	if (!path)
		vc_fail(err, VC_E_CONFIG, 0, "it has no vsock device");
	else if (!(ret = strdup(path)))
		vc_fail(err, VC_E_SYS, ENOMEM, "vsock");
	json_decref(info);
	return ret;
}

static int connect_agent(const struct exec_opts *o, const char *vm,
			 struct agent_client *ret, struct vc_error *err)
{
	uint64_t end = vc_now_ns() + o->wait_s * 1000 * NS_PER_MS;
	vc_auto_free char *vsock = NULL;
	vc_auto_fd int vm_fd = -1;

	if (o->vsock) {
		vsock = strdup(o->vsock);
	} else {
		vm_fd = connect_vm(vm, end, err);
		if (vm_fd < 0)
			return -1;
		vsock = find_vsock(vm_fd, end, err);
		if (!vsock)
			return vc_prefix(err, "%s", vm);
	}
	if (!vsock)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vsock");
	if (agent_connect(vsock, left_ms(end), vm_fd, ret, err) < 0)
		return vc_prefix(err, "%s", o->vsock ? o->vsock : vm);
	return 0;
}

/* The signals that ask a program to end go to the command. One that is ignored
 * here (nohup, a shell's background job) stays ignored. SIGQUIT is left alone:
 * it ends vmm exec whatever the guest does. */
static int open_signals(struct vc_error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "signalfd");
	return fd;
}

static int exit_status(const struct agent_result *r)
{
	switch (r->outcome) {
	case AGENT_EXITED:
		return r->number;
	case AGENT_KILLED:
		return STATUS_SIGNAL + r->number;
	case AGENT_NOT_RUN:
		break;
	}
	fprintf(stderr, "%s: %s\n", command.name, r->text);
	switch (r->number) {
	case ENOENT:
		return STATUS_NOT_FOUND;
	case EINVAL: /* what was asked for, not the program: see vmm-agent(8) */
	case EAGAIN:
	case ENOMEM:
	case EPROTONOSUPPORT:
		return STATUS_FAILED;
	default:
		return STATUS_NOT_EXECUTABLE;
	}
}

static int run(const struct exec_opts *o, const char *vm, char **argv,
	       struct agent_result *ret, struct vc_error *err)
{
	struct vc_agent_exec exec = {
		.cwd = o->cwd, .user = o->user, .argv = argv, .env = o->env
	};
	struct agent_io io = { .in = o->has_no_stdin ? -1 : STDIN_FILENO,
			       .out = STDOUT_FILENO,
			       .err = STDERR_FILENO };
	struct agent_client c = { .fd = -1 };
	vc_auto_fd int signals = -1;
	int failed;

	if (connect_agent(o, vm, &c, err) < 0)
		return -1;
	signals = io.signals = open_signals(err);
	failed = signals < 0 ? -1 : agent_exec(&c, &exec, &io, ret, err);
	agent_disconnect(&c);
	return failed;
}

int cmd_exec(int argc, char **argv)
{
	static struct exec_opts o = { .wait_s = DEFAULT_WAIT_S };
	struct agent_result result = { .outcome = AGENT_NOT_RUN };
	struct vc_error err = { 0 };
	const char *vm = NULL;
	bool is_help;
	int i = 0;

	if (vc_options_parse(&command, argc, argv, true, &o, &i, &is_help,
			     &err) < 0)
		return vc_report(stderr, command.name, &err);
	if (is_help) {
		vc_command_help(&command, stdout);
		return 0;
	}
	if (!o.vsock && i < argc) {
		vm = argv[i++];
		if (i < argc && !strcmp(argv[i], "--"))
			i++;
	}
	if (i >= argc) {
		vc_fail(&err, VC_E_ARG, 0, "%s must be named",
			o.vsock ? "a command" : "a VM and a command");
		return vc_report(stderr, command.name, &err);
	}
	if (run(&o, vm, argv + i, &result, &err) < 0) {
		vc_report(stderr, command.name, &err);
		return STATUS_FAILED;
	}
	return exit_status(&result);
}
