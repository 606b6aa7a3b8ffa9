/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/util.h>
#include "vmm/control/link.h"
#include "vmm/control/socket.h"

static char path[64];
static struct vc_error err;

static void set_up(void)
{
	snprintf(path, sizeof(path), "/tmp/vmmkit-socket-%d", (int)getpid());
}

static void tear_down(void)
{
	unlink(path);
}

START_TEST(is_for_this_user_alone)
{
	int fd = socket_listen(path, &err);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
}
END_TEST

START_TEST(replaces_a_stale_socket_only)
{
	int fd = socket_listen(path, &err), again;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(socket_listen(path, &err), -1);
	ck_assert_int_eq(err.sys, EADDRINUSE);
	close(fd);
	again = socket_listen(path, &err);
	ck_assert_int_ge(again, 0);
	close(again);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(socket_listen(path, &err), -1);
	ck_assert_int_eq(err.sys, EEXIST);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(refuses_a_path_that_does_not_fit)
{
	char long_path[200];

	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	ck_fails(socket_listen(long_path, &err), &err, VC_E_ARG);
	ck_fails(socket_connect("", 0, &err), &err, VC_E_ARG);
}
END_TEST

/* Nobody accepts, and there is no room for one more: an answer in time. */
START_TEST(does_not_wait_for_room_for_ever)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), fds[8], n = 0;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	uint64_t start = vc_now_ns();

	strcpy(sa.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	while (n < 8 && (fds[n] = socket_connect(path, 0, &err)) >= 0)
		n++;
	ck_assert_int_lt(n, 8);
	ck_assert_int_eq(err.sys, EAGAIN);
	ck_assert_uint_lt(vc_now_ns() - start, UINT64_C(1000000000));
	ck_assert_int_eq(socket_connect(path, 200, &err), -1);
	ck_assert_int_eq(err.sys, EAGAIN);
	ck_assert_uint_ge(vc_now_ns() - start, UINT64_C(150000000));
	/* it is in use, though */
	ck_assert_int_eq(socket_listen(path, &err), -1);
	ck_assert_int_eq(err.sys, EADDRINUSE);
	while (n)
		close(fds[--n]);
	close(fd);
}
END_TEST

START_TEST(link_carries_messages_and_their_end)
{
	struct link_msg msg;
	int pair[2];
	bool is_eof;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_ok(link_send(pair[0], LINK_ENDED, LINK_END_CRASH, "why", &err),
	      &err);
	ck_ok(link_recv(pair[1], &msg, &is_eof, &err), &err);
	ck_assert_uint_eq(le32_get(msg.type), LINK_ENDED);
	ck_assert_uint_eq(le32_get(msg.arg), LINK_END_CRASH);
	ck_assert_str_eq(msg.text, "why");
	/* a packet of another size, a text without its end */
	ck_assert_int_eq(send(pair[0], &msg, 8, 0), 8);
	ck_fails(link_recv(pair[1], &msg, &is_eof, &err), &err, VC_E_PEER);
	memset(&msg, 'x', sizeof(msg));
	ck_assert_int_eq(send(pair[0], &msg, sizeof(msg), 0), sizeof(msg));
	ck_ok(link_recv(pair[1], &msg, &is_eof, &err), &err);
	ck_assert_uint_eq(strlen(msg.text), LINK_TEXT_MAX - 1);
	close(pair[0]);
	ck_ok(link_recv(pair[1], &msg, &is_eof, &err), &err);
	ck_assert(is_eof);
	close(pair[1]);
}
END_TEST

TEST_SUITE(suite_socket)
{
	Suite *s = suite_create("control/socket");
	TCase *tc = test_case(s, "socket");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, is_for_this_user_alone);
	tcase_add_test(tc, replaces_a_stale_socket_only);
	tcase_add_test(tc, refuses_a_path_that_does_not_fit);
	tcase_add_test(tc, does_not_wait_for_room_for_ever);
	tcase_add_test(tc, link_carries_messages_and_their_end);
	return s;
}
