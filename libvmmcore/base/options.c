/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio_ext.h>
#include <string.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>

#define HELP_COLUMN 28
/* getopt_long() returns FIRST_LONG + index; short letters are below it */
#define FIRST_LONG 256

static const struct vc_option help_option = { "help", 'h', NULL,
					      "show this help" };

struct tables {
	struct option long_opts[VC_MAX_OPTIONS + 2];
	char short_opts[3 * VC_MAX_OPTIONS + 8];
};

static int has_arg(const struct vc_option *opt)
{
	if (!opt->arg)
		return no_argument;
	return opt->arg[0] == '[' ? optional_argument : required_argument;
}

static void add_option(struct tables *t, size_t i, const struct vc_option *opt)
{
	size_t n = strlen(t->short_opts);

	t->long_opts[i] = (struct option){ opt->name, has_arg(opt), NULL,
					   FIRST_LONG + (int)i };
	if (opt->letter) {
		t->short_opts[n++] = opt->letter;
		if (opt->arg)
			t->short_opts[n++] = ':';
		if (has_arg(opt) == optional_argument)
			t->short_opts[n++] = ':';
		t->short_opts[n] = '\0';
	}
}

static void build_tables(const struct vc_command *cmd, bool stop_at_operand,
			 struct tables *t)
{
	size_t i;

	memset(t, 0, sizeof(*t));
	strcpy(t->short_opts, stop_at_operand ? "+:" : ":");
	for (i = 0; i < cmd->nr_options; i++)
		add_option(t, i, &cmd->options[i]);
	add_option(t, i, &help_option);
}

static const struct vc_option *find_option(const struct vc_command *cmd, int c)
{
	size_t i;

	if (c >= FIRST_LONG) {
		i = (size_t)(c - FIRST_LONG);
		return i < cmd->nr_options ? &cmd->options[i] : &help_option;
	}
	for (i = 0; i < cmd->nr_options; i++)
		if (cmd->options[i].letter == c)
			return &cmd->options[i];
	return &help_option;
}

static int bad_option(int c, char *const *argv, struct vc_error *err)
{
	char shown[80], letter[3] = { '-', (char)optopt, '\0' };
	const char *text = argv[optind - 1];

	if (optopt > 0 && optopt < FIRST_LONG)
		text = letter;
	vc_printable(text, shown, sizeof(shown));
	if (c == ':')
		return vc_fail(err, VC_E_ARG, 0,
			       "option '%s' needs an argument", shown);
	if (optopt >= FIRST_LONG)
		return vc_fail(err, VC_E_ARG, 0,
			       "option '%s' takes no argument", shown);
	return vc_fail(err, VC_E_ARG, 0, "unknown option '%s'", shown);
}

int vc_options_parse(const struct vc_command *cmd, int argc, char **argv,
		     bool stop_at_operand, void *ctx, int *ret_first,
		     bool *ret_is_help, struct vc_error *err)
{
	struct tables t;
	int c;

	*ret_is_help = false;
	if (cmd->nr_options > VC_MAX_OPTIONS)
		return vc_fail(err, VC_E_INTERNAL, 0, "too many options");
	build_tables(cmd, stop_at_operand, &t);
	optind = 0; /* start afresh: a command may parse after its program */
	opterr = 0;
	while ((c = getopt_long(argc, argv, t.short_opts, t.long_opts, NULL)) !=
	       -1) {
		const struct vc_option *opt;

		if (c == '?' || c == ':')
			return bad_option(c, argv, err);
		opt = find_option(cmd, c);
		if (opt == &help_option) {
			*ret_is_help = true;
			return 0;
		}
		if (cmd->on_option(ctx, opt, optarg, err) < 0)
			return vc_prefix(err, "--%s", opt->name);
	}
	*ret_first = optind;
	return 0;
}

static void print_indented(const char *text, FILE *to)
{
	for (; *text; text++) {
		fputc(*text, to);
		if (*text == '\n')
			fprintf(to, "%*s", HELP_COLUMN, "");
	}
	fputc('\n', to);
}

static void print_option(const struct vc_option *opt, FILE *to)
{
	char head[80];
	int n;

	if (!opt->help)
		return;
	n = snprintf(head, sizeof(head), "  %c%c%c --%s%s%s",
		     opt->letter ? '-' : ' ', opt->letter ? opt->letter : ' ',
		     opt->letter ? ',' : ' ', opt->name,
		     has_arg(opt) == required_argument ? " " : "",
		     opt->arg ? opt->arg : "");
	fputs(head, to);
	if (n >= HELP_COLUMN)
		fprintf(to, "\n%*s", HELP_COLUMN, "");
	else
		fprintf(to, "%*s", HELP_COLUMN - n, "");
	print_indented(opt->help, to);
}

void vc_command_help(const struct vc_command *cmd, FILE *to)
{
	size_t i;

	fprintf(to, "Usage: %s %s\n\n%s\n\nOptions:\n", cmd->name,
		cmd->synopsis, cmd->summary);
	for (i = 0; i < cmd->nr_options; i++)
		print_option(&cmd->options[i], to);
	print_option(&help_option, to);
	if (cmd->epilogue)
		fprintf(to, "\n%s\n", cmd->epilogue);
}

int vc_report(FILE *to, const char *program, const struct vc_error *err)
{
	char line[sizeof(err->msg) + 128];

	fprintf(to, "%s: %s\n", program, vc_error_str(err, line, sizeof(line)));
	if (err->code == VC_E_ARG)
		fprintf(to, "Try '%s --help'.\n", program);
	return vc_exit_status(err);
}

int vc_stdout_flush(struct vc_error *err)
{
	int sys = fflush(stdout) ? errno : 0;

	if (!sys && !ferror(stdout))
		return 0;
	if (!sys)
		sys = EIO; /* of a write long ago nothing more is known */
	/* not once more when the process ends */
	__fpurge(stdout);
	clearerr(stdout);
	return vc_fail(err, VC_E_SYS, sys, "standard output: write");
}

int vc_program_end(const char *program, int status)
{
	struct vc_error err = { 0 };
	int rc;

	if (!vc_stdout_flush(&err))
		return status;
	rc = vc_report(stderr, program, &err);
	return status ? status : rc;
}

static void program_help(const struct vc_program *p, FILE *to)
{
	size_t i;

	fprintf(to, "Usage: %s COMMAND [ARGUMENT]...\n\n%s\n\nCommands:\n",
		p->name, p->summary);
	for (i = 0; i < p->nr_commands; i++)
		if (p->commands[i].help)
			fprintf(to, "  %-10s %s\n", p->commands[i].name,
				p->commands[i].help);
	fprintf(to, "\n'%s COMMAND --help' tells more; see also %.*s(1).\n",
		p->name, (int)strcspn(p->name, " "), p->name);
}

static bool is_word(const char *arg, const char *name, char letter)
{
	if (arg[0] != '-')
		return false;
	return arg[1] == '-' ? !strcmp(arg + 2, name)
			     : arg[1] == letter && !arg[2];
}

static int run_program(const struct vc_program *p, int argc, char **argv)
{
	char shown[64];
	size_t i;

	vc_open_standard_fds();
	if (argc < 2) {
		program_help(p, stderr);
		return 2;
	}
	if (is_word(argv[1], "help", 'h')) {
		program_help(p, stdout);
		return 0;
	}
	if (is_word(argv[1], "version", 'V')) {
		printf("%s %s\n", p->name, VC_VERSION);
		return 0;
	}
	for (i = 0; i < p->nr_commands; i++)
		if (!strcmp(argv[1], p->commands[i].name))
			return p->commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "%s: unknown command '%s'\nTry '%s --help'.\n", p->name,
		vc_printable(argv[1], shown, sizeof(shown)), p->name);
	return 2;
}

int vc_program_main(const struct vc_program *p, int argc, char **argv)
{
	return vc_program_end(p->name, run_program(p, argc, argv));
}
