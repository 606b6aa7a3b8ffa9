/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest VMM on libvmmcore: a kernel, an initrd, a serial port to write
 * to, a way to power off. One process and no jail, so not for guests one does
 * not trust; `vmm run` is for those.
 *
 *	minimal-vmm [-c VCPUS] [-m MIB] KERNEL INITRD [COMMAND LINE]
 *
 * Read it from main() up: open, load, make vCPUs, run. Each vCPU has a thread;
 * an exit that is not answered by KVM itself comes to handle_exit().
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>
#include "vmm/arch/x86_64/arch.h"

#define LSR_PORT (ARCH_PORT_COM1 + 5)
#define LSR_EMPTY 0x60 /* the transmitter takes more */
#define IIR_PORT (ARCH_PORT_COM1 + 2)
#define IIR_NONE 0x01 /* no interrupt is pending */
#define IIR_THRE 0x02 /* the transmitter is empty */
#define IER_PORT (ARCH_PORT_COM1 + 1)
#define IER_THRI 0x02
#define LCR_PORT (ARCH_PORT_COM1 + 3)
#define LCR_DLAB 0x80
#define PM1_ENABLE_PORT (ARCH_PORT_PM1A_EVT + 2)
#define NO_DEVICE 0xff /* what a read of nothing gives */

struct vcpu_thread {
	struct vc_vcpu *vcpu;
	pthread_t thread;
	bool is_running;
};

static struct {
	struct arch_config cfg;
	struct vc_hv *hv;
	struct vc_mem *mem;
	struct vcpu_thread vcpus[ARCH_MAX_VCPUS];
	pthread_mutex_t start; /* held until every thread is there to kick */
	pthread_mutex_t lock;  /* of the serial port */
	uint8_t ier, lcr;
	uint16_t pm1_enable;
	atomic_bool is_over;
	atomic_int status;
} vm = { .cfg = { .nr_vcpus = 1,
		  .mem_bytes = UINT64_C(256) << 20,
		  .cmdline = "console=ttyS0 panic=-1",
		  .kernel_fd = -1,
		  .initrd_fd = -1 },
	 .start = PTHREAD_MUTEX_INITIALIZER,
	 .lock = PTHREAD_MUTEX_INITIALIZER };

static void stop(int status)
{
	unsigned i;

	if (atomic_exchange(&vm.is_over, true))
		return;
	atomic_store(&vm.status, status);
	for (i = 0; i < vm.cfg.nr_vcpus; i++)
		if (vm.vcpus[i].is_running)
			vc_vcpu_kick(vm.vcpus[i].vcpu, vm.vcpus[i].thread);
}

/* --- the serial port: output only, always ready --------------------------- */

static void serial_interrupt(void)
{
	struct vc_error err;

	/* an edge: the transmitter has become empty */
	if (vm.ier & IER_THRI &&
	    (vc_hv_set_irq(vm.hv, ARCH_IRQ_COM1, true, &err) < 0 ||
	     vc_hv_set_irq(vm.hv, ARCH_IRQ_COM1, false, &err) < 0))
		stop(vc_report(stderr, "minimal-vmm", &err));
}

static void serial_write(uint64_t port, uint8_t v)
{
	pthread_mutex_lock(&vm.lock);
	if (port == LCR_PORT)
		vm.lcr = v;
	else if (port == IER_PORT && !(vm.lcr & LCR_DLAB))
		vm.ier = v & 0xf;
	else if (port == ARCH_PORT_COM1 && !(vm.lcr & LCR_DLAB) &&
		 write(STDOUT_FILENO, &v, 1) < 0)
		stop(EXIT_FAILURE);
	pthread_mutex_unlock(&vm.lock);
	if (port == ARCH_PORT_COM1 || port == IER_PORT)
		serial_interrupt();
}

static uint8_t serial_read(uint64_t port)
{
	if (port == LSR_PORT)
		return LSR_EMPTY;
	if (port == LCR_PORT)
		return vm.lcr;
	if (port == IER_PORT)
		return vm.lcr & LCR_DLAB ? 0 : vm.ier;
	if (port == IIR_PORT)
		return vm.ier & IER_THRI ? IIR_THRE : IIR_NONE;
	return 0;
}

/* --- exits ---------------------------------------------------------------- */

static void pio_write(uint64_t port, uint32_t len, const uint8_t *data)
{
	unsigned v = data[0];

	if (len > 1)
		v |= (unsigned)data[1] << 8;
	if (port >= ARCH_PORT_COM1 && port < ARCH_PORT_COM1 + 8)
		serial_write(port, data[0]);
	else if (port == PM1_ENABLE_PORT)
		vm.pm1_enable = (uint16_t)v;
	else if ((port == ARCH_PORT_RESET && v & 4) ||
		 (port == ARCH_PORT_I8042_CMD && v == 0xfe) ||
		 (port == ARCH_PORT_PM1A_CNT && v & ARCH_PM1_SLP_EN))
		stop(EXIT_SUCCESS);
}

static void pio_read(uint64_t port, uint32_t len, uint8_t *data)
{
	memset(data, NO_DEVICE, len);
	if (port >= ARCH_PORT_COM1 && port < ARCH_PORT_COM1 + 8)
		data[0] = serial_read(port);
	else if (port == PM1_ENABLE_PORT && len == 2)
		memcpy(data, &vm.pm1_enable, len);
	else if (port == ARCH_PORT_PM1A_CNT && len == 2)
		memcpy(data, (uint8_t[]){ ARCH_PM1_SCI_EN, 0 }, len);
	else if (port == ARCH_PORT_PM1A_EVT || port == ARCH_PORT_I8042_CMD ||
		 port == ARCH_PORT_RTC_DATA)
		memset(data, 0, len); /* no event, ready, not updating */
}

static void handle_exit(struct vc_vcpu *vcpu, const struct vc_exit *e)
{
	char text[512];
	uint32_t i;

	if (e->kind == VC_EXIT_PIO) {
		for (i = 0; i < e->count; i++)
			if (e->is_write)
				pio_write(e->addr, e->len,
					  e->data + i * e->len);
			else
				pio_read(e->addr, e->len, e->data + i * e->len);
	} else if (e->kind == VC_EXIT_MMIO) {
		if (!e->is_write)
			memset(e->data, NO_DEVICE, e->len);
	} else if (e->kind == VC_EXIT_RESET || e->kind == VC_EXIT_POWEROFF) {
		stop(EXIT_SUCCESS);
	} else if (e->kind != VC_EXIT_NONE) {
		fprintf(stderr, "minimal-vmm: %s\n",
			vc_vcpu_describe(vcpu, text, sizeof(text)));
		stop(EXIT_FAILURE);
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu_thread *t = arg;
	struct vc_error err;
	struct vc_exit e;

	pthread_mutex_lock(&vm.start);
	pthread_mutex_unlock(&vm.start);
	while (!atomic_load(&vm.is_over)) {
		if (vc_vcpu_run(t->vcpu, &e, &err) < 0)
			stop(vc_report(stderr, "minimal-vmm", &err));
		else
			handle_exit(t->vcpu, &e);
	}
	return NULL;
}

static void on_kick(int sig __attribute__((unused)))
{
}

/* --- set-up --------------------------------------------------------------- */

static int create(struct vc_error *err)
{
	struct vc_vcpu_entry entry;
	unsigned i;
	vc_auto_fd int kvm_fd = vc_open("/dev/kvm", O_RDWR, 0, err);

	if (kvm_fd < 0 || vc_hv_new(kvm_fd, &vm.hv, err) < 0)
		return -1;
	vc_steal_fd(&kvm_fd);
	if (vc_mem_new(&vm.mem, err) < 0 ||
	    arch_add_ram(vm.mem, vm.cfg.mem_bytes, err) < 0 ||
	    vc_hv_map_memory(vm.hv, vm.mem, err) < 0 ||
	    arch_load(&vm.cfg, vm.mem, &entry, err) < 0)
		return -1;
	for (i = 0; i < vm.cfg.nr_vcpus; i++)
		if (vc_vcpu_new(vm.hv, i, &vm.vcpus[i].vcpu, err) < 0 ||
		    arch_setup_vcpu(&vm.cfg, vm.hv, vm.vcpus[i].vcpu, i, &entry,
				    err) < 0)
			return -1;
	return 0;
}

static int run(struct vc_error *err)
{
	struct sigaction sa = { .sa_handler = on_kick };
	unsigned i;

	sigaction(SIGRTMIN, &sa, NULL);
	pthread_mutex_lock(&vm.start);
	for (i = 0; i < vm.cfg.nr_vcpus; i++) {
		struct vcpu_thread *t = &vm.vcpus[i];
		int e = pthread_create(&t->thread, NULL, vcpu_main, t);

		if (e) {
			vc_fail(err, VC_E_SYS, e, "vCPU %u: start", i);
			stop(EXIT_FAILURE);
			break;
		}
		t->is_running = true;
	}
	pthread_mutex_unlock(&vm.start);
	for (i = 0; i < vm.cfg.nr_vcpus; i++)
		if (vm.vcpus[i].is_running)
			pthread_join(vm.vcpus[i].thread, NULL);
	return err->code ? -1 : 0;
}

static void destroy(void)
{
	unsigned i;

	for (i = 0; i < ARCH_MAX_VCPUS; i++)
		vc_vcpu_free(vm.vcpus[i].vcpu);
	vc_hv_free(vm.hv);
	vc_mem_free(vm.mem);
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	uint64_t v;

	(void)ctx;
	if (vc_parse_u64(value, UINT32_MAX, &v, err) < 0)
		return vc_prefix(err, "--%s", opt->name);
	if (opt->letter == 'm')
		vm.cfg.mem_bytes = v << 20;
	else
		vm.cfg.nr_vcpus = (unsigned)v; /* arch_load() checks it */
	return 0;
}

int main(int argc, char **argv)
{
	static const struct vc_option options[] = {
		{ "cpus", 'c', "N", "number of vCPUs (default 1)" },
		{ "mem", 'm', "MIB", "memory (default 256)" },
	};
	static const struct vc_command command = {
		.name = "minimal-vmm",
		.synopsis = "[OPTION]... KERNEL INITRD [COMMAND LINE]",
		.summary = "Boot a kernel with a serial port and nothing else.",
		.options = options,
		.nr_options = VC_ARRAY_SIZE(options),
		.on_option = on_option,
	};
	struct vc_error err = { 0 };
	bool is_help;
	int first, status;

	if (vc_options_parse(&command, argc, argv, false, NULL, &first,
			     &is_help, &err) < 0)
		return vc_report(stderr, "minimal-vmm", &err);
	if (is_help || argc - first < 2 || argc - first > 3) {
		vc_command_help(&command, is_help ? stdout : stderr);
		return is_help ? EXIT_SUCCESS : 2;
	}
	if (argc - first == 3)
		vm.cfg.cmdline = argv[first + 2];
	vm.cfg.kernel_fd = vc_open(argv[first], O_RDONLY, 0, &err);
	if (vm.cfg.kernel_fd >= 0)
		vm.cfg.initrd_fd = vc_open(argv[first + 1], O_RDONLY, 0, &err);
	if (vm.cfg.initrd_fd < 0 || create(&err) < 0 || run(&err) < 0)
		status = vc_report(stderr, "minimal-vmm", &err);
	else
		status = atomic_load(&vm.status);
	destroy();
	return status;
}
