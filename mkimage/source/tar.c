/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tar archives, from the stream to libarchive's parser.
 *
 * The program never calls setlocale(): in the C locale libarchive hands names
 * out as the bytes the archive has. With a UTF-8 locale it would compose
 * characters (NFD to NFC), and two different names could become one. The price
 * is a warning for each such name, which is dropped in archive.c.
 *
 * The parser stops at the end-of-archive mark. If another archive follows, as
 * cat(1) puts them one after the other, it is read as well. The rest of the
 * stream is read all the same, so that a compressed stream's checksum is
 * verified and a writer to the pipe does not die.
 *
 * libarchive takes an entry of a kind it does not know for a file, passes over
 * the records of a global pax header, and tells of neither; it loses the sign of
 * a time between -1 and 0, and does not know the other two times of star. So the
 * headers it has just read are looked at here as well: in the piece they came in
 * or, when they go on in the next one, in a copy. Pieces are whole blocks but for
 * the last, so a block lies in one.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/source/pax.h"
#include "mkimage/source/source.h"
#include "mkimage/source/tar.h"

#define TAR_MAX_KEPT (8 * 1024 * 1024) /* of one entry's headers */
#define NSEC 1000000000L

/* --- the stream, for libarchive ------------------------------------------- */

static void keep_tail(struct tar *t)
{
	size_t n = t->cur_len;

	if (n >= TAR_BLOCK) {
		memcpy(t->tail, t->cur + n - TAR_BLOCK, TAR_BLOCK);
	} else {
		memmove(t->tail, t->tail + n, TAR_BLOCK - n);
		memcpy(t->tail + TAR_BLOCK - n, t->cur, n);
	}
}

/* Before `cur` goes: a copy of what it has of headers that are being read. More
 * of them than the parser takes is never kept. */
static void keep_headers(struct tar *t, struct archive *a)
{
	const uint64_t pos =
		t->base + (uint64_t)archive_read_header_position(a);
	const uint64_t start = t->total - t->cur_len;
	uint64_t from = start;
	uint8_t *kept;
	size_t len;

	/* it reads contents, or skips them */
	if (pos == t->checked_pos)
		return;
	if (!t->kept_len || t->kept_pos != pos ||
	    t->kept_pos + t->kept_len != start) {
		t->kept_len = 0;
		t->kept_pos = from = pos;
	}
	if (from < start || from >= t->total)
		return;
	len = (size_t)(t->total - from);
	kept = t->kept_len + len > TAR_MAX_KEPT
		       ? NULL
		       : realloc(t->kept, t->kept_len + len);
	if (!kept) {
		t->kept_len = 0;
		return;
	}
	memcpy(kept + t->kept_len, t->cur + (from - start), len);
	t->kept = kept;
	t->kept_len += len;
}

static int next_piece(struct tar *t)
{
	if (t->cur_len)
		keep_tail(t);
	t->cur_fed = 0;
	if (stream_next(t->s, &t->cur, &t->cur_len, &t->err)) {
		t->cur_len = 0;
		return -1;
	}
	t->total += t->cur_len;
	if (t->digest)
		digest_update(t->digest, t->cur, t->cur_len);
	if (t->b->progress)
		t->b->progress(t->b, stream_get_input_pos(t->s),
			       stream_get_input_size(t->s));
	return 0;
}

static ssize_t feed(struct archive *a, void *opaque, const void **ret)
{
	static const uint8_t zeroes[TAR_BLOCK];
	struct tar *t = opaque;
	size_t at = t->cur_fed;

	if (at == t->cur_len) {
		keep_headers(t, a);
		if (next_piece(t)) {
			archive_set_error(a, EIO, "input");
			return -1;
		}
		at = 0;
	}
	t->cur_fed = t->cur_len;
	/* A layer has its digest, so it is not cut off where it ends within a
	 * block: umoci leaves out what fills the last one up. */
	if (!t->cur_len && t->digest && !t->is_padded && t->total % TAR_BLOCK) {
		t->is_padded = true;
		*ret = zeroes;
		return (ssize_t)(TAR_BLOCK - t->total % TAR_BLOCK);
	}
	/* there is no piece at the end */
	*ret = t->cur_len ? t->cur + at : NULL;
	return (ssize_t)(t->cur_len - at);
}

uint64_t tar_get_pos(const struct tar *t, struct archive *a)
{
	return t->base + (uint64_t)archive_filter_bytes(a, 0);
}

/* --- blocks --------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* Is this block a header, by its checksum? */
static bool is_header(const uint8_t *h)
{
	unsigned sum = 8 * ' ', want = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK; i++)
		sum += h[i];
	for (i = 148; i < 156; i++)
		sum -= h[i];
	for (i = 148; i < 156 && h[i] == ' '; i++)
		;
	if (i == 156 || h[i] < '0' || h[i] > '7')
		return false;
	for (; i < 156 && h[i] >= '0' && h[i] <= '7'; i++)
		want = want * 8 + (unsigned)(h[i] - '0');
	return sum == want;
}

static bool is_tar(struct archive *a)
{
	return (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) ==
	       ARCHIVE_FORMAT_TAR;
}

/* The block at `pos`, or NULL if it is not at hand. */
static const uint8_t *block_at(const struct tar *t, uint64_t pos)
{
	uint64_t start = t->total - t->cur_len;

	if (pos + TAR_BLOCK == start)
		return t->tail;
	if (pos >= start && pos + TAR_BLOCK <= t->total)
		return t->cur + (pos - start);
	return NULL;
}

static int check_type(struct tar *t, struct archive *a, const char *path,
		      struct vc_error *err)
{
	uint64_t end = tar_get_pos(t, a);
	const uint8_t *h =
		end < TAR_BLOCK ? NULL : block_at(t, end - TAR_BLOCK);
	const char text[2] = { h ? (char)h[156] : '\0', '\0' };

	if (!text[0] || strchr("01234567SDxgLKVXAN", text[0]) || !is_header(h))
		return 0;
	if (text[0] == 'M')
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "it goes on from an earlier volume of a "
			       "multi-volume archive");
	return warn_add(&t->b->warn, err,
			"entry '%s': of unknown type '%s', taken for a file",
			tree_show(path).s, tree_show(text).s);
}

static uint64_t get_octal(const uint8_t *p, size_t len)
{
	char text[13] = "";

	memcpy(text, p, len);
	return strtoull(text, NULL, 8);
}

/* "-12.5" and the like, to seconds and what is above them. */
static bool parse_time(const char *p, size_t len, int64_t *ret_sec,
		       long *ret_nsec)
{
	const char *end = p + len;
	const bool is_negative = p < end && *p == '-';
	int64_t sec = 0;
	long nsec = 0, unit;
	int digits;

	p += is_negative;
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
	*ret_sec = sec;
	*ret_nsec = nsec;
	return true;
}

static void set_time(const char *key, const char *value, size_t len,
		     struct archive_entry *e)
{
	int64_t sec;
	long nsec;

	if (strcmp(key + (*key ? 1 : 0), "time") != 0 ||
	    !parse_time(value, len, &sec, &nsec))
		return;
	if (*key == 'm')
		archive_entry_set_mtime(e, sec, nsec);
	else if (*key == 'a')
		archive_entry_set_atime(e, sec, nsec);
	else if (*key == 'c')
		archive_entry_set_ctime(e, sec, nsec);
}

/* "LENGTH KEY=VALUE\n" at `*p`; moves it on. False at the end. */
static bool next_record(const uint8_t **p, const uint8_t *end, char *key,
			size_t key_size, const char **ret_value,
			size_t *ret_len)
{
	const uint8_t *at = *p, *equals;
	size_t n = 0;

	while (at < end && at - *p < 8 && *at >= '0' && *at <= '9')
		n = n * 10 + (size_t)(*at++ - '0');
	if (n > (size_t)(end - *p) || n < (size_t)(at - *p) + 3 || *at != ' ')
		return false;
	at++;
	equals = memchr(at, '=', n - (size_t)(at - *p));
	if (!equals)
		return false;
	snprintf(key, key_size, "%.*s", (int)(equals - at), (const char *)at);
	*p += n;
	*ret_value = (const char *)equals + 1;
	*ret_len = (size_t)(*p - equals) - 2;
	return true;
}

/* An empty value takes a record back: the header's own `h` counts, where
 * libarchive would read a zero. */
static void take_back(const char *key, const uint8_t *h,
		      struct archive_entry *e)
{
	if (!strcmp(key, "uid"))
		archive_entry_set_uid(e, (la_int64_t)get_octal(h + 108, 8));
	else if (!strcmp(key, "gid"))
		archive_entry_set_gid(e, (la_int64_t)get_octal(h + 116, 8));
	else if (!strcmp(key, "mtime"))
		archive_entry_set_mtime(e, (time_t)get_octal(h + 136, 12), 0);
}

static int check_records(struct tar *t, const uint8_t *p, size_t len,
			 bool is_global, const uint8_t *h,
			 struct archive_entry *e, struct vc_error *err)
{
	const uint8_t *end = p + len;
	const char *value;
	char key[64];

	while (next_record(&p, end, key, sizeof(key), &value, &len)) {
		if (!is_global && !len && h)
			take_back(key, h, e);
		else if (!is_global)
			set_time(key, value, len, e);
		if (!is_global && len &&
		    pax_check_record(t->b, e, h ? (char)h[156] : '\0', key,
				     value, len, err))
			return -1;
		if (is_global && strcmp(key, "comment") != 0 &&
		    warn_add(&t->b->warn, err,
			     "'%s' of a global pax header left out",
			     tree_show(key).s))
			return -1;
	}
	return 0;
}

/* star has the other two times behind a prefix that is shorter by that. */
static void take_star_times(const uint8_t *h, struct archive_entry *e)
{
	if (memcmp(h + 257, "ustar", 6) != 0 ||
	    memcmp(h + 508, "tar", 4) != 0 || h[475])
		return;
	if (h[476] >= '0' && h[476] <= '7' && !archive_entry_atime_is_set(e))
		archive_entry_set_atime(e, (time_t)get_octal(h + 476, 12), 0);
	if (h[488] >= '0' && h[488] <= '7' && !archive_entry_ctime_is_set(e))
		archive_entry_set_ctime(e, (time_t)get_octal(h + 488, 12), 0);
}

/* The headers from `pos` up to `end`, where the parser is, in one piece; NULL if
 * they are not at hand. */
static const uint8_t *headers_at(struct tar *t, uint64_t pos, uint64_t end)
{
	const uint64_t start = t->total - t->cur_len;
	uint8_t *kept;

	if (pos >= end || end > t->total)
		return NULL;
	if (pos >= start)
		return t->cur + (pos - start);
	if (!t->kept_len || t->kept_pos != pos || end <= start ||
	    t->kept_pos + t->kept_len != start)
		return NULL;
	kept = realloc(t->kept, (size_t)(end - pos));
	if (!kept)
		return NULL;
	memcpy(kept + t->kept_len, t->cur, (size_t)(end - start));
	t->kept = kept;
	return kept;
}

/* The headers of pax before the entry's own. */
static int check_extended(struct tar *t, const uint8_t *all, uint64_t len,
			  struct archive_entry *e, struct vc_error *err)
{
	const uint8_t *h, *own = all + len - TAR_BLOCK;
	uint64_t pos = 0, size;

	if (!is_header(own))
		own = NULL;
	while (pos + TAR_BLOCK < len) {
		h = all + pos;
		if (!strchr("xgLKX", h[156]) || !h[156] || !is_header(h))
			break;
		pos += TAR_BLOCK;
		size = get_octal(h + 124, 12);
		if (!vc_range_ok(pos, size, len))
			break;
		if ((h[156] == 'x' || h[156] == 'g') &&
		    check_records(t, all + pos, (size_t)size, h[156] == 'g',
				  own, e, err))
			return -1;
		pos += vc_align_up(size, TAR_BLOCK);
	}
	return 0;
}

static int check_headers(struct tar *t, struct archive *a,
			 struct archive_entry *e, struct vc_error *err)
{
	const uint64_t pos =
		t->base + (uint64_t)archive_read_header_position(a);
	const uint64_t end = tar_get_pos(t, a);
	const uint8_t *all = headers_at(t, pos, end);
	int rc = 0;

	t->checked_pos = pos;
	if (all && end - pos > TAR_BLOCK)
		rc = check_extended(t, all, end - pos, e, err);
	if (all && end - pos >= TAR_BLOCK)
		take_star_times(all + (end - pos) - TAR_BLOCK, e);
	t->kept_len = 0;
	return rc;
}

static int check_entry(void *opaque, struct archive *a, struct archive_entry *e,
		       struct vc_error *err)
{
	struct tar *t = opaque;

	if (!is_tar(a))
		return 0;
	return check_headers(t, a, e, err) ||
			       check_type(t, a, archive_entry_pathname(e), err)
		       ? -1
		       : 0;
}

/* --- one archive and the next --------------------------------------------- */

/* Look at what follows the end of an archive at `pos`, up to the next header;
 * *ret_more if there is one, where cur_fed then points. */
static int find_next(struct tar *t, uint64_t pos, bool *ret_more,
		     bool *ret_garbage, struct vc_error *err)
{
	size_t at = pos >= t->total ? t->cur_len
				    : t->cur_len - (size_t)(t->total - pos);
	const uint8_t *p;
	size_t n;

	*ret_more = false;
	for (;;) {
		for (; at < t->cur_len; at += n) {
			p = t->cur + at;
			n = vc_min_u64(TAR_BLOCK, t->cur_len - at);
			if (all_zero(p, n))
				continue;
			if (!*ret_garbage && n == TAR_BLOCK && is_header(p)) {
				*ret_more = true;
				t->cur_fed = at;
				t->base = t->total - t->cur_len + at;
				return 0;
			}
			*ret_garbage = true;
		}
		if (!t->cur_len)
			return 0;
		if (next_piece(t)) {
			*err = t->err;
			return -1;
		}
		at = 0;
	}
}

static int check_end_mark(struct tar *t, struct archive *a,
			  struct vc_error *err)
{
	const uint8_t *last = t->tail;

	if (!is_tar(a) || tar_get_pos(t, a) < t->total || t->total < TAR_BLOCK)
		return 0;
	/* the end is in sight: is what it ends with zeroes? */
	if (t->cur_len >= TAR_BLOCK)
		last = t->cur + t->cur_len - TAR_BLOCK;
	if (all_zero(last, TAR_BLOCK))
		return 0;
	return warn_add(&t->b->warn, err,
			"no end-of-archive mark: it may have been cut off");
}

static int fail_open(struct tar *t, struct archive *a, struct vc_error *err)
{
	const char *text = archive_error_string(a);
	char shown[200];

	if (t->err.code) {
		*err = t->err;
		return -1;
	}
	return vc_fail(err, VC_E_CORRUPT, 0, "open: %s",
		       vc_printable(text ? text : "unknown error", shown,
				    sizeof(shown)));
}

static int read_one(struct tar *t, struct archive *a,
		    int (*fn)(void *, struct tar *, struct archive *,
			      struct vc_error *),
		    void *opaque, bool *ret_more, struct vc_error *err)
{
	bool has_garbage = false;

	archive_read_support_format_tar(a);
	archive_read_support_format_cpio(a);
	/* accepts no input at all, which is no archive: told apart below */
	archive_read_support_format_empty(a);
	if (archive_read_open(a, t, NULL, feed, NULL) != ARCHIVE_OK)
		return fail_open(t, a, err);
	if (fn(opaque, t, a, err)) {
		if (t->err.code)
			*err = t->err;
		return -1;
	}
	if (!t->total)
		return vc_fail(err, VC_E_CORRUPT, 0, "it is empty");
	if (check_end_mark(t, a, err) ||
	    find_next(t, tar_get_pos(t, a), ret_more, &has_garbage, err))
		return -1;
	if (has_garbage)
		return warn_add(&t->b->warn, err,
				"what follows the end-of-archive mark is left "
				"out");
	return 0;
}

int tar_start(struct tar *t, struct build *b, struct stream *s,
	      struct digest *digest, struct vc_error *err)
{
	*t = (struct tar){
		.b = b, .s = s, .digest = digest, .checked_pos = UINT64_MAX
	};
	if (next_piece(t)) {
		*err = t->err;
		return -1;
	}
	return 0;
}

int tar_each(struct tar *t,
	     int (*fn)(void *, struct tar *, struct archive *,
		       struct vc_error *),
	     void *opaque, struct vc_error *err)
{
	struct archive *a;
	bool more = true;
	int rc = 0;

	while (!rc && more) {
		a = archive_read_new();
		if (!a)
			return vc_fail(err, VC_E_SYS, ENOMEM, "open");
		more = false;
		rc = read_one(t, a, fn, opaque, &more, err);
		archive_read_free(a);
	}
	if (!rc && stream_has_rest(t->s))
		rc = warn_add(&t->b->warn, err,
			      "what follows the compressed data is left out");
	free(vc_steal_ptr(&t->kept));
	t->kept_len = 0;
	return rc;
}

static int one_to_tree(void *opaque, struct tar *t, struct archive *a,
		       struct vc_error *err)
{
	const struct archive_opts opts = {
		.is_layer = *(bool *)opaque,
		.check = check_entry,
		.opaque = t,
	};

	return source_archive(t->b, a, &opts, err);
}

int tar_to_tree(struct tar *t, bool is_layer, struct vc_error *err)
{
	return tar_each(t, one_to_tree, &is_layer, err);
}
