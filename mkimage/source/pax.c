/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libarchive ends a name at a NUL, reads a number as far as it is one, keeps
 * the flags it knows, takes from the text of an ACL what it understands and the
 * largest int for an id beyond it, and forgets the target of a link whose header
 * has none of its own. Nothing of that is told, so the records are looked at
 * here once more.
 */
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/source/pax.h"

#define MAX_ACL_ID (INT32_MAX - 1) /* libarchive's ids are int */
#define MAX_FIELDS 5		   /* default:user:NAME:rwx:ID */

struct text {
	const char *p;
	size_t len;
};

static bool is_one_of(const char *key, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(key, *names))
			return true;
	return false;
}

static bool text_is(struct text t, const char *want)
{
	return strlen(want) == t.len && !memcmp(t.p, want, t.len);
}

static size_t count_digits(struct text t)
{
	size_t n = 0;

	while (n < t.len && t.p[n] >= '0' && t.p[n] <= '9')
		n++;
	return n;
}

/* --- numbers -------------------------------------------------------------- */

static bool is_number(struct text t, bool is_time)
{
	size_t n, more = 0;

	if (t.len && *t.p == '-')
		t = (struct text){ t.p + 1, t.len - 1 };
	n = count_digits(t);
	t = (struct text){ t.p + n, t.len - n };
	if (is_time && t.len && *t.p == '.') {
		t = (struct text){ t.p + 1, t.len - 1 };
		more = count_digits(t);
		t.len -= more;
	}
	return n + more && !t.len;
}

static int check_number(struct build *b, struct archive_entry *e,
			const char *key, struct text value,
			struct vc_error *err)
{
	static const char *const numbers[] = { "uid",
					       "gid",
					       "size",
					       "SCHILY.devmajor",
					       "SCHILY.devminor",
					       "SCHILY.realsize",
					       "GNU.sparse.size",
					       "GNU.sparse.realsize",
					       NULL };
	static const char *const times[] = { "mtime", "atime", "ctime", NULL };
	const bool is_time = is_one_of(key, times);

	if ((!is_time && !is_one_of(key, numbers)) || is_number(value, is_time))
		return 0;
	return warn_add(&b->warn, err,
			"entry '%s': its '%s' is no number: '%s'",
			tree_show(archive_entry_pathname(e)).s, key,
			tree_show_n(value.p, value.len).s);
}

/* --- names ---------------------------------------------------------------- */

static int check_name(const char *key, struct text value, struct vc_error *err)
{
	static const char *const names[] = {
		"path", "linkpath", "uname", "gname", "GNU.sparse.name", NULL
	};

	if (!is_one_of(key, names) || !memchr(value.p, '\0', value.len))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0, "its '%s' has a NUL", key);
}

/* archive/tar of Go leaves the header's own field empty where it has no room or
 * no letters for the name. */
static int put_target(struct archive_entry *e, char type, struct text value,
		      struct vc_error *err)
{
	vc_auto_free char *target = strndup(value.p, value.len);

	if (!target)
		return vc_fail(err, VC_E_SYS, ENOMEM, "archive");
	if (type == '2')
		archive_entry_set_symlink(e, target);
	else if (type == '1')
		archive_entry_set_hardlink(e, target);
	return 0;
}

/* --- flags ---------------------------------------------------------------- */

static int check_flags(struct build *b, struct archive_entry *e,
		       struct text value, struct vc_error *err)
{
	vc_auto_free char *text = strndup(value.p, value.len);
	const char *unknown;

	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "archive");
	unknown = archive_entry_copy_fflags_text(e, text);
	if (!unknown)
		return 0;
	return warn_add(&b->warn, err,
			"entry '%s': unknown flag left out: '%s'",
			tree_show(archive_entry_pathname(e)).s,
			tree_show(unknown).s);
}

/* --- ACLs ----------------------------------------------------------------- */

static int fail_acl(struct text field, struct vc_error *err)
{
	return vc_fail(err, VC_E_CORRUPT, 0, "ACL that cannot be read: '%s'",
		       tree_show_n(field.p, field.len).s);
}

static struct text trim(struct text t)
{
	while (t.len && (*t.p == ' ' || *t.p == '\t'))
		t = (struct text){ t.p + 1, t.len - 1 };
	while (t.len && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* What is before `sep`, which is taken off `rest`. */
static struct text cut(struct text *rest, const char *seps)
{
	struct text ret = *rest;
	size_t n = 0;

	while (n < rest->len && !strchr(seps, rest->p[n]))
		n++;
	ret.len = n;
	n += n < rest->len;
	*rest = (struct text){ rest->p + n, rest->len - n };
	return trim(ret);
}

static bool is_perm(struct text t)
{
	size_t i;

	for (i = 0; i < t.len; i++)
		if (!t.p[i] || !strchr("rwxX-", t.p[i]))
			return false;
	return t.len >= 1 && t.len <= 3;
}

static bool is_id_ok(struct text t)
{
	uint64_t id = 0;
	size_t i;

	if (!t.len || count_digits(t) < t.len)
		return true; /* a name */
	for (i = 0; i < t.len && id <= MAX_ACL_ID; i++)
		id = id * 10 + (uint64_t)(t.p[i] - '0');
	return id <= MAX_ACL_ID;
}

/* "user:NAME:rwx" and what may be before and behind it. */
static int check_acl_entry(struct text entry, struct vc_error *err)
{
	struct text f[MAX_FIELDS], rest = entry, *at = f;
	size_t nr = 0;
	bool has_id;

	do {
		if (nr == MAX_FIELDS)
			return fail_acl(entry, err);
		f[nr++] = cut(&rest, ":");
	} while (rest.len);
	if (text_is(*at, "default") || text_is(*at, "d")) {
		at++;
		nr--;
	}
	has_id = nr && (text_is(*at, "user") || text_is(*at, "u") ||
			text_is(*at, "group") || text_is(*at, "g"));
	if (!nr || (!has_id && !text_is(*at, "mask") && !text_is(*at, "m") &&
		    !text_is(*at, "other") && !text_is(*at, "o")))
		return fail_acl(entry, err);
	/* Solaris has no second field in the last two */
	if (!has_id && nr == 2)
		return is_perm(at[1]) ? 0 : fail_acl(entry, err);
	if (nr < 3 || !is_perm(at[2]) || (!has_id && at[1].len) ||
	    (nr == 4 && count_digits(at[3]) < at[3].len) || nr > 4)
		return fail_acl(entry, err);
	if (!is_id_ok(at[1]) || (nr == 4 && !is_id_ok(at[3])))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "ACL with an id of more than %d: '%s'",
			       MAX_ACL_ID, tree_show_n(entry.p, entry.len).s);
	return 0;
}

int pax_check_acl(const char *text, size_t len, struct vc_error *err)
{
	struct text rest = { text, len }, entry, line;

	while (rest.len) {
		entry = cut(&rest, ",\n");
		line = cut(&entry, "#"); /* a comment */
		if (line.len && check_acl_entry(line, err))
			return -1;
	}
	return 0;
}

/* --- all of them ---------------------------------------------------------- */

int pax_check_record(struct build *b, struct archive_entry *e, char type,
		     const char *key, const char *value, size_t len,
		     struct vc_error *err)
{
	const struct text text = { value, len };

	if (check_name(key, text, err) || check_number(b, e, key, text, err))
		return -1;
	if (!strcmp(key, "linkpath"))
		return put_target(e, type, text, err);
	if (!strcmp(key, "SCHILY.fflags"))
		return check_flags(b, e, text, err);
	if (!strcmp(key, "SCHILY.acl.access") ||
	    !strcmp(key, "SCHILY.acl.default"))
		return pax_check_acl(value, len, err);
	return 0;
}
