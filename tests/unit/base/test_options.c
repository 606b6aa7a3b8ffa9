/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include <vmmcore/options.h>

static char seen[200];
static struct vc_error err;

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *e)
{
	(void)ctx;
	if (value && !strcmp(value, "bad"))
		return vc_fail(e, VC_E_ARG, 0, "'bad': no good");
	strcat(seen, opt->name);
	strcat(seen, "=");
	strcat(seen, value ? value : "-");
	strcat(seen, ";");
	return 0;
}

static const struct vc_option options[] = {
	{ "output", 'o', "FILE", "where to" },
	{ "force", 0, NULL, "in spite of all\nand more" },
	{ "secret", 0, NULL, NULL },
};
static const struct vc_command command = {
	"prog", "[OPTION]... FILE", "Does it.", options,
	3,	on_option,	    "The end.",
};

static int parse(const char *line, bool stop, int *first, bool *help)
{
	static char *argv[16];
	static char copy[200];
	int argc = 0;
	char *p;

	seen[0] = '\0';
	strcpy(copy, line);
	for (p = strtok(copy, " "); p; p = strtok(NULL, " "))
		argv[argc++] = p;
	argv[argc] = NULL;
	return vc_options_parse(&command, argc, argv, stop, NULL, first, help,
				&err);
}

START_TEST(takes_options_among_operands)
{
	bool help;
	int first;

	ck_ok(parse("prog a --output=x -oy b --force", false, &first, &help),
	      &err);
	ck_assert_str_eq(seen, "output=x;output=y;force=-;");
	ck_assert_int_eq(first, 4);
	ck_ok(parse("prog -o x cmd --force", true, &first, &help), &err);
	ck_assert_str_eq(seen, "output=x;");
	ck_assert_int_eq(first, 3);
	ck_ok(parse("prog --help --nonsense", false, &first, &help), &err);
	ck_assert(help);
}
END_TEST

START_TEST(names_what_is_wrong)
{
	static const struct {
		const char *line, *msg;
	} t[] = {
		{ "prog --nonsense", "unknown option '--nonsense'" },
		{ "prog -x", "unknown option '-x'" },
		{ "prog --output", "option '--output' needs an argument" },
		{ "prog --force=1", "option '--force=1' takes no argument" },
		{ "prog -o bad", "--output: 'bad': no good" },
	};
	bool help;
	int first;

	ck_fails(parse(t[_i].line, false, &first, &help), &err, VC_E_ARG);
	ck_assert_str_eq(err.msg, t[_i].msg);
}
END_TEST

START_TEST(prints_help_from_the_table)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	vc_command_help(&command, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "Usage: prog [OPTION]... FILE\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "  -o, --output FILE         where"));
	ck_assert_ptr_nonnull(strstr(text, "--help"));
	ck_assert_ptr_null(strstr(text, "secret"));
	free(text);
}
END_TEST

static int run_one(int argc, char **argv)
{
	return argc == 2 && !strcmp(argv[0], "one") && !strcmp(argv[1], "x")
		       ? 42
		       : 1;
}

static const struct vc_subcommand subcommands[] = {
	{ "one", "the first", run_one },
	{ "hidden", NULL, run_one },
};
static const struct vc_program program = { "prog", "Does things.", subcommands,
					   2 };

static int run_program(const char *first, const char *second, char *out,
		       size_t size)
{
	char name[] = "prog";
	char *argv[] = { name, (char *)(uintptr_t)first,
			 (char *)(uintptr_t)second, NULL };
	int argc = second ? 3 : first ? 2 : 1, status;
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	fflush(NULL);
	ck_assert_int_ge(dup2(fileno(f), STDOUT_FILENO), 0);
	ck_assert_int_ge(dup2(fileno(f), STDERR_FILENO), 0);
	status = vc_program_main(&program, argc, argv);
	fflush(NULL);
	rewind(f);
	out[fread(out, 1, size - 1, f)] = '\0';
	fclose(f);
	return status;
}

START_TEST(runs_a_sub_command)
{
	char out[500];

	ck_assert_int_eq(run_program("one", "x", out, sizeof(out)), 42);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(run_program("hidden", NULL, out, sizeof(out)), 1);
	ck_assert_int_eq(run_program("tw\no", NULL, out, sizeof(out)), 2);
	ck_assert_str_eq(out, "prog: unknown command 'tw\\x0ao'\n"
			      "Try 'prog --help'.\n");
	ck_assert_int_eq(run_program("--version", NULL, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "prog " VC_VERSION "\n");
	ck_assert_int_eq(run_program(NULL, NULL, out, sizeof(out)), 2);
	ck_assert_int_eq(run_program("-h", NULL, out, sizeof(out)), 0);
	ck_assert_ptr_nonnull(strstr(out, "  one        the first\n"));
	ck_assert_ptr_null(strstr(out, "hidden"));
}
END_TEST

TEST_SUITE(suite_options)
{
	Suite *s = suite_create("base/options");
	TCase *tc = test_case(s, "options");

	tcase_add_test(tc, takes_options_among_operands);
	tcase_add_loop_test(tc, names_what_is_wrong, 0, 5);
	tcase_add_test(tc, prints_help_from_the_table);
	tcase_add_test(tc, runs_a_sub_command);
	return s;
}
