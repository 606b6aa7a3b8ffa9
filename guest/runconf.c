/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A line is a key, a blank, and the value up to its end, in which \xHH stands
 * for a byte. Arguments are gathered in two lists, so that those of `cmd` come
 * behind those of `entrypoint` wherever they stand.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/util.h>
#include "guest/runconf.h"

struct list {
	char **v; /* owned, with room for the NULL at its end */
	size_t nr;
};

struct parser {
	struct list entrypoint, cmd, env;
	struct runconf *c;
};

static int list_add(struct list *l, const char *value, struct vc_error *err)
{
	char **v;

	if (l->nr == RUNCONF_MAX_STRINGS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d of a kind",
			       RUNCONF_MAX_STRINGS);
	v = realloc(l->v, (l->nr + 2) * sizeof(*v));
	if (!v)
		return vc_fail(err, VC_E_SYS, ENOMEM, "value");
	l->v = v;
	v[l->nr] = strdup(value);
	v[l->nr + 1] = NULL;
	if (!v[l->nr++])
		return vc_fail(err, VC_E_SYS, ENOMEM, "value");
	return 0;
}

static void list_fini(struct list *l)
{
	while (l->nr)
		free(l->v[--l->nr]);
	free(l->v);
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) & 15 : -1;
}

/* In place. */
static int unescape(char *s, struct vc_error *err)
{
	int high, low;
	char *to = s;

	for (; *s; s++) {
		if (*s != '\\') {
			*to++ = *s;
			continue;
		}
		high = s[1] == 'x' ? hex_digit(s[2]) : -1;
		low = high < 0 ? -1 : hex_digit(s[3]);
		if (low < 0 || !(high | low))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "'\\' without xHH");
		*to++ = (char)(high << 4 | low);
		s += 3;
	}
	*to = '\0';
	return 0;
}

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". */
static int parse_signal(const char *text, int *ret, struct vc_error *err)
{
	const char *name;
	uint64_t nr;
	int i;

	if (!vc_parse_u64(text, (uint64_t)SIGRTMAX, &nr, NULL) && nr) {
		*ret = (int)nr;
		return 0;
	}
	if (!strncmp(text, "SIG", 3))
		text += 3;
	if (!strncmp(text, "RTMIN+", 6) &&
	    !vc_parse_u64(text + 6, (uint64_t)(SIGRTMAX - SIGRTMIN), &nr,
			  NULL)) {
		*ret = SIGRTMIN + (int)nr;
		return 0;
	}
	for (i = 1; i < SIGRTMIN; i++) {
		name = sigabbrev_np(i);
		if (!name || strcmp(name, text) != 0)
			continue;
		*ret = i;
		return 0;
	}
	return vc_fail(err, VC_E_CORRUPT, 0, "not a signal");
}

static int set_text(char **to, const char *value, struct vc_error *err)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "value");
}

static int do_line(struct parser *p, char *line, struct vc_error *err)
{
	char *value = strchr(line, ' ');

	if (!*line || *line == '#')
		return 0;
	if (!value)
		return vc_fail(err, VC_E_CORRUPT, 0, "no value");
	*value++ = '\0';
	if (unescape(value, err))
		return -1;
	if (!strcmp(line, "entrypoint"))
		return list_add(&p->entrypoint, value, err);
	if (!strcmp(line, "cmd"))
		return list_add(&p->cmd, value, err);
	if (!strcmp(line, "env"))
		return strchr(value, '=') && *value != '='
			       ? list_add(&p->env, value, err)
			       : vc_fail(err, VC_E_CORRUPT, 0,
					 "not of the form NAME=VALUE");
	if (!strcmp(line, "user"))
		return set_text(&p->c->user, value, err);
	if (!strcmp(line, "directory"))
		return set_text(&p->c->cwd, value, err);
	if (!strcmp(line, "stop-signal"))
		return parse_signal(value, &p->c->stop_signal, err);
	return vc_fail(err, VC_E_CORRUPT, 0, "unknown key");
}

static int read_lines(struct parser *p, FILE *f, struct vc_error *err)
{
	vc_auto_free char *line = NULL;
	size_t size = 0, total = 0;
	unsigned nr = 0;
	ssize_t len;

	while ((len = getline(&line, &size, f)) > 0) {
		nr++;
		total += (size_t)len;
		if (len > RUNCONF_MAX_LINE || total > RUNCONF_MAX_BYTES)
			return vc_fail(err, VC_E_LIMIT, 0, "line %u: too long",
				       nr);
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (strlen(line) != (size_t)len)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "line %u: a NUL in it", nr);
		if (do_line(p, line, err))
			return vc_prefix(err, "line %u", nr);
	}
	return ferror(f) ? vc_fail(err, VC_E_SYS, errno, "read") : 0;
}

int runconf_parse(FILE *f, struct runconf *ret, struct vc_error *err)
{
	struct runconf c = { .stop_signal = SIGTERM };
	struct parser p = { .c = &c };
	size_t i;
	int rc = read_lines(&p, f, err);

	for (i = 0; !rc && i < p.cmd.nr; i++)
		rc = list_add(&p.entrypoint, p.cmd.v[i], err);
	list_fini(&p.cmd);
	if (!rc && !p.entrypoint.v)
		p.entrypoint.v = calloc(1, sizeof(char *));
	if (!rc && !p.env.v)
		p.env.v = calloc(1, sizeof(char *));
	if (!rc && (!p.entrypoint.v || !p.env.v))
		rc = vc_fail(err, VC_E_SYS, ENOMEM, "value");
	if (rc) {
		list_fini(&p.entrypoint);
		list_fini(&p.env);
		free(c.user);
		free(c.cwd);
		return -1;
	}
	c.argv = p.entrypoint.v;
	c.env = p.env.v;
	*ret = c;
	return 0;
}

int runconf_read(const char *path, struct runconf *ret, struct vc_error *err)
{
	vc_auto_file FILE *f = fopen(path, "re");
	bool is_missing = !f && errno == ENOENT;

	if (!f && !is_missing)
		return vc_fail(err, VC_E_SYS, errno, "%s: open", path);
	if (is_missing)
		f = fopen("/dev/null", "re");
	if (!f)
		return vc_fail(err, VC_E_SYS, errno, "/dev/null: open");
	if (runconf_parse(f, ret, err))
		return vc_prefix(err, "%s", path);
	return 0;
}

static void free_strings(char **v)
{
	size_t i;

	for (i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

void runconf_fini(struct runconf *c)
{
	free_strings(c->argv);
	free_strings(c->env);
	free(c->user);
	free(c->cwd);
	*c = (struct runconf){ 0 };
}
