/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pattern that begins with a slash, or with "./" as names in many an archive,
 * is held against the whole of a path, any other one also against what follows
 * each of its slashes. It matches a directory together with all that is in it:
 * FNM_LEADING_DIR. Slashes and dots that do not count in a name do not count in a
 * pattern.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/util.h>
#include "mkimage/bytes.h"
#include "mkimage/pattern.h"

/* Without what does not count. */
static char *clean(const char *path)
{
	char *ret = malloc(strlen(path) + 1), *to = ret;
	size_t len;

	if (!ret)
		return NULL;
	for (; *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len || (len == 1 && *path == '.'))
			continue;
		if (to != ret)
			*to++ = '/';
		memcpy(to, path, len);
		to += len;
	}
	*to = '\0';
	return ret;
}

int patterns_add(struct patterns *p, const char *text, struct vc_error *err)
{
	bool is_rooted = *text == '/' || starts_with(text, "./");
	vc_auto_free char *cleaned = clean(text);
	char **texts, *pattern = NULL;

	if (!cleaned)
		return vc_fail(err, VC_E_SYS, ENOMEM, "pattern");
	if (!*cleaned)
		return vc_fail(err, VC_E_ARG, 0, "empty pattern");
	if (p->nr == PATTERNS_MAX || strlen(cleaned) > PATTERN_MAX_LEN)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d patterns or %d bytes",
			       PATTERNS_MAX, PATTERN_MAX_LEN);
	texts = realloc(p->texts, (p->nr + 1) * sizeof(*texts));
	if (!texts)
		return vc_fail(err, VC_E_SYS, ENOMEM, "pattern");
	p->texts = texts;
	if (asprintf(&pattern, "%s%s", is_rooted ? "/" : "", cleaned) < 0)
		return vc_fail(err, VC_E_SYS, ENOMEM, "pattern");
	texts[p->nr++] = pattern;
	return 0;
}

static bool match_one(const char *pattern, const char *path)
{
	const int flags = FNM_PATHNAME | FNM_LEADING_DIR;
	bool is_rooted = *pattern == '/';

	pattern += is_rooted;
	for (;;) {
		if (!fnmatch(pattern, path, flags))
			return true;
		path = is_rooted ? NULL : strchr(path, '/');
		if (!path)
			return false;
		path++;
	}
}

bool patterns_match(const struct patterns *p, const char *path)
{
	vc_auto_free char *cleaned = NULL;
	size_t i;

	if (!p->nr)
		return false;
	cleaned = clean(path);
	if (!cleaned || !*cleaned)
		return false;
	for (i = 0; i < p->nr; i++)
		if (match_one(p->texts[i], cleaned))
			return true;
	return false;
}

void patterns_fini(struct patterns *p)
{
	while (p->nr)
		free(p->texts[--p->nr]);
	free(p->texts);
	*p = (struct patterns){ 0 };
}
