/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include "mkimage/xset.h"
#include "tests/lib/test.h"

static struct vc_error err;
static struct xset_table table;
static struct arena arena;

static struct xattr attr(const char *name, const char *value)
{
	return (struct xattr){ name, (const uint8_t *)value,
			       (uint32_t)strlen(name),
			       (uint32_t)strlen(value) };
}

static void done(void)
{
	xset_table_fini(&table);
	arena_fini(&arena);
}

START_TEST(one_set_is_kept_once)
{
	struct xattr a[] = { attr("user.b", "2"), attr("user.a", "1") };
	struct xattr b[] = { attr("user.a", "1"), attr("user.b", "2") };
	struct xattr c[] = { attr("user.a", "1"), attr("user.b", "") };
	struct xattr d[] = { attr("user.b", "old"), attr("user.a", "1"),
			     attr("user.b", "2") };
	uint32_t id_a, id_b, id_c, id_d;
	const struct xset *s;

	ck_ok(xset_intern(&table, &arena, a, 2, &id_a, &err), &err);
	ck_ok(xset_intern(&table, &arena, b, 2, &id_b, &err), &err);
	ck_ok(xset_intern(&table, &arena, c, 2, &id_c, &err), &err);
	ck_ok(xset_intern(&table, &arena, d, 3, &id_d, &err), &err);
	ck_assert_uint_eq(id_a, id_b);
	ck_assert_uint_eq(id_a, id_d);
	ck_assert_uint_ne(id_a, id_c);
	s = xset_get(&table, id_a);
	ck_assert(s && s->nr == 2);
	ck_assert_mem_eq(s->attr[0].name, "user.a", 6);
	ck_assert_mem_eq(s->attr[1].value, "2", 1);
	ck_ok(xset_intern(&table, &arena, a, 0, &id_a, &err), &err);
	ck_assert_uint_eq(id_a, 0);
	ck_assert_ptr_null(xset_get(&table, 0));
	done();
}
END_TEST

START_TEST(many_sets)
{
	char value[16];
	uint32_t i, id;

	for (i = 0; i < 2000; i++) {
		struct xattr a;

		snprintf(value, sizeof(value), "%u", i % 1000);
		a = attr("user.n", value);
		ck_ok(xset_intern(&table, &arena, &a, 1, &id, &err), &err);
		ck_assert_uint_eq(id, i % 1000 + 1);
	}
	done();
}
END_TEST

TEST_SUITE(suite_xset)
{
	Suite *s = suite_create("mkimage/xset");
	TCase *tc = test_case(s, "xset");

	tcase_add_test(tc, one_set_is_kept_once);
	tcase_add_test(tc, many_sets);
	return s;
}
