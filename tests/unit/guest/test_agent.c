/* SPDX-License-Identifier: BSD-3-Clause */
/* The real vmm-agent, met by a host that breaks the rules: it must end that
 * session, no other, and leave nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/agent.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"

#define TIMEOUT_MS 20000
#define MAX_SESSIONS 128 /* AGENT_MAX_SESSIONS */

static struct vc_error err;
static char dir[] = "/tmp/test-agent.XXXXXX";
static char path[64];
static pid_t agent;
static struct vc_agent_writer w;
static struct vc_agent_reader r;

static int try_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	vc_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return vc_steal_fd(&fd);
}

static int dial(void)
{
	int fd, i;

	for (i = 0; (fd = try_connect()) < 0 && i < TIMEOUT_MS / 10; i++)
		usleep(10000);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void setup(void)
{
	const char *build = getenv("top_builddir");
	char program[512];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/agent", dir);
	snprintf(program, sizeof(program), "%s/guest/vmm-agent",
		 build ? build : ".");
	agent = fork();
	ck_assert_int_ge(agent, 0);
	if (!agent) {
		close(2); /* what it says about us is of no interest */
		execl(program, "vmm-agent", "--unix", path, (char *)NULL);
		_exit(127);
	}
	close(dial());
	ck_ok(vc_agent_writer_init(&w, &err), &err);
	ck_ok(vc_agent_reader_init(&r, &err), &err);
}

static void teardown(void)
{
	int status;

	kill(agent, SIGTERM);
	ck_assert_int_eq(waitpid(agent, &status, 0), agent);
	ck_assert_int_eq(status, 0);
	ck_assert_int_lt(access(path, F_OK), 0);
	rmdir(dir);
	vc_agent_writer_fini(&w);
	vc_agent_reader_fini(&r);
}

static void flush(int fd)
{
	while (vc_agent_writer_flush(&w, fd) == VC_AGENT_MORE) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		ck_assert_int_gt(poll(&p, 1, TIMEOUT_MS), 0);
	}
	/* the agent may have closed before it took everything */
	w.used = w.pos = 0;
}

static void put_hello(void)
{
	ck_assert(vc_agent_writer_put_text(&w, VC_AGENT_HELLO, VC_AGENT_VERSION,
					   "test"));
}

static void put_shell(const char *script)
{
	char sh[] = "sh", c[] = "-c", text[512];
	char *argv[] = { sh, c, text, NULL }, *env[] = { NULL };
	struct vc_agent_exec exec = { .argv = argv, .env = env };
	uint8_t *to;
	size_t size, len;

	snprintf(text, sizeof(text), "%s", script);
	to = vc_agent_writer_space(&w, &size);
	ck_ok(vc_agent_exec_encode(&exec, to, size, &len, &err), &err);
	vc_agent_writer_add(&w, VC_AGENT_EXEC, len);
}

/* Read until the agent closes, or until a frame of type `until`, whose first
 * number is returned, for EXIT 1000 times that and the second; -1 when it
 * closed. */
static int64_t read_until(int fd, enum vc_agent_type until)
{
	enum vc_agent_type type;
	const uint8_t *p;
	size_t len;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint8_t *to;
		ssize_t n;

		while (vc_agent_reader_get(&r, &type, &p, &len) ==
		       VC_AGENT_OK) {
			struct vc_bytes c = vc_bytes_init(p, len);
			uint32_t v = 0, second = 0;

			if (type == until)
				vc_bytes_get_le32(&c, &v);
			if (type == VC_AGENT_EXIT &&
			    vc_bytes_get_le32(&c, &second))
				v = 1000 * v + second;
			vc_agent_reader_drop(&r);
			if (type == until)
				return v;
		}
		ck_assert_int_gt(poll(&pfd, 1, TIMEOUT_MS), 0);
		to = vc_agent_reader_space(&r, &len);
		n = recv(fd, to, len, 0);
		if (n <= 0) {
			r.used = r.pos = 0;
			return -1;
		}
		vc_agent_reader_add(&r, (size_t)n);
	}
}

/* A well-behaved command still runs. */
static void check_alive(void)
{
	int fd = dial();

	r.used = r.pos = w.used = w.pos = 0;
	put_hello();
	put_shell("exit 0");
	flush(fd);
	ck_assert_int_eq(read_until(fd, VC_AGENT_EXIT), 0);
	close(fd);
}

static int count_fds(void)
{
	char name[64];
	DIR *d;
	int n = 0;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)agent);
	d = opendir(name);
	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Wait until no session is left: no child process, zombie or not. */
static void wait_no_sessions(void)
{
	char name[64], line[64] = "x";
	int i;

	snprintf(name, sizeof(name), "/proc/%d/task/%d/children", (int)agent,
		 (int)agent);
	for (i = 0; i < TIMEOUT_MS / 10; i++) {
		FILE *f = fopen(name, "re");

		if (!f) /* a kernel without that file */
			return;
		if (!fgets(line, sizeof(line), f)) {
			fclose(f);
			return;
		}
		fclose(f);
		usleep(10000);
	}
	ck_abort_msg("sessions are left: %s", line);
}

START_TEST(broken_hosts_are_dropped)
{
	static const char junk[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = dial();
	le32_t v[3] = { le32_put(VC_AGENT_VERSION), le32_put(0) };

	switch (_i) {
	case 0: /* no frames at all */
		ck_assert_int_gt(send(fd, junk, sizeof(junk), MSG_NOSIGNAL), 0);
		break;
	case 1: /* a request before the greeting */
		put_shell("sleep 100");
		break;
	case 2: /* two greetings */
		put_hello();
		put_hello();
		break;
	case 3: /* an empty greeting */
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_HELLO, NULL, 0));
		break;
	case 4: /* input before the request */
		put_hello();
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_STDIN, v, 4));
		break;
	case 5: /* a second request */
		put_hello();
		put_shell("sleep 100");
		put_shell("sleep 100");
		break;
	case 6: /* a frame only the guest sends */
		put_hello();
		put_shell("sleep 100");
		ck_assert(vc_agent_writer_put_2u32(&w, VC_AGENT_EXIT, 0, 0));
		break;
	case 7: /* more than a window of credit */
		put_hello();
		put_shell("sleep 100");
		ck_assert(vc_agent_writer_put_2u32(&w, VC_AGENT_CREDIT,
						   VC_AGENT_STDOUT, 1));
		break;
	case 8: /* credit for a stream that is not there */
		put_hello();
		put_shell("sleep 100");
		ck_assert(vc_agent_writer_put_2u32(&w, VC_AGENT_CREDIT, 77, 0));
		break;
	case 9: /* signal 0, and one that is none */
	case 10:
		put_hello();
		put_shell("sleep 100");
		ck_assert(vc_agent_writer_put_u32(&w, VC_AGENT_SIGNAL,
						  _i == 9 ? 0 : 1000));
		break;
	case 11: /* a way to shut down that is none */
		put_hello();
		ck_assert(vc_agent_writer_put_u32(&w, VC_AGENT_SHUTDOWN, 2));
		break;
	case 12: /* input after its end */
		put_hello();
		put_shell("sleep 100");
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_STDIN, NULL, 0));
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_STDIN, v, 4));
		break;
	default:
		break;
	}
	flush(fd);
	ck_assert_int_eq(read_until(fd, VC_AGENT_EXIT), -1);
	close(fd);
	wait_no_sessions();
	check_alive();
}
END_TEST

START_TEST(input_without_credit_is_refused)
{
	static uint8_t data[VC_AGENT_MAX_PAYLOAD];
	int fd = dial(), i;

	put_hello();
	/* it does not read: what is sent stays in the window */
	put_shell("exec sleep 100");
	flush(fd);
	/* a pipe takes 64 KiB of it; the window does not grow by that */
	for (i = 0; i < VC_AGENT_WINDOW / VC_AGENT_MAX_PAYLOAD + 3; i++) {
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_STDIN, data,
					      sizeof(data)));
		flush(fd);
	}
	ck_assert_int_eq(read_until(fd, VC_AGENT_EXIT), -1);
	close(fd);
	wait_no_sessions();
	check_alive();
}
END_TEST

START_TEST(requests_are_answered_with_an_error)
{
	int fd = dial();

	if (_i == 0) {
		/* a Unix socket is not a VM's host */
		put_hello();
		ck_assert(vc_agent_writer_put_u32(&w, VC_AGENT_SHUTDOWN, 0));
		flush(fd);
		ck_assert_int_eq(read_until(fd, VC_AGENT_ERROR), EPERM);
	} else if (_i == 1) {
		ck_assert(vc_agent_writer_put_text(&w, VC_AGENT_HELLO, 99, ""));
		flush(fd);
		ck_assert_int_eq(read_until(fd, VC_AGENT_ERROR),
				 EPROTONOSUPPORT);
	} else {
		put_hello();
		ck_assert(vc_agent_writer_put(&w, VC_AGENT_EXEC, "xx", 2));
		flush(fd);
		ck_assert_int_eq(read_until(fd, VC_AGENT_ERROR), EINVAL);
	}
	close(fd);
	wait_no_sessions();
}
END_TEST

/* The group gets SIGHUP, and what ignores it SIGKILL. */
START_TEST(a_host_that_goes_away_takes_the_command_along)
{
	char script[256], pids[128], *save = NULL, *word;
	int fd = dial(), i, n = 0;
	FILE *f;

	put_hello();
	snprintf(script, sizeof(script),
		 "trap '' HUP; sleep 1000 & echo $$ $! >%s/new; "
		 "mv %s/new %s/pids; while :; do wait; done",
		 dir, dir, dir);
	put_shell(script);
	flush(fd);
	snprintf(pids, sizeof(pids), "%s/pids", dir);
	for (i = 0; !(f = fopen(pids, "re")) && i < TIMEOUT_MS / 10; i++)
		usleep(10000);
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(script, sizeof(script), f));
	fclose(f);
	unlink(pids);
	close(fd);
	wait_no_sessions();
	for (word = strtok_r(script, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save), n++) {
		pid_t pid = (pid_t)atoi(word);

		ck_assert_int_gt(pid, 1);
		/* an orphan is gone once its new parent has reaped it */
		for (i = 0; i < TIMEOUT_MS / 10 && !kill(pid, 0); i++) {
			char stat[64], line[256] = "";

			snprintf(stat, sizeof(stat), "/proc/%d/stat", pid);
			f = fopen(stat, "re");
			if (f && fgets(line, sizeof(line), f) &&
			    strstr(line, ") Z ")) {
				fclose(f);
				break;
			}
			if (f)
				fclose(f);
			usleep(10000);
		}
		ck_assert_int_lt(i, TIMEOUT_MS / 10);
	}
	ck_assert_int_eq(n, 2);
}
END_TEST

START_TEST(sessions_are_limited_and_the_rest_waits)
{
	int fds[MAX_SESSIONS], last, i;
	struct pollfd p;

	wait_no_sessions();
	for (i = 0; i < MAX_SESSIONS; i++) {
		fds[i] = dial();
		ck_assert_int_eq(read_until(fds[i], VC_AGENT_HELLO),
				 VC_AGENT_VERSION);
	}
	last = dial();
	p = (struct pollfd){ .fd = last, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 200), 0);
	close(fds[0]);
	ck_assert_int_eq(read_until(last, VC_AGENT_HELLO), VC_AGENT_VERSION);
	close(last);
	for (i = 1; i < MAX_SESSIONS; i++)
		close(fds[i]);
	wait_no_sessions();
}
END_TEST

START_TEST(nothing_is_left_behind)
{
	int before, i;

	wait_no_sessions();
	before = count_fds();
	for (i = 0; i < 50; i++)
		check_alive();
	wait_no_sessions();
	/* `before` may have counted a connection about to be closed */
	ck_assert_int_le(count_fds(), before);
}
END_TEST

/* The command sees 0, 1, 2 and nothing else, and no signal of ours blocked. */
START_TEST(a_command_starts_clean)
{
	int fd = dial();

	put_hello();
	put_shell("grep -q '^SigBlk:\t0*$' /proc/self/status || exit 2; "
		  /* 32 and 33 are the C library's own, not to be set */
		  "grep -Eq '^SigIgn:\t0*(180000000)?$' /proc/self/status "
		  "|| exit 3; "
		  /* the shell lists that folder with a descriptor, too */
		  "for f in /proc/$$/fd/*; do case ${f##*/} in [012]) ;; "
		  "*) [ ! -e $f ] || exit 4 ;; esac; done; exit 7");
	flush(fd);
	ck_assert_int_eq(read_until(fd, VC_AGENT_EXIT), 7);
	close(fd);
}
END_TEST

TEST_SUITE(suite_agent)
{
	Suite *s = suite_create("guest/agent");
	TCase *tc = test_case(s, "agent");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, broken_hosts_are_dropped, 0, 13);
	tcase_add_test(tc, input_without_credit_is_refused);
	tcase_add_loop_test(tc, requests_are_answered_with_an_error, 0, 3);
	tcase_add_test(tc, a_host_that_goes_away_takes_the_command_along);
	tcase_add_test(tc, sessions_are_limited_and_the_rest_waits);
	tcase_add_test(tc, nothing_is_left_behind);
	tcase_add_test(tc, a_command_starts_clean);
	return s;
}
