/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include "mkimage/disk/part.h"
#include "tests/lib/test.h"

#define MIB (UINT64_C(1) << 20)

static struct vc_error err;

START_TEST(partitions_follow_one_another_at_whole_mib)
{
	struct part_opts o;
	uint64_t root;

	part_opts_init(&o);
	ck_ok(part_place(&o, &root, &err), &err);
	ck_assert_uint_eq(root, 0);
	ck_ok(part_add(&o, "name=data,size=1M", &err), &err);
	ck_ok(part_add(&o, "swap,type=swap,size=1500000", &err), &err);
	ck_ok(part_add(&o, "esp,size=40M", &err), &err);
	ck_ok(part_place(&o, &root, &err), &err);
	ck_assert_uint_eq(o.esp.start_bytes, MIB);
	ck_assert_uint_eq(o.more[0].start_bytes, 41 * MIB);
	ck_assert_uint_eq(o.more[1].start_bytes, 42 * MIB);
	ck_assert_uint_eq(root, 44 * MIB);
	part_opts_fini(&o);
}
END_TEST

START_TEST(a_disk_has_room_for_the_second_table)
{
	uint64_t size, fs;

	ck_assert_uint_eq(part_root_size(MIB, MIB), 0);
	ck_assert_uint_eq(part_root_size(0, MIB), 0);
	for (fs = 4096; fs < 3 * MIB; fs += 4096 * 37) {
		size = part_disk_size(MIB, fs);
		ck_assert_uint_ge(part_root_size(size, MIB), fs);
		ck_assert_uint_ge(size - MIB - part_root_size(size, MIB),
				  VC_GPT_TAIL_BYTES);
	}
}
END_TEST

START_TEST(nonsense_is_refused)
{
	static const char *const texts[] = {
		"",
		"name=",
		"x",
		"x,size=17T",
		"x,size=1M,type=nothing",
		"x,size=1M,guid=1",
		"root,file=x",
		"root,size=1M",
		"x,size=1M,colour=red",
		"x,size=1M,size=2M",
	};
	struct part_opts o;
	size_t i;

	part_opts_init(&o);
	for (i = 0; i < VC_ARRAY_SIZE(texts); i++)
		ck_assert_msg(part_add(&o, texts[i], &err) == -1, "%s",
			      texts[i]);
	ck_assert_uint_eq(o.nr_more, 0);
	for (i = 0; i < PART_MAX; i++)
		ck_ok(part_add(&o, "x,size=1M", &err), &err);
	ck_assert_int_eq(part_add(&o, "x,size=1M", &err), -1);
	part_opts_fini(&o);
}
END_TEST

TEST_SUITE(suite_part)
{
	Suite *s = suite_create("mkimage/disk/part");
	TCase *tc = test_case(s, "all");

	tcase_add_test(tc, partitions_follow_one_another_at_whole_mib);
	tcase_add_test(tc, a_disk_has_room_for_the_second_table);
	tcase_add_test(tc, nonsense_is_refused);
	return s;
}
