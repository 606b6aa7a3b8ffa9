/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libarchive ends a name at a NUL, reads a number as far as it is one and an
 * empty one as 0, loses the sign of a time between -1 and 0, keeps the flags it
 * knows, forgets the target of a link whose header has none of its own, takes
 * any text for base64, and passes over global headers and records it does not
 * know. Nothing of that is told, so the records are read here once more; texts
 * of ACLs in acltext.c.
 */
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/bytes.h"
#include "mkimage/source/headers.h"
#include "mkimage/source/text.h"

#define NSEC 1000000000L

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "pax header");
}

static int warn_entry(struct pax_entry *p, const char *what, struct text text,
		      struct vc_error *err)
{
	return warn_add(&p->b->warn, err, "entry '%s': %s: '%s'",
			tree_show(archive_entry_pathname(p->e)).s, what,
			tree_show_n(text.p, text.len).s);
}

/* "LENGTH KEY=VALUE\n", cut off `rest`. False at the end. */
static bool next_record(struct text *rest, struct text *key, struct text *value)
{
	const char *at = rest->p, *equals;
	size_t n = 0, digits = 0;

	while (digits < rest->len && digits < 8 && at[digits] >= '0' &&
	       at[digits] <= '9')
		n = n * 10 + (size_t)(at[digits++] - '0');
	if (n > rest->len || n < digits + 3 || at[digits] != ' ')
		return false;
	at += digits + 1;
	equals = memchr(at, '=', n - digits - 1);
	if (!equals || equals == rest->p + n - 1)
		return false;
	*key = (struct text){ at, (size_t)(equals - at) };
	*value =
		(struct text){ equals + 1, n - (size_t)(equals + 2 - rest->p) };
	*rest = (struct text){ rest->p + n, rest->len - n };
	return true;
}

/* --- numbers -------------------------------------------------------------- */

static const char *const times[] = { "mtime", "atime", "ctime",
				     "LIBARCHIVE.creationtime", NULL };

static bool is_number(struct text t, bool is_time)
{
	size_t n, more = 0;

	if (t.len && *t.p == '-')
		t = (struct text){ t.p + 1, t.len - 1 };
	n = text_count_digits(t);
	t = (struct text){ t.p + n, t.len - n };
	if (is_time && t.len && *t.p == '.') {
		t = (struct text){ t.p + 1, t.len - 1 };
		more = text_count_digits(t);
		t.len -= more;
	}
	return n + more && !t.len;
}

/* "1e5" is 1 to GNU tar, to bsdtar and to libarchive here: they say nothing. */
static int check_number(struct pax_entry *p, struct text key, struct text value,
			struct vc_error *err)
{
	static const char *const numbers[] = { "uid",
					       "gid",
					       "size",
					       "SCHILY.devmajor",
					       "SCHILY.devminor",
					       "SUN.devmajor",
					       "SUN.devminor",
					       "SCHILY.realsize",
					       "GNU.sparse.size",
					       "GNU.sparse.realsize",
					       NULL };
	const bool is_time = text_is_one_of(key, times);
	char what[64];

	if ((!is_time && !text_is_one_of(key, numbers)) ||
	    is_number(value, is_time))
		return 0;
	snprintf(what, sizeof(what), "its '%.*s' is no number", (int)key.len,
		 key.p);
	return warn_entry(p, what, value, err);
}

/* "0,512,8192,512", pairs; and the same with a record for each. libarchive
 * forgets a map that it cannot read. */
static int check_map(struct text key, struct text value, struct vc_error *err)
{
	static const char *const numbers[] = { "GNU.sparse.offset",
					       "GNU.sparse.numbytes",
					       "GNU.sparse.numblocks", NULL };
	const bool is_list = text_is(key, "GNU.sparse.map");
	size_t n, nr = 0;

	if (!is_list && !text_is_one_of(key, numbers))
		return 0;
	while (value.len) {
		n = text_count_digits(value);
		if (!n || (n < value.len && value.p[n] != ','))
			break;
		nr++;
		n += n < value.len && n + 1 < value.len;
		value = (struct text){ value.p + n, value.len - n };
	}
	if (!value.len && (is_list ? !(nr % 2) : nr == 1))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "its '%.*s' is no map of a sparse file", (int)key.len,
		       key.p);
}

/* "-12.5" and the like. False for what is no number, or has no room. */
static bool parse_time(struct text t, struct pax_time *ret)
{
	const bool is_negative = t.len && *t.p == '-';
	const char *p = t.p + is_negative, *end = t.p + t.len;
	int64_t sec = 0;
	long nsec = 0, unit;
	int digits;

	for (digits = 0; p < end && *p >= '0' && *p <= '9'; digits++, p++) {
		if (digits == 18)
			return false;
		sec = sec * 10 + (*p - '0');
	}
	if (p < end && *p == '.')
		for (p++, unit = NSEC / 10; p < end && *p >= '0' && *p <= '9';
		     p++, unit /= 10, digits++)
			nsec += (*p - '0') * unit;
	if (p != end || !digits)
		return false;
	if (is_negative) {
		sec = nsec ? -sec - 1 : -sec;
		nsec = nsec ? NSEC - nsec : 0;
	}
	*ret = (struct pax_time){ true, sec, nsec };
	return true;
}

static bool parse_id(struct text t, struct pax_id *ret)
{
	int64_t v = 0;
	size_t i;

	if (!t.len || t.len > 18 || text_count_digits(t) < t.len)
		return false;
	for (i = 0; i < t.len; i++)
		v = v * 10 + (t.p[i] - '0');
	*ret = (struct pax_id){ true, v };
	return true;
}

/* Of a record that may be global; false if `key` is none of those. */
static bool set_global(struct pax_globals *g, struct text key,
		       struct text value)
{
	struct pax_time *t = text_is(key, "mtime")   ? &g->mtime
			     : text_is(key, "atime") ? &g->atime
			     : text_is(key, "ctime") ? &g->ctime
						     : NULL;
	struct pax_id *id = text_is(key, "uid")	  ? &g->uid
			    : text_is(key, "gid") ? &g->gid
						  : NULL;

	if (t && !value.len)
		*t = (struct pax_time){ 0 };
	else if (id && !value.len)
		*id = (struct pax_id){ 0 };
	else
		return (t && parse_time(value, t)) ||
		       (id && parse_id(value, id));
	return true;
}

void pax_apply_globals(const struct pax_globals *g, struct archive_entry *e)
{
	if (g->mtime.is_set)
		archive_entry_set_mtime(e, g->mtime.sec, g->mtime.nsec);
	if (g->atime.is_set)
		archive_entry_set_atime(e, g->atime.sec, g->atime.nsec);
	if (g->ctime.is_set)
		archive_entry_set_ctime(e, g->ctime.sec, g->ctime.nsec);
	if (g->uid.is_set)
		archive_entry_set_uid(e, g->uid.id);
	if (g->gid.is_set)
		archive_entry_set_gid(e, g->gid.id);
}

static void set_number(struct archive_entry *e, struct text key,
		       struct text value)
{
	struct pax_globals own = { 0 };
	struct pax_time born;
	struct pax_id part;

	if (set_global(&own, key, value))
		pax_apply_globals(&own, e);
	else if (text_is(key, "LIBARCHIVE.creationtime") &&
		 parse_time(value, &born))
		archive_entry_set_birthtime(e, born.sec, born.nsec);
	else if (text_is(key, "SUN.devmajor") && parse_id(value, &part))
		archive_entry_set_rdevmajor(e, (dev_t)part.id);
	else if (text_is(key, "SUN.devminor") && parse_id(value, &part))
		archive_entry_set_rdevminor(e, (dev_t)part.id);
}

/* An empty value takes a record back: the header's own counts. */
static int take_back(struct pax_entry *p, struct text key, struct vc_error *err)
{
	const uint8_t *h = p->own;

	if (text_is(key, "uid"))
		archive_entry_set_uid(p->e, header_get_number(h + HEADER_UID,
							      HEADER_ID_LEN));
	else if (text_is(key, "gid"))
		archive_entry_set_gid(p->e, header_get_number(h + HEADER_GID,
							      HEADER_ID_LEN));
	else if (text_is(key, "mtime"))
		archive_entry_set_mtime(p->e,
					header_get_number(h + HEADER_MTIME,
							  HEADER_NUMBER_LEN),
					0);
	else if (text_is(key, "atime"))
		archive_entry_unset_atime(p->e);
	else if (text_is(key, "ctime"))
		archive_entry_unset_ctime(p->e);
	else if (text_is(key, "LIBARCHIVE.creationtime"))
		archive_entry_unset_birthtime(p->e);
	else if (text_is(key, "SCHILY.devmajor"))
		archive_entry_set_rdevmajor(
			p->e, (dev_t)header_get_number(h + HEADER_MAJOR,
						       HEADER_ID_LEN));
	else if (text_is(key, "SCHILY.devminor"))
		archive_entry_set_rdevminor(
			p->e, (dev_t)header_get_number(h + HEADER_MINOR,
						       HEADER_ID_LEN));
	else if (text_is(key, "size") &&
		 header_get_number(h + HEADER_SIZE, HEADER_NUMBER_LEN))
		/* the parser takes it for 0, and the contents for a header */
		return vc_fail(err, VC_E_CORRUPT, 0, "its 'size' is empty");
	return 0;
}

/* --- names ---------------------------------------------------------------- */

static int check_name(struct text key, struct text value, struct vc_error *err)
{
	static const char *const names[] = {
		"path", "linkpath", "uname", "gname", "GNU.sparse.name", NULL
	};

	if (text_has_nul(key))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "the name of a pax record has a NUL");
	if (!text_is_one_of(key, names) || !text_has_nul(value))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0, "its '%.*s' has a NUL",
		       (int)key.len, key.p);
}

/* archive/tar of Go leaves the header's own field empty where it has no room or
 * no letters for the name. */
static int put_target(struct pax_entry *p, struct text value,
		      struct vc_error *err)
{
	vc_auto_free char *target = strndup(value.p, value.len);

	if (!target)
		return no_memory(err);
	if (p->own[HEADER_TYPE] == '2')
		archive_entry_set_symlink(p->e, target);
	else if (p->own[HEADER_TYPE] == '1')
		archive_entry_set_hardlink(p->e, target);
	return 0;
}

/* --- flags ---------------------------------------------------------------- */

/* libarchive sets those it knows, and tells the first of the others. */
static int check_flags(struct pax_entry *p, struct text value,
		       struct vc_error *err)
{
	vc_auto_free char *text = strndup(value.p, value.len);
	struct archive_entry *scratch = archive_entry_new();
	char *name, *next;
	int rc = 0;

	if (!text || !scratch) {
		archive_entry_free(scratch);
		return no_memory(err);
	}
	archive_entry_copy_fflags_text(p->e, text);
	for (name = strtok_r(text, ",", &next); name && !rc;
	     name = strtok_r(NULL, ",", &next))
		if (archive_entry_copy_fflags_text(scratch, name))
			rc = warn_entry(p, "unknown flag left out",
					(struct text){ name, strlen(name) },
					err);
	archive_entry_free(scratch);
	return rc;
}

/* --- attributes -----------------------------------------------------------
 *
 * star and GNU tar write the bytes of a value, tar the '%' and '=' of a name as
 * "%25" and "%3D"; libarchive writes base64, and names as in a URL.
 */

/* Returns a terminated name, which the caller owns, or NULL. */
static char *decode_name(struct text t, bool is_url)
{
	char *ret = malloc(t.len + 1), *to = ret;
	size_t i;
	int c;

	for (i = 0; ret && i < t.len; i++) {
		c = t.p[i] == '%' && t.len - i > 2 &&
				    hex_digit(t.p[i + 1]) >= 0 &&
				    hex_digit(t.p[i + 2]) >= 0
			    ? hex_digit(t.p[i + 1]) << 4 | hex_digit(t.p[i + 2])
			    : -1;
		if (c < 0 || (!is_url && c != '%' && c != '=')) {
			*to++ = t.p[i];
			continue;
		}
		*to++ = (char)c;
		i += 2;
	}
	if (ret)
		*to = '\0';
	return ret;
}

/* In place of itself; -1 if it is none. */
static ssize_t decode_base64(char *to, struct text t)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789+/";
	uint32_t bits = 0;
	const char *p;
	size_t i;
	ssize_t n = 0;
	int have = 0;

	while (t.len && t.p[t.len - 1] == '=')
		t.len--;
	for (i = 0; i < t.len; i++) {
		p = t.p[i] ? strchr(letters, t.p[i]) : NULL;
		if (!p)
			return -1;
		bits = bits << 6 | (uint32_t)(p - letters);
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[n++] = (char)(bits >> have);
		}
	}
	return have == 6 ? -1 : n;
}

/* Those that libarchive has read. */
static void forget_xattrs(struct pax_entry *p)
{
	if (!p->has_xattrs)
		archive_entry_xattr_clear(p->e);
	p->has_xattrs = true;
}

static int add_xattr(struct pax_entry *p, struct text name, struct text value,
		     bool is_libarchive, struct vc_error *err)
{
	vc_auto_free char *text = decode_name(name, is_libarchive);
	vc_auto_free char *copy = malloc(value.len + 1);
	ssize_t n = (ssize_t)value.len;

	if (!text || !copy)
		return no_memory(err);
	memcpy(copy, value.p, value.len);
	if (is_libarchive)
		n = decode_base64(copy, value);
	if (n < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "attribute '%s': not in base64",
			       tree_show(text).s);
	forget_xattrs(p);
	archive_entry_xattr_add_entry(p->e, text, copy, (size_t)n);
	return 0;
}

/* GNU tar writes it without the NUL that is part of it. */
static int add_label(struct pax_entry *p, struct text value,
		     struct vc_error *err)
{
	static const char name[] = "security.selinux";
	vc_auto_free char *copy = NULL;

	forget_xattrs(p);
	if (!value.len)
		return 0;
	copy = malloc(value.len + 1);
	if (!copy)
		return no_memory(err);
	memcpy(copy, value.p, value.len);
	copy[value.len] = '\0';
	if (!text_has_nul(value))
		value.len++;
	value.p = copy;
	return add_xattr(p, (struct text){ name, sizeof(name) - 1 }, value,
			 false, err);
}

/* *ret_done: it was one. */
static int read_xattr(struct pax_entry *p, struct text key, struct text value,
		      bool *ret_done, struct vc_error *err)
{
	static const struct {
		const char *prefix;
		bool is_libarchive;
	} kinds[] = { { "SCHILY.xattr.", false },
		      { "LIBARCHIVE.xattr.", true } };
	size_t i, n;

	*ret_done = true;
	if (text_is(key, "RHT.security.selinux"))
		return add_label(p, value, err);
	for (i = 0; i < VC_ARRAY_SIZE(kinds); i++) {
		n = strlen(kinds[i].prefix);
		if (key.len > n && text_starts_with(key, kinds[i].prefix))
			return add_xattr(
				p, (struct text){ key.p + n, key.len - n },
				value, kinds[i].is_libarchive, err);
	}
	*ret_done = false;
	return 0;
}

/* --- all of them ---------------------------------------------------------- */

/* Those that libarchive reads, or that say nothing of a file in the image. Of
 * accounts the numbers count. */
static bool is_known(struct text key)
{
	static const char *const names[] = { "path",
					     "linkpath",
					     "size",
					     "uname",
					     "gname",
					     "uid",
					     "gid",
					     "mtime",
					     "atime",
					     "ctime",
					     "hdrcharset",
					     "charset",
					     "SCHILY.devmajor",
					     "SCHILY.devminor",
					     "SUN.devmajor",
					     "SUN.devminor",
					     "SCHILY.dev",
					     "SCHILY.ino",
					     "SCHILY.nlink",
					     "SCHILY.filetype",
					     "SCHILY.tarfiletype",
					     "SCHILY.realsize",
					     "SCHILY.fflags",
					     "SUN.holesdata",
					     "GNU.dumpdir",
					     NULL };
	static const char *const prefixes[] = { "SCHILY.acl.", "GNU.sparse.",
						"LIBARCHIVE." };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(prefixes); i++)
		if (text_starts_with(key, prefixes[i]))
			return true;
	return text_is_one_of(key, names);
}

/* Those that tell of the archive as a whole. */
static bool is_remark(struct text key)
{
	static const char *const names[] = { "comment",
					     "uname",
					     "gname",
					     "hdrcharset",
					     "charset",
					     "SCHILY.archtype",
					     "SCHILY.release",
					     "GNU.volume.label",
					     NULL };

	return text_is_one_of(key, names) ||
	       text_starts_with(key, "SCHILY.volhdr.");
}

static int check_volume(struct text key, struct vc_error *err)
{
	if (!text_starts_with(key, "GNU.volume.") ||
	    text_is(key, "GNU.volume.label"))
		return 0;
	return vc_fail(err, VC_E_UNSUPPORTED, 0,
		       "it goes on from an earlier volume of a multi-volume "
		       "archive");
}

int pax_read_globals(struct build *b, struct pax_globals *g,
		     const uint8_t *records, size_t len, struct vc_error *err)
{
	struct text rest = { (const char *)records, len }, key, value;

	while (next_record(&rest, &key, &value)) {
		if (check_volume(key, err))
			return -1;
		if (!is_remark(key) && !set_global(g, key, value) &&
		    warn_add(&b->warn, err,
			     "'%s' of a global pax header left out",
			     tree_show_n(key.p, key.len).s))
			return -1;
	}
	return 0;
}

static int read_record(struct pax_entry *p, struct text key, struct text value,
		       struct vc_error *err)
{
	bool is_done;

	if (check_name(key, value, err) || check_volume(key, err) ||
	    read_xattr(p, key, value, &is_done, err))
		return -1;
	if (is_done)
		return 0;
	if (!value.len)
		return take_back(p, key, err);
	if (check_number(p, key, value, err) || check_map(key, value, err))
		return -1;
	set_number(p->e, key, value);
	if (text_is(key, "linkpath"))
		return put_target(p, value, err);
	if (text_is(key, "SCHILY.fflags"))
		return check_flags(p, value, err);
	if (text_is(key, "SCHILY.acl.access") ||
	    text_is(key, "SCHILY.acl.default"))
		return pax_check_acl(value.p, value.len, err);
	if (is_known(key) || is_remark(key))
		return 0;
	return warn_entry(p, "pax record of unknown kind left out", key, err);
}

int pax_read_records(struct pax_entry *p, const uint8_t *records, size_t len,
		     struct vc_error *err)
{
	struct text rest = { (const char *)records, len }, key, value;

	while (next_record(&rest, &key, &value))
		if (read_record(p, key, value, err))
			return -1;
	return 0;
}
