/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "vmm/supervisor/config.h"

const char *const vm_vhost_user_types[] = { "blk", "console", "rng", "vsock",
					    NULL };

void vm_config_init(struct vm_config *c)
{
	memset(c, 0, sizeof(*c));
	c->nr_cpus = 1;
	c->mem_mib = 256;
	c->has_rng = true;
	c->has_sandbox = true;
	c->has_kvm_check = true;
	c->seccomp = VC_JAIL_KILL;
}

void vm_config_fini(struct vm_config *c)
{
	size_t i;

	free(c->name);
	free(c->kernel);
	free(c->initrd);
	free(c->vsock_socket);
	free(c->control_socket);
	for (i = 0; i < c->nr_params; i++)
		free(c->params[i]);
	for (i = 0; i < c->nr_blocks; i++) {
		free(c->blocks[i].path);
		free(c->blocks[i].id);
	}
	for (i = 0; i < c->nr_serials; i++) {
		free(c->serials[i].path);
		free(c->serials[i].input);
	}
	for (i = 0; i < c->nr_vhost_user; i++)
		free(c->vhost_user[i].socket);
	memset(c, 0, sizeof(*c));
}

static int finish_serials(struct vm_config *c, struct vc_error *err)
{
	unsigned nr_hw = 0, nr_stdin = 0;
	bool has_console = false;
	size_t i;

	for (i = 0; i < c->nr_serials; i++) {
		const struct vm_serial *s = &c->serials[i];

		nr_hw += s->hardware == VM_HW_SERIAL;
		nr_stdin += s->is_stdin;
		has_console |= s->is_console;
		if (s->num > 1)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "--serial: num=%llu: only port 1 exists",
				       (unsigned long long)s->num);
		if ((s->type == VM_SERIAL_FILE) != !!s->path)
			return vc_fail(err, VC_E_ARG, 0,
				       "--serial: path= goes with type=file");
		if (s->is_stdin && s->input)
			return vc_fail(err, VC_E_ARG, 0,
				       "--serial: stdin and input= exclude "
				       "each other");
		if (s->is_earlycon && s->hardware != VM_HW_SERIAL)
			return vc_fail(err, VC_E_ARG, 0,
				       "--serial: earlycon needs "
				       "hardware=serial");
	}
	if (nr_hw > 1 || nr_stdin > 1)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "--serial: %s can be used once",
			       nr_hw > 1 ? "hardware=serial" : "stdin");
	if (!has_console && !nr_hw && c->nr_serials < VM_MAX_CONSOLES)
		c->serials[c->nr_serials++] = (struct vm_serial){
			.type = VM_SERIAL_STDOUT,
			.hardware = VM_HW_SERIAL,
			.num = 1,
			.is_stdin = !nr_stdin,
			.is_console = true,
		};
	return 0;
}

static int finish_vsock(struct vm_config *c, struct vc_error *err)
{
	if (!c->has_vsock && c->control_socket)
		c->has_vsock = true;
	if (!c->has_vsock)
		return 0;
	if (!c->cid)
		c->cid = VM_DEFAULT_CID;
	if (c->cid < 3 || c->cid >= UINT32_MAX)
		return vc_fail(err, VC_E_ARG, 0,
			       "--vsock: cid=%llu: must be 3 to 4294967294",
			       (unsigned long long)c->cid);
	if (!c->vsock_socket && !c->control_socket)
		return vc_fail(err, VC_E_ARG, 0,
			       "--vsock: needs socket=PATH, or --socket");
	if (!c->vsock_socket &&
	    asprintf(&c->vsock_socket, "%s.vsock", c->control_socket) < 0) {
		c->vsock_socket = NULL;
		return vc_fail(err, VC_E_SYS, ENOMEM, "--vsock");
	}
	return 0;
}

static int check_sizes(const struct vm_config *c, struct vc_error *err)
{
	size_t nr = c->nr_blocks + c->nr_serials + c->nr_vhost_user + 2, i;
	unsigned nr_root = 0;

	if (!c->kernel)
		return vc_fail(err, VC_E_ARG, 0, "no kernel given");
	if (!c->nr_cpus || c->nr_cpus > VM_MAX_CPUS)
		return vc_fail(err, VC_E_ARG, 0, "--cpus: must be 1 to %d",
			       VM_MAX_CPUS);
	if (c->mem_mib < VM_MIN_MEM_MIB || c->mem_mib > VM_MAX_MEM_MIB)
		return vc_fail(err, VC_E_ARG, 0, "--mem: must be %d to %d MiB",
			       VM_MIN_MEM_MIB, VM_MAX_MEM_MIB);
	if (nr > VM_MAX_DEVICES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d virtio devices", VM_MAX_DEVICES);
	for (i = 0; i < c->nr_blocks; i++)
		nr_root += c->blocks[i].is_root;
	if (nr_root > 1)
		return vc_fail(err, VC_E_ARG, 0,
			       "--block: only one can be root");
	return 0;
}

int vm_config_finish(struct vm_config *c, struct vc_error *err)
{
	if (finish_serials(c, err) < 0 || finish_vsock(c, err) < 0)
		return -1;
	if (!c->name && asprintf(&c->name, "vm-%d", (int)getpid()) < 0) {
		c->name = NULL;
		return vc_fail(err, VC_E_SYS, ENOMEM, "--name");
	}
	return check_sizes(c, err);
}

/* Append a piece to the command line, with a space before all but the first. */
static int add(char *buf, size_t size, struct vc_error *err, const char *fmt,
	       ...) VC_PRINTF(4, 5);

static int add(char *buf, size_t size, struct vc_error *err, const char *fmt,
	       ...)
{
	size_t used = strlen(buf);
	va_list ap;
	int n;

	if (used && used + 1 < size) {
		buf[used++] = ' ';
		buf[used] = '\0';
	}
	va_start(ap, fmt);
	n = vsnprintf(buf + used, size - used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size - used)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "--params: kernel command line: longer than "
			       "%zu bytes",
			       size - 1);
	return 0;
}

int vm_config_cmdline(const struct vm_config *c, char *buf, size_t size,
		      struct vc_error *err)
{
	unsigned hvc = 0;
	size_t i;

	buf[0] = '\0';
	/* an unattended guest that panics ends instead of hanging */
	if (add(buf, size, err, "panic=-1") < 0)
		return -1;
	for (i = 0; i < c->nr_serials; i++) {
		const struct vm_serial *s = &c->serials[i];
		bool is_hw = s->hardware == VM_HW_SERIAL;

		if (s->is_earlycon &&
		    add(buf, size, err, "earlycon=uart8250,io,0x3f8") < 0)
			return -1;
		if (s->is_console &&
		    add(buf, size, err, "console=%s%u", is_hw ? "ttyS" : "hvc",
			is_hw ? 0 : hvc) < 0)
			return -1;
		hvc += !is_hw;
	}
	for (i = 0; i < c->nr_blocks; i++)
		if (c->blocks[i].is_root &&
		    add(buf, size, err, "root=/dev/vd%c %s", 'a' + (int)i,
			c->blocks[i].is_ro ? "ro" : "rw") < 0)
			return -1;
	for (i = 0; i < c->nr_params; i++)
		if (add(buf, size, err, "%s", c->params[i]) < 0)
			return -1;
	return 0;
}
