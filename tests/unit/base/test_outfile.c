/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/outfile.h>
#include "base/outfile.h"
#include "tests/lib/test.h"

static char dir[64], path[96];
static struct vc_error err;

static void make_dir(void)
{
	strcpy(dir, "/tmp/outfile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/out", dir);
}

static void make_dir_avoiding_tmpfile(void)
{
	outfile_avoid_tmpfile = true;
	make_dir();
}

static int count_files(void)
{
	DIR *d = opendir(dir);
	int n = -2;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void remove_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void put(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vc_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void expect(const char *text)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(read(fd, buf, sizeof(buf) - 1), 0);
	close(fd);
	ck_assert_str_eq(buf, text);
}

START_TEST(appears_at_commit_only)
{
	struct vc_outfile *of;

	ck_ok(vc_outfile_open(path, false, &of, &err), &err);
	ck_assert_int_eq(vc_write_full(vc_outfile_get_fd(of), "new", 3), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_ok(vc_outfile_commit(of, &err), &err);
	expect("new");
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(abort_leaves_nothing)
{
	struct vc_outfile *of;

	ck_ok(vc_outfile_open(path, false, &of, &err), &err);
	ck_assert_ptr_null(vc_outfile_abort(of));
	ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(keeps_a_file_that_is_there)
{
	struct vc_outfile *of;

	put("old");
	ck_fails(vc_outfile_open(path, false, &of, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, EEXIST);
	expect("old");
}
END_TEST

/* When it is opened, not after all the work. */
START_TEST(keeps_a_link_to_nothing)
{
	struct vc_outfile *of;
	char target[8] = "";

	ck_assert_int_eq(symlink("nowhere", path), 0);
	ck_fails(vc_outfile_open(path, false, &of, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, EEXIST);
	ck_assert_int_eq(readlink(path, target, sizeof(target)), 7);
}
END_TEST

START_TEST(keeps_a_file_that_appears)
{
	struct vc_outfile *of;

	ck_ok(vc_outfile_open(path, false, &of, &err), &err);
	put("other");
	ck_fails(vc_outfile_commit(of, &err), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, EEXIST);
	expect("other");
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(force_replaces_and_keeps_mode)
{
	struct vc_outfile *of;
	struct stat st;

	put("old");
	ck_ok(vc_outfile_open(path, true, &of, &err), &err);
	expect("old");
	ck_assert_int_eq(vc_write_full(vc_outfile_get_fd(of), "new", 3), 0);
	ck_ok(vc_outfile_commit(of, &err), &err);
	expect("new");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	struct vc_outfile *of;

	ck_fails(vc_outfile_open(dir, true, &of, &err), &err, VC_E_UNSUPPORTED);
	ck_fails(vc_outfile_open("/dev/null", true, &of, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_fails(vc_outfile_open("/dev/null", false, &of, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_fails(vc_outfile_open("/nonexistent/x", true, &of, &err), &err,
		 VC_E_SYS);
	ck_fails(vc_outfile_open("", true, &of, &err), &err, VC_E_SYS);
}
END_TEST

START_TEST(signal_leaves_nothing)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	static const char *const lines[] = {
		"prog: interrupted by SIGINT: no output is left\n",
		"prog: interrupted by SIGTERM: no output is left\n",
		"prog: interrupted by SIGHUP: no output is left\n",
	};
	char c, line[100] = "";
	int status, ready[2];
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct vc_outfile *of;

		/* who started the tests may have had it ignored */
		signal(signals[_i], SIG_DFL);
		if (dup2(ready[1], STDERR_FILENO) < 0 ||
		    vc_outfile_catch_signals("prog", &err) < 0 ||
		    vc_outfile_open(path, false, &of, &err) < 0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	ck_assert_int_eq(kill(pid, signals[_i]), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 1);
	close(ready[1]);
	n = read(ready[0], line, sizeof(line) - 1);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(line, lines[_i]);
	ck_assert_int_eq(count_files(), 0);
	close(ready[0]);
}
END_TEST

/* Too late to undo anything: it kills. */
START_TEST(signal_after_commit_kills)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vc_outfile *of;

		if (vc_outfile_catch_signals("prog", &err) < 0 ||
		    vc_outfile_open(path, false, &of, &err) < 0 ||
		    vc_outfile_commit(of, &err) < 0)
			_exit(3);
		raise(SIGTERM);
		_exit(4);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTERM);
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(several_or_none)
{
	struct vc_outfile *files[3] = { NULL };
	char other[sizeof(path) + 2];

	snprintf(other, sizeof(other), "%s2", path);
	ck_assert(!vc_outfile_open(other, false, &files[0], &err));
	ck_assert(!vc_outfile_open(path, false, &files[2], &err));
	ck_assert(!vc_outfile_commit_all(files, 3, &err));
	ck_assert_ptr_null(files[0]);
	ck_assert_ptr_null(files[2]);
	ck_assert_int_eq(count_files(), 2);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(unlink(other), 0);

	/* the second name is taken meanwhile */
	ck_assert(!vc_outfile_open(other, false, &files[0], &err));
	ck_assert(!vc_outfile_open(path, false, &files[1], &err));
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_fails(vc_outfile_commit_all(files, 3, &err), &err, VC_E_SYS);
	ck_assert_int_eq(access(other, F_OK), -1);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(what_was_replaced_comes_back)
{
	struct vc_outfile *files[2];
	char other[sizeof(path) + 2];

	put("old");
	snprintf(other, sizeof(other), "%s2", path);
	ck_ok(vc_outfile_open(path, true, &files[0], &err), &err);
	ck_assert_int_eq(vc_write_full(vc_outfile_get_fd(files[0]), "new", 3),
			 0);
	ck_ok(vc_outfile_open(other, true, &files[1], &err), &err);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_fails(vc_outfile_commit_all(files, 2, &err), &err, VC_E_SYS);
	expect("old");
	ck_assert_int_eq(rmdir(other), 0);
	ck_assert_int_eq(count_files(), 1);

	ck_ok(vc_outfile_open(path, true, &files[0], &err), &err);
	ck_assert_int_eq(vc_write_full(vc_outfile_get_fd(files[0]), "new", 3),
			 0);
	ck_ok(vc_outfile_open(other, true, &files[1], &err), &err);
	ck_ok(vc_outfile_commit_all(files, 2, &err), &err);
	expect("new");
	ck_assert_int_eq(unlink(other), 0);
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(folder_goes_with_its_files)
{
	struct vc_outfile *files[2];
	char name[sizeof(path) + 8], trailing[sizeof(path) + 8];

	snprintf(name, sizeof(name), "%s/file", path);
	snprintf(trailing, sizeof(trailing), "%s//", path);
	ck_ok(vc_outfile_create_folder(path, &files[0], &err), &err);
	ck_assert_ptr_nonnull(files[0]);
	ck_ok(vc_outfile_open(name, false, &files[1], &err), &err);
	vc_outfile_abort(files[1]);
	vc_outfile_abort(files[0]);
	ck_assert_int_eq(count_files(), 0);

	/* the file cannot have its name */
	ck_ok(vc_outfile_create_folder(trailing, &files[0], &err), &err);
	ck_ok(vc_outfile_open(name, false, &files[1], &err), &err);
	ck_assert_int_eq(mkdir(name, 0700), 0);
	ck_fails(vc_outfile_commit_all(files, 2, &err), &err, VC_E_SYS);
	ck_assert_int_eq(rmdir(name), 0);
	/* it was in use, so it has stayed */
	ck_assert_int_eq(rmdir(path), 0);
	ck_ok(vc_outfile_create_folder(trailing, &files[0], &err), &err);
	ck_ok(vc_outfile_open(name, false, &files[1], &err), &err);
	ck_ok(vc_outfile_commit_all(files, 2, &err), &err);
	ck_assert_int_eq(access(name, F_OK), 0);
	ck_assert_int_eq(unlink(name), 0);

	/* there already: not ours */
	ck_ok(vc_outfile_create_folder(path, &files[0], &err), &err);
	ck_assert_ptr_null(files[0]);
	ck_ok(vc_outfile_create_folder("/", &files[0], &err), &err);
	ck_assert_ptr_null(files[0]);
	ck_assert_int_eq(rmdir(path), 0);
	ck_fails(vc_outfile_create_folder(name, &files[0], &err), &err,
		 VC_E_SYS);
	ck_fails(vc_outfile_create_folder("", &files[0], &err), &err, VC_E_SYS);
}
END_TEST

START_TEST(signal_takes_folders_too)
{
	char name[sizeof(path) + 8];
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vc_outfile *folder, *of;

		snprintf(name, sizeof(name), "%s/file", path);
		if (vc_outfile_catch_signals("prog", &err) < 0 ||
		    vc_outfile_create_folder(path, &folder, &err) < 0 ||
		    vc_outfile_open(name, false, &of, &err) < 0)
			_exit(3);
		raise(SIGTERM);
		_exit(4);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 1);
	ck_assert_int_eq(count_files(), 0);
}
END_TEST

static void add_tests(TCase *tc, void (*setup)(void))
{
	tcase_add_checked_fixture(tc, setup, remove_dir);
	tcase_add_test(tc, appears_at_commit_only);
	tcase_add_test(tc, abort_leaves_nothing);
	tcase_add_test(tc, keeps_a_file_that_is_there);
	tcase_add_test(tc, keeps_a_link_to_nothing);
	tcase_add_test(tc, keeps_a_file_that_appears);
	tcase_add_test(tc, force_replaces_and_keeps_mode);
	tcase_add_test(tc, refuses_what_is_no_file);
	tcase_add_loop_test(tc, signal_leaves_nothing, 0, 3);
	tcase_add_test(tc, signal_after_commit_kills);
	tcase_add_test(tc, several_or_none);
	tcase_add_test(tc, what_was_replaced_comes_back);
	tcase_add_test(tc, folder_goes_with_its_files);
	tcase_add_test(tc, signal_takes_folders_too);
}

TEST_SUITE(suite_outfile)
{
	Suite *s = suite_create("base/outfile");

	add_tests(test_case(s, "without a name"), make_dir);
	add_tests(test_case(s, "temporary name"), make_dir_avoiding_tmpfile);
	return s;
}
