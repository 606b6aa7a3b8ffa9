/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A tar archive, from the stream to libarchive's parser.
 *
 * The program never calls setlocale(): in the C locale libarchive hands names
 * out as the bytes the archive has. With a UTF-8 locale it would compose
 * characters (NFD to NFC), and two different names could become one. The price
 * is a warning for each such name, which is dropped here.
 *
 * The parser stops at the end-of-archive mark; the rest is read all the same,
 * so that a compressed stream's checksum is verified and a writer to the pipe
 * does not die.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include "mkimage/source/source.h"
#include "mkimage/source/stream.h"

#define TAR_BLOCK 512

struct tar {
	struct build *b;
	struct stream *s;
	struct vc_error err; /* of the stream */
	const uint8_t *cur;  /* what the parser has now */
	size_t cur_len;
	uint64_t total;		 /* handed out, cur included */
	uint8_t tail[TAR_BLOCK]; /* the last bytes of what was handed out */
};

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

static int next_piece(struct tar *t)
{
	if (stream_next(t->s, &t->cur, &t->cur_len, &t->err))
		return -1;
	t->total += t->cur_len;
	if (t->cur_len)
		keep_tail(t);
	if (t->b->progress)
		t->b->progress(t->b, stream_get_input_pos(t->s),
			       stream_get_input_size(t->s));
	return 0;
}

static ssize_t feed(struct archive *a, void *opaque, const void **ret)
{
	struct tar *t = opaque;

	if (next_piece(t)) {
		archive_set_error(a, EIO, "input");
		return -1;
	}
	*ret = t->cur;
	return (ssize_t)t->cur_len;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* Read what comes after the archive's end at `pos`. */
static int drain(struct tar *t, uint64_t pos, struct vc_error *err)
{
	bool has_rest = false, at_end = pos >= t->total;
	size_t left;

	if (!at_end && t->cur_len) {
		left = t->total - pos < t->cur_len ? (size_t)(t->total - pos)
						   : t->cur_len;
		has_rest = !all_zero(t->cur + t->cur_len - left, left);
	}
	if (at_end && t->total >= TAR_BLOCK && !all_zero(t->tail, TAR_BLOCK) &&
	    warn_add(&t->b->warn, err,
		     "no end-of-archive mark: it may have been cut off"))
		return -1;
	while (t->cur_len) {
		if (next_piece(t)) {
			*err = t->err;
			return -1;
		}
		if (t->cur_len && !all_zero(t->cur, t->cur_len))
			has_rest = true;
	}
	if (has_rest && warn_add(&t->b->warn, err,
				 "what follows the end-of-archive mark is left "
				 "out"))
		return -1;
	return 0;
}

static int read_all(struct tar *t, struct archive *a, struct vc_error *err)
{
	char shown[200];
	const char *text;

	archive_read_support_format_tar(a);
	/* accepts no input at all, which is no archive: told apart below */
	archive_read_support_format_empty(a);
	if (archive_read_open(a, t, NULL, feed, NULL) != ARCHIVE_OK) {
		if (t->err.code) {
			*err = t->err;
			return -1;
		}
		text = archive_error_string(a);
		return vc_fail(err, VC_E_CORRUPT, 0, "open: %s",
			       vc_printable(text ? text : "unknown error",
					    shown, sizeof(shown)));
	}
	if (source_archive(t->b, a, err)) {
		if (t->err.code)
			*err = t->err;
		return -1;
	}
	if (!t->total)
		return vc_fail(err, VC_E_CORRUPT, 0, "it is empty");
	return drain(t, (uint64_t)archive_filter_bytes(a, 0), err);
}

int source_tar(struct build *b, const char *path, struct vc_error *err)
{
	vc_auto(stream) struct stream *s = NULL;
	struct tar t = { .b = b };
	struct archive *a;
	int rc;

	if (stream_open(path, &s, err))
		return -1;
	t.s = s;
	a = archive_read_new();
	if (!a)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	rc = read_all(&t, a, err);
	archive_read_free(a);
	return rc;
}
