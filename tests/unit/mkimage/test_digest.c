/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include "mkimage/digest.h"
#include "tests/lib/test.h"

#define ABC256                             \
	"ba7816bf8f01cfea414140de5dae2223" \
	"b00361a396177a9cb410ff61f20015ad"
#define ABC512                                                             \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static struct vc_error err;

START_TEST(computes)
{
	static const struct {
		enum digest_alg alg;
		const char *text;
	} known[] = {
		{ DIGEST_SHA256, "sha256:" ABC256 },
		{ DIGEST_SHA512, "sha512:" ABC512 },
	};
	struct digest_id want, have;
	struct digest d;
	size_t i;

	for (i = 0; i < 2; i++) {
		ck_ok(digest_id_parse(known[i].text, &want, &err), &err);
		digest_init(&d, known[i].alg);
		digest_update(&d, "a", 1);
		digest_update(&d, "bc", 2);
		memset(&have, '?', sizeof(have));
		digest_final(&d, &have);
		ck_assert(digest_id_equal(&want, &have));
		have.hex[3] ^= 1;
		ck_assert(!digest_id_equal(&want, &have));
		/* what is behind it is not touched */
		if (strlen(have.hex) < DIGEST_MAX_HEX)
			ck_assert_int_eq(have.hex[strlen(have.hex) + 1], '?');
	}
}
END_TEST

START_TEST(takes_nothing_else_as_a_name)
{
	static const char *const bad[] = {
		"",
		"sha256",
		"sha256:",
		"sha256:00",
		"sha256:" ABC256 "0",
		"sha256:" ABC256 "g",
		"sha256:" ABC256 "/../x",
		"sha256:" ABC512,
		"sha256:BA7816bf8f01cfea414140de5dae2223"
		"b00361a396177a9cb410ff61f20015ad",
		"sha256:../816bf8f01cfea414140de5dae2223"
		"b00361a396177a9cb410ff61f20015ad",
	};
	struct digest_id id;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_fails(digest_id_parse(bad[i], &id, &err), &err,
			 VC_E_CORRUPT);
	ck_fails(digest_id_parse("md5:00", &id, &err), &err, VC_E_UNSUPPORTED);
	ck_fails(digest_id_parse("SHA256:" ABC256, &id, &err), &err,
		 VC_E_UNSUPPORTED);
	ck_fails(digest_id_parse(":" ABC256, &id, &err), &err,
		 VC_E_UNSUPPORTED);
}
END_TEST

TEST_SUITE(suite_digest)
{
	Suite *s = suite_create("digest");
	TCase *t = test_case(s, "digest");

	tcase_add_test(t, computes);
	tcase_add_test(t, takes_nothing_else_as_a_name);
	return s;
}
