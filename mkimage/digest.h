/* SPDX-License-Identifier: BSD-3-Clause */
/* Content identifiers, "sha256:0123...": computed as the bytes go by. */
#ifndef MKIMAGE_DIGEST_H
#define MKIMAGE_DIGEST_H

#include <nettle/sha2.h>
#include <vmmcore/error.h>

#define DIGEST_MAX_HEX (2 * SHA512_DIGEST_SIZE)
#define DIGEST_MAX_TEXT (8 + DIGEST_MAX_HEX)

enum digest_alg { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA512 };

/* What an algorithm gave. */
struct digest_id {
	enum digest_alg alg;
	char hex[DIGEST_MAX_HEX + 1]; /* lower case */
};

struct digest {
	enum digest_alg alg;
	union {
		struct sha256_ctx sha256;
		struct sha512_ctx sha512;
	};
};

/* Of "sha256:HEX" or "sha512:HEX", all in lower case: nothing else passes, so
 * that it can be part of a path. VC_E_CORRUPT, VC_E_UNSUPPORTED. */
int digest_id_parse(const char *text, struct digest_id *ret,
		    struct vc_error *err) VC_MUST_CHECK;
/* "sha256" */
const char *digest_alg_name(enum digest_alg alg);
bool digest_id_equal(const struct digest_id *a, const struct digest_id *b);

void digest_init(struct digest *d, enum digest_alg alg);
void digest_update(struct digest *d, const void *data, size_t len);
/* Ends the digest. */
void digest_final(struct digest *d, struct digest_id *ret);

#endif
