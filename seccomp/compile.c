/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policy text to C: run once by the build, never installed.
 *
 *	compile [-x] [-o OUT.c] DIR ROLE...
 *
 * reads DIR/ROLE.policy for each role and writes one table of seccomp programs,
 * three for each role: what the policy does not name kills the process, fails
 * with EPERM, or is let through and logged. Only the default action differs.
 * With -x, DIR/instrumented.policy is added to each.
 *
 * The grammar, a line at a time (README.md says it in prose):
 *
 *	line  = "@include" NAME | ["@" ARCH] CALL [":" test] ["->" ERRNO] why
 *	why   = "#" text			a rule without a reason is refused
 *	test  = conj { "||" conj }
 *	conj  = cmp { "&&" cmp }
 *	cmp   = ARG op VALUE | ARG "&" VALUE "==" VALUE | "!(" ARG "&" VALUE ")"
 *	op    = "==" | "!=" | "<" | "<=" | ">" | ">="
 *
 * libseccomp joins rules for the same call by OR and the comparisons of a rule
 * by AND, which is this grammar; so each conj becomes one rule.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <seccomp.h>
#include "config.h"
#include "libvmmcore/sandbox/programs.h"
#include "seccomp/symbols.h"

#define MAX_INCLUDE_DEPTH 4
#define MAX_CMP 6 /* arguments of a system call */
#define MAX_INSNS 4096
#define EXTRA_POLICY "instrumented"

struct policy {
	scmp_filter_ctx ctx;
	const char *dir;
	const char *path; /* of the file being read */
	unsigned line;
	unsigned depth;
};

static _Noreturn void die(const struct policy *p, const char *fmt, ...)
	VC_PRINTF(2, 3);
static _Noreturn void die(const struct policy *p, const char *fmt, ...)
{
	va_list ap;

	if (p)
		fprintf(stderr, "%s:%u: ", p->path, p->line);
	else
		fputs("seccomp/compile: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void skip_space(const char **s)
{
	while (isspace((unsigned char)**s))
		(*s)++;
}

static bool take(const char **s, const char *token)
{
	size_t n = strlen(token);

	skip_space(s);
	if (strncmp(*s, token, n))
		return false;
	*s += n;
	return true;
}

static size_t take_word(const char **s, const char **ret)
{
	skip_space(s);
	*ret = *s;
	while (isalnum((unsigned char)**s) || **s == '_')
		(*s)++;
	return (size_t)(*s - *ret);
}

static unsigned take_arg(struct policy *p, const char **s)
{
	const char *word;
	size_t n = take_word(s, &word);

	if (n != 4 || memcmp(word, "arg", 3) || word[3] < '0' || word[3] > '5')
		die(p, "expected arg0 to arg5 at '%s'", word);
	return (unsigned)(word[3] - '0');
}

static uint64_t take_value(struct policy *p, const char **s)
{
	uint64_t value;
	const char *word;
	size_t n = take_word(s, &word);
	char *end;

	if (!n)
		die(p, "expected a value at '%s'", word);
	if (isdigit((unsigned char)*word)) {
		errno = 0;
		value = strtoull(word, &end, 0);
		if (errno || end != *s)
			die(p, "not a number: '%.*s'", (int)n, word);
	} else if (!symbol_value(word, n, &value)) {
		die(p, "unknown name '%.*s': add it to symbols.c", (int)n,
		    word);
	}
	return value;
}

/* ARG op VALUE: longest spelling first */
static struct scmp_arg_cmp take_cmp(struct policy *p, const char **s)
{
	static const struct {
		const char *text;
		enum scmp_compare op;
	} ops[] = { { "==", SCMP_CMP_EQ }, { "!=", SCMP_CMP_NE },
		    { "<=", SCMP_CMP_LE }, { ">=", SCMP_CMP_GE },
		    { "<", SCMP_CMP_LT },  { ">", SCMP_CMP_GT } };
	struct scmp_arg_cmp c = { 0 };
	size_t i;

	if (take(s, "!")) {
		if (!take(s, "("))
			die(p, "expected '!(argN & VALUE)'");
		c.arg = take_arg(p, s);
		c.op = SCMP_CMP_MASKED_EQ;
		if (!take(s, "&"))
			die(p, "expected '&' at '%s'", *s);
		c.datum_a = take_value(p, s);
		if (!take(s, ")"))
			die(p, "expected ')' at '%s'", *s);
		return c;
	}
	c.arg = take_arg(p, s);
	if (!take(s, "&&") && take(s, "&")) {
		c.op = SCMP_CMP_MASKED_EQ;
		c.datum_a = take_value(p, s);
		if (!take(s, "=="))
			die(p, "expected '==' at '%s'", *s);
		c.datum_b = take_value(p, s);
		return c;
	}
	for (i = 0; i < VC_ARRAY_SIZE(ops); i++) {
		if (take(s, ops[i].text)) {
			c.op = ops[i].op;
			c.datum_a = take_value(p, s);
			return c;
		}
	}
	die(p, "expected a comparison at '%s'", *s);
}

static void add_rule(struct policy *p, uint32_t action, int nr,
		     const struct scmp_arg_cmp *cmp, unsigned nr_cmp)
{
	uint32_t fallback;
	int rc = seccomp_attr_get(p->ctx, SCMP_FLTATR_ACT_DEFAULT, &fallback);

	/* what happens anyway needs no rule, and libseccomp wants none */
	if (!rc && action == fallback)
		return;
	rc = seccomp_rule_add_exact_array(p->ctx, action, nr, nr_cmp, cmp);
	/* The same rule in a role and in what it includes is no mistake. */
	if (rc && rc != -EEXIST)
		die(p, "libseccomp refuses the rule: %s", strerror(-rc));
}

/* Everything after the name of the call, up to the reason */
static void parse_rule(struct policy *p, int nr, const char *s)
{
	struct scmp_arg_cmp cmp[MAX_CMP];
	uint32_t action = SCMP_ACT_ALLOW;
	const char *arrow = strstr(s, "->");
	const char *word;
	unsigned n = 0;
	int error;

	if (arrow) {
		const char *a = arrow + 2;
		size_t len = take_word(&a, &word);

		if (!symbol_errno(word, len, &error))
			die(p, "unknown error '%.*s'", (int)len, word);
		skip_space(&a);
		if (*a)
			die(p, "unexpected '%s'", a);
		action = SCMP_ACT_ERRNO((uint32_t)error);
	}
	if (take(&s, ":")) {
		for (;;) {
			if (n == MAX_CMP)
				die(p, "more than %d comparisons", MAX_CMP);
			cmp[n++] = take_cmp(p, &s);
			if (take(&s, "&&"))
				continue;
			add_rule(p, action, nr, cmp, n);
			n = 0;
			if (!take(&s, "||"))
				break;
		}
	} else {
		add_rule(p, action, nr, cmp, 0);
	}
	skip_space(&s);
	if (arrow ? s != arrow : *s)
		die(p, "unexpected '%s'", s);
}

static void read_policy(struct policy *outer, scmp_filter_ctx ctx,
			const char *dir, const char *name, unsigned depth);

static void parse_line(struct policy *p, char *text)
{
	char call[64];
	const char *s = text;
	const char *word;
	char *why = strchr(text, '#');
	size_t n;
	int nr;

	skip_space(&s);
	if (!*s || *s == '#')
		return;
	if (take(&s, "@include")) {
		char file[64];

		if (why)
			*why = '\0';
		skip_space(&s);
		n = strcspn(s, " \t\r\n");
		snprintf(file, sizeof(file), "%.*s", (int)n, s);
		if (!n || strchr(file, '/') || !strcmp(file, EXTRA_POLICY))
			die(p, "cannot include '%s'", file);
		read_policy(p, p->ctx, p->dir, file, p->depth + 1);
		return;
	}
	if (!why || strspn(why + 1, " \t\r\n") == strlen(why + 1))
		die(p, "a rule without a reason: add '# why, which function'");
	*why = '\0';
	if (take(&s, "@")) {
		n = take_word(&s, &word);
		if (strlen(VC_ARCH) != n || memcmp(word, VC_ARCH, n))
			return;
	}
	n = take_word(&s, &word);
	if (!n || n >= sizeof(call))
		die(p, "expected a system call at '%s'", word);
	memcpy(call, word, n);
	call[n] = '\0';
	nr = seccomp_syscall_resolve_name(call);
	if (nr < 0)
		die(p, "no system call '%s' on %s", call, VC_ARCH);
	parse_rule(p, nr, s);
}

static void read_policy(struct policy *outer, scmp_filter_ctx ctx,
			const char *dir, const char *name, unsigned depth)
{
	char path[4096], line[512];
	struct policy p = { ctx, dir, path, 0, depth };
	FILE *f;

	if (depth > MAX_INCLUDE_DEPTH)
		die(outer, "@include deeper than %d", MAX_INCLUDE_DEPTH);
	snprintf(path, sizeof(path), "%s/%s.policy", dir, name);
	f = fopen(path, "re");
	if (!f)
		die(outer, "%s: open: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		p.line++;
		if (!strchr(line, '\n') && !feof(f))
			die(&p, "line too long");
		parse_line(&p, line);
	}
	fclose(f);
}

/* One program as C text. The file that libseccomp writes to is read back. */
static void write_program(FILE *out, scmp_filter_ctx ctx, const char *role,
			  unsigned action)
{
	struct sock_filter insns[MAX_INSNS];
	FILE *tmp = tmpfile();
	size_t i, n;

	if (!tmp || seccomp_export_bpf(ctx, fileno(tmp)) < 0)
		die(NULL, "%s: export: %s", role, strerror(errno));
	rewind(tmp);
	n = fread(insns, sizeof(insns[0]), MAX_INSNS, tmp);
	if (!n || n == MAX_INSNS || ferror(tmp))
		die(NULL, "%s: program of a wrong size", role);
	fclose(tmp);
	fprintf(out, "static const struct sock_filter %s_%u[] = {\n", role,
		action);
	for (i = 0; i < n; i++)
		fprintf(out, "\t{ 0x%02x, %u, %u, 0x%08x },\n", insns[i].code,
			insns[i].jt, insns[i].jf, insns[i].k);
	fputs("};\n\n", out);
}

static void write_role(FILE *out, const char *dir, bool extra, const char *role)
{
	static const uint32_t defaults[SBX_NR_ACTIONS] = {
		SCMP_ACT_KILL_PROCESS, SCMP_ACT_ERRNO(EPERM), SCMP_ACT_LOG
	};
	unsigned i;

	for (i = 0; i < SBX_NR_ACTIONS; i++) {
		scmp_filter_ctx ctx = seccomp_init(defaults[i]);

		if (!ctx)
			die(NULL, "seccomp_init failed");
		/* a 32-bit or x32 call is never a mistake worth a second
		 * chance, whatever the default */
		if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
				     SCMP_ACT_KILL_PROCESS) ||
		    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2))
			die(NULL, "libseccomp is too old");
		read_policy(NULL, ctx, dir, role, 0);
		if (extra)
			read_policy(NULL, ctx, dir, EXTRA_POLICY, 0);
		write_program(out, ctx, role, i);
		seccomp_release(ctx);
	}
}

static void write_table(FILE *out, char **roles, int nr)
{
	int i, a;

	fputs("const struct sbx_program sbx_programs[][SBX_NR_ACTIONS] = {\n",
	      out);
	for (i = 0; i < nr; i++) {
		const char *c;

		fputs("\t[VC_ROLE_", out);
		for (c = roles[i]; *c; c++)
			fputc(toupper((unsigned char)*c), out);
		fputs("] = {\n", out);
		for (a = 0; a < SBX_NR_ACTIONS; a++)
			fprintf(out, "\t\t{ %s_%d, VC_ARRAY_SIZE(%s_%d) },\n",
				roles[i], a, roles[i], a);
		fputs("\t},\n", out);
	}
	fputs("};\n\n"
	      "_Static_assert(VC_ARRAY_SIZE(sbx_programs) == VC_NR_ROLES,\n"
	      "\t       \"a policy for every role\");\n",
	      out);
}

int main(int argc, char **argv)
{
	const char *out_path = NULL;
	bool extra = false;
	FILE *out = stdout;
	int opt, i;

	while ((opt = getopt(argc, argv, "xo:")) != -1) {
		if (opt == 'x')
			extra = true;
		else if (opt == 'o')
			out_path = optarg;
		else
			return 2;
	}
	if (argc - optind < 2)
		die(NULL, "usage: [-x] [-o OUT.c] DIR ROLE...");
	if (out_path && !(out = fopen(out_path, "we")))
		die(NULL, "%s: create: %s", out_path, strerror(errno));
	fputs("/* Generated by seccomp/compile: edit the policies instead. */\n"
	      "#include \"config.h\"\n"
	      "#include <vmmcore/sandbox.h>\n"
	      "#include \"sandbox/programs.h\"\n\n",
	      out);
	if (extra)
		fputs("#ifndef VC_INSTRUMENTED\n"
		      "#error \"the extra policy is for instrumented builds\"\n"
		      "#endif\n\n",
		      out);
	for (i = optind + 1; i < argc; i++)
		write_role(out, argv[optind], extra, argv[i]);
	write_table(out, argv + optind + 1, argc - optind - 1);
	if (fclose(out))
		die(NULL, "%s: write: %s", out_path ? out_path : "output",
		    strerror(errno));
	return 0;
}
