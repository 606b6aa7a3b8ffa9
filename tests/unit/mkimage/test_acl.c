/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/acl.h"
#include "tests/lib/test.h"

static struct vc_error err;

START_TEST(sorts_and_adds_a_mask)
{
	struct acl_entry e[6] = {
		{ ACL_OTHER, 0, 0 },	 { ACL_USER, 6, 1000 },
		{ ACL_GROUP_OBJ, 4, 0 }, { ACL_USER, 1, 5 },
		{ ACL_USER_OBJ, 7, 0 },
	};
	size_t nr = 5;

	ck_ok(acl_normalize(e, &nr, &err), &err);
	ck_assert_uint_eq(nr, 6);
	ck_assert_uint_eq(e[0].tag, ACL_USER_OBJ);
	ck_assert_uint_eq(e[1].id, 5);
	ck_assert_uint_eq(e[2].id, 1000);
	ck_assert_uint_eq(e[4].tag, ACL_MASK);
	ck_assert_uint_eq(e[4].perm, 7);
	ck_assert(!acl_is_mode(nr));
	/* the group's bits are the mask's */
	ck_assert_uint_eq(acl_mode(e, nr), 0770);
}
END_TEST

START_TEST(refuses)
{
	struct acl_entry twice[6] = {
		{ ACL_USER_OBJ, 7, 0 }, { ACL_USER, 6, 1 },
		{ ACL_USER, 4, 1 },	{ ACL_GROUP_OBJ, 4, 0 },
		{ ACL_OTHER, 0, 0 },
	};
	struct acl_entry less[3] = {
		{ ACL_USER_OBJ, 7, 0 },
		{ ACL_OTHER, 0, 0 },
	};
	size_t nr = 5;

	ck_fails(acl_normalize(twice, &nr, &err), &err, VC_E_CORRUPT);
	nr = 2;
	ck_fails(acl_normalize(less, &nr, &err), &err, VC_E_CORRUPT);
}
END_TEST

START_TEST(converts)
{
	/* user::rw-,user:1000:rw-,group::r--,mask::rw-,other::--- */
	static const uint8_t wire[] = {
		2,    0,    0,	  0, 1,	   0,	 6,    0,    0xff,
		0xff, 0xff, 0xff, 2, 0,	   6,	 0,    0xe8, 3,
		0,    0,    4,	  0, 4,	   0,	 0xff, 0xff, 0xff,
		0xff, 0x10, 0,	  6, 0,	   0xff, 0xff, 0xff, 0xff,
		0x20, 0,    0,	  0, 0xff, 0xff, 0xff, 0xff,
	};
	static const uint8_t disk[] = {
		1, 0, 0, 0, 1, 0, 6,	0, 2, 0, 6,    0, 0xe8, 3,
		0, 0, 4, 0, 4, 0, 0x10, 0, 6, 0, 0x20, 0, 0,	0,
	};
	struct acl_entry e[8];
	uint8_t buf[ACL_WIRE_BYTES(8)];
	size_t nr;

	ck_ok(acl_from_wire(wire, sizeof(wire), e, 8, &nr, &err), &err);
	ck_assert_uint_eq(nr, 5);
	ck_assert_uint_eq(acl_to_wire(e, nr, buf), sizeof(wire));
	ck_assert_mem_eq(buf, wire, sizeof(wire));
	ck_assert_uint_eq(acl_to_disk(e, nr, buf), sizeof(disk));
	ck_assert_mem_eq(buf, disk, sizeof(disk));
	ck_fails(acl_from_wire(wire, sizeof(wire), e, 4, &nr, &err), &err,
		 VC_E_LIMIT);
	ck_fails(acl_from_wire(wire, sizeof(wire) - 1, e, 8, &nr, &err), &err,
		 VC_E_CORRUPT);
	ck_fails(acl_from_wire(disk, sizeof(disk), e, 8, &nr, &err), &err,
		 VC_E_CORRUPT);
	ck_fails(acl_from_wire(NULL, 0, e, 8, &nr, &err), &err, VC_E_CORRUPT);
}
END_TEST

TEST_SUITE(suite_acl)
{
	Suite *s = suite_create("mkimage/acl");
	TCase *tc = test_case(s, "acl");

	tcase_add_test(tc, sorts_and_adds_a_mask);
	tcase_add_test(tc, refuses);
	tcase_add_test(tc, converts);
	return s;
}
