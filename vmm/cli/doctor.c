/* SPDX-License-Identifier: BSD-3-Clause */
/* `vmm doctor`: what of what a VM needs this host offers, found out by trying,
 * with the reason for everything it does not. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmmcore/kvm.h>
#include <vmmcore/options.h>
#include <vmmcore/sandbox.h>
#include "vmm/cli/commands.h"

#define MAX_ROWS (VC_JAIL_MAX_FEATURES + 8)

struct row {
	const char *name;
	bool is_required, is_available;
	char detail[200];
};

static void check_kvm(struct row *r)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *hint = "";

	r->name = "kvm";
	r->is_required = true;
	if (fd >= 0) {
		/* the probe makes a VM of its own from this descriptor */
		r->is_available = vc_hv_probe(fd, r->detail, sizeof(r->detail));
		close(fd);
		return;
	}
	if (errno == ENOENT)
		hint = ": the kvm module is not loaded, or this is a machine "
		       "without virtualization";
	else if (errno == EACCES || errno == EPERM)
		hint = ": join the group that owns it (usually 'kvm')";
	snprintf(r->detail, sizeof(r->detail), "/dev/kvm: open: %s%s",
		 strerror(errno), hint);
}

static void check_memfd(struct row *r)
{
	int fd = memfd_create("doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	r->name = "memfd";
	r->is_required = true;
	r->is_available = fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0;
	if (!r->is_available)
		snprintf(r->detail, sizeof(r->detail), "memfd_create: %s",
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void check_io_uring(struct row *r)
{
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params);
	int saved = errno;
	FILE *f;
	int off = 0;

	r->name = "io_uring";
	r->is_available = fd >= 0;
	if (fd >= 0) {
		close(fd);
		return;
	}
	f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	if (f) {
		if (fscanf(f, "%d", &off) != 1)
			off = 0;
		fclose(f);
	}
	snprintf(r->detail, sizeof(r->detail),
		 "disks use a pool of threads: io_uring_setup: %s%s",
		 strerror(saved),
		 off ? " (sysctl kernel.io_uring_disabled)" : "");
}

static void check_device(struct row *r, const char *name, const char *path,
			 const char *what)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	r->name = name;
	r->is_available = fd >= 0;
	if (fd < 0)
		snprintf(r->detail, sizeof(r->detail), "%s: %s: open: %s", what,
			 path, strerror(errno));
	else
		close(fd);
}

static size_t check_all(struct row rows[MAX_ROWS])
{
	struct vc_jail_feature f[VC_JAIL_MAX_FEATURES];
	size_t i, n = 0, nr;

	memset(rows, 0, MAX_ROWS * sizeof(rows[0]));
	check_kvm(&rows[n++]);
	check_memfd(&rows[n++]);
	nr = vc_jail_probe(f);
	for (i = 0; i < nr; i++, n++) {
		rows[n].name = f[i].name;
		rows[n].is_required = f[i].is_required;
		rows[n].is_available = f[i].is_available;
		snprintf(rows[n].detail, sizeof(rows[n].detail), "%s",
			 f[i].detail);
	}
	check_io_uring(&rows[n++]);
	check_device(&rows[n++], "tun", "/dev/net/tun", "tap networks");
	check_device(&rows[n++], "vhost-net", "/dev/vhost-net",
		     "tap networks in the kernel");
	check_device(&rows[n++], "vhost-vsock", "/dev/vhost-vsock",
		     "vsock in the kernel");
	return n;
}

static bool is_ready(const struct row *rows, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (rows[i].is_required && !rows[i].is_available)
			return false;
	return true;
}

static int print_json(const struct row *rows, size_t nr)
{
	json_t *all = json_array();
	json_t *top;
	size_t i;
	int rc;

	for (i = 0; i < nr; i++)
		json_array_append_new(
			all,
			json_pack("{s:s, s:b, s:b, s:s}", "name", rows[i].name,
				  "required", (int)rows[i].is_required,
				  "available", (int)rows[i].is_available,
				  "detail", rows[i].detail));
	top = json_pack("{s:b, s:o}", "ready", (int)is_ready(rows, nr),
			"features", all);
	rc = top ? json_dumpf(top, stdout, JSON_INDENT(2)) : -1;
	json_decref(top);
	putchar('\n');
	return rc;
}

static void print_text(const struct row *rows, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		printf("%-8s %-24s%s%s\n",
		       rows[i].is_available  ? "ok"
		       : rows[i].is_required ? "MISSING"
					     : "absent",
		       rows[i].name, *rows[i].detail ? " " : "",
		       rows[i].detail);
	puts(is_ready(rows, nr)
		     ? "\nThis host has everything that 'vmm run' needs."
		     : "\nThis host lacks what is marked MISSING.");
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	bool *is_json = ctx;

	(void)opt;
	(void)value;
	(void)err;
	*is_json = true;
	return 0;
}

static const struct vc_option options[] = {
	{ "json", 0, NULL, "print one JSON object" },
};

static const struct vc_command command = {
	.name = "vmm doctor",
	.synopsis = "[OPTION]...",
	.summary = "Say what of what a virtual machine and its jails need this "
		   "host offers. The exit status is 0 when nothing that is "
		   "required is missing, else 1.",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
};

int cmd_doctor(int argc, char **argv)
{
	struct vc_error err = { VC_E_NONE, 0, "" };
	bool is_json = false, is_help;
	struct row rows[MAX_ROWS];
	int first = 0;
	size_t nr;

	if (vc_options_parse(&command, argc, argv, false, &is_json, &first,
			     &is_help, &err) < 0)
		return vc_report(stderr, command.name, &err);
	if (is_help) {
		vc_command_help(&command, stdout);
		return 0;
	}
	if (first < argc) {
		vc_fail(&err, VC_E_ARG, 0, "takes no operand");
		return vc_report(stderr, command.name, &err);
	}
	nr = check_all(rows);
	if (!is_json)
		print_text(rows, nr);
	else if (print_json(rows, nr) < 0)
		return 1;
	if (vc_stdout_flush(&err))
		return vc_report(stderr, command.name, &err);
	return is_ready(rows, nr) ? 0 : 1;
}
