/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/digest.h"

static const struct {
	const char *name;
	size_t bytes;
} algs[] = {
	[DIGEST_NONE] = { "none", 0 },
	[DIGEST_SHA256] = { "sha256", SHA256_DIGEST_SIZE },
	[DIGEST_SHA512] = { "sha512", SHA512_DIGEST_SIZE },
};

const char *digest_alg_name(enum digest_alg alg)
{
	return algs[alg].name;
}

int digest_id_parse(const char *text, struct digest_id *ret,
		    struct vc_error *err)
{
	const char *hex = strchr(text, ':');
	char shown[100];
	size_t i;

	vc_printable(text, shown, sizeof(shown));
	if (!hex)
		return vc_fail(err, VC_E_CORRUPT, 0, "digest '%s': no ':'",
			       shown);
	for (i = 1; i < VC_ARRAY_SIZE(algs); i++)
		if (strlen(algs[i].name) == (size_t)(hex - text) &&
		    !memcmp(text, algs[i].name, (size_t)(hex - text)))
			break;
	if (i == VC_ARRAY_SIZE(algs))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "digest '%s': neither sha256 nor sha512", shown);
	hex++;
	if (strlen(hex) != 2 * algs[i].bytes ||
	    strspn(hex, "0123456789abcdef") != 2 * algs[i].bytes)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "digest '%s': not %zu digits 0-9a-f", shown,
			       2 * algs[i].bytes);
	ret->alg = (enum digest_alg)i;
	strcpy(ret->hex, hex);
	return 0;
}

bool digest_id_equal(const struct digest_id *a, const struct digest_id *b)
{
	return a->alg == b->alg && !strcmp(a->hex, b->hex);
}

void digest_init(struct digest *d, enum digest_alg alg)
{
	d->alg = alg;
	if (alg == DIGEST_SHA256)
		sha256_init(&d->sha256);
	else if (alg == DIGEST_SHA512)
		sha512_init(&d->sha512);
}

void digest_update(struct digest *d, const void *data, size_t len)
{
	if (d->alg == DIGEST_SHA256)
		sha256_update(&d->sha256, len, data);
	else if (d->alg == DIGEST_SHA512)
		sha512_update(&d->sha512, len, data);
}

void digest_final(struct digest *d, struct digest_id *ret)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t raw[SHA512_DIGEST_SIZE] = { 0 };
	size_t i, n = algs[d->alg].bytes;

	if (d->alg == DIGEST_SHA256)
		sha256_digest(&d->sha256, n, raw);
	else if (d->alg == DIGEST_SHA512)
		sha512_digest(&d->sha512, n, raw);
	ret->alg = d->alg;
	for (i = 0; i < n; i++) {
		ret->hex[2 * i] = digits[raw[i] >> 4];
		ret->hex[2 * i + 1] = digits[raw[i] & 15];
	}
	ret->hex[2 * n] = '\0';
}
