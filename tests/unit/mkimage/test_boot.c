/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include "mkimage/boot.h"
#include "tests/lib/test.h"

static struct vc_error err;

/* As dpkg --compare-versions has it. */
START_TEST(versions_are_compared_as_dpkg_does)
{
	static const struct {
		const char *a, *b;
		int want;
	} of[] = {
		{ "6.1.0-9-amd64", "6.1.0-10-amd64", -1 },
		{ "6.1.0-10-amd64", "6.1.0-10-amd64", 0 },
		{ "6.1.0-10~rc1", "6.1.0-10", -1 },
		{ "6.1.0-10", "6.1.0-10~", 1 },
		{ "6.1", "6.1.1", -1 },
		{ "6.01", "6.1", 0 },
		{ "6.100000000000000000000000000000", "6.99", 1 },
		{ "6a", "6-", -1 },
		/* the first and the last letter, and what is beside them */
		{ "6z", "6-", -1 },
		{ "6A", "6-", -1 },
		{ "6Z", "6-", -1 },
		{ "6-", "6`", -1 },
		{ "6-", "6{", -1 },
		{ "6-", "6@", -1 },
		{ "6-", "6[", -1 },
		{ "lts", "virt", -1 },
		{ "", "0", 0 },
		{ "", "~", 1 },
		{ "0-rescue-abc", "5.14.0", -1 },
	};
	size_t i;
	int rc;

	for (i = 0; i < VC_ARRAY_SIZE(of); i++) {
		rc = boot_compare_versions(of[i].a, of[i].b);
		ck_assert_msg((rc > 0) - (rc < 0) == of[i].want, "%s %s",
			      of[i].a, of[i].b);
		rc = boot_compare_versions(of[i].b, of[i].a);
		ck_assert_msg((rc > 0) - (rc < 0) == -of[i].want, "%s %s",
			      of[i].b, of[i].a);
	}
}
END_TEST

static void add(struct tree *t, const char *path, enum node_type type,
		const char *target)
{
	const struct tree_meta meta = { .mode = 0644 };
	struct tree_place place;
	struct node *n;

	ck_ok(tree_walk(t, path, TREE_MAKE_PARENTS, &place, &err), &err);
	ck_ok(tree_add(t, &place, type, &meta, &n, &err), &err);
	n->size_bytes = 1;
	if (target)
		ck_ok(tree_set_target(t, n, target, &err), &err);
}

START_TEST(the_initrd_has_the_version_of_the_kernel)
{
	struct boot_found b;
	struct tree t;

	ck_ok(tree_init(&t, &err), &err);
	ck_assert_int_eq(boot_find(&t, &b, &err), -1);
	ck_assert_int_eq(err.code, VC_E_CORRUPT);
	add(&t, "boot/kernel", NODE_FILE, NULL);
	add(&t, "vmlinuz", NODE_SYMLINK, "boot/kernel");
	ck_ok(boot_find(&t, &b, &err), &err);
	ck_assert_str_eq(b.kernel_path, "/vmlinuz");
	ck_assert_ptr_null(b.initrd);
	add(&t, "boot/vmlinuz-1", NODE_FILE, NULL);
	add(&t, "boot/initramfs-1.img", NODE_FILE, NULL);
	add(&t, "boot/initramfs-2.img", NODE_FILE, NULL);
	/* of what is not a file, and of a link to nothing, nothing comes */
	add(&t, "boot/vmlinuz-3", NODE_DIR, NULL);
	add(&t, "boot/vmlinuz-4", NODE_SYMLINK, "/nowhere");
	ck_ok(boot_find(&t, &b, &err), &err);
	ck_assert_str_eq(b.kernel_path, "/boot/vmlinuz-1");
	ck_assert_str_eq(b.initrd_path, "/boot/initramfs-1.img");
	add(&t, "usr/lib/modules/2/vmlinuz", NODE_FILE, NULL);
	add(&t, "lib", NODE_SYMLINK, "usr/lib");
	ck_ok(boot_find(&t, &b, &err), &err);
	ck_assert_str_eq(b.kernel_path, "/lib/modules/2/vmlinuz");
	ck_assert_str_eq(b.initrd_path, "/boot/initramfs-2.img");
	tree_fini(&t);
}
END_TEST

TEST_SUITE(suite_boot)
{
	Suite *s = suite_create("mkimage/boot");
	TCase *tc = test_case(s, "all");

	tcase_add_test(tc, versions_are_compared_as_dpkg_does);
	tcase_add_test(tc, the_initrd_has_the_version_of_the_kernel);
	return s;
}
