/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "tests/lib/test.h"
#include "vmm/supervisor/config.h"

static struct vm_config c;
static struct vc_error err;

static void set_up(void)
{
	vm_config_init(&c);
	c.kernel = strdup("vmlinuz");
}

static void tear_down(void)
{
	vm_config_fini(&c);
}

START_TEST(console_defaults_to_serial_on_stdio)
{
	char line[VM_CMDLINE_MAX];

	ck_ok(vm_config_finish(&c, &err), &err);
	ck_assert_uint_eq(c.nr_serials, 1);
	ck_assert(c.serials[0].is_stdin);
	ck_ok(vm_config_cmdline(&c, line, sizeof(line), &err), &err);
	ck_assert_str_eq(line, "panic=-1 console=ttyS0");
}
END_TEST

START_TEST(cmdline_names_root_and_consoles)
{
	char line[VM_CMDLINE_MAX];

	c.serials[0] = (struct vm_serial){ .hardware = VM_HW_VIRTIO_CONSOLE,
					   .is_console = true,
					   .num = 1 };
	c.nr_serials = 1;
	c.blocks[0].path = strdup("a");
	c.blocks[1].path = strdup("b");
	c.blocks[1].is_root = true;
	c.blocks[1].is_ro = true;
	c.nr_blocks = 2;
	c.params[0] = strdup("quiet x=1");
	c.nr_params = 1;
	ck_ok(vm_config_finish(&c, &err), &err);
	ck_assert_uint_eq(c.nr_serials, 1);
	ck_ok(vm_config_cmdline(&c, line, sizeof(line), &err), &err);
	ck_assert_str_eq(line,
			 "panic=-1 console=hvc0 root=/dev/vdb ro quiet x=1");
}
END_TEST

START_TEST(refuses_a_command_line_that_is_too_long)
{
	char line[VM_CMDLINE_MAX];

	c.params[0] = malloc(VM_CMDLINE_MAX + 1);
	memset(c.params[0], 'x', VM_CMDLINE_MAX);
	c.params[0][VM_CMDLINE_MAX] = '\0';
	c.nr_params = 1;
	ck_ok(vm_config_finish(&c, &err), &err);
	ck_fails(vm_config_cmdline(&c, line, sizeof(line), &err), &err,
		 VC_E_LIMIT);
}
END_TEST

START_TEST(control_socket_brings_vsock)
{
	c.control_socket = strdup("/run/vm.sock");
	ck_ok(vm_config_finish(&c, &err), &err);
	ck_assert(c.has_vsock);
	ck_assert_uint_eq(c.cid, VM_DEFAULT_CID);
	ck_assert_str_eq(c.vsock_socket, "/run/vm.sock.vsock");
}
END_TEST

START_TEST(refuses_contradictions)
{
	switch (_i) {
	case 0:
		c.nr_cpus = 0;
		break;
	case 1:
		c.nr_cpus = VM_MAX_CPUS + 1;
		break;
	case 2:
		c.mem_mib = VM_MIN_MEM_MIB - 1;
		break;
	case 3:
		c.has_vsock = true; /* and no socket */
		break;
	case 4:
		c.has_vsock = true;
		c.cid = 2; /* the host's own */
		c.vsock_socket = strdup("x");
		break;
	case 5:
		c.blocks[0].is_root = c.blocks[1].is_root = true;
		c.nr_blocks = 2;
		break;
	case 6:
		free(c.kernel);
		c.kernel = NULL;
		break;
	default:
		c.serials[0].path = strdup("x"); /* with type=sink */
		c.nr_serials = 1;
		break;
	}
	ck_fails(vm_config_finish(&c, &err), &err, VC_E_ARG);
}
END_TEST

START_TEST(refuses_two_serial_ports)
{
	c.nr_serials = 2;
	c.serials[0].num = c.serials[1].num = 1;
	ck_fails(vm_config_finish(&c, &err), &err, VC_E_CONFIG);
}
END_TEST

TEST_SUITE(suite_config)
{
	Suite *s = suite_create("supervisor/config");
	TCase *tc = test_case(s, "config");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, console_defaults_to_serial_on_stdio);
	tcase_add_test(tc, cmdline_names_root_and_consoles);
	tcase_add_test(tc, refuses_a_command_line_that_is_too_long);
	tcase_add_test(tc, control_socket_brings_vsock);
	tcase_add_loop_test(tc, refuses_contradictions, 0, 8);
	tcase_add_test(tc, refuses_two_serial_ports);
	return s;
}
