/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A real KVM runs a few bytes of code here. They are chosen so that a KVM that
 * emulates guest kernels runs them too. Without /dev/kvm the program is
 * skipped; tests/e2e/test-host.sh runs it where there is one with hardware, which
 * may be emulated.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vmmcore/kvm.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"

#define RAM_BYTES 0x10000
#define CODE 0x1000
#define GDT 0x500
#define MMIO_ADDR 0xd0000000

static struct vc_error err;
static struct vc_hv *hv;
static struct vc_mem *mem;
static struct vc_vcpu *vcpu;
static struct vc_exit e;

static void on_kick(int sig)
{
	(void)sig;
}

static int open_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void setup(void)
{
	static const struct sigaction sa = { .sa_handler = on_kick };

	sigaction(SIGRTMIN, &sa, NULL);
	ck_ok(vc_hv_new(open_kvm(), &hv, &err), &err);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_ram(mem, "ram", 0, RAM_BYTES, &err), &err);
	ck_ok(vc_hv_map_memory(hv, mem, &err), &err);
	ck_ok(vc_vcpu_new(hv, 0, &vcpu, &err), &err);
}

static void teardown(void)
{
	vcpu = vc_vcpu_free(vcpu);
	hv = vc_hv_free(hv);
	mem = vc_mem_free(mem);
}

/* Let the vCPU start at `code`, flat 32-bit. */
static void enter(const void *code, size_t n)
{
	static const uint64_t gdt[4] = { 0, 0, 0x00cf9b000000ffff,
					 0x00cf93000000ffff };
	struct vc_vcpu_entry entry = { .rip = CODE, .gdt = GDT, .rbx = 0x42 };
	struct vc_cpuid_entry cpuid[VC_HV_MAX_CPUID];
	size_t nr;

	ck_assert(vc_mem_write(mem, GDT, gdt, sizeof(gdt)));
	ck_assert(vc_mem_write(mem, CODE, code, n));
	ck_ok(vc_hv_get_cpuid(hv, cpuid, &nr, &err), &err);
	ck_ok(vc_vcpu_set_cpuid(vcpu, cpuid, nr, &err), &err);
	ck_ok(vc_vcpu_set_entry(vcpu, &entry, &err), &err);
}

static void run(enum vc_exit_kind want)
{
	char text[400];

	ck_ok(vc_vcpu_run(vcpu, &e, &err), &err);
	ck_assert_msg(e.kind == want, "exit %d: %s", (int)e.kind,
		      vc_vcpu_describe(vcpu, text, sizeof(text)));
}

START_TEST(port_access_exits)
{
	static const uint8_t code[] = {
		0x88, 0xd8,	  /* mov %bl,%al */
		0xe6, 0x80,	  /* out %al,$0x80 */
		0xe4, 0x81,	  /* in $0x81,%al */
		0x66, 0xe7, 0x82, /* out %ax,$0x82 */
	};

	enter(code, sizeof(code));
	run(VC_EXIT_PIO);
	ck_assert(e.is_write);
	ck_assert_uint_eq(e.addr, 0x80);
	ck_assert_uint_eq(e.len, 1);
	ck_assert_uint_eq(e.count, 1);
	ck_assert_uint_eq(e.data[0], 0x42);
	run(VC_EXIT_PIO);
	ck_assert(!e.is_write);
	ck_assert_uint_eq(e.addr, 0x81);
	e.data[0] = 0x99;
	run(VC_EXIT_PIO);
	ck_assert_uint_eq(e.addr, 0x82);
	ck_assert_uint_eq(e.len, 2);
	ck_assert_uint_eq(e.data[0], 0x99);
}
END_TEST

START_TEST(memory_access_outside_ram_exits)
{
	static const uint8_t code[] = {
		0x89, 0x1d, 0x10, 0x00, 0x00, 0xd0, /* mov %ebx,0xd0000010 */
		0xa1, 0x20, 0x00, 0x00, 0xd0,	    /* mov 0xd0000020,%eax */
		0xe6, 0x80,			    /* out %al,$0x80 */
	};

	enter(code, sizeof(code));
	run(VC_EXIT_MMIO);
	ck_assert(e.is_write);
	ck_assert_uint_eq(e.addr, MMIO_ADDR + 0x10);
	ck_assert_uint_eq(e.len, 4);
	ck_assert_mem_eq(e.data, "\x42\0\0\0", 4);
	run(VC_EXIT_MMIO);
	ck_assert(!e.is_write);
	ck_assert_uint_eq(e.addr, MMIO_ADDR + 0x20);
	memcpy(e.data, "\x77\0\0\0", 4);
	run(VC_EXIT_PIO);
	ck_assert_uint_eq(e.data[0], 0x77);
}
END_TEST

static bool is_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

START_TEST(ioeventfd_takes_the_write)
{
	static const uint8_t code[] = {
		0x66, 0x89, 0x1d, 0x00, 0x00, 0x00, 0xd0, /* mov %bx,... */
		0xe6, 0x80,				  /* out %al,$0x80 */
		0x66, 0x89, 0x1d, 0x00, 0x00, 0x00, 0xd0,
	};
	vc_auto_fd int fd = eventfd(0, EFD_CLOEXEC);

	ck_ok(vc_hv_add_ioeventfd(hv, fd, MMIO_ADDR, 0, &err), &err);
	/* one address, one event */
	ck_fails(vc_hv_add_ioeventfd(hv, fd, MMIO_ADDR, 0, &err), &err,
		 VC_E_SYS);
	enter(code, sizeof(code));
	run(VC_EXIT_PIO); /* not MMIO */
	ck_assert(is_signalled(fd));
	ck_ok(vc_hv_remove_ioeventfd(hv, fd, MMIO_ADDR, 0, &err), &err);
	run(VC_EXIT_MMIO);
	ck_fails(vc_hv_remove_ioeventfd(hv, fd, MMIO_ADDR, 0, &err), &err,
		 VC_E_SYS);
}
END_TEST

START_TEST(a_kick_before_the_run_counts)
{
	static const uint8_t code[] = { 0xe6, 0x80, 0xe6, 0x81 };

	enter(code, sizeof(code));
	vc_vcpu_kick(vcpu, pthread_self());
	run(VC_EXIT_NONE);
	run(VC_EXIT_PIO);
	ck_assert_uint_eq(e.addr, 0x80);
	/* the access is finished first, nothing is lost */
	vc_vcpu_kick(vcpu, pthread_self());
	run(VC_EXIT_NONE);
	run(VC_EXIT_PIO);
	ck_assert_uint_eq(e.addr, 0x81);
}
END_TEST

static void *run_thread(void *arg)
{
	(void)arg;
	run(VC_EXIT_NONE);
	return NULL;
}

START_TEST(a_kick_ends_a_running_guest)
{
	static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp . */
	pthread_t thread;

	enter(code, sizeof(code));
	ck_assert_int_eq(pthread_create(&thread, NULL, run_thread, NULL), 0);
	usleep(20000);
	vc_vcpu_kick(vcpu, thread);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(a_triple_fault_is_a_shutdown)
{
	static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2, no IDT */

	enter(code, sizeof(code));
	run(VC_EXIT_SHUTDOWN);
}
END_TEST

START_TEST(an_unknown_instruction_is_described)
{
	static const uint8_t code[] = { 0x90, 0x9b, 0xe6, 0x80 }; /* fwait */
	char detail[300], text[400];
	int fd = open_kvm();
	bool is_good = vc_hv_probe(fd, detail, sizeof(detail));

	close(fd);
	enter(code, sizeof(code));
	ck_ok(vc_vcpu_run(vcpu, &e, &err), &err);
	ck_assert_str_ne(detail, "");
	if (is_good) {
		/* what the probe promised */
		ck_assert_int_eq(e.kind, VC_EXIT_PIO);
		return;
	}
	ck_assert_int_eq(e.kind, VC_EXIT_ERROR);
	vc_vcpu_describe(vcpu, text, sizeof(text));
	ck_assert_msg(strstr(text, "RIP 0x1001") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "bytes 9b e6 80") != NULL, "%s", text);
	ck_assert_ptr_null(strchr(text, '\n'));
	/* a short buffer is cut, not overrun */
	vc_vcpu_describe(vcpu, text, 10);
	ck_assert_uint_eq(strlen(text), 9);
}
END_TEST

START_TEST(message_interrupts_have_gsis)
{
	vc_auto_fd int fd = eventfd(0, EFD_CLOEXEC);
	vc_auto_fd int other = eventfd(0, EFD_CLOEXEC);
	unsigned a, b;

	ck_ok(vc_hv_alloc_gsi(hv, &a, &err), &err);
	ck_ok(vc_hv_alloc_gsi(hv, &b, &err), &err);
	ck_assert_uint_ge(a, VC_HV_FIRST_MSI_GSI);
	ck_assert_uint_ne(a, b);
	ck_ok(vc_hv_add_irqfd(hv, fd, a, &err), &err);
	ck_ok(vc_hv_add_irqfd(hv, other, b, &err), &err);
	ck_ok(vc_hv_set_msi(hv, a, 0xfee00000, 0x41, &err), &err);
	ck_ok(vc_hv_set_msi(hv, a, 0xfee00000, 0x42, &err), &err);
	ck_ok(vc_hv_clear_msi(hv, a, &err), &err);
	ck_ok(vc_hv_clear_msi(hv, b, &err), &err);
	ck_ok(vc_hv_remove_irqfd(hv, fd, a, &err), &err);
	ck_fails(vc_hv_add_irqfd(hv, -1, a, &err), &err, VC_E_SYS);
	ck_ok(vc_hv_set_irq(hv, 4, true, &err), &err);
	ck_ok(vc_hv_set_irq(hv, 4, false, &err), &err);
}
END_TEST

START_TEST(gsis_run_out)
{
	unsigned gsi, nr = 0;

	while (vc_hv_alloc_gsi(hv, &gsi, &err) == 0) {
		ck_assert_uint_eq(gsi, VC_HV_FIRST_MSI_GSI + nr);
		nr++;
	}
	ck_assert_int_eq(err.code, VC_E_LIMIT);
	ck_assert_uint_le(nr, VC_HV_MAX_GSI - VC_HV_FIRST_MSI_GSI);
	ck_assert_uint_ge(nr, 128);
	/* the last works as well as the first */
	ck_ok(vc_hv_set_msi(hv, gsi, 0xfee00000, 0x41, &err), &err);
}
END_TEST

START_TEST(too_many_vcpus_are_refused)
{
	struct vc_vcpu *v;

	ck_fails(vc_vcpu_new(hv, VC_HV_MAX_VCPUS, &v, &err), &err, VC_E_LIMIT);
	ck_fails(vc_vcpu_new(hv, 0, &v, &err), &err, VC_E_SYS); /* is there */
}
END_TEST

START_TEST(what_is_no_kvm_is_refused)
{
	vc_auto_fd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct vc_hv *no;
	char detail[200];

	ck_fails(vc_hv_new(fd, &no, &err), &err, VC_E_SYS);
	ck_assert(!vc_hv_probe(fd, detail, sizeof(detail)));
	/* on failure the descriptor is still ours */
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	ck_assert_ptr_null(vc_hv_free(NULL));
	ck_assert_ptr_null(vc_vcpu_free(NULL));
}
END_TEST

TEST_SUITE(suite_hv)
{
	Suite *s = suite_create("kvm/hv");
	TCase *tc = test_case(s, "vcpu");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, port_access_exits);
	tcase_add_test(tc, memory_access_outside_ram_exits);
	tcase_add_test(tc, ioeventfd_takes_the_write);
	tcase_add_test(tc, a_kick_before_the_run_counts);
	tcase_add_test(tc, a_kick_ends_a_running_guest);
	tcase_add_test(tc, a_triple_fault_is_a_shutdown);
	tcase_add_test(tc, an_unknown_instruction_is_described);

	tc = test_case(s, "vm");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, message_interrupts_have_gsis);
	tcase_add_test(tc, gsis_run_out);
	tcase_add_test(tc, too_many_vcpus_are_refused);

	tc = test_case(s, "no kvm");
	tcase_add_test(tc, what_is_no_kvm_is_refused);
	return s;
}
