/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/disk/fat.h"
#include "tests/lib/test.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct vc_error err;
static uint8_t boot[FAT_SECTOR];
static uint64_t end; /* of what was written */

static int take(void *opaque, uint64_t offset, const void *data, size_t len,
		struct vc_error *e)
{
	(void)opaque;
	(void)e;
	if (!offset)
		memcpy(boot, data, sizeof(boot));
	if (end < offset + len)
		end = offset + len;
	return 0;
}

static uint32_t get16(size_t at)
{
	return (uint32_t)boot[at] | (uint32_t)boot[at + 1] << 8;
}

static uint32_t get32(size_t at)
{
	return get16(at) | get16(at + 2) << 16;
}

static int make(uint64_t size)
{
	const struct fat_out out = { take, NULL };
	struct fat f;
	int rc;

	end = 0;
	memset(boot, 0, sizeof(boot));
	fat_init(&f);
	rc = fat_write(&f, size, 1, 0, &out, &err);
	fat_fini(&f);
	return rc;
}

static const struct {
	uint64_t size;
	unsigned width, cluster_sectors; /* as mkfs.fat has them */
} of[] = {
	{ 4 * MIB, 2, 1 },	   { 16 * MIB, 2, 1 },
	{ 16 * MIB + 512, 2, 2 },  { 34 * MIB - 512, 2, 2 },
	{ 34 * MIB, 4, 1 },	   { 260 * MIB, 4, 1 },
	{ 260 * MIB + 512, 4, 8 }, { 8 * GIB, 4, 8 },
	{ 8 * GIB + 512, 4, 16 },  { 16 * GIB, 4, 16 },
	{ 16 * GIB + 512, 4, 32 }, { 32 * GIB, 4, 32 },
};

START_TEST(clusters_are_as_large_as_others_make_them)
{
	const uint64_t nr_sectors = of[_i].size / FAT_SECTOR;
	uint64_t fat_sectors, need, clusters;

	ck_ok(make(of[_i].size), &err);
	ck_assert_uint_eq(boot[13], of[_i].cluster_sectors);
	ck_assert_uint_eq(get16(22) ? 2 : 4, of[_i].width);
	/* one of the two counts */
	ck_assert_uint_eq(get16(19), nr_sectors < 65536 ? nr_sectors : 0);
	ck_assert_uint_eq(get32(32), nr_sectors < 65536 ? 0 : nr_sectors);
	/* the tables have room for every cluster, and little more */
	fat_sectors = get16(22) ? get16(22) : get32(36);
	clusters = (nr_sectors - get16(14) - 2 * fat_sectors -
		    get16(17) * 32 / FAT_SECTOR) /
		   of[_i].cluster_sectors;
	need = vc_div_round_up((clusters + 2) * of[_i].width, FAT_SECTOR);
	ck_assert_uint_ge(fat_sectors, need);
	ck_assert_uint_le(fat_sectors, need + need / 32 + 1);
	ck_assert_uint_le(end, of[_i].size);
}
END_TEST

START_TEST(sizes_have_limits)
{
	ck_fails(make(FAT_MIN_BYTES - 512), &err, VC_E_LIMIT);
	ck_fails(make(FAT_MAX_BYTES + 512), &err, VC_E_LIMIT);
}
END_TEST

TEST_SUITE(suite_fat)
{
	Suite *s = suite_create("mkimage/fat");
	TCase *tc = test_case(s, "fat");

	tcase_add_loop_test(tc, clusters_are_as_large_as_others_make_them, 0,
			    VC_ARRAY_SIZE(of));
	tcase_add_test(tc, sizes_have_limits);
	return s;
}
