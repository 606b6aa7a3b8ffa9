/* SPDX-License-Identifier: BSD-3-Clause */
/* What the supervisor opens for a device process, and what it does not. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/util.h>
#include "vmm/control/opener.h"

static char dir[64], image[80];
static struct opener o;
static struct opener_client client;
static struct vc_loop *loop;
static struct vc_error err;
static pthread_t thread;
static int pair[2];

static int e_failed;

static void *serve(void *arg)
{
	struct vc_error e;

	(void)arg;
	return vc_loop_run(loop, NULL, &e) < 0 ? &e_failed : NULL;
}

static void begin(bool is_ro, bool may_follow)
{
	strcpy(dir, "/tmp/vmm-opener.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	vc_close(&(int){ open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600) });
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_ok(vc_loop_new(&loop, &err), &err);
	opener_init(&o, pair[0], image, is_ro, may_follow);
	ck_ok(opener_start(&o, loop, &err), &err);
	opener_client_init(&client, pair[1]);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void end(void)
{
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	opener_fini(&o);
	vc_close(&pair[1]);
	vc_loop_free(loop);
	unlink(image);
	rmdir(dir);
}

static int ask(const char *path, bool writable)
{
	return client.base.open(&client.base, "backing file", path, writable,
				&err);
}

START_TEST(opens_beside_the_image)
{
	int fd;

	begin(false, true);
	fd = ask("image", true);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	vc_close(&fd);
	fd = ask(image, false);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	/* no more rights than one had */
	ck_fails(client.base.reopen_direct(&client.base, fd, true, &err), &err,
		 VC_E_ARG);
	vc_close(&fd);
	ck_fails(ask("nowhere", false), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, ENOENT);
	end();
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	char fifo[80], path[OPENER_MAX_PATH + 10];

	begin(false, true);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_fails(ask("fifo", false), &err, VC_E_UNSUPPORTED);
	unlink(fifo);
	ck_fails(ask("/proc/self/status", false), &err, VC_E_UNSUPPORTED);
	ck_fails(ask("/dev/null", false), &err, VC_E_UNSUPPORTED);
	ck_fails(ask("", false), &err, VC_E_UNSUPPORTED); /* the folder */
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	ck_fails(ask(path, false), &err, VC_E_LIMIT);
	end();
}
END_TEST

START_TEST(gives_no_more_than_was_allowed)
{
	int fd, i;

	begin(true, true);
	fd = ask("image", true);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	vc_close(&fd);
	for (i = 1; i < OPENER_MAX_FILES; i++) {
		fd = ask("image", false);
		ck_assert_int_ge(fd, 0);
		vc_close(&fd);
	}
	ck_fails(ask("image", false), &err, VC_E_LIMIT);
	end();
	begin(false, false);
	ck_fails(ask("image", false), &err, VC_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.msg, "backing=on"));
	/* nonsense: an answer, and it goes on */
	ck_assert_int_eq(send(pair[1], "x", 1, 0), 1);
	ck_fails(ask("image", false), &err, VC_E_PEER);
	end();
}
END_TEST

TEST_SUITE(suite_opener)
{
	Suite *s = suite_create("control/opener");
	TCase *tc = test_case(s, "opener");

	tcase_add_test(tc, opens_beside_the_image);
	tcase_add_test(tc, refuses_what_is_no_file);
	tcase_add_test(tc, gives_no_more_than_was_allowed);
	return s;
}
