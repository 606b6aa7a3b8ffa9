/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include "mkimage/tree.h"
#include "tests/lib/test.h"

static struct vc_error err;
static struct tree t;

static struct tree_place place(const char *path)
{
	struct tree_place ret;

	ck_ok(tree_walk(&t, path, TREE_MAKE_PARENTS, &ret, &err), &err);
	return ret;
}

static struct node *add(const char *path, enum node_type type)
{
	const struct tree_meta m = { .mode = 0700, .uid = 5 };
	const struct tree_place p = place(path);
	struct node *n;

	ck_ok(tree_add(&t, &p, type, &m, &n, &err), &err);
	return n;
}

static void whiteout(const char *path)
{
	const struct tree_place p = place(path);

	tree_whiteout(&t, &p);
}

static void next(void)
{
	ck_ok(tree_next_layer(&t, &err), &err);
}

START_TEST(order_does_not_matter)
{
	int first;

	for (first = 0; first < 2; first++) {
		ck_ok(tree_init(&t, &err), &err);
		add("d", NODE_DIR);
		add("d/lower", NODE_FILE);
		add("d/sub/lower", NODE_FILE);
		next();
		if (first)
			whiteout("d");
		add("d/upper", NODE_FILE);
		add("d/sub/upper", NODE_FILE);
		if (!first)
			whiteout("d");
		ck_assert_ptr_nonnull(tree_find(&t, "d/upper"));
		ck_assert_ptr_nonnull(tree_find(&t, "d/sub/upper"));
		ck_assert_ptr_null(tree_find(&t, "d/lower"));
		ck_assert_ptr_null(tree_find(&t, "d/sub/lower"));
		/* what the lower layer said of it is gone */
		ck_assert_uint_eq(tree_find(&t, "d")->uid, 0);
		ck_assert_uint_eq(tree_find(&t, "d")->mode, 0755);
		ck_assert(tree_find(&t, "d")->dir->is_implicit);
		tree_fini(&t);
	}
}
END_TEST

START_TEST(opaque_keeps_the_directory)
{
	ck_ok(tree_init(&t, &err), &err);
	add("d", NODE_DIR);
	add("d/lower", NODE_FILE);
	next();
	add("d/upper", NODE_FILE);
	tree_make_opaque(&t, tree_find(&t, "d"));
	ck_assert_ptr_null(tree_find(&t, "d/lower"));
	ck_assert_ptr_nonnull(tree_find(&t, "d/upper"));
	ck_assert_uint_eq(tree_find(&t, "d")->uid, 5);
	/* a layer later, it is a lower one */
	next();
	tree_make_opaque(&t, tree_find(&t, "d"));
	ck_assert_ptr_null(tree_find(&t, "d/upper"));
	tree_fini(&t);
}
END_TEST

START_TEST(spares_what_is_new)
{
	struct tree_place p;

	ck_ok(tree_init(&t, &err), &err);
	add("f", NODE_FILE);
	p = place("f");
	ck_assert(!tree_is_older(&t, &p));
	next();
	ck_assert(tree_is_older(&t, &p));
	add("f", NODE_FILE);
	whiteout("f");
	ck_assert_ptr_nonnull(tree_find(&t, "f"));
	ck_assert(!tree_is_older(&t, &p));
	next();
	whiteout("f");
	ck_assert_ptr_null(tree_find(&t, "f"));
	whiteout("f");
	whiteout("never");
	ck_assert(!tree_remove(&t, &p));
	add("f", NODE_FILE);
	ck_assert(tree_remove(&t, &p));
	tree_fini(&t);
}
END_TEST

START_TEST(links_are_bound_in_their_layer)
{
	struct tree_place p;
	struct node *n;

	ck_ok(tree_init(&t, &err), &err);
	p = place("early");
	ck_ok(tree_link(&t, &p, "late", &n, &err), &err);
	ck_assert_ptr_null(n);
	add("late", NODE_FILE);
	next();
	whiteout("late");
	ck_assert_ptr_null(tree_find(&t, "late"));
	ck_assert_int_eq(tree_find(&t, "early")->type, NODE_FILE);
	ck_assert_uint_eq(tree_find(&t, "early")->nr_links, 1);
	p = place("nowhere");
	ck_ok(tree_link(&t, &p, "late", &n, &err), &err);
	ck_fails(tree_next_layer(&t, &err), &err, VC_E_CORRUPT);
	tree_fini(&t);
}
END_TEST

START_TEST(layers_are_limited)
{
	int i;

	ck_ok(tree_init(&t, &err), &err);
	for (i = 1; i < TREE_MAX_LAYERS; i++)
		next();
	ck_fails(tree_next_layer(&t, &err), &err, VC_E_LIMIT);
	tree_fini(&t);
}
END_TEST

/* A directory keeps the names it has lost: looking at each of them to see that
 * none is left would take longer than the test may. */
START_TEST(empty_directory_of_many_names)
{
	char path[16];
	int i;

	ck_ok(tree_init(&t, &err), &err);
	add("d", NODE_DIR);
	for (i = 0; i < 60000; i++) {
		snprintf(path, sizeof(path), "d/%d", i);
		add(path, NODE_FILE);
	}
	ck_assert(!tree_dir_is_empty(tree_find(&t, "d")));
	next();
	tree_make_opaque(&t, tree_find(&t, "d"));
	for (i = 0; i < 60000; i++)
		ck_assert(tree_dir_is_empty(tree_find(&t, "d")));
	/* one name is one, whatever has it */
	add("d/1", NODE_FILE);
	add("d/1", NODE_DIR);
	add("d/1", NODE_SYMLINK);
	ck_assert(!tree_dir_is_empty(tree_find(&t, "d")));
	whiteout("d/2");
	next();
	whiteout("d/1");
	whiteout("d/1");
	ck_assert(tree_dir_is_empty(tree_find(&t, "d")));
	tree_fini(&t);
}
END_TEST

#define NR_LAYERS 1000
#define NR_NAMES 2000

/* Names that are gone are not looked at by every layer that comes. */
START_TEST(layers_do_not_look_at_what_is_gone)
{
	char name[32];
	int i;

	ck_ok(tree_init(&t, &err), &err);
	add("d", NODE_DIR);
	for (i = 0; i < NR_NAMES; i++) {
		snprintf(name, sizeof(name), "d/%d/f", i);
		add(name, NODE_FILE);
	}
	for (i = 0; i < NR_LAYERS; i++) {
		next();
		tree_make_opaque(&t, tree_find(&t, "d"));
		snprintf(name, sizeof(name), "d/%d/f", i % 3);
		add(name, NODE_FILE);
		tree_make_opaque(&t, tree_find(&t, "d"));
	}
	/* each folder and its file, and those of every layer */
	ck_assert_uint_le(t.nr_pruned, 2 * NR_NAMES + 2 * NR_LAYERS);
	ck_assert_uint_ge(t.nr_pruned, 2 * NR_NAMES);
	ck_assert_uint_eq(tree_find(&t, "d")->dir->nr_names, 1);
	ck_assert_ptr_nonnull(tree_find(&t, name));
	tree_fini(&t);
}
END_TEST

/* A name that comes back is in its directory's list, at the end and once. */
START_TEST(what_comes_back_is_listed)
{
	static const char *const want[] = { "new", "b", "a" };
	const struct dent *d;
	size_t i = 0;

	ck_ok(tree_init(&t, &err), &err);
	add("a", NODE_FILE);
	add("b", NODE_DIR);
	add("c", NODE_FILE);
	next();
	tree_make_opaque(&t, t.root);
	ck_assert_ptr_null(t.root->dir->first);
	add("new", NODE_FILE);
	add("b", NODE_FILE);
	add("a", NODE_FILE);
	add("a", NODE_DIR);
	for (d = t.root->dir->first; d; d = d->next, i++) {
		ck_assert_uint_lt(i, VC_ARRAY_SIZE(want));
		ck_assert_mem_eq(d->name, want[i], strlen(want[i]));
		ck_assert_ptr_nonnull(d->node);
	}
	ck_assert_uint_eq(i, VC_ARRAY_SIZE(want));
	ck_assert_uint_eq(t.root->dir->nr_names, 3);
	tree_fini(&t);
}
END_TEST

START_TEST(a_bound_link_is_one_name)
{
	struct tree_place p;
	struct node *n;

	ck_ok(tree_init(&t, &err), &err);
	add("d", NODE_DIR);
	p = place("d/later");
	ck_ok(tree_link(&t, &p, "file", &n, &err), &err);
	add("file", NODE_FILE);
	ck_ok(tree_resolve(&t, &err), &err);
	ck_assert(!tree_dir_is_empty(tree_find(&t, "d")));
	ck_assert(tree_remove(&t, &p));
	ck_assert(tree_dir_is_empty(tree_find(&t, "d")));
	tree_fini(&t);
}
END_TEST

TEST_SUITE(suite_layer)
{
	Suite *s = suite_create("layer");
	TCase *tc = test_case(s, "layer");

	tcase_add_test(tc, order_does_not_matter);
	tcase_add_test(tc, opaque_keeps_the_directory);
	tcase_add_test(tc, spares_what_is_new);
	tcase_add_test(tc, links_are_bound_in_their_layer);
	tcase_add_test(tc, layers_are_limited);
	tcase_add_test(tc, empty_directory_of_many_names);
	tcase_add_test(tc, layers_do_not_look_at_what_is_gone);
	tcase_add_test(tc, what_comes_back_is_listed);
	tcase_add_test(tc, a_bound_link_is_one_name);
	return s;
}
