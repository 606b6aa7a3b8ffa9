/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libarchive takes an entry of a kind it does not know for a file and what is no
 * number for one, does not know the two more times of star, and passes over what
 * pax.c reads. Of two pax
 * headers before one entry it reads only the last.
 */
#include <archive_entry.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/source/headers.h"

/* --- a block -------------------------------------------------------------- */

bool header_is(const uint8_t *h)
{
	const size_t end = HEADER_CHECKSUM + HEADER_ID_LEN;
	/* the field itself counts as though it were blank */
	int sum = HEADER_ID_LEN * ' ', signed_sum = sum, want = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK; i++) {
		if (i >= HEADER_CHECKSUM && i < end)
			continue;
		sum += h[i];
		signed_sum += (int8_t)h[i]; /* as some have summed them up */
	}
	for (i = HEADER_CHECKSUM; i < end && h[i] == ' '; i++)
		;
	if (i == end || h[i] < '0' || h[i] > '7')
		return false;
	for (; i < end && h[i] >= '0' && h[i] <= '7'; i++)
		want = want * 8 + (h[i] - '0');
	return sum == want || signed_sum == want;
}

static int64_t get_base256(const uint8_t *p, size_t len)
{
	const bool is_negative = p[0] & 0x40;
	uint64_t v = is_negative ? UINT64_MAX : 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (v >> 55 != (is_negative ? 0x1ff : 0))
			return is_negative ? INT64_MIN : INT64_MAX;
		v = v << 8 | (i ? p[i] : p[i] | (is_negative ? 0x80 : 0));
		if (!i && !is_negative)
			v &= 0x3f;
	}
	return (int64_t)v;
}

int64_t header_get_number(const uint8_t *p, size_t len)
{
	int64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80)
		return get_base256(p, len);
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (p[i] - '0'); /* 12 digits at most */
	return v;
}

/* Octal digits between blanks, or nothing at all, which is 0; or in base 256. */
static bool is_number(const uint8_t *p, size_t len)
{
	size_t i = 0;

	if (p[0] & 0x80)
		return true;
	while (i < len && p[i] == ' ')
		i++;
	while (i < len && p[i] >= '0' && p[i] <= '7')
		i++;
	return i == len || !p[i] || p[i] == ' ';
}

/* libarchive reads as many digits as there are: a size that is none is 0, and
 * so is an owner. */
static int check_numbers(const uint8_t *h, struct vc_error *err)
{
	static const struct {
		const char *name;
		size_t at, len;
		bool is_device;
	} fields[] = {
		{ "mode", HEADER_MODE, HEADER_ID_LEN, false },
		{ "uid", HEADER_UID, HEADER_ID_LEN, false },
		{ "gid", HEADER_GID, HEADER_ID_LEN, false },
		{ "size", HEADER_SIZE, HEADER_NUMBER_LEN, false },
		{ "mtime", HEADER_MTIME, HEADER_NUMBER_LEN, false },
		{ "devmajor", HEADER_MAJOR, HEADER_ID_LEN, true },
		{ "devminor", HEADER_MINOR, HEADER_ID_LEN, true },
	};
	const bool has_device = h[HEADER_TYPE] == '3' || h[HEADER_TYPE] == '4';
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(fields); i++)
		if ((has_device || !fields[i].is_device) &&
		    !is_number(h + fields[i].at, fields[i].len))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "the '%s' of its header is no number",
				       fields[i].name);
	return 0;
}

/* star has the other two times behind a prefix that is shorter by that. */
static void take_star_times(const uint8_t *h, struct archive_entry *e)
{
	const uint8_t *atime = h + HEADER_STAR_ATIME;
	const uint8_t *ctime = h + HEADER_STAR_CTIME;
	const size_t len = HEADER_NUMBER_LEN;

	if (memcmp(h + HEADER_MAGIC, "ustar", 6) != 0 ||
	    memcmp(h + HEADER_STAR_MAGIC, "tar", 4) != 0 ||
	    h[HEADER_STAR_PREFIX_END])
		return;
	if (*atime >= '0' && *atime <= '7' && !archive_entry_atime_is_set(e))
		archive_entry_set_atime(e, header_get_number(atime, len), 0);
	if (*ctime >= '0' && *ctime <= '7' && !archive_entry_ctime_is_set(e))
		archive_entry_set_ctime(e, header_get_number(ctime, len), 0);
}

static int check_type(struct tar *t, const uint8_t *h, struct archive_entry *e,
		      struct vc_error *err)
{
	const char text[2] = { (char)h[HEADER_TYPE], '\0' };

	if (text[0] == '1' && !archive_entry_hardlink(e))
		return vc_fail(err, VC_E_CORRUPT, 0, "hard link to nothing");
	if (!text[0] || strchr("01234567SD", text[0]))
		return 0;
	if (text[0] == 'M')
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "it goes on from an earlier volume of a "
			       "multi-volume archive");
	return warn_add(&t->b->warn, err,
			"entry '%s': of unknown type '%s', taken for a file",
			tree_show(archive_entry_pathname(e)).s,
			tree_show(text).s);
}

/* --- all of them ---------------------------------------------------------- */

struct span {
	const uint8_t *p;
	size_t len;
};

/* Cut the first header off `rest`, with its contents; *ret_type 0 if it is none
 * that stands before another. */
static int next_header(struct span *rest, char *ret_type,
		       struct span *ret_content, struct vc_error *err)
{
	const uint8_t *h = rest->p;
	uint64_t size, whole;

	*ret_type = '\0';
	if (rest->len < TAR_BLOCK)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its headers are more than %d MiB",
			       TAR_MAX_HEADERS >> 20);
	if (!h[HEADER_TYPE] || !strchr("xgXLKVA", h[HEADER_TYPE]) ||
	    !header_is(h))
		return 0;
	size = (uint64_t)header_get_number(h + HEADER_SIZE, HEADER_NUMBER_LEN);
	if (!vc_range_ok(TAR_BLOCK, size, rest->len))
		return next_header(&(struct span){ 0 }, ret_type, ret_content,
				   err);
	whole = TAR_BLOCK + vc_align_up(size, TAR_BLOCK);
	if (whole > rest->len)
		whole = rest->len;
	*ret_type = (char)h[HEADER_TYPE];
	*ret_content = (struct span){ h + TAR_BLOCK, (size_t)size };
	*rest = (struct span){ rest->p + whole, rest->len - (size_t)whole };
	return 0;
}

/* Its own header, and on the way to it the records of global ones. */
static int find_own(struct tar *t, struct span rest, struct span *ret_pax,
		    const uint8_t **ret, struct vc_error *err)
{
	struct span content;
	char type;

	for (;;) {
		if (next_header(&rest, &type, &content, err))
			return -1;
		if (!type)
			break;
		if (type == 'g' &&
		    pax_read_globals(t->b, &t->globals, content.p, content.len,
				     err))
			return -1;
		if (type != 'x' && type != 'X')
			continue;
		if (ret_pax->p)
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "it has more than one pax header");
		*ret_pax = content;
	}
	*ret = rest.p;
	return 0;
}

int headers_check(struct tar *t, const uint8_t *all, size_t len,
		  struct archive_entry *e, struct vc_error *err)
{
	struct pax_entry p = { .b = t->b, .e = e };
	struct span pax = { 0 };

	if (find_own(t, (struct span){ all, len }, &pax, &p.own, err) ||
	    check_numbers(p.own, err))
		return -1;
	pax_apply_globals(&t->globals, e);
	if (pax.p && pax_read_records(&p, pax.p, pax.len, err))
		return -1;
	take_star_times(p.own, e);
	return check_type(t, p.own, e, err);
}
