/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this folder share.
 *
 * Threads: the main thread runs the loop (link, console, frontends, timers);
 * each vCPU has a thread. `lock` is the device lock: whoever touches a bus, a
 * register of a device, a frontend or the console holds it. `end_lock` and
 * `gate` guard only what stands next to them and are taken last. The data path
 * takes none of them.
 */
#ifndef VMM_MACHINE_INTERNAL_H
#define VMM_MACHINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <vmmcore/loop.h>
#include "vmm/arch/x86_64/arch.h"
#include "vmm/bus/virtio_pci.h"
#include "vmm/machine/machine.h"
#include "vmm/platform/acpi_pm.h"
#include "vmm/platform/mc146818.h"
#include "vmm/platform/ns16550.h"
#include "vmm/platform/reset.h"

struct machine;

/* --- console.c: the serial port and the host's descriptors ---------------- */

struct console {
	struct ns16550 uart;
	struct machine *m;   /* borrowed */
	int in_fd, out_fd;   /* borrowed; -1: none, or it ended */
	bool out_needs_poll; /* it may block, and it is not ours to change */
	bool out_is_tty;
	bool out_is_stalled; /* nobody took a byte for OUT_WAIT_MS */
	bool in_is_polled;   /* a file: epoll refuses it, it never blocks */
	bool is_flush_due;   /* the timer runs */
	struct vc_watch in_watch, out_watch;
	struct vc_timer flush_timer;
};
int console_init(struct console *c, struct machine *m, int in_fd, int out_fd,
		 struct vc_error *err) VC_MUST_CHECK;
void console_fini(struct console *c); /* also of a zeroed one */
/* Main thread, under the lock: watch what has to be watched. */
int console_attend(struct console *c, struct vc_error *err) VC_MUST_CHECK;
/* Main thread, vCPUs stopped: write out what is left. */
void console_drain(struct console *c);

/* --- device.c: frontends -------------------------------------------------- */

struct machine_device {
	struct machine *m; /* borrowed */
	unsigned index;
	const char *name; /* borrowed */
	struct vc_vhu_frontend *fe;
	struct vpci_vhost_user backend;
	struct vpci *vpci;
	int err_fd; /* eventfd: a queue broke */
	struct vc_watch sock_watch, err_watch, request_watch;
};
int device_attach(struct machine_device *d, struct machine *m, unsigned index,
		  struct machine_device_config *config,
		  struct vc_error *err) VC_MUST_CHECK;
void device_detach(struct machine_device *d); /* also of a zeroed one */

/* --- vcpu.c --------------------------------------------------------------- */

enum vcpu_phase {
	VCPU_CREATED, /* the thread has made and set up its vCPU */
	VCPU_SEALED,
	VCPU_RUNNING,
	VCPU_STOPPED,
};

struct machine_vcpu {
	struct machine *m; /* borrowed */
	unsigned index;
	struct vc_vcpu *vcpu;
	pthread_t thread;
	bool has_thread;
};

struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum vcpu_phase phase; /* the one the threads may go to */
	unsigned nr_there;     /* threads that have done it */
	bool is_paused;
	bool has_failed;
	struct vc_error err; /* of the first thread that failed */
};

int vcpus_start_threads(struct machine *m, struct vc_error *err) VC_MUST_CHECK;
/* Let all threads go to `phase` and wait until they have done it; RUNNING does
 * not wait. */
int vcpus_go(struct machine *m, enum vcpu_phase phase,
	     struct vc_error *err) VC_MUST_CHECK;
void vcpus_pause(struct machine *m, bool is_paused);
void vcpus_stop(struct machine *m); /* joins; also when there are none */

/* --- board.c: what every machine has -------------------------------------- */

int board_attach(struct machine *m, struct vc_error *err) VC_MUST_CHECK;
void board_detach(struct machine *m); /* also when attaching failed */

/* --- machine.c ------------------------------------------------------------ */

struct machine {
	struct machine_config *config; /* borrowed */
	pthread_mutex_t lock;	       /* the device lock */
	struct vc_mem *mem;
	struct vc_hv *hv;
	struct bus_hv_kvm bus_hv;
	struct arch_config arch;
	struct vc_vcpu_entry entry;

	struct bus pio, mmio;
	struct pci_host pci;
	struct console console;
	struct mc146818 rtc;
	struct vc_timer rtc_timer;
	struct acpi_pm pm;
	struct reset reset;
	struct machine_device devices[MACHINE_MAX_DEVICES];
	size_t nr_devices;

	struct vc_loop *loop;
	int wake_fd; /* eventfd: the main thread is wanted */
	struct vc_watch wake_watch, link_watch;

	struct machine_vcpu vcpus[ARCH_MAX_VCPUS];
	struct vcpu_gate gate;
	atomic_bool is_stopping; /* vCPUs leave; set before they are kicked */
	atomic_bool is_pausing;

	pthread_mutex_t end_lock;
	bool has_ended; /* `result` holds why */
	struct machine_result result;
};

/* The first call says how the VM ended and wakes the main thread. Any thread,
 * with or without the device lock. */
void machine_end(struct machine *m, enum link_end end, const char *text);
void machine_lose_device(struct machine *m, unsigned index, const char *text);
/* Have the main thread look at console and RTC. */
void machine_wake(struct machine *m);

#endif
