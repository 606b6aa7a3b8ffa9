/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <vmmcore/virtio.h>
#include "vmm/control/socket.h"
#include "vmm/supervisor/resources.h"
#include "vmm/supervisor/terminal.h"

#define CONNECT_TIMEOUT_MS 10000 /* to the backend of --vhost-user */

void vm_processes_init(struct vm_processes *p)
{
	size_t i;

	memset(p, 0, sizeof(*p));
	child_init(&p->machine, "machine");
	p->link_fd = -1;
	for (i = 0; i < VM_MAX_BLOCKS; i++)
		p->openers[i].fd = -1;
	p->dialer.fd = -1;
}

void vm_processes_fini(struct vm_processes *p)
{
	size_t i;

	child_fini(&p->machine);
	for (i = 0; i < p->nr_devices; i++)
		child_fini(&p->devices[i]);
	vm_processes_end_opening(p);
	dialer_fini(&p->dialer);
	vc_close(&p->link_fd);
	if (p->vsock_path)
		unlink(p->vsock_path);
	free(p->vsock_path);
}

int vm_processes_start_serving(struct vm_processes *p, struct vc_loop *loop,
			       struct vc_error *err)
{
	size_t i;

	for (i = 0; i < VM_MAX_BLOCKS; i++)
		if (p->openers[i].fd >= 0 &&
		    opener_start(&p->openers[i], loop, err) < 0)
			return -1;
	return p->dialer.fd < 0 ? 0 : dialer_start(&p->dialer, loop, err);
}

void vm_processes_end_opening(struct vm_processes *p)
{
	size_t i;

	for (i = 0; i < VM_MAX_BLOCKS; i++)
		opener_fini(&p->openers[i]);
}

void vm_processes_remove_logs(struct vm_processes *p)
{
	struct stat st;

	for (; p->nr_new_logs; p->nr_new_logs--) {
		const char *path = p->new_logs[p->nr_new_logs - 1];

		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !st.st_size)
			unlink(path);
	}
}

/* Open what the command line names: "WHAT 'PATH': open" if that fails. */
static int open_named(const char *what, const char *path, int flags,
		      mode_t mode, struct vc_error *err)
{
	int fd = vc_open(path, flags, mode, err);
	char shown[150];

	if (fd < 0 && err->code == VC_E_SYS)
		return vc_fail(err, VC_E_SYS, err->sys, "%s '%s': open", what,
			       vc_printable(path, shown, sizeof(shown)));
	return fd < 0 ? vc_prefix(err, "%s", what) : fd;
}

static int make_pair(int type, int ret[2], struct vc_error *err)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0)
		return vc_fail(err, VC_E_SYS, errno, "socketpair");
	return 0;
}

static void add_sandbox_args(struct child *c, const struct vm_config *cfg)
{
	static const char *const actions[] = {
		[VC_JAIL_KILL] = "kill",
		[VC_JAIL_ERRNO] = "errno",
		[VC_JAIL_LOG] = "log",
	};

	if (!cfg->has_sandbox)
		child_arg(c, "--disable-sandbox");
	child_arg(c, "--seccomp");
	child_arg(c, "%s", actions[cfg->seccomp]);
}

/* Tell the machine of the device in the next slot; `sock` is owned. */
static void add_slot(struct vm_processes *p, const char *name,
		     enum vc_virtio_id id, int sock)
{
	size_t slot = p->nr_slots++;

	snprintf(p->slot_name_buf[slot], sizeof(p->slot_name_buf[slot]), "%s",
		 name);
	p->slot_names[slot] = p->slot_name_buf[slot];
	child_arg(&p->machine, "--device");
	child_arg(&p->machine, "name=%s,id=%d,fd=%d", name, (int)id,
		  child_fd(&p->machine, sock));
}

/* A device process of class `cls`, connected to the machine; the caller adds
 * the class's own arguments. */
static int add_device(struct vm_processes *p, const struct vm_config *cfg,
		      const char *cls, enum vc_virtio_id id, unsigned index,
		      struct child **ret, struct vc_error *err)
{
	struct child *c = &p->devices[p->nr_devices];
	char name[32];
	int pair[2];

	if (p->nr_slots == VM_MAX_DEVICES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d devices",
			       VM_MAX_DEVICES);
	if (make_pair(SOCK_STREAM, pair, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "virtio-%s%u", cls, index);
	child_init(c, name);
	p->nr_devices++;
	add_slot(p, name, id, pair[0]);
	child_arg(c, "vmm");
	child_arg(c, "device");
	child_arg(c, "%s", cls);
	child_arg(c, "--name");
	child_arg(c, "%s", name);
	child_arg(c, "--fd");
	child_arg(c, "%d", child_fd(c, pair[1]));
	add_sandbox_args(c, cfg);
	*ret = c;
	return 0;
}

/* May the files that image `b` names be opened? A composite disk is nothing but
 * such names: to say that an image is one says it. */
static bool may_follow(const struct vm_block *b)
{
	return b->has_backing ||
	       (b->format &&
		!strcmp(vc_disk_format_names[b->format - 1], "composite"));
}

/* What the device process asks for the files it needs beside its image. */
static int add_opener(struct vm_processes *p, struct child *c,
		      const struct vm_block *b, unsigned i, char *ret_option,
		      size_t size, struct vc_error *err)
{
	int pair[2];

	*ret_option = '\0';
	if (!may_follow(b) && !b->is_direct)
		return 0;
	if (make_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	opener_init(&p->openers[i], pair[0], b->path, b->is_ro, may_follow(b));
	snprintf(ret_option, size, ",open-fd=%d%s", child_fd(c, pair[1]),
		 may_follow(b) ? ",backing" : "");
	return 0;
}

static int add_block(struct vm_processes *p, const struct vm_config *cfg,
		     unsigned i, struct vc_error *err)
{
	const struct vm_block *b = &cfg->blocks[i];
	char shown[300], open_option[40];
	struct child *c;
	int fd;

	fd = open_named("disk", b->path, b->is_ro ? O_RDONLY : O_RDWR, 0, err);
	if (fd < 0)
		return -1;
	if (add_device(p, cfg, "blk", VC_VIRTIO_ID_BLK, i, &c, err) < 0) {
		vc_close(&fd);
		return -1;
	}
	if (add_opener(p, c, b, i, open_option, sizeof(open_option), err) < 0) {
		vc_close(&fd);
		return -1;
	}
	snprintf(c->label, sizeof(c->label), "disk '%s'",
		 vc_printable(b->path, shown, sizeof(shown)));
	child_arg(c, "--disk");
	child_arg(
		c,
		"fd=%d%s%s%s%s%s,lock=%s,num-queues=%llu,block-size=%llu%s%s%s",
		child_fd(c, fd), open_option, b->is_ro ? ",ro" : "",
		b->is_direct ? ",direct" : "", b->format ? ",format=" : "",
		b->format ? vc_disk_format_names[b->format - 1] : "",
		b->has_lock ? "true" : "false",
		(unsigned long long)b->nr_queues,
		(unsigned long long)b->block_size, b->id ? ",id='" : "",
		b->id ? b->id : "", b->id ? "'" : "");
	return 0;
}

/* What a console reads from, -1 for nothing. */
static int open_input(const struct vm_serial *s, int *ret, struct vc_error *err)
{
	*ret = -1;
	if (s->is_stdin)
		*ret = terminal_open_stream(STDIN_FILENO, err);
	else if (s->input)
		*ret = open_named("console", s->input, O_RDONLY | O_NONBLOCK, 0,
				  err);
	else
		return 0;
	return *ret < 0 ? -1 : 0;
}

static int open_log(struct vm_processes *p, const char *path,
		    struct vc_error *err)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND, fd;

	fd = vc_open(path, flags | O_EXCL, 0644, NULL);
	if (fd >= 0)
		p->new_logs[p->nr_new_logs++] = path;
	else
		fd = open_named("console", path, flags, 0644, err);
	return fd;
}

static int open_output(struct vm_processes *p, const struct vm_serial *s,
		       int *ret, struct vc_error *err)
{
	*ret = -1;
	if (s->type == VM_SERIAL_STDOUT)
		*ret = terminal_open_stream(STDOUT_FILENO, err);
	else if (s->type == VM_SERIAL_FILE)
		*ret = open_log(p, s->path, err);
	else
		return 0;
	return *ret < 0 ? -1 : 0;
}

static int add_serial(struct vm_processes *p, const struct vm_config *cfg,
		      const struct vm_serial *s, unsigned *nr_consoles,
		      struct vc_error *err)
{
	bool is_hw = s->hardware == VM_HW_SERIAL;
	vc_auto_fd int in_fd = -1, out_fd = -1;
	struct child *c = &p->machine;

	if (open_input(s, &in_fd, err) < 0 ||
	    open_output(p, s, &out_fd, err) < 0)
		return -1;
	if (!is_hw && add_device(p, cfg, "console", VC_VIRTIO_ID_CONSOLE,
				 (*nr_consoles)++, &c, err) < 0)
		return -1;
	if (in_fd >= 0) {
		child_arg(c, is_hw ? "--serial-in" : "--in-fd");
		child_arg(c, "%d", child_fd(c, vc_steal_fd(&in_fd)));
	}
	if (out_fd >= 0) {
		child_arg(c, is_hw ? "--serial-out" : "--out-fd");
		child_arg(c, "%d", child_fd(c, vc_steal_fd(&out_fd)));
	}
	return 0;
}

static int add_vsock(struct vm_processes *p, const struct vm_config *cfg,
		     struct vc_error *err)
{
	vc_auto_fd int fd = -1;
	struct child *c;
	int pair[2];

	fd = socket_listen(cfg->vsock_socket, err);
	if (fd < 0)
		return vc_prefix(err, "vsock");
	p->vsock_path = strdup(cfg->vsock_socket);
	if (!p->vsock_path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "vsock");
	if (add_device(p, cfg, "vsock", VC_VIRTIO_ID_VSOCK, 0, &c, err) < 0)
		return -1;
	child_arg(c, "--cid");
	child_arg(c, "%llu", (unsigned long long)cfg->cid);
	child_arg(c, "--listen-fd");
	child_arg(c, "%d", child_fd(c, vc_steal_fd(&fd)));
	if (make_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	dialer_init(&p->dialer, pair[0], cfg->vsock_socket);
	child_arg(c, "--dial-fd");
	child_arg(c, "%d", child_fd(c, pair[1]));
	return 0;
}

static int add_vhost_user(struct vm_processes *p, const struct vm_vhost_user *v,
			  unsigned i, struct vc_error *err)
{
	static const enum vc_virtio_id ids[] = {
		VC_VIRTIO_ID_BLK,
		VC_VIRTIO_ID_CONSOLE,
		VC_VIRTIO_ID_RNG,
		VC_VIRTIO_ID_VSOCK,
	};
	char name[32];
	int fd = socket_connect(v->socket, CONNECT_TIMEOUT_MS, err);

	if (fd < 0)
		return vc_prefix(err, "vhost-user");
	snprintf(name, sizeof(name), "vhost-user-%s%u",
		 vm_vhost_user_types[v->type], i);
	add_slot(p, name, ids[v->type], fd);
	return 0;
}

static int add_devices(struct vm_processes *p, const struct vm_config *cfg,
		       struct vc_error *err)
{
	unsigned i, nr_consoles = 0;
	struct child *c;

	for (i = 0; i < cfg->nr_serials; i++)
		if (add_serial(p, cfg, &cfg->serials[i], &nr_consoles, err) < 0)
			return -1;
	for (i = 0; i < cfg->nr_blocks; i++)
		if (add_block(p, cfg, i, err) < 0)
			return -1;
	if (cfg->has_rng &&
	    add_device(p, cfg, "rng", VC_VIRTIO_ID_RNG, 0, &c, err) < 0)
		return -1;
	if (cfg->has_vsock && add_vsock(p, cfg, err) < 0)
		return -1;
	for (i = 0; i < cfg->nr_vhost_user; i++)
		if (add_vhost_user(p, &cfg->vhost_user[i], i, err) < 0)
			return -1;
	return 0;
}

/* `path` for the machine process: "--option FD". Without `what` it is a device
 * whose path says it all, and for writing as well. */
static int add_file(struct child *c, const char *option, const char *path,
		    const char *what, struct vc_error *err)
{
	int fd = what ? open_named(what, path, O_RDONLY, 0, err)
		      : vc_open(path, O_RDWR, 0, err);

	if (fd < 0)
		return -1;
	child_arg(c, "%s", option);
	child_arg(c, "%d", child_fd(c, fd));
	return 0;
}

static int add_machine(struct vm_processes *p, const struct vm_config *cfg,
		       struct vc_error *err)
{
	char cmdline[VM_CMDLINE_MAX];
	struct child *c = &p->machine;
	int pair[2];

	child_arg(c, "vmm");
	child_arg(c, "machine");
	add_sandbox_args(c, cfg);
	if (!cfg->has_kvm_check)
		child_arg(c, "--no-kvm-check");
	if (add_file(c, "--kvm", "/dev/kvm", NULL, err) < 0 ||
	    add_file(c, "--kernel", cfg->kernel, "kernel", err) < 0)
		return -1;
	if (cfg->initrd &&
	    add_file(c, "--initrd", cfg->initrd, "initrd", err) < 0)
		return -1;
	if (vm_config_cmdline(cfg, cmdline, sizeof(cmdline), err) < 0 ||
	    make_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	p->link_fd = pair[0];
	child_arg(c, "--link");
	child_arg(c, "%d", child_fd(c, pair[1]));
	child_arg(c, "--mem");
	child_arg(c, "%llu", (unsigned long long)cfg->mem_mib << 20);
	child_arg(c, "--cpus");
	child_arg(c, "%llu", (unsigned long long)cfg->nr_cpus);
	child_arg(c, "--cmdline");
	child_arg(c, "%s", cmdline);
	return 0;
}

/* Guest memory is taken from the host as the guest uses it, so that a guest may
 * be larger than what is free; one that can never fit is a mistake, found out
 * here rather than by the host's out-of-memory killer hours later. */
static int check_memory(const struct vm_config *c, struct vc_error *err)
{
	struct sysinfo info;
	uint64_t ram_mib, swap_mib;

	if (sysinfo(&info) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sysinfo");
	ram_mib = (uint64_t)info.totalram * info.mem_unit >> 20;
	swap_mib = (uint64_t)info.totalswap * info.mem_unit >> 20;
	if (c->mem_mib <= ram_mib + swap_mib)
		return 0;
	return vc_fail(err, VC_E_LIMIT, 0,
		       "--mem: %llu MiB: more than the host's %llu MiB of "
		       "memory and %llu MiB of swap",
		       (unsigned long long)c->mem_mib,
		       (unsigned long long)ram_mib,
		       (unsigned long long)swap_mib);
}

int vm_processes_prepare(struct vm_processes *p, const struct vm_config *c,
			 struct vc_error *err)
{
	if (check_memory(c, err) < 0)
		return -1;
	if (add_machine(p, c, err) < 0)
		return -1;
	return add_devices(p, c, err);
}
