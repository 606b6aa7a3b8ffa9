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
 * Behind an archive of cpio, and zeroes, there may be a compressed one: the initrd
 * of a distribution is the microcode, as it is, and then all the rest. From there
 * on the bytes of the stream are those that a decoder makes of it.
 *
 * libarchive does not tell all that it reads. So the headers it has just read are
 * looked at once more, see headers.c: in the piece of input they came in or, when
 * they go on in the next piece, in a copy.
 *
 * Nor does it limit how much memory it takes for headers: the name of a cpio's
 * entry, or the map of a sparse file, in which four bytes of text become eighty
 * in memory. So the bytes of an entry's headers are counted as they are handed
 * out, and in them the numbers, two of which make a run of such a map.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/bytes.h"
#include "mkimage/source/decode.h"
#include "mkimage/source/headers.h"
#include "mkimage/source/source.h"
#include "mkimage/source/tar.h"

#define UNPACKED_BYTES (512 * 1024)
#define CPIO_HEADER 110 /* bytes, of the dialects with digits */
#define CPIO_SUM_LEN 8
#define TAR_MAX_REST (64 * 1024 * 1024) /* behind the end of an archive */

/* --- the stream, for libarchive ------------------------------------------- */

static uint64_t headers_pos(const struct tar *t, struct archive *a)
{
	return t->base + (uint64_t)archive_read_header_position(a);
}

void tar_pass_headers(struct tar *t, struct archive *a)
{
	t->checked_pos = headers_pos(t, a);
}

/* Is the parser reading the headers of one entry, and too many of them? */
static int check_more(struct tar *t, struct archive *a)
{
	const uint64_t pos = headers_pos(t, a);

	if (pos == t->checked_pos)
		return 0;
	if (t->nr_numbers / 2 > TAR_MAX_RUNS)
		return vc_fail(&t->err, VC_E_LIMIT, 0,
			       "read: the map of a sparse file has more than "
			       "%d runs",
			       TAR_MAX_RUNS);
	if (t->total <= pos + TAR_MAX_HEADERS)
		return 0;
	return vc_fail(&t->err, VC_E_LIMIT, 0,
		       "read: headers of one entry take more than %d MiB",
		       TAR_MAX_HEADERS >> 20);
}

/* How many numbers end in these bytes, in any of the forms that the map of a
 * sparse file has as text. (The oldest form is not text: with 24 bytes for a
 * run, the limit on headers is limit enough.) */
static size_t count_numbers(const uint8_t *p, size_t len)
{
	size_t i, nr = 0;

	for (i = 1; i < len; i++)
		nr += (p[i] == '\n' || p[i] == ',' || p[i] == ' ') &&
		      p[i - 1] >= '0' && p[i - 1] <= '9';
	return nr;
}

/* Forget what is kept from before `pos`. */
static void drop_kept(struct tar *t, uint64_t pos)
{
	const uint64_t n = pos - t->kept_pos;

	if (pos <= t->kept_pos)
		return;
	t->kept_len -= vc_min_u64(n, t->kept_len);
	if (t->kept_len)
		memmove(t->kept, t->kept + n, t->kept_len);
	t->kept_pos = pos;
	t->nr_numbers = count_numbers(t->kept, t->kept_len);
}

/* Before `cur` goes: a copy of what it has of headers that are being read, up to
 * TAR_MAX_HEADERS of them. */
static void keep_headers(struct tar *t, struct archive *a)
{
	const uint64_t pos = headers_pos(t, a);
	const uint64_t start = t->total - t->cur_len;
	uint64_t from = start;
	uint8_t *kept;
	size_t len;

	/* it reads contents, or skips them */
	if (pos == t->checked_pos)
		return;
	drop_kept(t, pos);
	if (!t->kept_len)
		t->kept_pos = from = pos;
	if (from < start || from >= t->total)
		return;
	len = vc_min_u64(t->total - from, TAR_MAX_HEADERS - t->kept_len);
	if (!len)
		return;
	kept = realloc(t->kept, t->kept_len + len);
	if (!kept) {
		t->kept_len = 0;
		return;
	}
	memcpy(kept + t->kept_len, t->cur + (from - start), len);
	t->nr_numbers += count_numbers(kept + t->kept_len, len);
	t->kept = kept;
	t->kept_len += len;
}

static int get_piece(struct tar *t)
{
	t->cur = t->unpacked;
	return t->decoder ? decoder_read(t->decoder, t->unpacked,
					 UNPACKED_BYTES, &t->cur_len, &t->err)
			  : stream_next(t->s, &t->cur, &t->cur_len, &t->err);
}

static int next_piece(struct tar *t)
{
	t->cur_fed = 0;
	if (get_piece(t)) {
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
		if (check_more(t, a) || next_piece(t)) {
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

static bool is_tar(struct archive *a)
{
	return (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) ==
	       ARCHIVE_FORMAT_TAR;
}

/* The headers from `pos` on, with all that is at hand behind them, in one piece
 * of memory; NULL if their beginning is lost, as there was no memory to keep
 * it. */
static const uint8_t *headers_at(struct tar *t, uint64_t pos, size_t *ret_len)
{
	const uint64_t start = t->total - t->cur_len;
	uint8_t *kept;
	size_t len;

	if (pos >= start) {
		*ret_len = (size_t)(t->total - vc_min_u64(pos, t->total));
		return t->cur + (t->cur_len - *ret_len);
	}
	drop_kept(t, pos);
	if (!t->kept_len || t->kept_pos != pos)
		return NULL;
	len = vc_min_u64(t->cur_len, TAR_MAX_HEADERS - t->kept_len);
	kept = realloc(t->kept, t->kept_len + len);
	if (!kept)
		return NULL;
	if (len)
		memcpy(kept + t->kept_len, t->cur, len);
	t->kept = kept;
	*ret_len = t->kept_len + len;
	return kept;
}

/* cpio's "crc" has a sum, in hexadecimal digits at the end of the header, which
 * libarchive does not look at. */
static void take_sum(struct tar *t, int format, const uint8_t *h, size_t len)
{
	char text[CPIO_SUM_LEN + 1] = "";

	t->sum.is_wanted =
		format == ARCHIVE_FORMAT_CPIO_SVR4_CRC && len >= CPIO_HEADER;
	if (!t->sum.is_wanted)
		return;
	memcpy(text, h + CPIO_HEADER - CPIO_SUM_LEN, CPIO_SUM_LEN);
	t->sum.want = (uint32_t)strtoul(text, NULL, 16);
}

static int check_entry(void *opaque, struct archive *a, struct archive_entry *e,
		       struct vc_error *err)
{
	struct tar *t = opaque;
	const uint64_t pos = headers_pos(t, a);
	const uint8_t *all;
	size_t len;

	all = headers_at(t, pos, &len);
	tar_pass_headers(t, a);
	if (!all)
		return vc_fail(err, VC_E_SYS, ENOMEM, "headers");
	take_sum(t, archive_format(a), all, len);
	return is_tar(a) ? headers_check(t, all, len, e, err) : 0;
}

/* --- one archive and the next --------------------------------------------- */

static bool is_cpio(const uint8_t *p, size_t len)
{
	/* of "070701" and the like, as much as there is in this piece */
	return !memcmp(p, "07070", vc_min_u64(len, 5)) &&
	       (len < 6 || p[5] == '1' || p[5] == '2' || p[5] == '7');
}

/* Does another archive begin here, as far as it is at hand? */
static bool is_archive(const uint8_t *p, size_t len)
{
	return (len >= TAR_BLOCK && header_is(p)) || is_cpio(p, len);
}

/* For the decoder: what there is of a piece or two, and those that follow. */
static int feed_packed(void *opaque, const uint8_t **ret, size_t *ret_len,
		       struct vc_error *err)
{
	struct tar *t = opaque;

	if (t->magic_len) {
		*ret = t->magic;
		*ret_len = t->magic_len;
		t->magic_len = 0;
	} else if (t->packed_len) {
		*ret = t->packed;
		*ret_len = t->packed_len;
		t->packed_len = 0;
	} else {
		return stream_next(t->s, ret, ret_len, err);
	}
	return 0;
}

/* Is what begins at offset `at` of this piece compressed? If it is, a decoder
 * makes the stream from there on, and `cur` is the first piece it made. If it is
 * not, `cur` is still this piece, or the next one where only a few bytes of this
 * were left to look at. */
static int unpack(struct tar *t, size_t at, bool *ret, struct vc_error *err)
{
	uint8_t magic[TAR_MAGIC];
	size_t len = vc_min_u64(t->cur_len - at, sizeof(magic)), first = len, n;

	*ret = false;
	if (!t->may_unpack || t->decoder || stream_is_compressed(t->s))
		return 0;
	memcpy(magic, t->cur + at, len);
	if (len < sizeof(magic)) {
		if (next_piece(t)) {
			*err = t->err;
			return -1;
		}
		n = vc_min_u64(sizeof(magic) - len, t->cur_len);
		if (n)
			memcpy(magic + len, t->cur, n);
		len += n;
		memcpy(t->magic, magic, first);
		t->magic_len = first;
		at = 0;
	}
	*ret = decode_is_compressed(magic, len);
	if (!*ret)
		return 0;
	t->packed = t->cur + at;
	t->packed_len = t->cur_len - at;
	t->unpacked = malloc(UNPACKED_BYTES);
	if (!t->unpacked)
		return vc_fail(err, VC_E_SYS, ENOMEM, "decompress");
	if (decoder_open(magic, len, feed_packed, t, &t->decoder, err))
		return -1;
	if (next_piece(t)) {
		*err = t->err;
		return -1;
	}
	return 0;
}

/* Look at what follows an archive, whose end is at `pos` of the stream, up to
 * the next one. *ret_more: there is one, and cur_fed is where it begins in
 * `cur`. *ret_garbage: there was something else than zeroes. Archives of tar
 * begin at whole blocks (`in_blocks`), those of cpio need not. */
static int find_next(struct tar *t, uint64_t pos, bool in_blocks,
		     bool *ret_more, bool *ret_garbage, struct vc_error *err)
{
	size_t at = pos >= t->total ? t->cur_len
				    : t->cur_len - (size_t)(t->total - pos);
	bool is_packed;
	const uint8_t *p;
	size_t n;

	*ret_more = false;
	for (;;) {
		for (; at < t->cur_len; at += n) {
			p = t->cur + at;
			n = vc_min_u64(in_blocks ? TAR_BLOCK : 1,
				       t->cur_len - at);
			if (is_all_zero(p, n))
				continue;
			if (!*ret_garbage && is_archive(p, t->cur_len - at)) {
				*ret_more = true;
				t->cur_fed = at;
				t->base = t->total - t->cur_len + at;
				return 0;
			}
			if (!*ret_garbage && !in_blocks) {
				if (unpack(t, at, &is_packed, err))
					return -1;
				at = n = 0;
				if (is_packed)
					continue;
			}
			*ret_garbage = true;
		}
		if (!t->cur_len)
			return 0;
		if (t->total > pos && t->total - pos > TAR_MAX_REST)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "more than %d MiB behind its end",
				       TAR_MAX_REST >> 20);
		if (next_piece(t)) {
			*err = t->err;
			return -1;
		}
		at = 0;
	}
}

/* Did the parser find the mark at the end, or just no more bytes? Some programs
 * leave the mark out, and tar does not mind; but a file that was cut off between
 * two entries looks the same. Of compressed input, or such that has a digest, a
 * cut would have been seen before. */
static int check_end_mark(struct tar *t, struct archive *a,
			  struct vc_error *err)
{
	const uint64_t pos = headers_pos(t, a);

	if (!is_tar(a) || pos < t->total || stream_has_end(t->s))
		return 0;
	return warn_add(&t->b->warn, err,
			"no end-of-archive mark: it may have been cut off, "
			"after %llu entries",
			(unsigned long long)t->b->nr_entries);
}

static int fail_open(struct tar *t, struct archive *a, struct vc_error *err)
{
	if (t->err.code) {
		*err = t->err;
		return -1;
	}
	return source_fail_archive(a, "open", err);
}

static int read_one(struct tar *t, struct archive *a,
		    int (*fn)(void *, struct tar *, struct archive *,
			      struct vc_error *),
		    void *opaque, bool *ret_more, struct vc_error *err)
{
	bool has_garbage = false;

	t->globals = (struct pax_globals){ 0 };
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
	    find_next(t, tar_get_pos(t, a), is_tar(a), ret_more, &has_garbage,
		      err))
		return -1;
	/* it would make an empty image of a disk whose first block is empty */
	if (has_garbage && !t->base && !archive_read_header_position(a))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "open: nothing but zeroes where an archive "
			       "begins");
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
	if (!rc && (stream_has_rest(t->s) ||
		    (t->decoder && decoder_has_rest(t->decoder))))
		rc = warn_add(&t->b->warn, err,
			      "what follows the compressed data is left out");
	t->decoder = decoder_close(t->decoder);
	free(vc_steal_ptr(&t->unpacked));
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
		.sum = &t->sum,
	};

	return source_archive(t->b, a, &opts, err);
}

int tar_to_tree(struct tar *t, bool is_layer, struct vc_error *err)
{
	/* a layer is compressed as a whole */
	t->may_unpack = !is_layer;
	return tar_each(t, one_to_tree, &is_layer, err);
}
