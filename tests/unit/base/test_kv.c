/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <vmmcore/kv.h>
#include "tests/lib/test.h"

struct opts {
	char *path;
	bool ro;
	uint64_t size;
	int kind;
	char *list;
};

static const char *const kinds[] = { "raw", "qcow2", NULL };
static const struct vc_kv_key keys[] = {
	{ "path", VC_KV_STRING, offsetof(struct opts, path), 0, NULL, NULL },
	{ "ro", VC_KV_BOOL, offsetof(struct opts, ro), 0, NULL, NULL },
	{ "block-size", VC_KV_SIZE, offsetof(struct opts, size), 0, NULL,
	  "bs" },
	{ "kind", VC_KV_ENUM, offsetof(struct opts, kind), 0, kinds, NULL },
	{ "list", VC_KV_LIST, offsetof(struct opts, list), 0, NULL, NULL },
};
static struct vc_error err;

static int parse(const char *text, struct opts *o)
{
	*o = (struct opts){ .kind = -1 };
	return vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), o, NULL, &err);
}

START_TEST(takes_first_key_without_name)
{
	struct opts o;

	ck_ok(parse("a_b.img,ro,block_size=4k,kind=qcow2", &o), &err);
	ck_assert_str_eq(o.path, "a_b.img");
	ck_assert(o.ro);
	ck_assert_uint_eq(o.size, 4096);
	ck_assert_int_eq(o.kind, 1);
	free(o.path);
}
END_TEST

START_TEST(takes_bare_word_as_first_value)
{
	struct opts o;

	ck_ok(parse("disk_1", &o), &err);
	ck_assert_str_eq(o.path, "disk_1");
	free(o.path);
}
END_TEST

START_TEST(takes_quotes_and_lists)
{
	struct opts o;

	ck_ok(parse("path=\"a,\\\"b\",list=[1,[2,3]],ro=off", &o), &err);
	ck_assert_str_eq(o.path, "a,\"b");
	ck_assert_str_eq(o.list, "1,[2,3]");
	ck_assert(!o.ro);
	free(o.path);
	free(o.list);
}
END_TEST

START_TEST(refuses)
{
	static const char *const bad[] = {
		"",	    "a,b",	     "x=1,ro=maybe",  "ro,ro",
		"path=a,",  "path='a",	     "path=\"a\\n\"", "list=[1",
		"kind=vdi", "block-size=",   "path=a]b",      "ro=true,x",
		"path=[a]", "block-size=1x", "path=a'b,ro",
	};
	struct opts o;

	ck_fails(parse(bad[_i], &o), &err, VC_E_ARG);
	ck_assert_ptr_null(o.path);
	ck_assert_ptr_null(o.list);
}
END_TEST

TEST_SUITE(suite_kv)
{
	Suite *s = suite_create("base/kv");
	TCase *tc = test_case(s, "kv");

	tcase_add_test(tc, takes_first_key_without_name);
	tcase_add_test(tc, takes_bare_word_as_first_value);
	tcase_add_test(tc, takes_quotes_and_lists);
	tcase_add_loop_test(tc, refuses, 0, 15);
	return s;
}
