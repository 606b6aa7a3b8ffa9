/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sequence is machine_main(). Everything a VM ever needs is acquired by
 * create and attach: RAM, the VM and its vCPUs, eventfds, interrupt routes,
 * threads, and an answer from each device process. Then every thread seals
 * itself, and only then does the guest run its first instruction.
 *
 * Whatever ends the VM first is kept by machine_end(), from any thread; the
 * main thread then stops the vCPUs, writes out what the guest had said, and
 * reports to the supervisor. A supervisor that has gone is the end at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/util.h>
#include "vmm/machine/internal.h"

static struct machine *machine_destroy(struct machine *m);
VC_DEFINE_CLEANUP(machine, struct machine *, machine_destroy)

/* --- the end -------------------------------------------------------------- */

void machine_wake(struct machine *m)
{
	uint64_t one = 1;

	if (write(m->wake_fd, &one, sizeof(one)) < 0)
		return; /* the count is full: it is awake */
}

static void end_once(struct machine *m, enum link_end end, int lost_device,
		     const char *text)
{
	pthread_mutex_lock(&m->end_lock);
	if (!m->has_ended) {
		m->has_ended = true;
		m->result.end = end;
		m->result.lost_device = lost_device;
		snprintf(m->result.text, sizeof(m->result.text), "%s", text);
	}
	pthread_mutex_unlock(&m->end_lock);
	atomic_store(&m->is_stopping, true);
	machine_wake(m);
}

void machine_end(struct machine *m, enum link_end end, const char *text)
{
	end_once(m, end, -1, text);
}

void machine_lose_device(struct machine *m, unsigned index, const char *text)
{
	end_once(m, LINK_END_ERROR, (int)index, text);
}

/* --- jail ----------------------------------------------------------------- */

/* Keep the descriptors the configuration names, and the log. */
static int jail_enter(const struct machine_config *c, struct vc_error *err)
{
	int keep[8 + MACHINE_MAX_DEVICES], all[] = {
		STDERR_FILENO, c->kvm_fd,	c->link_fd,	  c->kernel_fd,
		c->initrd_fd,  c->serial_in_fd, c->serial_out_fd,
	};
	struct rlimit files;
	size_t i, nr = 0;

	for (i = 0; i < VC_ARRAY_SIZE(all); i++)
		if (all[i] >= 0)
			keep[nr++] = all[i];
	for (i = 0; i < c->nr_devices; i++)
		keep[nr++] = c->devices[i].fd;
	if (vc_jail_close_others(keep, nr, err) < 0)
		return -1;
	/* two eventfds a queue, up to 64 queues a device */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return c->has_sandbox ? vc_jail_namespaces("machine", err) : 0;
}

/* Where KVM emulates guest kernels, a stock kernel ends minutes later in an
 * instruction the emulator lacks, or not at all. Find out before the jail hides
 * what the answer names; it is given when nothing else was wrong. */
static void check_kvm(const struct machine_config *c, char *fault, size_t size)
{
	*fault = '\0';
	if (c->has_kvm_check && vc_hv_is_emulated() &&
	    vc_hv_probe(c->kvm_fd, fault, size))
		*fault = '\0';
}

/* --- create --------------------------------------------------------------- */

static void on_kick(int sig)
{
	(void)sig; /* it has interrupted what it was to interrupt */
}

static int set_signals(struct vc_error *err)
{
	struct sigaction kick = { .sa_handler = on_kick };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	if (sigaction(SIGRTMIN, &kick, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sigaction");
	return 0;
}

static int create_guest(struct machine *m, struct vc_error *err)
{
	struct machine_config *c = m->config;

	m->arch = (struct arch_config){
		.nr_vcpus = c->nr_vcpus,
		.mem_bytes = c->mem_bytes,
		.cmdline = c->cmdline ? c->cmdline : "",
		.kernel_fd = c->kernel_fd,
		.initrd_fd = c->initrd_fd,
	};
	if (vc_mem_new(&m->mem, err) < 0 ||
	    arch_add_ram(m->mem, c->mem_bytes, err) < 0 ||
	    arch_load(&m->arch, m->mem, &m->entry, err) < 0)
		return -1;
	vc_close(&c->kernel_fd);
	vc_close(&c->initrd_fd);
	if (vc_hv_new(c->kvm_fd, &m->hv, err) < 0)
		return -1;
	c->kvm_fd = -1; /* the VM's */
	if (vc_hv_map_memory(m->hv, m->mem, err) < 0)
		return -1;
	bus_hv_kvm_init(&m->bus_hv, m->hv);
	return 0;
}

static int machine_create(struct machine_config *config, struct machine **ret,
			  struct vc_error *err)
{
	vc_auto(machine) struct machine *m = calloc(1, sizeof(*m));

	if (!m) {
		vc_fail(err, VC_E_SYS, ENOMEM, "machine");
		return -1;
	}
	m->config = config;
	m->result.lost_device = -1;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->end_lock, NULL);
	pthread_mutex_init(&m->gate.lock, NULL);
	pthread_cond_init(&m->gate.changed, NULL);
	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake_fd < 0) {
		vc_fail(err, VC_E_SYS, errno, "eventfd");
		return -1;
	}
	if (set_signals(err) < 0 || vc_loop_new(&m->loop, err) < 0 ||
	    create_guest(m, err) < 0)
		return -1;
	*ret = m;
	m = NULL;
	return 0;
}

/* --- the main thread's events --------------------------------------------- */

static void on_wake(struct vc_watch *w, uint32_t events)
{
	struct machine *m = vc_container_of(w, struct machine, wake_watch);
	struct vc_error err;
	uint64_t count;
	int rc;

	(void)events;
	if (read(m->wake_fd, &count, sizeof(count)) < 0)
		return;
	if (atomic_load(&m->is_stopping)) {
		vc_loop_stop(m->loop, 0);
		return;
	}
	pthread_mutex_lock(&m->lock);
	vc_timer_stop(&m->rtc_timer);
	if (mc146818_next_ns(&m->rtc))
		vc_timer_start(&m->rtc_timer, mc146818_next_ns(&m->rtc));
	rc = console_attend(&m->console, &err);
	pthread_mutex_unlock(&m->lock);
	if (rc < 0)
		machine_end(m, LINK_END_ERROR, err.msg);
}

static void on_link(struct vc_watch *w, uint32_t events)
{
	struct machine *m = vc_container_of(w, struct machine, link_watch);
	struct link_msg msg;
	struct vc_error err;
	bool is_eof;

	(void)events;
	if (link_recv(m->config->link_fd, &msg, &is_eof, &err) < 0 || is_eof) {
		m->result.is_orphaned = true;
		vc_loop_stop(m->loop, 0);
		return;
	}
	switch (le32_get(msg.type)) {
	case LINK_STOP:
		machine_end(m, LINK_END_POWEROFF, "stopped");
		break;
	case LINK_POWER_BUTTON:
		pthread_mutex_lock(&m->lock);
		acpi_pm_press_power_button(&m->pm);
		pthread_mutex_unlock(&m->lock);
		break;
	case LINK_PAUSE:
		vcpus_pause(m, true);
		break;
	case LINK_RESUME:
		vcpus_pause(m, false);
		break;
	default: /* a newer supervisor's */
		break;
	}
}

/* --- attach, seal, run, destroy ------------------------------------------- */

static int machine_attach(struct machine *m, struct vc_error *err)
{
	struct machine_config *c = m->config;
	size_t i;

	if (board_attach(m, err) < 0)
		return -1;
	for (i = 0; i < c->nr_devices; i++) {
		m->nr_devices++;
		if (device_attach(&m->devices[i], m, (unsigned)i,
				  &c->devices[i], err) < 0)
			return -1;
	}
	if (vc_watch_add(m->loop, &m->wake_watch, m->wake_fd, EPOLLIN, on_wake,
			 err) < 0)
		return -1;
	if (c->link_fd >= 0 && vc_watch_add(m->loop, &m->link_watch, c->link_fd,
					    EPOLLIN, on_link, err) < 0)
		return -1;
	return vcpus_start_threads(m, err);
}

static int machine_accept(const char *kvm_fault, struct vc_error *err)
{
	if (*kvm_fault)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "/dev/kvm: run a kernel: %s", kvm_fault);
	return 0;
}

static int machine_seal(struct machine *m, struct vc_error *err)
{
	const struct machine_config *c = m->config;
	struct vc_jail_limits limits = { .allow_threads = false };

	if (vcpus_go(m, VCPU_SEALED, err) < 0)
		return -1;
	if (!c->has_sandbox)
		return 0;
	return vc_jail_seal(VC_ROLE_MACHINE, c->seccomp_action, &limits, err);
}

static int machine_run(struct machine *m, struct machine_result *ret,
		       struct vc_error *err)
{
	int link_fd = m->config->link_fd;

	if (link_fd >= 0 && link_send(link_fd, LINK_READY, 0, NULL, err) < 0)
		return -1;
	machine_wake(m); /* input may be there already */
	if (vcpus_go(m, VCPU_RUNNING, err) < 0 ||
	    vc_loop_run(m->loop, NULL, err) < 0)
		return -1;
	*ret = m->result;
	if (m->result.is_orphaned)
		_exit(1); /* nobody is left to tell, or to wait for */
	vcpus_stop(m);
	console_drain(&m->console);
	*ret = m->result;
	if (link_fd < 0)
		return 0;
	if (ret->lost_device >= 0)
		return link_send(link_fd, LINK_DEVICE_LOST,
				 (uint32_t)ret->lost_device, ret->text, err);
	return link_send(link_fd, LINK_ENDED, ret->end, ret->text, err);
}

static struct machine *machine_destroy(struct machine *m)
{
	size_t i;

	if (!m)
		return NULL;
	vcpus_stop(m);
	for (i = 0; i < m->nr_devices; i++)
		device_detach(&m->devices[i]);
	board_detach(m);
	vc_watch_remove(&m->wake_watch);
	vc_watch_remove(&m->link_watch);
	vc_loop_free(m->loop);
	vc_hv_free(m->hv);
	vc_mem_free(m->mem);
	vc_close(&m->wake_fd);
	pthread_cond_destroy(&m->gate.changed);
	pthread_mutex_destroy(&m->gate.lock);
	pthread_mutex_destroy(&m->end_lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

int machine_main(struct machine_config *config, struct machine_result *ret,
		 struct vc_error *err)
{
	vc_auto(machine) struct machine *m = NULL;
	char kvm_fault[200];

	check_kvm(config, kvm_fault, sizeof(kvm_fault));
	if (jail_enter(config, err) < 0 ||	   /* namespaces */
	    machine_create(config, &m, err) < 0 || /* RAM, kernel, VM */
	    machine_attach(m, err) < 0 ||	  /* platform, devices, vCPUs */
	    machine_accept(kvm_fault, err) < 0 || /* can it run at all? */
	    machine_seal(m, err) < 0 ||		  /* system calls */
	    machine_run(m, ret, err) < 0)	  /* the guest, to its end */
		return -1;
	return 0; /* and machine_destroy() */
}
