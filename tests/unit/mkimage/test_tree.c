/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/tree.h"
#include "tests/lib/test.h"

static struct vc_error err;
static struct tree t;
static int nr_dropped;

static void count_drop(void *opaque, struct node *n)
{
	(void)opaque;
	(void)n;
	nr_dropped++;
}

static void begin(void)
{
	ck_ok(tree_init(&t, &err), &err);
	t.drop = count_drop;
	nr_dropped = 0;
}

static struct node *add(const char *path, enum node_type type)
{
	const struct tree_meta m = { .mode = 0644 };
	struct tree_place place;
	struct node *n;

	ck_ok(tree_walk(&t, path, TREE_MAKE_PARENTS, &place, &err), &err);
	ck_ok(tree_add(&t, &place, type, &m, &n, &err), &err);
	return n;
}

static struct node *add_symlink(const char *path, const char *target)
{
	struct node *n = add(path, NODE_SYMLINK);

	ck_ok(tree_set_target(&t, n, target, &err), &err);
	return n;
}

static int link_to(const char *path, const char *target)
{
	struct tree_place place;
	struct node *n;

	if (tree_walk(&t, path, TREE_MAKE_PARENTS, &place, &err))
		return -1;
	return tree_link(&t, &place, target, &n, &err);
}

static int walk(const char *path, unsigned flags)
{
	struct tree_place place;

	return tree_walk(&t, path, flags, &place, &err);
}

START_TEST(finds_by_any_spelling)
{
	struct node *n;

	begin();
	n = add("a/b/c", NODE_FILE);
	ck_assert_ptr_eq(tree_find(&t, "a/b/c"), n);
	ck_assert_ptr_eq(tree_find(&t, "/a//b/./c"), n);
	ck_assert_ptr_eq(tree_find(&t, "./a/b/c/"), n);
	ck_assert_ptr_eq(tree_find(&t, ""), t.root);
	ck_assert_ptr_eq(tree_find(&t, "/."), t.root);
	ck_assert_ptr_null(tree_find(&t, "a/b/d"));
	ck_assert_ptr_null(tree_find(&t, "a/b/c/d"));
	ck_assert_uint_eq(t.root->dir->nr_subdirs, 1);
	tree_fini(&t);
}
END_TEST

START_TEST(nothing_leads_out)
{
	begin();
	add_symlink("abs", "/etc");
	add_symlink("up", "../..");
	add_symlink("d/up", "../..");
	add_symlink("d/fine", "../e");
	add_symlink("loop", "loop");
	ck_fails(walk("../x", 0), &err, VC_E_CORRUPT);
	ck_fails(walk("d/../x", 0), &err, VC_E_CORRUPT);
	ck_fails(walk("x/..", 0), &err, VC_E_CORRUPT);
	ck_fails(walk("abs/x", TREE_MAKE_PARENTS), &err, VC_E_CORRUPT);
	ck_fails(walk("up/x", TREE_MAKE_PARENTS), &err, VC_E_CORRUPT);
	ck_fails(walk("d/up/x", TREE_MAKE_PARENTS), &err, VC_E_CORRUPT);
	ck_fails(walk("loop/x", TREE_MAKE_PARENTS), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, ELOOP);
	ck_fails(walk("nowhere/x", 0), &err, VC_E_SYS);
	ck_assert_int_eq(err.sys, ENOENT);
	/* a name that only looks like it */
	ck_ok(walk("..x", 0), &err);
	ck_ok(walk("...", 0), &err);
	ck_ok(walk("d/fine/x", TREE_MAKE_PARENTS), &err);
	ck_assert(node_is_dir(tree_find(&t, "e")));
	/* in a chroot all of them lead somewhere inside */
	ck_ok(walk("abs/x", TREE_CHROOT | TREE_MAKE_PARENTS), &err);
	ck_assert_ptr_nonnull(tree_find(&t, "etc"));
	ck_ok(walk("d/up/x", TREE_CHROOT), &err);
	tree_fini(&t);
}
END_TEST

START_TEST(limits_names)
{
	static char path[2 * TREE_MAX_PATH];

	begin();
	memset(path, 'x', 255);
	ck_ok(walk(path, 0), &err);
	path[255] = 'x';
	ck_fails(walk(path, 0), &err, VC_E_LIMIT);
	memset(path, '/', TREE_MAX_PATH + 1);
	ck_fails(walk(path, 0), &err, VC_E_LIMIT);
	tree_fini(&t);
}
END_TEST

START_TEST(later_entries_replace)
{
	struct node *n, *dir;
	const struct tree_meta m = { .mode = 0700 };
	struct tree_place place;

	begin();
	add("f", NODE_FILE);
	n = add("f", NODE_FILE);
	ck_assert_ptr_eq(tree_find(&t, "f"), n);
	ck_assert_int_eq(nr_dropped, 1);
	dir = add("d", NODE_DIR);
	add("d/x/y", NODE_FILE);
	add("d/z", NODE_FILE);
	/* a directory again: what it has stays */
	ck_assert_ptr_eq(add("d", NODE_DIR), dir);
	ck_assert_ptr_nonnull(tree_find(&t, "d/x/y"));
	ck_ok(tree_walk(&t, "d", 0, &place, &err), &err);
	ck_ok(tree_add(&t, &place, NODE_FILE, &m, &n, &err), &err);
	ck_assert_int_eq(nr_dropped, 3);
	ck_assert_uint_eq(t.root->dir->nr_subdirs, 0);
	ck_assert_ptr_null(tree_find(&t, "d/z"));
	/* and the same names again */
	add("d", NODE_DIR);
	ck_assert_ptr_null(tree_find(&t, "d/z"));
	n = add("d/z", NODE_FILE);
	ck_assert_ptr_eq(tree_find(&t, "d/z"), n);
	ck_fails(tree_add(&t, &(struct tree_place){ .dir = t.root }, NODE_FILE,
			  &m, &n, &err),
		 &err, VC_E_CORRUPT);
	tree_fini(&t);
}
END_TEST

START_TEST(links_to_what_is_there)
{
	struct node *n;

	begin();
	n = add("f", NODE_FILE);
	ck_ok(link_to("a/l", "f"), &err);
	ck_ok(link_to("f", "f"), &err);
	ck_assert_uint_eq(n->nr_links, 2);
	add("f", NODE_FILE);
	ck_assert_int_eq(nr_dropped, 0);
	ck_assert_ptr_eq(tree_find(&t, "a/l"), n);
	ck_assert_uint_eq(n->nr_links, 1);
	add("d", NODE_DIR);
	ck_fails(link_to("l", "d"), &err, VC_E_CORRUPT);
	ck_fails(link_to("l", "../f"), &err, VC_E_CORRUPT);
	/* the link takes the place of the folder its target is in */
	add("g/f", NODE_FILE);
	ck_fails(link_to("g", "g/f"), &err, VC_E_CORRUPT);
	tree_fini(&t);
}
END_TEST

START_TEST(links_to_what_comes_later)
{
	struct node *n;
	char a[16], b[16];
	int i;

	begin();
	for (i = 0; i < 5000; i++) {
		snprintf(a, sizeof(a), "l%d", i);
		snprintf(b, sizeof(b), "l%d", i + 1);
		ck_ok(link_to(a, b), &err);
	}
	n = add("l5000", NODE_FILE);
	ck_ok(tree_resolve(&t, &err), &err);
	ck_assert_uint_eq(n->nr_links, 5001);
	ck_assert_ptr_eq(tree_find(&t, "l0"), n);
	ck_assert_ptr_eq(tree_find(&t, "l4999"), n);
	tree_fini(&t);
}
END_TEST

/* A link to a name that waits waits with it; to itself it changes nothing. */
START_TEST(links_to_what_waits)
{
	struct node *n;

	begin();
	ck_ok(link_to("a", "b"), &err);
	ck_ok(link_to("a", "a"), &err);
	ck_ok(link_to("c", "a"), &err);
	n = add("b", NODE_FILE);
	ck_ok(tree_resolve(&t, &err), &err);
	ck_assert_ptr_eq(tree_find(&t, "a"), n);
	ck_assert_ptr_eq(tree_find(&t, "c"), n);
	ck_assert_uint_eq(n->nr_links, 3);
	tree_fini(&t);
}
END_TEST

START_TEST(refuses_links_to_nothing)
{
	static const char *const pairs[][4] = {
		{ "a", "b", NULL, NULL },
		{ "a", "a", NULL, NULL },
		{ "a", "b", "b", "a" },
		{ "a", "d/x", NULL, NULL },
	};

	begin();
	ck_ok(link_to(pairs[_i][0], pairs[_i][1]), &err);
	if (pairs[_i][2])
		ck_ok(link_to(pairs[_i][2], pairs[_i][3]), &err);
	ck_fails(tree_resolve(&t, &err), &err, VC_E_CORRUPT);
	tree_fini(&t);
}
END_TEST

START_TEST(counts_links)
{
	char name[16];
	int i;

	begin();
	add("f", NODE_FILE);
	for (i = 1; i < TREE_MAX_LINKS; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		ck_ok(link_to(name, "f"), &err);
	}
	ck_fails(link_to("l", "f"), &err, VC_E_LIMIT);
	tree_fini(&t);
}
END_TEST

START_TEST(joins_extents)
{
	struct extents e = { 0 };

	ck_ok(extents_append(&e, 0, 100, 1, &err), &err);
	ck_ok(extents_append(&e, 1, 101, 2, &err), &err);
	ck_assert_uint_eq(e.nr, 1);
	ck_ok(extents_append(&e, 5, 103, 1, &err), &err); /* after a hole */
	ck_ok(extents_append(&e, 6, 200, 1, &err), &err); /* elsewhere */
	ck_ok(extents_append(&e, 7, 201, 1, &err), &err);
	ck_assert_uint_eq(e.nr, 3);
	ck_assert_uint_eq(extents_get(&e, 0)->len, 3);
	ck_assert_uint_eq(extents_get(&e, 2)->len, 2);
	ck_assert_uint_eq(extents_get(&e, 2)->logical, 6);
	extents_fini(&e);
}
END_TEST

/* What has no room is cut; what is behind the name is not read, as a sanitizer
 * sees. */
START_TEST(shown_names)
{
	static const char letters[] = { '\xfa', 'y' };
	size_t len;

	for (len = 1; len <= 200; len++) {
		vc_auto_free char *name = malloc(len);

		ck_assert_ptr_nonnull(name);
		memset(name, letters[_i], len);
		ck_assert(tree_show_n(name, len).s[0]);
	}
}
END_TEST

TEST_SUITE(suite_tree)
{
	Suite *s = suite_create("mkimage/tree");
	TCase *tc = test_case(s, "tree");

	tcase_add_test(tc, finds_by_any_spelling);
	tcase_add_test(tc, nothing_leads_out);
	tcase_add_test(tc, limits_names);
	tcase_add_test(tc, later_entries_replace);
	tcase_add_test(tc, links_to_what_is_there);
	tcase_add_test(tc, links_to_what_comes_later);
	tcase_add_test(tc, links_to_what_waits);
	tcase_add_loop_test(tc, refuses_links_to_nothing, 0, 4);
	tcase_add_test(tc, counts_links);
	tcase_add_test(tc, joins_extents);
	tcase_add_loop_test(tc, shown_names, 0, 2);
	return s;
}
