/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vmm device CLASS`: a virtio device in a process of its own, behind
 * vhost-user. Everything it will ever need is opened first, then it jails
 * itself, and only then it reads the first byte of somebody else's: see
 * run_device().
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "vmm/cli/commands.h"
#include "vmm/device/device.h"

static const struct device_class *const classes[] = {
	&device_blk,
	&device_console,
	&device_rng,
	&device_vsock,
};

static const struct vc_option common_options[] = {
	{ "fd", 0, "N",
	  "serve the frontend connected to descriptor N, until\n"
	  "it hangs up" },
	{ "socket", 0, "PATH",
	  "listen on a Unix socket and serve one frontend\n"
	  "after the other" },
	{ "name", 0, "NAME", "the device's name in messages" },
	{ "seccomp", 0, "ACTION",
	  "what a forbidden system call does: kill (default),\n"
	  "errno or log" },
	{ "disable-sandbox", 0, NULL, "do not jail the process" },
};
#define NR_COMMON VC_ARRAY_SIZE(common_options)

void device_keep(struct device *d, int fd)
{
	assert(d->nr_keep < DEVICE_MAX_FDS);
	d->keep[d->nr_keep++] = fd;
}

int device_parse_fd(const char *value, int *ret, struct vc_error *err)
{
	uint64_t n;

	if (vc_parse_u64(value, INT32_MAX, &n, err) < 0)
		return -1;
	if (fcntl((int)n, F_GETFD) < 0)
		return vc_fail(err, VC_E_ARG, errno, "%s", value);
	*ret = (int)n;
	return 0;
}

static int parse_sock(const char *value, int *ret, struct vc_error *err)
{
	int type;
	socklen_t len = sizeof(type);

	if (device_parse_fd(value, ret, err) < 0)
		return -1;
	if (getsockopt(*ret, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return vc_fail(err, VC_E_ARG, errno, "%s", value);
	if (type != SOCK_STREAM)
		return vc_fail(err, VC_E_ARG, 0, "%s: no stream socket", value);
	return 0;
}

static int parse_action(const char *value, enum vc_jail_action *ret,
			struct vc_error *err)
{
	if (!strcmp(value, "kill"))
		*ret = VC_JAIL_KILL;
	else if (!strcmp(value, "errno"))
		*ret = VC_JAIL_ERRNO;
	else if (!strcmp(value, "log"))
		*ret = VC_JAIL_LOG;
	else
		return vc_fail(err, VC_E_ARG, 0, "one of kill, errno and log");
	return 0;
}

/* It goes into log lines, and is the host name in the jail. */
static int check_name(const char *name, struct vc_error *err)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (!*name || strlen(name) >= DEVICE_NAME_BYTES ||
	    name[strspn(name, good)])
		return vc_fail(err, VC_E_ARG, 0,
			       "1 to %d letters, digits, '-', '_', '.'",
			       DEVICE_NAME_BYTES - 1);
	return 0;
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct device *d = ctx;

	if (!strcmp(opt->name, "fd"))
		return parse_sock(value, &d->sock, err);
	if (!strcmp(opt->name, "socket"))
		d->socket_path = value;
	else if (!strcmp(opt->name, "name"))
		return check_name(d->name = value, err);
	else if (!strcmp(opt->name, "seccomp"))
		return parse_action(value, &d->action, err);
	else if (!strcmp(opt->name, "disable-sandbox"))
		d->is_sandboxed = false;
	else
		return d->class->on_option(d, opt, value, err);
	return 0;
}

/* The class's options before those of all. */
static int parse(struct device *d, int argc, char **argv, bool *ret_is_help,
		 struct vc_error *err)
{
	struct vc_option options[VC_MAX_OPTIONS];
	char name[64], summary[128];
	const struct vc_command cmd = {
		.name = name,
		.synopsis = "(--fd N | --socket PATH) [OPTION]...",
		.summary = summary,
		.options = options,
		.nr_options = d->class->nr_options + NR_COMMON,
		.on_option = on_option,
		.epilogue = "See also vmm-device(1).",
	};
	int first;

	snprintf(name, sizeof(name), "vmm device %s", d->class->name);
	snprintf(summary, sizeof(summary),
		 "Serve %s over vhost-user, from a jail.", d->class->help);
	if (d->class->nr_options)
		memcpy(options, d->class->options,
		       d->class->nr_options * sizeof(options[0]));
	memcpy(options + d->class->nr_options, common_options,
	       sizeof(common_options));
	if (vc_options_parse(&cmd, argc, argv, false, d, &first, ret_is_help,
			     err) < 0)
		return -1;
	if (*ret_is_help) {
		vc_command_help(&cmd, stdout);
		return 0;
	}
	if (first < argc)
		return vc_fail(err, VC_E_ARG, 0, "takes no operand");
	if ((d->sock >= 0) == !!d->socket_path)
		return vc_fail(err, VC_E_ARG, 0,
			       "one of --fd and --socket is needed");
	return 0;
}

/* Keep what was opened, and stderr. */
static int close_others(struct device *d, struct vc_error *err)
{
	device_keep(d, STDERR_FILENO);
	if (d->sock >= 0)
		device_keep(d, d->sock);
	if (d->keeper_fd >= 0)
		device_keep(d, d->keeper_fd);
	return vc_jail_close_others(d->keep, d->nr_keep, err);
}

static int seal(struct device *d, struct vc_error *err)
{
	const struct vc_jail_limits limits = {
		.allow_threads = d->class->needs_threads,
	};

	return vc_jail_seal(d->class->role, d->action, &limits, err);
}

/* The life of a device process. */
static int run(struct device *d, struct vc_error *err)
{
	struct vc_virtio_dev *dev = NULL;
	struct vc_loop *loop = NULL;
	int rc = -1;

	if (close_others(d, err) == 0 &&
	    (!d->is_sandboxed || vc_jail_namespaces(d->name, err) == 0) &&
	    vc_loop_new(&loop, err) == 0 &&
	    d->class->create(d, loop, &dev, err) == 0 &&
	    (!d->is_sandboxed || seal(d, err) == 0))
		rc = device_serve(d, dev, err);
	vc_virtio_free(dev);
	vc_loop_free(loop);
	return rc;
}

static int report(const struct device *d, const struct vc_error *err)
{
	char program[64];

	snprintf(program, sizeof(program), "vmm device %s", d->class->name);
	return vc_report(stderr, program, err);
}

static int run_device(struct device *d)
{
	struct vc_error err;

	return run(d, &err) < 0 ? report(d, &err) : 0;
}

/* Open what the command line names: the one time names mean anything. */
static int open_resources(struct device *d, struct vc_error *err)
{
	if (d->socket_path &&
	    device_listen(d, d->socket_path, &d->listen_fd, err) < 0)
		return -1;
	return d->class->open ? d->class->open(d, err) : 0;
}

static int usage(int status)
{
	FILE *to = status ? stderr : stdout;
	size_t i;

	fputs("Usage: vmm device CLASS [OPTION]...\n\n"
	      "Serve a virtio device over vhost-user, from a jail.\n\n"
	      "Classes:\n",
	      to);
	for (i = 0; i < VC_ARRAY_SIZE(classes); i++)
		fprintf(to, "  %-10s %s\n", classes[i]->name, classes[i]->help);
	fputs("\n'vmm device CLASS --help' tells more; see also "
	      "vmm-device(1).\n",
	      to);
	return status;
}

static const struct device_class *find_class(const char *name)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(classes); i++)
		if (!strcmp(name, classes[i]->name))
			return classes[i];
	return NULL;
}

/* A descriptor opened later must not become stderr. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	vc_close(&fd);
}

static int start(struct device *d, int argc, char **argv)
{
	struct vc_error err;
	bool is_help;

	if (parse(d, argc, argv, &is_help, &err) < 0)
		return report(d, &err);
	if (is_help)
		return 0;
	if (open_resources(d, &err) < 0)
		return report(d, &err);
	return d->nr_paths ? device_keeper(d, run_device) : run_device(d);
}

int cmd_device(int argc, char **argv)
{
	struct device d = { .sock = -1,
			    .listen_fd = -1,
			    .keeper_fd = -1,
			    .is_sandboxed = true };
	char name[DEVICE_NAME_BYTES], shown[64];
	int status;

	if (argc < 2)
		return usage(2);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return usage(0);
	d.class = find_class(argv[1]);
	if (!d.class) {
		fprintf(stderr,
			"vmm device: unknown class '%s'\n"
			"Try 'vmm device --help'.\n",
			vc_printable(argv[1], shown, sizeof(shown)));
		return 2;
	}
	fill_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	snprintf(name, sizeof(name), "virtio-%s", d.class->name);
	d.name = name;
	status = start(&d, argc - 1, argv + 1);
	device_remove_paths(&d);
	if (d.class->fini)
		d.class->fini(&d);
	return status;
}
