/* SPDX-License-Identifier: BSD-3-Clause */
/* Compressed input of every kind, as a whole and in pieces of the size that the
 * first byte says: the same bytes come of it, or it is refused both times. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/source/decode.h"

#define MAX_OUTPUT ((size_t)4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t len, piece;
	uint8_t *copy; /* of a piece, so that the one before is gone */
};

struct output {
	uint8_t *bytes;
	size_t len;
	bool is_whole, has_rest;
};

static int feed(void *opaque, const uint8_t **ret, size_t *ret_len,
		struct vc_error *err)
{
	struct input *in = opaque;

	(void)err;
	*ret_len = vc_min_u64(in->len, in->piece);
	*ret = NULL;
	if (!*ret_len)
		return 0; /* the last one stays */
	free(in->copy);
	*ret = in->copy = malloc(*ret_len);
	assert(in->copy);
	memcpy(in->copy, in->p, *ret_len);
	in->p += *ret_len;
	in->len -= *ret_len;
	return 0;
}

/* Returns 0 at the end of the input, or of the room for what comes of it. */
static int decode(const uint8_t *data, size_t size, size_t piece,
		  size_t at_a_time, struct output *out)
{
	struct input in = { .p = data, .len = size, .piece = piece };
	struct vc_error err = { 0 };
	struct decoder *d = NULL;
	size_t n = at_a_time;
	int rc;

	*out = (struct output){ .bytes = malloc(MAX_OUTPUT) };
	assert(out->bytes);
	rc = decoder_open(data, size, feed, &in, &d, &err);
	while (!rc && n == at_a_time && out->len + at_a_time <= MAX_OUTPUT) {
		rc = decoder_read(d, out->bytes + out->len, at_a_time, &n,
				  &err);
		if (!rc)
			out->len += n;
		assert(n <= at_a_time);
	}
	assert(!rc == !err.code);
	out->is_whole = !rc && n < at_a_time;
	if (out->is_whole) {
		assert(!in.len);
		out->has_rest = decoder_has_rest(d);
	}
	decoder_close(d);
	free(in.copy);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct output a, b;
	size_t len;
	int rc;

	if (size < 2 || !decode_is_compressed(data + 1, size - 1))
		return 0;
	rc = decode(data + 1, size - 1, SIZE_MAX, 65536, &a);
	if (decode(data + 1, size - 1, 1 + data[0], 4096, &b) == 0 && !rc) {
		assert(a.is_whole == b.is_whole || a.len > MAX_OUTPUT - 65536);
		if (a.is_whole && b.is_whole)
			assert(a.len == b.len && a.has_rest == b.has_rest);
	} else if (a.is_whole || b.is_whole) {
		abort();
	}
	len = vc_min_u64(a.len, b.len);
	assert(!memcmp(a.bytes, b.bytes, len));
	free(a.bytes);
	free(b.bytes);
	return 0;
}
