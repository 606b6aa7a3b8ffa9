/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A manifest: one step a line, in words. Words are separated by blanks; double
 * quotes keep blanks in one; \n, \t and \xHH, and \ before anything else that
 * is no letter or digit, stand for a byte. What words a verb has is in op_kinds,
 * in ops.c; mode= and owner= may follow.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "mkimage/bytes.h"
#include "mkimage/ops.h"

struct line {
	char *w[MANIFEST_MAX_WORDS]; /* point into buf */
	size_t nr;
	char buf[MANIFEST_MAX_LINE + MANIFEST_MAX_WORDS];
};

/* --- words ---------------------------------------------------------------- */

/* What follows a backslash at `p`; moves it on. */
static int unescape(const char **p, const char *end, char *ret,
		    struct vc_error *err)
{
	int high, low;
	char c = *p < end ? **p : '\0';

	(*p)++;
	if (c == 'n') {
		*ret = '\n';
	} else if (c == 't') {
		*ret = '\t';
	} else if (c == 'x' && end - *p >= 2) {
		high = hex_digit((*p)[0]);
		low = hex_digit((*p)[1]);
		*p += 2;
		if (high < 0 || low < 0 || !(high | low))
			return vc_fail(err, VC_E_ARG, 0,
				       "\\x: not two hexadecimal digits");
		*ret = (char)(high << 4 | low);
	} else if (!c || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		   (c >= 'A' && c <= 'Z')) {
		return vc_fail(err, VC_E_ARG, 0, "unknown escape");
	} else {
		*ret = c;
	}
	return 0;
}

/* One word from `*p` to `to`, terminated. */
static int get_word(const char **p, const char *end, char **to,
		    struct vc_error *err)
{
	bool quoted = false;
	const char *at = *p;

	while (at < end && (quoted || (*at != ' ' && *at != '\t'))) {
		char c = *at++;

		if (!c)
			return vc_fail(err, VC_E_ARG, 0, "a NUL in it");
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c == '\\' && unescape(&at, end, &c, err))
			return -1;
		*(*to)++ = c;
	}
	if (quoted)
		return vc_fail(err, VC_E_ARG, 0, "a quote without an end");
	*(*to)++ = '\0';
	*p = at;
	return 0;
}

static int split_line(const char *p, size_t len, struct line *l,
		      struct vc_error *err)
{
	const char *end = p + len;
	char *to = l->buf;

	l->nr = 0;
	if (len > MANIFEST_MAX_LINE)
		return vc_fail(err, VC_E_LIMIT, 0, "longer than %d bytes",
			       MANIFEST_MAX_LINE);
	for (;;) {
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (p == end || *p == '#')
			return 0;
		if (l->nr == MANIFEST_MAX_WORDS)
			return vc_fail(err, VC_E_ARG, 0, "more than %d words",
				       MANIFEST_MAX_WORDS);
		l->w[l->nr++] = to;
		if (get_word(&p, end, &to, err))
			return -1;
	}
}

/* --- steps ---------------------------------------------------------------- */

/* Words of the form KEY=VALUE, from number `i` on. */
static int get_keys(const struct line *l, size_t i, struct op *op,
		    struct vc_error *err)
{
	const struct op_kind *kind = &op_kinds[op->verb];

	for (; i < l->nr; i++) {
		const char *w = l->w[i];

		if (kind->takes_mode && !strncmp(w, "mode=", 5)) {
			if (op_set(op, OP_ARG_MODE, w + 5, err))
				return vc_prefix(err, "mode");
		} else if (kind->takes_owner && !strncmp(w, "owner=", 6)) {
			if (op_set(op, OP_ARG_OWNER, w + 6, err))
				return vc_prefix(err, "owner");
		} else {
			return vc_fail(err, VC_E_ARG, 0, "unknown word '%s'",
				       tree_show(w).s);
		}
	}
	return 0;
}

/* A relative name on the host is one in the manifest's folder. */
static char *host_path(const char *manifest, const char *path)
{
	const char *slash = strrchr(manifest, '/');
	char *ret;

	if (*path == '/' || !slash)
		return strdup(path);
	if (asprintf(&ret, "%.*s/%s", (int)(slash - manifest), manifest, path) <
	    0)
		return NULL;
	return ret;
}

static int get_arg(const char *text, const char *name, struct op *op,
		   struct vc_error *err)
{
	const enum op_arg arg = op_kinds[op->verb].arg;
	vc_auto_free char *path = NULL;

	if (arg == OP_ARG_HOST) {
		text = path = host_path(name, text);
		if (!path)
			return vc_fail(err, VC_E_SYS, ENOMEM, "manifest");
	}
	return op_set(op, arg, text, err);
}

static int add_step(const struct line *l, const char *name, uint32_t nr,
		    struct ops *o, struct vc_error *err)
{
	struct op op = { .line = nr, .file = name };
	const struct op_kind *kind;
	size_t v, last;

	for (v = 0; v < OP_NR_VERBS; v++)
		if (!strcmp(l->w[0], op_kinds[v].name))
			break;
	if (v == OP_NR_VERBS)
		return vc_fail(err, VC_E_ARG, 0, "unknown verb '%s'",
			       tree_show(l->w[0]).s);
	kind = &op_kinds[v];
	last = kind->arg == OP_ARG_NONE ? 1 : 2;
	if (l->nr <= last)
		return vc_fail(err, VC_E_ARG, 0, "%s: words are missing",
			       kind->name);
	op.verb = (enum op_verb)v;
	if (get_arg(l->w[1], name, &op, err) ||
	    get_keys(l, last + 1, &op, err)) {
		op_fini(&op);
		return vc_prefix(err, "%s", kind->name);
	}
	op.guest = strdup(l->w[last]);
	return ops_add(o, &op, err);
}

static int do_line(struct line *l, const char *name, uint32_t nr, struct ops *o,
		   struct patterns *exclude, struct vc_error *err)
{
	if (!l->nr)
		return 0;
	if (strcmp(l->w[0], "exclude") != 0)
		return add_step(l, name, nr, o, err);
	if (l->nr != 2)
		return vc_fail(err, VC_E_ARG, 0, "exclude: not one pattern");
	return patterns_add(exclude, l->w[1], err);
}

int manifest_parse(const char *text, size_t len, const char *name,
		   struct ops *o, struct patterns *exclude,
		   struct vc_error *err)
{
	vc_auto_free struct line *l = malloc(sizeof(*l));
	const char *p = text, *end = text + len, *eol;
	uint32_t nr = 0;
	size_t nr_line;

	if (!l)
		return vc_fail(err, VC_E_SYS, ENOMEM, "manifest");
	for (; p < end; p = eol + 1) {
		nr++;
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		nr_line = (size_t)(eol - p);
		if (nr_line && p[nr_line - 1] == '\r')
			nr_line--; /* written on Windows */
		if (split_line(p, nr_line, l, err) ||
		    do_line(l, name, nr, o, exclude, err))
			return vc_prefix(err, "line %u", nr);
	}
	return 0;
}

int manifest_read(const char *path, struct ops *o, struct patterns *exclude,
		  struct vc_error *err)
{
	/* no waiting for the writer of a fifo, which is refused */
	vc_auto_fd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	vc_auto_free char *text = NULL;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st))
		return vc_fail(err, VC_E_SYS, errno, "'%s': open", path);
	if (!S_ISREG(st.st_mode) || st.st_size > MANIFEST_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "'%s': not a file of at most %d bytes", path,
			       MANIFEST_MAX_BYTES);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s'", path);
	if (vc_read_full(fd, text, (size_t)st.st_size))
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", path);
	rc = manifest_parse(text, (size_t)st.st_size, path, o, exclude, err);
	return rc ? vc_prefix(err, "'%s'", path) : 0;
}
