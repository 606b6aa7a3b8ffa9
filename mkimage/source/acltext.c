/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of an ACL: libarchive takes from it what it understands and the
 * largest int for an id beyond it, and tells of neither.
 */
#include "mkimage/source/pax.h"
#include "mkimage/source/text.h"

#define MAX_ACL_ID (INT32_MAX - 1) /* libarchive's ids are int */
#define MAX_FIELDS 5		   /* default:user:NAME:rwx:ID */

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

	if (!t.len || text_count_digits(t) < t.len)
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
	    (nr == 4 && text_count_digits(at[3]) < at[3].len) || nr > 4)
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
